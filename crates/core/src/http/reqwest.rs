//! [`HttpClient`] over reqwest, rustls and ring.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::{HttpClient, HttpError, NoRedirects};
use crate::SecretString;

/// The default [`HttpClient`]: reqwest over rustls with ring.
///
/// It trusts the operating system's roots and those added by
/// [`root_certificates_pem`](ReqwestClientBuilder::root_certificates_pem), honours the usual proxy variables
/// (`HTTPS_PROXY`, `NO_PROXY`), speaks HTTP/1.1 and HTTP/2, and follows redirects of GET and HEAD only.
///
/// Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct ReqwestClient {
    inner: ::reqwest::Client,
    body_limit: usize,
    scheme: SchemePolicy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SchemePolicy {
    HttpsOnly,
    AllowHttp,
    /// Plain http to what is beside the machine alone.
    MetadataServices,
}

impl ReqwestClient {
    /// A client with the defaults of [`ReqwestClientBuilder`].
    ///
    /// # Errors
    /// [`HttpError::Tls`] when the operating system's roots cannot be loaded.
    pub fn new() -> Result<Self, HttpError> {
        Self::builder().build()
    }

    /// Starts a client with other settings.
    pub fn builder() -> ReqwestClientBuilder {
        ReqwestClientBuilder::default()
    }

    fn check_scheme(&self, url: &Uri) -> Result<(), HttpError> {
        match url.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if self.scheme == SchemePolicy::AllowHttp => Ok(()),
            Some("http") if self.scheme == SchemePolicy::MetadataServices && is_beside(url) => Ok(()),
            _ => Err(HttpError::InsecureUrl { url: url.to_string() }),
        }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let url = request.uri().to_string();
        let request = ::reqwest::Request::try_from(request.map(::reqwest::Body::from))
            .map_err(|error| HttpError::BadRequest { url: url.clone(), reason: innermost(&error) })?;
        let answer = self.inner.execute(request).await.map_err(|error| from_reqwest(&url, &error))?;
        let too_large = || HttpError::BodyTooLarge { url: url.clone(), limit: self.body_limit };
        if answer.content_length().is_some_and(|length| length > self.body_limit as u64) {
            return Err(too_large());
        }
        let (status, version, headers) = (answer.status(), answer.version(), answer.headers().clone());
        let mut body = BytesMut::new();
        let mut chunks = Chunks(answer).into_stream().boxed();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| from_reqwest(&url, &error))?;
            if body.len() + chunk.len() > self.body_limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = status;
        *response.version_mut() = version;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Without the connections and the proxy: its URL may hold a password.
impl fmt::Debug for ReqwestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner: _, body_limit, scheme } = self;
        f.debug_struct("ReqwestClient")
            .field("body_limit", body_limit)
            .field("scheme", scheme)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for ReqwestClient {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let first = request.uri().to_string();
        let follow = matches!(*request.method(), Method::GET | Method::HEAD)
            && request.extensions().get::<NoRedirects>().is_none();
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let mut request = request;
        for _ in 0..=MAX_REDIRECTS {
            self.check_scheme(request.uri())?;
            let here = request.uri().clone();
            let response = self.exchange(request).await?;
            let Some(target) = redirect(&response).filter(|_| follow) else {
                return Ok(response);
            };
            let Some(target) = resolve(&here, &target) else {
                return Ok(response);
            };
            request = Request::new(Bytes::new());
            *request.method_mut() = method.clone();
            *request.headers_mut() = portable(&headers, &here, &target);
            *request.uri_mut() = target;
        }
        Err(HttpError::TooManyRedirects { url: first, limit: MAX_REDIRECTS })
    }
}

/// Whether the host is the machine itself or a service that its platform keeps beside it: no router forwards a
/// packet to a link-local address (RFC 3927 §7, RFC 4291 §2.5.6). AWS has its own unique local prefix for those.
fn is_beside(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            let [first, second, ..] = address.segments();
            address.is_loopback() || address.is_unicast_link_local() || [first, second] == [0xfd00, 0x0ec2]
        }
        Err(_) => ["localhost", "metadata.google.internal"].contains(&host),
    }
}

/// A directory or a DNS vendor may have moved once or twice; more is a loop.
const MAX_REDIRECTS: usize = 5;

fn redirect(response: &Response<Bytes>) -> Option<String> {
    let status = response.status();
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&status) {
        return None;
    }
    response.headers().get(header::LOCATION)?.to_str().ok().map(str::to_owned)
}

/// A `Location` against the URL it came from: absolute, or a path on the same host.
fn resolve(here: &Uri, location: &str) -> Option<Uri> {
    let base: ::reqwest::Url = here.to_string().parse().ok()?;
    base.join(location).ok()?.as_str().parse().ok()
}

