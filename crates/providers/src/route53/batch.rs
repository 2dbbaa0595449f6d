//! The changes of ChangeResourceRecordSets, in as few batches as their size allows.

use quick_xml::escape::escape;

use super::text;
use crate::engine::{RecordSet, Swap};

/// The bodies of the requests that make these swaps, one after the other; `create` is how a set comes to be there.
pub(super) fn of(swaps: &[Swap], create: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut batch = ChangeBatch::new();
    for swap in swaps {
        let mut next = ChangeBatch::new();
        next.push("DELETE", &swap.old);
        next.push(create, &swap.new);
        if !batch.has_room_for(&next) {
            bodies.extend(batch.finish());
            batch = ChangeBatch::new();
        }
        batch.append(&next);
    }
    bodies.extend(batch.finish());
    bodies
}

/// Changes with what they weigh.
struct ChangeBatch {
    changes: String,
    records: usize,
    characters: usize,
}

/// What a batch may hold (Route 53 API Reference, ChangeResourceRecordSets): 1,000 records and 32,000 characters of
/// values, a tenth of both kept back.
const MOST_RECORDS: usize = 900;
const MOST_CHARACTERS: usize = 28_800;

impl ChangeBatch {
    const fn new() -> Self {
        Self { changes: String::new(), records: 0, characters: 0 }
    }

    const fn has_room_for(&self, other: &Self) -> bool {
        self.records + other.records <= MOST_RECORDS && self.characters + other.characters <= MOST_CHARACTERS
    }

    fn append(&mut self, other: &Self) {
        self.changes.push_str(&other.changes);
        self.records += other.records;
        self.characters += other.characters;
    }

    /// Deletes or creates a set, if there is anything in it. A deletion has to name exactly what is there, and
    /// a sibling's value goes back as it came.
    fn push(&mut self, action: &str, set: &RecordSet) {
        if set.members.is_empty() {
            return;
        }
        let ttl = set.ttl.map_or(0, |ttl| ttl.as_secs());
        self.changes.push_str(&format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{}.</Name><Type>TXT</Type>\
             <TTL>{ttl}</TTL><ResourceRecords>",
            escape(set.name.as_str())
        ));
        for member in &set.members {
            let value = member.raw.clone().unwrap_or_else(|| text::quote(&member.value));
            self.changes
                .push_str(&format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escape(&value)));
            self.records += 1;
            self.characters += value.chars().count();
        }
        self.changes.push_str("</ResourceRecords></ResourceRecordSet></Change>");
    }

    /// The body of the request, if there is anything to change.
    fn finish(&self) -> Option<String> {
        (!self.changes.is_empty()).then(|| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                 <ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
                 <ChangeBatch><Changes>{}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
                self.changes
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Member;
    use std::time::Duration;

    fn set(name: &str, members: impl Into<Vec<Member>>) -> RecordSet {
        RecordSet::new(name.parse().unwrap(), members.into(), Some(Duration::from_secs(60)))
    }

    fn addition(name: &str, value: &str) -> Swap {
        Swap { old: set(name, []), new: set(name, [Member::new(value)]) }
    }

    #[test]
    fn a_swap_deletes_what_was_read_and_creates_what_is_wanted() {
        let name = "_acme-challenge.example.com";
        let old = set(name, [Member::echoed("a&b", "\"a&\" \"b\"")]);
        let new = set(name, [Member::echoed("a&b", "\"a&\" \"b\""), Member::new("c")]);
        assert_eq!(
            of(&[Swap { old, new }], "CREATE"),
            ["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
              <ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\">\
              <ChangeBatch><Changes>\
              <Change><Action>DELETE</Action><ResourceRecordSet><Name>_acme-challenge.example.com.</Name>\
              <Type>TXT</Type><TTL>60</TTL><ResourceRecords>\
              <ResourceRecord><Value>&quot;a&amp;&quot; &quot;b&quot;</Value></ResourceRecord>\
              </ResourceRecords></ResourceRecordSet></Change>\
              <Change><Action>CREATE</Action><ResourceRecordSet><Name>_acme-challenge.example.com.</Name>\
              <Type>TXT</Type><TTL>60</TTL><ResourceRecords>\
              <ResourceRecord><Value>&quot;a&amp;&quot; &quot;b&quot;</Value></ResourceRecord>\
              <ResourceRecord><Value>&quot;c&quot;</Value></ResourceRecord>\
              </ResourceRecords></ResourceRecordSet></Change>\
              </Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"]
        );
    }

    #[test]
    fn fifty_names_with_two_values_each_are_one_batch() {
        let value = "x".repeat(43);
        let swaps: Vec<_> = (0..50)
            .map(|n| {
                let name = format!("_acme-challenge.h{n}.example.com");
                Swap { old: set(&name, []), new: set(&name, [Member::new(&value), Member::new(&value)]) }
            })
            .collect();
        assert_eq!(of(&swaps, "CREATE").len(), 1);
    }

    #[test]
    fn what_is_too_much_for_one_batch_is_cut_between_two_sets() {
        let swaps: Vec<_> =
            (0..20).map(|n| addition(&format!("h{n}.example.com"), &"x".repeat(4096))).collect();
        let bodies = of(&swaps, "CREATE");
        assert_eq!(bodies.len(), 4);
        assert_eq!(bodies.iter().map(|body| body.matches("<Change>").count()).sum::<usize>(), 20);
        assert!(of(&[], "CREATE").is_empty());
    }
}
