//! Replicas that share a database show each other's answers to http-01 challenges.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use perennial::{
    Http01,
    issuers::{
        Proof, Solver as _,
        solver::http01::{Http01Listener, Http01Shared},
    },
    lifecycle::Store,
    postgres::PostgresStore,
};
use perennial_testkit::real::{self, Postgres, Tool};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const DIRECTORY: &str = "/.well-known/acme-challenge/";

/// A process of its own, as far as the database can tell.
struct Replica {
    listener: Http01Listener,
    solver: Http01,
}

impl Replica {
    async fn new(server: &Postgres) -> Self {
        let store = PostgresStore::builder(server.socket()).connect().await.unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let listener = Http01Listener::bind([(Ipv4Addr::LOCALHOST, 0).into()]).await.unwrap();
        let solver = Http01::new(listener.share(Http01Shared::new(store)));
        Self { listener, solver }
    }

    async fn says(&self, proof: &Proof) -> (u16, String) {
        let address: SocketAddr = self.listener.addresses()[0];
        let (token, _) = proof.value.split_once('.').unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {DIRECTORY}{token} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        let status = said.split(' ').nth(1).unwrap().parse().unwrap();
        (status, said.rsplit("\r\n\r\n").next().unwrap().to_owned())
    }
}

fn proof(number: usize) -> Proof {
    let token = format!("evaGxfADs6pSRb2LAv9IZf{number:05}");
    let at = format!("http://a.example{DIRECTORY}{token}");
    let kind = perennial::acme::ChallengeKind::Http01;
    Proof::new(&kind, "a.example".parse().unwrap(), at, format!("{token}.thumbprint"))
}

#[tokio::test]
async fn replicas_over_one_postgres_answer_for_each_other_and_lose_nothing_when_they_write_at_once() {
    if real::require(&[Tool::Postgres]).is_none() {
        return;
    }
    let server = Postgres::builder().start().await.unwrap();
    let (one, two) = (Replica::new(&server).await, Replica::new(&server).await);
    let proofs: Vec<Proof> = (0..48).map(proof).collect();
    assert_eq!(two.says(&proofs[0]).await.0, 404);
    let (ours, theirs) = proofs.split_at(24);
    let (first, second) = tokio::join!(one.solver.present(ours), two.solver.present(theirs));
    first.and(second).unwrap();
    for proof in &proofs {
        let right = (200, proof.value.clone());
        assert_eq!((one.says(proof).await, two.says(proof).await), (right.clone(), right));
    }
    drop(one);
    // Whoever is left removes what the other has put there, and is alone with it.
    let heir = Replica::new(&server).await;
    heir.solver.clean_up(&proofs).await.unwrap();
    assert_eq!(heir.says(&proofs[0]).await.0, 404);
    let newcomer = Replica::new(&server).await;
    for proof in [&proofs[0], &proofs[47]] {
        assert_eq!(newcomer.says(proof).await.0, 404);
    }
}
