//! The question: RFC 1035 §4.1.2.

use std::fmt;

use perennial_core::DomainName;

use super::{
    Answer, Malformed, Unfit,
    message::{self, HEADER, Likeness},
};

/// One question to one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Query {
    /// The name asked about.
    pub name: DomainName,
    /// The type of records asked for; the class is always IN.
    pub record_type: RecordType,
    /// The RD bit: whether the server shall ask others on our behalf (RFC 1035 §4.1.1).
    pub recursion_desired: bool,
    /// The DO bit: whether signatures, and the AD bit of a resolver that has validated them, are welcome
    /// (RFC 3225, RFC 6840 §5.7).
    pub dnssec_ok: bool,
    /// The CD bit: whether a resolver shall hand out what fails its validation (RFC 4035 §3.2.2), and not
    /// synthesise AAAA records (RFC 6147 §5.5).
    pub checking_disabled: bool,
}

impl Query {
    /// A question for an authoritative server: RD=0, so that a resolver in disguise gives itself away.
    #[must_use]
    pub const fn authoritative(name: DomainName, record_type: RecordType) -> Self {
        Self { name, record_type, recursion_desired: false, dnssec_ok: false, checking_disabled: false }
    }

    /// A question for a recursive server: RD=1.
    #[must_use]
    pub const fn recursive(name: DomainName, record_type: RecordType) -> Self {
        Self { name, record_type, recursion_desired: true, dnssec_ok: false, checking_disabled: false }
    }

    /// The same question with the DO bit.
    #[must_use]
    pub const fn with_dnssec_ok(mut self) -> Self {
        self.dnssec_ok = true;
        self
    }

    /// The same question with the CD bit.
    #[must_use]
    pub const fn with_checking_disabled(mut self) -> Self {
        self.checking_disabled = true;
        self
    }

    /// Writes the message, in place of what `octets` holds, and says where the question in it ends.
    ///
    /// # Errors
    /// [`Malformed`] when the name cannot be written, which no [`DomainName`] is known to cause.
    pub(crate) fn write(&self, octets: &mut Vec<u8>, id: u16, style: &Style<'_>) -> Result<usize, Malformed> {
        octets.clear();
        octets.reserve(self.name.as_str().len() + AROUND_THE_NAME);
        let flag = |set: bool, bit: u16| if set { bit } else { 0 };
        let flags = flag(self.recursion_desired, RD) | flag(self.checking_disabled, CD);
        let additionals = u16::from(style.edns == Edns::On);
        for field in [id, flags, 1, 0, 0, additionals] {
            octets.extend(field.to_be_bytes());
        }
        self.write_name(octets, style.case)?;
        octets.extend(self.record_type.on_the_wire().to_be_bytes());
        octets.extend(message::IN.to_be_bytes());
        let question = octets.len();
        if style.edns == Edns::On {
            self.write_options(octets, style.cookie)?;
        }
        Ok(question)
    }

    fn write_name(&self, octets: &mut Vec<u8>, case: [u64; 4]) -> Result<(), Malformed> {
        for label in self.name.labels() {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=MAX_LABEL).contains(length));
            octets.push(length.ok_or_else(|| Malformed::new(&"a label is empty or too long"))?);
            octets.extend_from_slice(label.as_bytes());
        }
        octets.push(0);
        if case != [0; 4] {
            // Flipping a length would change it; none of them looks like a letter, being below 64.
            let name = octets.get_mut(HEADER..).unwrap_or_default();
            for (part, word) in name.chunks_mut(64).zip(case) {
                for (place, octet) in part.iter_mut().enumerate() {
                    let flip = octet.is_ascii_lowercase() && word >> place & 1 == 1;
                    *octet ^= u8::from(flip) << 5;
                }
            }
        }
        Ok(())
    }

    fn write_options(&self, octets: &mut Vec<u8>, cookie: &[u8]) -> Result<(), Malformed> {
        let flags: u16 = if self.dnssec_ok { DO } else { 0 };
        octets.push(0); // The root.
        for field in [message::OPT, UDP_PAYLOAD, 0, flags] {
            octets.extend(field.to_be_bytes());
        }
        let cookie_length = u16::try_from(cookie.len()).map_err(|error| Malformed::new(&error))?;
        let options = if cookie.is_empty() { OPTION_HEAD } else { 2 * OPTION_HEAD + cookie_length };
        // An empty NSID asks the server which of its instances answers (RFC 5001 §2.1).
        for field in [options, message::NSID, 0] {
            octets.extend(field.to_be_bytes());
        }
        if !cookie.is_empty() {
            octets.extend(message::COOKIE.to_be_bytes());
            octets.extend(cookie_length.to_be_bytes());
            octets.extend_from_slice(cookie);
        }
        Ok(())
    }

    /// The message for a connection that keeps forgers out, where letters need not be drawn.
    pub(crate) fn encode(&self, id: u16) -> Result<Encoded, Malformed> {
        self.encode_in(id, &Style::default())
    }

    pub(crate) fn encode_in(&self, id: u16, style: &Style<'_>) -> Result<Encoded, Malformed> {
        let mut octets = Vec::new();
        let question = self.write(&mut octets, id, style)?;
        Ok(Encoded { octets, question })
    }
}

