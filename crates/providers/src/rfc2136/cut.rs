//! Where the zone of a name begins, as one server's answer to an SOA query tells (RFC 1034 §4.3.2,
//! RFC 2308 §2).

use hickory_proto::{
    op::Message,
    rr::{Record, RecordType},
};
use perennial_core::DomainName;

use super::message::domain_name;

/// What an answer tells about the zone of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The zone's apex, from the answer at the apex itself or from the authority section below it.
    Apex(DomainName),
    /// A referral: the server has a zone above, and this name and all below it are somebody else's.
    Delegated(DomainName),
    /// Nothing, as when the name is an alias: the name above may tell.
    Nothing,
}

/// Reads an answer to an SOA query for `name`.
pub(super) fn read(answer: &Message, name: &DomainName) -> Cut {
    let owner_of = |records: &[Record], kind: RecordType| {
        let mut owners = records
            .iter()
            .filter(|record| record.record_type() == kind)
            .filter_map(|record| domain_name(&record.name));
        owners.find(|owner| name.is_at_or_below(owner))
    };
    let soa = owner_of(&answer.answers, RecordType::SOA);
    if let Some(apex) = soa.or_else(|| owner_of(&answer.authorities, RecordType::SOA)) {
        return Cut::Apex(apex);
    }
    match owner_of(&answer.authorities, RecordType::NS) {
        // Beside an answer, name servers are no referral (RFC 1034 §4.3.2 step 4 and 6).
        Some(cut) if answer.answers.is_empty() && !answer.metadata.authoritative => Cut::Delegated(cut),
        _ => Cut::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::{
        op::{MessageType, OpCode},
        rr::{
            Name, RData,
            rdata::{CNAME, NS, SOA},
        },
    };

    fn wire(name: &str) -> Name {
        Name::from_ascii(name).unwrap()
    }

    fn soa(owner: &str) -> Record {
        let data = SOA::new(wire("ns.example."), wire("h.example."), 1, 1, 1, 1, 1);
        Record::from_rdata(wire(owner), 60, RData::SOA(data))
    }

    fn ns(owner: &str) -> Record {
        Record::from_rdata(wire(owner), 60, RData::NS(NS(wire("ns.elsewhere."))))
    }

    fn answer(answers: Vec<Record>, authorities: Vec<Record>) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.answers = answers;
        message.authorities = authorities;
        message
    }

    fn cut(message: &Message) -> Cut {
        read(message, &"_acme-challenge.www.example.com".parse().unwrap())
    }

    fn apex(name: &str) -> Cut {
        Cut::Apex(name.parse().unwrap())
    }

    #[test]
    fn the_apex_comes_from_the_answer_or_from_the_authority_section() {
        let name = "_acme-challenge.www.Example.com.";
        assert_eq!(cut(&answer(vec![soa(name)], vec![ns(name)])), apex(name));
        assert_eq!(cut(&answer(vec![], vec![soa("example.com.")])), apex("example.com"));
    }

    #[test]
    fn an_alias_tells_nothing_about_the_zone_of_its_name() {
        let target = RData::CNAME(CNAME(wire("x.elsewhere.net.")));
        let alias = Record::from_rdata(wire("_acme-challenge.www.example.com."), 60, target);
        assert_eq!(cut(&answer(vec![alias], vec![soa("elsewhere.net.")])), Cut::Nothing);
    }

    #[test]
    fn a_referral_is_no_zone_of_this_server() {
        let delegated = Cut::Delegated("www.example.com".parse().unwrap());
        assert_eq!(cut(&answer(vec![], vec![ns("www.example.com.")])), delegated);
        assert_eq!(cut(&answer(vec![], vec![ns(".")])), Cut::Nothing, "an upward referral");
        assert_eq!(cut(&answer(vec![], vec![])), Cut::Nothing);
    }
}
