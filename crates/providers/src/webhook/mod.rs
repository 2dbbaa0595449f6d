//! A DNS-01 webhook that was written for cert-manager, used without it.
//!
//! The same `ChallengePayload` (`webhook.acme.cert-manager.io/v1alpha1`) goes to the same URL,
//! `…/apis/{groupName}/v1alpha1/{solverName}`: of a Kubernetes API server, or of the webhook itself.
//!
//! ```
//! use perennial_providers::{DnsProvider, webhook::Webhook};
//!
//! let url = "https://kubernetes.example.com:6443/apis/acme.example.com/v1alpha1/my-solver";
//! let provider = Webhook::builder(url, "example.com".parse()?).token("t0k3n").build()?;
//! assert_eq!(provider.kind(), "webhook");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::{Clock, DomainName, HttpClient};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Action, Change, Error, Zone, engine,
    hook::{Hook, Hooked},
    vendor::{Anonymous, Answer, Bearer, Client, Complaint, Credential},
};

mod options;
pub use options::factory;

/// The [`kind`](crate::DnsProvider::kind) of this provider.
pub const KIND: &str = "webhook";

const API_VERSION: &str = "webhook.acme.cert-manager.io/v1alpha1";

/// Who may do what is needed, for the error when it may not.
const NEEDS: &str = "a role that may create this solver's resource in its API group";

/// A webhook that makes each change.
#[derive(Clone)]
pub struct Webhook(Arc<Hooked<Solver>>);

engine::forward!(Webhook, "Webhook");

impl Webhook {
    /// Begins a provider for the webhook at this URL, and a zone that it writes to: a webhook is told the zone
    /// of each name, and finds none by itself.
    pub fn builder(url: impl Into<String>, zone: DomainName) -> WebhookBuilder {
        WebhookBuilder {
            url: url.into(),
            token: None,
            zones: vec![Zone::new(zone)],
            namespace: "default".to_owned(),
            config: Value::Object(serde_json::Map::new()),
            http: None,
            clock: None,
            plain_http: false,
        }
    }
}

/// A provider in the making: see [`Webhook::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct WebhookBuilder {
    url: String,
    token: Option<Credential>,
    zones: Vec<Zone>,
    namespace: String,
    config: Value,
    http: Option<Arc<dyn HttpClient>>,
    clock: Option<Arc<dyn Clock>>,
    plain_http: bool,
}

impl WebhookBuilder {
    /// A bearer token, of a service account that may create the solver's resource; none by default.
    pub fn token(mut self, token: impl Into<Credential>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// One more zone that it writes to.
    pub fn zone(mut self, apex: DomainName) -> Self {
        self.zones.push(Zone::new(apex));
        self
    }

    /// Where the webhook looks for the secrets that its configuration names; `default` by default.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The webhook's own configuration; an empty object by default.
    pub fn config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Lets the URL be plain `http` that is not on loopback: whoever can listen there has the credential.
    pub fn plain_http(mut self, allowed: bool) -> Self {
        self.plain_http = allowed;
        self
    }

    /// Who carries the requests; the client of `perennial-core` by default.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// Who tells the time and waits; the operating system by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The provider.
    ///
    /// # Errors
    /// [`Error::Config`] when the URL is none that requests with credentials may go to.
    pub fn build(self) -> Result<Webhook, Error> {
        let mut client = match self.token {
            Some(token) => Client::builder(KIND, self.url, Bearer::new(token)),
            None => Client::builder(KIND, self.url, Anonymous),
        };
        if let Some(http) = self.http {
            client = client.http(http);
        }
        if let Some(clock) = self.clock {
            client = client.clock(clock);
        }
        let client = client.complaints(complaint).needs(NEEDS).plain_http(self.plain_http).build()?;
        let solver = Solver { client, namespace: self.namespace, config: self.config };
        Ok(Webhook(Arc::new(Hooked { hook: solver, zones: self.zones })))
    }
}

struct Solver {
    client: Client,
    namespace: String,
    config: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'c> {
    kind: &'static str,
    api_version: &'static str,
    request: Request<'c>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'c> {
    uid: &'c str,
    action: &'static str,
    r#type: &'static str,
    dns_name: &'c str,
    key: &'c str,
    resource_namespace: &'c str,
    #[serde(rename = "resolvedFQDN")]
    resolved_fqdn: String,
    resolved_zone: String,
    allow_ambient_credentials: bool,
    config: &'c Value,
}

#[derive(Deserialize)]
struct Reply {
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    uid: String,
    success: bool,
    status: Option<Status>,
}

/// Of a webhook that failed, or of an API server that has none.
#[derive(Deserialize)]
struct Status {
    message: Option<String>,
    reason: Option<String>,
}

/// What the API server itself says, and what is behind it.
fn complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Status { message, reason } = answer.json_if_any().unwrap_or(Status { message: None, reason: None });
    let complaint = match reason {
        Some(reason) => complaint.code(reason),
        None => complaint,
    };
    let message = message.or_else(|| match answer.body().is_empty() {
        true => None,
        false => Some(answer.text()),
    });
    let remedy = match answer.status().as_u16() {
        404 => Some("no such API group or solver; compare the URL with `kubectl get apiservice`"),
        503 => Some(
            "no healthy webhook is behind that path; look at its APIService, its pod and its certificate",
        ),
        _ => None,
    };
    let said: Vec<_> = message.into_iter().chain(remedy.map(str::to_owned)).collect();
    Some(if said.is_empty() { complaint } else { complaint.message(said.join("; ")) })
}

#[async_trait]
impl Hook for Solver {
    fn kind(&self) -> &str {
        KIND
    }

    async fn tell(&self, zone: &Zone, change: &Change) -> Result<(), Error> {
        let name = change.name.as_str();
        let uid = format!("{:032x}", rand::random::<u128>());
        let payload = Payload {
            kind: "ChallengePayload",
            api_version: API_VERSION,
            request: Request {
                uid: &uid,
                action: match change.action {
                    Action::Add => "Present",
                    Action::Remove => "CleanUp",
                },
                r#type: "dns-01",
                dns_name: name.strip_prefix("_acme-challenge.").unwrap_or(name),
                key: &change.value,
                resource_namespace: &self.namespace,
                resolved_fqdn: format!("{name}."),
                resolved_zone: format!("{}.", zone.apex),
                allow_ambient_credentials: true,
                config: &self.config,
            },
        };
        // Present and CleanUp may be called again: cert-manager does so until they succeed.
        let answer = self.client.post("").json(&payload).repeatable().send().await?;
        let Some(response) = answer.json::<Reply>()?.response else {
            return Err(answer.misbehaved("its answer has no `response`; that URL is not a webhook's"));
        };
        if response.uid != uid {
            return Err(answer.misbehaved("it answers another request than the one that was made"));
        }
        if response.success {
            return Ok(());
        }
        let said = response.status.and_then(|status| status.message.or(status.reason));
        let said = said.unwrap_or_else(|| "it gives no reason; its log may".to_owned());
        Err(answer.misbehaved(format!("it failed to {} {name}: {said}", payload.request.action)))
    }
}
