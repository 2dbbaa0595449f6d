//! PKCS#8 (RFC 5958) as far as account keys need it: which kind of key is inside.

use x509_parser::{
    asn1_rs::{FromDer as _, Oid, Sequence},
    oid_registry::{
        OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
    },
    x509::AlgorithmIdentifier,
};

use super::{Algorithm, KeyError, der_element};

/// What signatures the key inside makes.
pub(super) fn algorithm(der: &[u8]) -> Result<Algorithm, KeyError> {
    let broken = || KeyError::Rejected { reason: "it is no PKCS#8".to_owned() };
    let (_, document) = Sequence::from_der(der).map_err(|_| broken())?;
    let (_, after_version) = der_element(&document.content, 0x02).map_or_else(|| Err(broken()), Ok)?;
    let (_, found) = AlgorithmIdentifier::from_der(after_version).map_err(|_| broken())?;
    let curve = found.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    if found.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok(Algorithm::Es256),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok(Algorithm::Es384),
            Some(curve) => Err(other_kind(&curve)),
            None => Err(broken()),
        };
    }
    if found.algorithm == OID_SIG_ED25519 {
        return Ok(Algorithm::EdDsa);
    }
    if found.algorithm == OID_PKCS1_RSAENCRYPTION {
        return Ok(Algorithm::Rs256);
    }
    Err(other_kind(&found.algorithm))
}

fn other_kind(oid: &Oid<'_>) -> KeyError {
    KeyError::OtherKind { found: oid.to_id_string().chars().take(64).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_older_forms_become_what_they_are() {
        use perennial_core::pkcs8;
        let sec1 = |scalar: u8| {
            [&[0x30, scalar + 5, 0x02, 0x01, 0x01, 0x04, scalar], &vec![7; scalar.into()][..]].concat()
        };
        let of = |bytes: perennial_core::SecretBytes| algorithm(bytes.expose());
        assert_eq!(of(pkcs8::of_pkcs1(&[0; 300])), Ok(Algorithm::Rs256));
        assert_eq!(pkcs8::of_sec1(&sec1(32)).map(of), Some(Ok(Algorithm::Es256)));
        assert_eq!(pkcs8::of_sec1(&sec1(48)).map(of), Some(Ok(Algorithm::Es384)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = algorithm(&bytes);
            let _ = algorithm(perennial_core::pkcs8::of_pkcs1(&bytes).expose());
        }
    }
}
