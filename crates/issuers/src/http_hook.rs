//! A request to a server after a delivery.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Uri, header};
use perennial_core::{HttpClient, Retry, SecretString, http::NoRedirects};
use perennial_lifecycle::{HookError, Reload, ReloadHook};
use serde::Serialize;

/// Posts to a URL when a certificate was delivered: a reload that a server, or what controls it, offers over HTTP.
///
/// ```text
/// POST {url}
/// Content-Type: application/json
///
/// {"certificate":"site","sink":"web","place":"/srv/certificates/site","fingerprint":"9f86…",
///  "not_after":"2027-01-15T08:00:00Z","names":["site.example"]}
/// ```
///
/// Every status of 2xx is success; what it answers is shown, the first 300 characters of it. No redirect is followed.
/// A request whose answer is lost is sent again later, so the server must take one twice.
///
/// It lies beside the issuers because `perennial-lifecycle` knows nothing of HTTP.
///
/// ```
/// use std::sync::Arc;
/// use perennial_core::ReqwestClient;
/// use perennial_issuers::HttpHook;
///
/// let client = Arc::new(ReqwestClient::builder().build()?);
/// let hook = HttpHook::new("https://lb.example.com/reload", client)?.bearer("token".into());
/// # let _ = hook;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HttpHook {
    url: Uri,
    client: Arc<dyn HttpClient>,
    bearer: Option<SecretString>,
    for_all: bool,
    time_limit: Duration,
}

impl HttpHook {
    /// Posts to this URL by this client, which says whether it must be `https`.
    ///
    /// # Errors
    /// [`HookError`] when the URL is none.
    pub fn new(url: &str, client: Arc<dyn HttpClient>) -> Result<Self, HookError> {
        let refused =
            || HookError::new("the URL of a hook is malformed: write https://host/path", Retry::Never);
        let url: Uri = url.parse().map_err(|_| refused())?;
        if url.scheme().is_none() || url.host().is_none() {
            return Err(refused());
        }
        Ok(Self { url, client, bearer: None, for_all: false, time_limit: TIME_LIMIT })
    }

    /// With a token that is sent as `Authorization: Bearer` (RFC 6750 §2.1). Default: none.
    #[must_use]
    pub fn bearer(self, token: SecretString) -> Self {
        Self { bearer: Some(token), ..self }
    }

    /// That one request has [all taken up](ReloadHook::takes_up_all) that was delivered before, whichever certificate it
    /// names. Default: one for each.
    #[must_use]
    pub fn once_for_all(self) -> Self {
        Self { for_all: true, ..self }
    }

    /// How long an answer may take. Default: 30 seconds, as for a program that is run.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    fn request(&self, delivery: &Reload) -> Result<Request<Bytes>, HookError> {
        let body = Body {
            certificate: delivery.id.as_str(),
            sink: delivery.sink.as_str(),
            place: delivery.place.as_ref().map(|place| place.to_string_lossy().into_owned()),
            fingerprint: &delivery.facts.fingerprint,
            not_after: delivery.facts.not_after.to_string(),
            names: delivery.facts.names.iter().map(ToString::to_string).collect(),
        };
        let broken = |error: &dyn ToString| HookError::new(error.to_string(), Retry::Never);
        let body = serde_json::to_vec(&body).map_err(|error| broken(&error))?;
        let mut request = Request::builder().method(Method::POST).uri(self.url.clone());
        request = request.header(header::CONTENT_TYPE, "application/json").extension(NoRedirects);
        if let Some(token) = &self.bearer {
            let text = format!("Bearer {}", token.expose());
            // The error of a malformed value would not say it, but neither would it help.
            let mut value = header::HeaderValue::from_str(&text)
                .map_err(|_| broken(&"the token of a hook has characters that no header can have"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Bytes::from(body)).map_err(|error| broken(&error))
    }

    /// The URL as it is shown: what stands behind a question mark may be a secret.
    fn shown(&self) -> String {
        let (scheme, host) = (self.url.scheme_str().unwrap_or_default(), self.url.host().unwrap_or_default());
        let port = self.url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{host}{port}{}", self.url.path())
    }
}

#[async_trait]
impl ReloadHook for HttpHook {
    async fn reload(&self, delivery: &Reload) -> Result<String, HookError> {
        let request = self.request(delivery)?;
        let answered = tokio::time::timeout(self.time_limit, self.client.send(request)).await;
        let url = self.shown();
        let response = answered
            .map_err(|_| {
                let limit = self.time_limit;
                let message = format!(
                    "{url} did not answer within {limit:?}: see what it waits for, or allow it more time"
                );
                HookError::new(message, Retry::Backoff)
            })?
            .map_err(|error| {
                // A client's errors have the URL in them as it is.
                let message = error.to_string().replace(&self.url.to_string(), &url);
                HookError::new(message, error.retry())
            })?;
        let said = String::from_utf8_lossy(response.body());
        let printable = said.trim().chars().map(|it| if it.is_control() { ' ' } else { it });
        let said: String = printable.take(SHOWN).collect();
        let status = response.status();
        if status.is_success() {
            return Ok(said);
        }
        if status.is_redirection() {
            let message =
                format!("{url} answered {status}, which is not followed: give the URL that it leads to");
            return Err(HookError::new(message, Retry::Backoff));
        }
        let said = if said.is_empty() { "it said nothing more".to_owned() } else { said };
        Err(HookError::new(format!("{url} answered {status}: {said}"), Retry::Backoff))
    }

