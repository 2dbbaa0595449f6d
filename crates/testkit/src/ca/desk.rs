//! Where requests arrive: who may ask what (RFC 8555 §6), before it is asked.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use perennial_core::Timestamp;
use serde_json::{Map, json};

use super::{
    Verb,
    account::AccountStatus,
    https::Delivery,
    jwk::Jwk,
    jws::{Jws, Signer},
    misbehaviour::Occasion,
    office::{Call, Office, add_header, json as json_response, typed},
    problem::Problem,
    quirk::Ambush,
    request_log,
    verb::Route,
};

/// What becomes of a request.
pub(super) struct Outcome {
    pub(super) delivery: Delivery,
    pub(super) record: request_log::Request,
}

impl Office {
    /// Does what a request wants and answers it.
    pub(super) fn serve(&mut self, request: &Request<Bytes>, now: Timestamp) -> Outcome {
        let route = Route::parse(request.uri().path());
        let mut record = request_log::Request::new(route.map(|route| route.verb), request);
        let mut response = match route {
            None => problem_response(&Problem::not_found("resource")),
            Some(route) => self.serve_route(route, request, now, &mut record).unwrap_or_else(|problem| {
                record.problem = Some(problem.urn());
                problem_response(&problem)
            }),
        };
        record.status = response.status().as_u16();
        self.add_protocol_headers(route, request.method(), &mut response);
        let delivery = match route {
            Some(route) => self.deliver(route.verb, response),
            None => Delivery::Whole(response),
        };
        Outcome { delivery, record }
    }

    /// Loses or spoils an answer, if the test wants it.
    fn deliver(&mut self, verb: Verb, mut response: Response<Bytes>) -> Delivery {
        if self.quirks.loses_answer(verb) {
            return Delivery::Lost;
        }
        let occasion = Occasion {
            base: &self.settings.base,
            struck: 0,
            spent_nonce: self.nonces.oldest(),
            first_order: self.orders.keys().next().copied().unwrap_or_default(),
        };
        for misbehaviour in &mut self.quirks.misbehaviours {
            if let Some(raw) = misbehaviour.spoil(verb, &mut response, &occasion) {
                return Delivery::Raw(raw);
            }
        }
        Delivery::Whole(response)
    }

    fn serve_route(
        &mut self,
        route: Route,
        request: &Request<Bytes>,
        now: Timestamp,
        record: &mut request_log::Request,
    ) -> Result<Response<Bytes>, Problem> {
        match self.quirks.ambush(route.verb) {
            None => {}
            Some(Ambush::Nonsense) => return Ok(typed(StatusCode::OK, "text/html", NONSENSE)),
            Some(Ambush::Problem(problem, retry_after)) => {
                record.problem = Some(problem.urn());
                let mut response = problem_response(&problem);
                if let Some(retry_after) = retry_after {
                    retry_after.write(response.headers_mut(), now);
                }
                return Ok(response);
            }
        }
        match (request.method(), route.verb) {
            (&Method::GET, Verb::Directory) => Ok(self.directory()),
            (&Method::GET, Verb::RenewalInfo) => self.renewal_info(request.uri().path(), now),
            (&Method::GET, Verb::Terms) => Ok(typed(StatusCode::OK, "text/plain", TERMS)),
            (&Method::HEAD, Verb::NewNonce) => Ok(Response::new(Bytes::new())),
            (&Method::GET, Verb::NewNonce) => Ok(empty(StatusCode::NO_CONTENT)),
            (_, Verb::Directory | Verb::RenewalInfo | Verb::Terms | Verb::NewNonce)
            | (&Method::GET | &Method::HEAD, _) => {
                let detail = format!("{} is not how to ask for this", request.method());
                Err(Problem::new("malformed", StatusCode::METHOD_NOT_ALLOWED, detail))
            }
            _ => {
                let call = self.authenticate(route, request, now)?;
                record.account = call.account.map(|id| self.url(Route::of(Verb::Account, id)));
                self.dispatch(&call)
            }
        }
    }

