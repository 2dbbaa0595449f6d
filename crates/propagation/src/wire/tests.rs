//! Our reader and writer beside hickory-proto's, which is the judge.

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::{
    dnssec::{
        Algorithm, DigestType,
        rdata::{DNSSECRData, DS},
    },
    op,
    rr::{
        self, RData,
        rdata::{
            self,
            opt::{EdnsCode, EdnsOption},
        },
    },
};
use perennial_core::DomainName;
use proptest::prelude::*;

use super::{
    Answer, Data, Edns, Query, Record, RecordType, ResponseCode, Style,
    message::{Likeness, likeness, parse},
};

/// What the judge reads in a message, in our words; without what EDNS options say.
fn judged(message: &op::Message) -> Answer {
    let section = |records: &[rr::Record]| records.iter().filter_map(record).collect();
    Answer {
        code: ResponseCode(message.metadata.response_code.into()),
        authoritative: message.metadata.authoritative,
        truncated: message.metadata.truncation,
        recursion_available: message.metadata.recursion_available,
        authentic_data: message.metadata.authentic_data,
        answers: section(&message.answers),
        authorities: section(&message.authorities),
        additionals: section(&message.additionals),
        ..Answer::default()
    }
}

fn record(record: &rr::Record) -> Option<Record> {
    let data = match &record.data {
        RData::A(a) => Data::A(a.0),
        RData::AAAA(aaaa) => Data::Aaaa(aaaa.0),
        RData::CAA(caa) => Data::Caa {
            critical: caa.issuer_critical,
            tag: caa.tag.to_ascii_lowercase(),
            value: caa.value.clone(),
        },
        RData::CNAME(target) => Data::Cname(domain_name(&target.0)??),
        RData::NS(server) => Data::Ns(domain_name(&server.0)??),
        RData::DNSSEC(DNSSECRData::DS(ds)) => {
            Data::Ds { key_tag: ds.key_tag(), algorithm: ds.algorithm().into() }
        }
        RData::SOA(soa) => Data::Soa { serial: soa.serial, minimum: soa.minimum },
        RData::TXT(txt) => Data::Txt(txt.txt_data.concat()),
        _ => return None,
    };
    let ttl = if record.ttl >> 31 == 0 { record.ttl } else { 0 };
    let ours = record.dns_class == rr::DNSClass::IN;
    ours.then_some(Record { owner: domain_name(&record.name)?, ttl, data })
}

#[expect(clippy::option_option, reason = "the root, a name, or none that we can hold")]
fn domain_name(name: &rr::Name) -> Option<Option<DomainName>> {
    if name.is_root() { Some(None) } else { DomainName::parse(&name.to_ascii()).ok().map(Some) }
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => "[a-zA-Z0-9_]{1,8}".prop_map(String::into_bytes),
        1 => "xn--[a-z0-9]{1,8}".prop_map(String::into_bytes),
        1 => "[*]".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..20),
    ]
}

fn name() -> impl Strategy<Value = rr::Name> {
    // Few endings, so that names share them and are compressed.
    let ending = prop_oneof![Just(vec![]), Just(vec![b"com".to_vec(), b"Example".to_vec()])];
    (prop::collection::vec(label(), 0..4), ending)
        .prop_map(|(labels, ending)| rr::Name::from_labels([labels, ending].concat()).unwrap_or_default())
}

fn data() -> impl Strategy<Value = RData> {
    let text = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4);
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| RData::A(rdata::A(Ipv4Addr::from(octets)))),
        any::<[u8; 16]>().prop_map(|octets| RData::AAAA(rdata::AAAA(Ipv6Addr::from(octets)))),
        name().prop_map(|name| RData::CNAME(rdata::CNAME(name))),
        name().prop_map(|name| RData::NS(rdata::NS(name))),
        (any::<u16>(), name()).prop_map(|(weight, name)| RData::MX(rdata::MX::new(weight, name))),
        (name(), name(), any::<[u32; 2]>())
            .prop_map(|(m, r, [a, b])| RData::SOA(rdata::SOA::new(m, r, a, 1, 2, 3, b))),
        text.prop_map(|texts| {
            let parts = texts.iter().map(|text| &text[..text.len().min(255)]).collect();
            RData::TXT(rdata::TXT::from_bytes(parts))
        }),
        (any::<bool>(), "[a-zA-Z0-9]{1,10}", prop::collection::vec(any::<u8>(), 0..40)).prop_map(
            |(critical, tag, value)| {
                let mut caa = rdata::CAA::new_issue(critical, None, vec![]);
                (caa.tag, caa.value) = (tag, value);
                RData::CAA(caa)
            }
        ),
        (any::<u16>(), prop::collection::vec(any::<u8>(), 32)).prop_map(|(tag, digest)| {
            let ds = DS::new(tag, Algorithm::ED25519, DigestType::SHA256, digest);
            RData::DNSSEC(DNSSECRData::DS(ds))
        }),
    ]
}

