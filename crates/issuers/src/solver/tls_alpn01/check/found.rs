//! What a handshake has shown, read as a CA reads it (RFC 8737 §3).

use std::fmt;

use perennial_acme::challenge::tls_alpn01::{ACME_IDENTIFIER, PROTOCOL};
use perennial_core::DomainName;
use serde::Serialize;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

use crate::{
    handshake::{Handshake, NoHandshake},
    solver::http01::{Phase, shown},
};

/// What was found at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Found {
    /// The proof is there, and a CA would not take the certificate.
    Malformed {
        /// What it minds.
        reason: String,
    },
    /// There was no handshake.
    NoHandshake(NoHandshake),
    /// The right certificate, and its protocol was not chosen.
    NoProtocol,
    /// A certificate without a proof.
    Ordinary {
        /// Who signed it, without control characters.
        issuer: String,
    },
    /// The proof of another key authorization: somebody else speaks ACME for this name.
    OtherProof,
    /// The proof that was put there.
    Right,
}

impl Found {
    /// Whether a CA is content with it.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        matches!(self, Self::Right)
    }

    /// Whether somebody has answered, and not as a CA wants it.
    pub(super) const fn is_wrong(&self) -> bool {
        match self {
            Self::Malformed { .. } | Self::NoProtocol | Self::Ordinary { .. } | Self::OtherProof => true,
            Self::NoHandshake(_) | Self::Right => false,
        }
    }

    pub(super) fn read(seen: Result<Handshake, NoHandshake>, name: &DomainName, digest: &[u8; 32]) -> Self {
        let Handshake { chain, protocol } = match seen {
            Ok(handshake) => handshake,
            Err(why) => return Self::NoHandshake(why),
        };
        let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
        match read_leaf(leaf, name, digest) {
            Self::Right if protocol.as_deref() != Some(PROTOCOL) => Self::NoProtocol,
            found => found,
        }
    }

    /// What to do at an address where this was found.
    pub(super) fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Malformed { .. } => {
                "another program makes the certificate: have this one answer on port 443".to_owned()
            }
            Self::NoHandshake(why) => return Some(remedy_of_none(why)),
            Self::NoProtocol => {
                "name acme-tls/1 among the protocols (ALPN) of the server's configuration".to_owned()
            }
            Self::Ordinary { issuer } => format!(
                "the certificate of an ordinary server is shown (issued by {issuer}): what ends TLS on port 443 is a load \
                 balancer, a CDN or a server that does not ask for proofs; have it pass connections on as TCP, mount \
                 the challenge certificates in that server, or prove the name by dns-01"
            ),
            Self::OtherProof => {
                "another proof is shown: another ACME client, or another replica, answers on port 443; see that one \
                 of them proves this name, or prove it by dns-01"
                    .to_owned()
            }
            Self::Right => return None,
        };
        Some(text)
    }
}

fn remedy_of_none(why: &NoHandshake) -> String {
    match why {
        NoHandshake::Broken { .. } => "what listens on port 443 does not know of the proof, or speaks no TLS: see that \
                                       connections reach this program as they are"
            .to_owned(),
        NoHandshake::NoRoute { .. } | NoHandshake::Unreachable { .. } => {
            "it cannot be looked at from here; the CA may reach it".to_owned()
        }
        NoHandshake::Refused => {
            "port 443 is closed: have something listen there, or forward the port to it".to_owned()
        }
        NoHandshake::Silent { during: Phase::Answering } => {
            "what listens on port 443 does not answer: see that the server behind it is up".to_owned()
        }
        NoHandshake::Silent { during: Phase::Connecting } => {
            "nobody answers: open port 443 in the firewall, for the whole world; if it is open, this machine may not \
             reach its own public address (NAT loopback)"
                .to_owned()
        }
    }
}

