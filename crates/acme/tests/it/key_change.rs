//! A new key for an account: what is sent, who follows, and what is left after a crash or a lost answer.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_acme::{
    Account, AccountCredentials, AccountKey, Algorithm, Client, Directory, Error, Jwk, Misbehaved, Misuse,
    NewAccount, ProblemType, Server, Session, Signer, SignerError, UrlPolicy, call::KeyChange,
};
use perennial_core::{HttpError, ReqwestClient, Retry};
use perennial_testkit::{
    World,
    ca::{Quirk, Verb},
};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::script::{HOME, Stage, acct, directory, json, lost, order, problem, reply};

fn key(algorithm: Algorithm) -> Arc<AccountKey> {
    Arc::new(AccountKey::generate_with(algorithm).unwrap())
}

fn valid() -> Value {
    json!({ "status": "valid" })
}

/// An account with a P-256 key at a CA that changes keys, and its credentials with an Ed25519 key pending.
async fn pending(stage: &Stage) -> (Account, AccountCredentials) {
    let mut changing = directory();
    changing["keyChange"] = json!(format!("{HOME}/key-change"));
    stage
        .on("GET /dir", json(200, &changing))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &valid()).header("location", acct(1)));
    let old = key(Algorithm::Es256);
    let account = stage.client.register(NewAccount::new().agree_to_terms(), old.clone()).await.unwrap();
    let credentials = account.credentials(old).unwrap();
    (account, credentials.with_pending_key(key(Algorithm::EdDsa)).unwrap())
}

fn movable<F: Future + Send>(future: F) -> F {
    future
}

/// A signer whose algorithm is not its key's.
struct Mismatched(Arc<AccountKey>);

#[async_trait::async_trait]
impl Signer for Mismatched {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es384
    }

    fn jwk(&self) -> &Jwk {
        self.0.jwk()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message).await
    }
}

#[test]
fn who_drives_a_change_alone_is_kept_from_the_same_mistakes() {
    let server = Arc::new(Server::new(&format!("{HOME}/dir"), UrlPolicy::strict()).unwrap());
    let old = key(Algorithm::Es256);
    let session = Session::with_key(server, old.clone()).unwrap().with_account(acct(1).parse().unwrap());
    let mut changing = directory();
    changing["keyChange"] = json!(format!("{HOME}/key-change"));
    let directory = Directory::parse(changing.to_string().as_bytes()).unwrap();
    let change = |new: &dyn Signer| KeyChange::new(&session, &directory, new);

    assert_eq!(change(&*old).unwrap_err(), Misuse::SameKey { account: acct(1) });
    let algorithm = Algorithm::Es384;
    let mismatched = Mismatched(key(Algorithm::Es256));
    assert_eq!(change(&mismatched).unwrap_err(), Misuse::AlgorithmOfOtherKey { algorithm });
    let sealed = change(&*key(algorithm)).unwrap().seal(&[0; 64]);
    assert_eq!(sealed.unwrap_err(), Misuse::SignatureSize { algorithm, expected: 96, found: 64 });
}

#[tokio::test]
async fn a_server_that_failed_in_the_midst_of_the_change_is_asked_what_it_did() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    stage
        .on("POST /key-change", problem(500, "serverInternal"))
        .on("POST /new-account", json(200, &valid()).header("location", acct(1)));
    assert!(account.change_key(&credentials).await.unwrap().pending_key().is_none());
    stage.script.requests();
}

#[tokio::test]
async fn an_old_key_that_has_another_account_settles_nothing() {
    let stage = Stage::new();
    let (_, credentials) = pending(&stage).await;
    stage
        .on("POST /new-account", problem(400, "accountDoesNotExist"))
        .on("POST /new-account", json(200, &valid()).header("location", acct(9)));
    let error = stage.client.settle_key_change(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::OtherAccount { credentials: acct(1), account: acct(9) }));
}

