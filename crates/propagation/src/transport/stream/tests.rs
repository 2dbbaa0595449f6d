//! Connections to servers that a test plays by hand.

use hickory_proto::op;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::wire::RecordType;

const LIMIT: Duration = Duration::from_secs(20);

fn query(name: &str) -> Query {
    Query::authoritative(name.parse().unwrap(), RecordType::Txt)
}

async fn listener() -> (TcpListener, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = Peer { address: listener.local_addr().unwrap(), name: None };
    (listener, peer)
}

async fn read(stream: &mut TcpStream) -> op::Message {
    let length = stream.read_u16().await.unwrap();
    let mut octets = vec![0; length.into()];
    stream.read_exact(&mut octets).await.unwrap();
    op::Message::from_vec(&octets).unwrap()
}

async fn answer(stream: &mut TcpStream, question: &op::Message, code: op::ResponseCode) {
    amended(stream, question, |message| message.metadata.response_code = code).await;
}

async fn amended(stream: &mut TcpStream, question: &op::Message, amend: impl FnOnce(&mut op::Message)) {
    let mut message = op::Message::response(question.metadata.id, op::OpCode::Query);
    amend(&mut message);
    message.add_queries(question.queries.clone());
    let octets = message.to_vec().unwrap();
    stream.write_u16(octets.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&octets).await.unwrap();
}

#[tokio::test]
async fn questions_share_a_connection_and_are_answered_in_any_order() {
    let (listener, peer) = listener().await;
    let streams = Streams::default();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut questions = Vec::new();
        for _ in 0..3 {
            questions.push(read(&mut stream).await);
        }
        for question in questions.iter().rev() {
            let last = question.queries[0].name().to_ascii().starts_with("c.");
            let code = if last { op::ResponseCode::NXDomain } else { op::ResponseCode::NoError };
            answer(&mut stream, question, code).await;
        }
        let question = read(&mut stream).await;
        answer(&mut stream, &question, op::ResponseCode::Refused).await;
    };
    let asked = async {
        let names = ["a.example", "b.example", "c.example"].map(query);
        let [a, b, c] = names.each_ref().map(|query| streams.exchange(&peer, None, query, LIMIT));
        let (a, b, c) = tokio::join!(a, b, c);
        let codes = [a, b, c].map(|answer| answer.unwrap().code);
        assert_eq!(codes, [ResponseCode::NOERROR, ResponseCode::NOERROR, ResponseCode::NXDOMAIN]);
        streams.exchange(&peer, None, &query("d.example"), LIMIT).await.unwrap()
    };
    assert_eq!(tokio::join!(server, asked).1.code, ResponseCode::REFUSED);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_replaced_once() {
    let (listener, peer) = listener().await;
    let streams = Streams::default();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await;
        answer(&mut stream, &question, op::ResponseCode::NoError).await;
        // The next question finds it closing.
        read(&mut stream).await;
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await;
        answer(&mut stream, &question, op::ResponseCode::NXDomain).await;
        read(&mut stream).await;
        drop(stream);
        // This one breaks before it has served: there is no third.
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
    };
    let asked = async {
        let mut results = Vec::new();
        for name in ["a.example", "b.example", "c.example"] {
            results.push(streams.exchange(&peer, None, &query(name), LIMIT).await.map(|answer| answer.code));
        }
        results
    };
    let ((), results) = tokio::join!(server, asked);
    assert_eq!(results, [Ok(ResponseCode::NOERROR), Ok(ResponseCode::NXDOMAIN), Err(TransportError::Closed)]);
}

#[tokio::test]
async fn a_server_from_before_edns_is_asked_without_on_the_same_connection() {
    let (listener, peer) = listener().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await;
        assert!(question.edns.is_some());
        answer(&mut stream, &question, op::ResponseCode::FormErr).await;
        let question = read(&mut stream).await;
        assert!(question.edns.is_none());
        answer(&mut stream, &question, op::ResponseCode::NoError).await;
    };
    let (streams, asked) = (Streams::default(), query("a.example"));
    let ((), result) = tokio::join!(server, streams.exchange(&peer, None, &asked, LIMIT));
    assert_eq!(result.unwrap().code, ResponseCode::NOERROR);
}

#[tokio::test]
async fn junk_ends_the_connection_and_silence_ends_the_wait() {
    let (listener, peer) = listener().await;
    let streams = Streams::default();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
        stream.write_all(b"\0\x04junk").await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
        // Silent; the next question comes over another connection.
        let (mut other, _) = listener.accept().await.unwrap();
        let question = read(&mut other).await;
        answer(&mut other, &question, op::ResponseCode::NoError).await;
        drop(stream);
    };
    let asked = async {
        let junk = streams.exchange(&peer, None, &query("a.example"), LIMIT).await;
        assert!(matches!(junk, Err(TransportError::Malformed { .. })), "{junk:?}");
        let brief = Duration::from_millis(50);
        let silence = streams.exchange(&peer, None, &query("b.example"), brief).await;
        assert_eq!(silence, Err(TransportError::Timeout));
        streams.exchange(&peer, None, &query("c.example"), LIMIT).await
    };
    assert_eq!(tokio::join!(server, asked).1.unwrap().code, ResponseCode::NOERROR);
}

