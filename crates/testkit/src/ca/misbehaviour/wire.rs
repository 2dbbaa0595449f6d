//! Answers that are no HTTP, or not all of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};

/// Bytes instead of an answer.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(in crate::ca) pieces: Vec<Piece>,
    pub(in crate::ca) end: End,
}

/// What is written.
#[derive(Debug)]
pub(in crate::ca) enum Piece {
    Bytes(Bytes),
    /// The same again and again, until the client is gone or has had so many bytes.
    Forever {
        bytes: Bytes,
        pause: Duration,
        most: usize,
    },
}

/// How the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ca) enum End {
    /// In good order: TLS says so, and TCP too.
    Close,
    /// By a reset of the TCP connection, without a word.
    Reset,
}

type Answer = Response<Bytes>;

fn close(bytes: impl Into<Bytes>) -> Raw {
    Raw { pieces: vec![Piece::Bytes(bytes.into())], end: End::Close }
}

/// Status line and headers, without the empty line that ends them. They say that the connection ends, so that
/// a client is not surprised by that too.
fn head(answer: &Answer) -> String {
    format!("HTTP/1.1 {}\r\nconnection: close\r\n{}", answer.status(), headers(answer.headers()))
}

fn headers(headers: &HeaderMap) -> String {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap_or_default()))
        .collect()
}

fn message(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\r\n", body].concat()
}

fn with_length(answer: &Answer, length: usize) -> String {
    format!("{}content-length: {length}\r\n", head(answer))
}

/// Not a byte.
pub(super) fn reset(_: &Answer) -> Raw {
    Raw { pieces: Vec::new(), end: End::Reset }
}

/// Half of the body.
pub(super) fn cut(answer: &Answer) -> Raw {
    let length = answer.body().len();
    let half = answer.body().slice(..length / 2);
    let bytes = message(&with_length(answer, length), &half);
    Raw { pieces: vec![Piece::Bytes(bytes.into())], end: End::Reset }
}

/// A body that goes on and on.
pub(super) fn endless_body(answer: &Answer) -> Raw {
    let start = message(&head(answer), answer.body());
    forever(start, vec![b' '; 16 * 1024], Duration::ZERO, usize::MAX)
}

/// A byte a second.
pub(super) fn slow_body(answer: &Answer) -> Raw {
    let start = message(&with_length(answer, 1_000_000), answer.body());
    forever(start, vec![b' '], Duration::from_secs(1), usize::MAX)
}

/// 100 MB of headers.
pub(super) fn endless_headers(answer: &Answer) -> Raw {
    let filler = format!("x-filler: {}\r\n", "a".repeat(16 * 1024));
    forever(head(answer).into_bytes(), filler.into_bytes(), Duration::ZERO, 100_000_000)
}

/// Interim answers (RFC 9110 §15.2) and never a final one.
pub(super) fn endless_hints(_: &Answer) -> Raw {
    let hint = b"HTTP/1.1 103 Early Hints\r\nlink: </>; rel=preload\r\n\r\n".to_vec();
    forever(Vec::new(), hint, Duration::from_millis(10), usize::MAX)
}

fn forever(start: Vec<u8>, bytes: Vec<u8>, pause: Duration, most: usize) -> Raw {
    let again = Piece::Forever { bytes: bytes.into(), pause, most };
    Raw { pieces: vec![Piece::Bytes(start.into()), again], end: End::Close }
}

/// Ten thousand small headers.
pub(super) fn many_headers(answer: &Answer) -> Raw {
    let many: String = (0..10_000).map(|number| format!("x-{number}: {number}\r\n")).collect();
    close(message(&(with_length(answer, answer.body().len()) + &many), answer.body()))
}

/// A header with a control character in it.
pub(super) fn control_header(answer: &Answer) -> Raw {
    let head = with_length(answer, answer.body().len()) + "x-control: a\u{0}b\r\n";
    close(message(&head, answer.body()))
}

/// A length that the body does not come up to.
pub(super) fn length_too_long(answer: &Answer) -> Raw {
    close(message(&with_length(answer, answer.body().len() + 100), answer.body()))
}

/// A length that ends half-way through the body.
pub(super) fn length_too_short(answer: &Answer) -> Raw {
    close(message(&with_length(answer, answer.body().len() / 2), answer.body()))
}

/// Two lengths.
pub(super) fn two_lengths(answer: &Answer) -> Raw {
    let head = with_length(answer, answer.body().len()) + "content-length: 2\r\n";
    close(message(&head, answer.body()))
}

/// A length that is no number.
pub(super) fn negative_length(answer: &Answer) -> Raw {
    close(message(&(head(answer) + "content-length: -1\r\n"), answer.body()))
}

/// Chunks whose sizes are no numbers.
pub(super) fn broken_chunks(answer: &Answer) -> Raw {
    close(message(&(head(answer) + "transfer-encoding: chunked\r\n"), b"zz\r\n{}\r\n0\r\n\r\n"))
}

/// A chunk that promises more than there is memory.
pub(super) fn huge_chunk(answer: &Answer) -> Raw {
    close(message(&(head(answer) + "transfer-encoding: chunked\r\n"), b"ffffffffffffffff\r\n{"))
}

/// As HTTP/1.0 has it: the end of the connection is the end of the body.
pub(super) fn http10(answer: &Answer) -> Raw {
    let head = head(answer).replacen("HTTP/1.1", "HTTP/1.0", 1);
    close(message(&head, answer.body()))
}

/// Another protocol.
pub(super) fn ssh(_: &Answer) -> Raw {
    close("SSH-2.0-OpenSSH_9.9\r\n")
}

/// Interim answers before the final one, which RFC 9110 §15.2 allows.
pub(super) fn interim(answer: &Answer) -> Raw {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </>; rel=preload\r\n\r\n";
    let answer = message(&with_length(answer, answer.body().len()), answer.body());
    close([interim.as_bytes(), &answer].concat())
}

/// Two answers to one request.
pub(super) fn double(answer: &Answer) -> Raw {
    close(message(&with_length(answer, answer.body().len()), answer.body()).repeat(2))
}
