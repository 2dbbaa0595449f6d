//! Who one is to AWS: keys, the roles of machines and containers, and roles that one takes on.
//!
//! Sources: AWS SDKs and Tools Reference Guide, "Standardized credential providers"; Amazon EC2 User Guide, "Use
//! the Instance Metadata Service"; the service model of STS of 2011-06-15.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use perennial_core::{Clock, Timestamp};

use super::renewed::{Lease, Renewed};
use crate::{
    Error,
    signature::sigv4,
    vendor::{Authorize, Client, Credential, Fingerprint, Secrets},
};

mod builder;
pub use builder::AccessBuilder;

mod fault;
pub(crate) use fault::{Fault, explain};

mod machine;

mod partition;
pub(crate) use partition::Partition;

mod role;
pub use role::Role;

mod sts;

/// Where credentials come from, and the ones that are good now.
///
/// Those that end are renewed five minutes before they do, one renewal at a time. Share it: clones of the
/// [`Arc`] share what was fetched.
pub struct Access {
    provider: &'static str,
    region: String,
    origin: Origin,
    renewed: Renewed<sigv4::Credentials>,
    clock: Arc<dyn Clock>,
}

enum Origin {
    /// A role that somebody else's credentials let one take on.
    Assumed { role: Role, sts: Client },
    /// The agent beside a container: ECS, EKS Pod Identity.
    Container { client: Client, path: String },
    /// A key that somebody made.
    Fixed { id: Credential, secret: Credential, token: Option<Credential> },
    /// The metadata service of a machine (IMDSv2).
    Instance { client: Client },
    /// A role that a token of another identity provider lets one take on: EKS, any OpenID Connect.
    WebIdentity { role: Role, token: Credential, sts: Client },
}

impl Access {
    /// Starts with the kind of provider that errors name.
    pub fn builder(provider: &'static str) -> AccessBuilder {
        AccessBuilder::new(provider)
    }

    /// The region that it was told of.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The credentials that are good now.
    ///
    /// # Errors
    /// [`Error`] that says who did not hand them out, and what to check.
    pub async fn credentials(&self) -> Result<sigv4::Credentials, Error> {
        if let Origin::Fixed { id, secret, token } = &self.origin {
            let credentials = sigv4::Credentials::new(id.current().expose(), secret.current());
            return Ok(match token {
                Some(token) => credentials.with_session_token(token.current()),
                None => credentials,
            });
        }
        self.renewed.get(&*self.clock, self.fetch()).await
    }

    async fn fetch(&self) -> Result<Lease<sigv4::Credentials>, Error> {
        match &self.origin {
            Origin::Assumed { role, sts } => sts::assume_role(sts, role).await,
            Origin::Container { client, path } => machine::of_container(client, path).await,
            // Never asked: see above.
            Origin::Fixed { id, secret, .. } => {
                Ok(Lease::forever(sigv4::Credentials::new(id.current().expose(), secret.current())))
            }
            Origin::Instance { client } => machine::of_instance(self.provider, client).await,
            Origin::WebIdentity { role, token, sts } => sts::with_web_identity(sts, role, token).await,
        }
    }

    /// By whom its credentials are recognized, whatever they are just now.
    fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.origin {
            Origin::Assumed { role, sts } => sts.fingerprint().map(|who| who.and(role.distinguishes())),
            Origin::Container { client, path } => {
                Some(Fingerprint::of(["container", client.base_url(), path]))
            }
            Origin::Fixed { id, secret, token } => {
                let (id, secret) = (id.current(), secret.current());
                let who = Fingerprint::of([id.expose(), secret.expose()]);
                Some(token.as_ref().map_or(who, |token| who.and([token.current().expose()])))
            }
            Origin::Instance { client } => Some(Fingerprint::of(["instance", client.base_url()])),
            Origin::WebIdentity { role, sts, .. } => {
                Some(Fingerprint::of(["web identity", sts.base_url()]).and(role.distinguishes()))
            }
        }
    }

    /// Forgets what was handed out, because somebody did not accept it; whether another try is worth it.
    pub(crate) fn refused(&self) -> bool {
        self.renewed.refused(self.clock.now())
    }
}

/// Without the credentials.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.origin {
            Origin::Assumed { role, .. } => format!("role {}", role.arn),
            Origin::Container { .. } => "container".to_owned(),
            Origin::Fixed { .. } => "key".to_owned(),
            Origin::Instance { .. } => "instance".to_owned(),
            Origin::WebIdentity { role, .. } => format!("role {} with a web identity", role.arn),
        };
        f.debug_struct("Access")
            .field("provider", &self.provider)
            .field("origin", &origin)
            .finish_non_exhaustive()
    }
}

/// Signs the requests of one service with whatever credentials are good.
pub(crate) struct Signer {
    access: Arc<Access>,
    region: String,
    service: &'static str,
}

impl Signer {
    pub(crate) fn new(access: Arc<Access>, region: impl Into<String>, service: &'static str) -> Self {
        Self { access, region: region.into(), service }
    }
}

#[async_trait]
impl Authorize for Signer {
    async fn authorize(&self, request: &mut http::Request<Bytes>, now: Timestamp) -> Result<Secrets, Error> {
        let credentials = self.access.credentials().await?;
        let scope = sigv4::Scope { region: &self.region, service: self.service };
        sigv4::sign(request, &credentials, &scope, now).map_err(|_| Error::Auth {
            provider: self.access.provider.to_owned(),
            reason:
                "the access key id or the session token has a character that no header can carry; look for \
                     a line break where it is kept"
                    .to_owned(),
            fault: None,
        })?;
        let secrets = Secrets::of(credentials.secret_access_key);
        Ok(match credentials.session_token {
            Some(token) => secrets.and(token),
            None => secrets,
        })
    }

    fn refused(&self) -> bool {
        self.access.refused()
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        self.access.fingerprint()
    }

    fn signs_time(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
