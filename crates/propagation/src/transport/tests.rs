//! The network against servers that a test plays by hand.

use super::*;
use crate::wire::{Data, RecordType};
use hickory_proto::{
    op,
    rr::{self, RData, rdata},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    time,
};

fn query() -> Query {
    Query::authoritative("a.example".parse().unwrap(), RecordType::Txt)
}

fn answer_to(question: &[u8], text: &str, amend: impl FnOnce(&mut op::Message)) -> Vec<u8> {
    let question = op::Message::from_vec(question).unwrap();
    let mut message = op::Message::response(question.metadata.id, op::OpCode::Query);
    message.add_queries(question.queries.clone());
    let txt = RData::TXT(rdata::TXT::new(vec![text.to_owned()]));
    message.add_answer(rr::Record::from_rdata(question.queries[0].name().clone(), 1, txt));
    amend(&mut message);
    message.to_vec().unwrap()
}

fn text(answer: &Answer) -> &[u8] {
    match &answer.answers[0].data {
        Data::Txt(text) => text,
        other => panic!("{other:?}"),
    }
}

async fn udp_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn both_servers() -> (UdpSocket, TcpListener, SocketAddr) {
    loop {
        let (udp, address) = udp_server().await;
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp, address);
        }
    }
}

async fn exchange(address: SocketAddr, query: &Query) -> Result<(Answer, Transport), TransportError> {
    let reply = Network::new().exchange(&Endpoint::Udp(address), query).await?;
    Ok((reply.answer, reply.transport))
}

/// Asks while the server does its part. A server that waits for what never comes fails the test, rather
/// than hang it.
async fn talk(
    query: &Query,
    address: SocketAddr,
    server: impl Future<Output = ()>,
) -> Result<(Answer, Transport), TransportError> {
    let both = async { tokio::join!(exchange(address, query), server).0 };
    time::timeout(Duration::from_secs(30), both).await.expect("client and server understand each other")
}

async fn serve_one_tcp(listener: &TcpListener, amend: impl FnOnce(&mut op::Message)) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut question = vec![0; length.into()];
    stream.read_exact(&mut question).await.unwrap();
    let answer = answer_to(&question, "over tcp", amend);
    stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&answer).await.unwrap();
}

#[tokio::test]
async fn forgeries_and_junk_are_passed_over_until_the_answer_comes() {
    let (socket, address) = udp_server().await;
    let server = async {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        let wrong_id = answer_to(&buffer[..length], "forged", |m| m.metadata.id = !m.metadata.id);
        let wrong_name = answer_to(&buffer[..length], "forged", |m| {
            m.queries[0].set_name(rr::Name::from_ascii("b.example.").unwrap());
        });
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        stranger.send_to(&answer_to(&buffer[..length], "stranger", |_| ()), client).await.unwrap();
        for octets in [b"junk".to_vec(), wrong_id, wrong_name, answer_to(&buffer[..length], "true", |_| ())] {
            socket.send_to(&octets, client).await.unwrap();
        }
    };
    let asked = query();
    let result = talk(&asked, address, server).await;
    let (answer, transport) = result.unwrap();
    assert_eq!((text(&answer), transport), (&b"true"[..], Transport::Udp));
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let (udp, tcp, address) = both_servers().await;
    let server = async {
        let mut buffer = [0; 512];
        let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
        let cut = answer_to(&buffer[..length], "cut", |m| m.metadata.truncation = true);
        udp.send_to(&cut, client).await.unwrap();
        serve_one_tcp(&tcp, |_| ()).await;
    };
    let asked = query();
    let result = talk(&asked, address, server).await;
    let (answer, transport) = result.unwrap();
    assert_eq!((text(&answer), transport), (&b"over tcp"[..], Transport::Tcp));
}

#[tokio::test]
async fn two_lost_datagrams_lead_to_tcp() {
    let (udp, tcp, address) = both_servers().await;
    let asked = query();
    let result = talk(&asked, address, serve_one_tcp(&tcp, |_| ())).await;
    assert_eq!(result.unwrap().1, Transport::Tcp);
    let mut buffer = [0; 512];
    let end = 12 + "1a7example0".len() + 4;
    udp.try_recv(&mut buffer).unwrap();
    let first = buffer[..end].to_vec();
    udp.try_recv(&mut buffer).unwrap();
    assert_eq!(buffer[..10], first[..10], "a late answer to the first must still count");
    assert_eq!(buffer[12..end], first[12..], "in the same letters");
}

#[tokio::test]
async fn a_server_from_before_edns_is_asked_without_it() {
    let (socket, address) = udp_server().await;
    let server = async {
        let mut buffer = [0; 512];
        let (_, client) = socket.recv_from(&mut buffer).await.unwrap();
        let id = u16::from_be_bytes([buffer[0], buffer[1]]);
        let mut cannot = op::Message::response(id, op::OpCode::Query);
        cannot.metadata.response_code = op::ResponseCode::FormErr;
        socket.send_to(&cannot.to_vec().unwrap(), client).await.unwrap();
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        assert!(op::Message::from_vec(&buffer[..length]).unwrap().edns.is_none());
        socket.send_to(&answer_to(&buffer[..length], "plain", |_| ()), client).await.unwrap();
    };
    let asked = query();
    let result = talk(&asked, address, server).await;
    assert_eq!(text(&result.unwrap().0), b"plain");
}

#[tokio::test]
async fn a_closed_port_is_told_from_silence() {
    let (socket, address) = udp_server().await;
    drop(socket);
    assert_eq!(exchange(address, &query()).await, Err(TransportError::Refused));
    let (_kept_silent, tcp, address) = both_servers().await;
    assert_eq!(exchange(address, &query()).await, Err(TransportError::Timeout));
    drop(tcp);
}
