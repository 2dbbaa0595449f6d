//! A session, which every request but the first names.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use perennial_core::{SecretString, Timestamp};
use tokio::sync::Mutex;

use super::{KIND, PATH, wire};
use crate::{
    Error,
    vendor::{Authorize, Client, Credential, Fingerprint, Secrets},
};

/// Logs in once for all requests of ten minutes, and adds the session to each.
pub(super) struct Session {
    /// For the login alone: its credential is a [`Login`].
    desk: Client,
    customer: String,
    key: Credential,
    /// The session, and until when it is good.
    current: Mutex<Option<(SecretString, Timestamp)>>,
}

/// netcup ends a session after 15 minutes.
const LASTS: Duration = Duration::from_secs(600);

impl Session {
    pub(super) fn new(desk: Client, customer: impl Into<String>, key: Credential) -> Self {
        Self { desk, customer: customer.into(), key, current: Mutex::default() }
    }

    async fn open(&self) -> Result<SecretString, Error> {
        let answer = self.desk.post(PATH).repeatable().send().await?;
        let reply: wire::Reply<wire::LoggedIn> = answer.json()?;
        Ok(reply.responsedata.apisessionid.into())
    }
}

#[async_trait]
impl Authorize for Session {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let session = {
            let mut current = self.current.lock().await;
            match &*current {
                Some((session, until)) if *until > now => session.clone(),
                _ => {
                    let session = self.open().await?;
                    *current = Some((session.clone(), now + LASTS));
                    session
                }
            }
        };
        let key = self.key.current();
        let body = wire::signed(request.body(), &self.customer, key.expose(), session.expose());
        *request.body_mut() = body.map(Bytes::from).ok_or_else(|| Error::InvalidRequest {
            provider: KIND.to_owned(),
            reason: "a request without parameters has no place for the session".to_owned(),
            fault: None,
        })?;
        Ok(Secrets::of(key).and(session))
    }

    fn refused(&self) -> bool {
        // Whoever holds it is opening a new one, which is as good.
        if let Ok(mut current) = self.current.try_lock() {
            *current = None;
        }
        true
    }
}

/// Makes a request the login that it is.
pub(super) struct Login {
    pub(super) customer: String,
    pub(super) key: Credential,
    pub(super) password: Credential,
}

#[async_trait]
impl Authorize for Login {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let (key, password) = (self.key.current(), self.password.current());
        let body = wire::login(&self.customer, key.expose(), password.expose());
        *request.body_mut() = body.to_string().into();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Secrets::of(key).and(password))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let (key, password) = (self.key.current(), self.password.current());
        Some(Fingerprint::of([&*self.customer, key.expose(), password.expose()]))
    }
}
