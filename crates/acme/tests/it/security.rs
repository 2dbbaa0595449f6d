//! What a hostile or broken server may try.

use std::sync::Arc;

use perennial_acme::{
    AccountKey, Algorithm, Client, Error, Jwk, Misbehaved, Misuse, NewAccount, NewOrder, Signer, SignerError,
    UrlFault,
};
use perennial_core::Retry;
use serde_json::json;

use crate::script::{HOME, Stage, acct, after, authorization, directory, json, names, order, reply};

#[test]
fn a_plain_http_directory_is_named_and_refused() {
    let error = Client::builder("http://ca.test/dir").build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the URL \"http://ca.test/dir\" cannot be used: only https is allowed (RFC 8555 §6.1)"
    );
    assert!(Client::builder("http://127.0.0.1:14000/dir").dangerous_allow_http().build().is_ok());
}

fn refused_url(error: &Error) -> (&str, &UrlFault) {
    match error {
        Error::Misbehaved(Misbehaved::Url { url, fault }) => (url, fault),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_directory_that_leads_elsewhere_is_refused_before_anything_is_sent_there() {
    for (url, insecure) in [("https://evil.test/new-order", false), ("http://ca.test/new-order", true)] {
        let stage = Stage::new();
        let mut directory = directory();
        directory["newOrder"] = json!(url);
        stage.on("GET /dir", json(200, &directory));
        let error = stage.client.directory().await.unwrap_err();
        let (named, fault) = refused_url(&error);
        assert_eq!(named, url);
        assert_eq!(*fault == UrlFault::Insecure, insecure);
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn urls_in_orders_and_locations_are_checked_too() {
    let stage = Stage::new();
    let mut leading = order("pending", 1);
    leading["authorizations"] = json!(["https://169.254.169.254/latest/meta-data"]);
    let account = stage.account().await;
    stage.on("POST /order/1", json(200, &leading));
    let resumed = account.order(&format!("{HOME}/order/1")).await.unwrap();
    let error = resumed.authorizations().await.unwrap_err();
    assert_eq!(refused_url(&error).0, "https://169.254.169.254/latest/meta-data");

    stage.on(
        "POST /new-order",
        json(201, &order("pending", 1)).header("location", "https://evil.test/order/1"),
    );
    let error = account.new_order(&NewOrder::new(names(1))).await.unwrap_err();
    assert_eq!(refused_url(&error).0, "https://evil.test/order/1");
}

#[tokio::test]
async fn urls_from_storage_are_checked_again() {
    let stage = Stage::new();
    let key = Arc::new(AccountKey::generate().unwrap());
    let error = stage.client.account("https://evil.test/acct/1", key).unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::Url { .. })), "{error}");
    let account = stage.account().await;
    assert!(matches!(account.order("not a URL").await, Err(Error::Misuse(Misuse::Url { .. }))));
}

#[tokio::test]
async fn each_verb_wants_its_own_status() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /new-order", json(200, &order("pending", 1)).header("location", "/order/1"));
    let error = account.new_order(&NewOrder::new(names(1))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "newOrder at https://ca.test/new-order was answered with status 200, where 201 is required"
    );
    stage.on("POST /order/1", reply(302, "").header("location", "https://evil.test/"));
    let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::Status { status: 302, .. })), "{error}");
}

#[tokio::test]
async fn a_deactivation_that_did_not_happen_is_no_success() {
    let stage = Stage::new();
    let order = stage.order("pending").await;
    stage.on("POST /authz/0", json(200, &authorization(0, "pending"))).on("POST /authz/0", reply(303, ""));
    let authorization = order.authorizations().await.unwrap().remove(0);
    assert!(authorization.deactivate().await.is_err());
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /order/1", reply(200, vec![b' '; (1 << 20) + 1]));
    let error = account.order(&format!("{HOME}/order/1")).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::TooLarge { limit: 1_048_576, .. })), "{error}");
}

#[tokio::test]
async fn an_order_for_other_names_is_refused() {
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /new-order", json(201, &order("pending", 2)).header("location", "/order/1"));
    let error = account.new_order(&NewOrder::new(names(1))).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server made an order for [example.org, a1.example.org] where [example.org] was asked for"
    );
}

#[tokio::test]
async fn a_token_that_could_be_a_path_is_refused_when_it_is_used() {
    let stage = Stage::new();
    let order = stage.order("pending").await;
    let mut hostile = authorization(0, "pending");
    hostile["challenges"][1]["token"] = json!("../../../../etc/cron.d/x");
    stage.on("POST /authz/0", json(200, &hostile));
    let challenge = order.authorizations().await.unwrap().remove(0).dns01().unwrap();
    let error = challenge.dns01_value().unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::Token { .. })), "{error}");
}

#[tokio::test]
async fn a_challenge_of_another_kind_has_no_txt_value() {
    let stage = Stage::new();
    let order = stage.order("pending").await;
    stage.on("POST /authz/0", json(200, &authorization(0, "pending")));
    let authorization = order.authorizations().await.unwrap().remove(0);
    let error = authorization.challenges()[0].dns01_value().unwrap_err();
    assert_eq!(
        error.to_string(),
        "challenge https://ca.test/chall/0/persist is dns-persist-01, not dns-01: choose among the \
         authorization's challenges"
    );
}

#[tokio::test]
async fn a_huge_retry_after_does_not_stall_a_wait() {
    let stage = Stage::new();
    let order_handle = stage.order("pending").await;
    stage.on("POST /order/1", json(200, &order("pending", 1)).header("retry-after", "18446744073709551615"));
    let error = order_handle.wait_ready(after(600)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::At(after(3600)));
}

/// A key service that returns DER, as most do.
struct DerSigner(AccountKey);

#[async_trait::async_trait]
impl Signer for DerSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn jwk(&self) -> &Jwk {
        self.0.jwk()
    }

    async fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(vec![0x30; 71])
    }
}

/// A signer that misnames its key's algorithm.
struct Mislabelled(AccountKey);

#[async_trait::async_trait]
impl Signer for Mislabelled {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Rs256
    }

    fn jwk(&self) -> &Jwk {
        self.0.jwk()
    }

    async fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError::new("never asked", Retry::Never))
    }
}

#[tokio::test]
async fn a_signer_that_breaks_its_contract_is_told_so_before_the_server_is() {
    let stage = Stage::new();
    stage.on("GET /dir", json(200, &directory())).on("HEAD /new-nonce", reply(200, ""));
    let signer = Arc::new(DerSigner(AccountKey::generate().unwrap()));
    let error = stage.client.register(NewAccount::new(), signer).await.unwrap_err();
    assert!(error.to_string().contains("convert them with signature_from_der"), "{error}");

    let signer = Arc::new(Mislabelled(AccountKey::generate().unwrap()));
    let error = stage.client.account(&acct(1), signer).unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::AlgorithmOfOtherKey { algorithm: Algorithm::Rs256 }));
    stage.script.requests();
}

#[tokio::test]
async fn a_ca_that_binds_accounts_is_told_from_others_before_the_request() {
    let stage = Stage::new();
    let mut binding = directory();
    binding["meta"]["externalAccountRequired"] = json!(true);
    stage.on("GET /dir", json(200, &binding));
    let key = Arc::new(AccountKey::generate().unwrap());
    let error = stage.client.register(NewAccount::new(), key).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::ExternalAccountRequired));
}
