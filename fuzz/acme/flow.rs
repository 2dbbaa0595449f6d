//! The walk of an order (RFC 8555 §7.4) among random answers, wrong events and crashes.
//!
//! Bytes become operations: what a server answers to each request that the walk has sent, and what its caller
//! does with each errand. Once they are used up everybody does the right thing. Whatever happens, the promises
//! of `perennial_acme::flow` are kept: they are asserted here, from outside.

use std::sync::LazyLock;

use arbitrary::{Result as Fed, Unstructured};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use perennial_acme::{
    CertificationRequest, Error, NewOrder, Session,
    call::{Call, Outgoing, Progress},
    flow::{Errand, Event, Plan, Reply, State, Step, Task, Walk},
};
use perennial_core::{DomainName, HttpError, Timestamp};
use serde_json::{Value, json};

use super::session::{CHAIN, HOME, NOON, session};

/// An order on its way, whatever the way is like.
pub fn acme_flow(bytes: &[u8]) {
    let _ = obtain(bytes);
}

/// Whether it came to a certificate.
fn obtain(bytes: &[u8]) -> bool {
    let mut world = World {
        feed: Unstructured::new(bytes),
        session: session(),
        now: NOON,
        durable: State::Ordering,
        lost: true,
        present: Vec::new(),
        orders: 0,
        validated: false,
        finalized: false,
    };
    let mut walk = Walk::new(world.plan()).expect("a plan that fits");
    for _ in 0..MAX_STEPS {
        match world.step(&mut walk) {
            Ok(Outcome::Crashed) => {
                walk = Walk::resume(world.plan(), world.durable.clone()).expect("the same plan")
            }
            Ok(Outcome::Goes) => {}
            Ok(Outcome::Issued) => return true,
            Ok(Outcome::Over) | Err(_) => return false,
        }
    }
    false
}

/// For the names of the order; made by OpenSSL, and read once, since its signature is verified then.
static REQUEST: LazyLock<CertificationRequest> = LazyLock::new(|| {
    let pem = include_bytes!("certification_request.pem");
    CertificationRequest::from_pem(pem).expect("a certification request")
});

/// A server that is asked a hundred times for one certificate has made its point.
const MAX_STEPS: usize = 100;
/// Several refused nonces in a row, and then an answer.
const MAX_EXCHANGES: usize = 12;

/// Everything around a walk.
struct World<'a> {
    feed: Unstructured<'a>,
    session: Session,
    now: Timestamp,
    /// What a crash leaves of the walk.
    durable: State,
    /// Whether there is no order that could be taken up: none was made, nobody wrote its URL down before the crash,
    /// or the server has just disowned it.
    lost: bool,
    /// The proofs that are out in the world.
    present: Vec<Task>,
    /// How many orders the server has made, and how far the last one has come.
    orders: u32,
    validated: bool,
    finalized: bool,
}

enum Outcome {
    Crashed,
    Goes,
    Issued,
    Over,
}

