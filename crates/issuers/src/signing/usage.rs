//! What a key may be used for, as extensions (RFC 5280 §4.2.1.3 and §4.2.1.12).

use perennial_lifecycle::{SigningRequest, Usage};
use rcgen::{
    ExtendedKeyUsagePurpose as Extended, KeyUsagePurpose as Purpose, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData as _, SubjectPublicKeyInfo,
};

use crate::Error;

/// What the key of a certificate may be used for: what was asked for, or what a server and a client need, and a CA.
///
/// # Errors
/// [`Error::Unserved`] when the key cannot be used for what is asked, or the certificate may not be.
pub(super) fn of(
    request: &SigningRequest,
    key: &SubjectPublicKeyInfo,
) -> Result<(Vec<Purpose>, Vec<Extended>), Error> {
    if request.usages.is_empty() {
        return Ok(defaults(request.is_ca, key));
    }
    let unserved = |what: String| Error::Unserved { certificate: request.certificate.clone(), what };
    let (mut purposes, mut extended) = (Vec::new(), Vec::new());
    for usage in &request.usages {
        match meaning(*usage) {
            Some(Meaning::Purpose(purpose)) => purposes.push(purpose),
            Some(Meaning::Extended(purpose)) => extended.push(purpose),
            None => return Err(unserved(format!("the usage {usage:?}, which is not known here"))),
        }
    }
    if purposes.contains(&Purpose::KeyCertSign) != request.is_ca {
        return Err(unserved("the usage CertSign, which a CA has and nobody else".to_owned()));
    }
    let encrypts = purposes.iter().find(|purpose| ENCRYPTING.contains(purpose));
    if let Some(purpose) = encrypts.filter(|_| key.algorithm() == &PKCS_ED25519) {
        // RFC 8410 §5.
        return Err(unserved(format!("the usage {purpose:?}: an Ed25519 key signs, and does nothing else")));
    }
    let refines = purposes.iter().any(|it| matches!(it, Purpose::EncipherOnly | Purpose::DecipherOnly));
    if refines && !purposes.contains(&Purpose::KeyAgreement) {
        return Err(unserved(
            "EncipherOnly or DecipherOnly, which mean nothing without KeyAgreement".to_owned(),
        ));
    }
    Ok((purposes, extended))
}

enum Meaning {
    Purpose(Purpose),
    Extended(Extended),
}

const fn meaning(usage: Usage) -> Option<Meaning> {
    Some(match usage {
        Usage::Any => Meaning::Extended(Extended::Any),
        Usage::CertSign => Meaning::Purpose(Purpose::KeyCertSign),
        Usage::ClientAuth => Meaning::Extended(Extended::ClientAuth),
        Usage::CodeSigning => Meaning::Extended(Extended::CodeSigning),
        Usage::ContentCommitment => Meaning::Purpose(Purpose::ContentCommitment),
        Usage::CrlSign => Meaning::Purpose(Purpose::CrlSign),
        Usage::DataEncipherment => Meaning::Purpose(Purpose::DataEncipherment),
        Usage::DecipherOnly => Meaning::Purpose(Purpose::DecipherOnly),
        Usage::DigitalSignature => Meaning::Purpose(Purpose::DigitalSignature),
        Usage::EmailProtection => Meaning::Extended(Extended::EmailProtection),
        Usage::EncipherOnly => Meaning::Purpose(Purpose::EncipherOnly),
        Usage::KeyAgreement => Meaning::Purpose(Purpose::KeyAgreement),
        // DIVERGES: RFC 8813 §3 forbids these two with ECDSA keys. They are asked for all the same, by manifests that
        // were written for RSA, and no verifier minds.
        Usage::KeyEncipherment => Meaning::Purpose(Purpose::KeyEncipherment),
        Usage::OcspSigning => Meaning::Extended(Extended::OcspSigning),
        Usage::ServerAuth => Meaning::Extended(Extended::ServerAuth),
        Usage::Timestamping => Meaning::Extended(Extended::TimeStamping),
        _ => return None,
    })
}

