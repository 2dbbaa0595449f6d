//! The certificate authority, asked by hand: what it gives, and what it refuses.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use perennial_core::{Clock, Timestamp};
use perennial_testkit::{
    CertificateAuthority, ManualClock,
    ca::{CertificateAuthorityBuilder, Flaw, OrderStatus, Quirk, RetryAfter, Verb},
    dns::{AuthoritativeServer, Behaviour, Data, Endpoint, Freshness, Zone},
};
use serde_json::{Value, json};
use x509_parser::{
    certificate::X509Certificate,
    pem::Pem,
    prelude::{FromDer, GeneralName},
};

use crate::acme_client::{Client, JOSE, csr, csr_with};

/// A CA, and the two servers of example.com that it asks.
struct Scene {
    ca: CertificateAuthority,
    clock: ManualClock,
    zone: Zone,
    servers: [AuthoritativeServer; 2],
}

async fn scene() -> Scene {
    scene_with(CertificateAuthority::builder()).await
}

async fn scene_with(authority: CertificateAuthorityBuilder) -> Scene {
    let zone = Zone::new("example.com").unwrap();
    let endpoint = || async { Endpoint::bind("127.0.0.1:0").await.unwrap() };
    let servers = [
        AuthoritativeServer::builder().zone(&zone).start(endpoint().await),
        AuthoritativeServer::builder().zone(&zone).start(endpoint().await),
    ];
    let clock = ManualClock::new("2027-01-01T00:00:00Z".parse().unwrap());
    let ca = authority
        .validate_through(&[servers[0].address(), servers[1].address()])
        .clock(Arc::new(clock.clone()))
        .profile("shortlived", "six days", Duration::from_secs(6 * 86_400))
        .start()
        .await
        .unwrap();
    Scene { ca, clock, zone, servers }
}

/// An order whose names are all proved.
async fn ready_order(scene: &Scene, client: &Client, names: &[&str]) -> (String, Value) {
    let reply = client.order(names).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    let url = reply.header("location").to_owned();
    for (owner, value, challenge) in client.challenges(&reply.json()).await {
        scene.zone.add(&owner, Data::txt(value)).unwrap();
        assert_eq!(client.post(&challenge, &json!({})).await.status, 200);
    }
    let order = client.settled(&url).await;
    (url, order)
}

fn chain(pem: &[u8]) -> Vec<Pem> {
    Pem::iter_from_buffer(pem).map(Result::unwrap).collect()
}

fn names_of(leaf: &X509Certificate<'_>) -> Vec<String> {
    let san = leaf.subject_alternative_name().unwrap().unwrap();
    let names = san.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other}"),
    });
    names.collect()
}

#[tokio::test]
async fn an_order_becomes_a_certificate_that_chains_to_the_root() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let names = ["*.example.com", "example.com"];
    let (url, order) = ready_order(&scene, &client, &names).await;
    assert_eq!(order["status"], "ready");
    let (csr, key) = csr(&names);
    let done = client.finalize(&order, &csr).await;
    assert_eq!((done.status, done.header("location")), (200, url.as_str()));
    let certificate = client.get(done.json()["certificate"].as_str().unwrap()).await;
    assert_eq!(certificate.header("content-type"), "application/pem-certificate-chain");

    let chain = chain(&certificate.body);
    let [leaf, intermediate] = [&chain[0], &chain[1]].map(|pem| pem.parse_x509().unwrap());
    let root = Pem::iter_from_buffer(scene.ca.issuer_root_pem().as_bytes()).next().unwrap().unwrap();
    let root = root.parse_x509().unwrap();
    leaf.verify_signature(Some(intermediate.public_key())).unwrap();
    intermediate.verify_signature(Some(root.public_key())).unwrap();
    assert_eq!((leaf.issuer(), intermediate.issuer()), (intermediate.subject(), root.subject()));
    assert_eq!(*leaf.public_key().subject_public_key.data, *rcgen::PublicKeyData::der_bytes(&key));
    assert_eq!(names_of(&leaf), names);
    assert!(!leaf.is_ca() && intermediate.is_ca());
    let validity = leaf.validity();
    let now = scene.clock.now().unix();
    assert!(validity.not_before.timestamp() <= now);
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 90 * 86_400);

    let issued = scene.ca.certificates();
    assert_eq!((issued.len(), issued[0].serial.len()), (1, 32));
    assert_eq!(issued[0].chain_pem.as_bytes(), certificate.body);
    assert_eq!(issued[0].not_after.unix(), validity.not_after.timestamp());
    assert_eq!(Some(&issued[0].account), client.account.as_ref());
    assert_eq!((scene.ca.orders()[0].status, scene.ca.orders()[0].finalizations), (OrderStatus::Valid, 1));
    assert_eq!(client.finalize(&order, &csr).await.status, 403);
    assert_eq!(scene.ca.orders()[0].finalizations, 2);
    let finalized = scene.ca.requests().into_iter().find(|request| request.verb == Some(Verb::Finalize));
    assert_eq!(finalized.unwrap().user_agent.as_deref(), Some("testkit"));
}

