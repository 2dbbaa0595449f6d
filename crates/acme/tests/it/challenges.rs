//! Challenges other than dns-01: what each has to show, and how it is answered.

use std::sync::Arc;

use perennial_acme::{
    Account, AccountKey, Authorization, Challenge, ChallengeKind, Error, Misbehaved, Misuse, NewAccount,
    OnionCaa, OrderStatus,
    challenge::{
        dns_persist01::{Draft, Wanted, find},
        onion_csr01,
    },
};
use perennial_core::{DomainName, Retry};
use serde_json::{Value, json};

use crate::script::{HOME, NOON, Stage, TOKEN, acct, directory, json, order, reply};

/// An account, and the authorization of `example.org`, or of what `change` makes of it, with one challenge of
/// each kind.
async fn offered(stage: &Stage, change: impl Fn(&mut Value)) -> (Account, Authorization) {
    let challenge =
        |kind: &str| json!({ "type": kind, "url": format!("{HOME}/chall/{kind}"), "token": TOKEN });
    let kinds = ["dns-01", "dns-account-01", "device-attest-01", "http-01", "tls-alpn-01"];
    let mut authorization = json!({
        "identifier": { "type": "dns", "value": "example.org" },
        "status": "pending",
        "challenges": kinds.map(challenge),
    });
    change(&mut authorization);
    let account = stage.account().await;
    let mut placed = order("pending", 1);
    placed["identifiers"] = json!([authorization["identifier"].clone()]);
    stage.on("POST /order/1", json(200, &placed)).on("POST /authz/0", json(200, &authorization));
    let authorizations =
        account.order(&format!("{HOME}/order/1")).await.unwrap().authorizations().await.unwrap();
    (account, authorizations.into_iter().next().unwrap())
}

async fn challenge(stage: &Stage, kind: ChallengeKind) -> Challenge {
    offered(stage, |_| ()).await.1.challenge(&kind).unwrap()
}

#[tokio::test]
async fn http01_serves_the_key_authorization_below_the_token() {
    let stage = Stage::new();
    let (account, authorization) = offered(&stage, |_| ()).await;
    let challenge = authorization.challenge(&ChallengeKind::Http01).unwrap();
    assert_eq!(challenge.http01_path().unwrap(), format!("/.well-known/acme-challenge/{TOKEN}"));
    assert_eq!(challenge.http01_body().unwrap(), format!("{TOKEN}.{}", account.thumbprint()));
    assert!(matches!(
        challenge.dns_account01_value(),
        Err(Error::Misuse(Misuse::ChallengeKind { wanted: "dns-account-01", .. }))
    ));
}

#[tokio::test]
async fn dns_account01_has_a_name_of_the_accounts_own_and_the_value_of_dns01() {
    let stage = Stage::new();
    let (account, authorization) = offered(&stage, |_| ()).await;
    let challenge = authorization.challenge(&ChallengeKind::DnsAccount01).unwrap();
    let label = perennial_acme::challenge::dns_account01::label(&acct(1));
    assert_eq!(account.url(), acct(1));
    assert_eq!(
        challenge.dns_account01_record_name().unwrap().as_str(),
        format!("{label}._acme-challenge.example.org")
    );
    let dns01 = authorization.dns01().unwrap();
    assert_eq!(challenge.dns_account01_value().unwrap(), dns01.dns01_value().unwrap());
    assert_ne!(challenge.dns_account01_record_name().unwrap(), dns01.dns01_record_name().unwrap());
}

/// An account and its dns-persist-01 challenge, at a server with that `meta`.
async fn persistent(stage: &Stage, meta: Value, fields: &Value) -> (Account, Challenge) {
    let mut directory = directory();
    directory["meta"] = meta;
    stage
        .on("GET /dir", json(200, &directory))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &json!({ "status": "valid" })).header("location", acct(1)))
        .on("POST /order/1", json(200, &order("pending", 1)));
    let mut challenge =
        json!({ "type": "dns-persist-01", "url": format!("{HOME}/chall/p"), "status": "pending" });
    challenge.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let authorization = json!({
        "identifier": { "type": "dns", "value": "example.org" },
        "status": "pending",
        "challenges": [challenge],
    });
    stage.on("POST /authz/0", json(200, &authorization));
    let key = Arc::new(AccountKey::generate().unwrap());
    let account = stage.client.register(NewAccount::new().agree_to_terms(), key).await.unwrap();
    let order = account.order(&format!("{HOME}/order/1")).await.unwrap();
    let authorization = order.authorizations().await.unwrap().remove(0);
    (account, authorization.challenge(&ChallengeKind::DnsPersist01).unwrap())
}

