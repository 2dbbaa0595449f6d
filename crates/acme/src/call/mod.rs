//! One request to an ACME server and the meaning of its answer, without I/O.
//!
//! A [`Call`] is a state machine: [`request`](Call::request) says what to send, [`handle`](Call::handle) reads
//! the answer. That the directory is not known yet, that there is no nonce, that a nonce was refused
//! (RFC 8555 §6.5) or that an order wants to be looked at later (§7.4) becomes [`Progress`], not a hidden
//! loop. Whoever drives it brings three things: a way to carry HTTP, a way to sign and a clock.
//!
//! ```
//! # use perennial_acme::{Error, Session, call::{Call, Outgoing, Progress}};
//! # use perennial_core::{Clock, HttpClient};
//! async fn run<T>(mut call: Call<T>, session: &Session, http: &dyn HttpClient, clock: &dyn Clock) -> Result<T, Error> {
//!     if let Some(moment) = call.not_before() {
//!         clock.sleep_until(moment).await;
//!     }
//!     loop {
//!         let request = match call.request(session, clock.now())? {
//!             Outgoing::Plain(request) => request,
//!             Outgoing::Unsigned(unsigned) => {
//!                 let signer = session.signer().expect("unsigned requests come of sessions with a key");
//!                 let signature = signer.sign(unsigned.message()).await?;
//!                 unsigned.seal(session, &signature)?
//!             }
//!         };
//!         let progress = match http.send(request).await {
//!             Ok(response) => call.handle(session, clock.now(), response)?,
//!             Err(error) => call.handle_failure(clock.now(), error)?,
//!         };
//!         call = match progress {
//!             Progress::Done(value) => return Ok(value),
//!             Progress::Again(call) => call,
//!             Progress::After(moment, call) => {
//!                 clock.sleep_until(moment).await;
//!                 call
//!             }
//!         };
//!     }
//! }
//! ```

mod outgoing;
pub use outgoing::{Outgoing, Unsigned};

mod patience;

mod verb;
pub use verb::{
    Created, Download, KeyChange, Settled, account, answer_challenge, answer_challenge_with, authorization,
    cancel_order, certificate, deactivate_account, deactivate_authorization, directory, finalize,
    finalize_onion, new_account, new_authorization, new_order, order, orders, renewal_info,
    revoke_certificate, revoke_certificate_by_key, star_certificate, update_account, wait_for_order,
};

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use perennial_core::{HttpError, Timestamp};

use crate::{
    Directory, Error, Misbehaved, Misuse, OrderStatus, Problem, ProblemType, Server, Session, Url,
    error::{Deadline, Refusal},
    nonce::Nonce,
};

/// One request, until its answer is understood. See the [module](self) for how to drive it.
#[must_use = "a call does nothing until it is driven"]
pub struct Call<T> {
    spec: Spec<T>,
    awaiting: Awaiting,
    /// The nonce that came with a refusal of the last one: nobody else may take it.
    reserved: Option<Nonce>,
    refusals: u32,
    looks: u32,
    url: Option<Url>,
    not_before: Option<Timestamp>,
}

/// How far a call has come.
#[allow(clippy::exhaustive_enums)] // Done, now, later: there is no fourth.
pub enum Progress<T> {
    /// The answer is understood.
    Done(T),
    /// Ask the call for its next request at once.
    Again(Call<T>),
    /// Ask the call for its next request at that moment.
    After(Timestamp, Call<T>),
}

/// What is asked for and how its answer is read.
struct Spec<T> {
    /// RFC 8555's word for it, for errors and logs.
    verb: &'static str,
    target: Target,
    credential: Credential,
    payload: Payload,
    accept: Option<&'static str>,
    expected: &'static [StatusCode],
    /// The most bytes that its answer may have.
    limit: usize,
    /// Until when to look again, for the one verb that waits.
    patience: Option<Timestamp>,
    /// What to ask for instead after a refusal, once.
    fallback: Option<Fallback>,
    read: Read<T>,
}

type Read<T> = Box<dyn Fn(&Answer<'_>) -> Result<Reading<T>, Error> + Send + Sync>;

enum Target {
    /// A resource below one that a server may lack.
    Below(fn(&Directory) -> Option<&Url>, String),
    Directory,
    Endpoint(fn(&Directory) -> &Url),
    /// One that a server may lack.
    Optional(fn(&Directory) -> Option<&Url>),
    Url(Url),
}

/// Who signs: RFC 8555 §6.2.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Credential {
    None,
    Jwk,
    Kid,
}

