//! How far an attempt came, for those who ask afterwards: folded from the stages that the issuer told.

use perennial_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Identifier, Stage, facts::printable};

/// The order that an attempt made, as far as the issuer has told of it.
///
/// It is written down with whatever is written next, and so survives a crash up to there. Nothing is decided by it:
/// an issuer goes on by its own [`Progress`](crate::Progress), and one that tells of no order has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OrderRecord {
    /// Its URL.
    pub url: String,
    /// How far it is.
    pub state: OrderState,
    /// When the CA took it, or was first seen to have it.
    pub created_at: Timestamp,
    /// When every name was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<Timestamp>,
    /// When the signing request was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalized_at: Option<Timestamp>,
    /// When the chain was downloaded and verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obtained_at: Option<Timestamp>,
    /// Why it came to nothing, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the signing request goes, if the issuer has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalize_url: Option<String>,
    /// Where the certificate is, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_url: Option<String>,
    /// What the CA wanted to know to be proven, at most a hundred of them, and no more than fit into 64 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorizations: Vec<AuthorizationRecord>,
    /// The names that the CA wanted proven, at most a hundred of them; those that it trusts from an earlier proof
    /// are not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenges: Vec<ChallengeRecord>,
}

/// The states of an order (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // Those of the RFC.
pub enum OrderState {
    // In the order in which they come.
    /// Names are to be proven.
    Pending,
    /// All names are proven.
    Ready,
    /// The CA makes the certificate.
    Processing,
    /// The certificate was issued.
    Valid,
    /// It came to nothing.
    Invalid,
}

/// What the CA wanted to know to be proven (RFC 8555 §7.1.4), and the ways that it offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuthorizationRecord {
    /// The name or address; of a wildcard, the part after the `*.`.
    pub identifier: String,
    /// Whether it is for the wildcard of the name.
    #[serde(default)]
    pub wildcard: bool,
    /// Its URL.
    pub url: String,
    /// Its state at first sight, as on the wire: `pending`, or `valid` where the CA trusts an earlier proof.
    pub initial_state: String,
    /// The ways to prove it that the CA offered, at most eight of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<OfferedChallenge>,
}

/// A way to prove a name that a CA offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)] // Which, and where.
pub struct OfferedChallenge {
    /// The type of challenge, as on the wire: `dns-01`.
    pub kind: String,
    /// The challenge's URL.
    pub url: String,
}

/// A name that the CA wanted proven, and the way that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChallengeRecord {
    /// The name; of a wildcard, with its `*.`.
    pub name: Identifier,
    /// The type of challenge, as on the wire: `dns-01`.
    pub kind: String,
    /// Its URL.
    pub url: String,
    /// How far it is.
    pub state: ChallengeState,
    /// Where the proof was put: a TXT record's name, a file's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Whether the proof is there now, as far as we know.
    pub presented: bool,
    /// When the proof was put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presented_at: Option<Timestamp>,
    /// When the CA was satisfied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// Why it failed, or why its proof could not be removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The states of a challenge (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // Those of the RFC.
pub enum ChallengeState {
    // In the order in which they come.
    /// The CA waits to be told that it may look.
    Pending,
    /// The CA looks.
    Processing,
    /// The CA has seen the proof.
    Valid,
    /// The CA has not seen it.
    Invalid,
}

impl OrderRecord {
    /// Takes what an issuer told into account; returns whether there is something to note.
    pub(crate) fn hear(order: &mut Option<Self>, stage: &Stage, now: Timestamp) -> bool {
        match (stage, order.as_mut()) {
            // An issuer that goes on after a crash tells of its order anew.
            (Stage::OrderCreated { url }, Some(known)) if known.url == shown(url) => false,
            (Stage::OrderCreated { url }, _) => {
                *order = Some(Self::new(url, now));
                true
            }
            (_, None) => false,
            (stage, Some(order)) => {
                order.note(stage, now);
                true
            }
        }
    }

    fn new(url: &str, created_at: Timestamp) -> Self {
        Self {
            url: shown(url),
            state: OrderState::Pending,
            created_at,
            validated_at: None,
            finalized_at: None,
            obtained_at: None,
            reason: None,
            finalize_url: None,
            certificate_url: None,
            authorizations: Vec::new(),
            challenges: Vec::new(),
        }
    }