/// Headers that may follow a redirect: all to the same host, none that can carry a credential elsewhere.
fn portable(headers: &HeaderMap, here: &Uri, target: &Uri) -> HeaderMap {
    if here.authority() == target.authority() && here.scheme() == target.scheme() {
        return headers.clone();
    }
    let mut kept = HeaderMap::new();
    for name in [header::ACCEPT, header::ACCEPT_LANGUAGE, header::USER_AGENT] {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

/// Turns reqwest's chunk method into a stream without its feature of that name, which would pull more in.
struct Chunks(::reqwest::Response);

impl Chunks {
    fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, ::reqwest::Error>> {
        futures_util::stream::try_unfold(self.0, |mut answer| async move {
            Ok(answer.chunk().await?.map(|chunk| (chunk, answer)))
        })
    }
}

fn from_reqwest(url: &str, error: &::reqwest::Error) -> HttpError {
    let url = url.to_owned();
    let reason = innermost(error);
    if error.is_timeout() {
        HttpError::Timeout { url }
    } else if tls_fault(error) {
        HttpError::Tls { url, reason }
    } else if error.is_connect() {
        HttpError::Connect { url, reason }
    } else {
        HttpError::Exchange { url, reason }
    }
}

/// rustls reports through `std::io::Error`, which may wrap another: each layer and each cause is looked at.
fn tls_fault(error: &(dyn std::error::Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|inner| tls_fault(inner)) || error.source().is_some_and(tls_fault)
}

/// The last cause of an error's chain says what happened; the outer ones only where.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

/// Settings of a [`ReqwestClient`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ReqwestClientBuilder {
    body_limit: usize,
    connect_timeout: Duration,
    identity: Option<Identity>,
    /// The URL may hold a password.
    proxy: Option<SecretString>,
    roots: Vec<u8>,
    scheme: SchemePolicy,
    timeout: Duration,
    user_agent: String,
}

impl fmt::Debug for ReqwestClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestClientBuilder")
            .field("body_limit", &self.body_limit)
            .field("connect_timeout", &self.connect_timeout)
            .field("identity", &self.identity.as_ref().map(|_| "set"))
            .field("proxy", &self.proxy.as_ref().map(|_| "set"))
            .field("scheme", &self.scheme)
            .field("timeout", &self.timeout)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

impl Default for ReqwestClientBuilder {
    fn default() -> Self {
        Self {
            // The largest honest answer is a chain with alternates or a page of DNS records, well under it.
            body_limit: 1 << 20,
            connect_timeout: Duration::from_secs(10),
            identity: None,
            proxy: None,
            roots: Vec::new(),
            scheme: SchemePolicy::HttpsOnly,
            // Some CAs hold a finalize request open while they sign; a minute is beyond the slowest seen.
            timeout: Duration::from_secs(60),
            user_agent: concat!("perennial/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl ReqwestClientBuilder {
    /// The most bytes of a body. Default: 1 MiB.
    pub const fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Who we are towards servers that ask for a certificate (RFC 8446 §4.3.2): a chain, leaf first, and its key, PEM
    /// each. Default: nobody. Every server that asks sees it, so such a client is for one server.
    pub fn client_identity_pem(mut self, chain: impl Into<String>, key: impl Into<SecretString>) -> Self {
        self.identity = Some(Identity { chain_pem: chain.into(), key_pem: key.into() });
        self
    }

    /// How long one connection may take to come up. Default: 10 s.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// A proxy URL (`http://`, `https://` or `socks5://`) for every request, instead of the one that the
    /// environment names. A password in it is never shown.
    pub fn proxy(mut self, url: impl Into<SecretString>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// More roots to trust beside the operating system's, as PEM; repeatable. For a private CA or a test.
    pub fn root_certificates_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.extend_from_slice(pem.as_ref());
        self.roots.push(b'\n');
        self
    }

    /// How long a whole exchange may take, body included. Default: 60 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to call ourselves; RFC 8555 §6.1 wants a product name there. Default: `perennial/VERSION`.
    pub fn user_agent(mut self, product: impl Into<String>) -> Self {
        self.user_agent = product.into();
        self
    }

    /// For the metadata service of a cloud machine, and the like beside it, which speak plain `http` alone: lets it
    /// pass to the machine itself, to link-local addresses and to `metadata.google.internal`, and uses no proxy,
    /// which could not reach them and must not see what they say.
    pub const fn metadata_services(mut self) -> Self {
        self.scheme = SchemePolicy::MetadataServices;
        self
    }

    /// Lets plain `http` URLs pass. **For tests on loopback only**: it gives up every guarantee that TLS
    /// gives.
    pub const fn dangerous_allow_http(mut self) -> Self {
        self.scheme = SchemePolicy::AllowHttp;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// [`HttpError::Tls`] when the extra roots or the identity are no certificates, the identity's key is another's, or
    /// the operating system's roots cannot be loaded, [`HttpError::BadRequest`] when the proxy or user agent is malformed.
    pub fn build(self) -> Result<ReqwestClient, HttpError> {
        let bad = |what: &str, error: &::reqwest::Error| HttpError::BadRequest {
            url: what.to_owned(),
            reason: innermost(error),
        };
        let mut builder = ::reqwest::Client::builder()
            .tls_backend_preconfigured(tls(&self.roots, self.identity.as_ref())?)
            .redirect(::reqwest::redirect::Policy::none())
            .retry(::reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .user_agent(self.user_agent);
        if self.scheme == SchemePolicy::MetadataServices {
            builder = builder.no_proxy();
        } else if let Some(url) = &self.proxy {
            let proxy = ::reqwest::Proxy::all(url.expose()).map_err(|error| bad("the proxy", &error))?;
            builder = builder.proxy(proxy);
        }
        let inner = builder.build().map_err(|error| bad("any URL", &error))?;
        Ok(ReqwestClient { inner, body_limit: self.body_limit, scheme: self.scheme })
    }
}

/// Who a client is.
#[derive(Clone)]
struct Identity {
    chain_pem: String,
    key_pem: SecretString,
}

/// TLS through ring with the operating system's verifier, widened by the extra roots.
fn tls(roots_pem: &[u8], identity: Option<&Identity>) -> Result<rustls::ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_settings(error.to_string()))?;
    let roots = certificates("the trusted roots", roots_pem)?;
    if roots_pem.iter().any(|byte| !byte.is_ascii_whitespace()) && roots.is_empty() {
        return Err(tls_settings("the trusted roots hold no CERTIFICATE block".to_owned()));
    }
    let builder = if roots.is_empty() {
        builder.with_platform_verifier().map_err(|error| tls_settings(error.to_string()))?
    } else {
        let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider)
            .map_err(|error| tls_settings(error.to_string()))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("the client's identity", identity.chain_pem.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes())
        .map_err(|_| tls_settings("the key of the client's identity is not PEM".to_owned()))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| tls_settings(format!("the client's identity cannot be used: {error}")))
}

fn certificates(whose: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let all = CertificateDer::pem_slice_iter(pem);
    all.collect::<Result<_, _>>()
        .map_err(|error| tls_settings(format!("a certificate of {whose} is not PEM: {error}")))
}

fn tls_settings(reason: String) -> HttpError {
    HttpError::Tls { url: "any URL".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_for_metadata_services_speaks_plainly_to_what_is_beside_the_machine_alone() {
        let client = ReqwestClient::builder().metadata_services().build().unwrap();
        let passes = |url: &'static str| client.check_scheme(&Uri::from_static(url)).is_ok();
        for beside in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://[fe80::1]/",
            "http://127.0.0.1:8080/",
            "http://[::1]/",
            "http://localhost:40342/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "https://sts.amazonaws.com/",
        ] {
            assert!(passes(beside), "{beside}");
        }
        for elsewhere in [
            "http://192.0.2.1/",
            "http://10.0.0.1/",
            "http://[fd00:ec3::254]/",
            "http://metadata.google.internal.example/",
            "http://169.254.169.254.example/",
            "ftp://169.254.169.254/",
        ] {
            assert!(!passes(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn an_identity_that_is_none_is_refused_before_anything_is_sent_and_not_shown() {
        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap());
        let (chain, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let built = |chain: &str, key: &str| {
            let builder = ReqwestClient::builder().client_identity_pem(chain, key);
            assert!(!format!("{builder:?}").contains("BEGIN"));
            builder.build().map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(built(&chain, &key), Ok(()));
        let foreign = built(&chain, &other.signing_key.serialize_pem()).unwrap_err();
        assert!(foreign.contains("identity"), "{foreign}");
        assert!(built(&chain, "hunter2").is_err_and(|error| !error.contains("hunter2")));
        assert!(built("", &key).is_err());
    }

    #[test]
    fn credentials_stay_with_their_scheme_host_and_port() {
        let mut headers = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::COOKIE, header::ACCEPT] {
            headers.insert(name, header::HeaderValue::from_static("x"));
        }
        let kept = |target: &'static str| {
            let here = Uri::from_static("https://a.example/old");
            portable(&headers, &here, &Uri::from_static(target)).contains_key(header::AUTHORIZATION)
        };
        assert!(kept("https://a.example/new"));
        for elsewhere in [
            "http://a.example/new",
            "https://b.example/new",
            "https://a.example:8443/new",
            "https://a.example.b/",
        ] {
            assert!(!kept(elsewhere), "{elsewhere}");
        }
    }
}
