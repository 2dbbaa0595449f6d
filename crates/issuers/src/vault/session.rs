//! The token that is good now: one login for many, kept for as long as it can be.

use std::sync::atomic::{AtomicU64, Ordering};

use perennial_core::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::{
    VaultAuth, VaultError,
    answer::Access,
    auth::Method,
    lease::{Lease, Need},
    wire::{Call, Wire},
};

/// Who we are towards a Vault.
pub(super) struct Session {
    auth: VaultAuth,
    /// How many logins were tried: who waited while one was can tell that it is over.
    tried: AtomicU64,
    /// Held while somebody logs in: the others wait for what comes of it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    failure: Option<VaultError>,
    /// What was in the envelope, which opens once.
    unwrapped: Option<SecretString>,
}

struct Kept {
    value: SecretString,
    lease: Lease,
    number: u64,
}

/// A token.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    number: u64,
    /// Whether it was handed out just now: who refuses it will refuse the next one too.
    pub(super) is_new: bool,
}

impl Session {
    pub(super) fn new(auth: VaultAuth) -> Self {
        Self { auth, tried: AtomicU64::new(0), state: Mutex::default() }
    }

    /// The token that is good now: the kept one, renewed where it is time, or that of a login.
    pub(super) async fn token(&self, wire: &Wire) -> Result<Token, VaultError> {
        let seen = self.tried.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        self.reread(&mut state);
        let now = wire.clock.now();
        let need = state.kept.as_ref().map_or(Need::Login, |kept| kept.lease.need(now));
        if need == Need::Renewal {
            state.renew(wire).await;
        }
        if need != Need::Login
            && let Some(kept) = &state.kept
        {
            return Ok(kept.token(false));
        }
        let number = self.tried.load(Ordering::SeqCst);
        if let Some(failure) = state.failure.clone().filter(|_| number != seen) {
            return Err(failure);
        }
        let logged_in = self.log_in(&mut state, wire).await;
        // Not before it is over: who came in between has not tried either.
        self.tried.store(number + 1, Ordering::SeqCst);
        state.failure = logged_in.as_ref().err().cloned();
        let (value, lease) = logged_in?;
        let kept = Kept { value, lease, number };
        let token = kept.token(true);
        state.kept = Some(kept);
        Ok(token)
    }

    /// That token was refused. Whether another one may help.
    pub(super) async fn refused(&self, token: &Token) -> bool {
        if token.is_new || !self.auth.logs_in_again() {
            return false;
        }
        let mut state = self.state.lock().await;
        if state.kept.as_ref().is_some_and(|kept| kept.number == token.number) {
            state.kept = None;
        }
        true
    }

    /// An agent may have written another token meanwhile. While it has none there, the old one is as good as it was.
    fn reread(&self, state: &mut State) {
        if let Method::Token(source) = &self.auth.method
            && let Some(kept) = &state.kept
            && source.read().is_ok_and(|there| there != kept.value)
        {
            state.kept = None;
        }
    }

    async fn log_in(&self, state: &mut State, wire: &Wire) -> Result<(SecretString, Lease), VaultError> {
        let mounted = self.auth.mounted_at();
        let path = format!("auth/{mounted}/login");
        let access = match &self.auth.method {
            Method::Token(source) => return looked_up(source.read()?, wire).await,
            Method::AppRole { role_id, secret_id, wrapped } => {
                let role_id = role_id.read()?;
                let secret_id = match (&state.unwrapped, wrapped) {
                    (Some(kept), true) => kept.clone(),
                    (None, true) => {
                        state.unwrapped.insert(self.unwrap(&secret_id.read()?, wire).await?).clone()
                    }
                    (_, false) => secret_id.read()?,
                };
                let body = json!({ "role_id": role_id.expose(), "secret_id": secret_id.expose() });
                self.enter(wire, Call::post(&path, &body).secret(&role_id).secret(&secret_id)).await?
            }
            Method::Certificate { role } => {
                let body = role.as_ref().map_or_else(|| json!({}), |name| json!({ "name": name }));
                self.enter(wire, Call::post(&path, &body)).await?
            }
            Method::Kubernetes { role, jwt } => {
                let jwt = jwt.read()?;
                let body = json!({ "role": role, "jwt": jwt.expose() });
                self.enter(wire, Call::post(&path, &body).secret(&jwt)).await?
            }
        };
        let lease = Lease::new(wire.clock.now(), access.lease_duration, access.renewable);
        Ok((access.client_token, lease))
    }

