//! What can be done with an account: bind, find, read, change, give up, list its orders.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_acme::{
    Account, AccountKey, AccountStatus, AccountUpdate, Algorithm, Client, Error, ExternalAccount,
    MacAlgorithm, Misbehaved, Misuse, NewAccount, NewOrder, ProblemType, Signer as _,
};
use perennial_core::{DomainName, ReqwestClient, Retry, SecretString};
use perennial_testkit::{
    World,
    ca::Verb,
    real::{self, Pebble, Tool},
};
use ring::hmac;
use serde_json::{Value, json};

use crate::script::{HOME, Reply, Stage, acct, directory, json, names, problem, reply};

fn key() -> Arc<AccountKey> {
    Arc::new(AccountKey::generate().unwrap())
}

fn valid() -> Value {
    json!({ "status": "valid", "contact": ["mailto:ops@example.org"], "orders": format!("{HOME}/orders") })
}

fn payload(stage: &Stage, index: usize) -> Value {
    serde_json::from_str(&stage.script.seen()[index].payload).unwrap()
}

#[tokio::test]
async fn an_account_is_bound_to_a_customer_with_the_key_of_the_new_account() {
    let stage = Stage::new();
    let mut binding = directory();
    binding["meta"]["externalAccountRequired"] = json!(true);
    stage
        .on("GET /dir", json(200, &binding))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", problem(400, "badNonce"))
        .on("POST /new-account", json(201, &valid()).header("location", acct(1)));
    let customer =
        ExternalAccount::new("kid-1", &SecretString::new("c2VjcmV0LW9mLXRoaXJ0eS10d28tb2N0ZXRzLWFuZC1tb3Jl"));
    let customer = customer.unwrap().algorithm(MacAlgorithm::Hs384);
    let key = key();
    let request = NewAccount::new().agree_to_terms().external_account(customer);
    stage.client.register(request, key.clone()).await.unwrap();

    assert_eq!(stage.script.requests(), 4);
    let sent = payload(&stage, 3);
    assert_eq!(sent["termsOfServiceAgreed"], true);
    let inner = &sent["externalAccountBinding"];
    let part = |name: &str| URL_SAFE_NO_PAD.decode(inner[name].as_str().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&part("protected")).unwrap();
    assert_eq!(header, json!({ "alg": "HS384", "kid": "kid-1", "url": format!("{HOME}/new-account") }));
    assert_eq!(part("payload"), key.jwk().to_json().as_bytes());
    let input = format!("{}.{}", inner["protected"].as_str().unwrap(), inner["payload"].as_str().unwrap());
    let mac = hmac::Key::new(hmac::HMAC_SHA384, b"secret-of-thirty-two-octets-and-more");
    hmac::verify(&mac, input.as_bytes(), &part("signature")).unwrap();
}

#[tokio::test]
async fn a_key_without_account_is_named_and_none_is_made() {
    let stage = Stage::new();
    stage
        .on("GET /dir", json(200, &directory()))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", problem(400, "accountDoesNotExist"))
        .on("POST /new-account", json(200, &valid()).header("location", acct(7)));
    let key = key();
    let error = stage.client.find_account(key.clone()).await.unwrap_err();
    let thumbprint = key.jwk().thumbprint().to_string();
    let directory = format!("{HOME}/dir");
    assert_eq!(error, Error::Misuse(Misuse::UnknownKey { directory, thumbprint }));
    assert_eq!(error.retry(), Retry::Never);
    assert_eq!(stage.client.find_account(key).await.unwrap().url(), acct(7));
    assert_eq!(payload(&stage, 2), json!({ "onlyReturnExisting": true }));
}

#[tokio::test]
async fn an_account_that_is_made_where_one_was_looked_for_is_noticed() {
    let stage = Stage::new();
    stage
        .on("GET /dir", json(200, &directory()))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &valid()).header("location", acct(7)));
    let error = stage.client.find_account(key()).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::Status { status: 201, .. })), "{error}");
}

#[tokio::test]
async fn an_account_is_read_and_changed_and_all_handles_know() {
    let stage = Stage::new();
    let account = stage.account().await;
    let other = account.clone();
    let mut changed = valid();
    changed["contact"] = json!(["mailto:new@example.org"]);
    stage.on("POST /acct/1", json(200, &valid())).on("POST /acct/1", json(200, &changed));
    assert_eq!(account.refresh().await.unwrap().contact, ["mailto:ops@example.org"]);
    let update = AccountUpdate::new().contact("mailto:new@example.org").agree_to_terms();
    account.update(&update).await.unwrap();
    assert_eq!(other.state().unwrap().contact, ["mailto:new@example.org"]);
    assert_eq!(stage.script.seen()[3].payload, "", "a POST-as-GET");
    assert_eq!(
        payload(&stage, 4),
        json!({ "contact": ["mailto:new@example.org"], "termsOfServiceAgreed": true })
    );
}

