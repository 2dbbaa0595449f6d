//! The ways in which a name server disappoints.

use std::time::Duration;

/// How a server treats what it is asked, settable while it runs.
///
/// Each but the first is a fault that users of real name servers have met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// As the standards say.
    #[default]
    Honest,
    /// Answers nothing on any transport: a host that is down. Connections are closed unanswered.
    Dead,
    /// Answers with bytes that are no DNS message.
    Garbage,
    /// Answers as a middlebox would that catches port 53 and asks a cache of its own: the right data, but
    /// AA=0 and RA=1.
    Intercepted,
    /// NOERROR with AA=0 and nothing inside: delegated to, and does not know the zone.
    Lame,
    /// The right answer, and the question comes back in lower case: a middlebox that tidies names up, against
    /// which a client that varies their case on purpose ("0x20") has to be forgiving.
    LowerCase,
    /// FORMERR for every query with EDNS: software from before RFC 2671.
    NoEdns,
    /// REFUSED: an access list that leaves us out.
    Refuse,
    /// SERVFAIL: a secondary whose zone has expired.
    ServerFailure,
    /// The right answer, late by so much real time.
    Slow(Duration),
    /// UDP is dropped on the way, TCP works.
    TcpOnly,
    /// Every answer over UDP is cut to nothing, with TC=1.
    Truncate,
    /// UDP works, TCP connections are closed unanswered: a firewall that knows only half of RFC 7766.
    UdpOnly,
}

/// Which state of its zones a server shows, settable while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// Every change at once.
    #[default]
    Current,
    /// Every change this much later than it was made: a secondary that polls.
    ///
    /// Measured with the clock of the [`Zone`](super::Zone), and only for changes that are made after this
    /// was set: the zone forgets old states that no server has asked for.
    Behind(Duration),
    /// The state of the moment in which this was set, until another freshness is set: a secondary that gets
    /// no transfer any more, and lets the test say when it does.
    Frozen,
}
