//! Dynamic updates: RFC 2136. Pure: a state of the zone and the message in, the next state out.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};

use super::{TsigKey, zone::Contents};

/// Who may change what by dynamic update.
#[derive(Clone, Debug)]
pub struct UpdatePolicy {
    pub(super) keys: Vec<TsigKey>,
    scope: Scope,
}

#[derive(Clone, Copy, Debug)]
enum Scope {
    Everything,
    Challenges,
}

impl UpdatePolicy {
    /// The key may change everything in the zones.
    #[must_use]
    pub fn everything(key: &TsigKey) -> Self {
        Self { keys: vec![key.clone()], scope: Scope::Everything }
    }

    /// The key may change TXT records whose first label is `_acme-challenge` and nothing else, as a careful
    /// operator configures it.
    #[must_use]
    pub fn challenges_only(key: &TsigKey) -> Self {
        Self { keys: vec![key.clone()], scope: Scope::Challenges }
    }

    /// One more key with the same rights.
    #[must_use]
    pub fn and_key(mut self, key: &TsigKey) -> Self {
        self.keys.push(key.clone());
        self
    }

    fn allows(&self, record: &Record) -> bool {
        match self.scope {
            Scope::Everything => true,
            Scope::Challenges => {
                let first = record.name.iter().next();
                let kind = record.record_type();
                first.is_some_and(|label| label.eq_ignore_ascii_case(b"_acme-challenge"))
                    && matches!(kind, RecordType::TXT | RecordType::ANY)
            }
        }
    }
}

/// Applies an update to a copy of the zone; `true` beside it when anything changed.
pub(super) fn apply(
    zone: &Contents,
    message: &Message,
    policy: &UpdatePolicy,
) -> Result<(Contents, bool), ResponseCode> {
    check_prerequisites(zone, &message.answers)?;
    for record in &message.authorities {
        check_update(zone, record)?;
        if !policy.allows(record) {
            return Err(ResponseCode::Refused);
        }
    }
    let mut next = zone.clone();
    let mut changed = false;
    for record in &message.authorities {
        changed |= apply_one(&mut next, record);
    }
    Ok((next, changed))
}

/// RFC 2136 §3.2.
fn check_prerequisites(zone: &Contents, prerequisites: &[Record]) -> Result<(), ResponseCode> {
    for record in prerequisites {
        if record.ttl != 0 {
            return Err(ResponseCode::FormErr);
        }
        inside(zone, &record.name)?;
        let (name, kind) = (&record.name, record.record_type());
        let empty = matches!(record.data, RData::Update0(_));
        match (record.dns_class, kind) {
            (DNSClass::ANY, _) if !empty => return Err(ResponseCode::FormErr),
            (DNSClass::ANY, RecordType::ANY) if zone.records_at(name).is_empty() => {
                return Err(ResponseCode::NXDomain);
            }
            (DNSClass::ANY, _) if !zone.has(name, kind) => return Err(ResponseCode::NXRRSet),
            (DNSClass::NONE, _) if !empty => return Err(ResponseCode::FormErr),
            (DNSClass::NONE, RecordType::ANY) if !zone.records_at(name).is_empty() => {
                return Err(ResponseCode::YXDomain);
            }
            (DNSClass::NONE, kind) if kind != RecordType::ANY && zone.has(name, kind) => {
                return Err(ResponseCode::YXRRSet);
            }
            (DNSClass::ANY | DNSClass::NONE | DNSClass::IN, _) => {}
            _ => return Err(ResponseCode::FormErr),
        }
    }
    check_whole_sets(zone, prerequisites)
}

/// RFC 2136 §3.2.3: records of the zone's class say what an RRset must be, no more and no less.
fn check_whole_sets(zone: &Contents, prerequisites: &[Record]) -> Result<(), ResponseCode> {
    let wanted = || prerequisites.iter().filter(|record| record.dns_class == DNSClass::IN);
    for record in wanted() {
        let same = |other: &&Record| other.name == record.name && other.record_type() == record.record_type();
        let there = || zone.records_of(&record.name, record.record_type());
        let missing = wanted().filter(same).any(|want| !there().any(|have| have.data == want.data));
        let surplus = there().any(|have| !wanted().filter(same).any(|want| want.data == have.data));
        if missing || surplus {
            return Err(ResponseCode::NXRRSet);
        }
    }
    Ok(())
}