#[tokio::test]
async fn rfc8555_7_3_5_the_new_key_signs_inside_and_the_old_one_around_it() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    let (old, new) = (credentials.key().jwk(), credentials.pending_key().unwrap().jwk());
    let other = account.clone();
    stage
        .on("POST /key-change", problem(400, "badNonce"))
        .on("POST /key-change", json(200, &valid()))
        .on("POST /new-account", json(200, &valid()).header("location", acct(1)))
        .on("POST /order/1", json(200, &order("ready", 1)));
    let changed = movable(account.change_key(&credentials)).await.unwrap();
    assert_eq!(changed.key().jwk(), new);
    assert!(changed.pending_key().is_none());
    other.order(&format!("{HOME}/order/1")).await.unwrap();
    assert_eq!(stage.script.requests(), 3 + 4);

    let seen = stage.script.seen();
    let outer = &seen[4];
    assert_eq!((&outer.protected["alg"], &outer.protected["kid"]), (&json!("ES256"), &json!(acct(1))));
    let inner: Value = serde_json::from_str(&outer.payload).unwrap();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(inner[name].as_str().unwrap()).unwrap();
    let read = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    let jwk = |jwk: &Jwk| read(jwk.to_json().as_bytes());
    assert_eq!(
        read(&part("protected")),
        json!({ "alg": "EdDSA", "jwk": jwk(new), "url": format!("{HOME}/key-change") }),
        "the same URL, no nonce"
    );
    assert_eq!(read(&part("payload")), json!({ "account": acct(1), "oldKey": jwk(old) }));
    let input = format!("{}.{}", inner["protected"].as_str().unwrap(), inner["payload"].as_str().unwrap());
    let public = URL_SAFE_NO_PAD.decode(jwk(new)["x"].as_str().unwrap()).unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(input.as_bytes(), &part("signature")).unwrap();
    // All handles sign with the new key now, and know its thumbprint.
    assert_eq!((&seen[6].protected["alg"], &seen[6].protected["kid"]), (&json!("EdDSA"), &json!(acct(1))));
    assert_eq!(other.thumbprint(), new.thumbprint().to_string());
    // Once more is nothing.
    assert!(account.change_key(&credentials).await.unwrap().pending_key().is_none());
    stage.script.requests();
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_asking_for_the_account_of_the_new_key() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    stage
        .on("POST /key-change", lost())
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(200, &valid()).header("location", acct(1)));
    let changed = account.change_key(&credentials).await.unwrap();
    let new = credentials.pending_key().unwrap().jwk();
    assert_eq!(changed.key().jwk(), new);
    assert_eq!(account.thumbprint(), new.thumbprint().to_string());
    let search = &stage.script.seen()[5];
    assert_eq!(search.payload, r#"{"onlyReturnExisting":true}"#);
    assert_eq!(search.protected["jwk"]["kty"], "OKP");
}

#[tokio::test]
async fn a_change_that_was_not_made_leaves_the_handle_with_the_old_key() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    let before = account.thumbprint();
    stage
        .on("POST /key-change", lost())
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", problem(400, "accountDoesNotExist"));
    let error = account.change_key(&credentials).await.unwrap_err();
    assert!(matches!(error, Error::Network(HttpError::Exchange { .. })), "{error}");
    assert_eq!(account.thumbprint(), before);
    // When that cannot be found out either, the first trouble is the one to tell.
    stage.on("POST /key-change", problem(503, "serverInternal")).on("POST /new-account", lost());
    let error = account.change_key(&credentials).await.unwrap_err();
    assert_eq!(error.problem().unwrap().status, Some(503));
    assert_eq!(account.thumbprint(), before);
}

#[tokio::test]
async fn a_change_that_the_server_only_says_it_made_does_not_cost_the_old_key() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    let before = account.thumbprint();
    stage.on("POST /key-change", reply(200, "")).on("POST /new-account", problem(400, "accountDoesNotExist"));
    let error = account.change_key(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misbehaved(Misbehaved::KeyNotChanged { account: acct(1) }));
    stage.on("POST /key-change", reply(200, "")).on("POST /new-account", lost());
    let error = account.change_key(&credentials).await.unwrap_err();
    assert!(matches!(error, Error::Network(_)), "{error}");
    assert_eq!(account.thumbprint(), before);
}

#[tokio::test]
async fn a_refusal_of_the_old_signature_is_a_sign_of_an_earlier_change() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    stage
        .on("POST /key-change", problem(401, "unauthorized"))
        .on("POST /new-account", json(200, &valid()).header("location", acct(1)));
    assert!(account.change_key(&credentials).await.unwrap().pending_key().is_none());
}

