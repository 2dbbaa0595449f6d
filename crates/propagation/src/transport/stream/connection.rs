//! One connection: two octets of length before each message, answers in any order (RFC 7766 §7 and §8).

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, WriteHalf},
    sync::{mpsc, oneshot},
    time::{self, Instant},
};

use crate::{
    transport::TransportError,
    wire::{Answer, Edns, Encoded, Query, Style, Unfit},
};

/// A question for a connection.
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) edns: Edns,
    pub(super) reply: oneshot::Sender<Result<Answer, Broken>>,
}

/// A connection that is no more.
#[derive(Clone)]
pub(super) struct Broken {
    pub(super) error: TransportError,
    /// Whether it had answered anything before.
    pub(super) served: bool,
}

/// Opens a connection and carries questions until nobody asks any more, or it breaks.
pub(super) async fn serve<S>(
    connect: impl Future<Output = Result<S, TransportError>>,
    mut questions: mpsc::UnboundedReceiver<Asked>,
    answers: Arc<AtomicU64>,
) where
    S: AsyncRead + AsyncWrite,
{
    let mut pipeline = Pipeline { answers, ..Pipeline::default() };
    let mut first = None;
    let connected = tokio::select! {
        connected = time::timeout(CONNECT, connect) => connected.unwrap_or(Err(TransportError::Timeout)),
        () = forsaken(&mut questions, &mut first) => {
            // Whoever comes now dials again.
            pipeline.served = true;
            Err(TransportError::Timeout)
        }
    };
    if let Some(asked) = first {
        pipeline.send(asked);
    }
    let error = match connected {
        Ok(stream) => match carry(stream, &mut questions, &mut pipeline).await {
            Ok(()) => return,
            Err(error) => error,
        },
        Err(error) => error,
    };
    questions.close();
    while let Some(asked) = questions.recv().await {
        drop(asked.reply.send(Err(Broken { error: error.clone(), served: pipeline.served })));
    }
    pipeline.fail(&error);
}

/// Waits until all who have asked are gone. Who has asked first of those that are left is in `first`.
async fn forsaken(questions: &mut mpsc::UnboundedReceiver<Asked>, first: &mut Option<Asked>) {
    // The first question is sent when the line is made.
    *first = questions.recv().await;
    while let Some(asked) = first {
        asked.reply.closed().await;
        *first = questions.try_recv().ok();
    }
}

/// Reads and writes, until the connection is idle or broken.
async fn carry<S>(
    stream: S,
    questions: &mut mpsc::UnboundedReceiver<Asked>,
    pipeline: &mut Pipeline,
) -> Result<(), TransportError>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut open, mut flushed) = (true, true);
    let mut idle = Box::pin(time::sleep(IDLE));
    loop {
        if !open && pipeline.is_empty() {
            return Ok(());
        }
        let room = open && pipeline.has_room();
        tokio::select! {
            asked = questions.recv(), if room => match asked {
                Some(asked) => pipeline.send(asked),
                None => open = false,
            },
            () = time::sleep(FULL), if open && !room => {}
            pushed = push(&mut writer, &pipeline.outgoing), if !(flushed && pipeline.outgoing.is_empty()) => {
                let written = pushed.map_err(|error| TransportError::from_io(&error))?;
                flushed = written.is_none();
                pipeline.outgoing.advance(written.unwrap_or_default());
            }
            read = reader.read_buf(&mut pipeline.incoming) => {
                if read.map_err(|error| TransportError::from_io(&error))? == 0 {
                    return Err(TransportError::Closed);
                }
                // What nobody asked for does not keep a connection open.
                if pipeline.receive()? {
                    idle.as_mut().reset(Instant::now() + IDLE);
                }
            }
            () = &mut idle => {
                if pipeline.is_empty() {
                    // Closed before it is dropped, so that nobody's question gets lost in it.
                    questions.close();
                    return match questions.try_recv() {
                        Ok(asked) => { pipeline.send(asked); Err(TransportError::Closed) }
                        Err(_) => Ok(()),
                    };
                }
                idle.as_mut().reset(Instant::now() + IDLE);
            }
        }
    }
}

/// Writes some of what there is, or `None` when all of it is written and on its way.
async fn push<S: AsyncWrite>(writer: &mut WriteHalf<S>, octets: &[u8]) -> io::Result<Option<usize>> {
    if octets.is_empty() { writer.flush().await.map(|()| None) } else { writer.write(octets).await.map(Some) }
}