#[tokio::test]
async fn an_account_that_is_not_deactivated_is_no_success() {
    let silent = json!({ "contact": [] });
    let refusals: [(Reply, &str); 4] = [
        (json(200, &valid()), "and says that it is valid"),
        (json(200, &silent), "and says that it is valid"),
        (reply(303, ""), "was answered with status 303"),
        (problem(500, "serverInternal"), "was refused"),
    ];
    for (answer, text) in refusals {
        let stage = Stage::new();
        let account = stage.account().await;
        stage.on("POST /acct/1", answer);
        let error = account.deactivate().await.unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.retry(), Retry::Backoff);
        assert_eq!(account.state().unwrap().status, AccountStatus::Valid);
    }
}

fn page(orders: &[u32], next: Option<&str>) -> Reply {
    let orders: Vec<_> = orders.iter().map(|number| format!("{HOME}/order/{number}")).collect();
    let page = json(200, &json!({ "orders": orders }));
    match next {
        Some(next) => page.header("link", format!("<{next}>;rel=\"next\"")),
        None => page,
    }
}

/// An account whose list of orders is known.
async fn with_orders(stage: &Stage) -> Account {
    let account = stage.account().await;
    stage.on("POST /acct/1", json(200, &valid()));
    account.refresh().await.unwrap();
    account
}

#[tokio::test]
async fn all_pages_of_orders_are_read() {
    let stage = Stage::new();
    let account = with_orders(&stage).await;
    stage
        .on("POST /orders", page(&[1, 2], Some("/orders?cursor=2")))
        .on("POST /orders?cursor=2", page(&[], Some(&format!("{HOME}/orders?cursor=3"))))
        .on("POST /orders?cursor=3", page(&[3], None));
    let orders = account.orders().await.unwrap();
    assert_eq!(
        orders.iter().map(|url| &url.as_str()[HOME.len()..]).collect::<Vec<_>>(),
        ["/order/1", "/order/2", "/order/3"]
    );
    assert_eq!(stage.script.requests(), 4 + 3);
    stage.on("POST /orders", page(&[1], Some("/orders?cursor=2")));
    let first = account.orders_page(None).await.unwrap();
    assert_eq!(first.next.unwrap().as_str(), format!("{HOME}/orders?cursor=2"));
}

#[tokio::test]
async fn pages_that_go_round_in_a_circle_or_lead_elsewhere_are_left() {
    let stage = Stage::new();
    let account = with_orders(&stage).await;
    stage
        .on("POST /orders", page(&[1], Some("/orders?cursor=2")))
        .on("POST /orders?cursor=2", page(&[2], Some("/orders")));
    let error = account.orders().await.unwrap_err();
    assert_eq!(error, Error::Misbehaved(Misbehaved::OrdersLoop { url: format!("{HOME}/orders") }));
    stage.on("POST /orders", page(&[1], Some("https://evil.test/orders")));
    assert!(matches!(account.orders().await, Err(Error::Misbehaved(Misbehaved::Url { .. }))));
}

#[tokio::test]
async fn pages_without_end_are_left() {
    let stage = Stage::new();
    let account = with_orders(&stage).await;
    stage.on("POST /orders", page(&[1], Some("/orders?cursor=1")));
    for cursor in 1..1000 {
        let next = format!("/orders?cursor={}", cursor + 1);
        stage.on(&format!("POST /orders?cursor={cursor}"), page(&[cursor], Some(&next)));
    }
    let error = account.orders().await.unwrap_err();
    assert!(
        matches!(error, Error::Misbehaved(Misbehaved::TooMany { field: "next", limit: 1000, .. })),
        "{error}"
    );
    assert_eq!(stage.script.requests(), 4 + 1000);
}

#[tokio::test]
async fn a_ca_without_a_list_of_orders_is_told_from_an_empty_list() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /acct/1", json(200, &json!({ "status": "valid" })));
    let error = account.orders().await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NotOffered { what: "a list of orders" }));
    assert_eq!(error.to_string(), "this CA does not support a list of orders");
}

async fn register(world: &World) -> Account {
    client(world)
        .register(NewAccount::new().contact("mailto:ops@example.com").agree_to_terms(), key())
        .await
        .unwrap()
}

fn client(world: &World) -> Client {
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build().unwrap();
    Client::builder(world.ca().directory_url()).http(Arc::new(http)).build().unwrap()
}

async fn world() -> World {
    World::builder().zone("example.com").build().await.unwrap()
}

