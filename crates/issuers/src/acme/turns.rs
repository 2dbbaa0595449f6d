//! Whose turn it is to prove a name, after somebody has failed for a reason that stays.

use std::collections::{BTreeMap, BTreeSet};

use perennial_acme::{ChallengeKind, Error as AcmeError, OrderInvalid, Problem, ProblemType, flow::Offer};
use perennial_core::DomainName;

use super::refusal::refusals;
use crate::{Error, Proof, solver::PassedOver};

/// Who had a turn in this issuance.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// By which kind each name was last to be proven.
    chosen: BTreeMap<DomainName, String>,
    /// What the CA has offered for each name: of what it found false it shows no other way any more.
    offered: BTreeMap<DomainName, Vec<ChallengeKind>>,
    passed_over: PassedOver,
    /// How many orders have come to nothing.
    spent: usize,
}

/// How the next one gets its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// With another order: the CA has looked, and what it found false stays so (RFC 8555 §7.1.6).
    NewOrder,
    /// With another challenge of the same authorization, of which none was answered.
    SameOrder,
}

/// How many orders may come to nothing: whoever asks for more meets the CA's limits.
const MOST_SPENT: usize = 2;

impl Turns {
    pub(super) fn choose(&mut self, offers: &[Offer], proofs: &[Proof]) {
        self.chosen = proofs.iter().map(|proof| (proof.name.clone(), proof.kind.clone())).collect();
        let offered = offers.iter().zip(proofs).map(|(offer, proof)| {
            let kinds = offer.state.challenges.iter().map(|challenge| challenge.kind.clone());
            (proof.name.clone(), kinds.collect())
        });
        self.offered = offered.collect();
    }

    /// Whether the CA has offered this way and it was not tried in vain.
    pub(super) fn is_open(&self, name: &DomainName, kind: &ChallengeKind) -> bool {
        !self.is_over(name, kind) && self.offered.get(name).is_some_and(|kinds| kinds.contains(kind))
    }

    pub(super) fn is_over(&self, name: &DomainName, kind: &ChallengeKind) -> bool {
        self.passed_over.contains(&(name.clone(), kind.to_string()))
    }

    /// Passes over what has failed, if every name that failed has another way.
    pub(super) fn after(
        &mut self,
        error: &Error,
        has_way: impl Fn(&DomainName, &Self) -> bool,
    ) -> Option<Again> {
        let (again, failed) = match error {
            Error::Acme(AcmeError::OrderInvalid(order)) => (Again::NewOrder, refused(order, &self.chosen)),
            Error::NotServed { reports } => {
                (Again::SameOrder, reports.iter().map(|report| report.name.clone()).collect())
            }
            Error::NotShown { reports } => {
                (Again::SameOrder, reports.iter().map(|report| report.name.clone()).collect())
            }
            // Nobody sets it, and the next solver may do without.
            Error::RecordWanted { records } => {
                (Again::SameOrder, records.iter().map(|record| record.name.clone()).collect())
            }
            _ => return None,
        };
        let before = self.passed_over.len();
        for name in &failed {
            if let Some(kind) = self.chosen.get(name) {
                self.passed_over.insert((name.clone(), kind.clone()));
            }
        }
        self.spent += usize::from(again == Again::NewOrder);
        let is_news = self.passed_over.len() > before;
        let has_ways = failed.iter().all(|name| has_way(name, self));
        (is_news && has_ways && self.spent <= MOST_SPENT).then_some(again)
    }
}

/// The names whose proof the CA has looked for and not found.
fn refused(order: &OrderInvalid, chosen: &BTreeMap<DomainName, String>) -> Vec<DomainName> {
    let refusals = refusals(order, |name| chosen.contains_key(name)).into_iter();
    let looked_for = refusals.filter(|refusal| refusal.problem.is_some_and(was_looked_for));
    let named: Vec<DomainName> = looked_for.map(|refusal| refusal.name).collect();
    // Some say in the order what was wrong, and not with which name: where all were proven in one way, it is that way.
    let is_nameless = named.is_empty() && order.problem.as_ref().is_some_and(was_looked_for);
    let ways: BTreeSet<&String> = chosen.values().collect();
    if is_nameless && ways.len() == 1 { chosen.keys().cloned().collect() } else { named }
}