/// How a question is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    pub(crate) edns: Edns,
    /// Which letters of the name are upper case, by their place: draft-vixie-dnsext-dns0x20.
    pub(crate) case: [u64; 4],
    /// What the COOKIE option holds (RFC 7873 §4.1); none when empty.
    pub(crate) cookie: &'a [u8],
}

impl Default for Style<'_> {
    fn default() -> Self {
        Self { edns: Edns::On, case: [0; 4], cookie: &[] }
    }
}

/// A question on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) octets: Vec<u8>,
    /// Where the question ends, and the options begin.
    question: usize,
}

impl Encoded {
    /// Reads what came as the answer to this, over a connection. It must be whole: in a part of an answer the
    /// value that is looked for may be missing, or the CAA record that forbids.
    pub(crate) fn answer(&self, received: &[u8], query: &Query) -> Result<Answer, Unfit> {
        message::Header::read(received).map_err(Unfit::Malformed)?;
        match message::likeness(received, &self.octets, self.question) {
            Likeness::Other => Err(Unfit::NotOurs),
            Likeness::OtherCase | Likeness::Same => {
                let answer = message::parse(received, Some(query)).map_err(Unfit::Malformed)?.answer;
                if answer.truncated { Err(Unfit::Truncated) } else { Ok(answer) }
            }
        }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.record_type)
    }
}

/// The largest UDP answer we ask for, in octets: what passes an IPv6 link of the least MTU unfragmented
/// (1280 less the headers), the value that DNS vendors agreed on for DNS Flag Day 2020.
const UDP_PAYLOAD: u16 = 1232;
const RD: u16 = 0x0100;
const CD: u16 = 0x0010;
/// RFC 3225 §3, in the lower half of the OPT record's TTL.
const DO: u16 = 0x8000;
/// RFC 1035 §2.3.4.
const MAX_LABEL: u8 = 63;
/// Header, type, class, OPT record and the longest cookie, in octets: room is made once.
const AROUND_THE_NAME: usize = 82;
/// Code and length of an EDNS option, in octets.
const OPTION_HEAD: u16 = 4;

/// Whether a query carries an OPT record. Servers from before RFC 6891 answer FORMERR to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edns {
    On,
    Off,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordType {
    /// An IPv4 address (RFC 1035 §3.4.1).
    A,
    /// An IPv6 address (RFC 3596 §2.1).
    Aaaa,
    /// Who may issue certificates (RFC 8659 §4).
    Caa,
    /// Another name of the same thing (RFC 1035 §3.3.1).
    Cname,
    /// The key of a signed zone below, in its parent (RFC 4034 §5).
    Ds,
    /// A name server of a zone (RFC 1035 §3.3.11).
    Ns,
    /// The start of a zone (RFC 1035 §3.3.13).
    Soa,
    /// Text (RFC 1035 §3.3.14).
    Txt,
}

impl RecordType {
    /// The number in the IANA registry of RR types.
    pub(crate) const fn on_the_wire(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Caa => 257,
            Self::Cname => 5,
            Self::Ds => 43,
            Self::Ns => 2,
            Self::Soa => 6,
            Self::Txt => 16,
        }
    }

    pub(super) const fn from_wire(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::A),
            2 => Some(Self::Ns),
            5 => Some(Self::Cname),
            6 => Some(Self::Soa),
            16 => Some(Self::Txt),
            28 => Some(Self::Aaaa),
            43 => Some(Self::Ds),
            257 => Some(Self::Caa),
            _ => None,
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Caa => "CAA",
            Self::Cname => "CNAME",
            Self::Ds => "DS",
            Self::Ns => "NS",
            Self::Soa => "SOA",
            Self::Txt => "TXT",
        })
    }
}
