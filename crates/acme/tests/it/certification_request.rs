//! What is asked to be certified, and by which keys.

use std::sync::Arc;

use perennial_acme::{
    AccountKey, CertificateChain, CertificateFault, CertificationRequest, CertificationRequestError, Error,
    Expected, Identifier, Jwk, KeyAlgorithm, Misuse, NewOrder, PrivateKey, Signer as _,
};
use perennial_core::{Clock as _, DomainName, SystemClock};
use perennial_testkit::World;
use rcgen::KeyPair;
use serde_json::json;

use crate::{
    pki::{Authority, Key},
    script::{HOME, NOON, Stage, acct, directory, identifiers, json, names, order, reply},
    world::{ready_order, soon},
};

fn misuse(fault: CertificationRequestError) -> Error {
    Misuse::CertificationRequest(fault).into()
}

#[tokio::test]
async fn a_request_for_other_names_is_noticed_before_it_costs_the_order() {
    let stage = Stage::new();
    let order = stage.order("ready").await;
    let sent = stage.script.requests();
    let wrong = CertificationRequest::parse(&Key::new().csr(&names(2))).unwrap();
    let surplus = vec!["a1.example.org".to_owned()];
    let fault = CertificationRequestError::OtherNames { missing: vec![], surplus };
    assert_eq!(order.finalize_with(&wrong).await, Err(misuse(fault)));
    assert_eq!(stage.script.requests(), sent);

    let right = CertificationRequest::parse(&Key::new().csr(&names(1))).unwrap();
    stage.on("POST /order/1/finalize", json(200, &crate::script::order("valid", 1)));
    order.finalize_with(&right).await.unwrap();
    assert_eq!(stage.script.requests(), sent + 1);
}

#[tokio::test]
async fn rfc8555_11_1_the_account_s_key_is_not_certified() {
    let stage = Stage::new();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let signer = Arc::new(AccountKey::from_pkcs8_pem(&key.to_pem()).unwrap());
    let account = stage.client.account(&acct(1), signer).unwrap();
    stage
        .on("GET /dir", json(200, &directory()))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /order/1", json(200, &order("ready", 1)));
    let order = account.order(&format!("{HOME}/order/1")).await.unwrap();
    let request = CertificationRequest::new(&key, &identifiers(&names(1))).unwrap();
    assert_eq!(order.finalize_with(&request).await, Err(misuse(CertificationRequestError::AccountKey)));
    assert_eq!(stage.script.requests(), 3);
}

#[tokio::test]
async fn an_order_for_an_address_wants_a_request_for_it() {
    let stage = Stage::new();
    let account = stage.account().await;
    let address = Identifier::Ip("192.0.2.1".parse().unwrap());
    let mut state = order("ready", 1);
    state["identifiers"] = json!([{ "type": "ip", "value": "192.0.2.1" }]);
    stage.on("POST /new-order", json(201, &state).header("location", format!("{HOME}/order/1")));
    let order = account.new_order(&NewOrder::new([&address])).await.unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let name = CertificationRequest::new(&key, &identifiers(&names(1))).unwrap();
    assert!(matches!(order.finalize_with(&name).await, Err(Error::Misuse(_))));
    stage.on("POST /order/1/finalize", json(200, &state));
    let request = CertificationRequest::new(&key, &[address]).unwrap();
    order.finalize_with(&request).await.unwrap();
    stage.script.requests();
}

/// Of the RSA kinds only the one that is made within a second or two.
const KINDS: [KeyAlgorithm; 4] =
    [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048];

#[tokio::test]
async fn every_kind_of_leaf_key_is_certified_and_verified() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let name: DomainName = "app.example.com".parse().unwrap();
    for kind in KINDS {
        let (_, order) = ready_order(&world, name.as_str()).await;
        let key = PrivateKey::generate(kind).unwrap();
        let identifiers = identifiers(std::slice::from_ref(&name));
        let request = CertificationRequest::new(&key, &identifiers).unwrap();
        order.finalize_with(&request).await.unwrap();
        order.wait_valid(soon()).await.unwrap();
        let chain = order.certificate().await.unwrap();
        let (public_key, now) = (request.public_key(), SystemClock::new().now());
        assert_eq!(chain.verify(&Expected { public_key, identifiers: &identifiers, now }), Ok(()), "{kind}");
    }
}

#[test]
fn a_chain_that_any_kind_of_key_signed_is_verified() {
    let (key, names) = (Key::new(), names(2));
    for kind in KINDS {
        let signer = PrivateKey::generate(kind).unwrap();
        let root = Authority::root_with("Root X", KeyPair::from_pem(signer.to_pem().expose()).unwrap());
        let intermediate = root.intermediate("Intermediate 1");
        let pem = intermediate.leaf(&key, &names) + &intermediate.pem() + &root.pem();
        let chain = CertificateChain::parse(pem.as_bytes()).unwrap();
        let (public_key, identifiers) = (key.spki(), identifiers(&names));
        let expected = Expected { public_key: &public_key, identifiers: &identifiers, now: NOON };
        assert_eq!(chain.verify(&expected), Ok(()), "{kind}");

        let namesake = Authority::root("Root X");
        let pem = intermediate.leaf(&key, &names) + &intermediate.pem() + &namesake.pem();
        let chain = CertificateChain::parse(pem.as_bytes()).unwrap();
        assert_eq!(chain.verify(&expected), Err(CertificateFault::BrokenLink { index: 1 }), "{kind}");
    }
}

#[test]
fn a_leaf_key_that_is_read_as_an_account_key_is_the_same_key() {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let signer = AccountKey::from_pkcs8_pem(&key.to_pem()).unwrap();
    assert_eq!(Jwk::from_spki(&key.public_key_der()).as_ref(), Some(signer.jwk()));
}
