//! dns-account-01 (draft-ietf-acme-dns-account-label-02): a TXT record at a name of the account's own.
//!
//! The record holds what a dns-01 record does, and its name depends on the account's URL. So several
//! accounts, each with its own delegation of that name, can prove one domain without sharing
//! `_acme-challenge`. The URL outlives the account's key, so the name stays when the key changes.

use data_encoding::BASE32_NOPAD;
use perennial_core::{DomainName, DomainNameError};
use ring::digest::{SHA256, digest};

use super::{KeyAuthorization, dns01};

/// What the TXT record has to hold: the same as [`dns01::value`].
#[must_use]
pub fn value(key_authorization: &KeyAuthorization) -> String {
    dns01::value(key_authorization)
}

/// The account's label: an underscore and the first ten octets of the SHA-256 of the account's URL, in base32
/// and lower case.
///
/// ```
/// use perennial_acme::challenge::dns_account01;
///
/// let label = dns_account01::label("https://example.com/acme/acct/ExampleAccount");
/// assert_eq!(label, "_ujmmovf2vn55tgye");
/// ```
#[must_use]
pub fn label(account_url: &str) -> String {
    let hash = digest(&SHA256, account_url.as_bytes());
    let encoded = BASE32_NOPAD.encode(hash.as_ref().get(..LABEL_OCTETS).unwrap_or_default());
    format!("_{}", encoded.to_ascii_lowercase())
}

/// 80 bits: collisions between an administrator's accounts are out of reach, and base32 needs no padding.
const LABEL_OCTETS: usize = 10;

/// Where the TXT record has to be: the account's label, then `_acme-challenge`, then the name. A wildcard's
/// record is at the name itself.
///
/// # Errors
/// [`DomainNameError`] when the name is too long to have a record below it.
pub fn record_name(account_url: &str, name: &DomainName) -> Result<DomainName, DomainNameError> {
    dns01::record_name(name)?.child(&label(account_url))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://example.com/acme/acct/ExampleAccount";

    #[test]
    fn draft_dns_account_label_02_the_name_of_the_record() {
        let name: DomainName = "www.example.org".parse().unwrap();
        assert_eq!(
            record_name(ACCOUNT, &name).unwrap().as_str(),
            "_ujmmovf2vn55tgye._acme-challenge.www.example.org"
        );
    }

    #[test]
    fn a_wildcard_shares_the_record_and_another_account_does_not() {
        let name: DomainName = "example.org".parse().unwrap();
        let wildcard: DomainName = "*.example.org".parse().unwrap();
        assert_eq!(record_name(ACCOUNT, &wildcard), record_name(ACCOUNT, &name));
        assert_ne!(record_name("https://example.com/acme/acct/2", &name), record_name(ACCOUNT, &name));
    }

    #[test]
    fn a_name_without_room_for_the_labels_is_an_error_and_no_panic() {
        let long =
            format!("{}.example", ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(50)].join("."));
        assert!(record_name(ACCOUNT, &long.parse().unwrap()).is_err());
    }
}
