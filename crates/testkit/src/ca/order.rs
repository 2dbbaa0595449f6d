//! Orders: RFC 8555 §7.1.3 and §7.4.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use perennial_core::{DomainName, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Verb,
    authorization::{Authorization, AuthorizationStatus},
    csr::Csr,
    identifier::Identifier,
    office::{Call, Office, add_header, json as json_response},
    problem::Problem,
    verb::Route,
};

/// A wish for a certificate.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) account: u64,
    pub(super) names: BTreeSet<Identifier>,
    authorizations: Vec<u64>,
    profile: Option<String>,
    /// The certificate that this one replaces (RFC 9773 §5).
    replaces: Option<String>,
    expires: Timestamp,
    /// How often it was to be finalized.
    finalizations: u32,
    stage: Stage,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Pending, ready or invalid: that depends on its authorizations.
    Open,
    Processing {
        polls: u32,
        until: Timestamp,
        certificate: u64,
    },
    Valid {
        certificate: u64,
    },
}

/// An order, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacedOrder {
    /// Its URL.
    pub url: String,
    /// The names that it is for.
    pub names: Vec<DomainName>,
    /// The addresses that it is for (RFC 8738).
    pub addresses: Vec<IpAddr>,
    /// How far it has come.
    pub status: OrderStatus,
    /// The profile that was asked for.
    pub profile: Option<String>,
    /// The certificate that it replaces, by its identifier (RFC 9773 §4.1).
    pub replaces: Option<String>,
    /// How many requests to finalize it there were, refused ones among them.
    pub finalizations: u32,
}

/// The statuses of an order (RFC 8555 §7.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // The RFC has these five.
pub enum OrderStatus {
    /// It will never be fulfilled.
    Invalid,
    /// Some name is not proved yet.
    Pending,
    /// It was finalized, and the certificate is being made.
    Processing,
    /// It can be finalized.
    Ready,
    /// The certificate is there.
    Valid,
}

