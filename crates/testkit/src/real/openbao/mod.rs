//! OpenBao, the secrets server that was Vault, with its certificate authority and the doors to it.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Components, Error, Tool,
    identity::{Identity, unanswered},
    launch,
    port::Port,
};
use crate::ChildGuard;

mod doors;
pub use doors::AppRole;

mod pki;

mod token_review;
pub use token_review::TokenReview;

/// A running OpenBao on 127.0.0.1, initialized and unsealed, with nothing in it; stopped when dropped.
///
/// It keeps what it is told in memory. Tests that share one take a mount each.
#[derive(Debug)]
pub struct Openbao {
    guard: ChildGuard,
    port: Port,
    identity: Identity,
    root_token: String,
    unseal_key: String,
    _directory: TempDir,
}

impl Openbao {
    /// Starts the server, makes its keys and unseals it.
    ///
    /// # Errors
    /// [`Error::Missing`] without OpenBao; otherwise what its log says.
    pub async fn start() -> Result<Self, Error> {
        let components = Components::locate();
        let mut log = String::new();
        for _ in 0..launch::ATTEMPTS {
            let mut server = Self::spawn(&components)?;
            let (identity, port) = (server.identity.clone(), server.port.number());
            let probe = || async {
                let health = http::Request::get("/v1/sys/health").body(Full::default());
                identity.exchange(port, health).await.is_ok()
            };
            if launch::becomes_ready(&mut server.guard, probe).await? {
                server.initialize().await?;
                return Ok(server);
            }
            log = server.log();
        }
        Err(Error::PortsTaken { program: "bao", attempts: launch::ATTEMPTS, log })
    }

    /// `https://127.0.0.1:` and its port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    /// The root certificate, in PEM, that a client must trust to speak with it over HTTPS.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.identity.root_pem
    }

    /// A token that may do everything.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }

    /// Seals it: it forgets the key to all that it keeps, and answers nothing before it is unsealed.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn seal(&self) -> Result<(), Error> {
        self.write("sys/seal", json!({})).await.map(drop)
    }

    /// Unseals it again.
    ///
    /// # Errors
    /// [`Error::Answer`] with what it says.
    pub async fn unseal(&self) -> Result<(), Error> {
        let status = self.write("sys/unseal", json!({ "key": self.unseal_key })).await?;
        match status["sealed"].as_bool() {
            Some(false) => Ok(()),
            _ => Err(self.unanswered("sys/unseal", status)),
        }
    }

    /// Writes to a path below `/v1/` with the root token; the whole answer, `null` where there is none.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer with success.
    pub async fn write(&self, path: &str, body: Value) -> Result<Value, Error> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// Reads a path below `/v1/` with the root token.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer with success.
    pub async fn read(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, &[], None).await
    }

    /// Deletes a path below `/v1/` with the root token.
    ///
    /// # Errors
    /// [`Error::Answer`] when it does not answer with success.
    pub async fn delete(&self, path: &str) -> Result<(), Error> {
        self.call(Method::DELETE, path, &[], None).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, Error> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let uri = format!("/v1/{path}");
        let request = http::Request::builder().method(method).uri(uri);
        let request = request.header("x-vault-token", &self.root_token);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = self.identity.exchange(self.port.number(), request.body(Full::new(body))).await?;
        let status = response.status();
        let text = String::from_utf8_lossy(response.body()).into_owned();
        match serde_json::from_str(&text) {
            Ok(value) if status.is_success() => Ok(value),
            Err(_) if status == StatusCode::NO_CONTENT => Ok(Value::Null),
            _ => Err(self.unanswered(path, format!("{status}: {text}"))),
        }
    }

    fn unanswered(&self, path: &str, reason: impl std::fmt::Display) -> Error {
        unanswered(self.port.number(), path, reason)
    }

    /// One key, of which one share is enough: there is one operator.
    async fn initialize(&mut self) -> Result<(), Error> {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = self.call(Method::PUT, "sys/init", &[], Some(shares)).await?;
        self.root_token = self.text(&made["root_token"], "sys/init")?;
        self.unseal_key = self.text(&made["keys"][0], "sys/init")?;
        self.unseal().await
    }

    /// A field of an answer that has to be there.
    fn text(&self, field: &Value, path: &str) -> Result<String, Error> {
        let missing = || self.unanswered(path, "a field of the answer is missing");
        field.as_str().map(str::to_owned).ok_or_else(missing)
    }

    fn spawn(components: &Components) -> Result<Self, Error> {
        let component = components.find(Tool::Openbao)?;
        let port = Port::free(Ipv4Addr::LOCALHOST.into())?;
        let directory = launch::directory()?;
        let home = directory.path();
        let identity = Identity::create(home)?;
        let url = format!("https://127.0.0.1:{}", port.number());
        let configuration = json!({
            "storage": { "inmem": {} },
            "listener": { "tcp": {
                "address": format!("127.0.0.1:{}", port.number()),
                "tls_cert_file": home.join("certificate.pem"),
                "tls_key_file": home.join("key.pem"),
            } },
            "api_addr": url,
        });
        let file = home.join("openbao.json");
        launch::write(&file, &configuration.to_string())?;
        let mut command = component.command();
        command.arg("server").arg("-config").arg(file).env("HOME", home);
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        let (root_token, unseal_key) = (String::new(), String::new());
        Ok(Self { guard, port, identity, root_token, unseal_key, _directory: directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    #[tokio::test]
    async fn it_signs_and_can_be_sealed_and_unsealed() {
        let Some(_) = require(&[Tool::Openbao]) else { return };
        let openbao = Openbao::start().await.unwrap();
        let root = openbao.pki("pki").await.unwrap();
        assert!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");
        openbao.seal().await.unwrap();
        let error = openbao.read("pki/ca_chain").await.unwrap_err().to_string();
        assert!(error.contains("Vault is sealed"), "{error}");
        openbao.unseal().await.unwrap();
        assert!(openbao.read("pki/cert/ca_chain").await.is_ok());
    }
}