    fn takes_up_all(&self) -> bool {
        self.for_all
    }
}

#[derive(Serialize)]
struct Body<'a> {
    certificate: &'a str,
    sink: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    fingerprint: &'a str,
    not_after: String,
    names: Vec<String>,
}

const TIME_LIMIT: Duration = Duration::from_secs(30);
const SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use http::Response;
    use perennial_core::{HttpError, SecretString};
    use perennial_lifecycle::Facts;

    /// Cannot be reached, and says so as a client does.
    struct Unreachable;

    #[async_trait]
    impl HttpClient for Unreachable {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            let reason = "connection refused".to_owned();
            Err(HttpError::Connect { url: request.uri().to_string(), reason })
        }
    }

    /// Answers with one status and body, and keeps what it was sent.
    struct Server {
        status: Option<u16>,
        body: &'static str,
        sent: Mutex<Vec<Request<Bytes>>>,
    }

    #[async_trait]
    impl HttpClient for Server {
        async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
            self.sent.lock().unwrap().push(request);
            let Some(status) = self.status else { return std::future::pending().await };
            Ok(Response::builder().status(status).body(Bytes::from_static(self.body.as_bytes())).unwrap())
        }
    }

    fn server(status: Option<u16>, body: &'static str) -> Arc<Server> {
        Arc::new(Server { status, body, sent: Mutex::default() })
    }

    fn hook(server: &Arc<Server>) -> HttpHook {
        let hook = HttpHook::new("https://lb.example:8443/reload?key=s3cret", server.clone()).unwrap();
        hook.bearer(SecretString::new("t0ken"))
    }

    fn delivery() -> Reload {
        let params = rcgen::CertificateParams::new(vec!["site.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let facts = Facts::from_der(certificate.der()).unwrap();
        Reload::new("site".parse().unwrap(), "web".parse().unwrap(), Some("/srv/site".into()), facts)
    }

    #[tokio::test]
    async fn a_server_is_told_of_the_certificate_and_what_it_answers_is_shown() {
        let server = server(Some(202), " reloading\n");
        let delivery = delivery();
        assert_eq!(hook(&server).reload(&delivery).await.unwrap(), "reloading");
        let sent = server.sent.lock().unwrap();
        let [request] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/reload"));
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer t0ken");
        assert!(request.headers()[header::AUTHORIZATION].is_sensitive(), "or a log would show it");
        assert!(request.extensions().get::<NoRedirects>().is_some(), "a token follows no redirect");
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let wanted = serde_json::json!({
            "certificate": "site", "sink": "web", "place": "/srv/site",
            "fingerprint": delivery.facts.fingerprint, "not_after": delivery.facts.not_after.to_string(),
            "names": ["site.example"],
        });
        assert_eq!(body, wanted);
    }

    #[test]
    fn one_request_is_for_all_where_that_is_said() {
        let hook = hook(&server(Some(200), ""));
        assert!(!hook.takes_up_all() && hook.once_for_all().takes_up_all());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_and_a_silence_are_told_without_what_is_secret() {
        let refusing = server(Some(503), "no back\u{1b} end");
        let error = hook(&refusing).reload(&delivery()).await.unwrap_err();
        let said = "https://lb.example:8443/reload answered 503 Service Unavailable: no back  end";
        assert_eq!(error.message, said);
        let silent = server(None, "");
        let error = hook(&silent).reload(&delivery()).await.unwrap_err();
        assert!(error.message.starts_with("https://lb.example:8443/reload did not answer within 30s: "));
        assert!(error.retry().is_worthwhile());
        let redirecting = server(Some(302), "");
        let error = hook(&redirecting).reload(&delivery()).await.unwrap_err();
        assert!(error.message.contains("302 Found, which is not followed"), "{error}");
        let url = "https://user:passw0rd@lb.example/reload?key=s3cret";
        let error = HttpHook::new(url, Arc::new(Unreachable)).unwrap().reload(&delivery()).await.unwrap_err();
        assert!(error.message.contains("https://lb.example/reload"), "{error}");
        assert!(!error.message.contains("s3cret") && !error.message.contains("passw0rd"), "{error}");
        assert!(HttpHook::new("/reload", silent).is_err());
    }
}
