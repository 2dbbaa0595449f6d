//! tls-alpn-01: RFC 8737.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::StatusCode;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use super::PATIENCE;
use crate::ca::{identifier::Identifier, problem::Problem};

/// Asks for the certificate of the name by the protocol `acme-tls/1`, and reads it.
pub(super) async fn look(at: SocketAddr, name: &Identifier, digest: &[u8]) -> Result<(), Problem> {
    let problem =
        |kind, detail: String| Problem::new(kind, StatusCode::BAD_REQUEST, format!("{name}: {detail}"));
    let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(at)).await;
    let stream = stream.map_err(|_| problem("connection", "nobody answers".into()))?;
    let stream = stream.map_err(|error| problem("connection", error.to_string()))?;
    let certificate = tokio::time::timeout(PATIENCE, certificate(stream, name)).await;
    let certificate = certificate.map_err(|_| problem("tls", "the handshake did not end".into()))?;
    let certificate = certificate.map_err(|reason| problem("tls", reason))?;
    check(&certificate, name, digest).map_err(|fault| problem("incorrectResponse", fault.into()))
}

async fn certificate(stream: TcpStream, name: &Identifier) -> Result<CertificateDer<'static>, String> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    let name = ServerName::try_from(sni(name)).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())?;
    let connection = stream.get_ref().1;
    if connection.alpn_protocol() != Some(PROTOCOL) {
        return Err("the server does not speak acme-tls/1".into());
    }
    let certificates = connection.peer_certificates().unwrap_or_default();
    certificates.first().map(|leaf| leaf.clone().into_owned()).ok_or_else(|| "there is no certificate".into())
}

/// RFC 8737 §3: self-signed, for this name alone, with the digest of the key authorization in a critical
/// extension.
fn check(der: &[u8], name: &Identifier, digest: &[u8]) -> Result<(), &'static str> {
    let (_, leaf) = X509Certificate::from_der(der).map_err(|_| "the certificate cannot be read")?;
    leaf.verify_signature(None).map_err(|_| "the certificate is not self-signed")?;
    let names = leaf.subject_alternative_name().ok().flatten().ok_or("the certificate is for no name")?;
    let fits = match (names.value.general_names.as_slice(), name) {
        ([GeneralName::DNSName(found)], Identifier::Dns(name)) => found.eq_ignore_ascii_case(name.as_str()),
        ([GeneralName::IPAddress(found)], Identifier::Ip(IpAddr::V4(address))) => **found == address.octets(),
        ([GeneralName::IPAddress(found)], Identifier::Ip(IpAddr::V6(address))) => **found == address.octets(),
        _ => false,
    };
    if !fits {
        return Err("the certificate is not for this name alone");
    }
    let mut extensions = leaf.extensions().iter();
    let extension = extensions.find(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER);
    let extension = extension.ok_or("the certificate has no acmeIdentifier")?;
    if !extension.critical {
        return Err("the acmeIdentifier is not critical");
    }
    // An OCTET STRING of 32 octets, in DER.
    if extension.value.strip_prefix(&[0x04, 0x20]) != Some(digest) {
        return Err("the acmeIdentifier is not the digest of the key authorization");
    }
    Ok(())
}

/// RFC 8738 §6: SNI has no addresses, so theirs is the name of their reverse mapping.
fn sni(name: &Identifier) -> String {
    match name {
        Identifier::Dns(name) => name.to_string(),
        Identifier::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Identifier::Ip(IpAddr::V6(address)) => {
            let octets = address.octets();
            let nibbles = octets.iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa"
        }
    }
}

/// Trusts every certificate: what is in it is looked at afterwards. The other side has its key all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // By the key alone: the certificate has a critical extension that rustls does not know.
        let unreadable = |_| rustls::Error::General("the certificate cannot be read".into());
        let (_, leaf) = X509Certificate::from_der(certificate).map_err(unreadable)?;
        let key = SubjectPublicKeyInfoDer::from(leaf.public_key().raw);
        verify_tls13_signature_with_raw_key(
            message,
            &key,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// RFC 8737 §6.2.
const PROTOCOL: &[u8] = b"acme-tls/1";
/// `id-pe-acmeIdentifier` (RFC 8737 §6.1).
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