#[tokio::test]
async fn the_life_of_an_account_at_a_ca() {
    let world = world().await;
    let account = register(&world).await;
    let order =
        account.new_order(&NewOrder::new(["app.example.com".parse::<DomainName>().unwrap()])).await.unwrap();
    assert_eq!(
        account.orders().await.unwrap().iter().map(|url| url.as_str()).collect::<Vec<_>>(),
        [order.url()]
    );

    let update = AccountUpdate::new().contact("mailto:new@example.com");
    assert_eq!(account.update(&update).await.unwrap().contact, ["mailto:new@example.com"]);
    let update = AccountUpdate::new().contact("tel:+49301234");
    let error = account.update(&update).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::UnsupportedContact);
    assert_eq!(account.refresh().await.unwrap().contact, ["mailto:new@example.com"]);
    assert!(account.update(&AccountUpdate::new().no_contacts()).await.unwrap().contact.is_empty());

    assert_eq!(account.deactivate().await.unwrap().status, AccountStatus::Deactivated);
    let error = account.new_order(&NewOrder::new(names(1))).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::Unauthorized);
    assert_eq!(account.deactivate().await.unwrap_err().problem().unwrap().kind, ProblemType::Unauthorized);
    assert_eq!(
        world.ca().requests().iter().filter(|request| request.verb == Some(Verb::NewAccount)).count(),
        1
    );
}

/// The key that Pebble is told to bind accounts with.
const MAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

#[tokio::test]
async fn pebble_binds_finds_changes_and_gives_up_an_account() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let pebble = Pebble::builder().external_account("kid-1", MAC_KEY).start().await.unwrap();
    let http = ReqwestClient::builder().root_certificates_pem(pebble.ca_pem()).build().unwrap();
    let client = Client::builder(pebble.directory_url()).http(Arc::new(http)).build().unwrap();
    let request = || NewAccount::new().contact("mailto:ops@example.com").agree_to_terms();
    let error = client.register(request(), key()).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::ExternalAccountRequired));
    for mac_key in ["c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", MAC_KEY] {
        let customer = ExternalAccount::new("kid-1", &SecretString::new(mac_key)).unwrap();
        let bound = client.register(request().external_account(customer), key()).await;
        assert_eq!(bound.is_ok(), mac_key == MAC_KEY, "{bound:?}");
    }

    let customer = ExternalAccount::new("kid-1", &SecretString::new(MAC_KEY)).unwrap();
    let old = key();
    let account = client.register(request().external_account(customer), old.clone()).await.unwrap();
    let error = client.find_account(key()).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::UnknownKey { .. })), "{error}");
    assert_eq!(client.find_account(old.clone()).await.unwrap().url(), account.url());
    let update = AccountUpdate::new().contact("mailto:new@example.com");
    assert_eq!(account.update(&update).await.unwrap().contact, ["mailto:new@example.com"]);
    assert_eq!(account.refresh().await.unwrap().contact, ["mailto:new@example.com"]);

    let credentials = account.credentials(old.clone()).unwrap();
    let new = Arc::new(AccountKey::generate_with(Algorithm::Es384).unwrap());
    let pending = credentials.with_pending_key(new.clone()).unwrap();
    let (_, unchanged) = client.settle_key_change(&pending).await.unwrap();
    assert!(unchanged.pending_key().is_some());
    account.change_key(&unchanged).await.unwrap();
    let (account, changed) = client.settle_key_change(&pending).await.unwrap();
    assert_eq!(changed.key().jwk(), new.jwk());
    assert!(client.find_account(old).await.is_err());

    let customer = ExternalAccount::new("kid-1", &SecretString::new(MAC_KEY)).unwrap();
    let other = client.register(request().external_account(customer), key()).await.unwrap();
    // Pebble answers 200 here, and changes nothing.
    let error = other.change_signer(new).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::KeyTaken { account: account.url().to_owned() }));

    assert_eq!(account.deactivate().await.unwrap().status, AccountStatus::Deactivated);
    assert!(matches!(account.refresh().await, Err(Error::Server(_))));
}

#[tokio::test]
async fn pebble_lists_more_orders_than_fit_a_page() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let pebble = Pebble::builder().start().await.unwrap();
    let account = crate::world::register(&pebble.directory_url(), pebble.ca_pem()).await;
    let mut made = Vec::new();
    for index in 0..7 {
        let name: DomainName = format!("a{index}.example.com").parse().unwrap();
        made.push(account.new_order(&NewOrder::new([name])).await.unwrap().url().to_owned());
    }
    let mut listed: Vec<_> = account.orders().await.unwrap().iter().map(ToString::to_string).collect();
    assert!(account.orders_page(None).await.unwrap().next.is_some(), "Pebble has three on a page");
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
}

#[tokio::test]
async fn pebble_takes_rsa_and_p384_keys_and_says_which_it_takes_instead_of_ed25519() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let pebble = Pebble::builder().start().await.unwrap();
    let http = ReqwestClient::builder().root_certificates_pem(pebble.ca_pem()).build().unwrap();
    let client = Client::builder(pebble.directory_url()).http(Arc::new(http)).build().unwrap();
    let rsa = AccountKey::from_pem(&SecretString::new(include_str!("data/account-rsa-3072.pem"))).unwrap();
    for key in [rsa, AccountKey::generate_with(Algorithm::Es384).unwrap()] {
        client.register(NewAccount::new().agree_to_terms(), Arc::new(key)).await.unwrap();
    }
    let key = Arc::new(AccountKey::generate_with(Algorithm::EdDsa).unwrap());
    let error = client.register(NewAccount::new().agree_to_terms(), key).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
}
