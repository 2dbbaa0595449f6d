//! What the CA knows, and what it was told to be like. Pure: requests and the time come in as values.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use perennial_core::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    account::Account, authorization::Authorization, certificate::Certificate, hierarchy::Hierarchy, jwk::Jwk,
    nonce::Nonces, order::Order, problem::Problem, quirk::Quirks, validation::Validation, verb::Route,
};

/// Everything that the CA knows.
pub(super) struct Office {
    pub(super) settings: Settings,
    pub(super) hierarchy: Hierarchy,
    pub(super) nonces: Nonces,
    pub(super) quirks: Quirks,
    pub(super) accounts: BTreeMap<u64, Account>,
    pub(super) orders: BTreeMap<u64, Order>,
    pub(super) authorizations: BTreeMap<u64, Authorization>,
    pub(super) certificates: BTreeMap<u64, Certificate>,
    /// Challenges that were answered and that nobody has looked at yet.
    pub(super) validations: Vec<Validation>,
    next: u64,
}

/// What the CA was told to be like.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The URL without a path and without a slash at its end.
    pub(super) base: String,
    pub(super) profiles: BTreeMap<String, Profile>,
    /// Of a certificate without a profile.
    pub(super) validity: Duration,
    pub(super) reuse_authorizations: bool,
    /// The customers' MAC keys by their identifiers; without any, accounts need no binding.
    pub(super) external_accounts: BTreeMap<String, Vec<u8>>,
    /// Where http-01 challenges are looked at, if they are.
    pub(super) http: Option<SocketAddr>,
    /// Where tls-alpn-01 challenges are looked at, if they are.
    pub(super) tls: Option<SocketAddr>,
    /// Whether IP addresses are certified (RFC 8738).
    pub(super) addresses: bool,
    /// Whether names can be proved before they are ordered (RFC 8555 §7.4.1).
    pub(super) pre_authorization: bool,
    /// The most orders that are listed at once.
    pub(super) orders_per_page: usize,
    pub(super) renewal_info: bool,
    /// What is suggested for every certificate, instead of what its age suggests.
    pub(super) renewal_window: Option<(Timestamp, Timestamp)>,
}

/// A kind of certificate that can be asked for (draft-ietf-acme-profiles).
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) description: String,
    pub(super) validity: Duration,
}

/// A request whose signature, nonce and URL are good.
pub(super) struct Call {
    pub(super) route: Route,
    /// `None` when it was signed with a key instead of by an account.
    pub(super) account: Option<u64>,
    pub(super) key: Jwk,
    pub(super) payload: Vec<u8>,
    pub(super) now: Timestamp,
}

impl Office {
    pub(super) fn new(settings: Settings, hierarchy: Hierarchy) -> Self {
        Self {
            settings,
            hierarchy,
            nonces: Nonces::default(),
            quirks: Quirks::default(),
            accounts: BTreeMap::new(),
            orders: BTreeMap::new(),
            authorizations: BTreeMap::new(),
            certificates: BTreeMap::new(),
            validations: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn url(&self, route: Route) -> String {
        format!("{}{}", self.settings.base, route.path())
    }

    /// A number that nothing has yet.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Call {
    /// The account, for everything that only accounts may do.
    pub(super) fn account(&self) -> Result<u64, Problem> {
        self.account.ok_or_else(|| Problem::malformed("this must be signed by an account (\"kid\")"))
    }

    /// Whether this only reads (RFC 8555 §6.3).
    pub(super) fn is_post_as_get(&self) -> bool {
        self.payload.is_empty()
    }

    pub(super) fn must_be_post_as_get(&self) -> Result<(), Problem> {
        if self.is_post_as_get() {
            return Ok(());
        }
        Err(Problem::malformed("this can only be read: the payload must be empty (RFC 8555 §6.3)"))
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| Problem::malformed(format!("the payload cannot be read: {error}")))
    }
}

/// A JSON response.
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    typed(status, "application/json", body.to_string())
}

/// A response with a type.
pub(super) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Adds a header whose value was made here.
pub(super) fn add_header(response: &mut Response<Bytes>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}