prop_compose! {
    fn message()(
        id: u16, code in 0_u16..4095, bits: [bool; 4], question in name(),
        records in prop::collection::vec((name(), any::<u32>(), data(), 0..3), 0..12),
        edns in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
    ) -> op::Message {
        let mut message = op::Message::response(id, op::OpCode::Query);
        let metadata = &mut message.metadata;
        metadata.authoritative = bits[0];
        metadata.recursion_available = bits[1];
        metadata.authentic_data = bits[2];
        metadata.truncation = bits[3];
        metadata.response_code = if edns.is_some() {
            op::ResponseCode::from((code >> 4) as u8, (code & 15) as u8)
        } else {
            op::ResponseCode::from_low((code & 15) as u8)
        };
        message.add_query(op::Query::query(question, rr::RecordType::TXT));
        for (owner, ttl, data, section) in records {
            let record = rr::Record::from_rdata(owner, ttl, data);
            match section {
                0 => message.add_answer(record),
                1 => message.add_authority(record),
                _ => message.add_additional(record),
            };
        }
        if let Some(text) = edns {
            let mut edns = op::Edns::new();
            edns.set_rcode_high((code >> 4) as u8);
            edns.options_mut().insert(EdnsOption::Unknown(15, [&[0, 22][..], &text].concat()));
            edns.options_mut().insert(EdnsOption::Unknown(10, text));
            message.set_edns(edns);
        }
        message
    }
}

