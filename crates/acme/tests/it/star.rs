//! Certificates that the CA renews by itself (RFC 8739).

use std::{sync::Arc, time::Duration};

use perennial_acme::{
    Account, AccountKey, AutoRenewal, AutoRenewalFault, Error, Misuse, NewAccount, NewOrder, OrderStatus,
    ProblemType,
};
use perennial_core::{Retry, Timestamp};
use serde_json::{Value, json};

use crate::{
    pki::{Authority, Key},
    script::{HOME, NOON, Stage, acct, after, authorization, directory, json, names, order, problem, reply},
};

const DAY: Duration = Duration::from_secs(86_400);

async fn account(stage: &Stage) -> Account {
    let mut directory = directory();
    directory["meta"]["auto-renewal"] = json!({ "min-lifetime": 86_400, "max-duration": 31_536_000 });
    stage
        .on("GET /dir", json(200, &directory))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &json!({ "status": "valid" })).header("location", acct(1)));
    let key = Arc::new(AccountKey::generate().unwrap());
    stage.client.register(NewAccount::new().agree_to_terms(), key).await.unwrap()
}

fn renewal() -> AutoRenewal {
    AutoRenewal::new(after(30 * 86_400), 4 * DAY).start_date(NOON)
}

fn star(status: &str) -> Value {
    let mut star = order(status, 1);
    star["auto-renewal"] = json!({ "end-date": "2026-12-21T12:00:00Z", "lifetime": 172_800 });
    star["star-certificate"] = json!(format!("{HOME}/star/1"));
    star
}

#[tokio::test]
async fn rfc8739_3_1_1_the_order_asks_for_renewals_and_the_server_may_adjust_them() {
    let stage = Stage::new();
    let account = account(&stage).await;
    stage.on("POST /new-order", json(201, &star("ready")).header("location", format!("{HOME}/order/1")));
    let made = account.new_order(&NewOrder::new(names(1)).auto_renewal(renewal())).await.unwrap();
    assert_eq!(made.state().auto_renewal.unwrap().lifetime, 2 * DAY);
    let sent: Value = serde_json::from_str(&stage.script.seen().last().unwrap().payload).unwrap();
    assert_eq!(
        sent["auto-renewal"],
        json!({
            "start-date": "2026-11-21T12:00:00Z",
            "end-date": "2026-12-21T12:00:00Z",
            "lifetime": 345_600,
        })
    );
}

#[tokio::test]
async fn what_the_server_cannot_have_is_not_sent() {
    let stage = Stage::new();
    let account = account(&stage).await;
    let refused = async |request: NewOrder| match account.new_order(&request).await {
        Err(Error::Misuse(Misuse::AutoRenewal(fault))) => fault,
        other => panic!("{other:?}"),
    };
    let order = || NewOrder::new(names(1));
    let hourly = AutoRenewal::new(after(30 * 86_400), Duration::from_secs(3600));
    let fault = AutoRenewalFault::LifetimeTooShort { lifetime: 3600, least: 86_400 };
    assert_eq!(refused(order().auto_renewal(hourly)).await, fault);
    let dated = order().validity(None, Some(after(60))).auto_renewal(renewal());
    assert_eq!(refused(dated).await, AutoRenewalFault::FixedValidity);
    let open = renewal().allow_certificate_get();
    assert_eq!(refused(order().auto_renewal(open)).await, AutoRenewalFault::GetNotOffered);
    assert_eq!(stage.script.requests(), 3, "only the account's");

    let plain = Stage::new();
    let request = order().auto_renewal(renewal());
    let error = plain.account().await.new_order(&request).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::AutoRenewal(AutoRenewalFault::NotOffered)));
    assert_eq!(plain.script.requests(), 3, "only the account's");
}

#[tokio::test]
async fn rfc8739_3_3_the_certificate_of_the_moment_comes_with_its_dates() {
    let stage = Stage::new();
    let account = account(&stage).await;
    stage.on("POST /order/1", json(200, &star("valid")));
    let order = account.order(&format!("{HOME}/order/1")).await.unwrap();
    let root = Authority::root("Root");
    let leaf = root.leaf(&Key::new(), &names(1));
    let answer = reply(200, leaf)
        .header("cert-not-before", "\"Sun, 1 Nov 2026 00:00:00 GMT\"")
        .header("cert-not-after", "\"Sat, 30 Jan 2027 00:00:00 GMT\"");
    stage.on("POST /star/1", answer);
    let star = order.star_certificate().await.unwrap();
    let moment = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    assert_eq!(star.not_before, moment("2026-11-01T00:00:00Z"));
    assert_eq!(star.not_after, moment("2027-01-30T00:00:00Z"));
    assert!(star.chain.intermediates().is_empty());
}

#[tokio::test]
async fn rfc8739_3_1_2_an_order_is_canceled_once_it_is_valid() {
    let stage = Stage::new();
    let account = account(&stage).await;
    stage.on("POST /order/1", json(200, &star("ready")));
    let order = account.order(&format!("{HOME}/order/1")).await.unwrap();
    let before = stage.script.requests();
    let early = order.cancel_renewal().await.unwrap_err();
    assert!(matches!(early, Error::Misuse(Misuse::NotReady { .. })));
    assert_eq!(stage.script.requests(), before);

    stage.on("POST /order/1", json(200, &star("valid"))).on("POST /order/1", json(200, &star("canceled")));
    order.refresh().await.unwrap();
    assert_eq!(order.cancel_renewal().await.unwrap().status, OrderStatus::Canceled);
    assert_eq!(stage.script.seen().last().unwrap().payload, r#"{"status":"canceled"}"#);
    assert_eq!(order.state().status, OrderStatus::Canceled, "remembered");
    let late = order.star_certificate().await.unwrap_err();
    assert!(matches!(late, Error::Misuse(Misuse::NotReady { status: OrderStatus::Canceled, .. })));
}

#[tokio::test]
async fn an_order_that_the_server_cancels_has_failed_and_a_new_one_can_be_made() {
    let stage = Stage::new();
    let account = account(&stage).await;
    stage.on("POST /order/1", json(200, &star("pending")));
    let order = account.order(&format!("{HOME}/order/1")).await.unwrap();
    stage
        .on("POST /order/1", json(200, &star("canceled")))
        .on("POST /authz/0", json(200, &authorization(0, "deactivated")));
    let error = order.wait_ready(after(60)).await.unwrap_err();
    assert!(matches!(error, Error::OrderInvalid(_)), "{error}");
    assert_eq!(error.retry(), Retry::Backoff);
    stage.on("POST /authz/0", json(200, &authorization(0, "deactivated")));
    assert!(matches!(order.finalize(b"csr").await, Err(Error::OrderInvalid(_))));
    stage.script.requests();
}

#[tokio::test]
async fn a_canceled_or_expired_order_says_so_where_its_certificate_was() {
    for (kind, known) in [
        ("autoRenewalCanceled", ProblemType::AutoRenewalCanceled),
        ("autoRenewalExpired", ProblemType::AutoRenewalExpired),
    ] {
        let stage = Stage::new();
        let account = account(&stage).await;
        stage.on("POST /order/1", json(200, &star("valid"))).on("POST /star/1", problem(403, kind));
        let order = account.order(&format!("{HOME}/order/1")).await.unwrap();
        let error = order.star_certificate().await.unwrap_err();
        assert_eq!(error.problem().unwrap().kind, known);
    }
}