impl World<'_> {
    fn plan(&self) -> Plan {
        let names = NAMES.iter().map(|name| name.parse::<DomainName>().expect("a name"));
        let deadline = NOON + std::time::Duration::from_secs(3600);
        let certification_request = REQUEST.clone();
        Plan { request: NewOrder::new(names), certification_request, deadline }
    }

    /// One in so many, while there are bytes.
    fn now_and_then(&mut self, times: u8) -> Fed<bool> {
        Ok(self.feed.int_in_range(0..=times)? == times)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Fed<T> {
        let index = self.feed.int_in_range(0..=from.len() - 1)?;
        Ok(from[index])
    }

    fn step(&mut self, walk: &mut Walk) -> Fed<Outcome> {
        if self.now_and_then(15)? {
            self.lost |= self.durable == State::Ordering;
            return Ok(Outcome::Crashed);
        }
        let event = match walk.poll() {
            Step::Send(calls) => self.send(walk, calls)?,
            Step::Do(errand) => {
                if self.now_and_then(15)? {
                    self.interrupt(walk)?;
                }
                match self.run(errand)? {
                    Some(event) => event,
                    None => return Ok(Outcome::Issued),
                }
            }
        };
        let heard = walk.handle(event);
        self.lost &= walk.state().order().is_none();
        match heard {
            Ok(()) => Ok(Outcome::Goes),
            Err(error) => {
                super::assert_quiet(&error.to_string());
                assert!(walk.leftovers().len() <= 16);
                // The step may be done again, by this process or another, or never.
                Ok(if self.now_and_then(3)? { Outcome::Over } else { Outcome::Goes })
            }
        }
    }

    /// An event that comes at the wrong moment changes nothing.
    fn interrupt(&mut self, walk: &mut Walk) -> Fed<()> {
        let before = (walk.state().clone(), format!("{:?}", walk.poll()));
        let wrong = match walk.poll() {
            Step::Do(Errand::Present(_)) => Event::Visible,
            _ => Event::Presented,
        };
        assert!(walk.handle(wrong).is_err(), "nobody asked for this");
        assert_eq!(before, (walk.state().clone(), format!("{:?}", walk.poll())));
        Ok(())
    }

    /// Does what the walk wants its caller to do, well or badly.
    fn run(&mut self, errand: Errand) -> Fed<Option<Event>> {
        Ok(Some(match errand {
            Errand::Record(state) => {
                let text = serde_json::to_string(&state).expect("a state has a JSON form");
                self.durable = serde_json::from_str(&text).expect("its own form");
                assert_eq!(self.durable, state);
                Event::Recorded
            }
            Errand::Choose(offers) => {
                let mut chosen = Vec::new();
                for offer in &offers {
                    let urls: Vec<_> =
                        offer.state.challenges.iter().map(|challenge| &challenge.url).collect();
                    if !urls.is_empty() && !self.now_and_then(15)? {
                        chosen.push(self.pick(&urls)?.clone());
                    }
                }
                Event::Chosen(chosen)
            }
            Errand::Present(tasks) => {
                let State::Presenting { tasks: recorded, .. } = &self.durable else {
                    panic!("presented before it was on record: {:?}", self.durable)
                };
                assert_eq!(*recorded, tasks);
                self.present.extend(tasks);
                Event::Presented
            }
            Errand::Wait(tasks) => {
                assert!(
                    tasks.iter().all(|task| self.present.contains(task)),
                    "waits for what nobody presented"
                );
                Event::Visible
            }
            Errand::CleanUp(tasks) => {
                self.present.retain(|task| !tasks.contains(task));
                Event::CleanedUp
            }
            Errand::Take(_) => {
                assert!(matches!(self.durable, State::Finalizing { .. }), "{:?}", self.durable);
                return Ok(None);
            }
        }))
    }

    /// Sends requests, after a look at whether they may be sent by now.
    fn send(&mut self, walk: &Walk, calls: Vec<Call<Reply>>) -> Fed<Event> {
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            self.assert_recorded(walk, call.verb());
            answers.push(self.drive(call)?);
        }
        if self.now_and_then(31)? {
            answers.pop();
        }
        Ok(Event::Answered(answers))
    }

    /// Nothing is sent that cannot be undone before that it will be is on record.
    fn assert_recorded(&self, walk: &Walk, verb: &str) {
        assert_eq!(self.durable, *walk.state(), "{verb} is sent from a state that nobody wrote down");
        match verb {
            "newOrder" => {
                assert_eq!(self.durable, State::Ordering);
                assert!(self.lost, "a second order is placed beside one that can be taken up");
            }
            "challenge" => assert!(matches!(self.durable, State::Answering { .. }), "{:?}", self.durable),
            "certificate" | "finalize" => {
                assert!(matches!(self.durable, State::Finalizing { .. }), "{:?}", self.durable);
            }
            "authorization" | "order" => {}
            other => panic!("a walk has no business with {other}"),
        }
    }

    /// Drives one call to its end, by answers of all kinds.
    fn drive(&mut self, mut call: Call<Reply>) -> Fed<Result<Reply, Error>> {
        for _ in 0..MAX_EXCHANGES {
            let verb = call.verb();
            let url = match call.request(&self.session, self.now) {
                Ok(Outgoing::Plain(request)) => {
                    let nonce = answer(200, &json!({}));
                    assert_eq!(request.uri().path(), "/nonce");
                    match call.handle(&self.session, self.now, nonce) {
                        Ok(Progress::Again(next)) => call = next,
                        other => panic!("a nonce is enough: {other:?}"),
                    }
                    continue;
                }
                Ok(Outgoing::Unsigned(unsigned)) => match unsigned.seal(&self.session, &[0; 64]) {
                    Ok(request) => request.uri().to_string(),
                    Err(error) => return Ok(Err(error)),
                },
                Err(error) => return Ok(Err(error)),
            };
            assert!(url.starts_with(HOME), "{url} is somebody else's");
            let progress = if self.now_and_then(15)? {
                let (url, reason) = (url, "connection reset".to_owned());
                call.handle_failure(self.now, HttpError::Exchange { url, reason })
            } else {
                let response = self.respond(verb, &url)?;
                call.handle(&self.session, self.now, response)
            };
            match progress {
                Ok(Progress::Done(reply)) => return Ok(Ok(reply)),
                Ok(Progress::Again(next)) => call = next,
                Ok(Progress::After(moment, next)) => {
                    assert!(moment >= self.now);
                    (self.now, call) = (moment, next);
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Err(HttpError::Timeout { url: HOME.to_owned() }.into()))
    }

    /// What a server answers, most of the time to what it was asked.
    fn respond(&mut self, verb: &str, url: &str) -> Fed<Response<Bytes>> {
        if self.now_and_then(7)? {
            return self.refuse();
        }
        let number = url.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or_default();
        let mut response = match verb {
            "authorization" => answer(200, &self.authorization(number)?),
            "certificate" => {
                let mut response = answer(200, &Value::Null);
                *response.body_mut() = Bytes::from_static(CHAIN.as_bytes());
                response
            }
            "challenge" => {
                self.validated = true;
                answer(200, &self.challenge("dns-01", number)?)
            }
            "newOrder" => {
                (self.orders, self.validated, self.finalized) = (self.orders + 1, false, false);
                let mut response = answer(201, &self.order()?);
                let location = format!("{HOME}/order/{}", self.orders);
                response.headers_mut().insert(header::LOCATION, location.parse().expect("a header"));
                response
            }
            _ => {
                self.finalized |= verb == "finalize";
                answer(200, &self.order()?)
            }
        };
        if self.now_and_then(15)? {
            // Any bytes instead: half of an object, another one, none.
            let length = self.feed.int_in_range(0..=64)?;
            let bytes = self.feed.bytes(length)?.to_vec();
            *response.body_mut() = bytes.into();
        }
        if self.now_and_then(15)? {
            let value = self.pick(&["0", "1", "7200", "Fri, 31 Dec 9999 23:59:59 GMT", "-1"])?;
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        }
        if self.now_and_then(15)? {
            response.headers_mut().remove("replay-nonce");
        }
        if self.now_and_then(31)? {
            response.headers_mut().remove(header::LOCATION);
        }
        Ok(response)
    }

    fn refuse(&mut self) -> Fed<Response<Bytes>> {
        let kind = self.pick(&["badNonce", "malformed", "orderNotReady", "rateLimited", "serverInternal"])?;
        let status = self.pick(&[400, 403, 404, 409, 429, 500, 503])?;
        self.lost |= matches!(status, 403 | 404);
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        Ok(answer(status, &json!({ "type": kind, "detail": "because" })))
    }

    fn order(&mut self) -> Fed<Value> {
        let words = ["pending", "ready", "processing", "valid", "invalid", "canceled", "notarized"];
        let honest = match (self.validated, self.finalized) {
            (_, true) => "valid",
            (true, false) => "ready",
            (false, false) => "pending",
        };
        let status = if self.now_and_then(3)? { self.pick(&words)? } else { honest };
        let names = self.pick(&[NAMES, NAMES, NAMES, &["example.org"], &["evil.example"], &[]])?;
        self.lost |= names != NAMES || matches!(status, "canceled" | "invalid");
        let authorizations = self.pick(&[2, 2, 2, 1, 0, 16])?;
        let finalize = self.pick(&["https://ca.example/finalize/1", "https://evil.example/finalize"])?;
        let identifiers = names.iter().map(|name| json!({ "type": "dns", "value": name }));
        let mut order = json!({
            "status": status,
            "identifiers": identifiers.collect::<Vec<_>>(),
            "authorizations": (0..authorizations).map(|index| format!("{HOME}/authz/{index}")).collect::<Vec<_>>(),
            "finalize": finalize,
        });
        if !self.now_and_then(7)? {
            order["certificate"] =
                json!(self.pick(&["https://ca.example/cert/1", "http://ca.example/cert/1"])?);
        }
        if self.now_and_then(15)? {
            order["error"] = json!({ "type": "urn:ietf:params:acme:error:caa", "detail": "no" });
        }
        Ok(order)
    }

    fn authorization(&mut self, number: u32) -> Fed<Value> {
        let words = ["pending", "valid", "invalid", "deactivated", "expired", "revoked"];
        let honest = if self.validated { "valid" } else { "pending" };
        let status = if self.now_and_then(7)? { self.pick(&words)? } else { honest };
        let name = self.pick(&["example.org", "example.org", "example.org", "evil.example"])?;
        let mut challenges = Vec::new();
        for kind in ["dns-01", "http-01", "dns-persist-01"] {
            if !self.now_and_then(7)? {
                challenges.push(self.challenge(kind, number)?);
            }
        }
        let wildcard = number % 2 == 1;
        let identifier = json!({ "type": "dns", "value": name });
        Ok(
            json!({ "identifier": identifier, "status": status, "challenges": challenges, "wildcard": wildcard }),
        )
    }

    fn challenge(&mut self, kind: &str, number: u32) -> Fed<Value> {
        let status = self.pick(&["pending", "pending", "pending", "processing", "valid", "invalid"])?;
        Ok(json!({
            "type": kind,
            "url": format!("{HOME}/chall/{kind}/{number}"),
            "status": status,
            "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
        }))
    }
}

const NAMES: &[&str] = &["example.org", "*.example.org"];

fn answer(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status.try_into().expect("a status");
    response.headers_mut().insert("replay-nonce", HeaderValue::from_static("oFvnlFP1wIhRlYS2jTaXbA"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_mischief_it_comes_to_a_certificate() {
        assert!(obtain(&[]));
    }
}