#[tokio::test]
async fn an_authority_that_looks_at_once_has_decided_when_it_answers() {
    let scene = scene_with(CertificateAuthority::builder().validate_at_once()).await;
    let client = Client::registered(&scene.ca).await;
    let reply = client.order(&["example.com"]).await;
    for (owner, value, challenge) in client.challenges(&reply.json()).await {
        scene.zone.add(&owner, Data::txt(value)).unwrap();
        assert_eq!(client.post(&challenge, &json!({})).await.status, 200);
    }
    assert_eq!(client.get(reply.header("location")).await.json()["status"], "ready");
}

#[tokio::test]
async fn the_alternate_chain_has_the_same_leaf_and_another_root() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let (_, order) = ready_order(&scene, &client, &["example.com"]).await;
    let done = client.finalize(&order, &csr(&["example.com"]).0).await.json();
    let first = client.get(done["certificate"].as_str().unwrap()).await;
    let links: Vec<&str> = first.headers.get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
    let alternate = links.iter().find(|link| link.ends_with("rel=\"alternate\"")).unwrap();
    let second = client.get(alternate[1..].split_once('>').unwrap().0).await;
    let (first, second) = (chain(&first.body), chain(&second.body));
    assert_eq!(first[0], second[0]);
    let root = Pem::iter_from_buffer(scene.ca.alternate_root_pem().as_bytes()).next().unwrap().unwrap();
    let intermediate = second[1].parse_x509().unwrap();
    intermediate.verify_signature(Some(root.parse_x509().unwrap().public_key())).unwrap();
}

#[tokio::test]
async fn an_account_is_found_again_changed_and_deactivated() {
    let scene = scene().await;
    let mut client = Client::new(&scene.ca).await;
    let existing = json!({"onlyReturnExisting": true});
    assert_eq!(client.post("newAccount", &existing).await.problem(), (400, "accountDoesNotExist".into()));
    let disagree = client.post("newAccount", &json!({})).await;
    assert_eq!(disagree.problem(), (403, "userActionRequired".into()));
    for (contact, kind) in [
        ("tel:1", "unsupportedContact"),
        ("mailto:a@b,c@d", "invalidContact"),
        ("mailto:@example.com", "invalidContact"),
        ("mailto:nobody", "invalidContact"),
    ] {
        let wanted = json!({"termsOfServiceAgreed": true, "contact": [contact]});
        assert_eq!(client.post("newAccount", &wanted).await.problem(), (400, kind.into()));
    }
    let wanted = json!({"termsOfServiceAgreed": true, "contact": ["mailto:a@example.com"]});
    let made = client.post("newAccount", &wanted).await;
    assert_eq!((made.status, &made.json()["status"]), (201, &json!("valid")));
    let found = client.post("newAccount", &existing).await;
    assert_eq!((found.status, found.header("location")), (200, made.header("location")));
    let url = made.header("location").to_owned();
    client.account = Some(url.clone());
    let changed = client.post(&url, &json!({"contact": []})).await;
    assert_eq!(changed.json()["contact"], json!([]));
    let orders = client.get(changed.json()["orders"].as_str().unwrap()).await;
    assert_eq!(orders.json()["orders"], json!([]));
    let gone = client.post(&url, &json!({"status": "deactivated"})).await;
    assert_eq!(gone.json()["status"], "deactivated");
    assert_eq!(client.order(&["example.com"]).await.problem(), (401, "unauthorized".into()));
    client.account = None;
    assert_eq!(client.post("newAccount", &wanted).await.problem(), (401, "unauthorized".into()));
}

