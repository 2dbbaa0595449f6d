//! From the octets of a message to an [`Answer`]: RFC 1035 §4.1, RFC 6891 §6.1.

use perennial_core::DomainName;

use super::{
    Answer, Data, Malformed, Query, Record, RecordType, ResponseCode,
    answer::{ExtendedError, instance},
    reader::Reader,
};

/// The first twelve octets: RFC 1035 §4.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: u16,
    flags: u16,
    questions: u16,
    records: [u16; 3],
}

impl Header {
    pub(crate) fn read(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets, 0);
        Ok(Self {
            id: reader.u16()?,
            flags: reader.u16()?,
            questions: reader.u16()?,
            records: [reader.u16()?, reader.u16()?, reader.u16()?],
        })
    }

    const fn has(self, bit: u16) -> bool {
        self.flags & bit != 0
    }

    /// Whether it is an answer to an ordinary question, not a question, a NOTIFY or an UPDATE.
    pub(crate) const fn is_answer(self) -> bool {
        self.has(QR) && self.flags & OPCODE == 0
    }

    const fn code(self) -> u16 {
        self.flags & RCODE
    }
}

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RA: u16 = 0x0080;
const AD: u16 = 0x0020;
const RCODE: u16 = 0x000f;

/// Where the question begins.
pub(super) const HEADER: usize = 12;

/// How what came relates to what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Id and question are ours to the octet; or there is no question, as a server that cannot read it may
    /// answer.
    Same,
    /// The question is ours but for the case of its letters.
    OtherCase,
    /// Another id, another question, or no answer at all: somebody else's, or a forgery.
    Other,
}

/// Compares a message with the question that it should answer; `asked` are the question's own octets.
pub(crate) fn likeness(received: &[u8], asked: &[u8], question: usize) -> Likeness {
    let (Ok(header), Some(id)) = (Header::read(received), asked.first_chunk::<2>()) else {
        return Likeness::Other;
    };
    if header.id != u16::from_be_bytes(*id) || !header.is_answer() {
        return Likeness::Other;
    }
    if header.questions == 0 {
        let unread = [ResponseCode::FORMERR, ResponseCode::NOTIMP].contains(&ResponseCode(header.code()));
        return if unread { Likeness::Same } else { Likeness::Other };
    }
    let (Some(theirs), Some(ours)) = (received.get(HEADER..question), asked.get(HEADER..question)) else {
        return Likeness::Other;
    };
    match header.questions {
        1 if theirs == ours => Likeness::Same,
        // Lengths of labels are below "A", so that folding the case leaves them alone. The type and the class
        // may hold letters by chance, and must be equal to the octet.
        1 if theirs.eq_ignore_ascii_case(ours) && theirs.last_chunk::<4>() == ours.last_chunk::<4>() => {
            Likeness::OtherCase
        }
        _ => Likeness::Other,
    }
}

/// What a message holds beside the answer: RFC 7873 §4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed<'a> {
    pub(crate) answer: Answer,
    /// The COOKIE option, as it came.
    pub(crate) cookie: Option<&'a [u8]>,
}

/// Reads the octets of a message. Where the question is known, names that repeat it cost nothing.
pub(crate) fn parse<'a>(octets: &'a [u8], query: Option<&Query>) -> Result<Parsed<'a>, Malformed> {
    let header = Header::read(octets)?;
    let mut reader = Reader::new(octets, HEADER);
    for _ in 0..header.questions {
        reader.name()?;
        reader.take(4)?;
    }
    let mut answer = Answer {
        code: ResponseCode(header.code()),
        authoritative: header.has(AA),
        truncated: header.has(TC),
        recursion_available: header.has(RA),
        authentic_data: header.has(AD),
        ..Answer::default()
    };
    let mut names = Names { asked: query.map(|query| &query.name), others: Vec::new() };
    let mut extension = Extension::default();
    let [answers, authorities, additionals] = header.records;
    let mut sections = || {
        answer.answers = section(&mut reader, answers, &mut names, None)?;
        answer.authorities = section(&mut reader, authorities, &mut names, None)?;
        answer.additionals = section(&mut reader, additionals, &mut names, Some(&mut extension))?;
        Ok(())
    };
    // What is truncated may end anywhere; it is asked for again over TCP, where it may not.
    sections().or_else(|fault| if header.has(TC) { Ok(()) } else { Err(fault) })?;
    answer.code.0 |= u16::from(extension.code) << 4;
    answer.extended_error = extension.error;
    answer.instance = extension.instance;
    Ok(Parsed { answer, cookie: extension.cookie })
}

fn section<'a>(
    reader: &mut Reader<'a>,
    count: u16,
    names: &mut Names<'_>,
    mut extension: Option<&mut Extension<'a>>,
) -> Result<Vec<Record>, Malformed> {
    // The count may lie: room is made for what comes, not for what is promised.
    let mut records = Vec::new();
    for _ in 0..count {
        let owner = names.take(reader)?;
        let (kind, class, ttl) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let length = usize::from(reader.u16()?);
        let start = *reader;
        let data = reader.take(length)?;
        if kind == OPT {
            match extension.as_deref_mut() {
                Some(extension) => extension.read(owner.as_ref(), ttl, data)?,
                None => return Err(Malformed::new(&"an OPT record is in a section of records")),
            }
        } else if class == IN
            && length > 0
            && let Some(data) = record_data(kind, start, data, names)?
            && let Some(owner) = owner
        {
            if records.len() == MAX_RECORDS {
                return Err(Malformed::new(&format!("more than {MAX_RECORDS} records in a section")));
            }
            if records.is_empty() {
                records.reserve_exact(usize::from(count).min(PROMISED));
            }
            // RFC 2181 §8: a TTL with the highest bit set is zero.
            records.push(Record { owner, ttl: if ttl >> 31 == 0 { ttl } else { 0 }, data });
        }
    }
    Ok(records)
}

