//! The answer: RFC 1035 §4.1, reduced to what a propagation check needs.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use perennial_core::{DomainName, Retry};
use serde::{Serialize, Serializer};

use super::message;

/// What one server answered to one [`Query`](super::Query).
///
/// Records of other types, of other classes, and with names that no [`DomainName`] can hold are left out.
/// The fields are public, so that a scripted [`Exchange`](crate::Exchange) can make any answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// What became of the question, extended by EDNS (RFC 6891 §6.1.3).
    pub code: ResponseCode,
    /// The AA bit: the server speaks for the zone.
    pub authoritative: bool,
    /// The TC bit: there is more, over TCP.
    pub truncated: bool,
    /// The RA bit: the server is, or also is, a resolver.
    pub recursion_available: bool,
    /// The AD bit: a resolver has validated the answer (RFC 4035 §3.2.3), and says so to those who set DO.
    pub authentic_data: bool,
    /// The answer section.
    pub answers: Vec<Record>,
    /// The authority section.
    pub authorities: Vec<Record>,
    /// The additional section, without the OPT record.
    pub additionals: Vec<Record>,
    /// Why the server could not do better, in its own words (RFC 8914).
    pub extended_error: Option<ExtendedError>,
    /// Which instance of an anycast server answered (RFC 5001): its text if it is one, else in hexadecimal.
    pub instance: Option<String>,
}

/// One resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // RFC 1035 §3.2.1 settles what a record is.
pub struct Record {
    /// Whose record it is; `None` is the root.
    pub owner: Option<DomainName>,
    /// How long it may be cached, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Who may issue certificates.
    Caa {
        /// Whether an issuer must understand the tag before it may issue (RFC 8659 §4.1).
        critical: bool,
        /// The property, in lower case.
        tag: String,
        /// What it is set to, as it came.
        value: Vec<u8>,
    },
    /// The name that this one is another name of.
    Cname(DomainName),
    /// The key of a signed zone below.
    Ds {
        /// Which of the zone's keys it is (RFC 4034 §5.1.1).
        key_tag: u16,
        /// The signature algorithm, by its number in the IANA registry.
        algorithm: u8,
    },
    /// The name of a name server.
    Ns(DomainName),
    /// The start of a zone, and its serial number.
    Soa {
        /// Grows with each change, in the arithmetic of RFC 1982, at servers that care to.
        serial: u32,
        /// How long a negative answer may be cached at most, in seconds (RFC 2308 §4).
        minimum: u32,
    },
    /// A text: the character-strings of the record joined, as RFC 8555 §8.4 readers do.
    Txt(Vec<u8>),
}

impl Answer {
    /// An empty answer with this code.
    #[must_use]
    pub fn new(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }

    /// Reads the octets of a DNS message, whatever they are.
    ///
    /// # Errors
    /// [`Malformed`] when they are no DNS message.
    pub fn parse(octets: &[u8]) -> Result<Self, Malformed> {
        message::parse(octets, None).map(|parsed| parsed.answer)
    }

    /// The name servers that a section says `zone` has, each once, in order.
    pub(crate) fn name_servers<'a>(section: &'a [Record], zone: &DomainName) -> Vec<&'a DomainName> {
        let mut names = Vec::new();
        for record in section {
            if let Data::Ns(name) = &record.data
                && record.owner.as_ref() == Some(zone)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// The serial number in the SOA record of a negative answer (RFC 2308 §3).
    pub(crate) fn serial(&self) -> Option<u32> {
        self.answers.iter().chain(&self.authorities).find_map(|record| match record.data {
            Data::Soa { serial, .. } => Some(serial),
            _ => None,
        })
    }

    /// For how many more seconds a negative answer may be cached (RFC 2308 §5): the lesser of the TTL and the
    /// minimum of the SOA record that came with it. `None` when none came: then it may not be cached.
    #[must_use]
    pub fn negative_ttl(&self) -> Option<u32> {
        self.authorities.iter().find_map(|record| match record.data {
            Data::Soa { minimum, .. } => Some(record.ttl.min(minimum)),
            _ => None,
        })
    }
}