#[tokio::test]
async fn a_key_is_changed_only_with_the_consent_of_both_keys() {
    let scene = scene().await;
    let mut client = Client::registered(&scene.ca).await;
    let new = Client::new(&scene.ca).await;
    let url = client.url("keyChange");
    let inner = json!({"alg": "ES256", "jwk": new.jwk(), "url": url});
    let payload = json!({"account": client.account, "oldKey": client.jwk()}).to_string();
    let forged: Value = serde_json::from_str(&client.sign(&inner, &payload)).unwrap();
    assert_eq!(client.post(&url, &forged).await.problem(), (400, "malformed".into()));
    let consent: Value = serde_json::from_str(&new.sign(&inner, &payload)).unwrap();
    assert_eq!(client.post(&url, &consent).await.status, 200);
    assert_eq!(client.order(&["example.com"]).await.problem(), (400, "malformed".into())); // the old key
    let mut renewed = new;
    renewed.account = client.account.take();
    assert_eq!(renewed.order(&["example.com"]).await.status, 201);
}

#[tokio::test]
async fn every_breach_of_the_signing_rules_is_refused() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let stranger = Client::new(&scene.ca).await;
    let url = client.url("newOrder");
    let payload = json!({"identifiers": [{"type": "dns", "value": "example.com"}]}).to_string();
    let good = || async { client.header(&url).await };

    // Another key's signature, and a payload that was changed after it was signed.
    let header = good().await;
    let reply = client.send(Method::POST, &url, Some(JOSE), &stranger.sign(&header, &payload)).await;
    assert_eq!(reply.problem(), (400, "malformed".into()));
    let mut body: Value = serde_json::from_str(&client.sign(&good().await, &payload)).unwrap();
    body["payload"] = BASE64_URL_SAFE_NO_PAD.encode("{}").into();
    let reply = client.send(Method::POST, &url, Some(JOSE), &body.to_string()).await;
    assert_eq!(reply.problem(), (400, "malformed".into()));

    type Change = fn(&mut Value);
    let changes: [(Change, u16, &str); 7] = [
        (|header| drop(header.as_object_mut().unwrap().remove("nonce")), 400, "badNonce"),
        (|header| header["nonce"] = "made-up".into(), 400, "badNonce"),
        (|header| header["url"] = "https://example.com/new-order".into(), 403, "unauthorized"),
        (|header| header["jwk"] = json!({}), 400, "malformed"),
        (|header| drop(header.as_object_mut().unwrap().remove("kid")), 400, "malformed"),
        (|header| header["kid"] = "https://example.com/account/1".into(), 400, "accountDoesNotExist"),
        (|header| header["alg"] = "ES384".into(), 400, "malformed"),
    ];
    for (change, status, kind) in changes {
        let mut header = good().await;
        change(&mut header);
        let reply = client.send_signed(&url, &header, &payload).await;
        assert_eq!(reply.problem(), (status, kind.into()), "{header}");
        assert!(reply.headers.contains_key("replay-nonce"));
    }
    let mut header = good().await;
    header["alg"] = "HS256".into();
    let reply = client.send_signed(&url, &header, &payload).await;
    assert_eq!(reply.problem(), (400, "badSignatureAlgorithm".into()));
    assert!(reply.json()["algorithms"].as_array().unwrap().contains(&json!("ES256")));

    // A nonce is good once.
    let header = good().await;
    assert_eq!(client.send_signed(&url, &header, &payload).await.status, 201);
    assert_eq!(client.send_signed(&url, &header, &payload).await.problem(), (400, "badNonce".into()));

    let body = client.sign(&good().await, &payload);
    let reply = client.send(Method::POST, &url, Some("application/json"), &body).await;
    assert_eq!(reply.problem(), (415, "malformed".into()));
    assert_eq!(client.send(Method::GET, &url, None, "").await.problem(), (405, "malformed".into()));
}