/// What is on its way on one connection.
#[derive(Default)]
struct Pipeline {
    waiting: HashMap<u16, Waiting>,
    outgoing: BytesMut,
    incoming: BytesMut,
    served: bool,
    /// For those who wait, to see that it is busy.
    answers: Arc<AtomicU64>,
}

struct Waiting {
    question: Encoded,
    query: Query,
    reply: oneshot::Sender<Result<Answer, Broken>>,
}

impl Pipeline {
    fn send(&mut self, asked: Asked) {
        let Asked { query, edns, reply } = asked;
        let mut id: u16 = rand::random();
        while self.waiting.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        let encoded = query.encode_in(id, &Style { edns, ..Style::default() });
        let framed = encoded.map_err(|error| error.reason).and_then(|question| {
            let length = u16::try_from(question.octets.len()).map_err(|error| error.to_string())?;
            Ok((question, length))
        });
        match framed {
            Ok((question, length)) => {
                self.outgoing.extend_from_slice(&length.to_be_bytes());
                self.outgoing.extend_from_slice(&question.octets);
                self.waiting.insert(id, Waiting { question, query, reply });
            }
            Err(reason) => {
                let error = TransportError::Malformed { reason };
                drop(reply.send(Err(Broken { error, served: false })));
            }
        }
    }

    /// Takes the messages that have come whole. Whether one was an answer that somebody waited for.
    fn receive(&mut self) -> Result<bool, TransportError> {
        let mut any = false;
        while let Some(length) = self.incoming.first_chunk::<2>() {
            // The frame's own length bounds it to 64 KiB.
            let end = 2 + usize::from(u16::from_be_bytes(*length));
            if self.incoming.len() < end {
                return Ok(any);
            }
            let frame = self.incoming.split_to(end);
            any |= self.take(frame.get(2..).unwrap_or_default())?;
        }
        Ok(any)
    }

    fn take(&mut self, message: &[u8]) -> Result<bool, TransportError> {
        let id = message.first_chunk::<2>().map(|id| u16::from_be_bytes(*id));
        let known = id.and_then(|id| Some((id, self.waiting.get(&id)?)));
        let read = known.map(|(id, waiting)| (id, waiting.question.answer(message, &waiting.query)));
        match read {
            Some((id, Ok(answer))) => {
                self.served = true;
                self.answers.fetch_add(1, Ordering::Relaxed);
                let waiting = self.waiting.remove(&id);
                Ok(waiting.is_some_and(|waiting| waiting.reply.send(Ok(answer)).is_ok()))
            }
            Some((id, Err(Unfit::Truncated))) => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    let error = TransportError::Malformed { reason: "it is truncated, over TCP".to_owned() };
                    drop(waiting.reply.send(Err(Broken { error, served: false })));
                }
                Ok(false)
            }
            Some((_, Err(Unfit::Malformed(error)))) => {
                Err(TransportError::Malformed { reason: error.reason })
            }
            // Nobody else can write here: it answers something that nobody waits for any more, or the server
            // is confused, which the questions' own limits wait out.
            Some((_, Err(Unfit::NotOurs))) | None if message.len() >= HEADER => Ok(false),
            _ => Err(TransportError::Malformed { reason: "it is shorter than a header".to_owned() }),
        }
    }

    /// Whether another question may be sent. Those that nobody waits for any more take no room.
    fn has_room(&mut self) -> bool {
        self.waiting.len() < MAX_WAITING || {
            self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
            self.waiting.len() < MAX_WAITING
        }
    }

    /// Whether anybody still waits.
    fn is_empty(&mut self) -> bool {
        self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        self.waiting.is_empty()
    }

    fn fail(self, error: &TransportError) {
        for waiting in self.waiting.into_values() {
            drop(waiting.reply.send(Err(Broken { error: error.clone(), served: self.served })));
        }
    }
}

/// RFC 1035 §4.1.1, in octets.
const HEADER: usize = 12;
/// To open a connection, and for TLS to shake hands. Whoever asks has a limit of his own.
const CONNECT: Duration = Duration::from_secs(5);
/// RFC 7766 §6.2.3 wants idle connections closed in "the order of a few seconds".
const IDLE: Duration = Duration::from_secs(5);
/// How often it is looked whether one of too many who wait has gone.
const FULL: Duration = Duration::from_millis(50);
/// Questions on one connection that wait at a time; more wait before it.
const MAX_WAITING: usize = 256;
