//! Whether an issuer returned what was asked for: pure, and asked of every issuer alike.

use std::{collections::BTreeSet, time::Duration};

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
    if facts.is_ca && !request.is_ca {
        return Err(Contract::IsCa);
    }
    if request.is_ca && !facts.is_ca {
        return Err(Contract::IsNoCa);
    }
    if facts.public_key_fingerprint != key_fingerprint {
        return Err(Contract::Key);
    }
    let asked: BTreeSet<DomainName> = request.names.iter().cloned().collect();
    let (mut missing, mut unexpected) = (Vec::new(), facts.other_names.clone());
    compare(&asked, &facts.names, &mut missing, &mut unexpected);
    compare(&request.addresses, &facts.addresses, &mut missing, &mut unexpected);
    compare(&request.uris, &facts.uris, &mut missing, &mut unexpected);
    compare(&request.emails, &facts.emails, &mut missing, &mut unexpected);
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

fn compare<N: Ord + ToString>(
    asked: &BTreeSet<N>,
    issued: &BTreeSet<N>,
    missing: &mut Vec<String>,
    unexpected: &mut Vec<String>,
) {
    missing.extend(asked.difference(issued).map(N::to_string));
    unexpected.extend(issued.difference(asked).map(N::to_string));
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
        let mut wanted = request(&key, &["a.example"]);
        wanted.is_ca = true;
        let checked =
            |facts: &Facts| check(facts, &wanted, &Facts::fingerprint_of(&key), Timestamp::from_unix(5_000));
        assert_eq!(checked(&facts), Ok(()));
        assert_eq!(checked(&Facts { is_ca: false, ..facts }), Err(Contract::IsNoCa));
    }

    #[test]
    fn each_breach_is_told_apart() {
        assert_eq!(checked(&["a.example"], &["a.example"], false, 5_000), Err(Contract::Key));
        assert!(matches!(checked(&["a.example"], &["b.example"], true, 5_000), Err(Contract::Names { .. })));
        assert_eq!(
            checked(&["a.example"], &["a.example", "b.example"], true, 5_000),
            Err(Contract::Names { missing: vec!["b.example".to_owned()], unexpected: Vec::new() })
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