enum Payload {
    Fixed(Cow<'static, str>),
    /// Depends on the key, or on what the server offers, or is refused because of it.
    For(MakePayload),
}

type MakePayload = Box<dyn Fn(&Session, &Directory) -> Result<String, Error> + Send + Sync>;

/// The payload of a second try, when the refusal may be due to a part of the first that can be spared.
type Fallback = Box<dyn Fn(&Problem, &Server, Timestamp) -> Option<Payload> + Send + Sync>;

/// An answer with the expected status, for a verb to read.
struct Answer<'a> {
    session: &'a Session,
    url: &'a Url,
    headers: &'a HeaderMap,
    body: &'a [u8],
    now: Timestamp,
}

enum Reading<T> {
    Done(T),
    /// Look again, when the server says or when we think.
    NotYet {
        status: OrderStatus,
        retry_at: Option<Timestamp>,
    },
}

/// Whose answer comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaiting {
    Directory,
    Nonce,
    Answer,
}

impl<T> Call<T> {
    const fn new(spec: Spec<T>) -> Self {
        let (refusals, looks) = (0, 0);
        Self {
            spec,
            awaiting: Awaiting::Answer,
            reserved: None,
            refusals,
            looks,
            url: None,
            not_before: None,
        }
    }

    /// The same, at that moment at the earliest.
    pub(crate) fn at(mut self, moment: Option<Timestamp>) -> Self {
        self.not_before = moment;
        self
    }

    /// When to ask for its first request, where an earlier answer of the server has named the moment
    /// (RFC 8555 §7.4). Who asks sooner gets the request, and most often a useless answer.
    #[must_use]
    pub const fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// The same request, whose answer means something else.
    ///
    /// For those who keep calls of several verbs in one list, as the walk of an order does.
    pub fn map<U>(self, meaning: impl Fn(T) -> U + Send + Sync + 'static) -> Call<U>
    where
        T: 'static,
    {
        let Spec { verb, target, credential, payload, accept, expected, limit, patience, fallback, read } =
            self.spec;
        let read: Read<U> = Box::new(move |answer| {
            Ok(match read(answer)? {
                Reading::Done(value) => Reading::Done(meaning(value)),
                Reading::NotYet { status, retry_at } => Reading::NotYet { status, retry_at },
            })
        });
        let spec =
            Spec { verb, target, credential, payload, accept, expected, limit, patience, fallback, read };
        let Self { awaiting, reserved, refusals, looks, url, not_before, .. } = self;
        Call { spec, awaiting, reserved, refusals, looks, url, not_before }
    }

    /// Sets a nonce of the pool aside for this call; whether it has all that it needs now.
    pub(crate) fn reserve(&mut self, server: &Server, now: Timestamp) -> bool {
        if self.spec.credential == Credential::None {
            return true;
        }
        self.reserved = self.reserved.take().or_else(|| server.nonces.take(now));
        self.reserved.is_some()
    }

    /// Whether it can only be sent after a nonce has come from somewhere.
    pub(crate) fn lacks_nonce(&self, server: &Server) -> bool {
        self.spec.credential != Credential::None && self.reserved.is_none() && server.nonces.is_empty()
    }

    /// RFC 8555's word for what is asked for, such as `newOrder`.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        self.spec.verb
    }

    /// What to send next. If it is [`Outgoing::Unsigned`], it has to be signed first.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the session lacks the key or the account that the request needs, or the server
    /// does not offer what is asked for; [`Error::Misbehaved`] when the server sent us to a URL that is not
    /// trusted.
    pub fn request(&mut self, session: &Session, now: Timestamp) -> Result<Outgoing, Error> {
        let request = self.prepare(session, now);
        if request.is_err()
            && let Some(nonce) = self.reserved.take()
        {
            // What is not sent spends no nonce.
            session.server().nonces.put(nonce, now);
        }
        request
    }

