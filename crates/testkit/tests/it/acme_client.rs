//! A bare ACME client, which can also do everything wrong.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use perennial_core::{HttpClient, HttpError, ReqwestClient};
use perennial_testkit::CertificateAuthority;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// A client with one key.
pub(crate) struct Client {
    http: ReqwestClient,
    key: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    pub(crate) account: Option<String>,
    pub(crate) directory: Value,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// The status, and the last part of the problem's type.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let kind = self.json()["type"].as_str().unwrap().to_owned();
        (self.status, kind.rsplit(':').next().unwrap().to_owned())
    }
}

impl Client {
    /// A client without an account.
    pub(crate) async fn new(ca: &CertificateAuthority) -> Self {
        let http =
            ReqwestClient::builder().root_certificates_pem(ca.https_root_pem().as_bytes()).build().unwrap();
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).unwrap();
        let pkcs8 = der.as_ref().to_vec();
        let mut client = Self { http, key, pkcs8, account: None, directory: Value::Null };
        client.directory = client.send(Method::GET, ca.directory_url(), None, "").await.json();
        client
    }

    /// A client with an account.
    pub(crate) async fn registered(ca: &CertificateAuthority) -> Self {
        let mut client = Self::new(ca).await;
        let reply = client.post("newAccount", &json!({"termsOfServiceAgreed": true})).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        client.account = Some(reply.header("location").to_owned());
        client
    }

    pub(crate) fn url(&self, name: &str) -> String {
        if name.starts_with("https:") {
            return name.to_owned();
        }
        self.directory[name].as_str().unwrap_or_else(|| panic!("no {name} in the directory")).to_owned()
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])})
    }

    pub(crate) fn thumbprint(&self) -> String {
        let jwk = self.jwk(); // serde_json sorts the members, as RFC 7638 wants it
        let digest = ring::digest::digest(&ring::digest::SHA256, jwk.to_string().as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }

    pub(crate) async fn nonce(&self) -> String {
        let reply = self.send(Method::HEAD, &self.url("newNonce"), None, "").await;
        reply.header("replay-nonce").to_owned()
    }

    /// The header of a good request.
    pub(crate) async fn header(&self, url: &str) -> Value {
        let mut header = json!({"alg": "ES256", "nonce": self.nonce().await, "url": url});
        match &self.account {
            Some(account) => header["kid"] = account.as_str().into(),
            None => header["jwk"] = self.jwk(),
        }
        header
    }

    pub(crate) fn sign(&self, header: &Value, payload: &str) -> String {
        let protected = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
        let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
        let text = format!("{protected}.{payload}");
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
        json!({"protected": protected, "payload": payload, "signature": signature}).to_string()
    }

    pub(crate) async fn try_send(
        &self,
        method: Method,
        url: &str,
        content_type: Option<&str>,
        body: &str,
    ) -> Result<Reply, HttpError> {
        let mut request = Request::builder().method(method).uri(url).header("user-agent", "testkit");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Bytes::from(body.to_owned())).unwrap();
        let (parts, body) = self.http.send(request).await?.into_parts();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        content_type: Option<&str>,
        body: &str,
    ) -> Reply {
        self.try_send(method, url, content_type, body).await.unwrap()
    }

    pub(crate) async fn send_signed(&self, url: &str, header: &Value, payload: &str) -> Reply {
        self.send(Method::POST, url, Some(JOSE), &self.sign(header, payload)).await
    }

    /// A good request with a payload, to a URL or to a resource of the directory.
    pub(crate) async fn post(&self, place: &str, payload: &Value) -> Reply {
        let url = self.url(place);
        let header = self.header(&url).await;
        self.send_signed(&url, &header, &payload.to_string()).await
    }

    /// A good POST-as-GET.
    pub(crate) async fn get(&self, url: &str) -> Reply {
        let header = self.header(url).await;
        self.send_signed(url, &header, "").await
    }

    pub(crate) async fn order(&self, names: &[&str]) -> Reply {
        let identifiers: Vec<Value> =
            names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        self.post("newOrder", &json!({ "identifiers": identifiers })).await
    }

    /// The dns-01 challenges of an order: where the record goes, its value, and the challenge's URL.
    pub(crate) async fn challenges(&self, order: &Value) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for url in order["authorizations"].as_array().unwrap() {
            let authorization = self.get(url.as_str().unwrap()).await.json();
            let name = authorization["identifier"]["value"].as_str().unwrap();
            let challenges = authorization["challenges"].as_array().unwrap();
            let challenge = challenges.iter().find(|challenge| challenge["type"] == "dns-01").unwrap();
            let text = format!("{}.{}", challenge["token"].as_str().unwrap(), self.thumbprint());
            let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
            let value = BASE64_URL_SAFE_NO_PAD.encode(digest);
            let url = challenge["url"].as_str().unwrap().to_owned();
            found.push((format!("_acme-challenge.{name}"), value, url));
        }
        found
    }

    /// Asks for an order or authorization until it is neither pending nor processing.
    pub(crate) async fn settled(&self, url: &str) -> Value {
        loop {
            let json = self.get(url).await.json();
            if !["pending", "processing"].contains(&json["status"].as_str().unwrap()) {
                return json;
            }
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn finalize(&self, order: &Value, csr: &[u8]) -> Reply {
        let csr = BASE64_URL_SAFE_NO_PAD.encode(csr);
        self.post(order["finalize"].as_str().unwrap(), &json!({ "csr": csr })).await
    }
}

/// The account's key as the key of a certificate, which it must not be.
impl rcgen::PublicKeyData for Client {
    fn der_bytes(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Client {
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &self.pkcs8, &random).unwrap();
        Ok(key.sign(&random, text).unwrap().as_ref().to_vec())
    }
}

/// A request for these names, and its key.
pub(crate) fn csr(names: &[&str]) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (csr_with(names, &key), key)
}

pub(crate) fn csr_with(names: &[&str], key: &impl rcgen::SigningKey) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(key).unwrap().der().to_vec()
}

pub(crate) const JOSE: &str = "application/jose+json";
