//! Is a certificate that should be dead really dead?

use std::sync::Arc;

use perennial_acme::{
    Account, AccountKey, Client, Error, Misbehaved, Misuse, NewAccount, Revocation, RevocationReason, Revoked,
};
use perennial_core::{ReqwestClient, Retry, SecretString};
use perennial_testkit::World;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use crate::{
    pki::{Authority, Key},
    script::{HOME, Reply, Stage, directory, json, lost, names, problem, reply},
    world::{ready_order, soon},
};

fn certificate(key: &Key) -> Revocation {
    let pem = Authority::root("Root X").leaf(key, &names(1));
    Revocation::new(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().as_ref())
}

fn signer(key: &Key) -> Arc<AccountKey> {
    Arc::new(AccountKey::from_pkcs8_pem(&SecretString::new(key.0.serialize_pem())).unwrap())
}

fn revoking() -> Value {
    let mut directory = directory();
    directory["revokeCert"] = json!(format!("{HOME}/revoke"));
    directory
}

/// An account at a server that revokes, unless `directory` says otherwise.
async fn account(stage: &Stage, directory: &Value) -> Account {
    stage
        .on("GET /dir", json(200, directory))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &json!({ "status": "valid" })).header("location", "/acct/1"));
    let key = Arc::new(AccountKey::generate().unwrap());
    stage.client.register(NewAccount::new().agree_to_terms(), key).await.unwrap()
}

async fn revoke(answer: Reply) -> Result<Revoked, Error> {
    let stage = Stage::new();
    let account = account(&stage, &revoking()).await;
    stage.on("POST /revoke", answer);
    let outcome = account.revoke(&certificate(&Key::new())).await;
    assert_eq!(stage.script.requests(), 4);
    outcome
}

#[tokio::test]
async fn rfc8555_7_6_the_account_revokes_with_its_kid_and_the_key_with_its_jwk() {
    let (stage, key) = (Stage::new(), Key::new());
    let account = account(&stage, &revoking()).await;
    let revocation = certificate(&key).reason(RevocationReason::Superseded);
    stage.on("POST /revoke", reply(200, "")).on("POST /revoke", reply(200, ""));
    assert_eq!(account.revoke(&revocation).await, Ok(Revoked::Now));
    assert_eq!(stage.client.revoke(&revocation, signer(&key)).await, Ok(Revoked::Now));
    let seen = stage.script.seen();
    let [by_account, by_key] = &seen[3..] else { panic!("{seen:?}") };
    assert_eq!(by_account.protected["kid"], format!("{HOME}/acct/1"));
    assert_eq!(by_key.protected["jwk"]["crv"], "P-256");
    for seen in [by_account, by_key] {
        assert_eq!(seen.payload, revocation.to_json());
        assert!(seen.payload.ends_with(r#","reason":4}"#), "{}", seen.payload);
    }
}

#[tokio::test]
async fn a_certificate_that_is_revoked_already_is_revoked() {
    for status in [400, 409] {
        assert_eq!(revoke(problem(status, "alreadyRevoked")).await, Ok(Revoked::Already));
    }
}

#[tokio::test]
async fn nothing_but_200_is_a_revocation() {
    for status in [201, 202, 204, 302] {
        let error = revoke(reply(status, "")).await.unwrap_err();
        assert!(
            matches!(error, Error::Misbehaved(Misbehaved::Status { verb: "revokeCert", expected: 200, .. })),
            "{status}: {error}"
        );
    }
    let error = revoke(problem(403, "unauthorized")).await.unwrap_err();
    assert_eq!((error.problem().unwrap().kind.as_str(), error.retry()), ("unauthorized", Retry::Never));
    assert!(matches!(revoke(lost()).await, Err(Error::Network(_))));
}

#[tokio::test]
async fn a_ca_that_revokes_nothing_says_so_before_anything_is_sent() {
    let stage = Stage::new();
    let account = account(&stage, &directory()).await;
    let error = account.revoke(&certificate(&Key::new())).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NotOffered { what: "revokeCert" }));
    assert_eq!(stage.script.requests(), 3);
}

#[tokio::test]
async fn a_key_that_is_not_the_certificate_s_is_noticed_before_anything_is_sent() {
    let (stage, key, other) = (Stage::new(), Key::new(), Key::new());
    let error = stage.client.revoke(&certificate(&key), signer(&other)).await.unwrap_err();
    let Error::Misuse(Misuse::KeyOfOtherCertificate { found: Some(found), given }) = &error else {
        panic!("{error}")
    };
    assert!(found != given && error.to_string().contains(found), "{error}");
    let error = stage.client.revoke(&Revocation::new([0x30]), signer(&key)).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::KeyOfOtherCertificate { found: None, .. })), "{error}");
    assert_eq!(stage.script.requests(), 0);
}

#[tokio::test]
async fn the_ca_of_the_testkit_revokes_by_account_and_by_key_once() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let (account, order) = ready_order(&world, "app.example.com").await;
    let key = Key::new();
    order.finalize(&key.csr(&["app.example.com".parse().unwrap()])).await.unwrap();
    order.wait_valid(soon()).await.unwrap();
    let revocation = Revocation::of(&order.certificate().await.unwrap());

    let error = account.revoke(&revocation.clone().reason(RevocationReason::CaCompromise)).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind.as_str(), "badRevocationReason");
    // A client without an account, as of somebody who found the key.
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build().unwrap();
    let stranger = Client::builder(world.ca().directory_url()).http(Arc::new(http)).build().unwrap();
    let compromised = revocation.clone().reason(RevocationReason::KeyCompromise);
    assert_eq!(stranger.revoke(&compromised, signer(&key)).await, Ok(Revoked::Now));
    assert_eq!(world.ca().certificates()[0].revoked, Some(1));
    assert_eq!(account.revoke(&revocation).await, Ok(Revoked::Already));
    assert_eq!(world.ca().certificates()[0].revoked, Some(1));
}
