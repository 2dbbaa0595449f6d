//! The token travels in the query of the URL.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri};
use perennial_core::Timestamp;

use super::KIND;
use crate::{
    Error,
    vendor::{Authorize, Credential, Fingerprint, Secrets, segment},
};

/// Adds `token` to the query.
pub(super) struct Token(pub(super) Credential);

#[async_trait]
impl Authorize for Token {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let token = self.0.current();
        let separator = if request.uri().query().is_some() { '&' } else { '?' };
        let uri = format!("{}{separator}token={}", request.uri(), segment(token.expose()));
        *request.uri_mut() = uri.parse::<Uri>().map_err(|_| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: "the URL with the token is none; look at `base-url`".to_owned(),
            fault: None,
        })?;
        Ok(Secrets::of(token))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([self.0.current().expose()]))
    }
}
