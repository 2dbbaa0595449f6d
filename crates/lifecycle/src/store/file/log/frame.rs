//! Pieces of a log that are there whole or not at all: each has a mark, its length and a digest.
//!
//! ```text
//! "perennial index\n"  schema u32                                 the head
//! "\xf5log"  length u32  digest [8]  body [length]                each frame; numbers have their lowest byte first
//! ```

use ring::digest;

/// What every log begins with, before its schema.
const MAGIC: &[u8; 16] = b"perennial index\n";
const MARK: &[u8; 4] = b"\xf5log";
/// A head's length.
pub(super) const HEAD: usize = 20;
/// A frame's length without its body.
const FRAME: usize = 16;

/// The head of a log of this schema.
pub(super) fn head(schema: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let (magic, number) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&schema.to_le_bytes());
    head
}

/// The schema of a log and its frames; `None` when it is no log.
pub(super) fn read(bytes: &[u8]) -> Option<(u32, Frames<'_>)> {
    let (schema, _) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    Some((u32::from_le_bytes(*schema), Frames { bytes, at: HEAD, searched: 0 }))
}

/// Adds a frame. Its body is cut off at four gigabytes, which nobody writes.
pub(super) fn write(body: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(MARK);
    out.extend_from_slice(&length);
    out.extend_from_slice(&digest_of(length, body));
    out.extend_from_slice(body);
}

/// Eight bytes of SHA-256: no accident makes the same ones.
fn digest_of(length: [u8; 4], body: &[u8]) -> [u8; 8] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&length);
    context.update(body);
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// The frames of a log, one after the other.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many bytes were looked at in search of a frame after damage.
    searched: usize,
}

/// A part of a log that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Where it begins.
    pub(super) from: usize,
    /// Where the next whole frame begins; `None` when there is none: then it was being written when a crash came.
    pub(super) to: Option<usize>,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<&'a [u8], Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        if let Some((body, next)) = whole(self.bytes, self.at) {
            self.at = next;
            return Some(Ok(body));
        }
        let damage = Damage { from: self.at, to: self.search() };
        self.at = damage.to.unwrap_or(self.bytes.len());
        Some(Err(damage))
    }
}

impl Frames<'_> {
    /// Where the next whole frame begins. Marks can be made up: no more is looked at than four times the log.
    fn search(&mut self) -> Option<usize> {
        let mut at = self.at + 1;
        while self.searched <= 4 * self.bytes.len() {
            let rest = self.bytes.get(at..)?;
            at += rest.windows(MARK.len()).position(|window| window == MARK)?;
            if whole(self.bytes, at).is_some() {
                return Some(at);
            }
            self.searched += FRAME + claimed(self.bytes, at);
            at += 1;
        }
        None
    }
}

/// How long the body is that a mark promises, as far as there are bytes.
fn claimed(bytes: &[u8], at: usize) -> usize {
    length(bytes, at).map_or(0, |(_, length)| length.min(bytes.len() - at))
}

fn length(bytes: &[u8], at: usize) -> Option<([u8; 4], usize)> {
    let octets: [u8; 4] = *bytes.get(at + MARK.len()..)?.first_chunk()?;
    Some((octets, usize::try_from(u32::from_le_bytes(octets)).ok()?))
}

/// The body of a frame that is whole, and where the next one begins.
fn whole(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if !bytes.get(at..)?.starts_with(MARK) {
        return None;
    }
    let (octets, length) = length(bytes, at)?;
    let digest = bytes.get(at + 8..at + FRAME)?;
    let end = (at + FRAME).checked_add(length)?;
    let body = bytes.get(at + FRAME..end)?;
    (digest == digest_of(octets, body)).then_some((body, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut log = head(7).to_vec();
        bodies.iter().for_each(|body| write(body, &mut log));
        log
    }

    fn frames(log: &[u8]) -> Vec<Result<&[u8], Damage>> {
        read(log).unwrap().1.collect()
    }

    #[test]
    fn a_tail_that_was_being_written_is_told_from_damage_in_the_middle() {
        let bodies = [vec![1; 100], vec![2; 100], vec![3; 100]];
        let (whole, frame) = (log(&bodies), 100 + FRAME);
        let torn = frames(&whole[..whole.len() - 1]);
        assert_eq!(
            torn,
            [Ok(&bodies[0][..]), Ok(&bodies[1]), Err(Damage { from: HEAD + 2 * frame, to: None })]
        );
        for at in [HEAD, HEAD + 5, HEAD + 8, HEAD + 50] {
            let mut damaged = whole.clone();
            damaged[at + frame] ^= 1;
            let damage = Damage { from: HEAD + frame, to: Some(HEAD + 2 * frame) };
            assert_eq!(frames(&damaged), [Ok(&bodies[0][..]), Err(damage), Ok(&bodies[2])], "at {at}");
        }
        assert!(read(b"something else").is_none() && read(b"").is_none());
    }

    #[test]
    fn marks_that_promise_much_are_not_believed_for_ever() {
        let mut hostile = head(1).to_vec();
        while hostile.len() < 400_000 {
            hostile.extend_from_slice(b"\xf5log\x00\x00\x04\x00");
        }
        assert!(frames(&hostile).len() == 1);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let log = log(&bodies);
            let (schema, frames) = read(&log).unwrap();
            prop_assert_eq!(schema, 7);
            let read: Vec<Vec<u8>> = frames.map(|frame| frame.unwrap().to_vec()).collect();
            prop_assert_eq!(read, bodies);
        }

        #[test]
        fn no_bytes_panic_and_every_frame_is_read_once(bytes in proptest::collection::vec(any::<u8>(), 0..400), marks in proptest::collection::vec(0usize..400, 0..9)) {
            let mut hostile = head(1).to_vec();
            hostile.extend(bytes);
            for at in marks {
                if let Some(place) = hostile.get_mut(HEAD + at..HEAD + at + 4) {
                    place.copy_from_slice(MARK);
                }
            }
            let found = frames(&hostile).len();
            prop_assert!(found <= hostile.len());
        }
    }
}
