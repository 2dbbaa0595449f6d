//! What goes wrong.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::Response;

use super::TxtStore;

/// What goes wrong with a request.
#[non_exhaustive]
pub enum Fault {
    /// Another answer than the vendor's.
    Answer(Response<Bytes>),
    /// Too many requests (429), with or without a word on when to come back.
    Busy(Option<RetryAfter>),
    /// The credential may not do this (403).
    Forbidden,
    /// A web page with status 200, as a login portal on the way sends it.
    Html,
    /// A body of so many bytes.
    Huge(usize),
    /// Somebody else changes the store, just before the request is dealt with.
    Interfere(Box<dyn FnOnce(&mut TxtStore) + Send>),
    /// The request is dealt with, and the connection is closed instead of an answer.
    Lost,
    /// A redirect (307) to this URL.
    Redirect(String),
    /// The connection is closed, and nothing is done.
    Reset,
    /// The answer takes so long.
    Slow(Duration),
    /// The vendor is in trouble (503), with or without a word on when to come back.
    Trouble(Option<RetryAfter>),
    /// The credential is not accepted (401).
    Unauthorized,
    /// The credential is not accepted (401), and the vendor's clock differs by so many seconds from ours.
    WrongTime(i64),
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(_) => "Answer",
            Self::Busy(_) => "Busy",
            Self::Forbidden => "Forbidden",
            Self::Html => "Html",
            Self::Huge(_) => "Huge",
            Self::Interfere(_) => "Interfere",
            Self::Lost => "Lost",
            Self::Redirect(_) => "Redirect",
            Self::Reset => "Reset",
            Self::Slow(_) => "Slow",
            Self::Trouble(_) => "Trouble",
            Self::Unauthorized => "Unauthorized",
            Self::WrongTime(_) => "WrongTime",
        })
    }
}

/// When to come back (RFC 9110 §10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // The header has these two forms.
pub enum RetryAfter {
    /// As a date, so many seconds from now.
    Date(u32),
    /// In so many seconds.
    Seconds(u32),
}

/// Which requests go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // Reading, writing, or both.
pub enum When {
    /// Any.
    Any,
    /// One that changes nothing.
    Read,
    /// One that changes something.
    Write,
}

/// What a vendor refuses in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Too many requests.
    Busy,
    /// The credential may not do this.
    Forbidden,
    /// The vendor is in trouble.
    Trouble,
    /// The credential is not accepted.
    Unauthorized,
}
