//! Which of several solvers proves a name.
//!
//! The order of precedence is cert-manager's: what is given must match; then an exact DNS name beats a zone,
//! a longer zone a shorter one, and any zone none at all; then more labels beat fewer; then the solver that
//! was given first.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use perennial_core::DomainName;
use serde::{Deserialize, Serialize};

mod panel;
pub(crate) use panel::{Panel, PassedOver, Seat};

/// For which names, and for which certificates, a solver is.
///
/// One without anything is for all: the default. Of names and zones one has to match where some are given, of
/// both where both are; of labels all.
///
/// ```
/// use perennial_issuers::solver::Selector;
///
/// let selector = Selector::new().zone("example.com".parse()?).label("exposure", "internal");
/// assert_eq!(selector.to_string(), "zone example.com, label exposure=internal");
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Selector {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    names: BTreeSet<DomainName>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    zones: BTreeSet<DomainName>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

/// How well a selector matches; the greater, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_exact: bool,
    /// How many labels the longest zone has that holds the name; none where no zone was asked for.
    zone: usize,
    /// How many labels of the certificate were asked for.
    labels: usize,
}

impl Selector {
    /// Matches everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more name that it is for, and no other: `*.example.com` is a name of its own.
    #[must_use]
    pub fn name(mut self, name: DomainName) -> Self {
        self.names.insert(name);
        self
    }

    /// One more zone that it is for: its apex, and all names and wildcards below.
    #[must_use]
    pub fn zone(mut self, zone: DomainName) -> Self {
        self.zones.insert(zone);
        self
    }