    fn prepare(&mut self, session: &Session, now: Timestamp) -> Result<Outgoing, Error> {
        let server = session.server();
        let Some(directory) =
            server.directory(now).filter(|_| !matches!(self.spec.target, Target::Directory))
        else {
            self.awaiting = match self.spec.target {
                Target::Directory => Awaiting::Answer,
                Target::Below(..) | Target::Endpoint(_) | Target::Optional(_) | Target::Url(_) => {
                    Awaiting::Directory
                }
            };
            return self.plain(session, Method::GET, server.directory_url().clone());
        };
        let url = match &self.spec.target {
            Target::Directory => server.directory_url().clone(),
            Target::Endpoint(endpoint) => endpoint(&directory).clone(),
            Target::Below(endpoint, segment) => {
                let url = endpoint(&directory).ok_or(Misuse::NotOffered { what: self.spec.verb })?;
                url.below(segment).map_err(|fault| Misbehaved::url(url.as_str(), fault))?
            }
            Target::Optional(endpoint) => {
                endpoint(&directory).ok_or(Misuse::NotOffered { what: self.spec.verb })?.clone()
            }
            Target::Url(url) => url.clone(),
        };
        server.check(&url)?;
        if self.spec.credential == Credential::None {
            self.awaiting = Awaiting::Answer;
            return self.plain(session, Method::GET, url);
        }
        let payload = match &self.spec.payload {
            Payload::Fixed(text) => Cow::Borrowed(&**text),
            Payload::For(make) => Cow::Owned(make(session, &directory)?),
        };
        let verb = self.spec.verb;
        let no_account = || Misuse::NoAccount { verb };
        let kid = match self.spec.credential {
            Credential::Kid => Some(session.account().ok_or_else(no_account)?),
            Credential::Jwk | Credential::None => None,
        };
        let Some(nonce) = self.reserved.take().or_else(|| server.nonces.take(now)) else {
            self.awaiting = Awaiting::Nonce;
            return self.plain(session, Method::HEAD, directory.new_nonce.clone());
        };
        self.awaiting = Awaiting::Answer;
        self.url = Some(url.clone());
        let unsigned = Unsigned::new(session, url, kid, &nonce, &payload)
            .ok_or_else(no_account)?
            .accept(self.spec.accept);
        Ok(Outgoing::Unsigned(unsigned))
    }

    fn plain(&mut self, session: &Session, method: Method, url: Url) -> Result<Outgoing, Error> {
        session.server().check(&url)?;
        let request = outgoing::plain(session.server().headers(), method, &url)?;
        self.url = Some(url);
        Ok(Outgoing::Plain(request))
    }

    /// Reads the answer to the last [`request`](Self::request).
    ///
    /// # Errors
    /// [`Error::Server`] when the request was refused, [`Error::Misbehaved`] when the answer breaks the
    /// protocol, [`Error::Deadline`] when the next look would come too late.
    pub fn handle(
        mut self,
        session: &Session,
        now: Timestamp,
        response: Response<Bytes>,
    ) -> Result<Progress<T>, Error> {
        let server = session.server();
        let url = self.url.clone().unwrap_or_else(|| server.directory_url().clone());
        let (head, body) = response.into_parts();
        let nonce = Nonce::from_headers(&head.headers);
        if head.status.is_client_error() || head.status.is_server_error() {
            let problem = Problem::from_answer(head.status, &head.headers, &body, now);
            return self.handle_refusal(session, now, url, nonce, problem);
        }
        if self.awaiting == Awaiting::Nonce {
            self.reserved = nonce;
            let missing = || Misbehaved::Header { url: url.to_string(), header: "Replay-Nonce" };
            return match self.reserved {
                Some(_) => Ok(Progress::Again(self)),
                None => Err(missing().into()),
            };
        }
        if let Some(nonce) = nonce {
            server.nonces.put(nonce, now);
        }
        let expected = match self.awaiting {
            Awaiting::Answer => self.spec.expected,
            Awaiting::Directory | Awaiting::Nonce => &[StatusCode::OK],
        };
        self.check(&url, head.status, expected, body.len())?;
        if self.awaiting == Awaiting::Directory {
            server.learn(Directory::parse(&body)?, now)?;
            return Ok(Progress::Again(self));
        }
        let answer = Answer { session, url: &url, headers: &head.headers, body: &body, now };
        match (self.spec.read)(&answer)? {
            Reading::Done(value) => Ok(Progress::Done(value)),
            Reading::NotYet { status, retry_at } => {
                self.refusals = 0; // This one was taken: the row ends.
                self.look_again(now, retry_at, |again_at, deadline| {
                    Error::Deadline(Deadline { url: url.to_string(), status, deadline, again_at })
                })
            }
        }
    }

