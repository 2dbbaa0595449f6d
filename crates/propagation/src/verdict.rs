//! Propagated or not: what the servers say × what is demanded. Pure, and the one sentence of this crate that
//! must never be wrong.

use std::fmt;

use serde::Serialize;

use crate::Policy;

/// How long a dead or lame name server may hold up [`Policy::All`] by default: long enough for three tries over
/// UDP and TCP, so that packet loss does not pass for death.
/// It runs for each server by itself, from its first question or its last good answer on.
pub const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// Whether the grace period is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // Two states of one timer.
pub enum Grace {
    /// Silent servers may still answer.
    Running,
    /// Silent servers count as dead.
    Over,
}

/// How one address of a name server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums)] // The verdict's own alphabet: a new letter changes every rule.
pub enum Standing {
    /// It answers, and without authority or with an error.
    Lame,
    /// It answers with authority, and a wanted value is missing.
    Lacking,
    /// It was not asked, because this host has no way to it.
    NotAsked,
    /// It has every wanted value.
    Satisfied,
    /// It was asked and does not answer.
    Unreachable,
    /// Its first answer is still awaited.
    Waiting,
}

/// What the answers amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // No, yes, and yes-but are all there is; callers match on it.
pub enum Verdict {
    /// Too few have the values.
    NotYet,
    /// Enough have them, and somebody is dead or lame.
    ReadyWithWarnings,
    /// Propagated.
    Ready,
}

impl Verdict {
    /// Whether the CA may be asked to look.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        !matches!(self, Self::NotYet)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotYet => "not yet propagated",
            Self::Ready => "propagated",
            Self::ReadyWithWarnings => "propagated, with warnings",
        })
    }
}

/// Decides. `servers` holds one entry for each name server: how each of its addresses stands. A name server
/// without any address is an empty entry, and dead.
///
/// ```
/// use perennial_propagation::{
///     Policy,
///     verdict::{Grace, Standing, Verdict, verdict},
/// };
///
/// let healthy = vec![Standing::Satisfied];
/// let dead = vec![Standing::Unreachable];
/// let servers = [healthy, dead];
/// assert_eq!(verdict(&servers, Policy::All, Grace::Running), Verdict::NotYet);
/// assert_eq!(verdict(&servers, Policy::All, Grace::Over), Verdict::ReadyWithWarnings);
/// ```
#[must_use]
pub fn verdict(servers: &[Vec<Standing>], policy: Policy, grace: Grace) -> Verdict {
    let any = |standing| servers.iter().flatten().any(|other| *other == standing);
    let satisfied = servers.iter().filter(|server| is_satisfied(server)).count();
    let everybody = servers.len();
    let enough = match policy {
        Policy::All => {
            let settled = grace == Grace::Over || satisfied == everybody && !any(Standing::Waiting);
            settled && !any(Standing::Lacking) && satisfied >= everybody.div_ceil(2).max(1)
        }
        Policy::Any => satisfied >= 1,
        Policy::Quorum(wanted) => satisfied >= wanted.min(everybody).max(1),
        Policy::RecursiveOnly | Policy::Strict => {
            let whole =
                |server: &Vec<Standing>| server.iter().all(|standing| *standing == Standing::Satisfied);
            satisfied == everybody && everybody > 0 && servers.iter().all(whole)
        }
        // Time is no answer.
        Policy::WaitOnly(_) => false,
    };
    let flawless = satisfied == everybody
        && ![Standing::Lame, Standing::Lacking, Standing::Unreachable, Standing::Waiting]
            .into_iter()
            .any(any);
    match (enough, flawless) {
        (false, _) => Verdict::NotYet,
        (true, false) => Verdict::ReadyWithWarnings,
        (true, true) => Verdict::Ready,
    }
}

