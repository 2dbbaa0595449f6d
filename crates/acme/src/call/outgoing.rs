//! What a call sends: the HTTP side of RFC 8555 §6.1 to §6.3.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};

use crate::{
    Error, Misbehaved, Session, Url,
    jws::{Header, KeyReference, SigningInput},
    nonce::Nonce,
};

/// What to send next.
#[derive(Debug)]
#[allow(clippy::exhaustive_enums)] // A request is signed or it is not.
pub enum Outgoing {
    /// A request without a signature: for the directory or a nonce. Send it as it is.
    Plain(Request<Bytes>),
    /// A request that waits for its signature.
    Unsigned(Unsigned),
}

/// A request that waits for its signature, which may come from far away.
#[derive(Debug)]
#[must_use = "sign the message, seal the request, send it"]
pub struct Unsigned {
    url: Url,
    headers: HeaderMap,
    input: SigningInput,
}

impl Unsigned {
    /// Signed in the name of the account `kid`, or with the key itself where there is none; `None` when the
    /// session has no key.
    pub(super) fn new(
        session: &Session,
        url: Url,
        kid: Option<&Url>,
        nonce: &Nonce,
        payload: &str,
    ) -> Option<Self> {
        let header = Header {
            algorithm: session.signer()?.algorithm(),
            key: match kid {
                Some(account) => KeyReference::Kid(account.as_str()),
                None => KeyReference::Jwk(session.jwk()?),
            },
            nonce: Some(nonce.as_str()),
            url: url.as_str(),
        };
        let input = SigningInput::new(&header, payload.as_bytes());
        Some(Self { url, headers: session.server().post_headers().clone(), input })
    }

    pub(super) fn accept(mut self, media_type: Option<&'static str>) -> Self {
        if let Some(media_type) = media_type {
            self.headers.insert(header::ACCEPT, HeaderValue::from_static(media_type));
        }
        self
    }

    /// What the session's signer has to sign.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.input.as_bytes()
    }

    /// The request with its signature.
    ///
    /// # Errors
    /// [`Error::Misuse`] when the signature has not the size that its algorithm gives it.
    pub fn seal(self, session: &Session, signature: &[u8]) -> Result<Request<Bytes>, Error> {
        if let Some(signer) = session.signer() {
            signer.algorithm().check_signature(signer.jwk(), signature)?;
        }
        let mut request = Request::new(self.input.seal(signature));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.to_uri().map_err(|fault| Misbehaved::url(self.url.as_str(), fault))?;
        *request.headers_mut() = self.headers;
        Ok(request)
    }
}

/// A GET or HEAD request.
pub(super) fn plain(headers: &HeaderMap, method: Method, url: &Url) -> Result<Request<Bytes>, Error> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = method;
    *request.uri_mut() = url.to_uri().map_err(|fault| Misbehaved::url(url.as_str(), fault))?;
    *request.headers_mut() = headers.clone();
    Ok(request)
}