/// Whether a CA says this of a proof, and not of a name or of us.
const fn was_looked_for(problem: &Problem) -> bool {
    matches!(
        problem.kind,
        ProblemType::Connection
            | ProblemType::Dns
            | ProblemType::IncorrectResponse
            | ProblemType::Tls
            | ProblemType::Unauthorized
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, solver::WantedRecord};
    use perennial_acme::AuthorizationState;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn offer(of: &str, status: &str, error: &str) -> Offer {
        let challenge = |kind: &str, number: u8| {
            format!(r#"{{"type":"{kind}","url":"https://ca.example/{number}","token":"t"{error}}}"#)
        };
        let body = format!(
            r#"{{"status":"{status}","identifier":{{"type":"dns","value":"{of}"}},"challenges":[{},{}]}}"#,
            challenge("http-01", 1),
            challenge("dns-01", 2)
        );
        let state = AuthorizationState::parse(body.as_bytes()).unwrap();
        Offer { url: "https://ca.example/authz".parse().unwrap(), state }
    }

    fn turns(kind: &ChallengeKind) -> Turns {
        let mut turns = Turns::default();
        turns.choose(&[offer("a.example", "pending", "")], &[Proof::new(kind, name("a.example"), "", "")]);
        turns
    }

    fn unserved() -> Error {
        let evidence = crate::solver::http01::Evidence::of_nothing();
        let report = crate::solver::http01::Http01Report::new(name("a.example"), String::new(), evidence);
        Error::NotServed { reports: vec![report] }
    }

    #[test]
    fn what_has_failed_before_the_ca_looked_is_followed_by_another_way_once() {
        let dns01 = |name: &DomainName, turns: &Turns| turns.is_open(name, &ChallengeKind::Dns01);
        let none = |_: &DomainName, _: &Turns| false;
        assert_eq!(turns(&ChallengeKind::Http01).after(&unserved(), none), None);
        let mut turns = turns(&ChallengeKind::Http01);
        assert_eq!(turns.after(&unserved(), dns01), Some(Again::SameOrder));
        assert!(turns.is_over(&name("a.example"), &ChallengeKind::Http01));
        // The same failure again is no news.
        assert_eq!(turns.after(&unserved(), dns01), None);
    }

    #[test]
    fn a_record_that_nobody_sets_is_followed_by_another_way() {
        let record = WantedRecord::new(name("a.example"), "_validation-persist.a.example", "", "");
        let error = Error::RecordWanted { records: vec![record] };
        let dns01 = |name: &DomainName, turns: &Turns| turns.is_open(name, &ChallengeKind::Dns01);
        let mut turns = turns(&ChallengeKind::DnsPersist01);
        assert_eq!(turns.after(&error, dns01), Some(Again::SameOrder));
        assert_eq!(turns.after(&error, dns01), None);
    }

    #[test]
    fn a_failure_that_passes_is_no_reason_for_another_way() {
        let mut turns = turns(&ChallengeKind::Http01);
        let slow = Error::Configuration { reason: "slow".to_owned() };
        assert_eq!(turns.after(&slow, |_, _| true), None);
    }

    #[test]
    fn a_way_is_open_when_the_ca_offers_it() {
        let turns = turns(&ChallengeKind::Http01);
        assert!(turns.is_open(&name("a.example"), &ChallengeKind::Dns01));
        assert!(!turns.is_open(&name("a.example"), &ChallengeKind::TlsAlpn01));
        assert!(!turns.is_open(&name("b.example"), &ChallengeKind::Dns01));
    }
}
