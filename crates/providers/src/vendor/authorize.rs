//! How a request shows on whose behalf it is made.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use perennial_core::{SecretString, Timestamp};

use super::{Credential, Fingerprint, Secrets};
use crate::{ConfigError, Error};

/// Who puts credentials into requests: a token in a header, or a signature over the whole.
///
/// # Contract
/// - It is called for every attempt, with the request as complete as it will be: method, URL, headers, body.
///   It may change any of them.
/// - `now` is the time to sign with.
/// - What must not be seen of the request afterwards MUST be in the [`Secrets`] that it returns: every secret
///   that a vendor's answer could repeat, in each form that it is sent in.
/// - It may be called from any number of tasks at once. One that has to fetch a token first SHOULD do so once
///   for all of them.
#[async_trait]
pub trait Authorize: Send + Sync {
    /// Puts the credentials in.
    ///
    /// # Errors
    /// [`Error`] when they cannot be had.
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error>;

    /// Is told that the vendor did not accept them (401): a token that was kept is to be forgotten. `true`
    /// means that another try will bring other credentials; it is made once.
    fn refused(&self) -> bool {
        false
    }

    /// By what this credential is recognized, if others may be the same to the vendor: clients with equal
    /// fingerprints keep the vendor's [`Rate`](crate::Rate) together. `None`, the default, stands for itself.
    ///
    /// It is asked for once, when a client is built: a secret whose file is written anew keeps its pace.
    /// Everything that proves who one is belongs into it, secrets too, so that nobody slows down another by
    /// claiming to be that one.
    fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }

    /// Whether what is sent holds our time, so that a wrong clock is a reason to be refused.
    fn signs_time(&self) -> bool {
        false
    }
}

/// Nobody in particular.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs)] // Nothing can be added to nobody.
pub struct Anonymous;

#[async_trait]
impl Authorize for Anonymous {
    async fn authorize(&self, _: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        Ok(Secrets::none())
    }
}

/// `Authorization: Bearer …` (RFC 6750 §2.1).
#[derive(Clone)]
pub struct Bearer(HeaderToken);

impl Bearer {
    /// With this token.
    #[must_use]
    pub const fn new(token: Credential) -> Self {
        Self(HeaderToken::new("authorization", token).scheme("Bearer"))
    }
}

#[async_trait]
impl Authorize for Bearer {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        self.0.authorize(request, now).await
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.0.fingerprint()
    }
}

/// A token in a header of the vendor's choice.
#[derive(Clone)]
pub struct HeaderToken {
    header: &'static str,
    scheme: Option<&'static str>,
    token: Credential,
}

impl HeaderToken {
    /// The token in this header, whose name is in lower case.
    #[must_use]
    pub const fn new(header: &'static str, token: Credential) -> Self {
        Self { header, scheme: None, token }
    }

    /// Puts a word before the token, such as `Token` or `sso-key`.
    #[must_use]
    pub const fn scheme(mut self, scheme: &'static str) -> Self {
        self.scheme = Some(scheme);
        self
    }
}

#[async_trait]
impl Authorize for HeaderToken {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let token = self.token.current();
        let text = match self.scheme {
            Some(scheme) => SecretString::new([scheme, " ", token.expose()].concat()),
            None => token.clone(),
        };
        insert(request, self.header, &text)?;
        Ok(Secrets::of(token))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([self.token.current().expose()]))
    }
}

/// `Authorization: Basic …` (RFC 7617).
#[derive(Clone)]
pub struct Basic {
    user: String,
    password: Credential,
}

impl Basic {
    /// With this user and password.
    #[must_use]
    pub fn new(user: impl Into<String>, password: Credential) -> Self {
        Self { user: user.into(), password }
    }
}

#[async_trait]
impl Authorize for Basic {
    async fn authorize(&self, request: &mut Request<Bytes>, _: Timestamp) -> Result<Secrets, Error> {
        let password = self.password.current();
        let pair = SecretString::new([&self.user, ":", password.expose()].concat());
        let encoded = SecretString::new(STANDARD.encode(pair.expose()));
        insert(request, "authorization", &SecretString::new(["Basic ", encoded.expose()].concat()))?;
        Ok(Secrets::of(password).and(encoded))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(Fingerprint::of([&*self.user, self.password.current().expose()]))
    }
}

/// A header that is not shown when somebody prints the request.
fn insert(request: &mut Request<Bytes>, header: &'static str, value: &SecretString) -> Result<(), Error> {
    let mut value = HeaderValue::from_str(value.expose()).map_err(|_| ConfigError::BadOption {
        provider: "the HTTP client".to_owned(),
        option: header.to_owned(),
        reason: "the credential has a character that no header can carry, such as a line break; it is not \
                 shown here"
            .to_owned(),
    })?;
    value.set_sensitive(true);
    request.headers_mut().insert(HeaderName::from_static(header), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(authorize: &dyn Authorize) -> (Request<Bytes>, Secrets) {
        let mut request = Request::new(Bytes::new());
        let secrets = authorize.authorize(&mut request, Timestamp::from_unix(0)).await.unwrap();
        (request, secrets)
    }

    fn header(request: &Request<Bytes>, name: &str) -> String {
        request.headers()[name].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn each_way_sends_what_its_standard_says_and_names_what_to_hide() {
        let (request, secrets) = sent(&Bearer::new("t0k3n".into())).await;
        assert_eq!(header(&request, "authorization"), "Bearer t0k3n");
        assert_eq!(secrets.hide("Bearer t0k3n"), "Bearer [secret]");
        assert!(!format!("{request:?}").contains("t0k3n"));
        let (request, _) = sent(&HeaderToken::new("x-api-key", "k3y".into())).await;
        assert_eq!(header(&request, "x-api-key"), "k3y");
        // RFC 7617 §2.
        let (request, secrets) = sent(&Basic::new("Aladdin", "open sesame".into())).await;
        assert_eq!(header(&request, "authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(secrets.hide("QWxhZGRpbjpvcGVuIHNlc2FtZQ== open sesame"), "[secret] [secret]");
        assert!(sent(&Anonymous).await.0.headers().is_empty());
    }

    #[tokio::test]
    async fn a_line_break_in_a_token_is_told_without_the_token() {
        let mut request = Request::new(Bytes::new());
        let bearer = Bearer::new("t0k3n\n".into());
        let error = bearer.authorize(&mut request, Timestamp::from_unix(0)).await.err().unwrap();
        assert!(error.to_string().contains("line break") && !error.to_string().contains("t0k3n"), "{error}");
    }
}