    fn dispatch(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        match call.route.verb {
            Verb::Account => self.account(call),
            Verb::Authorization => self.authorization(call),
            Verb::Certificate => self.certificate(call),
            Verb::Challenge => self.challenge(call),
            Verb::Finalize => self.finalize(call),
            Verb::KeyChange => self.key_change(call),
            Verb::NewAccount => self.new_account(call),
            Verb::NewAuthorization => self.new_authorization(call),
            Verb::NewOrder => self.new_order(call),
            Verb::Order => self.order(call),
            Verb::Orders => self.orders_of(call),
            Verb::RevokeCertificate => self.revoke(call),
            Verb::Directory | Verb::NewNonce | Verb::RenewalInfo | Verb::Terms => {
                Err(Problem::not_found("resource"))
            }
        }
    }

    /// RFC 8555 §6.2 to §6.5, in the order in which a mistake is told most helpfully.
    fn authenticate(
        &mut self,
        route: Route,
        request: &Request<Bytes>,
        now: Timestamp,
    ) -> Result<Call, Problem> {
        let is = |name: HeaderName, wanted: &str| {
            request.headers().get(name).is_some_and(|value| value.as_bytes() == wanted.as_bytes())
        };
        if request.method() != Method::POST {
            let detail = format!("{} is not how to ask for this", request.method());
            return Err(Problem::new("malformed", StatusCode::METHOD_NOT_ALLOWED, detail));
        }
        if !is(header::CONTENT_TYPE, JOSE) {
            let detail = format!("the content type must be {JOSE} (RFC 8555 §6.2)");
            return Err(Problem::new("malformed", StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        if !request.headers().contains_key(header::USER_AGENT) {
            return Err(Problem::malformed("a request must say who sends it, in User-Agent (RFC 8555 §6.1)"));
        }
        let jws = Jws::parse(request.body())?;
        let (account, key) = self.signer(&jws, route.verb)?;
        jws.verify(&key)?;
        let fresh = jws.nonce.as_ref().is_some_and(|nonce| self.nonces.redeem(nonce));
        if !fresh || self.quirks.rejects_nonce() {
            let detail = "the nonce was not given out here, or was used before; there is a new one with this";
            return Err(Problem::new("badNonce", StatusCode::BAD_REQUEST, detail));
        }
        let wanted = self.url(route);
        if jws.url != wanted {
            let detail = format!("signed for {:?}, but sent to {wanted}", jws.url);
            return Err(Problem::unauthorized(detail));
        }
        Ok(Call { route, account, key, payload: jws.payload, now })
    }

    fn signer(&self, jws: &Jws, verb: Verb) -> Result<(Option<u64>, Jwk), Problem> {
        let url = match &jws.signer {
            Signer::Key(key) if matches!(verb, Verb::NewAccount | Verb::RevokeCertificate) => {
                return Ok((None, key.clone()));
            }
            Signer::Key(_) => return Err(Problem::malformed("this must be signed by an account (\"kid\")")),
            Signer::Account(_) if verb == Verb::NewAccount => {
                return Err(Problem::malformed("a new account must bring its key (\"jwk\")"));
            }
            Signer::Account(url) => url,
        };
        let id = url
            .strip_prefix(&self.settings.base)
            .and_then(Route::parse)
            .and_then(|route| (route.verb == Verb::Account).then_some(route.id));
        let account = id.and_then(|id| Some((id, self.accounts.get(&id)?)));
        let Some((id, account)) = account else {
            let detail = format!("there is no account {url:?}");
            return Err(Problem::new("accountDoesNotExist", StatusCode::BAD_REQUEST, detail));
        };
        if account.status == AccountStatus::Deactivated {
            return Err(Problem::new(
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                "the account was deactivated",
            ));
        }
        Ok((Some(id), account.key.clone()))
    }

    /// RFC 8555 §7.1.1.
    fn directory(&self) -> Response<Bytes> {
        let url = |verb| self.url(Route::to(verb));
        let mut directory = json!({
            "newNonce": url(Verb::NewNonce),
            "newAccount": url(Verb::NewAccount),
            "newOrder": url(Verb::NewOrder),
            "revokeCert": url(Verb::RevokeCertificate),
            "keyChange": url(Verb::KeyChange),
            "meta": {
                "termsOfService": url(Verb::Terms),
                "website": "https://testkit.invalid/",
                "caaIdentities": ["testkit.invalid"],
                "externalAccountRequired": !self.settings.external_accounts.is_empty(),
            },
            // RFC 8555 §9.7.5 lets the directory grow: a client must not stumble over this.
            "testkit": "https://testkit.invalid/a-field-that-no-client-knows",
        });
        if self.settings.pre_authorization {
            directory["newAuthz"] = url(Verb::NewAuthorization).into();
        }
        if self.settings.renewal_info {
            directory["renewalInfo"] = url(Verb::RenewalInfo).into();
        }
        if !self.settings.profiles.is_empty() {
            let profiles = self.settings.profiles.iter();
            let profiles: Map<_, _> =
                profiles.map(|(name, profile)| (name.clone(), profile.description.clone().into())).collect();
            directory["meta"]["profiles"] = profiles.into();
        }
        json_response(StatusCode::OK, &directory)
    }

    fn add_protocol_headers(
        &mut self,
        route: Option<Route>,
        method: &Method,
        response: &mut Response<Bytes>,
    ) {
        let verb = route.map(|route| route.verb);
        if *method == Method::POST || verb == Some(Verb::NewNonce) {
            add_header(response, HeaderName::from_static("replay-nonce"), &self.nonces.issue());
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if verb != Some(Verb::Directory) {
            let link = format!("<{}>;rel=\"index\"", self.url(Route::to(Verb::Directory)));
            add_header(response, header::LINK, &link);
        }
    }
}

fn problem_response(problem: &Problem) -> Response<Bytes> {
    typed(problem.status, "application/problem+json", problem.to_json().to_string())
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

const JOSE: &str = "application/jose+json";
const NONSENSE: &str = "<!DOCTYPE html><title>Welcome</title><p>It works!";
const TERMS: &str = "What is issued here proves nothing to anybody.\n";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::{hierarchy::Hierarchy, office::Settings};
    use proptest::prelude::*;
    use std::{collections::BTreeMap, time::Duration};

    fn office() -> Office {
        let settings = Settings {
            base: "https://127.0.0.1:1".into(),
            profiles: BTreeMap::new(),
            validity: Duration::from_secs(86_400),
            reuse_authorizations: false,
            external_accounts: BTreeMap::new(),
            http: None,
            tls: None,
            addresses: false,
            pre_authorization: false,
            orders_per_page: 10,
            renewal_info: false,
            renewal_window: None,
        };
        Office::new(settings, Hierarchy::generate().unwrap())
    }

    fn detail(office: &mut Office, request: &Request<Bytes>) -> String {
        String::from_utf8(answer(office, request).body().to_vec()).unwrap()
    }

    fn answer(office: &mut Office, request: &Request<Bytes>) -> Response<Bytes> {
        match office.serve(request, Timestamp::from_unix(0)).delivery {
            Delivery::Whole(response) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_must_say_who_sends_it() {
        let request = Request::post("/new-order").header(header::CONTENT_TYPE, JOSE);
        let anonymous = request.body(Bytes::from("{}")).unwrap();
        assert!(detail(&mut office(), &anonymous).contains("User-Agent"));
        let mut named = anonymous;
        named.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("test"));
        assert!(detail(&mut office(), &named).contains("no flattened JWS"));
    }

    #[test]
    fn every_answer_to_a_post_brings_a_nonce_and_every_answer_the_way_back() {
        let mut office = office();
        for (method, path, nonce, index) in [
            ("GET", "/directory", false, false),
            ("HEAD", "/new-nonce", true, true),
            ("GET", "/new-nonce", true, true),
            ("POST", "/new-order", true, true),
            ("POST", "/nowhere", true, true),
            ("GET", "/order/1", false, true),
        ] {
            let request = Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
            let response = answer(&mut office, &request);
            assert_eq!(response.headers().contains_key("replay-nonce"), nonce, "{method} {path}");
            let link = response.headers().get(header::LINK).map(|link| link.to_str().unwrap());
            let wanted = "<https://127.0.0.1:1/directory>;rel=\"index\"";
            assert_eq!(link, index.then_some(wanted), "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn no_request_panics(path in "/[a-z0-9/-]{0,30}", body in ".{0,100}", post in any::<bool>()) {
            let request = Request::builder().method(if post { "POST" } else { "GET" }).uri(path);
            let request = request.header(header::CONTENT_TYPE, JOSE).header(header::USER_AGENT, "test");
            let request = request.body(Bytes::from(body)).unwrap();
            office().serve(&request, Timestamp::from_unix(0));
        }
    }
}
