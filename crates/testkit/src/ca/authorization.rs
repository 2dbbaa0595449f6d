//! Authorizations and their challenges: RFC 8555 §7.1.4, §7.5 and §8.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use perennial_core::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Verb,
    identifier::Identifier,
    office::{Call, Office, add_header, json as json_response},
    order::Wanted,
    problem::Problem,
    validation::{Proof, Validation},
    verb::Route,
};

/// The question whether an account controls a name.
#[derive(Debug)]
pub(super) struct Authorization {
    pub(super) account: u64,
    /// Without the `*.` of a wildcard.
    pub(super) name: Identifier,
    pub(super) wildcard: bool,
    pub(super) expires: Timestamp,
    /// Whether it was asked for before any order (RFC 8555 §7.4.1): then the next order takes it up.
    pub(super) ahead: bool,
    status: AuthorizationStatus,
    challenges: Vec<Challenge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorizationStatus {
    Deactivated,
    Expired,
    Invalid,
    Pending,
    Valid,
}

/// One way to answer the question.
#[derive(Debug)]
struct Challenge {
    kind: ChallengeKind,
    token: String,
    status: ChallengeStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChallengeKind {
    Dns01,
    Http01,
    TlsAlpn01,
    /// RFC 8555 §9.7.8 lets types come: a client must not stumble over one that it does not know.
    Unheard,
}

#[derive(Debug)]
enum ChallengeStatus {
    Invalid(Problem),
    Pending,
    Processing,
    Valid(Timestamp),
}

#[derive(Deserialize)]
struct NewAuthorization {
    identifier: Wanted,
}

#[derive(Deserialize)]
struct Update {
    status: Option<String>,
}

impl Authorization {
    pub(super) fn new(account: u64, name: &Identifier, with_tls: bool, now: Timestamp) -> Self {
        let wildcard = name.is_wildcard();
        // RFC 8555 §8.3: HTTP proves nothing about a wildcard. The one that tests can use comes last, so
        // that a client must look for it.
        let kinds = [
            (ChallengeKind::Http01, !wildcard),
            (ChallengeKind::TlsAlpn01, !wildcard && with_tls),
            (ChallengeKind::Unheard, true),
            // RFC 8738 §7: the DNS proves nothing about an address.
            (ChallengeKind::Dns01, name.dns().is_some()),
        ];
        let challenges = kinds.into_iter().filter(|(_, fits)| *fits).map(|(kind, _)| Challenge {
            kind,
            // RFC 8555 §8: at least 128 bits of entropy; public CAs give 256.
            token: BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()),
            status: ChallengeStatus::Pending,
        });
        Self {
            account,
            name: name.base(),
            wildcard,
            expires: now + PENDING_FOR,
            ahead: false,
            status: AuthorizationStatus::Pending,
            challenges: challenges.collect(),
        }
    }

    pub(super) fn status(&self, now: Timestamp) -> AuthorizationStatus {
        let may_expire = matches!(self.status, AuthorizationStatus::Pending | AuthorizationStatus::Valid);
        if may_expire && now >= self.expires { AuthorizationStatus::Expired } else { self.status }
    }

    /// Why it failed, if it did.
    pub(super) fn problem(&self) -> Option<&Problem> {
        self.challenges.iter().find_map(|challenge| match &challenge.status {
            ChallengeStatus::Invalid(problem) => Some(problem),
            _ => None,
        })
    }
}

impl Office {
    /// RFC 8555 §7.4.1.
    pub(super) fn new_authorization(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let account = call.account()?;
        if !self.settings.pre_authorization {
            return Err(Problem::not_found("resource"));
        }
        let wanted: NewAuthorization = call.json()?;
        let name = self.name(&wanted.identifier)?;
        if name.is_wildcard() {
            return Err(Problem::malformed("a wildcard can only be proved for an order (RFC 8555 §7.4.1)"));
        }
        let id = self.authorize(account, &name, call.now);
        let authorization =
            self.authorizations.get_mut(&id).ok_or_else(|| Problem::not_found("authorization"))?;
        authorization.ahead = true;
        let mut response = self.authorization_response(id, StatusCode::CREATED, call.now)?;
        add_header(&mut response, header::LOCATION, &self.url(Route::of(Verb::Authorization, id)));
        Ok(response)
    }

    pub(super) fn authorization(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let id = call.route.id;
        let authorization = self.own_authorization(call)?;
        if !call.is_post_as_get() {
            let update: Update = call.json()?;
            let status = authorization.status(call.now);
            match (update.status.as_deref(), status) {
                (None, _) => {}
                (Some("deactivated"), AuthorizationStatus::Pending | AuthorizationStatus::Valid) => {
                    authorization.status = AuthorizationStatus::Deactivated;
                }
                (Some(other), _) => {
                    let detail =
                        format!("an authorization that is {} cannot be made {other:?}", status.text());
                    return Err(Problem::malformed(detail));
                }
            }
        }
        self.authorization_response(id, StatusCode::OK, call.now)
    }

    fn authorization_response(
        &self,
        id: u64,
        code: StatusCode,
        now: Timestamp,
    ) -> Result<Response<Bytes>, Problem> {
        let authorization =
            self.authorizations.get(&id).ok_or_else(|| Problem::not_found("authorization"))?;
        let mut json = json!({
            "identifier": authorization.name.to_json(),
            "status": authorization.status(now).text(),
            "expires": authorization.expires.to_string(),
            "challenges": self.challenges_json(id, authorization),
        });
        if authorization.wildcard {
            json["wildcard"] = true.into();
        }
        let mut response = json_response(code, &json);
        if authorization.challenges.iter().any(|challenge| challenge.status.text() == "processing")
            && let Some(retry_after) = self.quirks.retry_after()
        {
            retry_after.write(response.headers_mut(), now);
        }
        Ok(response)
    }