/// RFC 2136 §3.4.1.
fn check_update(zone: &Contents, record: &Record) -> Result<(), ResponseCode> {
    inside(zone, &record.name)?;
    let empty = matches!(record.data, RData::Update0(_));
    let meta = matches!(record.record_type(), RecordType::ANY | RecordType::AXFR | RecordType::IXFR);
    let sound = match record.dns_class {
        DNSClass::IN => !meta && !empty,
        DNSClass::ANY => {
            let kind = record.record_type();
            record.ttl == 0 && empty && (!meta || kind == RecordType::ANY)
        }
        DNSClass::NONE => record.ttl == 0 && !meta && !empty,
        _ => false,
    };
    if sound { Ok(()) } else { Err(ResponseCode::FormErr) }
}

fn inside(zone: &Contents, name: &Name) -> Result<(), ResponseCode> {
    if zone.origin().zone_of(name) { Ok(()) } else { Err(ResponseCode::NotZone) }
}

/// RFC 2136 §3.4.2; says whether anything changed.
fn apply_one(zone: &mut Contents, record: &Record) -> bool {
    let (name, kind) = (&record.name, record.record_type());
    let apex = name == zone.origin();
    // The zone's own SOA and NS records survive every deletion.
    let kept = |kind: RecordType| apex && matches!(kind, RecordType::SOA | RecordType::NS);
    match record.dns_class {
        DNSClass::IN => add(zone, record),
        DNSClass::ANY if kind == RecordType::ANY => zone.remove(name, |other| !kept(other.record_type())),
        DNSClass::ANY if kept(kind) => false,
        DNSClass::ANY => zone.remove(name, |other| other.record_type() == kind),
        DNSClass::NONE => {
            let last = apex && kind == RecordType::NS && zone.records_of(name, kind).count() == 1;
            let mut unwanted = record.clone();
            unwanted.dns_class = DNSClass::IN;
            !last && kind != RecordType::SOA && zone.remove(name, |other| other.data == unwanted.data)
        }
        _ => false,
    }
}

