//! The whole walk, in as few requests as RFC 8555 allows.

use std::sync::Arc;

use perennial_acme::{
    Account, AccountKey, Error, Expected, Misbehaved, NewAccount, NewOrder, OrderStatus, ProblemType,
    Signer as _,
};
use perennial_core::{Retry, SecretString};
use serde_json::json;

use crate::{
    pki::{Authority, Key},
    script::{
        HOME, NOON, Stage, acct, after, authorization, challenge, directory, identifiers, json, names, order,
        problem, reply,
    },
};

/// The exchanges from newOrder to the certificate, for so many names and polls after finalize.
fn walk(stage: &Stage, chain: &str, count: usize, polls: usize) {
    stage.on(
        "POST /new-order",
        json(201, &order("pending", count)).header("location", format!("{HOME}/order/1")),
    );
    for index in 0..count {
        stage.on(&format!("POST /authz/{index}"), json(200, &authorization(index, "pending")));
    }
    for index in 0..count {
        stage.on(&format!("POST /chall/{index}"), json(200, &challenge(index, "processing")));
    }
    stage.on("POST /order/1", json(200, &order("ready", count)));
    finish(stage, chain, count, polls);
}

fn finish(stage: &Stage, chain: &str, count: usize, polls: usize) {
    let status = if polls == 0 { "valid" } else { "processing" };
    stage.on("POST /order/1/finalize", json(200, &order(status, count)));
    for poll in 1..=polls {
        let status = if poll == polls { "valid" } else { "processing" };
        stage.on("POST /order/1", json(200, &order(status, count)));
    }
    stage.on("POST /cert/1", reply(200, chain.to_owned()));
}

async fn obtain(account: &Account, key: &Key, count: usize) {
    let names = names(count);
    let order = account.new_order(&NewOrder::new(&names)).await.unwrap();
    assert_eq!(order.url(), format!("{HOME}/order/1"));
    if order.state().status != OrderStatus::Ready {
        for authorization in order.authorizations().await.unwrap() {
            let challenge = authorization.dns01().unwrap();
            assert_eq!(challenge.dns01_value().unwrap().len(), 43);
            challenge.answer().await.unwrap();
        }
    }
    order.wait_ready(after(60)).await.unwrap();
    order.finalize(&key.csr(&names)).await.unwrap();
    order.wait_valid(after(60)).await.unwrap();
    let chain = order.certificate().await.unwrap();
    chain
        .verify(&Expected { public_key: &key.spki(), identifiers: &identifiers(&names), now: NOON })
        .unwrap();
}

#[tokio::test]
async fn an_order_that_is_given_up_leaves_no_authorization_pending_and_touches_no_other() {
    let stage = Stage::new();
    let account = stage.account().await;
    let made = json(201, &order("pending", 3)).header("location", format!("{HOME}/order/1"));
    stage
        .on("POST /new-order", made)
        .on("POST /authz/0", json(200, &authorization(0, "valid")))
        .on("POST /authz/1", json(200, &authorization(1, "pending")))
        .on("POST /authz/2", json(200, &authorization(2, "pending")))
        .on("POST /authz/1", problem(500, "serverInternal"))
        .on("POST /authz/2", json(200, &authorization(2, "deactivated")));
    let left = account.new_order(&NewOrder::new(names(3))).await.unwrap();
    let error = left.give_up().await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::ServerInternal);
    let seen = stage.script.seen();
    let given_up = seen.iter().filter(|seen| seen.payload == r#"{"status":"deactivated"}"#);
    assert_eq!(given_up.map(|seen| &*seen.line).collect::<Vec<_>>(), ["POST /authz/1", "POST /authz/2"]);
    stage.script.requests();
}

#[tokio::test]
async fn a_handle_shows_no_authorization_for_a_name_that_was_not_ordered() {
    let stage = Stage::new();
    let ordered = stage.order("pending").await;
    stage.on("POST /authz/0", json(200, &authorization(1, "pending")));
    let error = ordered.authorizations().await.unwrap_err();
    let (url, name) = (format!("{HOME}/authz/0"), "a1.example.org".to_owned());
    assert_eq!(error, Misbehaved::AuthorizationName { url, name }.into());
}

#[tokio::test]
async fn requests_are_as_few_as_rfc_8555_allows() {
    for (count, polls) in [(1, 0), (2, 1), (3, 2)] {
        let key = Key::new();
        let authority = Authority::root("Root X").intermediate("Intermediate 1");
        let chain = authority.leaf(&key, &names(count)) + &authority.pem();

        // A new account in a fresh process: 7 + 2n + m.
        let stage = Stage::new();
        let account = stage.account().await;
        walk(&stage, &chain, count, polls);
        obtain(&account, &key, count).await;
        assert_eq!(stage.script.requests(), 7 + 2 * count + polls);

        // The same process again: 4 + 2n + m.
        walk(&stage, &chain, count, polls);
        obtain(&account, &key, count).await;
        assert_eq!(stage.script.requests(), (7 + 2 * count + polls) + (4 + 2 * count + polls));

        // All authorizations still valid, so the order is born ready: 3 + m.
        let before = stage.script.requests();
        let born = json(201, &order("ready", count)).header("location", format!("{HOME}/order/1"));
        stage.on("POST /new-order", born);
        finish(&stage, &chain, count, polls);
        obtain(&account, &key, count).await;
        assert_eq!(stage.script.requests() - before, 3 + polls);
    }
}

