//! What a resource record says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::{Name, RData, rdata};
use perennial_core::DomainName;

use crate::Error;

/// What a resource record says: the types that obtaining a certificate needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data {
    /// An IPv4 address (RFC 1035 §3.4.1).
    A(Ipv4Addr),
    /// An IPv6 address (RFC 3596 §2.2).
    Aaaa(Ipv6Addr),
    /// Which certificate authorities may issue (RFC 8659 §4.1).
    Caa {
        /// 128 makes the property critical.
        flags: u8,
        /// `issue`, `issuewild` or `iodef`.
        tag: String,
        /// For instance `letsencrypt.org; validationmethods=dns-01`.
        value: String,
    },
    /// Another name for the same thing (RFC 1035 §3.3.1).
    Cname(DomainName),
    /// The name of a name server (RFC 1035 §3.3.11).
    Ns(DomainName),
    /// Text (RFC 1035 §3.3.14); split into strings of 255 octets on the wire.
    Txt(String),
}

impl Data {
    /// Text.
    #[must_use]
    pub fn txt(text: impl Into<String>) -> Self {
        Self::Txt(text.into())
    }

    pub(super) fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }

    pub(super) fn to_rdata(&self) -> RData {
        match self {
            Self::A(address) => RData::A((*address).into()),
            Self::Aaaa(address) => RData::AAAA((*address).into()),
            Self::Caa { flags, tag, value } => RData::Unknown {
                // By hand, since the codec's own type reads the value and may not take a wrong one.
                code: hickory_proto::rr::RecordType::CAA,
                rdata: rdata::NULL::with(
                    [&[*flags, u8::try_from(tag.len()).unwrap_or(u8::MAX)], tag.as_bytes(), value.as_bytes()]
                        .concat(),
                ),
            },
            Self::Cname(target) => RData::CNAME(rdata::CNAME(wire_name(target))),
            Self::Ns(host) => RData::NS(rdata::NS(wire_name(host))),
            Self::Txt(text) => {
                let strings: Vec<&[u8]> =
                    if text.is_empty() { vec![b""] } else { text.as_bytes().chunks(255).collect() };
                RData::TXT(rdata::TXT::from_bytes(strings))
            }
        }
    }
}

/// The strings of a TXT record as one text (RFC 7208 §3.3 joins them the same way).
pub(super) fn text_of(txt: &rdata::TXT) -> String {
    String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()
}

/// A name that was checked already.
pub(super) fn wire_name(name: &DomainName) -> Name {
    // Both types allow 63 octets a label and 255 a name: what one took, the other takes.
    Name::from_labels(name.labels().map(str::as_bytes)).unwrap_or_default()
}

/// A name as written in a test: absolute, with or without its final dot; `.` is the root.
pub(super) fn parse_name(text: &str) -> Result<Name, Error> {
    if text == "." {
        return Ok(Name::root());
    }
    Ok(wire_name(&DomainName::parse(text)?))
}

/// A name as tests write it: lower case, no final dot; the root is `.`.
pub(super) fn name_text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    match text.strip_suffix('.') {
        Some(stripped) if !stripped.is_empty() => stripped.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Message;
    use hickory_proto::rr::Record;

    #[test]
    fn every_kind_survives_the_wire() {
        let long = "x".repeat(600);
        for (data, kind) in [
            (Data::A("192.0.2.1".parse().unwrap()), "A"),
            (Data::Aaaa("2001:db8::1".parse().unwrap()), "AAAA"),
            (Data::Caa { flags: 128, tag: "issue".into(), value: "ca.example; a=b".into() }, "CAA"),
            (Data::Cname("a.example".parse().unwrap()), "CNAME"),
            (Data::Ns("_ns.a.example".parse().unwrap()), "NS"),
            (Data::txt(""), "TXT"),
            (Data::txt(&long), "TXT"),
        ] {
            let mut message = Message::query();
            message.add_answer(Record::from_rdata(parse_name("*.b.example").unwrap(), 60, data.to_rdata()));
            let read = Message::from_vec(&message.to_vec().unwrap()).unwrap();
            assert_eq!(read.answers[0].record_type().to_string(), kind);
            if let RData::TXT(txt) = &read.answers[0].data {
                assert_eq!(Data::Txt(text_of(txt)), data);
            }
        }
    }

    #[test]
    fn names_are_written_as_tests_write_them() {
        assert_eq!(name_text(&parse_name("_A.Example.").unwrap()), "_a.example");
        assert_eq!(name_text(&parse_name(".").unwrap()), ".");
        assert!(parse_name("a..b").is_err());
    }
}