#[tokio::test]
async fn a_key_must_come_with_a_new_account_and_nowhere_else() {
    let scene = scene().await;
    let mut client = Client::new(&scene.ca).await;
    let reply = client.order(&["example.com"]).await;
    assert_eq!(reply.problem(), (400, "malformed".into()));
    client.account = Client::registered(&scene.ca).await.account;
    let reply = client.post("newAccount", &json!({"termsOfServiceAgreed": true})).await;
    assert_eq!(reply.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn identifiers_that_cannot_be_certified_are_refused_each_with_its_reason() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    scene.ca.add_quirk(Quirk::RejectIdentifier("forbidden.example.com".parse().unwrap()));
    for (kind, value, problem) in [
        ("ip", "127.0.0.1", (400, "unsupportedIdentifier")),
        ("dns", "127.0.0.1", (400, "malformed")),
        ("dns", "a..example.com", (400, "malformed")),
        ("dns", "Example.com", (400, "malformed")),
        ("dns", "a.*.example.com", (400, "malformed")),
        ("dns", "com", (403, "rejectedIdentifier")),
        ("dns", "a_b.example.com", (403, "rejectedIdentifier")),
        ("dns", "forbidden.example.com", (403, "rejectedIdentifier")),
    ] {
        let wanted = json!({"identifiers": [{"type": kind, "value": value}]});
        let (status, kind) = client.post("newOrder", &wanted).await.problem();
        assert_eq!((status, kind.as_str()), problem, "{value}");
    }
    let several = client.order(&["forbidden.example.com", "example.com", "com"]).await.json();
    assert_eq!(several["subproblems"].as_array().unwrap().len(), 2);
    assert_eq!(several["subproblems"][0]["identifier"]["value"], "forbidden.example.com");
    let wanted = json!({"identifiers": [{"type": "dns", "value": "example.com"}], "profile": "none"});
    assert_eq!(client.post("newOrder", &wanted).await.problem(), (400, "invalidProfile".into()));
    assert_eq!(client.post("newOrder", &json!({"identifiers": []})).await.problem().0, 400);
}

#[tokio::test]
async fn a_challenge_fails_when_one_of_the_servers_does_not_show_the_record() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    scene.servers[1].set_freshness(Freshness::Frozen);
    let (url, order) = ready_order(&scene, &client, &["example.com"]).await;
    assert_eq!(order["status"], "invalid");
    assert_eq!(order["error"]["type"], "urn:ietf:params:acme:error:dns");
    assert_eq!(order["error"]["identifier"]["value"], "example.com");
    let authorization = client.get(order["authorizations"][0].as_str().unwrap()).await.json();
    assert_eq!(authorization["status"], "invalid");
    let (csr, _) = csr(&["example.com"]);
    assert_eq!(client.finalize(&order, &csr).await.problem(), (403, "orderNotReady".into()));
    assert_eq!(client.get(&url).await.json()["status"], "invalid");

    // A wrong value is another reason than none, and a server that is down is passed over.
    scene.servers[1].set_freshness(Freshness::Current);
    let order = client.order(&["www.example.com"]).await.json();
    let (owner, value, challenge) = client.challenges(&order).await.remove(0);
    scene.zone.add(&owner, Data::txt("wrong")).unwrap();
    client.post(&challenge, &json!({})).await;
    let authorization = client.settled(order["authorizations"][0].as_str().unwrap()).await;
    let challenges = authorization["challenges"].as_array().unwrap();
    let failed = challenges.iter().find(|challenge| challenge["status"] == "invalid").unwrap();
    assert_eq!(failed["error"]["type"], "urn:ietf:params:acme:error:unauthorized");
    assert!(!value.is_empty());
    scene.servers[1].set_behaviour(Behaviour::ServerFailure);
    let (_, order) = ready_order(&scene, &client, &["mail.example.com"]).await;
    assert_eq!(order["status"], "ready");
}

#[tokio::test]
async fn a_challenge_is_looked_up_through_aliases_and_over_tcp() {
    let scene = scene().await;
    scene.servers[0].set_behaviour(Behaviour::Truncate);
    let client = Client::registered(&scene.ca).await;
    let order = client.order(&["example.com"]).await;
    let (owner, value, challenge) = client.challenges(&order.json()).await.remove(0);
    scene.zone.add(&owner, Data::Cname("proof.example.com".parse().unwrap())).unwrap();
    scene.zone.add("proof.example.com", Data::txt(value)).unwrap();
    client.post(&challenge, &json!({})).await;
    assert_eq!(client.settled(order.header("location")).await["status"], "ready");
}

#[tokio::test]
async fn a_csr_must_fit_the_order_and_the_account() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let (_, order) = ready_order(&scene, &client, &["example.com"]).await;
    let (good, _) = csr(&["example.com"]);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bad in [csr(&["www.example.com"]).0, csr(&["example.com", "www.example.com"]).0, damaged] {
        assert_eq!(client.finalize(&order, &bad).await.problem(), (400, "badCSR".into()));
    }
    let with_account_key = csr_with(&["example.com"], &client);
    assert_eq!(client.finalize(&order, &with_account_key).await.problem(), (400, "badCSR".into()));
    // RFC 8555 §7.4: the order stays ready for a better one.
    assert_eq!(client.finalize(&order, &good).await.status, 200);
    assert_eq!(client.finalize(&order, &good).await.problem(), (403, "orderNotReady".into()));
}

