//! The two keys travel in the body of every request.

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use perennial_core::Timestamp;
use serde_json::{Map, Value};

use super::KIND;
use crate::{
    Error,
    vendor::{Authorize, Credential, Fingerprint, Secrets},
};

/// Puts both keys into the JSON object of a request.
pub(super) struct Keys {
    pub(super) api_key: Credential,
    pub(super) secret_api_key: Credential,
}

#[async_trait]
impl Authorize for Keys {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let (key, secret) = (self.api_key.current(), self.secret_api_key.current());
        let body: Result<Map<String, Value>, _> = serde_json::from_slice(request.body());
        let mut body = body.map_err(|_| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: "a request without a JSON object has no place for the keys".to_owned(),
            fault: None,
        })?;
        body.insert("apikey".to_owned(), key.expose().into());
        body.insert("secretapikey".to_owned(), secret.expose().into());
        *request.body_mut() = Value::Object(body).to_string().into();
        Ok(Secrets::of(key).and(secret))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([self.api_key.current().expose(), self.secret_api_key.current().expose()]))
    }
}