    /// One more label that the certificate must have
    /// ([`CertificateSpec::label`](perennial_lifecycle::CertificateSpec::label)).
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Whether it is for this name of a certificate with these labels.
    #[must_use]
    pub fn matches(&self, name: &DomainName, labels: &BTreeMap<String, String>) -> bool {
        self.rank(name, labels).is_some()
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn rank(&self, name: &DomainName, labels: &BTreeMap<String, String>) -> Option<Rank> {
        let has = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        if !self.labels.iter().all(has) {
            return None;
        }
        let is_exact = self.names.contains(name);
        if !self.names.is_empty() && !is_exact {
            return None;
        }
        let base = name.base();
        let holding = self.zones.iter().filter(|zone| base.is_at_or_below(zone));
        let zone = holding.map(|zone| zone.labels().count()).max();
        if !self.zones.is_empty() && zone.is_none() {
            return None;
        }
        Some(Rank { is_exact, zone: zone.unwrap_or_default(), labels: self.labels.len() })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names.iter().map(|name| format!("name {name}"));
        let zones = self.zones.iter().map(|zone| format!("zone {zone}"));
        let labels = self.labels.iter().map(|(key, value)| format!("label {key}={value}"));
        let parts: Vec<String> = names.chain(zones).chain(labels).collect();
        if parts.is_empty() { f.write_str("every name") } else { f.write_str(&parts.join(", ")) }
    }
}

/// The places of the selectors that match, the best first.
fn ranked<'a>(
    selectors: impl IntoIterator<Item = &'a Selector>,
    name: &DomainName,
    labels: &BTreeMap<String, String>,
) -> Vec<usize> {
    let matching = selectors.into_iter().enumerate();
    let mut matching: Vec<_> =
        matching.filter_map(|(at, selector)| Some((selector.rank(name, labels)?, at))).collect();
    matching.sort_by_key(|(rank, at)| (std::cmp::Reverse(*rank), *at));
    matching.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn any() -> Selector {
        Selector::new()
    }

    fn named(text: &str) -> Selector {
        any().name(name(text))
    }

    fn zone(text: &str) -> Selector {
        any().zone(name(text))
    }

    /// Selectors, the name, the labels of its certificate, and who is for it in which order.
    type Row<'a> = (&'a [Selector], &'a str, &'a [(&'a str, &'a str)], &'a [usize]);

    #[test]
    fn labels_must_match_then_names_beat_zones_longer_zones_shorter_ones_and_the_first_the_rest() {
        let internal = [("exposure", "internal")];
        #[rustfmt::skip] // A table.
        let table: &[Row<'_>] = &[
            (&[], "a.example", &[], &[]),
            (&[any()], "a.example", &[], &[0]),
            (&[any(), any()], "a.example", &[], &[0, 1]),
            // Names, zones, nothing.
            (&[any(), zone("example"), named("a.example")], "a.example", &[], &[2, 1, 0]),
            (&[named("b.example")], "a.example", &[], &[]),
            (&[zone("b.example")], "a.example", &[], &[]),
            // The longest zone; a part of a label is none.
            (&[zone("example"), zone("b.example"), zone("c.example")], "a.b.example", &[], &[1, 0]),
            (&[zone("b.example")], "ab.example", &[], &[]),
            (&[zone("b.example")], "b.example", &[], &[0]),
            // Of several zones of one selector the longest counts.
            (&[zone("b.example"), zone("example").zone(name("a.b.example"))], "a.b.example", &[], &[1, 0]),
            // A wildcard is in the zone of its base, and a name of its own.
            (&[zone("b.example")], "*.b.example", &[], &[0]),
            (&[named("b.example"), named("*.b.example")], "*.b.example", &[], &[1]),
            (&[named("*.b.example")], "b.example", &[], &[]),
            (&[named("*.b.example")], "a.b.example", &[], &[]),
            // All that is given has to match.
            (&[named("a.example").zone(name("other"))], "a.example", &[], &[]),
            (&[named("a.example").zone(name("example"))], "a.example", &[], &[0]),
            // Labels.
            (&[any().label("exposure", "internal")], "a.example", &[], &[]),
            (&[any().label("exposure", "internal")], "a.example", &[("exposure", "dmz")], &[]),
            (&[any(), any().label("exposure", "internal")], "a.example", &internal, &[1, 0]),
            (&[any().label("exposure", "internal"), named("a.example")], "a.example", &internal, &[1, 0]),
            (&[zone("example"), zone("example").label("exposure", "internal")], "a.example", &internal, &[1, 0]),
        ];
        for (selectors, asked, has, expected) in table {
            let found = ranked(*selectors, &name(asked), &labels(has));
            assert_eq!(found, *expected, "{asked} {has:?} among {selectors:?}");
        }
    }

    #[test]
    fn a_selector_survives_its_own_json_and_an_empty_one_is_nothing() {
        let selector = zone("example.com").name(name("*.example.com")).label("a", "b");
        let text = serde_json::to_string(&selector).unwrap();
        assert_eq!(serde_json::from_str::<Selector>(&text).unwrap(), selector);
        assert_eq!(serde_json::to_string(&any()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Selector>("{}").unwrap(), any());
        assert_eq!((any().to_string(), zone("a.b").to_string()), ("every name".into(), "zone a.b".into()));
    }

    fn names() -> impl Strategy<Value = DomainName> {
        "(\\*\\.)?([ab]\\.){0,3}example".prop_map(|text| name(&text))
    }

    fn selectors() -> impl Strategy<Value = Selector> {
        let set = || proptest::collection::btree_set(names(), 0..3);
        let maps = proptest::collection::btree_map("[ab]", "[xy]", 0..3);
        (set(), set(), maps).prop_map(|(names, zones, labels)| {
            let zones = zones.into_iter().map(|zone| zone.base()).collect();
            Selector { names, zones, labels }
        })
    }

    proptest! {
        #[test]
        fn whoever_matches_is_ranked_once_and_nobody_is_behind_a_worse_one(
            selectors in proptest::collection::vec(selectors(), 0..6),
            name in names(),
            labels in proptest::collection::btree_map("[ab]", "[xy]", 0..3),
        ) {
            let found = ranked(&selectors, &name, &labels);
            prop_assert_eq!(&found, &ranked(&selectors, &name, &labels));
            let mut places = found.clone();
            places.sort_unstable();
            let matching: Vec<usize> =
                (0..selectors.len()).filter(|at| selectors[*at].matches(&name, &labels)).collect();
            prop_assert_eq!(places, matching);
            for pair in found.windows(2) {
                let [one, other] = [0, 1].map(|at| selectors[pair[at]].rank(&name, &labels));
                prop_assert!(one > other || (one == other && pair[0] < pair[1]));
            }
        }
    }
}