#[tokio::test]
async fn a_part_of_an_answer_is_none_and_the_connection_goes_on() {
    let (listener, peer) = listener().await;
    let streams = Streams::default();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await;
        amended(&mut stream, &question, |message| message.metadata.truncation = true).await;
        let question = read(&mut stream).await;
        answer(&mut stream, &question, op::ResponseCode::NoError).await;
    };
    let asked = async {
        let cut = streams.exchange(&peer, None, &query("a.example"), LIMIT).await;
        assert!(matches!(cut, Err(TransportError::Malformed { .. })), "{cut:?}");
        streams.exchange(&peer, None, &query("b.example"), LIMIT).await
    };
    let ((), whole) = tokio::join!(server, asked);
    assert_eq!(whole.unwrap().code, ResponseCode::NOERROR);
}

/// A connection whose other end the test holds.
struct Held {
    questions: mpsc::UnboundedSender<Asked>,
    server: tokio::io::DuplexStream,
    task: tokio::task::JoinHandle<()>,
}

fn hold() -> Held {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (questions, waiting) = mpsc::unbounded_channel();
    let task = tokio::spawn(serve(async { Ok(client) }, waiting, Arc::default()));
    Held { questions, server, task }
}

fn ask(questions: &mpsc::UnboundedSender<Asked>) -> oneshot::Receiver<Result<Answer, Broken>> {
    let (reply, answered) = oneshot::channel();
    assert!(questions.send(Asked { query: query("a.example"), edns: Edns::On, reply }).is_ok());
    answered
}

#[tokio::test(start_paused = true)]
async fn a_server_that_drips_does_not_keep_a_connection_open() {
    let Held { questions, mut server, task } = hold();
    drop(ask(&questions));
    let mut seconds = 0;
    while !task.is_finished() {
        // A long frame, octet by octet.
        let _ = server.write_all(&[0xff]).await;
        time::sleep(Duration::from_secs(1)).await;
        seconds += 1;
        assert!(seconds < 20);
    }
}

async fn frame(server: &mut tokio::io::DuplexStream) {
    let length = server.read_u16().await.unwrap();
    server.read_exact(&mut vec![0; length.into()]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn questions_that_nobody_waits_for_leave_room_for_others() {
    let Held { questions, mut server, task } = hold();
    let asked: Vec<_> = (0..256).map(|_| ask(&questions)).collect();
    for _ in &asked {
        frame(&mut server).await;
    }
    let _last = ask(&questions);
    let full = time::timeout(Duration::from_secs(1), frame(&mut server)).await;
    assert!(full.is_err(), "so many are sent at a time");
    drop(asked);
    time::timeout(Duration::from_secs(1), frame(&mut server)).await.unwrap();
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_dial_ends_when_nobody_waits_for_it_any_more() {
    let (questions, waiting) = mpsc::unbounded_channel();
    let dial = std::future::pending::<Result<tokio::io::DuplexStream, TransportError>>();
    let task = tokio::spawn(serve(dial, waiting, Arc::default()));
    let (one, other) = (ask(&questions), ask(&questions));
    time::sleep(Duration::from_millis(10)).await;
    drop(one);
    time::sleep(Duration::from_millis(10)).await;
    assert!(!task.is_finished(), "somebody still waits");
    drop(other);
    time::sleep(Duration::from_millis(10)).await;
    assert!(task.is_finished() && questions.is_closed());
}

#[tokio::test]
async fn a_connection_is_opened_in_its_turn_and_the_limit_begins_then() {
    let (listener, peer) = listener().await;
    let streams = Streams { dials: Arc::new(Semaphore::new(1)), ..Streams::default() };
    let turn = Arc::clone(&streams.dials).acquire_owned().await.unwrap();
    let server = async {
        let early = time::timeout(Duration::from_millis(400), listener.accept()).await;
        assert!(early.is_err(), "it is not its turn");
        drop(turn);
        let (mut stream, _) = listener.accept().await.unwrap();
        let question = read(&mut stream).await;
        answer(&mut stream, &question, op::ResponseCode::NoError).await;
    };
    let asked = query("a.example");
    let limit = Duration::from_millis(300);
    let ((), result) = tokio::join!(server, streams.exchange(&peer, None, &asked, limit));
    assert_eq!(result.unwrap().code, ResponseCode::NOERROR);
    assert_eq!(streams.dials.available_permits(), 1, "it is given back once the line is open");
}

#[test]
fn a_runtime_that_is_gone_takes_its_connections_with_it() {
    let streams = Streams::default();
    for _ in 0..2 {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (listener, peer) = listener().await;
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let question = read(&mut stream).await;
                answer(&mut stream, &question, op::ResponseCode::NoError).await;
            };
            let asked = query("a.example");
            let ((), result) = tokio::join!(server, streams.exchange(&peer, None, &asked, LIMIT));
            result.unwrap();
        });
    }
}