proptest! {
    #[test]
    fn we_read_what_the_judge_wrote(message in message()) {
        let octets = message.to_vec().unwrap();
        // What the judge itself reads back: its own writer does not keep every label apart.
        let again = op::Message::from_vec(&octets).unwrap();
        let parsed = parse(&octets, None).unwrap();
        let cookie = again.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Cookie)).cloned();
        match cookie {
            Some(EdnsOption::Unknown(_, cookie)) => prop_assert_eq!(parsed.cookie, Some(&cookie[..])),
            _ => prop_assert_eq!(parsed.cookie, None),
        }
        let mut answer = parsed.answer;
        prop_assert_eq!(answer.extended_error.take().is_some(), again.edns.is_some());
        prop_assert_eq!(answer, judged(&again));
    }

    #[test]
    fn where_both_can_read_a_broken_message_they_read_the_same(
        message in message(), at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(), shorten: bool,
    ) {
        let mut octets = message.to_vec().unwrap();
        for (at, with) in at {
            let at = at.index(octets.len());
            octets[at] = with;
        }
        if shorten {
            octets.truncate(cut.index(octets.len()));
        }
        let (ours, theirs) = (parse(&octets, None), op::Message::from_vec(&octets));
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) && !ours.answer.truncated {
            let mut answer = ours.answer;
            (answer.extended_error, answer.instance) = (None, None);
            prop_assert_eq!(answer, judged(&theirs));
        }
    }

    #[test]
    fn the_judge_reads_what_we_wrote(
        labels in prop::collection::vec("[a-z0-9_]{1,20}", 1..6), id: u16, case: [u64; 4],
        cookie in prop::collection::vec(any::<u8>(), 0..40), bits: [bool; 4],
    ) {
        let Ok(name) = DomainName::parse(&labels.join(".")) else { return Ok(()) };
        let mut query = Query::authoritative(name.clone(), RecordType::Caa);
        (query.recursion_desired, query.dnssec_ok, query.checking_disabled) = (bits[0], bits[1], bits[2]);
        let edns = if bits[3] { Edns::On } else { Edns::Off };
        let mut octets = vec![1, 2, 3];
        let end = query.write(&mut octets, id, &Style { edns, case, cookie: &cookie }).unwrap();
        let read = op::Message::from_vec(&octets).unwrap();
        prop_assert_eq!(read.metadata.id, id);
        prop_assert_eq!(read.metadata.recursion_desired, bits[0]);
        prop_assert_eq!(read.metadata.checking_disabled, bits[2]);
        let question = &read.queries[0];
        prop_assert_eq!(question.query_type(), rr::RecordType::CAA);
        prop_assert_eq!(question.query_class(), rr::DNSClass::IN);
        prop_assert_eq!(domain_name(question.name()), Some(Some(name)));
        prop_assert_eq!(read.edns.is_some(), bits[3]);
        if let Some(extension) = &read.edns {
            prop_assert_eq!(extension.max_payload(), 1232);
            prop_assert_eq!(extension.flags().dnssec_ok, bits[1]);
            prop_assert!(extension.option(EdnsCode::NSID).is_some());
            prop_assert_eq!(extension.option(EdnsCode::Cookie).is_some(), !cookie.is_empty());
        }
        // The server's echo is ours to the octet, in another case it is not, and with another octet it is none.
        octets[2] |= 0x80;
        let mut sent = octets.clone();
        sent[2] &= 0x7f;
        prop_assert_eq!(likeness(&octets, &sent, end), Likeness::Same);
        let folded = query.write(&mut sent, id, &Style::default()).unwrap();
        let expected = if octets[12..end] == sent[12..end] { Likeness::Same } else { Likeness::OtherCase };
        prop_assert_eq!(likeness(&octets, &sent, folded), expected);
        octets[end - 3] ^= 0x20;
        prop_assert_eq!(likeness(&octets, &sent, folded), Likeness::Other);
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..600), at in 0_usize..700) {
        let _ = parse(&octets, None);
        let _ = likeness(&octets, &octets, at);
    }
}

#[test]
fn a_count_that_lies_and_a_section_without_end_are_refused() {
    let query = Query::authoritative("a.example".parse().unwrap(), RecordType::Txt);
    let question = query.encode(7).unwrap();
    let with = |records: usize, count: u16| {
        let mut octets = question.octets[..question.octets.len() - 15].to_vec();
        (octets[2], octets[11]) = (0x84, 0);
        octets[6..8].copy_from_slice(&count.to_be_bytes());
        for _ in 0..records {
            octets.extend(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x02\x01x");
        }
        octets
    };
    assert_eq!(question.answer(&with(2, 2), &query).unwrap().answers.len(), 2);
    assert!(parse(&with(2, 3), None).unwrap_err().reason.contains("early"));
    assert_eq!(parse(&with(3, 2), None).unwrap().answer.answers.len(), 2, "what trails is passed over");
    let mut cut = with(2, 3);
    cut[2] |= 0x02;
    assert!(parse(&cut, None).unwrap().answer.truncated, "and over TCP it comes whole");
    assert!(parse(&with(4097, 4097), None).unwrap_err().reason.contains("4096"));
}

#[test]
fn an_opt_record_is_one_of_the_root_and_among_the_additional_ones() {
    let opt = |owner: &[u8]| [owner, b"\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00"].concat();
    let message = |counts: [u8; 3], records: &[Vec<u8>]| {
        let head = [0, 7, 0x84, 0, 0, 0, 0, counts[0], 0, counts[1], 0, counts[2]];
        parse(&[&head[..], &records.concat()].concat(), None).map(|parsed| parsed.answer)
    };
    assert_eq!(message([0, 0, 1], &[opt(b"\0")]).unwrap().code, ResponseCode(16));
    assert!(message([0, 0, 2], &[opt(b"\0"), opt(b"\0")]).is_err());
    assert!(message([0, 0, 1], &[opt(b"\x01a\0")]).is_err());
    assert!(message([1, 0, 0], &[opt(b"\0")]).is_err());
}
