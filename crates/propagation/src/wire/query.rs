//! The question: RFC 1035 §4.1.2.

use std::fmt;

use hickory_proto::{
    op,
    rr::{self, rdata::opt},
};
use perennial_core::DomainName;

use super::Malformed;

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

    /// The octets of the message.
    ///
    /// # Errors
    /// [`Malformed`] when the name cannot be written, which no [`DomainName`] is known to cause.
    pub(crate) fn encode(&self, id: u16, edns: Edns) -> Result<Vec<u8>, Malformed> {
        let name = rr::Name::from_ascii(format!("{}.", self.name)).map_err(|error| Malformed::new(&error))?;
        let mut message = op::Message::new(id, op::MessageType::Query, op::OpCode::Query);
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.checking_disabled = self.checking_disabled;
        message.add_query(op::Query::query(name, self.record_type.on_the_wire()));
        if edns == Edns::On {
            let mut extension = op::Edns::new();
            extension.set_max_payload(UDP_PAYLOAD);
            extension.set_dnssec_ok(self.dnssec_ok);
            // An empty NSID asks the server which of its instances answers (RFC 5001 §2.1).
            if let Ok(ask) = opt::NSIDPayload::new(Vec::new()) {
                extension.options_mut().insert(opt::EdnsOption::NSID(ask));
            }
            message.set_edns(extension);
        }
        message.to_vec().map_err(|error| Malformed::new(&error))
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
    pub(super) const fn on_the_wire(self) -> rr::RecordType {
        match self {
            Self::A => rr::RecordType::A,
            Self::Aaaa => rr::RecordType::AAAA,
            Self::Caa => rr::RecordType::CAA,
            Self::Cname => rr::RecordType::CNAME,
            Self::Ds => rr::RecordType::DS,
            Self::Ns => rr::RecordType::NS,
            Self::Soa => rr::RecordType::SOA,
            Self::Txt => rr::RecordType::TXT,
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