#[tokio::test]
async fn nobody_sees_what_is_anothers() {
    let scene = scene().await;
    let (client, other) = (Client::registered(&scene.ca).await, Client::registered(&scene.ca).await);
    let (url, order) = ready_order(&scene, &client, &["example.com"]).await;
    let done = client.finalize(&order, &csr(&["example.com"]).0).await.json();
    let authorization = order["authorizations"][0].as_str().unwrap();
    let certificate = done["certificate"].as_str().unwrap();
    for url in [&url, authorization, certificate, client.account.as_deref().unwrap()] {
        assert_eq!(other.get(url).await.problem(), (403, "unauthorized".into()), "{url}");
    }
    for only_read in [&url, certificate] {
        assert_eq!(client.post(only_read, &json!({})).await.problem(), (400, "malformed".into()));
    }
    let missing = client.url("newOrder").replace("new-order", "order/999");
    assert_eq!(client.get(&missing).await.problem(), (404, "malformed".into()));
}

#[tokio::test]
async fn an_authorization_is_deactivated_and_takes_its_order_along() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let (url, order) = ready_order(&scene, &client, &["example.com"]).await;
    let authorization = order["authorizations"][0].as_str().unwrap();
    let gone = client.post(authorization, &json!({"status": "deactivated"})).await;
    assert_eq!(gone.json()["status"], "deactivated");
    assert_eq!(client.get(&url).await.json()["status"], "invalid");
    let again = client.post(authorization, &json!({"status": "deactivated"})).await;
    assert_eq!(again.problem(), (400, "malformed".into()));
}

#[tokio::test]
async fn a_certificate_is_revoked_by_its_account_or_its_own_key() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let other = Client::registered(&scene.ca).await;
    let mut certificates = Vec::new();
    for key in [&Client::new(&scene.ca).await, &other] {
        let (_, order) = ready_order(&scene, &client, &["example.com"]).await;
        let done = client.finalize(&order, &csr_with(&["example.com"], key)).await.json();
        let pem = client.get(done["certificate"].as_str().unwrap()).await;
        certificates.push(BASE64_URL_SAFE_NO_PAD.encode(&chain(&pem.body)[0].contents));
    }
    let revocation = |index: usize| json!({"certificate": certificates[index], "reason": 1});
    let reply = other.post("revokeCert", &revocation(0)).await;
    assert_eq!(reply.problem(), (403, "unauthorized".into()));
    let reply = client.post("revokeCert", &json!({"certificate": certificates[0], "reason": 2})).await;
    assert_eq!(reply.problem(), (400, "badRevocationReason".into()));
    assert_eq!(client.post("revokeCert", &revocation(0)).await.status, 200);
    let reply = client.post("revokeCert", &revocation(0)).await;
    assert_eq!(reply.problem(), (400, "alreadyRevoked".into()));
    let mut own_key = other;
    own_key.account = None;
    assert_eq!(own_key.post("revokeCert", &revocation(1)).await.status, 200);
    assert_eq!(scene.ca.certificates().iter().map(|issued| issued.revoked).collect::<Vec<_>>(), [Some(1); 2]);
}

#[tokio::test]
async fn time_ends_authorizations_and_orders_and_dates_certificates() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let pending = client.order(&["example.com"]).await;
    scene.clock.advance(Duration::from_secs(8 * 86_400));
    assert_eq!(client.get(pending.header("location")).await.json()["status"], "invalid");
    scene.clock.advance(Duration::from_secs(10 * 365 * 86_400));
    scene.ca.set_validity(Duration::from_secs(45 * 86_400));
    let (_, order) = ready_order(&scene, &client, &["example.com"]).await;
    client.finalize(&order, &csr(&["example.com"]).0).await;
    let issued = &scene.ca.certificates()[0];
    assert_eq!(issued.not_after.since(issued.not_before), Duration::from_secs(45 * 86_400));
    assert!(issued.not_before > "2036-12-01T00:00:00Z".parse::<Timestamp>().unwrap());
}

