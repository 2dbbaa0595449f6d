//! What goes into each request.

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::Timestamp;

use super::{KIND, Source};
use crate::{
    Error,
    signature::eg1,
    vendor::{Authorize, Fingerprint, Secrets, segment},
};

/// Signs each request with EdgeGrid, for whichever account it is.
pub(super) struct Signer {
    pub(super) source: Source,
    pub(super) account_switch_key: Option<String>,
}

#[async_trait]
impl Authorize for Signer {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let unfit =
            |reason: &str| Error::Auth { provider: KIND.to_owned(), reason: reason.to_owned(), fault: None };
        if let Some(key) = &self.account_switch_key {
            let uri = request.uri().to_string();
            let join = if uri.contains('?') { '&' } else { '?' };
            let uri = format!("{uri}{join}accountSwitchKey={}", segment(key)).parse();
            *request.uri_mut() = uri.map_err(|_| unfit("the account switch key does not fit into a URL"))?;
        }
        let credentials = self.source.current();
        let nonce = format!("{:032x}", rand::random::<u128>());
        eg1::sign(request, &credentials, &nonce, now).map_err(|_| {
            unfit("a token has a character that no header can carry; look for a line break where it is kept")
        })?;
        let eg1::Credentials { client_token, client_secret, access_token, .. } = credentials;
        Ok(Secrets::of(client_secret).and(client_token).and(access_token))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let eg1::Credentials { client_token, client_secret, access_token, .. } = self.source.current();
        let account = self.account_switch_key.as_deref().unwrap_or_default();
        Some(Fingerprint::of([client_token.expose(), client_secret.expose(), access_token.expose(), account]))
    }

    fn signs_time(&self) -> bool {
        true
    }
}
