//! Over a wire that loses and forges.

use std::net::SocketAddr;

use hickory_proto::op::{Message, ResponseCode};
use perennial_core::DomainName;
use perennial_providers::{Change, DnsProvider, Error, Zone, rfc2136::Algorithm};
use perennial_testkit::dns::{
    self, AuthoritativeServer, Endpoint, Operation, TsigAlgorithm, TsigKey, UpdatePolicy,
};
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::signed;

/// What the wire does with the answers.
#[derive(Clone, Copy)]
enum Wire {
    /// Loses the first.
    LosesFirst,
    /// Puts an unsigned success, an answer to another question and some noise before each.
    ForgesBefore,
    /// Passes an unsigned success in place of each.
    ForgesAll,
}

struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Stands between one client at a time and the server.
async fn relay(server: SocketAddr, wire: Wire) -> Relay {
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    back.connect(server).await.unwrap();
    let address = front.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut request, mut answer) = (vec![0; 4096], vec![0; 4096]);
        for count in 0_usize.. {
            let (length, client) = front.recv_from(&mut request).await.unwrap();
            back.send(&request[..length]).await.unwrap();
            let answered = back.recv(&mut answer).await.unwrap();
            let mut forged = Message::from_vec(&request[..length]).unwrap().into_response();
            forged.signature = None;
            forged.metadata.response_code = ResponseCode::NoError;
            let pass = match wire {
                Wire::LosesFirst => count > 0,
                Wire::ForgesBefore => {
                    front.send_to(&forged.to_vec().unwrap(), client).await.unwrap();
                    forged.metadata.id ^= 1;
                    front.send_to(&forged.to_vec().unwrap(), client).await.unwrap();
                    front.send_to(b"noise", client).await.unwrap();
                    true
                }
                Wire::ForgesAll => {
                    front.send_to(&forged.to_vec().unwrap(), client).await.unwrap();
                    false
                }
            };
            if pass {
                front.send_to(&answer[..answered], client).await.unwrap();
            }
        }
    });
    Relay { address, task }
}

const NAME: &str = "_acme-challenge.example.com";

/// Adds a value over the wire: what came of it, the values then, and how many updates the server saw.
async fn add_over(wire: Wire) -> (Result<(), Error>, Vec<String>, usize) {
    let zone = dns::Zone::new("example.com").unwrap();
    let key = TsigKey::generate("acme-key", TsigAlgorithm::HmacSha256).unwrap();
    let server = AuthoritativeServer::builder()
        .zone(&zone)
        .updates(UpdatePolicy::everything(&key))
        .start(Endpoint::bind("127.0.0.1:0").await.unwrap());
    let relay = relay(server.address(), wire).await;
    let provider = signed(relay.address, "acme-key", Algorithm::HmacSha256, &key.secret_base64).build();
    let name: DomainName = NAME.parse().unwrap();
    let apex = Zone::new("example.com".parse().unwrap());
    let outcome = provider.apply(&apex, &[Change::add(name, "v")]).await.map(|_| ());
    let updates = server.queries().iter().filter(|query| query.operation == Operation::Update).count();
    (outcome, zone.txt_values(NAME), updates)
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_value_is_there_once() {
    let (outcome, values, updates) = add_over(Wire::LosesFirst).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(values, ["v"]);
    assert!(updates > 1, "{updates}");
}

#[tokio::test]
async fn a_forged_success_does_not_keep_the_true_answer_from_being_heard() {
    let (outcome, values, updates) = add_over(Wire::ForgesBefore).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!((values.len(), updates), (1, 1));
}

#[tokio::test]
async fn an_unsigned_success_is_not_believed() {
    let (outcome, ..) = add_over(Wire::ForgesAll).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Misbehaved { .. }), "{error}");
    assert!(error.to_string().contains("its answer is not signed though the request was"), "{error}");
}
