//! Bare DNS messages over sockets.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query},
    rr::{
        Name, RData, Record, RecordType, TSigner,
        rdata::{TXT, tsig},
    },
};
use perennial_testkit::dns::{TsigAlgorithm, TsigKey};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

pub(crate) const CHALLENGE: &str = "_acme-challenge.example.com";

pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    message
}

pub(crate) async fn udp(server: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    udp_within(server, bytes, Duration::from_secs(20)).await
}

pub(crate) async fn udp_within(server: SocketAddr, bytes: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(bytes, server).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let received = tokio::time::timeout(patience, socket.recv(&mut buffer)).await;
    received.ok().map(|length| buffer[..length.unwrap()].to_vec())
}

pub(crate) async fn tcp(server: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.ok()?)];
    stream.read_exact(&mut answer).await.unwrap();
    Some(answer)
}

pub(crate) async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Message {
    let bytes = question(name, kind).to_vec().unwrap();
    Message::from_vec(&udp(server, &bytes).await.expect("an answer")).unwrap()
}

pub(crate) fn texts(message: &Message) -> Vec<String> {
    let texts = message.answers.iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(String::from_utf8(txt.txt_data.concat()).unwrap()),
        _ => None,
    });
    texts.collect()
}

pub(crate) fn signer(key: &TsigKey) -> TSigner {
    let algorithm = match key.algorithm {
        TsigAlgorithm::HmacSha384 => tsig::TsigAlgorithm::HmacSha384,
        TsigAlgorithm::HmacSha512 => tsig::TsigAlgorithm::HmacSha512,
        _ => tsig::TsigAlgorithm::HmacSha256,
    };
    let name = Name::from_ascii(format!("{}.", key.name)).unwrap();
    TSigner::new(BASE64_STANDARD.decode(&key.secret_base64).unwrap(), algorithm, name, 300).unwrap()
}

pub(crate) fn update(zone: &str, owner: &str, text: &str) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Update);
    message.add_query(Query::query(Name::from_ascii(zone).unwrap(), RecordType::SOA));
    let data = RData::TXT(TXT::new(vec![text.to_owned()]));
    message.add_authority(Record::from_rdata(Name::from_ascii(owner).unwrap(), 60, data));
    message
}
