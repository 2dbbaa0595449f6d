//! The ways to a token.

use std::path::{Path, PathBuf};

use perennial_core::{SecretError, SecretString};

/// A secret: the text itself, or where it is. What is in a file or variable is read each time it is needed, so that
/// whoever rotates it need not restart anything.
#[derive(Clone)]
pub struct VaultSecret(Source);

#[derive(Clone)]
enum Source {
    Environment(String),
    File(PathBuf),
    Value(SecretString),
}

impl VaultSecret {
    /// What an environment variable holds, such as `VAULT_TOKEN` or `BAO_TOKEN`.
    #[must_use]
    pub fn env(variable: impl Into<String>) -> Self {
        Self(Source::Environment(variable.into()))
    }

    /// What a file holds, white space at both ends dropped: what an agent or a mounted secret writes.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Source::File(path.as_ref().to_owned()))
    }

    pub(super) fn read(&self) -> Result<SecretString, SecretError> {
        match &self.0 {
            Source::Environment(variable) => SecretString::from_env(variable),
            Source::File(path) => SecretString::from_file(path),
            Source::Value(value) => Ok(value.clone()),
        }
    }

    /// Whether it can be another one next time.
    const fn can_change(&self) -> bool {
        matches!(self.0, Source::File(_))
    }
}

impl<T: Into<SecretString>> From<T> for VaultSecret {
    fn from(value: T) -> Self {
        Self(Source::Value(value.into()))
    }
}

/// How to come by a token.
///
/// ```
/// use perennial_issuers::vault::{VaultAuth, VaultSecret};
///
/// let by_role = VaultAuth::app_role("6a8d9023-…", VaultSecret::file("/run/secrets/secret-id"));
/// let in_a_cluster = VaultAuth::kubernetes("web").mount("kubernetes/prod");
/// # let _ = (by_role, in_a_cluster);
/// ```
#[derive(Clone)]
pub struct VaultAuth {
    pub(super) method: Method,
    mount: String,
}

#[derive(Clone)]
pub(super) enum Method {
    AppRole {
        role_id: VaultSecret,
        secret_id: VaultSecret,
        /// Whether the secret is the token of an envelope.
        wrapped: bool,
    },
    Certificate {
        role: Option<String>,
    },
    Kubernetes {
        role: String,
        jwt: VaultSecret,
    },
    Token(VaultSecret),
}

impl VaultAuth {
    /// A role for programs: who it is, and what proves it. Each login uses the secret once; one login serves for as
    /// long as its token can be renewed.
    #[must_use]
    pub fn app_role(role_id: impl Into<VaultSecret>, secret_id: impl Into<VaultSecret>) -> Self {
        let (role_id, secret_id) = (role_id.into(), secret_id.into());
        Self::new(Method::AppRole { role_id, secret_id, wrapped: false }, "approle")
    }

    /// The same with a secret that was handed out in an envelope, which opens once (response wrapping): the token
    /// that opens it. What was in it is kept in memory alone; a new process needs a new envelope.
    #[must_use]
    pub fn app_role_wrapped(role_id: impl Into<VaultSecret>, token: impl Into<VaultSecret>) -> Self {
        let (role_id, secret_id) = (role_id.into(), token.into());
        Self::new(Method::AppRole { role_id, secret_id, wrapped: true }, "approle")
    }

    /// The certificate that the HTTP client shows
    /// ([`client_identity_pem`](perennial_core::http::ReqwestClientBuilder::client_identity_pem)).
    #[must_use]
    pub fn certificate() -> Self {
        Self::new(Method::Certificate { role: None }, "cert")
    }

    /// The service account of the pod that this runs in, as a role of Vault's. Its token is read again at each
    /// login from where a cluster puts it: `/var/run/secrets/kubernetes.io/serviceaccount/token`.
    #[must_use]
    pub fn kubernetes(role: impl Into<String>) -> Self {
        Self::new(
            Method::Kubernetes { role: role.into(), jwt: VaultSecret::file(SERVICE_ACCOUNT) },
            "kubernetes",
        )
    }

    /// A token that somebody else has made. It is renewed if it can be; a [file](VaultSecret::file) is read again
    /// each time, for it may be an agent that writes it.
    #[must_use]
    pub fn token(token: impl Into<VaultSecret>) -> Self {
        Self::new(Method::Token(token.into()), "token")
    }

    fn new(method: Method, mount: &str) -> Self {
        Self { method, mount: mount.to_owned() }
    }

    pub(super) fn mounted_at(&self) -> &str {
        &self.mount
    }

    /// Whether another login can give another token.
    pub(super) const fn logs_in_again(&self) -> bool {
        match &self.method {
            Method::Token(token) => token.can_change(),
            _ => true,
        }
    }

    /// What to look at when we are not let in.
    pub(super) const fn remedy(&self) -> &'static str {
        match self.method {
            Method::AppRole { wrapped: false, .. } => {
                "see role and secret identifier, and whether the secret has been used up or has ended"
            }
            Method::AppRole { wrapped: true, .. } => {
                "an envelope opens once and not for long: hand out another one if this one was opened or has ended"
            }
            Method::Certificate { .. } => {
                "see that the HTTP client shows a certificate, and that the mount trusts who signed it"
            }
            Method::Kubernetes { .. } => {
                "see that the role allows this service account and namespace, and the audience of its token"
            }
            Method::Token(_) => "give another token",
        }
    }

    /// Another file with the service account's token, such as a projected one for the audience that the role names.
    /// It changes nothing for other ways than [`kubernetes`](Self::kubernetes).
    #[must_use]
    pub fn jwt_file(mut self, path: impl AsRef<Path>) -> Self {
        if let Method::Kubernetes { jwt, .. } = &mut self.method {
            *jwt = VaultSecret::file(path);
        }
        self
    }

    /// Where the way is mounted below `auth/`. Default: `approle`, `cert`, `kubernetes`.
    #[must_use]
    pub fn mount(mut self, mount: impl Into<String>) -> Self {
        self.mount = mount.into();
        self
    }

    /// Which of the roles of the mount, if the certificate fits several. It changes nothing for other ways than
    /// [`certificate`](Self::certificate).
    #[must_use]
    pub fn certificate_role(mut self, name: impl Into<String>) -> Self {
        if let Method::Certificate { role } = &mut self.method {
            *role = Some(name.into());
        }
        self
    }
}

/// Where a cluster puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