fn defaults(is_ca: bool, key: &SubjectPublicKeyInfo) -> (Vec<Purpose>, Vec<Extended>) {
    if is_ca {
        // A CA whose certificate says for what it is good is good for nothing else, nor are those below it.
        return (vec![Purpose::KeyCertSign, Purpose::CrlSign], Vec::new());
    }
    let mut purposes = vec![Purpose::DigitalSignature];
    if key.algorithm() == &PKCS_RSA_SHA256 {
        // For TLS 1.2 without forward secrecy.
        purposes.push(Purpose::KeyEncipherment);
    }
    (purposes, vec![Extended::ServerAuth, Extended::ClientAuth])
}

const ENCRYPTING: [Purpose; 5] = [
    Purpose::DataEncipherment,
    Purpose::DecipherOnly,
    Purpose::EncipherOnly,
    Purpose::KeyAgreement,
    Purpose::KeyEncipherment,
];

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_lifecycle::{CertificateSpec, KeyAlgorithm, PrivateKey};

    fn asked(
        algorithm: KeyAlgorithm,
        usages: &[Usage],
        is_ca: bool,
    ) -> Result<(Vec<Purpose>, Vec<Extended>), Error> {
        let mut spec = CertificateSpec::new("a", ["a.example"]).unwrap().usages(usages.iter().copied());
        if is_ca {
            spec = spec.ca();
        }
        let key = PrivateKey::generate(algorithm).unwrap();
        let request = SigningRequest::of(&spec, &key).unwrap();
        of(&request, &SubjectPublicKeyInfo::from_der(&key.public_key_der()).unwrap())
    }

    #[test]
    fn without_a_wish_it_is_for_servers_and_clients_and_a_ca_signs() {
        let (purposes, extended) = asked(KeyAlgorithm::EcdsaP256, &[], false).unwrap();
        assert_eq!(purposes, [Purpose::DigitalSignature]);
        assert_eq!(extended, [Extended::ServerAuth, Extended::ClientAuth]);
        let (purposes, _) = asked(KeyAlgorithm::Rsa2048, &[], false).unwrap();
        assert_eq!(purposes, [Purpose::DigitalSignature, Purpose::KeyEncipherment]);
        let (purposes, extended) = asked(KeyAlgorithm::Ed25519, &[], true).unwrap();
        assert_eq!((purposes, extended), (vec![Purpose::KeyCertSign, Purpose::CrlSign], Vec::new()));
    }

    #[test]
    fn every_usage_that_can_be_asked_for_is_put_in() {
        use Usage::*;
        let all = [
            Any,
            ClientAuth,
            CodeSigning,
            ContentCommitment,
            CrlSign,
            DataEncipherment,
            DecipherOnly,
            DigitalSignature,
            EmailProtection,
            EncipherOnly,
            KeyAgreement,
            KeyEncipherment,
            OcspSigning,
            ServerAuth,
            Timestamping,
        ];
        let (purposes, extended) = asked(KeyAlgorithm::Rsa2048, &all, false).unwrap();
        assert_eq!(purposes.len() + extended.len(), all.len());
        assert!(asked(KeyAlgorithm::EcdsaP256, &[CertSign, CrlSign], true).is_ok());
    }

    #[test]
    fn what_the_key_cannot_do_is_refused_by_its_name() {
        for (refused, says) in [
            (asked(KeyAlgorithm::Ed25519, &[Usage::KeyEncipherment], false), "Ed25519"),
            (asked(KeyAlgorithm::Ed25519, &[Usage::KeyAgreement], false), "KeyAgreement"),
            (asked(KeyAlgorithm::EcdsaP256, &[Usage::CertSign], false), "CertSign"),
            (asked(KeyAlgorithm::EcdsaP256, &[Usage::CrlSign], true), "CertSign"),
            (asked(KeyAlgorithm::EcdsaP256, &[Usage::EncipherOnly], false), "KeyAgreement"),
        ] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("certificate a"), "{error}");
        }
    }
}