    async fn enter(&self, wire: &Wire, call: Call<'_>) -> Result<Access, VaultError> {
        let answer =
            wire.send::<serde::de::IgnoredAny>(call).await.map_err(|error| self.not_let_in(error))?;
        let access = answer.auth.filter(|access| !access.client_token.expose().is_empty());
        access.ok_or_else(|| VaultError::Login {
            at: wire.url(&format!("auth/{}/login", self.auth.mounted_at())),
            said: "it gives no token, and may want a second factor".to_owned(),
            remedy: "use a role that needs no other",
        })
    }

    /// Opens the envelope.
    async fn unwrap(&self, token: &SecretString, wire: &Wire) -> Result<SecretString, VaultError> {
        #[derive(Deserialize)]
        struct Wrapped {
            secret_id: String,
        }
        let call = Call::post("sys/wrapping/unwrap", &json!({})).token(token);
        let answer = wire.send::<Wrapped>(call).await.map_err(|error| self.not_let_in(error))?;
        let wrapped = answer.data.ok_or_else(|| VaultError::Unreadable {
            at: wire.url("sys/wrapping/unwrap"),
            reason: "there is no secret_id in the envelope".to_owned(),
        })?;
        Ok(SecretString::new(wrapped.secret_id))
    }

    /// A role, a secret or a token of a cluster that is refused is our credentials' fault, whatever status says so.
    fn not_let_in(&self, error: VaultError) -> VaultError {
        let remedy = self.auth.remedy();
        match error {
            VaultError::Denied { at, said }
            | VaultError::Refused { at, said }
            | VaultError::NoRole { at, said }
            | VaultError::Unavailable { at, said, status: 500 } => VaultError::Login { at, said, remedy },
            other => other,
        }
    }
}

impl Kept {
    fn token(&self, is_new: bool) -> Token {
        Token { value: self.value.clone(), number: self.number, is_new }
    }
}

impl State {
    /// Makes the kept token good for longer. When that fails it is still good for a while, and it is tried again.
    async fn renew(&mut self, wire: &Wire) {
        let Some(kept) = &mut self.kept else { return };
        let call = Call::post("auth/token/renew-self", &json!({})).token(&kept.value);
        let renewed = wire.send::<serde::de::IgnoredAny>(call).await;
        let now = wire.clock.now();
        kept.lease = match renewed.ok().and_then(|answer| answer.auth) {
            Some(access) => kept.lease.renewed(now, access.lease_duration, access.renewable),
            None => kept.lease.not_renewed(now),
        };
    }
}

/// A token that somebody else has made: how long it is good, as far as it may say so itself.
async fn looked_up(token: SecretString, wire: &Wire) -> Result<(SecretString, Lease), VaultError> {
    #[derive(Deserialize)]
    struct Known {
        #[serde(default)]
        ttl: u64,
        #[serde(default)]
        renewable: bool,
    }
    let answer = wire.send::<Known>(Call::get("auth/token/lookup-self").token(&token)).await;
    let now = wire.clock.now();
    let lease = match answer {
        Ok(answer) => answer.data.map(|known| Lease::new(now, known.ttl, known.renewable)),
        // Its policies do not let it look at itself; that it is good for nothing is said where it is used.
        Err(VaultError::Denied { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok((token, lease.unwrap_or_else(|| Lease::new(now, 0, false))))
}
