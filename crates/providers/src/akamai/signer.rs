//! What goes into each request.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri, uri::Authority};
use perennial_core::Timestamp;

use super::{
    KIND, edgerc,
    source::{Current, Source},
};
use crate::{
    Error,
    signature::eg1,
    vendor::{Authorize, Fingerprint, Secrets, segment},
};

/// Signs each request with EdgeGrid, for whichever account it is.
pub(super) struct Signer {
    source: Source,
    /// Whom the provider was made for; `None` where that is no host, and nobody is asked.
    made_for: Option<Authority>,
    /// The account that was given, whatever a file says of it.
    account_switch_key: Option<String>,
}

impl Signer {
    pub(super) fn new(host: &str, source: Source, account_switch_key: Option<String>) -> Self {
        Self { source, made_for: edgerc::host(host), account_switch_key }
    }

    /// Where a request belongs: to the host that the credentials are for now. They were never shown to the one before,
    /// and one that was set in its place (`base-url`) stays.
    fn place(&self, uri: &Uri, now: Option<Authority>, account: Option<&str>) -> Result<Uri, http::Error> {
        let mut parts = uri.clone().into_parts();
        if let Some(now) = now.filter(|_| parts.authority == self.made_for) {
            parts.authority = Some(now);
        }
        if let Some(account) = account {
            let (path, query) = (uri.path(), uri.query());
            let query = query.map_or_else(String::new, |query| format!("{query}&"));
            let all = format!("{path}?{query}accountSwitchKey={}", segment(account));
            parts.path_and_query = Some(all.parse()?);
        }
        Ok(Uri::from_parts(parts)?)
    }
}

#[async_trait]
impl Authorize for Signer {
    async fn authorize(&self, request: &mut Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let unfit =
            |reason: &str| Error::Auth { provider: KIND.to_owned(), reason: reason.to_owned(), fault: None };
        let Current { credentials, host, account_key } = self.source.current();
        let account = self.account_switch_key.as_deref().or(account_key.as_deref());
        let place = self.place(request.uri(), host, account);
        *request.uri_mut() = place.map_err(|_| unfit("the account switch key does not fit into a URL"))?;
        let nonce = format!("{:032x}", rand::random::<u128>());
        eg1::sign(request, &credentials, &nonce, now).map_err(|_| {
            unfit("a token has a character that no header can carry; look for a line break where it is kept")
        })?;
        let eg1::Credentials { client_token, client_secret, access_token, .. } = credentials;
        Ok(Secrets::of(client_secret).and(client_token).and(access_token))
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let Current { credentials, account_key, .. } = self.source.current();
        let eg1::Credentials { client_token, client_secret, access_token, .. } = credentials;
        let account = self.account_switch_key.as_deref().or(account_key.as_deref()).unwrap_or_default();
        Some(Fingerprint::of([client_token.expose(), client_secret.expose(), access_token.expose(), account]))
    }

    fn signs_time(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::akamai::source;
    use std::{path::Path, sync::Mutex};

    fn section(host: &str, secret: &str, account: &str) -> String {
        let tokens = format!("client_token = c\nclient_secret = {secret}\naccess_token = a\n");
        format!("[default]\nhost = {host}\n{tokens}{account}")
    }

    fn signer(path: &Path, given: Option<&str>) -> Signer {
        let section = source::read(path, "default").unwrap_or_else(|reason| panic!("{reason}"));
        let (host, last) = (section.host.to_string(), Mutex::new(section));
        let source = Source::Edgerc { path: path.to_owned(), section: "default".to_owned(), last };
        Signer::new(&host, source, given.map(str::to_owned))
    }

    /// Where a request goes, and what it is signed with.
    async fn signed(signer: &Signer, uri: &str) -> (String, String) {
        let mut request = Request::get(uri).body(Bytes::new()).unwrap();
        signer.authorize(&mut request, Timestamp::from_unix(1_800_000_000)).await.unwrap();
        let signature = request.headers()["authorization"].to_str().unwrap();
        let secret = ["first", "second"].into_iter().find(|secret| {
            let nonce = signature.split("nonce=").nth(1).unwrap().split(';').next().unwrap();
            let mut again = Request::get(request.uri()).body(Bytes::new()).unwrap();
            let credentials = eg1::Credentials::new("c", *secret, "a");
            eg1::sign(&mut again, &credentials, nonce, Timestamp::from_unix(1_800_000_000)).unwrap();
            again.headers()["authorization"] == request.headers()["authorization"]
        });
        (request.uri().to_string(), secret.unwrap_or("neither").to_owned())
    }

    #[tokio::test]
    async fn a_secret_of_another_host_goes_to_that_host_and_never_to_the_one_before() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), section("one.example", "first", "")).unwrap();
        let signer = signer(file.path(), None);
        let asked = "https://one.example/config-dns/v2/zones?page=1";
        assert_eq!(signed(&signer, asked).await, (asked.to_owned(), "first".to_owned()));
        std::fs::write(file.path(), section("https://two.example:8443/", "second", "")).unwrap();
        let moved = "https://two.example:8443/config-dns/v2/zones?page=1";
        assert_eq!(signed(&signer, asked).await, (moved.to_owned(), "second".to_owned()));
        // Whatever is no host changes nothing, the secret neither.
        std::fs::write(file.path(), section("me@three.example", "third", "")).unwrap();
        assert_eq!(signed(&signer, asked).await, (moved.to_owned(), "second".to_owned()));
    }

    #[tokio::test]
    async fn what_was_set_in_place_of_the_host_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), section("one.example", "first", "")).unwrap();
        let signer = signer(file.path(), None);
        std::fs::write(file.path(), section("two.example", "second", "")).unwrap();
        let proxy = "https://proxy.example/config-dns/v2/zones";
        assert_eq!(signed(&signer, proxy).await, (proxy.to_owned(), "second".to_owned()));
    }

    #[tokio::test]
    async fn the_account_is_that_of_the_file_as_it_is_now_unless_one_was_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), section("one.example", "first", "account_key = A:1\n")).unwrap();
        let (of_the_file, given) = (signer(file.path(), None), signer(file.path(), Some("G")));
        std::fs::write(file.path(), section("one.example", "first", "account_key = B:2\n")).unwrap();
        for (signer, uri, expected) in [
            (&of_the_file, "https://one.example/z", "https://one.example/z?accountSwitchKey=B%3A2"),
            (&of_the_file, "https://one.example/z?a=b", "https://one.example/z?a=b&accountSwitchKey=B%3A2"),
            (&given, "https://one.example/z", "https://one.example/z?accountSwitchKey=G"),
        ] {
            assert_eq!(signed(signer, uri).await.0, expected);
        }
    }
}
