//! Reading Java key stores: bytes from a disk that others write to.

use perennial_core::SecretString;

use super::{KEY_ENTRY, MAGIC, TRUSTED_ENTRY, VERSION, WHITENER, digested, sha1};
use crate::{OutputFormat, output::OutputError};

/// What a store holds.
pub(super) enum Entry<'a> {
    /// A hidden key, and its chain.
    Key { protected: &'a [u8], chain: Vec<&'a [u8]> },
    /// A certificate that is trusted.
    Trusted(&'a [u8]),
}

/// All entries, once the digest at the end says that the password is right.
pub(super) fn entries<'a>(password: &SecretString, bytes: &'a [u8]) -> Result<Vec<Entry<'a>>, OutputError> {
    let (body, digest) = bytes
        .len()
        .checked_sub(DIGEST)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or_else(|| damaged("it is too short"))?;
    let mut rest = Rest(body);
    if rest.number() != Some(MAGIC) {
        return Err(damaged("it begins otherwise"));
    }
    if rest.number() != Some(VERSION) {
        return Err(damaged("it is of another version than 2"));
    }
    if sha1(&[digested(password).expose(), WHITENER, body]).as_ref() != digest {
        return Err(OutputError::WrongPassword { format: OutputFormat::Jks });
    }
    let read = rest.number().and_then(|count| (0..count).map(|_| rest.entry()).collect());
    read.ok_or_else(|| damaged("an entry is cut off, or of an unknown kind"))
}

pub(super) fn damaged(reason: &str) -> OutputError {
    OutputError::Damaged { format: OutputFormat::Jks, reason: reason.to_owned() }
}

const DIGEST: usize = 20;

/// What is still to be read. A count that lies ends where the bytes do.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        bytes.try_into().ok().map(u32::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.take(2)?.try_into().ok().map(u16::from_be_bytes)?;
        self.take(length.into())
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn certificate(&mut self) -> Option<&'a [u8]> {
        let _kind = self.text()?;
        self.block()
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let kind = self.number()?;
        let (_alias, _since) = (self.text()?, self.take(8)?);
        match kind {
            KEY_ENTRY => {
                let protected = self.block()?;
                let count = self.number()?;
                let chain = (0..count).map(|_| self.certificate()).collect::<Option<_>>()?;
                Some(Entry::Key { protected, chain })
            }
            TRUSTED_ENTRY => self.certificate().map(Entry::Trusted),
            _ => None,
        }
    }
}