/// The text of an NSID (RFC 5001 §3.1 leaves open what it holds).
pub(super) fn instance(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if text.len() <= MAX_TEXT && text.bytes().all(|octet| matches!(octet, b' '..=b'~')) => {
            text.to_owned()
        }
        Ok(text) if !text.chars().any(char::is_control) => text.chars().take(MAX_TEXT).collect(),
        _ => octets.iter().take(MAX_TEXT / 2).map(|octet| format!("{octet:02x}")).collect(),
    }
}

/// Longest text of a server that is kept, in characters: enough for a sentence.
const MAX_TEXT: usize = 200;

/// What became of a question: RFC 1035 §4.1.1 and the IANA registry of DNS RCODEs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs)] // A number of the registry, whatever it is.
pub struct ResponseCode(pub u16);

impl ResponseCode {
    /// Answered, perhaps with no records.
    pub const NOERROR: Self = Self(0);
    /// The server could not read the question.
    pub const FORMERR: Self = Self(1);
    /// The server has a problem of its own.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not do this.
    pub const NOTIMP: Self = Self(4);
    /// The server does not want to.
    pub const REFUSED: Self = Self(5);
    /// The server knows no such version of EDNS (RFC 6891 §6.1.3).
    pub const BADVERS: Self = Self(16);
    /// The server wants the question again with the cookie that it gives (RFC 7873 §8).
    pub const BADCOOKIE: Self = Self(23);

    /// Whether the server answered the question, be it with "no".
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::NOERROR | Self::NXDOMAIN)
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NOERROR => f.write_str("NOERROR"),
            Self::FORMERR => f.write_str("FORMERR"),
            Self::SERVFAIL => f.write_str("SERVFAIL"),
            Self::NXDOMAIN => f.write_str("NXDOMAIN"),
            Self::NOTIMP => f.write_str("NOTIMP"),
            Self::REFUSED => f.write_str("REFUSED"),
            Self::BADVERS => f.write_str("BADVERS"),
            Self::BADCOOKIE => f.write_str("BADCOOKIE"),
            Self(other) => write!(f, "RCODE{other}"),
        }
    }
}

impl Serialize for ResponseCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(clippy::exhaustive_structs)] // RFC 8914 §2 settles the two fields.
pub struct ExtendedError {
    /// The INFO-CODE of the IANA registry: 6 is "DNSSEC Bogus", 22 "No Reachable Authority".
    pub code: u16,
    /// The EXTRA-TEXT, cut at 200 characters, control characters replaced.
    pub text: String,
}

impl ExtendedError {
    pub(super) fn parse(octets: &[u8]) -> Option<Self> {
        let (code, text) = octets.split_first_chunk::<2>()?;
        Some(Self { code: u16::from_be_bytes(*code), text: printable(text) })
    }
}

impl fmt::Display for ExtendedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EDE {}", self.code)?;
        if self.text.is_empty() { Ok(()) } else { write!(f, " ({})", self.text) }
    }
}

/// A server's octets as text that is safe to print: lossy, bounded, and without control characters.
pub(crate) fn printable(octets: &[u8]) -> String {
    let shown = octets.get(..octets.len().min(4 * MAX_TEXT)).unwrap_or_default();
    let safe = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(shown).chars().take(MAX_TEXT).map(safe).collect()
}

/// Octets that are no DNS message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a DNS message: {reason}")]
#[non_exhaustive]
pub struct Malformed {
    /// What is wrong with them.
    pub reason: String,
}

impl Malformed {
    /// Never: the same octets stay what they are. Asking again is another matter.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }

    pub(super) fn new(reason: &dyn fmt::Display) -> Self {
        Self { reason: printable(reason.to_string().as_bytes()) }
    }
}

