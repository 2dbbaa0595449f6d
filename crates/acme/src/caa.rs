//! The CAA check (RFC 8659, RFC 8657): whether a domain's owner lets this CA issue, asked before the CA is.
//!
//! This crate knows no DNS. It knows what to ask, and when: [`CaaCheck`] is for others to implement.

use std::fmt;

use async_trait::async_trait;
use perennial_core::DomainName;

use crate::{ChallengeKind, Identifier, Meta, challenge::onion_csr01::is_onion, text::printable};

/// Says whether CAA records let a CA issue.
///
/// The contract:
///
/// - It looks for the relevant record set of the name: at the name itself, then at each of its ancestors up
///   to the top-level domain, as RFC 8659 §3 has it, and evaluates it as the CA would. For a wildcard,
///   `issuewild` comes before `issue` (§4.3). `accounturi` and `validationmethods` count (RFC 8657).
/// - It MUST answer [`Forbidden`](CaaAnswer::Forbidden) only when it has seen the records that forbid. A
///   look-up that failed, timed out or contradicts itself is [`Inconclusive`](CaaAnswer::Inconclusive): the
///   CA decides, it has better connections.
/// - No records mean [`Allowed`](CaaAnswer::Allowed). A critical record with a tag that it does not know is
///   inconclusive: the CA may know it (§4.1).
/// - It sets itself a time limit of a few seconds for each question: an order waits for it.
/// - It may be called at the same time for several names, and its future may be dropped at any time.
#[async_trait]
pub trait CaaCheck: Send + Sync {
    /// Looks at one name.
    async fn check(&self, question: &CaaQuestion) -> CaaAnswer;
}

/// What is asked about one name of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaaQuestion {
    /// The name, without the `*.` of a wildcard.
    pub name: DomainName,
    /// Whether the certificate is for `*.` and the name.
    pub wildcard: bool,
    /// By which names a record may allow the CA, from its directory. Empty when the CA does not say: then
    /// only records that allow nobody forbid it.
    pub identities: Vec<String>,
    /// The URL of the account, which `accounturi` may name (RFC 8657 §3).
    pub account_url: String,
    /// The types of challenges that may be solved, which `validationmethods` may name (RFC 8657 §4). Empty
    /// when that is not decided yet: then `validationmethods` forbids nothing.
    pub methods: Vec<ChallengeKind>,
}

/// Whether the CA may issue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaaAnswer {
    /// It may.
    Allowed,
    /// It may not.
    Forbidden(CaaRecord),
    /// Nobody knows. The order is sent.
    Inconclusive {
        /// What went wrong, for the log.
        reason: String,
    },
}

/// The record, or one of the records, that forbids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaaRecord {
    /// Where it is: the name itself, or one of its ancestors.
    pub domain: DomainName,
    /// Its data as a zone file has it, such as `0 issue "ca.example"`, at most 300 characters.
    pub data: String,
}

impl CaaRecord {
    /// A record of that data at that name. Control characters are dropped: the data come from the DNS.
    #[must_use]
    pub fn new(domain: DomainName, data: &str) -> Self {
        Self { domain, data: printable(data, 300) }
    }
}

/// What is forbidden to this CA, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct CaaForbids {
    /// Each name that is forbidden, with the record that does it.
    pub names: Vec<(Identifier, CaaRecord)>,
    /// By which names records may allow the CA.
    pub identities: Vec<String>,
    /// The account, for records that allow accounts only.
    pub account_url: String,
}

/// Names, records, and what to do.
impl fmt::Display for CaaForbids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CAA records forbid this CA to issue")?;
        for (index, (name, record)) in self.names.iter().enumerate() {
            let mark = if index == 0 { ":" } else { ";" };
            write!(f, "{mark} for {name}, {} has {}", record.domain, record.data)?;
        }
        match self.identities.first() {
            Some(identity) => write!(
                f,
                "; add an issue record for {identity:?} there that allows account {} and the challenge, or \
                 use another CA",
                self.account_url
            ),
            None => f.write_str("; allow the CA there, or use another one"),
        }
    }
}

/// The questions of an order: one for each DNS name. Addresses have no CAA records, and those of onion
/// services are not in the DNS (RFC 9799 §6).
pub(crate) fn questions(
    identifiers: &[Identifier],
    meta: &Meta,
    account_url: &str,
    methods: &[ChallengeKind],
) -> Vec<CaaQuestion> {
    let names = identifiers.iter().filter_map(Identifier::dns);
    let names = names.filter(|name| !is_onion(name));
    names
        .map(|name| CaaQuestion {
            identities: meta.caa_identities.clone(),
            account_url: account_url.to_owned(),
            methods: methods.to_vec(),
            ..CaaQuestion::new(name)
        })
        .collect()
}

impl CaaQuestion {
    /// A question about a name or a wildcard, of a CA without identities and an account without a URL. For
    /// the tests of a [`CaaCheck`].
    #[must_use]
    pub fn new(name: &DomainName) -> Self {
        Self {
            name: name.base(),
            wildcard: name.is_wildcard(),
            identities: Vec::new(),
            account_url: String::new(),
            methods: Vec::new(),
        }
    }

    /// The name as the order has it.
    pub(crate) fn identifier(&self) -> Identifier {
        let name = if self.wildcard { self.name.child("*").ok() } else { None };
        Identifier::Dns(name.unwrap_or_else(|| self.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    #[test]
    fn each_dns_name_is_a_question_and_addresses_and_onion_services_are_none() {
        let onion = format!("www.{}d.onion", "a".repeat(55));
        let identifiers = [
            Identifier::Dns(name("*.example.org")),
            Identifier::Ip("192.0.2.7".parse().unwrap()),
            Identifier::Dns(name(&onion)),
            Identifier::Dns(name("onion.example.org")),
        ];
        let meta = Meta { caa_identities: vec!["ca.example".to_owned()], ..Meta::default() };
        let questions = questions(&identifiers, &meta, "https://ca.example/acct/1", &[ChallengeKind::Dns01]);
        assert_eq!(questions.len(), 2);
        let first = &questions[0];
        assert_eq!((&first.name, first.wildcard), (&name("example.org"), true));
        assert_eq!(first.identifier(), identifiers[0]);
        assert_eq!(first.identities, ["ca.example"]);
        assert_eq!(first.methods, [ChallengeKind::Dns01]);
        assert_eq!(questions[1].identifier(), identifiers[3]);
    }

    #[test]
    fn the_error_names_the_record_its_place_and_the_remedy() {
        let mut forbids = CaaForbids {
            names: vec![(
                Identifier::Dns(name("*.www.example.org")),
                CaaRecord::new(name("example.org"), "0 issue \"other.example\"\u{1b}[2J"),
            )],
            identities: vec!["ca.example".to_owned()],
            account_url: "https://ca.example/acct/1".to_owned(),
        };
        assert_eq!(
            forbids.to_string(),
            "CAA records forbid this CA to issue: for *.www.example.org, example.org has 0 issue \
             \"other.example\"[2J; add an issue record for \"ca.example\" there that allows account \
             https://ca.example/acct/1 and the challenge, or use another CA"
        );
        forbids.identities.clear();
        assert!(forbids.to_string().ends_with("; allow the CA there, or use another one"));
    }
}