#[tokio::test]
async fn a_key_that_the_ca_does_not_want_costs_no_further_request() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    stage.on("POST /key-change", problem(400, "badSignatureAlgorithm"));
    let error = account.change_key(&credentials).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind, ProblemType::BadSignatureAlgorithm);
    assert_eq!(stage.script.requests(), 3 + 1);
}

#[tokio::test]
async fn a_pending_key_that_the_ca_takes_from_nobody_does_not_bar_the_way_to_the_old_one() {
    for kind in ["badSignatureAlgorithm", "badPublicKey"] {
        let stage = Stage::new();
        let (_, credentials) = pending(&stage).await;
        stage
            .on("POST /new-account", problem(400, kind))
            .on("POST /new-account", json(200, &valid()).header("location", acct(1)));
        let (account, unchanged) = stage.client.settle_key_change(&credentials).await.unwrap();
        assert_eq!(account.thumbprint(), credentials.key().jwk().thumbprint().to_string());
        assert!(unchanged.pending_key().is_some());
    }
}

#[tokio::test]
async fn a_new_key_that_has_an_account_is_told_with_it() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    stage.on("POST /key-change", problem(409, "malformed").header("location", acct(2)));
    let error = account.change_key(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::KeyTaken { account: acct(2) }));
    stage
        .on("POST /key-change", lost())
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(200, &valid()).header("location", acct(2)));
    let error = account.change_key(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::KeyTaken { account: acct(2) }));
    stage.on("POST /new-account", json(200, &valid()).header("location", acct(2)));
    let error = stage.client.settle_key_change(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::KeyTaken { account: acct(2) }));
    assert_eq!(stage.script.requests(), 3 + 5);
}

#[tokio::test]
async fn a_ca_that_does_not_change_keys_is_told_so_and_sent_nothing() {
    let stage = Stage::new();
    let account = stage.account().await;
    let error = account.change_signer(key(Algorithm::Es256)).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NotOffered { what: "keyChange" }));
    assert_eq!(error.to_string(), "this CA does not support keyChange");
    assert_eq!(stage.script.requests(), 3);

    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    stage.on("POST /key-change", problem(501, "serverInternal"));
    let error = account.change_key(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NotOffered { what: "keyChange" }));
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn credentials_of_something_else_are_refused_before_anything_is_sent() {
    let stage = Stage::new();
    let (account, credentials) = pending(&stage).await;
    let settled = credentials.clone().without_pending_key();
    let error = account.change_key(&settled).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NoPendingKey { account: acct(1) }));
    let error = stage.client.restore(&credentials).unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::KeyChangePending { account: acct(1) }));

    let foreign = settled.to_json().expose().replace("ca.test/dir", "other.test/dir");
    let foreign = AccountCredentials::from_json(&foreign.into()).unwrap();
    let error = stage.client.restore(&foreign).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the credentials are for the CA at https://other.test/dir, and this is a client of \
         https://ca.test/dir"
    );
    let stranger = stage.client.account(&acct(1), key(Algorithm::Es256)).unwrap();
    let error = stranger.change_key(&credentials).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::OtherKey { account: acct(1) }));
    assert_eq!(
        account.credentials(key(Algorithm::Es256)).unwrap_err(),
        Misuse::OtherKey { account: acct(1) }
    );
    let neighbour = stage.client.account(&acct(2), settled.key().clone()).unwrap();
    let error = neighbour.change_key(&credentials).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::OtherAccount { .. })), "{error}");
    assert_eq!(stage.client.restore(&settled).unwrap().url(), acct(1));
    assert_eq!(stage.script.requests(), 3);
}

struct Scene {
    world: World,
    client: Client,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().zone("example.com").build().await.unwrap();
        let root = world.ca().https_root_pem();
        let http = ReqwestClient::builder().root_certificates_pem(root).build().unwrap();
        let client = Client::builder(world.ca().directory_url()).http(Arc::new(http)).build().unwrap();
        Self { world, client }
    }

    async fn register(&self) -> (Account, AccountCredentials) {
        let key = key(Algorithm::Es256);
        let account = self.client.register(NewAccount::new().agree_to_terms(), key.clone()).await.unwrap();
        let credentials = account.credentials(key).unwrap();
        (account, credentials)
    }

    fn asked(&self, verb: Verb) -> usize {
        self.world.ca().requests().iter().filter(|request| request.verb == Some(verb)).count()
    }
}

