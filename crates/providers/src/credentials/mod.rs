//! Who one is to a vendor that does not take a plain token: access that is handed out for a while, and renewed.
//!
//! | module | where it comes from |
//! |---|---|
//! | [`aws`] | a key, the role of a machine or container, a role that one takes on |
//! | [`azure`] | a client secret, a managed identity, a workload identity |
//! | [`google`] | a service account's key, the metadata server, a federated workload, an account to act as |
//! | [`ovh`] | a consumer key, a service account |
//!
//! Each has an `Access` that keeps what is good, renews it before its end, one renewal at a time, and says in an
//! error who did not hand it out and what to check. Every endpoint can be another.

use std::sync::Arc;
#[cfg(feature = "reqwest")]
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use perennial_core::{HttpClient, SecretError, SecretString};

use crate::{ConfigError, Error, vendor::Secrets};

pub mod aws;

pub mod azure;

#[cfg(test)]
mod desk;

mod form;

pub mod google;

mod oauth;

pub mod ovh;

mod quiet;

mod renewed;

/// Setters that the builders of access have, by their names.
macro_rules! setters {
    ($builder:ident: $($setter:ident),+) => {
        impl $builder {
            $($crate::credentials::setters!(@ $setter);)+
        }
    };
    (@ clock) => {
        /// Whose time it is; the operating system's by default.
        pub fn clock(mut self, clock: std::sync::Arc<dyn perennial_core::Clock>) -> Self {
            self.clock = clock;
            self
        }
    };
    (@ http) => {
        /// Who carries the requests to those who hand access out. Default: reqwest, https only.
        pub fn http(mut self, client: std::sync::Arc<dyn perennial_core::HttpClient>) -> Self {
            self.http = Some(client);
            self
        }
    };
    (@ metadata_http) => {
        /// Who carries the requests to the services beside the machine. Default: reqwest without a proxy, plain
        /// http to link-local and loopback addresses and to those services alone.
        pub fn metadata_http(mut self, client: std::sync::Arc<dyn perennial_core::HttpClient>) -> Self {
            self.metadata_http = Some(client);
            self
        }
    };
}
use setters;

/// Who knows environment variables: the process, or a test.
type Variables<'v> = &'v dyn Fn(&str) -> Result<SecretString, SecretError>;

/// The process's own.
fn environment(variable: &str) -> Result<SecretString, SecretError> {
    SecretString::from_env(variable)
}

/// The value of a variable. An empty one is an absent one: shells and container platforms make no difference.
fn variable(
    variables: Variables<'_>,
    provider: &str,
    name: &str,
) -> Result<Option<SecretString>, ConfigError> {
    match variables(name) {
        Ok(value) => Ok(Some(value)),
        Err(SecretError::VariableMissing { .. } | SecretError::Empty { .. }) => Ok(None),
        Err(reason) => {
            Err(ConfigError::Secret { provider: provider.to_owned(), option: name.to_owned(), reason })
        }
    }
}

/// Puts an access token into a request (RFC 6750 §2.1).
fn bearer(provider: &str, request: &mut Request<Bytes>, token: SecretString) -> Result<Secrets, Error> {
    let text = SecretString::new(["Bearer ", token.expose()].concat());
    let mut value = HeaderValue::from_str(text.expose()).map_err(|_| Error::Auth {
        provider: provider.to_owned(),
        reason: "the access token that was handed out has a character that no header can carry".to_owned(),
        fault: None,
    })?;
    value.set_sensitive(true);
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(Secrets::of(token))
}

/// Who asks the services beside a machine: without a proxy, and without much patience, since they are either near
/// or not there at all.
#[cfg(feature = "reqwest")]
fn metadata_client(provider: &str) -> Result<Arc<dyn HttpClient>, Error> {
    let client = perennial_core::ReqwestClient::builder()
        .metadata_services()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(10))
        .build();
    let client = client.map_err(|error| Error::Network {
        provider: provider.to_owned(),
        server: "the metadata service".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Arc::new(client))
}

#[cfg(not(feature = "reqwest"))]
fn metadata_client(provider: &str) -> Result<Arc<dyn HttpClient>, Error> {
    Err(ConfigError::MissingOption {
        provider: provider.to_owned(),
        option: "metadata-http".to_owned(),
        meaning:
            "who asks the services beside the machine; give an HttpClient, or turn on the feature `reqwest`"
                .to_owned(),
    }
    .into())
}