/// What a record says; `None` for types, and names, that nobody here understands.
fn record_data(
    kind: u16,
    start: Reader<'_>,
    octets: &[u8],
    names: &mut Names<'_>,
) -> Result<Option<Data>, Malformed> {
    let end = start.position() + octets.len();
    let mut reader = start;
    let data = match RecordType::from_wire(kind) {
        None => return Ok(None),
        Some(RecordType::A) => Some(Data::A(reader.octets()?.into())),
        Some(RecordType::Aaaa) => Some(Data::Aaaa(reader.octets::<16>()?.into())),
        Some(RecordType::Caa) => {
            let (flags, length) = (reader.u8()?, reader.u8()?);
            let tag = reader.take(length.into())?;
            let tag = super::printable(tag).to_ascii_lowercase();
            let value = reader.take(end.saturating_sub(reader.position()))?.to_vec();
            Some(Data::Caa { critical: flags & CRITICAL != 0, tag, value })
        }
        Some(RecordType::Cname) => names.take(&mut reader)?.flatten().map(Data::Cname),
        Some(RecordType::Ds) => {
            let data = Data::Ds { key_tag: reader.u16()?, algorithm: reader.u8()? };
            let _digest_type = reader.u8()?;
            reader.take(end.saturating_sub(reader.position()))?;
            Some(data)
        }
        Some(RecordType::Ns) => names.take(&mut reader)?.flatten().map(Data::Ns),
        Some(RecordType::Soa) => {
            reader.name()?;
            reader.name()?;
            let serial = reader.u32()?;
            let _refresh_retry_expire = reader.take(12)?;
            Some(Data::Soa { serial, minimum: reader.u32()? })
        }
        Some(RecordType::Txt) => {
            let mut text = Vec::with_capacity(octets.len());
            while reader.position() < end {
                let length = reader.u8()?;
                text.extend_from_slice(reader.take(length.into())?);
            }
            Some(Data::Txt(text))
        }
    };
    // Neither beyond its own octets nor short of them: or it is another record's text that was read.
    if reader.position() == end {
        Ok(data)
    } else {
        Err(Malformed::new(&"a record is not as long as it says"))
    }
}

/// Names that were read already, by place: most records of an answer point to the same one.
struct Names<'a> {
    /// The question's, which begins behind the header.
    asked: Option<&'a DomainName>,
    others: Vec<(usize, Option<Option<DomainName>>)>,
}

impl Names<'_> {
    /// The next name: `None` when no [`DomainName`] can hold it.
    #[expect(clippy::option_option, reason = "see `Name::domain_name`")]
    fn take(&mut self, reader: &mut Reader<'_>) -> Result<Option<Option<DomainName>>, Malformed> {
        let mut ahead = *reader;
        if let Some(known) = ahead.pointer().and_then(|place| self.known(place)) {
            *reader = ahead;
            return Ok(known);
        }
        let name = reader.name()?;
        let read = name.domain_name();
        if self.others.len() < MAX_KNOWN {
            self.others.push((name.place(), read.clone()));
        }
        Ok(read)
    }

    #[expect(clippy::option_option, reason = "see `Name::domain_name`; and whether it is known at all")]
    fn known(&self, place: usize) -> Option<Option<Option<DomainName>>> {
        match self.asked {
            Some(asked) if place == HEADER => Some(Some(Some(asked.clone()))),
            _ => self.others.iter().find(|(known, _)| *known == place).map(|(_, name)| name.clone()),
        }
    }
}

/// The OPT record: RFC 6891 §6.1.
#[derive(Default)]
struct Extension<'a> {
    seen: bool,
    /// The higher eight bits of the response code.
    code: u8,
    error: Option<ExtendedError>,
    instance: Option<String>,
    cookie: Option<&'a [u8]>,
}

impl<'a> Extension<'a> {
    fn read(
        &mut self,
        owner: Option<&Option<DomainName>>,
        ttl: u32,
        options: &'a [u8],
    ) -> Result<(), Malformed> {
        // RFC 6891 §6.1.1 and §6.1.2.
        if self.seen || owner != Some(&None) {
            return Err(Malformed::new(&"the OPT record is not one, of the root"));
        }
        self.seen = true;
        let [code, _version, _, _] = ttl.to_be_bytes();
        self.code = code;
        let mut reader = Reader::new(options, 0);
        while reader.position() < options.len() {
            let (kind, length) = (reader.u16()?, reader.u16()?);
            let value = reader.take(length.into())?;
            match kind {
                NSID if !value.is_empty() => self.instance = Some(instance(value)),
                COOKIE => self.cookie = Some(value),
                EXTENDED_ERROR if self.error.is_none() => self.error = ExtendedError::parse(value),
                _ => {}
            }
        }
        Ok(())
    }
}

/// RFC 1035 §3.2.4.
pub(super) const IN: u16 = 1;
/// RFC 6891 §6.1.1.
pub(super) const OPT: u16 = 41;
/// RFC 5001 §2.3.
pub(super) const NSID: u16 = 3;
/// RFC 7873 §4.
pub(super) const COOKIE: u16 = 10;
/// RFC 8914 §2.
const EXTENDED_ERROR: u16 = 15;
/// RFC 8659 §4.1.
const CRITICAL: u8 = 0x80;
/// What 64 KiB can hold of the smallest records is more; no honest answer comes near.
const MAX_RECORDS: usize = 4096;
/// The count of a section is a promise; room is made for so many records of it at once.
const PROMISED: usize = 16;
/// Enough for a referral with its glue, and few enough to look through.
const MAX_KNOWN: usize = 16;
