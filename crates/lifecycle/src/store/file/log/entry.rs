//! What is written in the log: which certificate is due when, and what is about to be written.

use serde::{Deserialize, Serialize};

use crate::{
    CertificateId,
    budget::{Bucket, BudgetKey, Line},
    store::{Fence, Version, file::stored::Stored},
};

/// One note in the log.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Entry<'a> {
    /// A bucket as it is.
    Bucket(BucketRow),
    /// All that an intent names is in place.
    Done(u64),
    /// A certificate is due then, in seconds since 1970, and stands in this line.
    Due(&'a str, u32, Line),
    /// No fence up to this one is used any more: it may have been.
    Fences(Fence),
    /// A certificate is gone.
    Gone(&'a str),
    /// What is written together: once this is durable it counts, and is put in place after a crash too.
    Intent(u64, Intent),
}

/// A bucket, its version and its state.
pub(in super::super) type BucketRow = (BudgetKey, Version, Bucket);

/// What is written together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in super::super) struct Intent {
    pub(in super::super) records: Vec<Stored>,
    pub(in super::super) buckets: Vec<BucketRow>,
}

const BUCKET: u8 = 1;
const DONE: u8 = 2;
const DUE: u8 = 3;
const FENCES: u8 = 4;
const GONE: u8 = 5;
const INTENT: u8 = 6;
/// As [`DUE`], of one that has no certificate. Before schema 2 all were written as if they had one.
const DUE_FIRST: u8 = 7;

impl Entry<'_> {
    /// Adds the bytes of an entry.
    ///
    /// # Errors
    /// The message of the serializer.
    pub(in super::super) fn write(&self, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Bucket(row) => {
                out.push(BUCKET);
                json(row, out)?;
            }
            Self::Done(number) => {
                out.push(DONE);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Due(name, at, line) => {
                out.push(if *line == Line::First { DUE_FIRST } else { DUE });
                out.extend_from_slice(&at.to_le_bytes());
                text(name, out);
            }
            Self::Fences(fence) => {
                out.push(FENCES);
                out.extend_from_slice(&fence.number().to_le_bytes());
            }
            Self::Gone(name) => {
                out.push(GONE);
                text(name, out);
            }
            Self::Intent(number, intent) => {
                out.push(INTENT);
                out.extend_from_slice(&number.to_le_bytes());
                json(intent, out)?;
            }
        }
        Ok(())
    }
}

/// An id has 64 letters at most.
fn text(name: &str, out: &mut Vec<u8>) {
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
}

fn json<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), String> {
    let json = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    let length = u32::try_from(json.len()).map_err(|error| error.to_string())?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&json);
    Ok(())
}

/// The entries of a frame; the last one is `None` if what follows is none.
pub(in super::super) fn read(body: &[u8]) -> impl Iterator<Item = Option<Entry<'_>>> {
    let mut rest = Some(body).filter(|body| !body.is_empty());
    std::iter::from_fn(move || {
        let read = entry(rest?);
        rest = read.as_ref().map(|(_, rest)| *rest).filter(|rest| !rest.is_empty());
        Some(read.map(|(entry, _)| entry))
    })
}

fn entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    Some(match *kind {
        BUCKET => {
            let (json, rest) = long(rest)?;
            (Entry::Bucket(serde_json::from_slice(json).ok()?), rest)
        }
        DONE => {
            let (number, rest) = number(rest)?;
            (Entry::Done(number), rest)
        }
        DUE | DUE_FIRST => {
            let line = if *kind == DUE { Line::Renewal } else { Line::First };
            let (at, rest) = rest.split_first_chunk()?;
            let (name, rest) = name(rest)?;
            (Entry::Due(name, u32::from_le_bytes(*at), line), rest)
        }
        FENCES => {
            let (fence, rest) = number(rest)?;
            (Entry::Fences(Fence::from_number(fence)), rest)
        }
        GONE => {
            let (name, rest) = name(rest)?;
            (Entry::Gone(name), rest)
        }
        INTENT => {
            let (number, rest) = number(rest)?;
            let (json, rest) = long(rest)?;
            (Entry::Intent(number, serde_json::from_slice(json).ok()?), rest)
        }
        _ => return None,
    })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// A name becomes a path: it is what an id can be, whoever wrote the log.
fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let name = std::str::from_utf8(name).ok()?;
    name.parse::<CertificateId>().is_ok().then_some((name, rest))
}

fn long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSpec, Record};
    use proptest::prelude::*;

    fn entries() -> Vec<Entry<'static>> {
        let record = Record::new(CertificateSpec::new("shop", ["shop.example"]).unwrap());
        let row = (BudgetKey::Fleet, Version::FIRST, Bucket::FULL);
        let stored = Stored { version: Version::FIRST, fence: Fence::from_number(3), record };
        vec![
            Entry::Bucket(row.clone()),
            Entry::Due("shop", 1_800_000_000, Line::Renewal),
            Entry::Due("blog", 1_800_000_000, Line::First),
            Entry::Fences(Fence::from_number(7)),
            Entry::Intent(9, Intent { records: vec![stored], buckets: vec![row] }),
            Entry::Done(9),
            Entry::Gone("shop"),
        ]
    }

    #[test]
    fn what_was_written_is_read_back() {
        let mut body = Vec::new();
        entries().iter().for_each(|entry| entry.write(&mut body).unwrap());
        assert_eq!(read(&body).collect::<Vec<_>>(), entries().into_iter().map(Some).collect::<Vec<_>>());
        for end in 1..body.len() {
            let some: Vec<_> = read(&body[..end]).collect();
            assert!(some.len() <= entries().len(), "cut at {end}");
        }
        assert_eq!(read(&[]).count(), 0);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_no_entry() {
        for name in ["../../etc", "", "/etc", "A"] {
            let mut body = Vec::new();
            Entry::Due(name, 0, Line::First).write(&mut body).unwrap();
            assert_eq!(read(&body).collect::<Vec<_>>(), [None], "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 0u8..9, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut body = vec![kind];
            body.extend(bytes);
            prop_assert!(read(&body).count() <= body.len());
        }
    }
}
