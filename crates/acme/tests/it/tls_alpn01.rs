//! A TLS handshake as a CA makes it for tls-alpn-01 (RFC 8737 §3), in memory.

use std::sync::{Arc, Mutex};

use perennial_acme::{
    Identifier, Jwk,
    challenge::{KeyAuthorization, Token, tls_alpn01},
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{ring::default_provider, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Takes any certificate, as a CA has to here, and keeps it. The handshake's signature is checked.
#[derive(Debug, Default)]
struct Looking(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = Some(leaf.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        panic!("only TLS 1.3 is offered")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().raw);
        verify_tls13_signature_with_raw_key(message, &key, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_server_with_the_certificate_completes_the_handshake_of_a_ca() {
    let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
    let authorization = KeyAuthorization::new(&token, &Jwk::ed25519([7; 32]).thumbprint());
    for identifier in
        [Identifier::other("dns", "www.example.org"), Identifier::Ip("2001:db8::1".parse().unwrap())]
    {
        let made = tls_alpn01::certificate(&identifier, &authorization).unwrap();
        let key = PrivateKeyDer::try_from(made.private_key.expose().to_vec()).unwrap();
        let key = default_provider().key_provider.load_private_key(key).unwrap();
        // `with_single_cert` would refuse the certificate for its critical extension, as every client should.
        let certified = CertifiedKey::new(vec![made.certificate.clone()], key);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![tls_alpn01::PROTOCOL.to_vec()];
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();

        let looking = Arc::new(Looking::default());
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(looking.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![tls_alpn01::PROTOCOL.to_vec()];
        let sni = tls_alpn01::server_name(&identifier).unwrap();
        let name = ServerName::try_from(sni.to_string()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();

        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        assert_eq!(client.alpn_protocol(), Some(tls_alpn01::PROTOCOL));
        assert_eq!(server.server_name(), Some(sni.as_str()));
        assert_eq!(looking.0.lock().unwrap().as_ref(), Some(&made.certificate));
    }
}
