//! Which zone holds a name (RFC 1034 §4.3.2 step 2: the nearest ancestor).
//!
//! Never by the public suffix list: zones are cut where somebody cut them.

use perennial_core::DomainName;

use crate::Zone;

/// The zone with the longest apex that is the name or an ancestor of it. Of two with the same apex, the
/// first.
///
/// ```
/// use perennial_providers::{Zone, zone_match};
///
/// let zones = ["example.com", "a.example.com", "badexample.com"]
///     .map(|apex| Zone::new(apex.parse().unwrap()));
/// let holder = |name: &str| zone_match::longest(&name.parse().unwrap(), &zones).map(|z| z.apex.to_string());
/// assert_eq!(holder("www.a.example.com").as_deref(), Some("a.example.com"));
/// assert_eq!(holder("b.example.com").as_deref(), Some("example.com"));
/// assert_eq!(holder("example.net"), None);
/// ```
#[must_use]
pub fn longest<'z>(name: &DomainName, zones: impl IntoIterator<Item = &'z Zone>) -> Option<&'z Zone> {
    let mut best: Option<&Zone> = None;
    for zone in zones {
        let longer = best.is_none_or(|best| zone.apex.as_str().len() > best.apex.as_str().len());
        if longer && name.is_at_or_below(&zone.apex) {
            best = Some(zone);
        }
    }
    best
}

/// The names that could be the apex of the zone of `name`, the longest first: the name, its parent, and so
/// on to the top-level name.
pub fn candidates(name: &DomainName) -> impl Iterator<Item = DomainName> + use<> {
    std::iter::successors(Some(name.clone()), DomainName::parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_two_zones_with_one_apex_the_first_is_taken() {
        let zones = ["private", "public"].map(|id| Zone::new("example.com".parse().unwrap()).with_id(id));
        let zone = longest(&"a.example.com".parse().unwrap(), &zones).unwrap();
        assert_eq!(zone.id.as_deref(), Some("private"));
    }

    #[test]
    fn candidates_end_at_the_top_level_name() {
        let names: Vec<_> = candidates(&"a.b.example".parse().unwrap()).map(|n| n.to_string()).collect();
        assert_eq!(names, ["a.b.example", "b.example", "example"]);
    }

    proptest! {
        #[test]
        fn the_longest_match_is_the_first_candidate_that_is_a_zone(
            name in "[ab](\\.[ab]){1,5}",
            apexes in proptest::collection::vec("[ab](\\.[ab]){0,4}", 0..8),
        ) {
            let name: DomainName = name.parse().unwrap();
            let zones: Vec<Zone> = apexes.iter().map(|apex| Zone::new(apex.parse().unwrap())).collect();
            let expected = candidates(&name).find(|candidate| zones.iter().any(|z| z.apex == *candidate));
            prop_assert_eq!(longest(&name, &zones).map(|zone| zone.apex.clone()), expected);
        }
    }
}
