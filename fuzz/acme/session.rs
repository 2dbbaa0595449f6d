//! A session with a server whose directory is known, in the name of an account whose key nobody has.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::Response;
use perennial_acme::{
    Algorithm, Curve, Jwk, Server, Session, Signer, SignerError, UrlPolicy,
    call::{self, Progress},
};
use perennial_core::Timestamp;

/// 2026-11-21T12:00:00Z
pub(super) const NOON: Timestamp = Timestamp::from_unix(1_795_262_400);
pub(super) const HOME: &str = "https://ca.example";
pub(super) const CHAIN: &str = include_str!("../corpus/certificate_chain/self-signed");
const DIRECTORY: &str = r#"{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account","newOrder":"https://ca.example/order"}"#;

pub(super) fn session() -> Session {
    let server = Arc::new(Server::new(&format!("{HOME}/dir"), UrlPolicy::strict()).expect("a URL"));
    let session = Session::with_key(server, Arc::new(NobodyKey::new())).expect("its own algorithm");
    let session = session.with_account(format!("{HOME}/acct/1").parse().expect("a URL"));
    let mut call = call::directory();
    call.request(&session, NOON).expect("a GET");
    let directory = Response::new(Bytes::from_static(DIRECTORY.as_bytes()));
    assert!(matches!(call.handle(&session, NOON, directory), Ok(Progress::Done(_))));
    session
}

/// What it signs is never sent.
struct NobodyKey(Jwk);

impl NobodyKey {
    fn new() -> Self {
        Self(Jwk::ec(Curve::P256, &[0x04; 65]).expect("a point's size"))
    }
}

#[async_trait]
impl Signer for NobodyKey {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Es256
    }

    fn jwk(&self) -> &Jwk {
        &self.0
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(vec![0; 64])
    }
}
