//! DNS over TCP: RFC 1035 §4.2.2 and RFC 7766 §8, two octets of length before each message.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time,
};

use super::TransportError;
use crate::wire::{Answer, Query, Unfit};

/// Asks over a connection of its own, within `limit`.
pub(super) async fn exchange(
    server: SocketAddr,
    query: &Query,
    limit: Duration,
) -> Result<Answer, TransportError> {
    let talk = async {
        let stream = TcpStream::connect(server).await.map_err(|error| TransportError::from_io(&error))?;
        converse(stream, query).await
    };
    time::timeout(limit, talk).await.unwrap_or(Err(TransportError::Timeout))
}

/// One question and its answer over any stream; the caller bounds the time.
pub(super) async fn converse<S>(mut stream: S, query: &Query) -> Result<Answer, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let io = |error: std::io::Error| TransportError::from_io(&error);
    let malformed = |reason: String| TransportError::Malformed { reason };
    let id: u16 = rand::random();
    let question = query.encode(id).map_err(|error| malformed(error.reason))?;
    let length = u16::try_from(question.octets.len()).map_err(|error| malformed(error.to_string()))?;
    // One write for both: RFC 7766 §8 asks for it, some servers read no further than the first segment.
    let framed = [&length.to_be_bytes()[..], &question.octets].concat();
    stream.write_all(&framed).await.map_err(io)?;
    stream.flush().await.map_err(io)?;
    loop {
        let length = stream.read_u16().await.map_err(io)?;
        // The frame's own length bounds it to 64 KiB.
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.map_err(io)?;
        match question.answer(&answer, query) {
            Ok(answer) => return Ok(answer),
            Err(Unfit::Malformed(error)) => return Err(malformed(error.reason)),
            // The one question of this connection has one answer; a stray one is waited out by the limit.
            Err(Unfit::NotOurs) => {}
        }
    }
}
