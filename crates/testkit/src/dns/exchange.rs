//! The other end: one question to one server, and its answer.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::net::{TcpStream, UdpSocket};

use super::{
    data::{parse_name, text_of},
    serve::{PAYLOAD, read_message, write_message},
};

/// Asks over UDP, twice, then over TCP; `None` when nothing of it was answered.
pub(super) async fn exchange(server: SocketAddr, question: &Query, recursion: bool) -> Option<Message> {
    let mut request = Message::query();
    request.metadata.recursion_desired = recursion;
    request.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    request.set_edns(edns);
    for patience in UDP_PATIENCE {
        let answer = tokio::time::timeout(patience, over_udp(server, &request)).await;
        match answer.ok().flatten() {
            Some(answer) if answer.metadata.truncation => break,
            Some(answer) if no_edns(&answer) => request.edns = None,
            Some(answer) => return Some(answer),
            None => {}
        }
    }
    tokio::time::timeout(TCP_PATIENCE, over_tcp(server, &request)).await.ok().flatten()
}

/// RFC 6891 §7: a server that knows no EDNS says FORMERR and is asked again without.
fn no_edns(answer: &Message) -> bool {
    answer.metadata.response_code == ResponseCode::FormErr && answer.edns.is_none()
}

async fn over_udp(server: SocketAddr, request: &Message) -> Option<Message> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(&request.to_vec().ok()?).await.ok()?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await.ok()?;
        if let Some(answer) = buffer.get(..length).and_then(|bytes| matching(bytes, request)) {
            return Some(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, request: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    write_message(&mut stream, &request.to_vec().ok()?).await?;
    let bytes = read_message(&mut stream).await?;
    matching(&bytes, request)
}

fn matching(bytes: &[u8], request: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let ours = answer.metadata.id == request.metadata.id
        && answer.metadata.message_type == hickory_proto::op::MessageType::Response
        && (answer.queries.is_empty() || answer.queries == request.queries);
    ours.then_some(answer)
}

/// The last name of a chain of aliases in the answer, which may be the first.
pub(super) fn end_of_chain(answer: &Message, start: &Name) -> Name {
    let mut name = start.clone();
    for _ in 0..=answer.answers.len() {
        let alias = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name => Some(target.0.clone()),
            _ => None,
        });
        match alias {
            Some(target) => name = target,
            None => break,
        }
    }
    name
}

/// Why there are no texts to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextsFault {
    #[error("NXDOMAIN looking up TXT for {name} at {server}")]
    Absent { name: String, server: SocketAddr },
    #[error("query timed out looking up TXT for {name} at {server}")]
    NoAnswer { name: String, server: SocketAddr },
    #[error("{code} looking up TXT for {name} at {server}")]
    Refused { name: String, server: SocketAddr, code: String },
    #[error("too many aliases looking up TXT for {name} at {server}")]
    TooManyAliases { name: String, server: SocketAddr },
}

/// The texts that one server shows at a name, aliases followed.
pub(crate) async fn texts_at(server: SocketAddr, name: &str) -> Result<Vec<String>, TextsFault> {
    let Ok(mut owner) = parse_name(name) else { return Ok(Vec::new()) };
    for _ in 0..LONGEST_CHAIN {
        let question = Query::query(owner.clone(), RecordType::TXT);
        let answer = exchange(server, &question, true).await;
        let answer = answer.ok_or_else(|| TextsFault::NoAnswer { name: name.to_owned(), server })?;
        match answer.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return Err(TextsFault::Absent { name: name.to_owned(), server }),
            code => {
                let code = format!("{code:?}").to_uppercase();
                return Err(TextsFault::Refused { name: name.to_owned(), server, code });
            }
        }
        let end = end_of_chain(&answer, &owner);
        let texts = answer.answers.iter().filter(|record| record.name == end);
        let texts: Vec<String> = texts
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(text_of(txt)),
                _ => None,
            })
            .collect();
        if !texts.is_empty() || end == owner {
            return Ok(texts);
        }
        owner = end;
    }
    Err(TextsFault::TooManyAliases { name: name.to_owned(), server })
}

/// On loopback an answer takes microseconds; a test machine may be busy for longer.
const UDP_PATIENCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1000)];
const TCP_PATIENCE: Duration = Duration::from_secs(2);
/// Let's Encrypt's resolver follows 11 aliases.
const LONGEST_CHAIN: usize = 11;
