//! Acting as a service account: IAM hands out its access token to who may have it.
//!
//! Source: Google, IAM Service Account Credentials API v1, `projects.serviceAccounts.generateAccessToken`.

use perennial_core::{SecretString, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{super::renewed::Lease, AccessBuilder};
use crate::{
    Error,
    vendor::{Anonymous, Answer, Bearer, Client, Complaint, Credential, segment},
};

/// A service account to act as.
pub(super) struct Impersonation {
    client: Client,
    /// From the endpoint to the verb.
    path: String,
}

/// What whoever acts as another has to be allowed: any of Google's interfaces, IAM among them.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Google's own endpoint.
const ENDPOINT: &str = "https://iamcredentials.googleapis.com";

const VERB: &str = ":generateAccessToken";

impl Impersonation {
    /// Of the account with this e-mail address.
    pub(super) fn of(email: &str, builder: &AccessBuilder) -> Result<Self, Error> {
        let endpoint = builder.iam_url.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
        Self::at(&format!("{endpoint}/v1/projects/-/serviceAccounts/{}{VERB}", segment(email)), builder)
    }

    /// By the URL that a configuration has.
    pub(super) fn at(url: &str, builder: &AccessBuilder) -> Result<Self, Error> {
        let bad = |reason: &str| builder.bad("impersonation", reason.to_owned());
        let (base, path) = match url.split_once("/v1/") {
            Some((base, path)) if path.ends_with(VERB) && !path.contains(['?', '#']) => (base, path),
            _ => return Err(bad("its URL does not end in `:generateAccessToken` below `/v1/`").into()),
        };
        let client = builder.begin(base, Anonymous).complaints(read_complaint).needs(NEEDS).build()?;
        Ok(Self { client, path: format!("/v1/{path}") })
    }

    /// What tells the account from others.
    pub(super) fn account(&self) -> &str {
        &self.path
    }

    /// The account's token, for who shows this one.
    pub(super) async fn token(
        &self,
        shown: SecretString,
        scope: &str,
        now: Timestamp,
    ) -> Result<Lease<SecretString>, Error> {
        let client = self.client.authorized_by(Bearer::new(Credential::new(shown)));
        let scopes: Vec<_> = scope.split_whitespace().collect();
        let body = json!({ "scope": scopes, "lifetime": LIFETIME });
        let answer = client.post(&self.path).json(&body).repeatable().send().await?;
        let Some(Token { access_token, expire_time }) = answer.json_if_any() else {
            return Err(answer.misbehaved(
                "its answer holds no token as documented; it is not shown, since it may hold one",
            ));
        };
        if access_token.is_empty() {
            return Err(answer.misbehaved("its token is empty"));
        }
        // A time that cannot be read is that of what was asked for.
        let lease = Lease::lasting(SecretString::new(access_token), now, 3600);
        Ok(match expire_time.parse::<Timestamp>() {
            Ok(until) => Lease { until: Some(until), ..lease },
            Err(_) => lease,
        })
    }
}

/// An hour: the most without a policy of the organization that allows more.
const LIFETIME: &str = "3600s";

const NEEDS: &str =
    "roles/iam.workloadIdentityUser or roles/iam.serviceAccountTokenCreator on the service account";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    access_token: String,
    #[serde(default)]
    expire_time: String,
}

/// google.rpc.Status, as all of Google's newer interfaces refuse.
#[derive(Deserialize)]
struct Fault {
    error: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
}

fn read_complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    Some(match answer.json_if_any() {
        Some(Fault { error }) => complaint.code(error.status).message(error.message),
        None => complaint,
    })
}
