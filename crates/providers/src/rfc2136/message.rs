//! The messages that are sent: updates (RFC 2136 §2) and plain queries.

use std::time::Duration;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, update_message::UpdateMessage},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::TXT},
};
use perennial_core::DomainName;

use crate::{Action, Change, Error, Zone, txt};

use super::KIND;

/// The time to live of each name that is added to.
type Ttls<'t> = &'t dyn Fn(&DomainName) -> Duration;

/// Whether an update is to be refused when a name that is added to already has TXT records, or is an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Add whatever is there.
    Off,
    /// RFC 2136 §2.4.3, "RRset does not exist", for TXT and for CNAME.
    ///
    /// Without it an add would go wrong in silence twice: a server gives all of a set the time to live of the
    /// added record, siblings included (RFC 2181 §5.2), and it drops an add at an alias while it answers
    /// NOERROR (RFC 2136 §3.4.2.2).
    On,
}

/// One UPDATE message (RFC 2136 §2).
pub(super) fn update(
    id: u16,
    zone: &Zone,
    changes: &[Change],
    guard: Guard,
    ttls: Ttls<'_>,
) -> Result<Message, Error> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Update);
    message.add_zone(Query::query(wire_name(&zone.apex)?, RecordType::SOA));
    if guard == Guard::On {
        for name in added_names(changes) {
            let name = wire_name(name)?;
            for absent in [RecordType::TXT, RecordType::CNAME] {
                let mut record = Record::update0(name.clone(), 0, absent);
                record.dns_class = DNSClass::NONE;
                message.add_pre_requisite(record);
            }
        }
    }
    for change in changes {
        message.add_update(record(change, ttls)?);
    }
    Ok(message)
}

/// RFC 2136 §2.5.1 "add to an RRset" and §2.5.4 "delete an RR from an RRset". Never §2.5.2, which deletes
/// the whole set.
fn record(change: &Change, ttls: Ttls<'_>) -> Result<Record, Error> {
    let name = wire_name(&change.name)?;
    let data = RData::TXT(TXT::from_bytes(txt::character_strings(&change.value)));
    Ok(match change.action {
        Action::Add => {
            // RFC 2181 §8: 31 bits.
            let ttl = ttls(&change.name).as_secs().min(0x7fff_ffff);
            Record::from_rdata(name, u32::try_from(ttl).unwrap_or(0x7fff_ffff), data)
        }
        Action::Remove => {
            let mut record = Record::from_rdata(name, 0, data);
            record.dns_class = DNSClass::NONE;
            record
        }
    })
}

/// The names that are added to, each once.
pub(super) fn added_names(changes: &[Change]) -> Vec<&DomainName> {
    let mut names: Vec<&DomainName> = Vec::new();
    for change in changes.iter().filter(|change| change.action == Action::Add) {
        if !names.contains(&&change.name) {
            names.push(&change.name);
        }
    }
    names
}

/// The time to live that the first change of this name asks for: a set has a single one.
pub(super) fn wanted_ttl(changes: &[Change], name: &DomainName) -> Option<Duration> {
    changes.iter().filter(|change| change.name == *name).find_map(|change| change.ttl)
}

/// A query that wants the server's own knowledge: recursion is not desired (RFC 1035 §4.1.1).
pub(super) fn query(id: u16, name: &DomainName, kind: RecordType) -> Result<Message, Error> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(wire_name(name)?, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    message.set_edns(edns);
    Ok(message)
}

/// What passes everywhere without fragments (DNS Flag Day 2020).
const UDP_PAYLOAD: u16 = 1232;

/// Cuts changes into runs that each fit into one message of 65 535 bytes (RFC 1035 §4.2.2), with room for a
/// signature. Nearly always one.
pub(super) fn runs(changes: &[Change]) -> Vec<&[Change]> {
    let mut runs = Vec::new();
    let mut rest = changes;
    while !rest.is_empty() {
        let mut room = 60_000_usize;
        let fitting = rest.iter().take_while(|change| {
            let left = room.checked_sub(largest_size(change));
            room = left.unwrap_or(0);
            left.is_some()
        });
        // A single change always fits: a value has 4096 bytes at most.
        let (run, after) = rest.split_at(fitting.count().max(1));
        runs.push(run);
        rest = after;
    }
    runs
}

/// A record with its name written out, and two prerequisites with theirs.
fn largest_size(change: &Change) -> usize {
    /// Type, class, time to live and length of the data (RFC 1035 §3.2.1).
    const FIXED: usize = 10;
    let name = change.name.as_str().len() + 2 + FIXED;
    let value = change.value.len() + change.value.len() / 255 + 1;
    3 * name + value
}

pub(super) fn wire_name(name: &DomainName) -> Result<Name, Error> {
    Name::from_ascii(format!("{name}.")).map_err(|_| Error::InvalidRequest {
        provider: KIND.to_owned(),
        reason: format!("{name} cannot be written as a name on the wire"),
        fault: None,
    })
}

/// `None` for the root and for names that no certificate and no zone of ours has.
pub(super) fn domain_name(name: &Name) -> Option<DomainName> {
    name.to_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(index: usize) -> DomainName {
        format!("_acme-challenge.n{index}.example.com").parse().unwrap()
    }

    fn zone() -> Zone {
        Zone::new("example.com".parse().unwrap())
    }

    #[test]
    fn a_value_is_added_beside_its_siblings_and_removed_alone() {
        let changes = [Change::add(name(1), "a"), Change::remove(name(2), "b")];
        let ttl = |_: &DomainName| Duration::from_secs(5);
        let message = update(7, &zone(), &changes, Guard::On, &ttl).unwrap();
        let shown = |records: &[Record]| -> Vec<String> {
            records
                .iter()
                .map(|r| format!("{} {} {} {} [{}]", r.name, r.ttl, r.dns_class, r.record_type(), r.data))
                .collect()
        };
        assert_eq!(message.queries, [Query::query(wire_name(&zone().apex).unwrap(), RecordType::SOA)]);
        assert_eq!(
            shown(&message.answers),
            [
                "_acme-challenge.n1.example.com. 0 NONE TXT [UPDATE]",
                "_acme-challenge.n1.example.com. 0 NONE CNAME [UPDATE]"
            ]
        );
        assert_eq!(
            shown(&message.authorities),
            [
                "_acme-challenge.n1.example.com. 5 IN TXT [a]",
                "_acme-challenge.n2.example.com. 0 NONE TXT [b]"
            ]
        );
        let plain = update(7, &zone(), &changes, Guard::Off, &ttl).unwrap();
        assert!(plain.answers.is_empty());
        assert_eq!(plain.authorities, message.authorities);
    }

    #[test]
    fn a_time_to_live_has_31_bits() {
        let long = |_: &DomainName| Duration::MAX;
        let message = update(7, &zone(), &[Change::add(name(1), "a")], Guard::Off, &long).unwrap();
        assert_eq!(message.authorities.first().map(|record| record.ttl), Some(0x7fff_ffff));
    }

    proptest! {
        #[test]
        fn every_run_fits_into_a_message_and_none_is_lost(
            lengths in proptest::collection::vec(1..=txt::MAX_VALUE, 0..60),
        ) {
            let changes: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(index, length)| Change::add(name(index), "v".repeat(*length)))
                .collect();
            let runs = runs(&changes);
            prop_assert_eq!(&runs.concat(), &changes);
            for run in runs {
                let message = update(7, &zone(), run, Guard::On, &|_| Duration::ZERO).unwrap();
                prop_assert!(message.to_vec().unwrap().len() < 65_000);
            }
        }
    }
}