    fn note(&mut self, stage: &Stage, now: Timestamp) {
        match stage {
            Stage::AuthorizationFound { identifier, wildcard, url, state, offered } => {
                self.find(AuthorizationRecord {
                    identifier: shown(identifier),
                    wildcard: *wildcard,
                    url: shown(url),
                    initial_state: shown(state),
                    offered: offered.iter().take(MOST_OFFERED).map(OfferedChallenge::shown).collect(),
                });
            }
            Stage::ChallengeChosen { name, kind, url } => self.choose(name, kind, url),
            Stage::ChallengePresented { name, at, .. } => {
                self.of_name(name, |challenge| {
                    challenge.at = Some(shown(at));
                    challenge.presented = true;
                    challenge.presented_at.get_or_insert(now);
                });
            }
            Stage::ChallengeAnswered { name, .. } => {
                self.of_name(name, |challenge| challenge.state = ChallengeState::Processing);
            }
            Stage::DomainVerified { name, .. } => self.of_name(name, |challenge| {
                challenge.state = ChallengeState::Valid;
                challenge.verified_at = Some(now);
            }),
            Stage::ChallengeFailed { name, reason } => self.of_name(name, |challenge| {
                challenge.state = ChallengeState::Invalid;
                challenge.reason = Some(shown(reason));
            }),
            Stage::CleanedUp { at } => self.at_place(at, |challenge| challenge.presented = false),
            Stage::CleanUpFailed { at, reason } => {
                self.at_place(at, |challenge| challenge.reason = Some(shown(reason)));
            }
            Stage::Validated => {
                self.state = OrderState::Ready;
                self.validated_at = Some(now);
            }
            Stage::Finalized => {
                self.state = OrderState::Processing;
                self.finalized_at = Some(now);
            }
            Stage::Downloaded => {
                self.state = OrderState::Valid;
                self.obtained_at = Some(now);
            }
            Stage::OrderDescribed { finalize, certificate } => {
                self.finalize_url = Some(shown(finalize));
                self.certificate_url = certificate.as_deref().map(shown);
            }
            Stage::OrderFailed { reason } => {
                self.state = OrderState::Invalid;
                self.reason = Some(shown(reason));
            }
            Stage::AccountReady { .. }
            | Stage::OrderCreated { .. }
            | Stage::PresentedAgain { .. }
            | Stage::Propagated { .. }
            | Stage::RateLimited { .. }
            | Stage::Signed { .. }
            | Stage::Warned { .. } => {}
        }
    }

    /// An authorization keeps the state of its first sight.
    fn find(&mut self, found: AuthorizationRecord) {
        let held: usize = self.authorizations.iter().map(AuthorizationRecord::size).sum();
        let has_room = self.authorizations.len() < MOST_CHALLENGES && held + found.size() <= MOST_BYTES;
        if has_room && self.authorizations.iter().all(|known| known.url != found.url) {
            self.authorizations.push(found);
        }
    }

    fn choose(&mut self, name: &Identifier, kind: &str, url: &str) {
        let chosen = ChallengeRecord {
            name: name.clone(),
            kind: shown(kind),
            url: shown(url),
            state: ChallengeState::Pending,
            at: None,
            presented: false,
            presented_at: None,
            verified_at: None,
            reason: None,
        };
        if let Some(known) = self.challenges.iter_mut().find(|challenge| challenge.name == *name) {
            if known.url != chosen.url {
                *known = chosen;
            }
        } else if self.challenges.len() < MOST_CHALLENGES {
            self.challenges.push(chosen);
        }
    }

    fn of_name(&mut self, name: &Identifier, change: impl FnOnce(&mut ChallengeRecord)) {
        if let Some(challenge) = self.challenges.iter_mut().find(|challenge| challenge.name == *name) {
            change(challenge);
        }
    }

    fn at_place(&mut self, at: &str, change: impl FnMut(&mut ChallengeRecord)) {
        let at = shown(at);
        self.challenges.iter_mut().filter(|challenge| challenge.at.as_ref() == Some(&at)).for_each(change);
    }
}

impl AuthorizationRecord {
    /// The bytes of its texts.
    fn size(&self) -> usize {
        let offered = self.offered.iter().map(|offer| offer.kind.len() + offer.url.len());
        offered.sum::<usize>() + self.identifier.len() + self.url.len() + self.initial_state.len()
    }
}

