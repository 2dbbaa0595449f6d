//! Requests of one batch overlap as far as there are nonces for them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use perennial_acme::{Account, AccountKey, Client, call};
use perennial_core::{HttpClient, HttpError, SystemClock};

use crate::script::{HOME, acct, authorization, directory};

/// A server that takes its time, and counts who waits for it.
#[derive(Default)]
struct Gauge {
    nonces: AtomicUsize,
    heads: AtomicUsize,
    inside: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl HttpClient for Gauge {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let path = request.uri().path().to_owned();
        let response = Response::builder()
            .header("replay-nonce", format!("n{}", self.nonces.fetch_add(1, Ordering::SeqCst)));
        let body = match path.as_str() {
            "/dir" => return Ok(Response::new(directory().to_string().into())),
            "/new-nonce" => {
                assert_eq!(request.method(), Method::HEAD);
                self.heads.fetch_add(1, Ordering::SeqCst);
                String::new()
            }
            path => {
                let now = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                self.inside.fetch_sub(1, Ordering::SeqCst);
                authorization(path.strip_prefix("/authz/").unwrap().parse().unwrap(), "pending").to_string()
            }
        };
        Ok(response.body(body.into()).unwrap())
    }
}

fn stage(parallel: usize) -> (Arc<Gauge>, Account) {
    let gauge = Arc::new(Gauge::default());
    let client = Client::builder(format!("{HOME}/dir"))
        .http(gauge.clone())
        .clock(Arc::new(SystemClock::new()))
        .parallel(parallel)
        .build()
        .unwrap();
    let account = client.account(&acct(1), Arc::new(AccountKey::generate().unwrap())).unwrap();
    (gauge, account)
}

async fn ask(account: &Account, count: usize) {
    let url = |index| format!("{HOME}/authz/{index}").parse().unwrap();
    let outcomes = account.send((0..count).map(|index| call::authorization(url(index))).collect()).await;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let expected = if index == 0 { "example.org".to_owned() } else { format!("a{index}.example.org") };
        assert_eq!(
            outcome.unwrap().identifier.to_string(),
            expected,
            "outcomes are in the order of the calls"
        );
    }
}

#[tokio::test]
async fn with_one_nonce_requests_go_one_after_the_other_and_cost_no_other() {
    let (gauge, account) = stage(1);
    ask(&account, 10).await;
    assert_eq!(gauge.most.load(Ordering::SeqCst), 1);
    assert_eq!(gauge.heads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nonces_that_are_there_let_requests_overlap() {
    let (gauge, account) = stage(1);
    // Four tasks at once leave four nonces behind.
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let account = account.clone();
            tokio::spawn(async move { ask(&account, 1).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let heads = gauge.heads.load(Ordering::SeqCst);
    gauge.most.store(0, Ordering::SeqCst);
    ask(&account, 10).await;
    assert_eq!(gauge.most.load(Ordering::SeqCst), 4);
    assert_eq!(gauge.heads.load(Ordering::SeqCst), heads, "no nonce was fetched for it");
}

#[tokio::test]
async fn a_client_in_a_hurry_pays_with_requests_for_nonces() {
    let (gauge, account) = stage(5);
    ask(&account, 10).await;
    assert_eq!(gauge.most.load(Ordering::SeqCst), 5);
    assert_eq!(gauge.heads.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn no_call_at_all_is_no_batch_that_hangs() {
    let (_, account) = stage(3);
    ask(&account, 0).await;
}
