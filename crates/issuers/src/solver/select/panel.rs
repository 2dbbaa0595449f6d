//! All solvers of an issuer, and who of them gets which turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use perennial_acme::ChallengeKind;
use perennial_core::DomainName;

use super::{Selector, ranked};
use crate::{Error, Proof, Solver};

/// All solvers of an issuer, in the order in which they were given.
pub(crate) struct Panel(Vec<Seat>);

/// A solver, and what it is for.
pub(crate) struct Seat {
    pub(crate) selector: Selector,
    pub(crate) solver: Arc<dyn Solver>,
}

/// The kinds that were tried in vain for a name in this issuance.
pub(crate) type PassedOver = BTreeSet<(DomainName, String)>;

impl Panel {
    /// All of them, unless one of them could never be chosen.
    pub(crate) fn new(seats: Vec<Seat>, directory: &str) -> Result<Self, Error> {
        if seats.is_empty() {
            let reason = format!("the issuer at {directory} has no solver: give it one, such as Dns01");
            return Err(Error::Configuration { reason });
        }
        let id = |seat: &Seat| (seat.solver.kind().to_string(), seat.selector.clone());
        let ids: Vec<_> = seats.iter().map(id).collect();
        if let Some((_, (kind, selector))) = ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id)) {
            let reason = format!(
                "the issuer at {directory} has two solvers for {kind} and {selector}: give it one, or tell them \
                 apart by `solver_for`"
            );
            return Err(Error::Configuration { reason });
        }
        Ok(Self(seats))
    }

    /// The kinds that it can solve, each once.
    pub(crate) fn kinds(&self) -> Vec<ChallengeKind> {
        let mut kinds = Vec::new();
        for kind in self.0.iter().map(|seat| seat.solver.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    /// Who can prove a name, the best first.
    ///
    /// # Errors
    /// [`Error::Unsolvable`] when that is nobody, whatever the CA offers.
    pub(crate) fn candidates(
        &self,
        name: &DomainName,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<&Seat>, Error> {
        let unsolvable = |reason| Error::Unsolvable { name: name.clone(), reason };
        let matching = self.matching(name, labels);
        if matching.is_empty() {
            return Err(unsolvable(self.nobody_for(labels)));
        }
        let able = |seat: &&&Seat| !name.is_wildcard() || proves_wildcards(&seat.solver.kind());
        let candidates: Vec<&Seat> = matching.iter().filter(able).copied().collect();
        if candidates.is_empty() {
            let kinds: Vec<String> = matching.iter().map(|seat| seat.solver.kind().to_string()).collect();
            return Err(unsolvable(format!(
                "a wildcard cannot be proven by {}, which proves one host; give the issuer a Dns01 solver for {}",
                kinds.join(" or "),
                name.base()
            )));
        }
        Ok(candidates)
    }

    fn matching(&self, name: &DomainName, labels: &BTreeMap<String, String>) -> Vec<&Seat> {
        let places = ranked(self.0.iter().map(|seat| &seat.selector), name, labels);
        places.into_iter().filter_map(|at| self.0.get(at)).collect()
    }

    fn nobody_for(&self, labels: &BTreeMap<String, String>) -> String {
        let mut reason = "the solvers of this issuer are for ".to_owned();
        for (at, Seat { selector, solver }) in self.0.iter().take(MOST_TOLD).enumerate() {
            let between = if at == 0 { "" } else { "; " };
            let _ = write!(reason, "{between}{selector} ({})", solver.kind());
        }
        if self.0.len() > MOST_TOLD {
            let _ = write!(reason, "; and {} more", self.0.len() - MOST_TOLD);
        }
        if !labels.is_empty() {
            let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let _ = write!(reason, "; the certificate has the labels {}", labels.join(", "));
        }
        reason + "; give it one without a selector, or one for this name"
    }

    /// Whoever was chosen for a name's proof; after a change of the configuration whoever would be chosen among
    /// those of the same kind.
    fn seat_of(&self, proof: &Proof) -> Option<usize> {
        let is_of_kind = |seat: &Seat| seat.solver.kind().to_string() == proof.kind;
        let exact = |seat: &Seat| is_of_kind(seat) && seat.selector == proof.selector;
        self.0.iter().position(exact).or_else(|| {
            // What its certificate is labelled with is not told any more.
            let unlabelled = |seat: &Seat| Selector { labels: BTreeMap::new(), ..seat.selector.clone() };
            let selectors: Vec<Selector> = self.0.iter().map(unlabelled).collect();
            let places = ranked(&selectors, &proof.name, &BTreeMap::new());
            places.into_iter().find(|at| self.0.get(*at).is_some_and(is_of_kind))
        })
    }

    /// The solver that a proof is of.
    pub(crate) fn solver_of(&self, proof: &Proof) -> Option<&Arc<dyn Solver>> {
        self.0.get(self.seat_of(proof)?).map(|seat| &seat.solver)
    }

    /// Each solver with the proofs that are its own, in the order in which solvers were given.
    pub(crate) fn by_solver(&self, proofs: &[Proof]) -> impl Iterator<Item = (&Arc<dyn Solver>, Vec<Proof>)> {
        let mut own = BTreeMap::<usize, Vec<Proof>>::new();
        for proof in proofs {
            if let Some(at) = self.seat_of(proof) {
                own.entry(at).or_default().push(proof.clone());
            }
        }
        own.into_iter().filter_map(|(at, proofs)| Some((&self.0.get(at)?.solver, proofs)))
    }

    /// How many of these proofs have a solver.
    pub(crate) fn claimed(&self, proofs: &[Proof]) -> usize {
        proofs.iter().filter(|proof| self.seat_of(proof).is_some()).count()
    }

    /// The DNS providers of those who would be chosen for these names, each once.
    pub(crate) fn providers(&self, names: &[DomainName], labels: &BTreeMap<String, String>) -> Vec<String> {
        let first = |name| self.candidates(name, labels).ok()?.first()?.solver.provider();
        let providers: BTreeSet<String> = names.iter().filter_map(first).collect();
        providers.into_iter().collect()
    }
}

/// More than a message needs.
const MOST_TOLD: usize = 8;

/// Whether a proof of this kind says anything about the names below: what is shown at one host does not (RFC 8555
/// §7.1.3, §8.3; RFC 8737 §3). Kinds that are not known may.
pub(crate) const fn proves_wildcards(kind: &ChallengeKind) -> bool {
    !matches!(kind, ChallengeKind::Http01 | ChallengeKind::TlsAlpn01)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;
    use async_trait::async_trait;
    use perennial_core::Retry;
    use perennial_lifecycle::IssueErrorClass;
    use std::time::Duration;

    struct Named(ChallengeKind, Option<&'static str>);

    #[async_trait]
    impl Solver for Named {
        fn kind(&self) -> ChallengeKind {
            self.0.clone()
        }

        fn provider(&self) -> Option<String> {
            self.1.map(str::to_owned)
        }

        fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
            Ok(Proof::new(&self.0, task.name.clone(), "", ""))
        }

        async fn present(&self, _: &[Proof]) -> Result<(), Error> {
            Ok(())
        }

        async fn wait(&self, _: &[Proof], _: Duration) -> Result<(), Error> {
            Ok(())
        }

        async fn clean_up(&self, _: &[Proof]) -> Result<(), Error> {
            Ok(())
        }
    }

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn seat(selector: Selector, kind: ChallengeKind, provider: Option<&'static str>) -> Seat {
        Seat { selector, solver: Arc::new(Named(kind, provider)) }
    }

    fn panel(seats: Vec<Seat>) -> Result<Panel, Error> {
        Panel::new(seats, "https://ca.example/dir")
    }

    fn mixed() -> Panel {
        panel(vec![
            seat(Selector::new(), ChallengeKind::Http01, None),
            seat(Selector::new().zone(name("a.example")), ChallengeKind::Dns01, Some("first")),
            seat(Selector::new().zone(name("b.example")), ChallengeKind::Dns01, Some("second")),
            seat(
                Selector::new().zone(name("c.example")).label("x", "y"),
                ChallengeKind::Dns01,
                Some("third"),
            ),
        ])
        .unwrap()
    }

    #[test]
    fn two_solvers_of_a_kind_need_different_selectors() {
        let all = || seat(Selector::new(), ChallengeKind::Dns01, None);
        let zone = seat(Selector::new().zone(name("a.example")), ChallengeKind::Dns01, None);
        assert!(panel(vec![all(), zone, seat(Selector::new(), ChallengeKind::Http01, None)]).is_ok());
        let error = panel(vec![all(), all()]).err().unwrap();
        assert!(error.to_string().contains("two solvers for dns-01 and every name"), "{error}");
        assert!(panel(vec![]).err().unwrap().to_string().contains("no solver"));
    }

    #[test]
    fn a_wildcard_is_refused_by_those_who_show_something_at_one_host() {
        let panel = mixed();
        let kinds = |asked: &str| {
            let candidates = panel.candidates(&name(asked), &BTreeMap::new())?;
            Ok::<_, Error>(candidates.iter().map(|seat| seat.solver.kind()).collect::<Vec<_>>())
        };
        assert_eq!(kinds("www.a.example").unwrap(), [ChallengeKind::Dns01, ChallengeKind::Http01]);
        assert_eq!(kinds("*.a.example").unwrap(), [ChallengeKind::Dns01]);
        let error = kinds("*.d.example").unwrap_err();
        assert_eq!((error.class(), error.retry()), (IssueErrorClass::Policy, Retry::Never));
        let said = error.to_string();
        for part in ["*.d.example", "http-01", "Dns01 solver for d.example"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_name_that_nobody_is_for_is_told_with_all_that_there_is() {
        let seats = vec![seat(Selector::new().zone(name("a.example")), ChallengeKind::Dns01, None)];
        let labels = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
        let error = panel(seats).unwrap().candidates(&name("b.example"), &labels).err().unwrap();
        assert_eq!((error.class(), error.retry()), (IssueErrorClass::Policy, Retry::Never));
        let said = error.to_string();
        for part in ["b.example", "zone a.example (dns-01)", "team=web"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn a_proof_goes_back_to_whoever_was_chosen_and_after_a_change_to_the_one_who_would_be() {
        let panel = mixed();
        let proof = |of: &str, selector: Selector| {
            let mut proof = Proof::new(&ChallengeKind::Dns01, name(of), "at", "value");
            proof.selector = selector;
            proof
        };
        let zone = |of: &str| Selector::new().zone(name(of));
        let whose = |proof: &Proof| {
            let mut all = panel.by_solver(std::slice::from_ref(proof));
            all.next().and_then(|(solver, _)| solver.provider())
        };
        assert_eq!(whose(&proof("www.a.example", zone("a.example"))).as_deref(), Some("first"));
        // Chosen by a solver that is configured in another way now.
        assert_eq!(whose(&proof("www.b.example", zone("www.b.example"))).as_deref(), Some("second"));
        assert_eq!(whose(&proof("www.c.example", Selector::new())).as_deref(), Some("third"));
        assert_eq!(whose(&proof("www.d.example", Selector::new())), None);
        let proofs = [proof("www.a.example", zone("a.example")), proof("www.d.example", Selector::new())];
        assert_eq!(panel.claimed(&proofs), 1);
    }

    #[test]
    fn only_the_providers_of_those_who_would_be_chosen_are_needed() {
        let providers = |names: &[&str], labels: &BTreeMap<String, String>| {
            mixed().providers(&names.iter().map(|text| name(text)).collect::<Vec<_>>(), labels)
        };
        let none = BTreeMap::new();
        assert_eq!(providers(&["www.b.example", "b.example", "d.example"], &none), ["second"]);
        assert_eq!(providers(&["c.example"], &none), [""; 0]);
        let labels = BTreeMap::from([("x".to_owned(), "y".to_owned())]);
        assert_eq!(providers(&["c.example", "a.example"], &labels), ["first", "third"]);
    }
}