/// Octets that are not the answer to our query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Malformed(Malformed),
    /// Another id, another question, or no answer at all: somebody else's, or a forgery.
    NotOurs,
    /// A part of the answer, where all of it could have come.
    Truncated,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Edns, Query, RecordType, Style};
    use hickory_proto::dnssec::{
        Algorithm, DigestType,
        rdata::{DNSSECRData, DS},
    };
    use hickory_proto::{
        op,
        rr::{
            self, RData,
            rdata::{
                self,
                opt::{EdnsCode, EdnsOption},
            },
        },
    };
    use proptest::prelude::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn wire_name(text: &str) -> rr::Name {
        rr::Name::from_ascii(text).unwrap()
    }

    fn query() -> Query {
        Query::authoritative(name("_acme-challenge.example.com"), RecordType::Txt)
    }

    /// Reads octets as the answer to this query with this id.
    fn answer_to(query: &Query, id: u16, octets: &[u8]) -> Result<Answer, Unfit> {
        query.encode(id).unwrap().answer(octets, query)
    }

    /// A server's answer to `query()` with id 7.
    fn response(amend: impl FnOnce(&mut op::Message)) -> Vec<u8> {
        let mut message = op::Message::response(7, op::OpCode::Query);
        message.add_query(op::Query::query(wire_name("_ACME-Challenge.Example.com."), rr::RecordType::TXT));
        amend(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn a_query_carries_what_was_asked() {
        let octets = query().encode(0x1234).unwrap().octets;
        let message = op::Message::from_vec(&octets).unwrap();
        assert_eq!(message.metadata.id, 0x1234);
        assert!(!message.metadata.recursion_desired);
        assert_eq!(message.queries[0].name().to_ascii(), "_acme-challenge.example.com.");
        assert_eq!(message.queries[0].query_type(), rr::RecordType::TXT);
        let edns = message.edns.unwrap();
        assert_eq!(edns.max_payload(), 1232);
        assert!(edns.option(EdnsCode::NSID).is_some());
        let (mut plain, style) = (Vec::new(), Style { edns: Edns::Off, ..Style::default() });
        query().write(&mut plain, 1, &style).unwrap();
        assert!(op::Message::from_vec(&plain).unwrap().edns.is_none());
        let asked = Query::recursive(name("example.com"), RecordType::Soa).encode(1).unwrap().octets;
        let message = op::Message::from_vec(&asked).unwrap();
        assert!(message.metadata.recursion_desired && !message.metadata.checking_disabled);
        assert!(!message.edns.unwrap().flags().dnssec_ok);
    }

    #[test]
    fn a_query_says_whether_signatures_and_unvalidated_data_are_welcome() {
        let query = Query::recursive(name("example.com"), RecordType::Ds);
        let octets = query.with_dnssec_ok().with_checking_disabled().encode(1).unwrap().octets;
        let message = op::Message::from_vec(&octets).unwrap();
        assert_eq!(message.queries[0].query_type(), rr::RecordType::DS);
        assert!(message.metadata.checking_disabled);
        assert!(message.edns.unwrap().flags().dnssec_ok);
    }

    #[test]
    fn who_may_issue_and_which_key_is_below_are_read() {
        let octets = response(|message| {
            message.metadata.authentic_data = true;
            let owner = wire_name("example.com.");
            let mut caa = rdata::CAA::new_issue(true, None, vec![]);
            caa.tag = "Issue".into();
            caa.value = b"ca.example; validationmethods=dns-01".to_vec();
            message.add_answer(rr::Record::from_rdata(owner.clone(), 60, RData::CAA(caa)));
            let ds = DS::new(4711, Algorithm::ECDSAP256SHA256, DigestType::SHA256, vec![0; 32]);
            let ds = RData::DNSSEC(DNSSECRData::DS(ds));
            message.add_authority(rr::Record::from_rdata(owner, 60, ds));
        });
        let answer = answer_to(&query(), 7, &octets).unwrap();
        assert!(answer.authentic_data);
        let value = b"ca.example; validationmethods=dns-01".to_vec();
        assert_eq!(answer.answers[0].data, Data::Caa { critical: true, tag: "issue".into(), value });
        assert_eq!(answer.authorities[0].data, Data::Ds { key_tag: 4711, algorithm: 13 });
        assert_eq!(answer.negative_ttl(), None);
    }

    #[test]
    fn an_answer_is_reduced_to_what_is_needed() {
        let octets = response(|message| {
            message.metadata.authoritative = true;
            let owner = wire_name("_acme-challenge.example.com.");
            let txt = rdata::TXT::from_bytes(vec![b"abc", b"def"]);
            message.add_answer(rr::Record::from_rdata(owner.clone(), 60, RData::TXT(txt)));
            message.add_answer(rr::Record::from_rdata(
                owner,
                60,
                RData::MX(rdata::MX::new(1, wire_name("m."))),
            ));
            let soa = rdata::SOA::new(wire_name("ns."), wire_name("h."), 2026, 1, 1, 1, 1);
            message.add_authority(rr::Record::from_rdata(wire_name("."), 5, RData::SOA(soa)));
            let mut edns = op::Edns::new();
            edns.options_mut().insert(EdnsOption::Unknown(15, [&[0, 22][..], b"no\nreach"].concat()));
            let nsid = rdata::opt::NSIDPayload::new(*b"fra-1").unwrap();
            edns.options_mut().insert(EdnsOption::NSID(nsid));
            message.set_edns(edns);
        });
        let answer = answer_to(&query(), 7, &octets).unwrap();
        assert!(answer.authoritative);
        let owner = Some(name("_acme-challenge.example.com"));
        assert_eq!(answer.answers, [Record { owner, ttl: 60, data: Data::Txt(b"abcdef".to_vec()) }]);
        assert_eq!(
            answer.authorities,
            [Record { owner: None, ttl: 5, data: Data::Soa { serial: 2026, minimum: 1 } }]
        );
        assert_eq!((answer.serial(), answer.negative_ttl()), (Some(2026), Some(1)));
        assert_eq!(answer.extended_error, Some(ExtendedError { code: 22, text: "no\u{fffd}reach".into() }));
        assert_eq!(answer.instance.as_deref(), Some("fra-1"));
    }

    #[test]
    fn answers_to_other_questions_are_not_ours() {
        assert!(answer_to(&query(), 7, &response(|_| ())).is_ok());
        assert_eq!(answer_to(&query(), 8, &response(|_| ())), Err(Unfit::NotOurs));
        let other = Query::authoritative(name("_acme-challenge.example.org"), RecordType::Txt);
        assert_eq!(answer_to(&other, 7, &response(|_| ())), Err(Unfit::NotOurs));
        let typed = Query::authoritative(query().name, RecordType::Soa);
        assert_eq!(answer_to(&typed, 7, &response(|_| ())), Err(Unfit::NotOurs));
        let question = query().encode(7).unwrap().octets;
        assert_eq!(answer_to(&query(), 7, &question), Err(Unfit::NotOurs));
        assert!(matches!(answer_to(&query(), 7, b"junk"), Err(Unfit::Malformed(_))));
    }

    #[test]
    fn a_question_may_be_missing_only_where_it_could_not_be_read() {
        let bare = |code| {
            let mut message = op::Message::response(7, op::OpCode::Query);
            message.metadata.response_code = code;
            message.to_vec().unwrap()
        };
        assert!(answer_to(&query(), 7, &bare(op::ResponseCode::FormErr)).is_ok());
        assert_eq!(answer_to(&query(), 7, &bare(op::ResponseCode::NoError)), Err(Unfit::NotOurs));
    }

    #[test]
    fn response_codes_print_as_the_registry_names_them() {
        let texts = [0, 2, 3, 5, 23, 22].map(|code| ResponseCode(code).to_string());
        assert_eq!(texts, ["NOERROR", "SERVFAIL", "NXDOMAIN", "REFUSED", "BADCOOKIE", "RCODE22"]);
    }

    proptest! {
        #[test]
        fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = Answer::parse(&octets);
            let _ = ExtendedError::parse(&octets);
            let _ = (printable(&octets), instance(&octets));
        }

        #[test]
        fn no_broken_answer_panics(at in 0_usize..200, with in any::<u8>(), cut in 0_usize..200) {
            let mut octets = response(|message| {
                let owner = wire_name("_acme-challenge.example.com.");
                let txt = rdata::TXT::from_bytes(vec![b"abc"]);
                message.add_answer(rr::Record::from_rdata(owner, 60, RData::TXT(txt)));
            });
            if let Some(octet) = octets.get_mut(at) {
                *octet = with;
            }
            octets.truncate(cut);
            let _ = answer_to(&query(), 7, &octets);
        }
    }
}
