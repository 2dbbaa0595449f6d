//! What a challenge says.

use perennial_core::DomainName;

use super::Draft;
use crate::{ChallengeState, Meta, Misbehaved, json::Json, text::printable};

/// What a dns-persist-01 challenge says of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// In which revision's words.
    pub draft: Draft,
    /// The names of the CA, one to ten. The record has to have one of them.
    pub issuers: Vec<DomainName>,
    /// Revision -01: the account's URL, as the server writes it.
    pub account_uri: Option<String>,
}

impl Offer {
    /// Reads a challenge as one of that revision.
    ///
    /// # Errors
    /// [`Misbehaved::Field`] when it has no list of one to ten normalised domain names under that revision's
    /// word: `issuer-domain-names` up to -01, `issuerDomainNames` since -02.
    pub fn read(challenge: &ChallengeState, draft: Draft) -> Result<Self, Misbehaved> {
        let field = match draft {
            Draft::V01 => "issuer-domain-names",
            Draft::V02 => "issuerDomainNames",
        };
        let expected = "one to ten domain names";
        let missing = Misbehaved::Field { resource: "challenge", field, expected };
        let issuers =
            challenge.read_fields(|fields| issuer_domain_names(fields.value(field)?)).ok_or(missing)?;
        let account_uri = match draft {
            Draft::V01 => challenge.read_fields(|fields| Some(printable(fields.text("accounturi")?, 2048))),
            Draft::V02 => None,
        };
        Ok(Self { draft, issuers, account_uri })
    }

    /// That challenge and directory agree, as the revision -02 wants: the challenge has all names of the
    /// directory's `issuerDomainNames`, and none that is not among its `caaIdentities`, where it has these.
    ///
    /// # Errors
    /// [`Misbehaved::IssuerDomainName`] with the first name that is in one place only.
    pub fn check(&self, meta: &Meta) -> Result<(), Misbehaved> {
        let has = |name: &str| self.issuers.iter().any(|issuer| issuer.as_str() == name);
        let missing = meta.issuer_domain_names.iter().find(|name| !has(name.as_str()));
        let known = |issuer: &DomainName| {
            let mut identities = meta.caa_identities.iter();
            identities.any(|identity| DomainName::parse(identity).is_ok_and(|identity| identity == *issuer))
        };
        let strange = self.issuers.iter().find(|issuer| !meta.caa_identities.is_empty() && !known(issuer));
        match missing.or(strange) {
            Some(name) => Err(Misbehaved::IssuerDomainName { name: name.to_string() }),
            None => Ok(()),
        }
    }
}

/// One to ten names, each as it would be compared; `None` for anything else.
pub(crate) fn issuer_domain_names(value: &Json<'_>) -> Option<Vec<DomainName>> {
    let list = value.as_list().filter(|list| (1..=MAX_ISSUERS).contains(&list.len()))?;
    list.iter()
        .map(|name| {
            let text = name.as_text()?;
            let name = DomainName::parse(text).ok()?;
            (name.as_str() == text && name.is_host_name() && !name.is_wildcard()).then_some(name)
        })
        .collect()
}

/// The draft's own limit; clients have to refuse more.
const MAX_ISSUERS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn challenge(more: &Value) -> ChallengeState {
        let mut text = json!({
            "type": "dns-persist-01",
            "url": "https://ca.example/acme/authz/1234/0",
            "status": "pending",
        });
        text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ChallengeState::parse(text.to_string().as_bytes()).unwrap()
    }

    fn names(list: &Value) -> Option<Vec<DomainName>> {
        issuer_domain_names(&serde_json::from_str(&list.to_string()).unwrap())
    }

    fn texts(offer: &Offer) -> Vec<&str> {
        offer.issuers.iter().map(DomainName::as_str).collect()
    }

    #[test]
    fn draft_dns_persist_01_the_challenge() {
        let challenge = challenge(&json!({
            "issuer-domain-names": ["authority.example", "ca.example.net"],
            "accounturi": "https://ca.example/acct/123",
        }));
        let offer = Offer::read(&challenge, Draft::V01).unwrap();
        assert_eq!(texts(&offer), ["authority.example", "ca.example.net"]);
        assert_eq!(offer.account_uri.as_deref(), Some("https://ca.example/acct/123"));
        let field = "issuerDomainNames";
        let expected = "one to ten domain names";
        let missing = Misbehaved::Field { resource: "challenge", field, expected };
        assert_eq!(Offer::read(&challenge, Draft::V02), Err(missing));
    }

    #[test]
    fn draft_dns_persist_02_the_challenge() {
        let challenge = challenge(&json!({ "issuerDomainNames": ["authority.example"] }));
        let offer = Offer::read(&challenge, Draft::V02).unwrap();
        assert_eq!((texts(&offer), &offer.account_uri), (vec!["authority.example"], &None));
        assert!(Offer::read(&challenge, Draft::V01).is_err());
    }

    #[test]
    fn none_more_than_ten_or_names_that_are_not_normalised_make_the_challenge_malformed() {
        let many: Vec<String> = (0..11).map(|index| format!("ca{index}.example")).collect();
        for names in [
            json!([]),
            json!(many),
            json!(["CA.example"]),
            json!(["ca.example."]),
            json!(["ca.example", 7]),
            json!(["bücher.example"]),
            json!(["*.example"]),
            json!(["_ca.example"]),
            json!("ca.example"),
            json!(null),
        ] {
            let challenge = challenge(&json!({ "issuerDomainNames": names }));
            assert!(Offer::read(&challenge, Draft::V02).is_err(), "{names}");
        }
        assert_eq!(names(&json!(many.get(..10))).unwrap().len(), 10);
    }

    #[test]
    fn challenge_and_directory_have_to_agree() {
        let challenge = challenge(&json!({ "issuerDomainNames": ["a.example", "b.example"] }));
        let offer = Offer::read(&challenge, Draft::V02).unwrap();
        let check = |issuers: &[&str], identities: &[&str]| {
            let issuer_domain_names = issuers.iter().map(|name| name.parse().unwrap()).collect();
            let caa_identities = identities.iter().map(ToString::to_string).collect();
            offer.check(&Meta { issuer_domain_names, caa_identities, ..Meta::default() })
        };
        let fault = |name: &str| Err(Misbehaved::IssuerDomainName { name: name.to_owned() });
        assert_eq!(check(&[], &[]), Ok(()));
        assert_eq!(check(&["a.example"], &["A.example", "b.example", "c.example"]), Ok(()));
        assert_eq!(check(&["c.example"], &[]), fault("c.example"));
        assert_eq!(check(&["a.example"], &["a.example"]), fault("b.example"));
    }

    proptest! {
        #[test]
        fn no_list_panics(list in proptest::collection::vec(".{0,20}", 0..12)) {
            let _ = names(&json!(list));
        }
    }
}
