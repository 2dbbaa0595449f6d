//! DNS over UDP: RFC 1035 §4.2.1, RFC 5452 §9, and over TCP where UDP does not do (RFC 7766 §5).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::{net::UdpSocket, time};

use super::{Patience, Transport, TransportError, tcp};
use crate::wire::{Answer, Edns, Encoded, Malformed, Query, ResponseCode, Style, Unfit};

/// Asks over UDP; over TCP when the answer is truncated, UDP is lost twice, or nothing listens on UDP.
pub(super) async fn exchange(
    server: SocketAddr,
    query: &Query,
    patience: Patience,
) -> Result<(Answer, Transport), TransportError> {
    match datagrams(server, query, patience).await {
        Ok(answer) if !answer.truncated => return Ok((answer, Transport::Udp)),
        Ok(_) | Err(TransportError::Timeout | TransportError::Refused) => {}
        Err(error) => return Err(error),
    }
    Ok((tcp::exchange(server, query, patience.stream).await?, Transport::Tcp))
}

async fn datagrams(server: SocketAddr, query: &Query, patience: Patience) -> Result<Answer, TransportError> {
    let answer = attempt(server, query, Edns::On, patience).await?;
    // A server from before EDNS (RFC 6891 §7) gets the question once more in the words of RFC 1035.
    if answer.code == ResponseCode::FORMERR {
        return attempt(server, query, Edns::Off, patience).await;
    }
    Ok(answer)
}

async fn attempt(
    server: SocketAddr,
    query: &Query,
    edns: Edns,
    patience: Patience,
) -> Result<Answer, TransportError> {
    let io = |error: std::io::Error| TransportError::from_io(&error);
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // Port 0 lets the kernel draw a port; connecting drops what comes from anybody else, and lets an ICMP
    // "port unreachable" arrive as an error at once.
    let socket = UdpSocket::bind(any).await.map_err(io)?;
    socket.connect(server).await.map_err(io)?;
    let id: u16 = rand::random();
    let octets =
        encode(query, id, edns).map_err(|error| TransportError::Malformed { reason: error.reason })?;
    for wait in patience.udp {
        socket.send(&octets.octets).await.map_err(io)?;
        // The id stays, so that a late answer to the first datagram still counts.
        match time::timeout(wait, receive(&socket, &octets, query)).await {
            Ok(answer) => return answer.map_err(io),
            Err(_elapsed) => {}
        }
    }
    Err(TransportError::Timeout)
}

fn encode(query: &Query, id: u16, edns: Edns) -> Result<Encoded, Malformed> {
    query.encode_in(id, &Style { edns, ..Style::default() })
}

/// Waits for our answer; what is malformed, or somebody else's, is passed over.
async fn receive(socket: &UdpSocket, question: &Encoded, query: &Query) -> Result<Answer, std::io::Error> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match question.answer(buffer.get(..length).unwrap_or_default(), query) {
            Ok(answer) => return Ok(answer),
            Err(Unfit::Malformed(_) | Unfit::NotOurs) => {}
        }
    }
}

/// Room for servers that ignore the size that was asked for, in octets; 4096 is the largest in use.
const MAX_DATAGRAM: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Data, RecordType};
    use hickory_proto::{
        op,
        rr::{self, RData, rdata},
    };
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    fn query() -> Query {
        Query::authoritative("a.example".parse().unwrap(), RecordType::Txt)
    }

    fn quick() -> Patience {
        Patience { udp: [Duration::from_millis(100); 2], stream: Duration::from_secs(5) }
    }

    fn patient() -> Patience {
        Patience { udp: [Duration::from_secs(5); 2], stream: Duration::from_secs(5) }
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

    /// Asks while the server does its part. A server that waits for what never comes fails the test, rather
    /// than hang it.
    async fn talk(
        query: &Query,
        address: SocketAddr,
        patience: Patience,
        server: impl Future<Output = ()>,
    ) -> Result<(Answer, Transport), TransportError> {
        let both = async { tokio::join!(exchange(address, query, patience), server).0 };
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
            for octets in
                [b"junk".to_vec(), wrong_id, wrong_name, answer_to(&buffer[..length], "true", |_| ())]
            {
                socket.send_to(&octets, client).await.unwrap();
            }
        };
        let asked = query();
        let result = talk(&asked, address, patient(), server).await;
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
        let result = talk(&asked, address, patient(), server).await;
        let (answer, transport) = result.unwrap();
        assert_eq!((text(&answer), transport), (&b"over tcp"[..], Transport::Tcp));
    }

    #[tokio::test]
    async fn two_lost_datagrams_lead_to_tcp() {
        let (udp, tcp, address) = both_servers().await;
        let asked = query();
        let result = talk(&asked, address, quick(), serve_one_tcp(&tcp, |_| ())).await;
        assert_eq!(result.unwrap().1, Transport::Tcp);
        let mut buffer = [0; 512];
        let first = udp.try_recv(&mut buffer).unwrap();
        let id = buffer[..2].to_vec();
        assert_eq!(udp.try_recv(&mut buffer).unwrap(), first);
        assert_eq!(buffer[..2], id, "a late answer to the first must still count");
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
        let result = talk(&asked, address, patient(), server).await;
        assert_eq!(text(&result.unwrap().0), b"plain");
    }

    #[tokio::test]
    async fn a_closed_port_is_told_from_silence() {
        let (socket, address) = udp_server().await;
        drop(socket);
        assert_eq!(exchange(address, &query(), patient()).await, Err(TransportError::Refused));
        let (_kept_silent, tcp, address) = both_servers().await;
        let brief = Patience { stream: Duration::from_millis(100), ..quick() };
        assert_eq!(exchange(address, &query(), brief).await, Err(TransportError::Timeout));
        drop(tcp);
    }
}
