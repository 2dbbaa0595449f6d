//! The network's own prefixes, read from AAAA answers for `ipv4only.arpa`: RFC 7050 §3.
//!
//! The name has IPv4 addresses only. When a resolver answers with AAAA records all the same, it is a DNS64
//! (RFC 6147), and the well-known addresses inside those records show where and in which prefix it embeds.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Prefix;

/// The name to ask for: `ipv4only.arpa` (RFC 7050 §8.2).
pub const WELL_KNOWN_NAME: &str = "ipv4only.arpa";

/// The two well-known addresses of that name (RFC 7050 §8.2).
pub const WELL_KNOWN_ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// The prefixes that a resolver shows in its AAAA answers for [`WELL_KNOWN_NAME`], in the order of the
/// answers, each once.
///
/// A well-known address is looked for at all six places. Where one answer shows it at several, only a place
/// at which *both* well-known addresses appear under the same prefix counts (RFC 7050 §3): the octets of
/// the prefix itself may happen to look like one. Answers that hold no well-known address are ignored.
///
/// ```
/// use perennial_propagation::nat64::discover::prefixes;
///
/// let answers = ["64:ff9b::c000:aa".parse()?, "64:ff9b::c000:ab".parse()?];
/// assert_eq!(prefixes(&answers), ["64:ff9b::/96".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn prefixes(answers: &[Ipv6Addr]) -> Vec<Prefix> {
    let sightings: Vec<Vec<(Prefix, Ipv4Addr)>> = answers.iter().map(|v6| sightings(*v6)).collect();
    let has_both = |prefix: Prefix| {
        WELL_KNOWN_ADDRESSES.iter().all(|v4| sightings.iter().flatten().any(|seen| *seen == (prefix, *v4)))
    };
    let mut found = Vec::new();
    for places in &sightings {
        let unambiguous = places.len() == 1;
        for (prefix, _) in places {
            if (unambiguous || has_both(*prefix)) && !found.contains(prefix) {
                found.push(*prefix);
            }
        }
    }
    found
}

fn sightings(v6: Ipv6Addr) -> Vec<(Prefix, Ipv4Addr)> {
    let read = |length| Prefix::split(v6, length);
    Prefix::LENGTHS
        .into_iter()
        .filter_map(read)
        .filter(|(_, v4)| WELL_KNOWN_ADDRESSES.contains(v4))
        .filter(|(prefix, _)| Prefix::new(prefix.network(), prefix.len()).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answers: &[&str]) -> Vec<String> {
        let answers: Vec<Ipv6Addr> = answers.iter().map(|text| text.parse().unwrap()).collect();
        prefixes(&answers).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_prefix_is_found_at_each_of_the_six_places() {
        for (prefix, answers) in [
            ("2001:db8::/32", ["2001:db8:c000:aa::", "2001:db8:c000:ab::"]),
            ("2001:db8:100::/40", ["2001:db8:1c0:0:aa::", "2001:db8:1c0:0:ab::"]),
            ("2001:db8:122::/48", ["2001:db8:122:c000:0:aa00::", "2001:db8:122:c000:0:ab00::"]),
            ("2001:db8:122:300::/56", ["2001:db8:122:3c0:0:aa::", "2001:db8:122:3c0:0:ab::"]),
            ("2001:db8:122:344::/64", ["2001:db8:122:344:c0:0:aa00:0", "2001:db8:122:344:c0:0:ab00:0"]),
            ("64:ff9b::/96", ["64:ff9b::c000:aa", "64:ff9b::c000:ab"]),
        ] {
            assert_eq!(found(&answers), [prefix]);
            assert_eq!(found(&answers[..1]), [prefix], "one of the two is enough when its place is clear");
        }
    }

    #[test]
    fn an_ambiguous_place_is_settled_by_the_second_address() {
        let answers = ["2001:db8:c000:aa:c0:0:aa00:0", "2001:db8:c000:aa:c0:0:ab00:0"];
        assert_eq!(found(&answers), ["2001:db8:c000:aa::/64"]);
        assert_eq!(found(&[answers[1], answers[0]]), ["2001:db8:c000:aa::/64"]);
    }

    #[test]
    fn an_ambiguity_that_nothing_settles_yields_nothing() {
        assert_eq!(found(&["2001:db8:c000:aa:c0:0:aa00:0"]), Vec::<String>::new());
    }

    #[test]
    fn answers_without_a_well_known_address_are_ignored() {
        assert_eq!(found(&["2001:db8::1", "64:ff9b::c000:ab"]), ["64:ff9b::/96"]);
        assert_eq!(found(&["2001:db8::1"]), Vec::<String>::new());
        assert_eq!(found(&[]), Vec::<String>::new());
    }

    #[test]
    fn several_prefixes_keep_their_order_and_appear_once() {
        let answers = [
            "2001:db8:122:344::c000:aa",
            "64:ff9b::c000:aa",
            "2001:db8:122:344::c000:ab",
            "64:ff9b::c000:ab",
        ];
        assert_eq!(found(&answers), ["2001:db8:122:344::/96", "64:ff9b::/96"]);
    }
}