fn read_leaf(leaf: &[u8], name: &DomainName, digest: &[u8; 32]) -> Found {
    let malformed = |reason: &str| Found::Malformed { reason: shown(reason, MOST_OF_A_TEXT) };
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        return malformed("it cannot be read");
    };
    let mut proofs =
        certificate.extensions().iter().filter(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER);
    let Some(proof) = proofs.next() else {
        return Found::Ordinary { issuer: shown(&certificate.issuer().to_string(), MOST_OF_A_TEXT) };
    };
    // An OCTET STRING of 32 octets, in DER (X.690 §8.7).
    if proof.value.strip_prefix(&[0x04, 0x20]) != Some(digest.as_slice()) {
        return Found::OtherProof;
    }
    if !proof.critical {
        return malformed("the extension of the proof is not critical");
    }
    let names = certificate.subject_alternative_name().ok().flatten();
    match names.map(|names| names.value.general_names.as_slice()) {
        Some([GeneralName::DNSName(only)]) if only.eq_ignore_ascii_case(name.as_str()) => Found::Right,
        _ => malformed("the name is not its only one"),
    }
}

const MOST_OF_A_TEXT: usize = 160;

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { reason } => write!(f, "the proof, in a certificate that no CA takes: {reason}"),
            Self::NoHandshake(why) => why.fmt(f),
            Self::NoProtocol => f.write_str("the proof, and its protocol was not chosen"),
            Self::Ordinary { issuer } => write!(f, "a certificate without a proof, issued by {issuer}"),
            Self::OtherProof => f.write_str("another proof"),
            Self::Right => f.write_str("the right proof"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair};
    use rustls_pki_types::CertificateDer;

    const DIGEST: [u8; 32] = [7; 32];

    fn made(names: &[&str], proof: Option<(&[u8; 32], bool)>) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        if let Some((digest, critical)) = proof {
            let mut extension = CustomExtension::new_acme_identifier(digest);
            extension.set_criticality(critical);
            params.custom_extensions = vec![extension];
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn found(leaf: CertificateDer<'static>, protocol: Option<&[u8]>) -> Found {
        let handshake = Handshake { chain: vec![leaf], protocol: protocol.map(<[u8]>::to_vec) };
        Found::read(Ok(handshake), &"a.example".parse().unwrap(), &DIGEST)
    }

    #[test]
    fn rfc8737_3_a_proof_is_taken_when_a_ca_would_take_it_and_otherwise_named_for_what_it_is() {
        let proof = Some((&DIGEST, true));
        let of = |names: &[&str], proof| found(made(names, proof), Some(PROTOCOL));
        assert_eq!(of(&["a.example"], proof), Found::Right);
        assert_eq!(of(&["A.example"], proof), Found::Right);
        for protocol in [None, Some(&b"h2"[..])] {
            assert_eq!(found(made(&["a.example"], proof), protocol), Found::NoProtocol);
        }
        assert_eq!(of(&["a.example"], Some((&[8; 32], true))), Found::OtherProof);
        assert!(matches!(of(&["a.example"], Some((&DIGEST, false))), Found::Malformed { .. }));
        for names in [&["a.example", "b.example"][..], &["b.example"], &[], &["192.0.2.7"]] {
            assert!(matches!(of(names, proof), Found::Malformed { .. }), "{names:?}");
        }
        assert!(matches!(of(&["a.example"], None), Found::Ordinary { .. }));
        assert!(matches!(found(CertificateDer::from(vec![1, 2]), None), Found::Malformed { .. }));
    }

    #[test]
    fn who_signed_a_certificate_is_shown_without_what_moves_a_terminal() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "\u{1b}[2Jevil");
        let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        let Found::Ordinary { issuer } = found(leaf, None) else { panic!("it has no proof") };
        assert!(issuer.contains("evil") && !issuer.contains('\u{1b}'), "{issuer}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..2000, byte: u8) {
            let name = "a.example".parse().unwrap();
            let _ = read_leaf(&bytes, &name, &DIGEST);
            let mut changed = MADE.to_vec();
            let at = at % changed.len();
            changed[at] = byte;
            let _ = read_leaf(&changed, &name, &DIGEST);
        }
    }

    static MADE: std::sync::LazyLock<CertificateDer<'static>> =
        std::sync::LazyLock::new(|| made(&["a.example"], Some((&DIGEST, true))));
}