/// RFC 2136 §3.4.2.2: an alias stands alone, and a SOA record only moves forward.
fn add(zone: &mut Contents, record: &Record) -> bool {
    let name = &record.name;
    let has_alias = zone.has(name, RecordType::CNAME);
    match &record.data {
        RData::CNAME(_) if has_alias => {
            let replaced = zone.remove(name, |other| other.data != record.data);
            zone.add(record.clone()) || replaced
        }
        RData::CNAME(_) => zone.records_at(name).is_empty() && zone.add(record.clone()),
        RData::SOA(soa) => {
            let newer = soa.serial.wrapping_sub(zone.serial()).cast_signed() > 0;
            if newer && name == zone.origin() {
                zone.remove(name, |other| other.record_type() == RecordType::SOA);
                return zone.add(record.clone());
            }
            false
        }
        _ => !has_alias && zone.add(record.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Data, TsigAlgorithm, Zone, data::parse_name};
    use hickory_proto::op::{MessageType, OpCode};

    fn zone() -> Contents {
        let zone = Zone::new("example.com").unwrap();
        zone.add_name_server("ns.example.com", &[]).unwrap();
        zone.add("_acme-challenge.example.com", Data::txt("one")).unwrap();
        zone.add("www.example.com", Data::Cname("example.com".parse().unwrap())).unwrap();
        Contents::clone(&zone.latest())
    }

    fn key() -> TsigKey {
        TsigKey::generate("key", TsigAlgorithm::HmacSha256).unwrap()
    }

    fn record(name: &str, class: DNSClass, ttl: u32, data: RData) -> Record {
        let mut record = Record::from_rdata(parse_name(name).unwrap(), ttl, data);
        record.dns_class = class;
        record
    }

    fn txt(name: &str, class: DNSClass, text: &str) -> Record {
        record(name, class, if class == DNSClass::IN { 60 } else { 0 }, Data::txt(text).to_rdata())
    }

    fn bare(name: &str, class: DNSClass, kind: RecordType) -> Record {
        record(name, class, 0, RData::Update0(kind))
    }

    fn run(prerequisites: Vec<Record>, updates: Vec<Record>) -> Result<(Contents, bool), ResponseCode> {
        let mut message = Message::new(1, MessageType::Query, OpCode::Update);
        message.answers = prerequisites;
        message.authorities = updates;
        apply(&zone(), &message, &UpdatePolicy::everything(&key()))
    }

    const CHALLENGE: &str = "_acme-challenge.example.com";

    #[test]
    fn a_value_is_added_beside_its_sibling_and_removed_alone() {
        let (next, changed) = run(vec![], vec![txt(CHALLENGE, DNSClass::IN, "two")]).unwrap();
        assert!(changed && next.records_at(&parse_name(CHALLENGE).unwrap()).len() == 2);
        let (next, changed) = run(vec![], vec![txt(CHALLENGE, DNSClass::NONE, "one")]).unwrap();
        assert!(changed && next.records_at(&parse_name(CHALLENGE).unwrap()).is_empty());
        let (_, changed) = run(vec![], vec![txt(CHALLENGE, DNSClass::NONE, "two")]).unwrap();
        assert!(!changed);
        let (_, changed) = run(vec![], vec![txt(CHALLENGE, DNSClass::IN, "one")]).unwrap();
        assert!(!changed);
    }

    #[test]
    fn the_zones_own_records_survive_deletion() {
        let apex = parse_name("example.com").unwrap();
        for update in [
            bare("example.com", DNSClass::ANY, RecordType::ANY),
            bare("example.com", DNSClass::ANY, RecordType::SOA),
            bare("example.com", DNSClass::ANY, RecordType::NS),
            record("example.com", DNSClass::NONE, 0, Data::Ns("ns.example.com".parse().unwrap()).to_rdata()),
        ] {
            let (next, _) = run(vec![], vec![update]).unwrap();
            assert!(next.has(&apex, RecordType::SOA) && next.has(&apex, RecordType::NS));
        }
    }

    #[test]
    fn an_alias_stands_alone() {
        let (next, changed) = run(vec![], vec![txt("www.example.com", DNSClass::IN, "x")]).unwrap();
        assert!(!changed && next.records_at(&parse_name("www.example.com").unwrap()).len() == 1);
        let alias = Data::Cname("a.example".parse().unwrap()).to_rdata();
        let (_, changed) = run(vec![], vec![record(CHALLENGE, DNSClass::IN, 60, alias.clone())]).unwrap();
        assert!(!changed);
        let (next, changed) = run(vec![], vec![record("www.example.com", DNSClass::IN, 60, alias)]).unwrap();
        assert!(changed && next.records_at(&parse_name("www.example.com").unwrap()).len() == 1);
    }

    #[test]
    fn prerequisites_decide_with_the_right_code() {
        use DNSClass::{ANY, CH, IN, NONE};
        use RecordType as Type;
        let strict = |mut record: Record| {
            record.ttl = 0;
            record
        };
        for (prerequisite, code) in [
            (bare(CHALLENGE, ANY, Type::ANY), None),
            (bare("z.example.com", ANY, Type::ANY), Some(ResponseCode::NXDomain)),
            (bare(CHALLENGE, ANY, Type::TXT), None),
            (bare(CHALLENGE, ANY, Type::A), Some(ResponseCode::NXRRSet)),
            (bare("z.example.com", NONE, Type::ANY), None),
            (bare(CHALLENGE, NONE, Type::ANY), Some(ResponseCode::YXDomain)),
            (bare(CHALLENGE, NONE, Type::A), None),
            (bare(CHALLENGE, NONE, Type::TXT), Some(ResponseCode::YXRRSet)),
            (strict(txt(CHALLENGE, IN, "one")), None),
            (strict(txt(CHALLENGE, IN, "two")), Some(ResponseCode::NXRRSet)),
            (txt(CHALLENGE, IN, "one"), Some(ResponseCode::FormErr)), // its TTL must be 0
            (txt(CHALLENGE, NONE, "one"), Some(ResponseCode::FormErr)),
            (txt(CHALLENGE, CH, "one"), Some(ResponseCode::FormErr)),
            (bare("example.org", ANY, Type::ANY), Some(ResponseCode::NotZone)),
        ] {
            let shown = format!("{prerequisite}");
            assert_eq!(run(vec![prerequisite], vec![]).err(), code, "{shown}");
        }
    }

    #[test]
    fn a_name_outside_the_zone_or_the_policy_is_refused_and_nothing_changes() {
        let outside = txt("_acme-challenge.example.org", DNSClass::IN, "x");
        assert_eq!(run(vec![], vec![outside]).unwrap_err(), ResponseCode::NotZone);
        let policy = UpdatePolicy::challenges_only(&key());
        for (update, allowed) in [
            (txt("_acme-challenge.www.example.com", DNSClass::IN, "x"), true),
            (bare("_ACME-challenge.www.example.com", DNSClass::ANY, RecordType::TXT), true),
            (txt("www.example.com", DNSClass::IN, "x"), false),
            (bare("example.com", DNSClass::ANY, RecordType::ANY), false),
        ] {
            let mut message = Message::new(1, MessageType::Query, OpCode::Update);
            message.authorities = vec![update];
            assert_eq!(apply(&zone(), &message, &policy).is_ok(), allowed);
        }
    }
}
