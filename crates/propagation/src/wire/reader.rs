//! Octets taken from the front of a message, and names in it: RFC 1035 §4.1.4.

use perennial_core::DomainName;

use super::Malformed;

/// A position in a message. Everything it hands out lies within the message.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(message: &'a [u8], at: usize) -> Self {
        Self { message, at }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.saturating_add(length);
        let taken = self.message.get(self.at..end).ok_or_else(|| Malformed::new(&"it ends too early"))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or_else(|| Malformed::new(&"it ends too early"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn octets<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.array()
    }

    /// Passes over a name that is but a pointer, and tells where to: what is there may be known already.
    pub(super) fn pointer(&mut self) -> Option<usize> {
        match self.message.get(self.at..self.at + 2) {
            Some(&[high, low]) if high & POINTER == POINTER => {
                self.at += 2;
                Some(pointed(high, low))
            }
            _ => None,
        }
    }

    /// Passes over a name and gives it back unread.
    pub(super) fn name(&mut self) -> Result<Name<'a>, Malformed> {
        let name = Name { message: self.message, at: self.at };
        let mut labels = name.labels();
        for label in labels.by_ref() {
            label?;
        }
        self.at = labels.end;
        Ok(name)
    }
}

/// A name that has been found to be well formed.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Name<'a> {
    /// Where its labels begin: equal for names that are one pointer to the same place.
    pub(super) fn place(&self) -> usize {
        match self.message.get(self.at..self.at + 2) {
            Some(&[high, low]) if high & POINTER == POINTER => pointed(high, low),
            _ => self.at,
        }
    }

    /// `Some(None)` is the root; `None` is a name that no [`DomainName`] can hold.
    #[expect(clippy::option_option, reason = "a record's owner is an `Option<DomainName>`, or unusable")]
    pub(super) fn domain_name(&self) -> Option<Option<DomainName>> {
        let mut text = [0; MAX_NAME];
        let mut length = 0;
        for label in self.labels() {
            let label = label.ok()?;
            // A dot inside a label would look like two labels; other strange octets fail the parser below.
            if label.contains(&b'.') {
                return None;
            }
            let end = length + label.len();
            text.get_mut(length..end)?.copy_from_slice(label);
            *text.get_mut(end)? = b'.';
            length = end + 1;
        }
        match text.get(..length)? {
            [] => Some(None),
            [text @ .., _dot] => {
                let ascii = text.is_ascii().then_some(text)?;
                DomainName::parse(std::str::from_utf8(ascii).ok()?).ok().map(Some)
            }
        }
    }

    const fn labels(&self) -> Labels<'a> {
        Labels { message: self.message, at: self.at, end: self.at, start: self.at, jumps: 0, length: 1 }
    }
}

/// Goes from label to label, and ends after the root or at the first fault.
struct Labels<'a> {
    message: &'a [u8],
    /// Where the next label is.
    at: usize,
    /// Where what follows the name is.
    end: usize,
    /// Where this run of labels began: pointers lead before it, or they could lead in circles.
    start: usize,
    jumps: usize,
    /// Of the whole name as RFC 1035 §2.3.4 counts it, in octets.
    length: usize,
}

impl<'a> Labels<'a> {
    fn next_label(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        loop {
            let mut reader = Reader::new(self.message, self.at);
            let head = reader.u8()?;
            match head & POINTER {
                0 => {
                    let label = reader.take(head.into())?;
                    self.at = reader.position();
                    if self.jumps == 0 {
                        self.end = self.at;
                    }
                    if label.is_empty() {
                        return Ok(None);
                    }
                    self.length += label.len() + 1;
                    if self.length > MAX_NAME {
                        return Err(Malformed::new(&"a name is longer than 255 octets"));
                    }
                    return Ok(Some(label));
                }
                POINTER => {
                    let target = pointed(head, reader.u8()?);
                    if self.jumps == 0 {
                        self.end = reader.position();
                    }
                    self.jumps += 1;
                    if target >= self.start || self.jumps > MAX_JUMPS {
                        return Err(Malformed::new(&"a compressed name leads in circles"));
                    }
                    (self.at, self.start) = (target, target);
                }
                _ => return Err(Malformed::new(&"a label has a type that nobody uses")),
            }
        }
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_label().transpose()
    }
}

fn pointed(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high & !POINTER, low]))
}

/// The two highest bits of a label's length make it a pointer.
const POINTER: u8 = 0b1100_0000;
/// RFC 1035 §2.3.4, in octets, with the lengths of the labels and the root.
const MAX_NAME: usize = 255;
/// A name has at most 127 labels, and an honest pointer leads to one at least.
const MAX_JUMPS: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    /// The name that begins at `at`, and where what follows it is.
    fn read(message: &[u8], at: usize) -> Result<(Option<String>, usize), String> {
        let mut reader = Reader::new(message, at);
        let name = reader.name().map_err(|error| error.reason)?;
        let text = name.domain_name().map(|name| name.map_or_else(|| ".".to_owned(), |n| n.to_string()));
        Ok((text, reader.position()))
    }

    #[test]
    fn names_are_read_with_and_without_pointers() {
        let message = b"\x03WWW\x07example\x00\x04mail\xc0\x04\xc0\x0d\x00\x03a.b\x00\x02\xc3\xa4\x00";
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(message, 0), Ok((some("www.example"), 13)));
        assert_eq!(read(message, 13), Ok((some("mail.example"), 20)));
        assert_eq!(read(message, 20), Ok((some("mail.example"), 22)));
        assert_eq!(read(message, 22), Ok((some("."), 23)));
        assert_eq!(read(message, 23), Ok((None, 28)), "a dot inside a label");
        assert_eq!(read(message, 28), Ok((None, 32)), "octets beyond ASCII");
    }

    #[test]
    fn names_that_never_end_or_lead_forward_are_refused() {
        for (message, at, fault) in [
            (&b"\xc0\x00"[..], 0, "circles"),
            (b"\x01a\xc0\x00", 0, "circles"),
            (b"\xc0\x02\x00", 0, "circles"),
            (b"\xc0\x02\xc0\x00", 2, "circles"),
            (b"\x03ab", 0, "early"),
            (b"\x01a", 0, "early"),
            (b"\xc0", 0, "early"),
            (b"\x41a\x00", 0, "nobody uses"),
            (b"", 7, "early"),
        ] {
            let error = read(message, at).unwrap_err();
            assert!(error.contains(fault), "{message:?}: {error}");
        }
        let long = [&[63; 64][..], &[63; 64], &[63; 64], &[61; 62], b"\x00"].concat();
        assert_eq!(read(&long, 0).unwrap().1, 255);
        let longer = [b"\x01a", &long[..]].concat();
        assert!(read(&longer, 0).unwrap_err().contains("255"));
    }

    #[test]
    fn a_chain_of_pointers_costs_little() {
        let mut message = vec![0];
        let mut at = 0_u16;
        for _ in 0..200 {
            let next = u16::try_from(message.len()).unwrap();
            message.extend((at | 0xc000).to_be_bytes());
            at = next;
        }
        assert!(read(&message, 21).is_ok());
        assert!(read(&message, message.len() - 2).unwrap_err().contains("circles"));
    }
}