    /// RFC 8555 §7.5.1.
    pub(super) fn challenge(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let (id, part) = (call.route.id, call.route.part);
        let thumbprint = call.key.thumbprint();
        let (http, tls) = (self.settings.http, self.settings.tls);
        let authorization = self.own_authorization(call)?;
        let pending = authorization.status(call.now) == AuthorizationStatus::Pending;
        let name = authorization.name.clone();
        let challenge =
            authorization.challenges.get_mut(part).ok_or_else(|| Problem::not_found("challenge"))?;
        let mut validation = None;
        if !call.is_post_as_get() {
            let _: serde_json::Map<String, Value> = call.json()?;
            let key_authorization = format!("{}.{thumbprint}", challenge.token);
            let proof = match challenge.kind {
                ChallengeKind::Dns01 => Some(Proof::Dns {
                    owner: format!("_acme-challenge.{name}"),
                    expected: BASE64_URL_SAFE_NO_PAD.encode(digest(&key_authorization)),
                }),
                ChallengeKind::Http01 => http.map(|at| Proof::Http {
                    at,
                    token: challenge.token.clone(),
                    expected: key_authorization,
                }),
                ChallengeKind::TlsAlpn01 => {
                    tls.map(|at| Proof::TlsAlpn { at, digest: digest(&key_authorization).as_ref().to_vec() })
                }
                ChallengeKind::Unheard => None,
            };
            let kind = challenge.kind.text();
            let unseen = || Problem::malformed(format!("this CA does not look at {kind}"));
            let proof = proof.ok_or_else(unseen)?;
            // Answered before, or too late, otherwise: its state says so.
            if pending && matches!(challenge.status, ChallengeStatus::Pending) {
                challenge.status = ChallengeStatus::Processing;
                validation = Some(Validation { authorization: id, part, name, proof });
            }
        }
        self.validations.extend(validation);
        let authorization =
            self.authorizations.get(&id).ok_or_else(|| Problem::not_found("authorization"))?;
        let json = self.challenges_json(id, authorization);
        let json = json.get(part).ok_or_else(|| Problem::not_found("challenge"))?;
        let mut response = json_response(StatusCode::OK, json);
        let up = format!("<{}>;rel=\"up\"", self.url(Route::of(Verb::Authorization, id)));
        add_header(&mut response, header::LINK, &up);
        Ok(response)
    }

    /// Takes down what a validation has found.
    pub(super) fn validated(&mut self, done: &Validation, found: Result<(), Problem>, now: Timestamp) {
        let Some(authorization) = self.authorizations.get_mut(&done.authorization) else { return };
        // Deactivated meanwhile, perhaps.
        let pending = authorization.status(now) == AuthorizationStatus::Pending;
        let Some(challenge) = authorization.challenges.get_mut(done.part) else { return };
        match found {
            Ok(()) if pending => {
                challenge.status = ChallengeStatus::Valid(now);
                authorization.status = AuthorizationStatus::Valid;
                authorization.expires = now + VALID_FOR;
            }
            Err(problem) if pending => {
                challenge.status = ChallengeStatus::Invalid(problem.about(&authorization.name));
                authorization.status = AuthorizationStatus::Invalid;
            }
            _ => challenge.status = ChallengeStatus::Pending,
        }
    }

    fn own_authorization(&mut self, call: &Call) -> Result<&mut Authorization, Problem> {
        let account = call.account()?;
        let authorization = self.authorizations.get_mut(&call.route.id);
        let authorization = authorization.ok_or_else(|| Problem::not_found("authorization"))?;
        if authorization.account != account {
            return Err(Problem::unauthorized("this is another account's"));
        }
        Ok(authorization)
    }

    fn challenges_json(&self, id: u64, authorization: &Authorization) -> Vec<Value> {
        let challenges = authorization.challenges.iter().enumerate();
        let all = challenges.map(|(part, challenge)| {
            let mut json = json!({
                "type": challenge.kind.text(),
                "url": self.url(Route::part(Verb::Challenge, id, part)),
                "status": challenge.status.text(),
            });
            if challenge.kind != ChallengeKind::Unheard {
                json["token"] = challenge.token.clone().into();
            }
            match &challenge.status {
                ChallengeStatus::Invalid(problem) => json["error"] = problem.to_json(),
                ChallengeStatus::Valid(when) => json["validated"] = when.to_string().into(),
                ChallengeStatus::Pending | ChallengeStatus::Processing => {}
            }
            json
        });
        all.collect()
    }
}

impl AuthorizationStatus {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
            Self::Pending => "pending",
            Self::Valid => "valid",
        }
    }
}

impl ChallengeKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Dns01 => "dns-01",
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Unheard => "unheard-01",
        }
    }
}

impl ChallengeStatus {
    const fn text(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Valid(_) => "valid",
        }
    }
}

/// RFC 8555 §8.4 and RFC 8737 §3: what the TXT record and the certificate must hold.
fn digest(key_authorization: &str) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, key_authorization.as_bytes())
}

/// Let's Encrypt's usual week.
const PENDING_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Let's Encrypt's usual month; it counts only when authorizations are reused.
const VALID_FOR: Duration = Duration::from_secs(30 * 86_400);
