//! Answers in memory, as a service to mount in a web server.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use perennial_acme::challenge::{Token, http01};
use tower_service::Service;

use super::{Http01Answer, Http01Place};
use crate::Error;

/// Shows answers to whoever asks, from memory: a [`Service`] of tower, which axum and hyper can mount.
///
/// Clones share their answers: one goes to [`Http01`](super::Http01), another into the web server. Anything but
/// GET and HEAD of an answer's path is answered 404 or 405, so the whole of `/.well-known/acme-challenge/` can be
/// given to it:
///
/// ```
/// use perennial_issuers::solver::http01::{Http01, Http01Responder};
///
/// let responder = Http01Responder::new();
/// let solver = Http01::new(responder.clone());
/// // axum: Router::new().route_service("/.well-known/acme-challenge/{token}", responder)
/// # let _ = solver;
/// ```
///
/// It keeps the challenges of this process alone. Where a load balancer may ask another one, share them by
/// [`Http01Shared`](super::Http01Shared).
#[derive(Clone, Default)]
pub struct Http01Responder {
    /// By token.
    answers: Arc<RwLock<HashMap<String, String>>>,
    /// Where a listener of our own shows them.
    local: Option<SocketAddr>,
}

impl Http01Responder {
    /// Nothing to answer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn shown_at(local: Option<SocketAddr>) -> Self {
        Self { local, ..Self::default() }
    }

    /// The answer to a request.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let shown = asked(request).map(|token| {
            let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
            answers.get(token.as_str()).cloned()
        });
        respond(shown)
    }
}

/// Which answer is asked for, or the status for what is no such question.
pub(super) fn asked<B>(request: &Request<B>) -> Result<Token, StatusCode> {
    let token = request.uri().path().strip_prefix(http01::DIRECTORY);
    let token = token.and_then(|token| Token::parse(token).ok()).ok_or(StatusCode::NOT_FOUND)?;
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads { Ok(token) } else { Err(StatusCode::METHOD_NOT_ALLOWED) }
}

pub(super) fn respond(shown: Result<Option<String>, StatusCode>) -> Response<Full<Bytes>> {
    let (status, body) = match shown {
        Ok(Some(key_authorization)) => (StatusCode::OK, key_authorization),
        Ok(None) => (StatusCode::NOT_FOUND, String::new()),
        Err(status) => (status, String::new()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status == StatusCode::OK {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(http01::CONTENT_TYPE));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    // A cache that keeps a 404 would show it to the CA.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[async_trait]
impl Http01Place for Http01Responder {
    async fn put(&self, answer: &Http01Answer) -> Result<(), Error> {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.insert(answer.token.as_str().to_owned(), answer.key_authorization.clone());
        Ok(())
    }

    async fn remove(&self, answer: &Http01Answer) -> Result<(), Error> {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        answers.remove(answer.token.as_str());
        Ok(())
    }

    fn locally(&self) -> Option<SocketAddr> {
        self.local
    }
}

impl<B> Service<Request<B>> for Http01Responder {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

impl fmt::Debug for Http01Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Http01Responder").field("answers", &answers.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use perennial_acme::ChallengeKind;
    use proptest::prelude::*;

    const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

    fn answer() -> Http01Answer {
        let at = format!("http://a.example/.well-known/acme-challenge/{TOKEN}");
        let proof = crate::Proof::new(&ChallengeKind::Http01, "a.example".parse().unwrap(), at, "token.key");
        Http01Answer::read(&proof).unwrap()
    }

    async fn said(responder: &mut Http01Responder, method: Method, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let response = responder.call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_shows_what_was_put_there_until_it_is_removed_and_nothing_else() {
        let mut responder = Http01Responder::new();
        let path = answer().path();
        assert_eq!(said(&mut responder, Method::GET, &path).await, (404, String::new()));
        responder.clone().put(&answer()).await.unwrap();
        assert_eq!(said(&mut responder, Method::GET, &path).await, (200, "token.key".to_owned()));
        assert_eq!(said(&mut responder, Method::GET, &format!("{path}?x=y")).await.0, 200);
        assert_eq!(said(&mut responder, Method::POST, &path).await.0, 405);
        for path in ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/../x"] {
            assert_eq!(said(&mut responder, Method::GET, path).await.0, 404, "{path}");
        }
        responder.clone().remove(&answer()).await.unwrap();
        responder.clone().remove(&answer()).await.unwrap();
        assert_eq!(said(&mut responder, Method::GET, &path).await.0, 404);
    }

    #[tokio::test]
    async fn whoever_asks_in_another_way_is_told_which_there_are() {
        let request = Request::builder().method(Method::POST).uri(answer().path()).body(()).unwrap();
        let refused = Http01Responder::new().answer(&request);
        assert_eq!(refused.headers().get(header::ALLOW).unwrap(), "GET, HEAD");
        let request = Request::builder().uri(answer().path()).body(()).unwrap();
        assert_eq!(Http01Responder::new().answer(&request).headers().get(header::ALLOW), None);
    }

    #[test]
    fn an_answer_is_neither_guessed_to_be_html_nor_kept_by_a_cache() {
        let response = respond(Ok(Some("token.key".to_owned())));
        let header = |name| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header(header::CONTENT_TYPE), "application/octet-stream");
        assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(respond(Ok(None)).headers().get(header::CACHE_CONTROL).unwrap(), "no-store");
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/.well-known/acme-challenge/)?[!-~]{0,40}") {
            if let Ok(request) = Request::builder().uri(&path).body(()) {
                prop_assert_ne!(Http01Responder::new().answer(&request).status(), StatusCode::OK);
            }
        }
    }
}