#[tokio::test]
async fn a_profile_is_offered_echoed_and_kept() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    assert_eq!(client.directory["meta"]["profiles"], json!({"shortlived": "six days"}));
    let wanted = json!({"identifiers": [{"type": "dns", "value": "example.com"}], "profile": "shortlived"});
    let order = client.post("newOrder", &wanted).await;
    assert_eq!(order.json()["profile"], "shortlived");
    let (owner, value, challenge) = client.challenges(&order.json()).await.remove(0);
    scene.zone.add(&owner, Data::txt(value)).unwrap();
    client.post(&challenge, &json!({})).await;
    let order = client.settled(order.header("location")).await;
    client.finalize(&order, &csr(&["example.com"]).0).await;
    let issued = &scene.ca.certificates()[0];
    assert_eq!(issued.profile.as_deref(), Some("shortlived"));
    assert_eq!(issued.not_after.since(issued.not_before), Duration::from_secs(6 * 86_400));
}

#[tokio::test]
async fn authorizations_are_reused_only_where_that_was_asked_for() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    ready_order(&scene, &client, &["example.com"]).await;
    assert_eq!(client.order(&["example.com"]).await.json()["status"], "pending");

    let ca = CertificateAuthority::builder()
        .validate_through(&[scene.servers[0].address()])
        .reuse_authorizations()
        .start()
        .await
        .unwrap();
    let scene = Scene { ca, ..scene };
    let client = Client::registered(&scene.ca).await;
    ready_order(&scene, &client, &["example.com"]).await;
    assert_eq!(client.order(&["example.com"]).await.json()["status"], "ready");
    assert_eq!(client.order(&["*.example.com"]).await.json()["status"], "pending");
}

#[tokio::test]
async fn challenges_that_this_ca_does_not_look_at_are_offered_and_refused() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let order = client.order(&["example.com"]).await.json();
    let url = order["authorizations"][0].as_str().unwrap();
    let authorization = client.get(url).await.json();
    let kinds: Vec<&str> = authorization["challenges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|challenge| challenge["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["http-01", "unheard-01", "dns-01"]);
    let http = authorization["challenges"][0]["url"].as_str().unwrap();
    assert_eq!(client.post(http, &json!({})).await.problem(), (400, "malformed".into()));
    let challenge = client.get(http).await;
    assert_eq!(challenge.json()["status"], "pending");
    let links: Vec<_> = challenge.headers.get_all("link").iter().collect();
    assert!(links.iter().any(|link| *link == format!("<{url}>;rel=\"up\"").as_str()));
    let wildcard = client.order(&["*.example.com"]).await.json();
    let authorization = client.get(wildcard["authorizations"][0].as_str().unwrap()).await.json();
    assert_eq!(authorization["identifier"]["value"], "example.com");
    assert_eq!(authorization["wildcard"], true);
}

#[tokio::test]
async fn quirks_happen_as_often_as_they_were_asked_for() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    scene.ca.add_quirk(Quirk::RejectNonces { times: 1 });
    assert_eq!(client.order(&["example.com"]).await.problem(), (400, "badNonce".into()));
    let retry_after = Some(RetryAfter::DateIn(Duration::from_secs(60)));
    scene.ca.add_quirk(Quirk::Fail { verb: Verb::NewOrder, status: 503, retry_after, times: 1 });
    let busy = client.order(&["example.com"]).await;
    assert_eq!(busy.problem(), (503, "serverInternal".into()));
    assert_eq!(busy.header("retry-after"), "Fri, 01 Jan 2027 00:01:00 GMT");
    let retry_after = Some(RetryAfter::Seconds(7));
    scene.ca.add_quirk(Quirk::Fail { verb: Verb::NewOrder, status: 429, retry_after, times: 1 });
    let limited = client.order(&["example.com"]).await;
    assert_eq!((limited.problem(), limited.header("retry-after")), ((429, "rateLimited".into()), "7"));
    scene.ca.add_quirk(Quirk::AnswerNonsense { verb: Verb::Directory, times: 1 });
    let nonsense = client.send(Method::GET, scene.ca.directory_url(), None, "").await;
    assert_eq!(nonsense.header("content-type"), "text/html");
    scene.ca.add_quirk(Quirk::LoseAnswer { verb: Verb::NewOrder, times: 1 });
    let url = client.url("newOrder");
    let payload = json!({"identifiers": [{"type": "dns", "value": "lost.example.com"}]}).to_string();
    let body = client.sign(&client.header(&url).await, &payload);
    assert!(client.try_send(Method::POST, &url, Some(JOSE), &body).await.is_err());
    assert_eq!(scene.ca.orders()[0].names[0].as_str(), "lost.example.com");
    assert_eq!(client.order(&["example.com"]).await.status, 201);
}

