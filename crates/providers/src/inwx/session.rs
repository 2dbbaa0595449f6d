//! A session, which every request but the first bears as a cookie.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use perennial_core::{SecretString, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{KIND, PATH, totp, wire};
use crate::{
    Error,
    vendor::{Answer, Authorize, Client, Credential, Fingerprint, Secrets},
};

/// Logs in once for all requests of half an hour, and adds the cookie to each.
pub(super) struct Session {
    /// For login and second factor alone: its credential is a [`Login`].
    desk: Client,
    shared_secret: Option<Credential>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The cookie, and until when it is good.
    current: Option<(SecretString, Timestamp)>,
    /// The last step whose number was used: INWX takes each once.
    used: Option<u64>,
}

/// Well below the hour that a session is said to last.
const LASTS: Duration = Duration::from_secs(1800);

impl Session {
    pub(super) fn new(desk: Client, shared_secret: Option<Credential>) -> Self {
        Self { desk, shared_secret, state: Mutex::default() }
    }

    async fn open(&self, used: &mut Option<u64>) -> Result<SecretString, Error> {
        let answer = self.desk.post(PATH).json(&json!({ "method": "account.login", "params": {} }));
        let answer = answer.repeatable().send().await?;
        let cookie =
            cookie(&answer).ok_or_else(|| answer.misbehaved("it logs in without a cookie `domrobot`"))?;
        let reply: wire::Reply<wire::LoggedIn> = answer.json()?;
        if reply.res_data.unwrap_or_default().wants_tan() {
            self.unlock(&cookie, used).await?;
        }
        Ok(cookie)
    }

    /// Shows the second factor. A number is good once, for whoever comes first: another process may have used
    /// the one of this half minute, so there is a second try with the next.
    async fn unlock(&self, cookie: &SecretString, used: &mut Option<u64>) -> Result<(), Error> {
        let auth =
            |reason: &str| Error::Auth { provider: KIND.to_owned(), reason: reason.to_owned(), fault: None };
        let secret = self.shared_secret.as_ref().ok_or_else(|| {
            auth(
                "the account has a second factor; give its secret as `shared-secret`, or use a sub-account for \
                 the API that has none",
            )
        })?;
        let secret = totp::secret(secret.current().expose())
            .ok_or_else(|| auth("`shared-secret` is not base32; it is the text under the QR code"))?;
        let mut refused = None;
        for _ in 0..2 {
            if let Some(used) = *used {
                self.desk.clock().sleep_until(totp::next(used)).await;
            }
            let step = totp::step(self.desk.clock().now());
            *used = Some(step);
            let tan = totp::tan(&secret, step);
            let call = self.desk.post(PATH).header("cookie", cookie.expose());
            let call = call.json(&json!({ "method": "account.unlock", "params": { "tan": tan } }));
            match call.send().await {
                Ok(_) => return Ok(()),
                Err(error @ (Error::Auth { .. } | Error::InvalidRequest { .. })) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| auth("the second factor is not accepted")))
    }
}

#[async_trait]
impl Authorize for Session {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let cookie = {
            let mut state = self.state.lock().await;
            let State { current, used } = &mut *state;
            match current {
                Some((cookie, until)) if *until > now => cookie.clone(),
                _ => {
                    let cookie = self.open(used).await?;
                    *current = Some((cookie.clone(), now + LASTS));
                    cookie
                }
            }
        };
        let mut value = HeaderValue::from_str(cookie.expose()).map_err(|_| Error::Misbehaved {
            provider: KIND.to_owned(),
            server: self.desk.base_url().to_owned(),
            reason: "its cookie cannot be given back".to_owned(),
            fault: None,
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::COOKIE, value);
        Ok(Secrets::of(cookie))
    }

    fn refused(&self) -> bool {
        // Whoever holds it is opening a new one, which is as good.
        if let Ok(mut state) = self.state.try_lock() {
            state.current = None;
        }
        true
    }
}

/// `domrobot=…`, without its attributes (RFC 6265 §4.1).
fn cookie(answer: &Answer) -> Option<SecretString> {
    let cookies = answer.all("set-cookie").filter_map(|cookie| cookie.split(';').next());
    let mut ours = cookies.map(str::trim).filter(|cookie| cookie.starts_with("domrobot="));
    ours.next_back().filter(|cookie| cookie.len() > "domrobot=".len()).map(SecretString::from)
}

/// Makes the login out of a request for one. Other requests of the desk are left as they are.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: Credential,
}

#[async_trait]
impl Authorize for Login {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let password = self.password.current();
        let body: Option<Value> = serde_json::from_slice(request.body()).ok();
        if body.is_some_and(|body| body.get("method") == Some(&json!("account.login"))) {
            let params = json!({ "user": self.user, "pass": password.expose(), "lang": "en" });
            let body = json!({ "method": "account.login", "params": params });
            *request.body_mut() = body.to_string().into();
        }
        Ok(Secrets::of(password))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([&*self.user, self.password.current().expose()]))
    }
}