#[tokio::test]
async fn a_known_account_in_a_fresh_process_takes_6_2n_m() {
    let key = Key::new();
    let authority = Authority::root("Root X").intermediate("Intermediate 1");
    let chain = authority.leaf(&key, &names(1)) + &authority.pem();
    let stage = Stage::new();
    stage.on("GET /dir", json(200, &directory())).on("HEAD /new-nonce", reply(200, ""));
    walk(&stage, &chain, 1, 1);
    let account = stage.client.account(&acct(9), Arc::new(AccountKey::generate().unwrap())).unwrap();
    obtain(&account, &key, 1).await;
    assert_eq!(stage.script.requests(), 6 + 2 + 1);
    assert!(stage.script.seen().iter().skip(2).all(|seen| seen.protected["kid"] == acct(9).as_str()));
}

#[tokio::test]
async fn an_account_is_made_with_the_key_and_used_by_its_url() {
    let stage = Stage::new();
    let account = stage.account().await;
    assert_eq!(account.url(), acct(1));
    stage.on("POST /order/7", json(200, &order("ready", 1)));
    let order = account.order(&format!("{HOME}/order/7")).await.unwrap();
    assert_eq!(order.state().status, OrderStatus::Ready);
    let seen = stage.script.seen();
    let (made, used) = (&seen[2], &seen[3]);
    assert_eq!(made.payload, r#"{"termsOfServiceAgreed":true}"#);
    assert_eq!(made.protected["jwk"]["crv"], "P-256");
    assert_eq!(used.protected["kid"], acct(1).as_str());
    assert_eq!(used.payload, "");
    assert!(used.headers["user-agent"].to_str().unwrap().starts_with("perennial-acme/"));
    assert_eq!(used.headers["accept-language"], "en");
}

#[tokio::test]
async fn registering_again_finds_the_account() {
    let stage = Stage::new();
    stage
        .on("GET /dir", json(200, &directory()))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(200, &json!({ "status": "valid" })).header("location", acct(5)));
    let key = AccountKey::generate().unwrap();
    let thumbprint = key.jwk().thumbprint();
    let again = AccountKey::from_pkcs8_pem(&SecretString::new(key.to_pkcs8_pem().expose())).unwrap();
    let account = stage.client.register(NewAccount::new(), Arc::new(again)).await.unwrap();
    assert_eq!(account.url(), acct(5));
    assert_eq!(account.thumbprint(), thumbprint.as_str());
}

#[tokio::test]
async fn a_search_for_an_account_that_is_not_there_says_so() {
    let stage = Stage::new();
    stage
        .on("GET /dir", json(200, &directory()))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", problem(400, "accountDoesNotExist"));
    let key = Arc::new(AccountKey::generate().unwrap());
    let error = stage.client.register(NewAccount::new().only_existing(), key).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::AccountDoesNotExist);
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(
        error.to_string(),
        "newAccount at https://ca.test/new-account was refused: accountDoesNotExist: because"
    );
}

#[tokio::test]
async fn the_directory_is_fetched_once_a_day() {
    let stage = Stage::new();
    stage.on("GET /dir", json(200, &directory()));
    for _ in 0..3 {
        let directory = stage.client.directory().await.unwrap();
        assert_eq!(directory.meta.profiles.len(), 2);
    }
    assert_eq!(stage.script.requests(), 1);
    perennial_core::Clock::sleep(&*stage.clock, std::time::Duration::from_secs(86_400)).await;
    stage.on("GET /dir", json(200, &directory()));
    stage.client.directory().await.unwrap();
    assert_eq!(stage.script.requests(), 2);
}

#[tokio::test]
async fn a_profile_that_is_not_offered_costs_no_request() {
    let stage = Stage::new();
    let account = stage.account().await;
    let error = account.new_order(&NewOrder::new(names(1)).profile("tiny")).await.unwrap_err();
    assert_eq!(error.to_string(), "the CA has no profile \"tiny\"; it offers: classic, short");
    let error = account.new_order(&NewOrder::new(names(0))).await.unwrap_err();
    assert_eq!(error.to_string(), "the order has no names");
    assert_eq!(stage.script.requests(), 3);
}

#[tokio::test]
async fn an_authorization_can_be_given_up() {
    let stage = Stage::new();
    let order = stage.order("pending").await;
    stage
        .on("POST /authz/0", json(200, &authorization(0, "pending")))
        .on("POST /authz/0", json(200, &authorization(0, "deactivated")));
    let authorization = order.authorizations().await.unwrap().remove(0);
    assert_eq!(authorization.challenges().len(), 2);
    let gone = authorization.deactivate().await.unwrap();
    assert_eq!(gone.status().as_str(), "deactivated");
    assert_eq!(stage.script.seen().last().unwrap().payload, r#"{"status":"deactivated"}"#);
}

#[tokio::test]
async fn an_authorization_that_was_not_given_up_is_no_success() {
    let stage = Stage::new();
    let order = stage.order("pending").await;
    stage
        .on("POST /authz/0", json(200, &authorization(0, "pending")))
        .on("POST /authz/0", json(200, &authorization(0, "pending")));
    let authorization = order.authorizations().await.unwrap().remove(0);
    let error = authorization.deactivate().await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::NotDeactivated { .. })), "{error}");
}

#[tokio::test]
async fn handles_move_between_tasks() {
    let stage = Stage::new();
    let order = stage.order("pending").await;
    stage
        .on("POST /authz/0", json(200, &authorization(0, "pending")))
        .on("POST /chall/0", json(200, &challenge(0, "processing")));
    let challenge = order.authorizations().await.unwrap().remove(0).dns01().unwrap();
    let answered = tokio::spawn(async move { challenge.answer().await }).await.unwrap().unwrap();
    assert_eq!(answered.status().as_str(), "processing");
    assert_eq!(stage.script.seen().last().unwrap().payload, "{}");
}