#[tokio::test]
async fn slow_issuance_keeps_an_order_processing() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    scene.ca.add_quirk(Quirk::SlowIssuance { polls: 2 });
    scene.ca.add_quirk(Quirk::RetryAfter(RetryAfter::Seconds(3)));
    let (url, order) = ready_order(&scene, &client, &["example.com"]).await;
    let mut statuses = vec![client.finalize(&order, &csr(&["example.com"]).0).await.json()["status"].clone()];
    for _ in 0..3 {
        let reply = client.get(&url).await;
        let json = reply.json();
        assert_eq!(reply.headers.contains_key("retry-after"), json["status"] == "processing");
        assert_eq!(json.get("certificate").is_some(), json["status"] == "valid");
        statuses.push(json["status"].clone());
    }
    assert_eq!(statuses, ["processing", "processing", "processing", "valid"]);

    scene.ca.clear_quirks();
    scene.ca.add_quirk(Quirk::SlowIssuanceFor(Duration::from_secs(30)));
    let (url, order) = ready_order(&scene, &client, &["example.com"]).await;
    client.finalize(&order, &csr(&["example.com"]).0).await;
    scene.clock.advance(Duration::from_secs(29));
    assert_eq!(client.get(&url).await.json()["status"], "processing");
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(client.get(&url).await.json()["status"], "valid");
}

#[tokio::test]
async fn every_flaw_is_in_the_certificate() {
    let scene = scene().await;
    let client = Client::registered(&scene.ca).await;
    let names = ["example.com", "www.example.com"];
    let now = scene.clock.now().unix();
    for flaw in [
        Flaw::AnotherKey,
        Flaw::BrokenChain,
        Flaw::Expired,
        Flaw::NoIntermediate,
        Flaw::NotYetValid,
        Flaw::OtherNames,
    ] {
        scene.ca.clear_quirks();
        scene.ca.add_quirk(Quirk::Flaw(flaw));
        let (_, order) = ready_order(&scene, &client, &names).await;
        let (csr, key) = csr(&names);
        let done = client.finalize(&order, &csr).await.json();
        let reply = client.get(done["certificate"].as_str().unwrap()).await;
        let chain = chain(&reply.body);
        let (_, leaf) = X509Certificate::from_der(&chain[0].contents).unwrap();
        let (from, to) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
        let chained = chain
            .get(1)
            .is_some_and(|next| leaf.verify_signature(Some(next.parse_x509().unwrap().public_key())).is_ok());
        let found = [
            (
                Flaw::AnotherKey,
                *leaf.public_key().subject_public_key.data != *rcgen::PublicKeyData::der_bytes(&key),
            ),
            (Flaw::BrokenChain, chain.len() == 2 && !chained),
            (Flaw::Expired, to < now),
            (Flaw::NoIntermediate, chain.len() == 1),
            (Flaw::NotYetValid, from > now),
            (Flaw::OtherNames, names_of(&leaf) != names),
        ];
        for (kind, there) in found {
            assert_eq!(there, kind == flaw, "{kind:?} where {flaw:?} was asked for");
        }
    }
}

/// The identifier of a certificate (RFC 9773 §4.1).
fn certificate_id(leaf: &X509Certificate<'_>) -> String {
    let issuer = leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(issuer) => {
            issuer.key_identifier.as_ref()
        }
        _ => None,
    });
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}", encode(issuer.unwrap().0), encode(leaf.raw_serial()))
}