impl OfferedChallenge {
    fn shown(&self) -> Self {
        Self { kind: shown(&self.kind), url: shown(&self.url) }
    }
}

/// What an issuer says is the CA's text in part: it ends up on terminals, and a record is small.
fn shown(text: &str) -> String {
    printable(text)
}

/// As many names as Let's Encrypt takes; a record with more challenges would outgrow all else in it.
const MOST_CHALLENGES: usize = 100;
/// Three types are in use; a few more will come.
const MOST_OFFERED: usize = 8;
/// A hundred names at Let's Encrypt take forty thousand.
const MOST_BYTES: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn name(text: &str) -> Identifier {
        text.parse().unwrap()
    }

    fn told(stages: &[Stage]) -> Option<OrderRecord> {
        let mut order = None;
        for (stage, second) in stages.iter().zip(1..) {
            OrderRecord::hear(&mut order, stage, at(second));
        }
        order
    }

    fn created(url: &str) -> Stage {
        Stage::OrderCreated { url: url.to_owned() }
    }

    fn chosen(of: &str) -> Stage {
        Stage::ChallengeChosen { name: name(of), kind: "dns-01".to_owned(), url: format!("https://ca/{of}") }
    }

    fn presented(of: &str, at: &str) -> Stage {
        Stage::ChallengePresented { name: name(of), kind: "dns-01".to_owned(), at: at.to_owned() }
    }

    fn found(of: &str, offers: usize) -> Stage {
        let offered = |number| OfferedChallenge {
            kind: format!("dns-{number:02}"),
            url: format!("https://ca/{of}/{number}"),
        };
        Stage::AuthorizationFound {
            identifier: of.to_owned(),
            wildcard: true,
            url: format!("https://ca/authz/{of}"),
            state: "pending".to_owned(),
            offered: (1..=offers).map(offered).collect(),
        }
    }

    #[test]
    fn an_order_has_its_addresses_and_its_authorizations_with_all_that_was_offered() {
        let described = |certificate: Option<&str>| Stage::OrderDescribed {
            finalize: "https://ca/finalize/1".to_owned(),
            certificate: certificate.map(str::to_owned),
        };
        let valid = match found("a.example", 2) {
            Stage::AuthorizationFound { identifier, wildcard, url, offered, .. } => {
                Stage::AuthorizationFound { identifier, wildcard, url, offered, state: "valid".to_owned() }
            }
            other => other,
        };
        let order = told(&[
            created("https://ca/order/1"),
            described(None),
            found("a.example", 2),
            found("192.0.2.1", 1),
            valid, // Told again after a crash.
            described(Some("https://ca/cert/1")),
        ]);
        let order = order.unwrap();
        assert_eq!(order.finalize_url.as_deref(), Some("https://ca/finalize/1"));
        assert_eq!(order.certificate_url.as_deref(), Some("https://ca/cert/1"));
        let [name, address] = order.authorizations.as_slice() else { panic!("{order:?}") };
        assert_eq!((name.initial_state.as_str(), name.wildcard, name.offered.len()), ("pending", true, 2));
        assert_eq!(name.offered[1].url, "https://ca/a.example/2");
        assert_eq!(address.identifier, "192.0.2.1");
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<OrderRecord>(&text).unwrap(), order);
        let old = r#"{"url":"https://ca/1","state":"pending","created_at":"2027-01-15T08:00:00Z"}"#;
        assert_eq!(serde_json::from_str::<OrderRecord>(old).unwrap().authorizations, []);
    }

    #[test]
    fn an_address_that_is_proven_has_a_challenge_like_a_name() {
        let order = told(&[created("https://ca/order/1"), chosen("2001:db8::1"), chosen("a.example")]);
        let names: Vec<_> =
            order.unwrap().challenges.iter().map(|challenge| challenge.name.to_string()).collect();
        assert_eq!(names, ["2001:db8::1", "a.example"]);
    }

    #[test]
    fn an_order_is_followed_from_its_creation_to_its_certificate() {
        let kind = || "dns-01".to_owned();
        let order = told(&[
            created("https://ca/order/1"),
            chosen("*.a.example"),
            chosen("a.example"),
            presented("*.a.example", "_acme-challenge.a.example"),
            presented("a.example", "_acme-challenge.a.example"),
            Stage::ChallengeAnswered { name: name("a.example"), kind: kind() },
            Stage::DomainVerified { name: name("*.a.example"), kind: kind() },
            Stage::DomainVerified { name: name("a.example"), kind: kind() },
            Stage::Validated,
            Stage::CleanedUp { at: "_acme-challenge.a.example".to_owned() },
            Stage::Finalized,
            Stage::Downloaded,
        ]);
        let order = order.unwrap();
        assert_eq!((order.state, order.created_at), (OrderState::Valid, at(1)));
        assert_eq!(order.validated_at, Some(at(9)));
        assert_eq!((order.finalized_at, order.obtained_at), (Some(at(11)), Some(at(12))));
        let [wildcard, apex] = order.challenges.as_slice() else { panic!("{order:?}") };
        assert_eq!((wildcard.presented_at, wildcard.verified_at), (Some(at(4)), Some(at(7))));
        assert_eq!(
            (apex.state, apex.presented, apex.kind.as_str()),
            (ChallengeState::Valid, false, "dns-01")
        );
    }

    #[test]
    fn a_failure_names_its_challenge_and_a_new_order_replaces_the_old_one() {
        let mut stages = vec![
            created("https://ca/order/1"),
            chosen("a.example"),
            presented("a.example", "_acme-challenge.a.example"),
            Stage::ChallengeFailed { name: name("a.example"), reason: "no TXT\u{1b}[2J".to_owned() },
            Stage::OrderFailed { reason: "invalid".to_owned() },
            created("https://ca/order/1"), // Told again after a crash: it is the same one.
        ];
        let order = told(&stages).unwrap();
        assert_eq!((order.state, order.reason.as_deref()), (OrderState::Invalid, Some("invalid")));
        assert_eq!(order.challenges[0].reason.as_deref(), Some("no TXT\u{fffd}[2J"));
        stages.push(created("https://ca/order/2"));
        let order = told(&stages).unwrap();
        assert_eq!((order.state, order.challenges.len(), order.created_at), (OrderState::Pending, 0, at(7)));
    }

    #[test]
    fn without_an_order_there_is_nothing_to_tell() {
        assert_eq!(told(&[chosen("a.example"), Stage::Downloaded]), None);
    }

    #[test]
    fn a_record_stays_small_whatever_an_issuer_tells() {
        let mut stages = vec![created(&"u".repeat(10_000))];
        stages.extend((0..300).map(|number| chosen(&format!("h{number}.example"))));
        stages.push(Stage::OrderFailed { reason: "r".repeat(10_000) });
        let mut described = stages.clone();
        described.extend((0..300).map(|number| found(&format!("h{number}.{}", "x".repeat(10_000)), 50)));
        let text = serde_json::to_string(&told(&described).unwrap()).unwrap();
        assert!(text.len() < 110_000, "{} bytes", text.len());
        let order = told(&stages).unwrap();
        assert_eq!((order.challenges.len(), order.url.len()), (100, 300));
        let text = serde_json::to_string(&order).unwrap();
        assert!(text.len() < 20_000, "{} bytes", text.len());
        assert_eq!(serde_json::from_str::<OrderRecord>(&text).unwrap(), order);
    }

    fn stages() -> impl Strategy<Value = Stage> {
        let names = prop_oneof![Just("a.example"), Just("*.a.example"), Just("192.0.2.1")];
        (names, "[ -~\u{80}-\u{ff}]{0,8}", 0..12_u8).prop_map(|(of, text, which)| match which {
            0 => created(&text),
            1 => chosen(of),
            2 => presented(of, &text),
            3 => Stage::ChallengeAnswered { name: name(of), kind: text },
            4 => Stage::DomainVerified { name: name(of), kind: text },
            5 => Stage::ChallengeFailed { name: name(of), reason: text },
            6 => Stage::CleanedUp { at: text },
            7 => Stage::Validated,
            8 => Stage::Downloaded,
            9 => found(&text, text.len()),
            10 => Stage::OrderDescribed { finalize: text.clone(), certificate: Some(text) },
            _ => Stage::OrderFailed { reason: text },
        })
    }

    proptest! {
        #[test]
        fn no_story_panics_and_each_survives_its_own_json(stages in proptest::collection::vec(stages(), 0..30)) {
            if let Some(order) = told(&stages) {
                let text = serde_json::to_string(&order).unwrap();
                prop_assert_eq!(serde_json::from_str::<OrderRecord>(&text).unwrap(), order);
            }
        }
    }
}
