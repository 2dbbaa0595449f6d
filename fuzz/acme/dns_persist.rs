//! The TXT record of dns-persist-01 (draft-ietf-acme-dns-persist), as anybody may have published it.

use perennial_acme::challenge::dns_persist01::Record;

use super::assert_quiet;

/// A record that can be read can be written, and says the same then.
pub fn acme_dns_persist(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Record::parse(text) {
        Ok(record) => {
            assert_eq!(Record::parse(&record.to_string()), Ok(record.clone()));
            assert_eq!(record.character_strings().concat(), record.to_string());
            assert!(record.character_strings().iter().all(|string| string.len() <= 255));
            assert!(!record.account_uri().is_empty());
        }
        Err(fault) => assert_quiet(&fault.to_string()),
    }
}