/// As if written to a file and read by another process.
fn kept(credentials: &AccountCredentials) -> AccountCredentials {
    AccountCredentials::from_json(&credentials.to_json()).unwrap()
}

#[tokio::test]
async fn a_ca_changes_keys_of_each_kind_and_knows_the_account_by_the_new_one_alone() {
    let scene = Scene::new().await;
    let (account, mut credentials) = scene.register().await;
    for algorithm in [Algorithm::Es384, Algorithm::EdDsa, Algorithm::Es256] {
        let before = credentials.key().clone();
        let pending = kept(&credentials.with_pending_key(key(algorithm)).unwrap());
        credentials = kept(&account.change_key(&pending).await.unwrap());
        account.refresh().await.unwrap();
        let error = scene.client.find_account(before).await.unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::UnknownKey { .. })), "{error}");
        let restored = scene.client.restore(&credentials).unwrap();
        restored.refresh().await.unwrap();
    }
    assert_eq!(scene.asked(Verb::KeyChange), 3);
}

#[tokio::test]
async fn a_crash_before_the_change_leaves_the_account_with_the_old_key() {
    let scene = Scene::new().await;
    let (_, credentials) = scene.register().await;
    let pending = kept(&credentials.with_pending_key(key(Algorithm::Es256)).unwrap());
    let (account, settled) = scene.client.settle_key_change(&pending).await.unwrap();
    assert_eq!(account.thumbprint(), pending.key().jwk().thumbprint().to_string());
    assert!(settled.pending_key().is_some(), "not lost: it can be changed to now");
    let changed = account.change_key(&settled).await.unwrap();
    assert_eq!(changed.key().jwk(), pending.pending_key().unwrap().jwk());
}

#[tokio::test]
async fn a_crash_after_the_change_leaves_the_account_with_the_new_key() {
    let scene = Scene::new().await;
    let (account, credentials) = scene.register().await;
    let pending = kept(&credentials.with_pending_key(key(Algorithm::Es384)).unwrap());
    account.change_key(&pending).await.unwrap();
    // What change_key gave back was never kept.
    let (account, settled) = scene.client.settle_key_change(&pending).await.unwrap();
    assert_eq!(settled.key().jwk(), pending.pending_key().unwrap().jwk());
    assert!(settled.pending_key().is_none());
    account.refresh().await.unwrap();
    let asked = scene.world.ca().requests().len();
    let (again, _) = scene.client.settle_key_change(&kept(&settled)).await.unwrap();
    assert_eq!(scene.world.ca().requests().len(), asked, "nothing to settle, nothing to ask");
    again.refresh().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_change_does_not_lose_the_account() {
    let scene = Scene::new().await;
    let (account, credentials) = scene.register().await;
    scene.world.ca().add_quirk(Quirk::LoseAnswer { verb: Verb::KeyChange, times: 1 });
    let pending = kept(&credentials.with_pending_key(key(Algorithm::Es256)).unwrap());
    let changed = account.change_key(&pending).await.unwrap();
    assert_eq!(changed.key().jwk(), pending.pending_key().unwrap().jwk());
    account.refresh().await.unwrap();
    assert_eq!(scene.asked(Verb::KeyChange), 1);
}

#[tokio::test]
async fn a_new_key_with_an_account_at_the_ca_is_named() {
    let scene = Scene::new().await;
    let (account, credentials) = scene.register().await;
    let (other, taken) = scene.register().await;
    let pending = credentials.with_pending_key(taken.key().clone()).unwrap();
    let error = account.change_key(&pending).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::KeyTaken { account: other.url().to_owned() }));
    account.refresh().await.unwrap();
}

/// A key service: it signs, and that is all that is known of its key.
struct Service(AccountKey);

#[async_trait::async_trait]
impl Signer for Service {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn jwk(&self) -> &Jwk {
        self.0.jwk()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn an_account_moves_into_a_key_service_and_on_to_its_next_key() {
    let scene = Scene::new().await;
    let (account, _) = scene.register().await;
    for _ in 0..2 {
        let service = Arc::new(Service(AccountKey::generate_with(Algorithm::Es384).unwrap()));
        account.change_signer(service.clone()).await.unwrap();
        account.refresh().await.unwrap();
        assert_eq!(scene.client.find_account(service).await.unwrap().url(), account.url());
    }
}
