//! Questions to a server under test, over TCP so that nothing is lost or cut short (RFC 7766).

use std::{net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Error;

/// Servers on loopback answer in a millisecond; the rest is for busy machines and paused servers.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for the records of one type at a name.
pub(super) async fn records(server: SocketAddr, name: &str, kind: RecordType) -> Result<Vec<Record>, Error> {
    let question = format!("{name} {kind}");
    let query = query(&question, server, name, DNSClass::IN, kind)?;
    let answer = timed(server, &question, async {
        let mut stream = send(server, &query).await?;
        receive(&mut stream).await
    })
    .await?;
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer.answers),
        code => Err(unanswered(server, &question, code)),
    }
}

/// The texts of the TXT records at a name, the character strings of each joined (RFC 8555 §8.4 compares the
/// whole).
pub(super) async fn texts(server: SocketAddr, name: &str) -> Result<Vec<String>, Error> {
    let records = records(server, name, RecordType::TXT).await?;
    Ok(records.iter().filter_map(text).collect())
}

/// Who the server says it is: `id.server` (RFC 4892).
pub(super) async fn identity(server: SocketAddr) -> Option<String> {
    let query = query("id.server", server, "id.server.", DNSClass::CH, RecordType::TXT).ok()?;
    let answer = timed(server, "id.server", async {
        let mut stream = send(server, &query).await?;
        receive(&mut stream).await
    });
    answer.await.ok()?.answers.iter().find_map(text)
}

/// Whether it is the server that was started, and it has all these zones.
pub(super) async fn serves(server: SocketAddr, zones: &[&str], identity: &str) -> bool {
    if self::identity(server).await.as_deref() != Some(identity) {
        return false;
    }
    for zone in zones {
        if serial(server, zone).await.is_err() {
            return false;
        }
    }
    true
}

/// The serial number of a zone (SOA, RFC 1035 §3.3.13).
pub(super) async fn serial(server: SocketAddr, zone: &str) -> Result<u32, Error> {
    let records = records(server, zone, RecordType::SOA).await?;
    let serial = records.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    });
    serial.ok_or_else(|| unanswered(server, &format!("{zone} SOA"), "it does not serve the zone"))
}

/// All records of a zone (AXFR, RFC 5936): from its SOA record to the second one.
pub(super) async fn transfer(server: SocketAddr, zone: &str) -> Result<Vec<Record>, Error> {
    let question = format!("{zone} AXFR");
    let query = query(&question, server, zone, DNSClass::IN, RecordType::AXFR)?;
    let records = timed(server, &question, async {
        let mut stream = send(server, &query).await?;
        let mut records: Vec<Record> = Vec::new();
        let mut ends = 0;
        while ends < 2 {
            let message = receive(&mut stream).await?;
            if message.metadata.response_code != ResponseCode::NoError || message.answers.is_empty() {
                let code = message.metadata.response_code;
                return Err(std::io::Error::other(format!("the transfer is refused: {code}")));
            }
            ends += message.answers.iter().filter(|record| record.record_type() == RecordType::SOA).count();
            records.extend(message.answers);
        }
        Ok(records)
    });
    records.await
}

fn text(record: &Record) -> Option<String> {
    match &record.data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
        _ => None,
    }
}

fn query(
    question: &str,
    server: SocketAddr,
    name: &str,
    class: DNSClass,
    kind: RecordType,
) -> Result<Vec<u8>, Error> {
    let mut name = Name::from_ascii(name).map_err(|error| unanswered(server, question, error))?;
    name.set_fqdn(true);
    let mut query = Query::query(name, kind);
    query.set_query_class(class);
    let mut message = Message::query();
    // A resolver has nothing to say without it, an authoritative server does not mind.
    message.metadata.recursion_desired = class == DNSClass::IN;
    message.add_query(query);
    message.to_vec().map_err(|error| unanswered(server, question, error))
}

async fn timed<T>(
    server: SocketAddr,
    question: &str,
    exchange: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer.map_err(|error| unanswered(server, question, error)),
        Err(_) => Err(unanswered(server, question, format_args!("no answer within {PATIENCE:?}"))),
    }
}

async fn send(server: SocketAddr, query: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    Ok(stream)
}

async fn receive(stream: &mut TcpStream) -> std::io::Result<Message> {
    let mut bytes = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut bytes).await?;
    Message::from_vec(&bytes).map_err(std::io::Error::other)
}

fn unanswered(server: SocketAddr, question: &str, reason: impl std::fmt::Display) -> Error {
    Error::Answer { server, question: question.to_owned(), reason: reason.to_string() }
}
