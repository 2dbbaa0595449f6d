//! A client that tells of each exchange, for metrics.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::{HttpClient, HttpError};

/// One exchange, when it is over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exchange<'a> {
    /// `https`, or `http` in tests.
    pub scheme: &'a str,
    /// The host asked, with its port where the URL has one.
    pub host: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// What it was for, if the request [says so](Action).
    pub action: Option<&'static str>,
    /// The status of the response; `None` when none arrived.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
}

/// What a request is for, in one word of its protocol, such as `newOrder`: an extension of a
/// [`Request`](::http::Request) that is not sent. A path would do as well, but servers put numbers into theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // A word.
pub struct Action(pub &'static str);

/// A client that tells of each exchange when it is over. One that is abandoned is not told of.
///
/// ```
/// use std::sync::Arc;
/// use perennial_core::{HttpClient, http::WatchedClient};
///
/// fn counted(client: Arc<dyn HttpClient>) -> Arc<dyn HttpClient> {
///     Arc::new(WatchedClient::new(client, |exchange| {
///         let _ = (exchange.host, exchange.status, exchange.took); // count it
///     }))
/// }
/// # let _ = counted;
/// ```
pub struct WatchedClient {
    client: Arc<dyn HttpClient>,
    watcher: Box<dyn Fn(&Exchange<'_>) + Send + Sync>,
}

impl WatchedClient {
    /// The same client, with somebody who is told; `watcher` must return quickly.
    #[must_use]
    pub fn new(client: Arc<dyn HttpClient>, watcher: impl Fn(&Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self { client, watcher: Box::new(watcher) }
    }
}

#[async_trait]
impl HttpClient for WatchedClient {
    #[expect(clippy::disallowed_methods, reason = "how long it took is measured here, and decides nothing")]
    async fn send(&self, request: ::http::Request<Bytes>) -> Result<::http::Response<Bytes>, HttpError> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let action = request.extensions().get::<Action>().map(|action| action.0);
        // Not the authority: that could hold a password.
        let host = uri.host().unwrap_or_default();
        let host = uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let began = std::time::Instant::now();
        let result = self.client.send(request).await;
        (self.watcher)(&Exchange {
            scheme: uri.scheme_str().unwrap_or_default(),
            host: &host,
            method: method.as_str(),
            action,
            status: result.as_ref().ok().map(|response| response.status().as_u16()),
            took: began.elapsed(),
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Answers 429 to POST, and nothing to anything else.
    struct Moody;

    #[async_trait]
    impl HttpClient for Moody {
        async fn send(&self, request: ::http::Request<Bytes>) -> Result<::http::Response<Bytes>, HttpError> {
            if request.method() == ::http::Method::POST {
                return Ok(::http::Response::builder().status(429).body(Bytes::new()).unwrap());
            }
            Err(HttpError::Timeout { url: request.uri().to_string() })
        }
    }

    #[tokio::test]
    async fn each_exchange_is_told_with_its_status_or_without() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = told.clone();
        let client = WatchedClient::new(Arc::new(Moody), move |it| {
            let line = format!("{} {}://{} {:?} {:?}", it.method, it.scheme, it.host, it.action, it.status);
            seen.lock().unwrap().push(line);
        });
        let ask = async |method: &str, action: Option<Action>| {
            let mut request =
                ::http::Request::builder().method(method).uri("https://user:secret@ca.example:444/order/1");
            if let Some(action) = action {
                request = request.extension(action);
            }
            client.send(request.body(Bytes::new()).unwrap()).await
        };
        assert_eq!(ask("POST", Some(Action("newOrder"))).await.unwrap().status(), 429);
        assert!(ask("GET", None).await.is_err());
        assert_eq!(
            *told.lock().unwrap(),
            [
                "POST https://ca.example:444 Some(\"newOrder\") Some(429)",
                "GET https://ca.example:444 None None"
            ]
        );
    }
}