impl OrderStatus {
    const fn text(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Valid => "valid",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder {
    identifiers: Vec<Wanted>,
    not_before: Option<Value>,
    not_after: Option<Value>,
    profile: Option<String>,
    replaces: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    r#type: String,
    value: String,
}

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

impl Office {
    pub(super) fn new_order(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let account = call.account()?;
        let wanted: NewOrder = call.json()?;
        if wanted.not_before.is_some() || wanted.not_after.is_some() {
            return Err(Problem::malformed("notBefore and notAfter cannot be chosen here"));
        }
        if let Some(profile) = &wanted.profile
            && !self.settings.profiles.contains_key(profile)
        {
            let detail = format!("there is no profile {profile:?}");
            return Err(Problem::new("invalidProfile", StatusCode::BAD_REQUEST, detail));
        }
        let names = self.names(&wanted.identifiers)?;
        // Who does not know the field passes over it.
        let replaces = wanted.replaces.filter(|_| self.settings.renewal_info);
        if let Some(replaces) = &replaces {
            self.check_replaced(replaces, account, &names, call.now)?;
        }
        let authorizations = names.iter().map(|name| self.authorize(account, name, call.now)).collect();
        let id = self.number();
        let order = Order {
            account,
            names,
            authorizations,
            profile: wanted.profile,
            replaces,
            expires: call.now + OPEN_FOR,
            finalizations: 0,
            stage: Stage::Open,
        };
        self.orders.insert(id, order);
        self.order_response(id, StatusCode::CREATED, call.now)
    }

    pub(super) fn order(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let id = call.route.id;
        self.own_order(call)?;
        call.must_be_post_as_get()?;
        if let Some(order) = self.orders.get_mut(&id)
            && let Stage::Processing { polls, until, certificate } = order.stage
        {
            order.stage = if polls == 0 && call.now >= until {
                Stage::Valid { certificate }
            } else {
                Stage::Processing { polls: polls.saturating_sub(1), until, certificate }
            };
        }
        self.order_response(id, StatusCode::OK, call.now)
    }

    pub(super) fn finalize(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let id = call.route.id;
        self.own_order(call)?;
        if let Some(order) = self.orders.get_mut(&id) {
            order.finalizations += 1;
        }
        let order = self.own_order(call)?;
        let status = self.order_status(order, call.now);
        if status != OrderStatus::Ready {
            let detail = format!("the order is {}, not ready", status.text());
            return Err(Problem::new("orderNotReady", StatusCode::FORBIDDEN, detail));
        }
        let finalize: Finalize = call.json()?;
        let der = BASE64_URL_SAFE_NO_PAD
            .decode(finalize.csr)
            .map_err(|_| Problem::bad_csr("the CSR is not base64url without padding"))?;
        let csr = Csr::parse(&der)?;
        csr.check(&order.names, &call.key)?;
        let (account, profile, names) = (order.account, order.profile.clone(), order.names.clone());
        let certificate = self.issue(account, profile, &names, &csr, call.now)?;
        let slowness = self.quirks.slowness();
        let order = self.orders.get_mut(&id).ok_or_else(|| Problem::not_found("order"))?;
        order.stage = match slowness {
            None => Stage::Valid { certificate },
            Some((polls, time)) => Stage::Processing { polls, until: call.now + time, certificate },
        };
        self.order_response(id, StatusCode::OK, call.now)
    }

    /// All orders, as a test sees them.
    pub(super) fn placed_orders(&self, now: Timestamp) -> Vec<PlacedOrder> {
        let orders = self.orders.iter().map(|(id, order)| PlacedOrder {
            url: self.url(Route::of(Verb::Order, *id)),
            names: order.names.iter().filter_map(Identifier::dns).cloned().collect(),
            addresses: order.names.iter().filter_map(Identifier::ip).collect(),
            status: self.order_status(order, now),
            profile: order.profile.clone(),
            replaces: order.replaces.clone(),
            finalizations: order.finalizations,
        });
        orders.collect()
    }

    /// The names of an order, once each; every identifier that cannot be one gets a problem of its own.
    fn names(&self, identifiers: &[Wanted]) -> Result<BTreeSet<Identifier>, Problem> {
        if identifiers.is_empty() || identifiers.len() > MOST_NAMES {
            return Err(Problem::malformed(format!("an order needs 1 to {MOST_NAMES} identifiers")));
        }
        let mut names = BTreeSet::new();
        let mut problems = Vec::new();
        for identifier in identifiers {
            match self.name(identifier) {
                Ok(name) => drop(names.insert(name)),
                Err(problem) => problems.push(problem),
            }
        }
        Problem::all(problems).map_or(Ok(names), Err)
    }

    pub(super) fn name(&self, identifier: &Wanted) -> Result<Identifier, Problem> {
        let refuse = |kind, detail: String| Problem::new(kind, StatusCode::BAD_REQUEST, detail);
        if identifier.r#type == "ip" && self.settings.addresses {
            let address: IpAddr =
                identifier.value.parse().map_err(|_| refuse("malformed", "this is no IP address".into()))?;
            if address.to_string() != identifier.value {
                // RFC 8738 §3: the text form of RFC 5952.
                return Err(refuse("malformed", format!("{} must be written {address}", identifier.value)));
            }
            return Ok(Identifier::Ip(address));
        }
        if identifier.r#type != "dns" {
            let detail = format!("identifiers of the type {:?} are not taken here", identifier.r#type);
            return Err(refuse("unsupportedIdentifier", detail));
        }
        let name =
            DomainName::parse(&identifier.value).map_err(|error| refuse("malformed", error.to_string()))?;
        if name.as_str() != identifier.value {
            let detail = format!("{:?} must be written {name:?}", identifier.value);
            return Err(refuse("malformed", detail));
        }
        let rejected = |detail: &str| {
            let problem =
                Problem::new("rejectedIdentifier", StatusCode::FORBIDDEN, format!("{name} {detail}"));
            Err(problem.about(&Identifier::Dns(name.clone())))
        };
        if !name.is_host_name() {
            return rejected("cannot stand in a certificate: it has an underscore");
        }
        if name.base().parent().is_none() {
            return rejected("is a top-level domain");
        }
        if self.quirks.rejects(&name) {
            return rejected("is not issued for by policy");
        }
        Ok(Identifier::Dns(name))
    }

    pub(super) fn authorize(&mut self, account: u64, name: &Identifier, now: Timestamp) -> u64 {
        let reuse = self.settings.reuse_authorizations;
        let reusable = |authorization: &Authorization| {
            let (status, ahead) = (authorization.status(now), authorization.ahead);
            authorization.account == account
                && authorization.name == name.base()
                && authorization.wildcard == name.is_wildcard()
                && match status {
                    AuthorizationStatus::Valid => reuse || ahead,
                    AuthorizationStatus::Pending => ahead,
                    _ => false,
                }
        };
        if let Some((id, _)) = self.authorizations.iter().find(|(_, found)| reusable(found)) {
            return *id;
        }
        let id = self.number();
        self.authorizations.insert(id, Authorization::new(account, name, self.settings.tls.is_some(), now));
        id
    }

    /// Whether an order that has not failed replaces the certificate of that identifier.
    pub(super) fn is_replaced(&self, certificate: &str, now: Timestamp) -> bool {
        self.orders.values().any(|order| {
            order.replaces.as_deref() == Some(certificate)
                && self.order_status(order, now) != OrderStatus::Invalid
        })
    }

    fn own_order(&self, call: &Call) -> Result<&Order, Problem> {
        let account = call.account()?;
        let order = self.orders.get(&call.route.id).ok_or_else(|| Problem::not_found("order"))?;
        if order.account != account {
            return Err(Problem::unauthorized("this is another account's"));
        }
        Ok(order)
    }

    /// RFC 8555 §7.1.6.
    fn order_status(&self, order: &Order, now: Timestamp) -> OrderStatus {
        match order.stage {
            Stage::Processing { .. } => OrderStatus::Processing,
            Stage::Valid { .. } => OrderStatus::Valid,
            Stage::Open if now >= order.expires => OrderStatus::Invalid,
            Stage::Open => {
                let statuses = order.authorizations.iter().filter_map(|id| self.authorizations.get(id));
                let statuses: Vec<_> = statuses.map(|found| found.status(now)).collect();
                if statuses.iter().all(|status| *status == AuthorizationStatus::Valid) {
                    OrderStatus::Ready
                } else if statuses
                    .iter()
                    .all(|status| matches!(status, AuthorizationStatus::Valid | AuthorizationStatus::Pending))
                {
                    OrderStatus::Pending
                } else {
                    OrderStatus::Invalid
                }
            }
        }
    }

    fn order_response(&self, id: u64, code: StatusCode, now: Timestamp) -> Result<Response<Bytes>, Problem> {
        let order = self.orders.get(&id).ok_or_else(|| Problem::not_found("order"))?;
        let status = self.order_status(order, now);
        let identifiers = order.names.iter().map(Identifier::to_json);
        let authorizations =
            order.authorizations.iter().map(|id| self.url(Route::of(Verb::Authorization, *id)));
        let mut json = json!({
            "status": status.text(),
            "expires": order.expires.to_string(),
            "identifiers": identifiers.collect::<Vec<_>>(),
            "authorizations": authorizations.collect::<Vec<_>>(),
            "finalize": self.url(Route::of(Verb::Finalize, id)),
        });
        if let Some(profile) = &order.profile {
            json["profile"] = profile.as_str().into();
        }
        if let Some(replaces) = &order.replaces {
            json["replaces"] = replaces.as_str().into();
        }
        if let Stage::Valid { certificate } = order.stage {
            json["certificate"] = self.url(Route::of(Verb::Certificate, certificate)).into();
        }
        if status == OrderStatus::Invalid {
            let authorizations = order.authorizations.iter().filter_map(|id| self.authorizations.get(id));
            let problems = authorizations.filter_map(|found| found.problem().cloned()).collect();
            let problem = Problem::all(problems)
                .unwrap_or_else(|| Problem::malformed("the order or one of its authorizations has ended"));
            json["error"] = problem.to_json();
        }
        let mut response = json_response(code, &json);
        add_header(&mut response, header::LOCATION, &self.url(Route::of(Verb::Order, id)));
        if matches!(status, OrderStatus::Pending | OrderStatus::Processing)
            && code == StatusCode::OK
            && let Some(retry_after) = self.quirks.retry_after()
        {
            retry_after.write(response.headers_mut(), now);
        }
        Ok(response)
    }
}

/// As public CAs have it.
const MOST_NAMES: usize = 100;
/// Let's Encrypt's usual week.
const OPEN_FOR: Duration = Duration::from_secs(7 * 86_400);
