//! What goes into the engine and what comes out of it.

use std::{net::SocketAddr, time::Duration};

use super::SocketKey;
use crate::{transport::TransportError, wire::Answer};

/// What can be chosen.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Settings {
    /// Sockets that are used at a time, for each family.
    pub(in crate::transport) sockets: usize,
    /// The most questions that wait for one server's answers.
    pub(in crate::transport) in_flight: usize,
    /// How often in a second a server hears the same question.
    pub(in crate::transport) repeats: u8,
    pub(in crate::transport) case: bool,
    pub(in crate::transport) cookies: bool,
}

/// Octets to send: one datagram, or several of the same length to the same server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) struct Transmit {
    /// From here; to be opened when it is not.
    pub(in crate::transport) socket: SocketKey,
    pub(in crate::transport) server: SocketAddr,
    /// The length of each datagram, in octets.
    pub(in crate::transport) segment: usize,
}

/// What the caller is to learn.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) enum Event<T> {
    /// Nothing waits at this socket any more, nor will.
    Close(SocketKey),
    Landed(T, Outcome),
}

/// The end of a question.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::transport) enum Outcome {
    /// An answer, and how long it took from the first datagram.
    Answer(Answer, Duration),
    Failed(TransportError),
    /// UDP does not do: to be asked over a connection. So much time has passed.
    Stream(Duration),
}

/// What was dropped, and why; since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Answers that were believed.
    pub accepted: u64,
    /// Datagrams from addresses that were never asked.
    pub strangers: u64,
    /// Datagrams from a server's address that were not believed: with an id or a question that nobody waits for,
    /// which forgeries have and late repetitions, and those of `other_cookie` and `malformed`.
    pub mismatches: u64,
    /// Answers with the letters of the name in another case than was asked.
    pub other_case: u64,
    /// Answers with another cookie than ours (RFC 7873 §5.3).
    pub other_cookie: u64,
    /// Answers to a question of ours that are no DNS messages.
    pub malformed: u64,
    /// Questions that went over to TCP because of too many wrong answers.
    pub storms: u64,
}
