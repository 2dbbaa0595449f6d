//! What an authoritative server says: RFC 1034 §4.3.2, as amended by RFC 2308 (negative answers), RFC 4592
//! (wildcards) and RFC 6604 (aliases). Pure: the states of the zones and the question in, the sections out.

use std::sync::Arc;

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, Record, RecordType},
};

use super::zone::Contents;

/// The variable parts of a response.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

/// Answers a question from the zones that a server has.
pub(super) fn answer(zones: &[Arc<Contents>], name: &Name, kind: RecordType) -> Answer {
    let mut answer = Answer::default();
    let mut name = name.clone();
    // An alias may lead anywhere, also in circles.
    for _ in 0..=LONGEST_CHAIN {
        let Some(zone) = zone_of(zones, &name, kind) else {
            if answer.answers.is_empty() {
                answer.code = ResponseCode::Refused;
            }
            return answer;
        };
        // RFC 1035 §4.1.1: the bit speaks of the first owner name.
        match step(zone, &name, kind, &mut answer) {
            Step::Done => return answer,
            Step::Alias(target) => name = target,
        }
    }
    answer
}

enum Step {
    Done,
    Alias(Name),
}

fn step(zone: &Contents, name: &Name, kind: RecordType, answer: &mut Answer) -> Step {
    if let Some(cut) = cut_above(zone, name, kind) {
        refer(zone, &cut, answer);
        return Step::Done;
    }
    answer.authoritative |= answer.answers.is_empty();
    let source = if zone.exists(name) {
        name.clone()
    } else if let Some(wildcard) = wildcard_for(zone, name) {
        wildcard
    } else {
        answer.code = ResponseCode::NXDomain;
        answer.authorities.extend(zone.negative_soa());
        return Step::Done;
    };
    let synthesize = |record: &Record| {
        let mut record = record.clone();
        record.name = name.clone();
        record
    };
    if !matches!(kind, RecordType::CNAME | RecordType::ANY)
        && let Some(alias) = zone.records_of(&source, RecordType::CNAME).next()
    {
        answer.answers.push(synthesize(alias));
        if let RData::CNAME(target) = &alias.data {
            return Step::Alias(target.0.clone());
        }
    }
    let before = answer.answers.len();
    answer.answers.extend(zone.records_of(&source, kind).map(synthesize));
    if answer.answers.len() == before {
        answer.authorities.extend(zone.negative_soa());
    } else if kind == RecordType::NS {
        let hosts: Vec<Record> = zone.records_of(&source, RecordType::NS).cloned().collect();
        answer.additionals.extend(addresses_of(zone, &hosts));
    }
    Step::Done
}

/// The zone that knows most about a name; the parent's for DS at a cut (RFC 4035 §3.1.4.1).
fn zone_of<'a>(zones: &'a [Arc<Contents>], name: &Name, kind: RecordType) -> Option<&'a Contents> {
    let candidates = || zones.iter().map(AsRef::as_ref).filter(|zone| zone.origin().zone_of(name));
    let deepest = |zone: &&Contents| zone.origin().num_labels();
    let parent = || candidates().filter(|zone| zone.origin() != name).max_by_key(deepest);
    if kind == RecordType::DS { parent() } else { None }.or_else(|| candidates().max_by_key(deepest))
}

/// The highest delegation at or above a name, below the top of the zone.
fn cut_above(zone: &Contents, name: &Name, kind: RecordType) -> Option<Name> {
    let labels = usize::from(name.num_labels());
    let top = usize::from(zone.origin().num_labels());
    (top + 1..=labels).map(|count| name.trim_to(count)).find(|candidate| {
        zone.has(candidate, RecordType::NS) && !(kind == RecordType::DS && candidate == name)
    })
}

fn refer(zone: &Contents, cut: &Name, answer: &mut Answer) {
    let hosts: Vec<Record> = zone.records_of(cut, RecordType::NS).cloned().collect();
    answer.additionals.extend(addresses_of(zone, &hosts));
    answer.authorities.extend(hosts);
}

fn addresses_of(zone: &Contents, hosts: &[Record]) -> Vec<Record> {
    let mut addresses = Vec::new();
    for host in hosts {
        if let RData::NS(host) = &host.data {
            addresses.extend(zone.records_of(&host.0, RecordType::A).cloned());
            addresses.extend(zone.records_of(&host.0, RecordType::AAAA).cloned());
        }
    }
    addresses
}

/// The wildcard below the closest encloser (RFC 4592 §3.3.1), if there is one.
fn wildcard_for(zone: &Contents, name: &Name) -> Option<Name> {
    let mut encloser = name.base_name();
    while !zone.exists(&encloser) {
        if encloser.is_root() {
            return None;
        }
        encloser = encloser.base_name();
    }
    let wildcard = encloser.prepend_label("*").ok()?;
    zone.exists(&wildcard).then_some(wildcard)
}

