//! RFC 8555 §7: how many requests an issuance takes, counted by the HTTP client.
//!
//! The server behind it is as forthcoming as a server can be: it answers whatever is asked, in whatever order,
//! so that a request too many is not refused but counted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use perennial_acme::{Account, AccountKey, Client, NewAccount, NewOrder, OrderStatus};
use perennial_core::{Clock, HttpClient, HttpError, Timestamp};
use serde_json::{Value, json};

use crate::{
    pki::{Authority, Key},
    script::{HOME, NOON, acct, after, authorization, challenge, directory, names, order},
};

/// A CA in memory that counts what it is asked for.
struct Counting {
    /// How many names an order has.
    count: usize,
    /// What an order is when it is made.
    born: &'static str,
    /// How often an order is looked at after its finalization before it is `valid`.
    polls: usize,
    chain: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The resources that were asked for, and how often.
    requests: BTreeMap<String, usize>,
    nonces: usize,
    answered: usize,
    /// How many looks the order still takes, once it is finalized.
    looks: Option<usize>,
}

impl Counting {
    fn new(count: usize, born: &'static str, polls: usize) -> Arc<Self> {
        let authority = Authority::root("Root X").intermediate("Intermediate 1");
        let chain = authority.leaf(&Key::new(), &names(count)) + &authority.pem();
        Arc::new(Self { count, born, polls, chain, seen: Mutex::default() })
    }

    /// How many requests there were of each kind since this was asked last.
    fn requests(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.seen.lock().unwrap().requests)
    }

    fn answer(&self, seen: &mut Seen, resource: &str, index: usize) -> (u16, Value) {
        let body = match resource {
            "authz" => authorization(index, "pending"),
            "chall" => {
                seen.answered += 1;
                challenge(index, "processing")
            }
            "dir" => directory(),
            "finalize" => {
                seen.looks = Some(self.polls);
                order(self.status(seen), self.count)
            }
            "new-account" => return (201, json!({ "status": "valid" })),
            "new-order" => {
                (seen.answered, seen.looks) = (0, None);
                return (201, order(self.born, self.count));
            }
            "order" => {
                seen.looks = seen.looks.map(|looks| looks.saturating_sub(1));
                order(self.status(seen), self.count)
            }
            _ => Value::Null,
        };
        (200, body)
    }

    fn status(&self, seen: &Seen) -> &'static str {
        match seen.looks {
            None if self.born == "ready" || seen.answered == self.count => "ready",
            None => "pending",
            Some(0) => "valid",
            Some(_) => "processing",
        }
    }
}

#[async_trait]
impl HttpClient for Counting {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let path = request.uri().path().to_owned();
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let (first, last) = (segments[0], segments[segments.len() - 1]);
        let resource = if last == "finalize" { last } else { first };
        let mut seen = self.seen.lock().unwrap();
        *seen.requests.entry(resource.to_owned()).or_default() += 1;
        let (status, body) = self.answer(&mut seen, resource, last.parse().unwrap_or_default());
        let body = if resource == "cert" { self.chain.clone() } else { body.to_string() };
        let mut response = Response::builder().status(status);
        if request.method() != Method::GET {
            seen.nonces += 1;
            response = response.header("replay-nonce", format!("nonce-{}", seen.nonces));
        }
        response = match resource {
            "new-account" => response.header("location", acct(1)),
            "new-order" => response.header("location", format!("{HOME}/order/1")),
            _ => response,
        };
        Ok(response.body(body.into()).unwrap())
    }
}

/// It is always noon.
struct Noon;

#[async_trait]
impl Clock for Noon {
    fn now(&self) -> Timestamp {
        NOON
    }

    async fn sleep(&self, _: Duration) {}

    async fn sleep_until(&self, _: Timestamp) {}
}

fn client(server: &Arc<Counting>) -> Client {
    Client::builder(format!("{HOME}/dir")).http(server.clone()).clock(Arc::new(Noon)).build().unwrap()
}

async fn registered(server: &Arc<Counting>) -> Account {
    let key = Arc::new(AccountKey::generate().unwrap());
    client(server).register(NewAccount::new().agree_to_terms(), key).await.unwrap()
}

async fn obtain(account: &Account, count: usize) {
    let names = names(count);
    let order = account.new_order(&NewOrder::new(&names)).await.unwrap();
    if order.state().status != OrderStatus::Ready {
        for authorization in order.authorizations().await.unwrap() {
            authorization.dns01().unwrap().answer().await.unwrap();
        }
    }
    order.wait_ready(after(600)).await.unwrap();
    order.finalize(&Key::new().csr(&names)).await.unwrap();
    order.wait_valid(after(600)).await.unwrap();
    assert_eq!(order.certificate().await.unwrap().names().count(), count);
}

/// What every issuance asks for; nothing of it twice, but for the looks after the finalization.
fn expected(count: usize, polls: usize, more: &[&str]) -> BTreeMap<String, usize> {
    let once = ["new-order", "finalize", "cert"].iter().chain(more);
    let mut expected: BTreeMap<_, _> = once.map(|resource| ((*resource).to_owned(), 1)).collect();
    for (resource, times) in [("authz", count), ("chall", count), ("order", polls)] {
        if times > 0 {
            expected.insert(resource.to_owned(), times);
        }
    }
    expected
}

fn sum(requests: &BTreeMap<String, usize>) -> usize {
    requests.values().sum()
}

/// Names and looks after the finalization.
const CASES: [(usize, usize); 5] = [(1, 0), (1, 1), (10, 0), (10, 1), (10, 3)];

#[tokio::test]
async fn a_new_account_in_a_fresh_process_takes_7_2n_m() {
    for (n, m) in CASES {
        let server = Counting::new(n, "pending", m);
        obtain(&registered(&server).await, n).await;
        let requests = server.requests();
        assert_eq!(sum(&requests), 7 + 2 * n + m, "{requests:?}");
        assert_eq!(requests, expected(n, 1 + m, &["dir", "new-nonce", "new-account"]));
    }
}

#[tokio::test]
async fn a_known_account_in_a_fresh_process_takes_6_2n_m() {
    for (n, m) in CASES {
        let server = Counting::new(n, "pending", m);
        let key = Arc::new(AccountKey::generate().unwrap());
        obtain(&client(&server).account(&acct(1), key).unwrap(), n).await;
        let requests = server.requests();
        assert_eq!(sum(&requests), 6 + 2 * n + m, "{requests:?}");
        assert_eq!(requests, expected(n, 1 + m, &["dir", "new-nonce"]));
    }
}

#[tokio::test]
async fn a_process_that_has_issued_before_takes_4_2n_m_every_time() {
    for (n, m) in CASES {
        let server = Counting::new(n, "pending", m);
        let account = registered(&server).await;
        obtain(&account, n).await;
        for _ in 0..3 {
            server.requests();
            obtain(&account, n).await;
            let requests = server.requests();
            assert_eq!(sum(&requests), 4 + 2 * n + m, "{requests:?}");
            assert_eq!(requests, expected(n, 1 + m, &[]));
        }
    }
}

#[tokio::test]
async fn an_order_that_is_born_ready_takes_3_m() {
    for (n, m) in CASES {
        let server = Counting::new(n, "ready", m);
        let account = registered(&server).await;
        server.requests();
        obtain(&account, n).await;
        let requests = server.requests();
        assert_eq!(sum(&requests), 3 + m, "{requests:?}");
        assert_eq!(requests, expected(0, m, &[]));
    }
}