#[tokio::test]
async fn draft_dns_persist_01_the_record_names_the_account_by_its_url_and_the_answer_is_empty() {
    let stage = Stage::new();
    let fields = json!({ "issuer-domain-names": ["ca.test", "old.ca.test"], "accounturi": acct(1) });
    let (_, challenge) = persistent(&stage, json!({}), &fields).await;
    let record = challenge.dns_persist01_record(Draft::V01).await.unwrap();
    assert_eq!(record.to_string(), format!("ca.test; accounturi={}", acct(1)));
    let name = challenge.dns_persist01_record_name().unwrap();
    assert_eq!(name.as_str(), "_validation-persist.example.org");
    assert!(challenge.key_authorization().is_err(), "there is no token");
    let valid = json!({ "type": "dns-persist-01", "url": challenge.url(), "status": "valid" });
    stage.on("POST /chall/p", json(200, &valid));
    challenge.answer().await.unwrap();
    stage.script.requests();
    assert_eq!(stage.script.seen().last().unwrap().payload, "{}");
}

#[tokio::test]
async fn a_challenge_that_would_give_the_name_to_another_account_is_refused() {
    let stage = Stage::new();
    let fields = json!({ "issuer-domain-names": ["ca.test"], "accounturi": acct(2) });
    let (_, challenge) = persistent(&stage, json!({}), &fields).await;
    let error = challenge.dns_persist01_record(Draft::V01).await.unwrap_err();
    let (url, found, account) = (challenge.url().to_owned(), acct(2), acct(1));
    assert_eq!(error, Error::Misbehaved(Misbehaved::AccountUri { url, found, account }));
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn draft_dns_persist_02_the_record_names_the_account_by_a_hash() {
    let stage = Stage::new();
    let meta = json!({ "accountHashPrefix": "https://ca.test/hash/", "caaIdentities": ["ca.test"] });
    let (account, challenge) = persistent(&stage, meta, &json!({ "issuerDomainNames": ["ca.test"] })).await;
    let record = challenge.dns_persist01_record(Draft::V02).await.unwrap();
    assert!(record.account_uri().starts_with("https://ca.test/hash/sha-256/"));
    assert!(!record.to_string().contains(account.url()));
    let applicant = account.dns_persist01_applicant(Draft::V02).await.unwrap();
    let name: DomainName = "example.org".parse().unwrap();
    let wanted =
        Wanted { name: &name, issuers: &["ca.test".parse().unwrap()], applicant: &applicant, now: NOON };
    assert_eq!(find(&name, [record.to_string().as_str()], &wanted), Ok(record));
    let other = challenge.dns_persist01_record(Draft::V01).await.unwrap_err();
    assert!(matches!(other, Error::Misbehaved(Misbehaved::Field { field: "issuer-domain-names", .. })));
}

#[tokio::test]
async fn draft_dns_persist_02_needs_a_prefix_and_an_issuer_that_the_directory_knows() {
    let fields = json!({ "issuerDomainNames": ["ca.test"] });
    let stage = Stage::new();
    let (_, challenge) = persistent(&stage, json!({}), &fields).await;
    let error = challenge.dns_persist01_record(Draft::V02).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NotOffered { what: "accountHashPrefix" }));
    let stage = Stage::new();
    let (_, challenge) = persistent(&stage, json!({ "caaIdentities": ["other.test"] }), &fields).await;
    let error = challenge.dns_persist01_record(Draft::V02).await.unwrap_err();
    assert_eq!(error, Error::Misbehaved(Misbehaved::IssuerDomainName { name: "ca.test".to_owned() }));
}