#[tokio::test]
async fn a_certificate_has_a_window_for_its_renewal_and_is_replaced_once() {
    let scene = scene_with(CertificateAuthority::builder().renewal_info()).await;
    let client = Client::registered(&scene.ca).await;
    let (_, order) = ready_order(&scene, &client, &["example.com"]).await;
    let done = client.finalize(&order, &csr(&["example.com"]).0).await.json();
    let pem = client.get(done["certificate"].as_str().unwrap()).await.body;
    let chain = chain(&pem);
    let id = certificate_id(&chain[0].parse_x509().unwrap());

    let url = format!("{}/{id}", client.url("renewalInfo"));
    let info = client.send(Method::GET, &url, None, "").await;
    let moment =
        |name: &str| info.json()["suggestedWindow"][name].as_str().unwrap().parse::<Timestamp>().unwrap();
    let issued = &scene.ca.certificates()[0];
    let (start, end) = (moment("start"), moment("end"));
    assert_eq!(start.until(issued.not_after), Duration::from_secs(30 * 86_400));
    assert_eq!((start.until(end).as_secs(), info.header("retry-after")), (86_400, "21600"));
    let (from, to) = (Timestamp::from_unix(7), Timestamp::from_unix(3));
    scene.ca.set_renewal_window(Some((from, to)));
    let info = client.send(Method::GET, &url, None, "").await.json();
    assert_eq!(info["suggestedWindow"], json!({"start": from.to_string(), "end": to.to_string()}));
    let nobodys = client.send(Method::GET, &format!("{url}00"), None, "").await;
    assert_eq!(nobodys.problem(), (404, "malformed".into()));

    let replace = |name: &str| json!({"identifiers": [{"type": "dns", "value": name}], "replaces": id});
    let other = client.post("newOrder", &replace("www.example.com")).await;
    assert_eq!(other.problem(), (400, "malformed".into()));
    let stranger = Client::registered(&scene.ca).await;
    let other = stranger.post("newOrder", &replace("example.com")).await;
    assert_eq!(other.problem(), (403, "unauthorized".into()));
    let first = client.post("newOrder", &replace("example.com")).await;
    assert_eq!((first.status, first.json()["replaces"].as_str()), (201, Some(id.as_str())));
    assert_eq!(scene.ca.orders().last().unwrap().replaces.as_ref(), Some(&id));
    let second = client.post("newOrder", &replace("example.com")).await;
    assert_eq!(second.problem(), (409, "alreadyReplaced".into()));
}

#[tokio::test]
async fn an_order_that_has_failed_replaces_nothing_and_without_renewal_info_none_does() {
    let scene = scene_with(CertificateAuthority::builder().renewal_info()).await;
    let client = Client::registered(&scene.ca).await;
    let (_, order) = ready_order(&scene, &client, &["example.com"]).await;
    let done = client.finalize(&order, &csr(&["example.com"]).0).await.json();
    let pem = client.get(done["certificate"].as_str().unwrap()).await.body;
    let id = certificate_id(&chain(&pem)[0].parse_x509().unwrap());
    let wanted = json!({"identifiers": [{"type": "dns", "value": "example.com"}], "replaces": id});
    let failed = client.post("newOrder", &wanted).await.json();
    let authorization = failed["authorizations"][0].as_str().unwrap();
    client.post(authorization, &json!({"status": "deactivated"})).await;
    assert_eq!(client.post("newOrder", &wanted).await.status, 201);

    let plain = self::scene().await;
    let client = Client::registered(&plain.ca).await;
    assert_eq!(client.directory.get("renewalInfo"), None);
    let order = client.post("newOrder", &wanted).await;
    assert_eq!((order.status, order.json().get("replaces")), (201, None));
}

#[tokio::test]
async fn a_ca_that_binds_accounts_knows_its_customers_by_their_macs() {
    let scene = scene_with(CertificateAuthority::builder().external_account("customer-1", b"a secret")).await;
    let client = Client::new(&scene.ca).await;
    assert_eq!(client.directory["meta"]["externalAccountRequired"], true);
    let agreed = json!({"termsOfServiceAgreed": true});
    assert_eq!(client.post("newAccount", &agreed).await.problem(), (403, "externalAccountRequired".into()));
    let url = client.url("newAccount");
    let binding = |kid: &str, key: &[u8], url: &str, jwk: &Value| {
        let encode = |json: &Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let protected = encode(&json!({"alg": "HS256", "kid": kid, "url": url}));
        let payload = encode(jwk);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        let mac = ring::hmac::sign(&key, format!("{protected}.{payload}").as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(mac);
        let binding = json!({"protected": protected, "payload": payload, "signature": signature});
        json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding})
    };
    let stranger = Client::new(&scene.ca).await;
    for (wrong, problem) in [
        (binding("customer-2", b"a secret", &url, &client.jwk()), (403, "unauthorized")),
        (binding("customer-1", b"a guess", &url, &client.jwk()), (403, "unauthorized")),
        (binding("customer-1", b"a secret", "https://127.0.0.1/", &client.jwk()), (400, "malformed")),
        (binding("customer-1", b"a secret", &url, &stranger.jwk()), (400, "malformed")),
    ] {
        let (status, kind) = client.post("newAccount", &wrong).await.problem();
        assert_eq!((status, kind.as_str()), problem, "{wrong}");
    }
    let right = binding("customer-1", b"a secret", &url, &client.jwk());
    assert_eq!(client.post("newAccount", &right).await.status, 201);
    // Who has an account does not have to prove anything again.
    assert_eq!(client.post("newAccount", &agreed).await.status, 200);
}