/// A name server has the values when one address shows them and none denies them.
fn is_satisfied(addresses: &[Standing]) -> bool {
    addresses.contains(&Standing::Satisfied) && !addresses.contains(&Standing::Lacking)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One letter an address, one word a name server: `S- L` is two servers, the first with two addresses.
    fn read(text: &str) -> Vec<Vec<Standing>> {
        let standing = |letter| match letter {
            'S' => Standing::Satisfied,
            'P' => Standing::Lacking,
            'L' => Standing::Lame,
            'U' => Standing::Unreachable,
            'W' => Standing::Waiting,
            'N' => Standing::NotAsked,
            other => panic!("{other:?} is no standing"),
        };
        text.split_whitespace()
            .map(|word| word.chars().filter(|letter| *letter != '-').map(standing).collect())
            .collect()
    }

    fn assert_table(policy: Policy, grace: Grace, table: &[(&str, Verdict)]) {
        for (servers, expected) in table {
            assert_eq!(
                verdict(&read(servers), policy, grace),
                *expected,
                "{servers} under {policy:?}, {grace:?}"
            );
        }
    }

    use Verdict::{NotYet, Ready, ReadyWithWarnings as Warned};

    #[test]
    fn all_during_grace_waits_for_everybody() {
        let table = [
            ("", NotYet),
            ("S", Ready),
            ("S S S", Ready),
            ("SS S", Ready),
            ("SN S", Ready),
            ("S P", NotYet),
            ("S W", NotYet),
            ("S U", NotYet),
            ("S L", NotYet),
            ("S N", NotYet),
            ("S -", NotYet),
            ("SP S", NotYet),
            ("SW S", NotYet),
            ("SU S", Warned),
            ("SL S", Warned),
            ("P", NotYet),
            ("U", NotYet),
        ];
        assert_table(Policy::All, Grace::Running, &table);
    }

    #[test]
    fn all_after_grace_tolerates_the_dead_and_the_lame_but_no_denial() {
        let table = [
            ("", NotYet),
            ("S S", Ready),
            ("S U", Warned),
            ("S L", Warned),
            ("S W", Warned),
            ("S N", Warned),
            ("S -", Warned),
            ("S P", NotYet),
            ("SP S", NotYet),
            ("SW S", Warned),
            ("S U U", NotYet),
            ("S S U", Warned),
            ("S S U L", Warned),
            ("S U L W", NotYet),
            ("S S P U", NotYet),
            ("U U", NotYet),
            ("- -", NotYet),
            ("L", NotYet),
        ];
        assert_table(Policy::All, Grace::Over, &table);
    }

    #[test]
    fn strict_knows_no_exception_and_no_grace() {
        for grace in [Grace::Running, Grace::Over] {
            let table = [
                ("", NotYet),
                ("S", Ready),
                ("SS S", Ready),
                ("SU S", NotYet),
                ("SN S", NotYet),
                ("S -", NotYet),
                ("S L", NotYet),
                ("S P", NotYet),
                ("S W", NotYet),
            ];
            assert_table(Policy::Strict, grace, &table);
        }
    }

    #[test]
    fn recursive_only_is_as_strict_and_waiting_proves_nothing() {
        for grace in [Grace::Running, Grace::Over] {
            for servers in ["", "S", "SS S", "SU S", "S P", "S W", "S -"] {
                let servers = read(servers);
                assert_eq!(
                    verdict(&servers, Policy::RecursiveOnly, grace),
                    verdict(&servers, Policy::Strict, grace)
                );
                assert_eq!(verdict(&servers, Policy::WaitOnly(GRACE), grace), NotYet);
            }
        }
    }

    #[test]
    fn any_is_content_with_one_undisputed_name_server() {
        for grace in [Grace::Running, Grace::Over] {
            let table = [
                ("", NotYet),
                ("S P P", Warned),
                ("S U", Warned),
                ("S S", Ready),
                ("SP W", NotYet),
                ("P P", NotYet),
                ("W", NotYet),
            ];
            assert_table(Policy::Any, grace, &table);
        }
    }

    #[test]
    fn a_quorum_counts_name_servers_not_addresses() {
        for grace in [Grace::Running, Grace::Over] {
            let table = [("SSS P", NotYet), ("S S P", Warned), ("S S", Ready), ("S W", NotYet), ("S", Ready)];
            assert_table(Policy::Quorum(2), grace, &table);
            assert_table(Policy::Quorum(0), grace, &[("P", NotYet), ("S P", Warned), ("", NotYet)]);
            assert_table(Policy::Quorum(9), grace, &[("S S", Ready), ("S P", NotYet), ("", NotYet)]);
        }
    }

    fn any_servers() -> impl Strategy<Value = Vec<Vec<Standing>>> {
        let standing = prop::sample::select(vec![
            Standing::Lame,
            Standing::Lacking,
            Standing::NotAsked,
            Standing::Satisfied,
            Standing::Unreachable,
            Standing::Waiting,
        ]);
        prop::collection::vec(prop::collection::vec(standing, 0..4), 0..6)
    }

    fn every_policy(k: usize) -> [Policy; 6] {
        let wait = Policy::WaitOnly(GRACE);
        [Policy::All, Policy::Any, Policy::Quorum(k), Policy::RecursiveOnly, Policy::Strict, wait]
    }

    proptest! {
        #[test]
        fn one_more_satisfied_address_never_makes_a_verdict_worse(
            servers in any_servers(),
            k in 0_usize..5,
            server: prop::sample::Index,
            address: prop::sample::Index,
        ) {
            let mut converted = servers.clone();
            let mut joined = servers.clone();
            if !servers.is_empty() {
                let addresses = &mut converted[server.index(servers.len())];
                if !addresses.is_empty() {
                    let index = address.index(addresses.len());
                    addresses[index] = Standing::Satisfied;
                }
                joined[server.index(servers.len())].push(Standing::Satisfied);
            }
            let mut grown = servers.clone();
            grown.push(vec![Standing::Satisfied]);
            for policy in every_policy(k) {
                for grace in [Grace::Running, Grace::Over] {
                    let before = verdict(&servers, policy, grace);
                    for better in [&converted, &joined] {
                        prop_assert!(verdict(better, policy, grace) >= before, "{policy:?} {grace:?}");
                    }
                    // A quorum of more name servers than there are grows with them.
                    if verdict(&servers, policy, grace).is_ready() {
                        prop_assert!(verdict(&grown, policy, grace).is_ready(), "{policy:?} {grace:?}");
                    }
                }
            }
        }

        #[test]
        fn every_policy_implies_any_and_a_quorum_every_smaller_one(servers in any_servers(), k in 0_usize..6) {
            for grace in [Grace::Running, Grace::Over] {
                let ready = |policy| verdict(&servers, policy, grace).is_ready();
                for policy in every_policy(k) {
                    prop_assert!(!ready(policy) || ready(Policy::Any), "{policy:?}");
                }
                if ready(Policy::Quorum(k + 1)) {
                    prop_assert!(ready(Policy::Quorum(k)));
                }
            }
        }

        #[test]
        fn nobody_is_ready_without_one_satisfied_server(servers in any_servers(), k in 0_usize..5) {
            let nobody = !servers.iter().any(|server| is_satisfied(server));
            for policy in every_policy(k) {
                for grace in [Grace::Running, Grace::Over] {
                    let ready = verdict(&servers, policy, grace).is_ready();
                    prop_assert!(!(ready && nobody), "{policy:?} {grace:?}");
                }
            }
        }

        #[test]
        fn the_end_of_grace_never_takes_a_verdict_back(servers in any_servers()) {
            if verdict(&servers, Policy::All, Grace::Running).is_ready() {
                prop_assert!(verdict(&servers, Policy::All, Grace::Over).is_ready());
            }
        }

        #[test]
        fn strict_implies_every_other_policy(servers in any_servers(), k in 0_usize..5) {
            if verdict(&servers, Policy::Strict, Grace::Running).is_ready() {
                for policy in [Policy::All, Policy::Any, Policy::Quorum(k)] {
                    prop_assert_eq!(verdict(&servers, policy, Grace::Running), Ready);
                }
            }
        }

        #[test]
        fn a_denial_is_never_ready_under_all(servers in any_servers()) {
            if servers.iter().flatten().any(|standing| *standing == Standing::Lacking) {
                prop_assert_eq!(verdict(&servers, Policy::All, Grace::Over), NotYet);
            }
        }
    }
}