    /// Reads the news that no answer arrived.
    ///
    /// # Errors
    /// [`Error::Network`], unless the call waits for an order and there is time for another look.
    pub fn handle_failure(self, now: Timestamp, error: HttpError) -> Result<Progress<T>, Error> {
        if self.spec.patience.is_none() || !error.retry().is_worthwhile() {
            return Err(error.into());
        }
        self.look_again(now, None, |_, _| error.into())
    }

    fn handle_refusal(
        mut self,
        session: &Session,
        now: Timestamp,
        url: Url,
        nonce: Option<Nonce>,
        problem: Problem,
    ) -> Result<Progress<T>, Error> {
        let signed = self.awaiting == Awaiting::Answer && self.spec.credential != Credential::None;
        if problem.kind == ProblemType::BadNonce && signed {
            self.refusals += 1;
            session.server().nonces.clear();
            self.reserved = nonce;
            if self.refusals >= MAX_REFUSALS {
                return Err(Misbehaved::Nonces { url: url.to_string(), attempts: self.refusals }.into());
            }
            return Ok(Progress::Again(self));
        }
        if let Some(nonce) = nonce {
            session.server().nonces.put(nonce, now);
        }
        if self.awaiting == Awaiting::Answer
            && let Some(fallback) = self.spec.fallback.take()
            && let Some(payload) = fallback(&problem, session.server(), now)
        {
            self.spec.payload = payload;
            return Ok(Progress::Again(self));
        }
        let verb = match self.awaiting {
            Awaiting::Directory => "directory",
            Awaiting::Nonce => "newNonce",
            Awaiting::Answer => self.spec.verb,
        };
        let (retry_at, passing) = (problem.retry_at, problem.retry().is_worthwhile());
        let refusal = Error::Server(Box::new(Refusal { verb, url: url.to_string(), problem }));
        if self.spec.patience.is_none() || !passing {
            return Err(refusal);
        }
        self.look_again(now, retry_at, |_, _| refusal)
    }

    /// Schedules the next look, or gives up with `late` when it would come after the deadline.
    fn look_again(
        mut self,
        now: Timestamp,
        named: Option<Timestamp>,
        late: impl FnOnce(Timestamp, Timestamp) -> Error,
    ) -> Result<Progress<T>, Error> {
        let deadline = self.spec.patience.unwrap_or(now);
        let next = patience::next_look(now, self.looks, named, deadline);
        self.looks += 1;
        match next {
            Ok(moment) => Ok(Progress::After(moment, self)),
            Err(again_at) => Err(late(again_at, deadline)),
        }
    }

    fn check(
        &self,
        url: &Url,
        status: StatusCode,
        expected: &[StatusCode],
        bytes: usize,
    ) -> Result<(), Misbehaved> {
        if !expected.contains(&status) {
            let expected = expected.first().map_or(200, StatusCode::as_u16);
            let (verb, url, status) = (self.spec.verb, url.to_string(), status.as_u16());
            return Err(Misbehaved::Status { verb, url, status, expected });
        }
        if bytes > self.spec.limit {
            return Err(Misbehaved::TooLarge { url: url.to_string(), bytes, limit: self.spec.limit });
        }
        Ok(())
    }
}

/// How many nonces in a row may be refused. Each new one is the newest there is, and each try takes a round
/// trip, so the server sets the pace. A server that refuses nine of ten, as Pebble can be told to, lets a request
/// through within a hundred tries but once in forty thousand; one that refuses more shares no state behind its
/// load balancer, and never will.
const MAX_REFUSALS: u32 = 100;

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("verb", &self.spec.verb)
            .field("awaiting", &self.awaiting)
            .field("refusals", &self.refusals)
            .field("looks", &self.looks)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Progress<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("Done"),
            Self::Again(call) => f.debug_tuple("Again").field(call).finish(),
            Self::After(moment, call) => f.debug_tuple("After").field(moment).field(call).finish(),
        }
    }
}
