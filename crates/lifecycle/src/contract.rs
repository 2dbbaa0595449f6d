//! Whether an issuer returned what was asked for: pure, and asked of every issuer alike.

use std::time::Duration;

use perennial_core::{DomainName, Timestamp};

use crate::{Contract, Facts, SigningRequest};

/// How far a CA's clock may run ahead of ours before its certificates are refused: CAs backdate by an hour
/// against slow client clocks, so five minutes ahead is already our clock's fault.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Checks the leaf against the request: key, names, validity, kind.
pub(crate) fn check(
    facts: &Facts,
    request: &SigningRequest,
    key_fingerprint: &str,
    now: Timestamp,
) -> Result<(), Contract> {
    if facts.is_ca {
        return Err(Contract::IsCa);
    }
    if facts.public_key_fingerprint != key_fingerprint {
        return Err(Contract::Key);
    }
    let missing: Vec<DomainName> =
        request.names.iter().filter(|name| !facts.names.contains(name)).cloned().collect();
    let unexpected: Vec<String> = facts
        .names
        .iter()
        .filter(|name| !request.names.contains(name))
        .map(ToString::to_string)
        .chain(facts.other_names.iter().cloned())
        .collect();
    if !missing.is_empty() || !unexpected.is_empty() {
        return Err(Contract::Names { missing, unexpected });
    }
    if facts.not_before > now + CLOCK_SKEW {
        return Err(Contract::NotYetValid { not_before: facts.not_before, now });
    }
    if facts.not_after <= now {
        return Err(Contract::Expired { not_after: facts.not_after, now });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    fn request(key: &PrivateKey, names: &[&str]) -> SigningRequest {
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        SigningRequest::new("a".parse().unwrap(), names, key).unwrap()
    }

    fn checked(issued: &[&str], asked: &[&str], own_key: bool, now: i64) -> Result<(), Contract> {
        let (der, key) = crate::facts::tests::certificate(issued, 1_000, 9_000);
        let facts = Facts::from_der(&der).unwrap();
        let key = if own_key { key } else { PrivateKey::generate(crate::KeyAlgorithm::EcdsaP256).unwrap() };
        check(&facts, &request(&key, asked), &Facts::fingerprint_of(&key), Timestamp::from_unix(now))
    }

    #[test]
    fn what_was_asked_for_passes() {
        assert_eq!(
            checked(&["a.example", "*.a.example"], &["*.a.example", "a.example"], true, 5_000),
            Ok(())
        );
        // A clock that is a little late does not refuse a fresh certificate.
        assert_eq!(checked(&["a.example"], &["a.example"], true, 900), Ok(()));
    }

    #[test]
    fn a_ca_certificate_is_no_leaf() {
        let (der, key) = crate::facts::tests::certificate(&["a.example"], 1_000, 9_000);
        let facts = Facts { is_ca: true, ..Facts::from_der(&der).unwrap() };
        let checked = check(
            &facts,
            &request(&key, &["a.example"]),
            &Facts::fingerprint_of(&key),
            Timestamp::from_unix(5_000),
        );
        assert_eq!(checked, Err(Contract::IsCa));
    }

    #[test]
    fn each_breach_is_told_apart() {
        assert_eq!(checked(&["a.example"], &["a.example"], false, 5_000), Err(Contract::Key));
        assert!(matches!(checked(&["a.example"], &["b.example"], true, 5_000), Err(Contract::Names { .. })));
        assert_eq!(
            checked(&["a.example"], &["a.example", "b.example"], true, 5_000),
            Err(Contract::Names { missing: vec!["b.example".parse().unwrap()], unexpected: Vec::new() })
        );
        assert!(matches!(
            checked(&["a.example", "192.0.2.1"], &["a.example"], true, 5_000),
            Err(Contract::Names { .. })
        ));
        assert!(matches!(
            checked(&["a.example"], &["a.example"], true, 9_000),
            Err(Contract::Expired { .. })
        ));
        assert!(matches!(
            checked(&["a.example"], &["a.example"], true, 600),
            Err(Contract::NotYetValid { .. })
        ));
    }
}
