//! Whom a record names.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_core::DomainName;
use ring::digest::{SHA256, digest};

use super::Draft;
use crate::{Thumbprint, Url};

/// An account, as a record names it: by its URL (revision -01), or by a hash (revision -02).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    account_url: String,
    hashing: Option<Hashing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Hashing {
    prefix: AccountHashPrefix,
    thumbprint: Thumbprint,
    earlier: Vec<Thumbprint>,
}

impl Applicant {
    /// An account for records of the revisions -00 and -01.
    #[must_use]
    pub fn v01(account_url: impl Into<String>) -> Self {
        Self { account_url: account_url.into(), hashing: None }
    }

    /// An account for records of the revision -02. The prefix is the directory's
    /// ([`Meta`](crate::Meta::account_hash_prefix)).
    #[must_use]
    pub fn v02(account_url: impl Into<String>, thumbprint: Thumbprint, prefix: AccountHashPrefix) -> Self {
        let hashing = Hashing { prefix, thumbprint, earlier: Vec::new() };
        Self { account_url: account_url.into(), hashing: Some(hashing) }
    }

    /// A key that the account had before. Records that were made with it still count: a CA keeps the
    /// thumbprints of all keys of an account. Records of the revision -01 know no keys.
    #[must_use]
    pub fn earlier_key(mut self, thumbprint: Thumbprint) -> Self {
        if let Some(hashing) = &mut self.hashing {
            hashing.earlier.push(thumbprint);
        }
        self
    }

    /// Which revision it is for.
    #[must_use]
    pub const fn draft(&self) -> Draft {
        match self.hashing {
            None => Draft::V01,
            Some(_) => Draft::V02,
        }
    }

    /// The value of `accounturi` for the record below `name`. That of the revision -02 is good at this name
    /// alone, so nobody can tell from the DNS which names share an account.
    ///
    /// ```
    /// use perennial_acme::{Jwk, challenge::dns_persist01::{AccountHashPrefix, Applicant}};
    /// use perennial_core::DomainName;
    ///
    /// let name: DomainName = "example.com".parse()?;
    /// let plain = Applicant::v01("https://ca.example/acct/123");
    /// assert_eq!(plain.uri(&name), "https://ca.example/acct/123");
    ///
    /// let prefix = AccountHashPrefix::parse("https://ca.example/account-hash/").ok_or("no prefix")?;
    /// let key = Jwk::ed25519([7; 32]).thumbprint();
    /// let hashed = Applicant::v02("https://ca.example/acct/123", key, prefix);
    /// assert!(hashed.uri(&name).starts_with("https://ca.example/account-hash/sha-256/"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn uri(&self, name: &DomainName) -> String {
        self.of(name.base().as_str())
    }

    /// A value of `accounturi` that is good below any name, for zones that are made of one template. With the
    /// revision -02 it gives away that the names share an account.
    #[must_use]
    pub fn shared_uri(&self) -> String {
        self.of("*")
    }

    fn of(&self, domain: &str) -> String {
        match &self.hashing {
            None => self.account_url.clone(),
            Some(hashing) => hashing.uri(domain, &hashing.thumbprint, &self.account_url),
        }
    }

    /// Whether a record below `name` with that `accounturi` means this account.
    #[must_use]
    pub fn is_named(&self, uri: &str, name: &DomainName) -> bool {
        let Some(hashing) = &self.hashing else {
            return uri == self.account_url;
        };
        let base = name.base();
        let mut keys = std::iter::once(&hashing.thumbprint).chain(&hashing.earlier);
        keys.any(|key| {
            [base.as_str(), "*"].iter().any(|domain| uri == hashing.uri(domain, key, &self.account_url))
        })
    }
}

impl Hashing {
    fn uri(&self, domain: &str, thumbprint: &Thumbprint, account_url: &str) -> String {
        // A name has 253 octets at most.
        let mut text = vec![u8::try_from(domain.len()).unwrap_or(u8::MAX)];
        for part in [domain, thumbprint.as_str(), account_url] {
            text.extend_from_slice(part.as_bytes());
        }
        format!("{}sha-256/{}", self.prefix, URL_SAFE_NO_PAD.encode(digest(&SHA256, &text)))
    }
}

/// What the hashed `accounturi`s of a CA begin with: the directory's `accountHashPrefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountHashPrefix(String);

impl AccountHashPrefix {
    /// Reads a prefix; `None` when it does not begin an absolute URL that a record could hold.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fit = text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b';');
        Url::parse(&format!("{text}sha-256/{}", "A".repeat(43))).ok().filter(|_| fit)?;
        Some(Self(text.to_owned()))
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountHashPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Jwk;
    use proptest::prelude::*;

    const ACCOUNT: &str = "https://ca.example/acct/123";

    /// The key of RFC 7638 §3.1, which the draft's samples use.
    fn rfc7638_key() -> Thumbprint {
        let modulus = URL_SAFE_NO_PAD
            .decode(
                "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            )
            .unwrap();
        Jwk::rsa(&modulus, &[1, 0, 1]).thumbprint()
    }

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn hashed(key: Thumbprint) -> Applicant {
        Applicant::v02(ACCOUNT, key, AccountHashPrefix::parse("https://ca.example/account-hash/").unwrap())
    }

    #[test]
    fn draft_dns_persist_02_10_2_the_hash_of_a_name() {
        assert_eq!(rfc7638_key().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        assert_eq!(
            hashed(rfc7638_key()).uri(&name("example.com")),
            "https://ca.example/account-hash/sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"
        );
    }

    #[test]
    fn draft_dns_persist_02_10_2_the_hash_for_any_name() {
        assert_eq!(
            hashed(rfc7638_key()).shared_uri(),
            "https://ca.example/account-hash/sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"
        );
    }

    #[test]
    fn a_hash_counts_at_its_name_or_everywhere_and_after_a_change_of_keys() {
        let old = hashed(rfc7638_key());
        let new = hashed(Jwk::ed25519([7; 32]).thumbprint());
        let uri = old.uri(&name("*.example.com"));
        assert!(old.is_named(&uri, &name("example.com")) && old.is_named(&old.shared_uri(), &name("x.org")));
        assert!(!old.is_named(&uri, &name("www.example.com")));
        assert!(!old.is_named(ACCOUNT, &name("example.com")), "the older form is refused");
        assert!(!new.is_named(&uri, &name("example.com")));
        assert!(new.earlier_key(rfc7638_key()).is_named(&uri, &name("example.com")));
    }

    #[test]
    fn a_plain_url_is_compared_as_text() {
        let plain = Applicant::v01(ACCOUNT);
        assert!(plain.is_named(ACCOUNT, &name("example.com")));
        assert!(!plain.is_named("https://CA.example/acct/123", &name("example.com")));
        assert_eq!((plain.draft(), hashed(rfc7638_key()).draft()), (Draft::V01, Draft::V02));
        assert_eq!(plain.shared_uri(), plain.uri(&name("example.com")));
    }

    #[test]
    fn a_prefix_that_a_record_cannot_hold_is_none() {
        for text in
            ["", "ca.example/", "https://ca.example/a;b/", "https://ca.example/a b/", "https://ü.example/"]
        {
            assert_eq!(AccountHashPrefix::parse(text), None, "{text}");
        }
        assert!(AccountHashPrefix::parse("https://ca.example/h?a=").is_some());
    }

    proptest! {
        #[test]
        fn no_prefix_panics(text in ".{0,60}") {
            let _ = AccountHashPrefix::parse(&text);
        }
    }
}