#[tokio::test]
async fn rfc9799_3_2_an_onion_service_answers_with_a_signing_request() {
    let stage = Stage::new();
    let address = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion";
    let (_, authorization) = offered(&stage, |authorization| {
        authorization["identifier"]["value"] = json!(address);
        authorization["challenges"] = json!([
            { "type": "onion-csr-01", "url": format!("{HOME}/chall/onion"), "nonce": "bI6/MRqV4gw=" },
        ]);
    })
    .await;
    let challenge = authorization.challenge(&ChallengeKind::OnionCsr01).unwrap();
    assert_eq!(onion_csr01::nonce(challenge.state()).unwrap().len(), 8);
    assert!(onion_csr01::service_key(challenge.identifier().dns().unwrap()).is_ok());
    let valid = json!({ "type": "onion-csr-01", "url": challenge.url(), "status": "valid" });
    stage.on("POST /chall/onion", json(200, &valid));
    challenge.answer_with(&onion_csr01::payload(b"\x30\x03")).await.unwrap();
    stage.script.requests();
    assert_eq!(stage.script.seen().last().unwrap().payload, r#"{"csr":"MAM"}"#);
}

#[tokio::test]
async fn rfc9799_6_4_an_order_is_finalized_with_the_caa_records_of_its_onion_services() {
    let stage = Stage::new();
    let ready = stage.order("ready").await;
    let address: DomainName =
        "5anebu2glyc235wbbop3m2ukzlaptpkq333vdtdvcjpigyb7x2i2m2qd.onion".parse().unwrap();
    let records = OnionCaa::new(address.clone(), None, NOON).signed(&[0; 64]);
    stage.on("POST /order/1/finalize", json(200, &order("processing", 1)));
    let state = ready.finalize_onion(b"\x30\x03", std::slice::from_ref(&records)).await.unwrap();
    assert_eq!(state.status, OrderStatus::Processing);
    let sent: Value = serde_json::from_str(&stage.script.seen().last().unwrap().payload).unwrap();
    assert_eq!(sent["csr"], json!("MAM"));
    assert_eq!(sent["onionCAA"][address.as_str()]["expiry"], json!(NOON.unix()));
    let again = ready.finalize_onion(b"\x30\x03", &[records]).await.unwrap_err();
    assert!(matches!(again, Error::Misuse(Misuse::NotReady { .. })), "it is sent once");
}

#[tokio::test]
async fn an_address_is_proven_over_http_and_tls_and_not_by_dns() {
    let stage = Stage::new();
    let (_, authorization) = offered(&stage, |authorization| {
        authorization["identifier"] = json!({ "type": "ip", "value": "192.0.2.7" });
    })
    .await;
    assert!(authorization.identifier().ip().is_some());
    assert!(authorization.challenge(&ChallengeKind::Http01).unwrap().http01_body().is_ok());
    let tls = authorization.challenge(&ChallengeKind::TlsAlpn01).unwrap();
    assert!(tls.tls_alpn01_certificate().is_ok());
    assert!(matches!(
        authorization.dns01().unwrap().dns01_record_name(),
        Err(Error::Misuse(Misuse::ChallengeKind { wanted: "for a DNS name", .. }))
    ));
}

#[tokio::test]
async fn a_payload_of_ones_own_is_sent_as_it_is() {
    let stage = Stage::new();
    let challenge = challenge(&stage, ChallengeKind::DeviceAttest01).await;
    let valid = json!({ "type": "device-attest-01", "url": challenge.url(), "status": "processing" });
    stage.on("POST /chall/device-attest-01", json(200, &valid));
    let answered = challenge.answer_with(r#"{"attObj": "o2NmbXQ"}"#).await.unwrap();
    assert_eq!(answered.status().as_str(), "processing");
    stage.script.requests();
    assert_eq!(stage.script.seen().last().unwrap().payload, r#"{"attObj": "o2NmbXQ"}"#);
}

#[tokio::test]
async fn a_payload_that_is_no_object_is_never_sent() {
    let stage = Stage::new();
    let challenge = challenge(&stage, ChallengeKind::DeviceAttest01).await;
    let before = stage.script.requests();
    for payload in ["", "[]", "null", "\"x\"", "{} {}", "{\"attObj\":"] {
        let error = challenge.answer_with(payload).await.unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::Payload { .. })), "{payload}");
    }
    assert_eq!(stage.script.requests(), before);
}