/// Resolvers follow between 8 (Let's Encrypt's unbound: 11) and 16 aliases; nobody sane needs more.
const LONGEST_CHAIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Data, Zone, data::parse_name};

    fn zones() -> Vec<Arc<Contents>> {
        let parent = Zone::new("example").unwrap();
        parent.add_name_server("ns.example", &["127.0.0.1".parse().unwrap()]).unwrap();
        parent.add("a.b.example", Data::txt("deep")).unwrap();
        parent.add("www.example", Data::Cname("host.c.example".parse().unwrap())).unwrap();
        parent.add("loop.example", Data::Cname("loop.example".parse().unwrap())).unwrap();
        parent.add("out.example", Data::Cname("elsewhere.test".parse().unwrap())).unwrap();
        parent.add("*.wild.example", Data::txt("any")).unwrap();
        parent.add("x.y.wild.example", Data::txt("own")).unwrap();
        parent.delegate("c.example", "ns.c.example", &["127.0.0.2".parse().unwrap()]).unwrap();
        let child = Zone::new("c.example").unwrap();
        child.add_name_server("ns.c.example", &["127.0.0.2".parse().unwrap()]).unwrap();
        child.add("host.c.example", Data::txt("here")).unwrap();
        vec![parent.latest(), child.latest()]
    }

    /// Code, AA, and the sections as `owner/type` words.
    fn ask(zones: &[Arc<Contents>], name: &str, kind: RecordType) -> String {
        let answer = answer(zones, &parse_name(name).unwrap(), kind);
        let words = |records: &[Record]| {
            let words = records.iter().map(|record| {
                format!("{}/{}", crate::dns::data::name_text(&record.name), record.record_type())
            });
            words.collect::<Vec<_>>().join(" ")
        };
        let authority = if answer.authoritative { "AA" } else { "aa" };
        let (answers, authorities) = (words(&answer.answers), words(&answer.authorities));
        format!("{:?} {authority} | {answers} | {authorities} | {}", answer.code, words(&answer.additionals))
    }

    #[test]
    fn every_branch_of_the_algorithm_answers_as_the_standards_say() {
        let (all, parent) = (zones(), &zones()[..1]);
        use RecordType::{A, CNAME, DS, NS, SOA, TXT};
        for (zones, name, kind, said) in [
            (&all[..], "a.b.example", TXT, "NoError AA | a.b.example/TXT |  | "),
            (&all, "a.b.example", A, "NoError AA |  | example/SOA | "), // no data
            (&all, "b.example", TXT, "NoError AA |  | example/SOA | "), // an empty non-terminal
            (&all, "z.example", TXT, "NXDomain AA |  | example/SOA | "),
            (&all, "EXAMPLE", SOA, "NoError AA | example/SOA |  | "),
            (&all, "example", NS, "NoError AA | example/NS |  | ns.example/A"),
            (&all, "elsewhere.test", TXT, "Refused aa |  |  | "),
            // The child's servers speak for the child; the parent's alone refer to them.
            (&all, "c.example", NS, "NoError AA | c.example/NS |  | ns.c.example/A"),
            (parent, "c.example", NS, "NoError aa |  | c.example/NS | ns.c.example/A"),
            (parent, "deep.host.c.example", TXT, "NoError aa |  | c.example/NS | ns.c.example/A"),
            (&all, "c.example", DS, "NoError AA |  | example/SOA | "),
            (parent, "c.example", DS, "NoError AA |  | example/SOA | "),
            // Aliases
            (&all, "www.example", TXT, "NoError AA | www.example/CNAME host.c.example/TXT |  | "),
            (&all, "www.example", CNAME, "NoError AA | www.example/CNAME |  | "),
            (parent, "www.example", TXT, "NoError AA | www.example/CNAME | c.example/NS | ns.c.example/A"),
            (&all, "out.example", TXT, "NoError AA | out.example/CNAME |  | "),
            // Wildcards
            (&all, "q.wild.example", TXT, "NoError AA | q.wild.example/TXT |  | "),
            (&all, "p.q.wild.example", TXT, "NoError AA | p.q.wild.example/TXT |  | "),
            (&all, "q.wild.example", A, "NoError AA |  | example/SOA | "),
            (&all, "y.wild.example", TXT, "NoError AA |  | example/SOA | "), // exists, so the wildcard is silent
            (&all, "z.y.wild.example", TXT, "NXDomain AA |  | example/SOA | "),
        ] {
            assert_eq!(ask(zones, name, kind), said, "{name} {kind}");
        }
    }

    #[test]
    fn an_alias_to_itself_ends() {
        let answer = answer(&zones(), &parse_name("loop.example").unwrap(), RecordType::TXT);
        assert_eq!(answer.answers.len(), LONGEST_CHAIN + 1);
    }
}
