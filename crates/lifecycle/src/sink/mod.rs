//! Where finished certificates are delivered to, beside the store.

use std::path::PathBuf;

use async_trait::async_trait;
use perennial_core::{Retry, SecretString};

use crate::{CertificateId, Found, Issued, IssuerName, OutputFormat, SecretTemplate};

mod file;
pub use file::FileSink;

/// A place that finished certificates are delivered to: files, secrets of a cluster, a load balancer.
///
/// # Contract
/// - `deliver` MUST be safe to call again with the same shipment: after a crash it is.
/// - What is there SHOULD be the old or the new certificate at every moment, with its own key. A place of several parts
///   that cannot change at once, as a directory of files, says so in its documentation, and puts the key first.
/// - Both return within a bounded time, and may be called at once for different certificates.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Puts a certificate there, replacing what was delivered before.
    ///
    /// # Errors
    /// [`SinkError`]; it is delivered again later.
    async fn deliver(&self, shipment: &Shipment) -> Result<(), SinkError>;

    /// What lies there of this certificate, whoever has put it there: then it can be taken over, and none need be
    /// ordered. What is not what is [wished for](crate::Keeper::adopt) stays there until another one is delivered; why
    /// it was not taken over is in the conditions until then. Unless a sink can read there is nothing.
    ///
    /// # Errors
    /// [`SinkError`] when it cannot be looked at now; one is ordered then.
    async fn stored(&self, id: &CertificateId, format: OutputFormat) -> Result<Option<Deposit>, SinkError> {
        let _ = (id, format);
        Ok(None)
    }

    /// What is there now of something that was delivered. Unless a sink can tell, it is as it was delivered.
    ///
    /// # Errors
    /// [`SinkError`] when it cannot be looked at now.
    async fn found(&self, shipment: &Shipment) -> Result<Found, SinkError> {
        let _ = shipment;
        Ok(Found::AsDelivered)
    }

    /// Where a certificate lies, for those who are told that it was delivered. Default: at no place that has a path.
    fn place(&self, id: &CertificateId) -> Option<PathBuf> {
        let _ = id;
        None
    }

    /// Whether it takes this form. A wish for one that it does not take is refused at once. Default: it takes all.
    fn takes(&self, format: OutputFormat) -> bool {
        let _ = format;
        true
    }
}

/// What is delivered.
#[derive(Clone)]
#[non_exhaustive]
pub struct Shipment {
    /// Which certificate.
    pub id: CertificateId,
    /// In what form.
    pub format: OutputFormat,
    /// What it is labelled with there.
    pub template: SecretTemplate,
    /// The certificate with its key.
    pub issued: Issued,
}

/// A certificate with its key, as a place holds it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Deposit {
    /// The PEM chain, leaf first.
    pub chain_pem: String,
    /// The private key in [PEM](crate::PrivateKey::from_pem), of whatever form others have left there.
    pub private_key_pem: SecretString,
    /// Who issued it, where the place knows, as a label of a cluster's secret does.
    pub issued_by: Option<IssuerName>,
}

impl Deposit {
    /// A certificate of which the place does not know who issued it.
    #[must_use]
    pub fn new(chain_pem: impl Into<String>, private_key_pem: SecretString) -> Self {
        Self { chain_pem: chain_pem.into(), private_key_pem, issued_by: None }
    }

    /// With the name of its issuer.
    #[must_use]
    pub fn issued_by(self, issuer: IssuerName) -> Self {
        Self { issued_by: Some(issuer), ..self }
    }
}

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct SinkError {
    /// What happened, naming the thing, the value and the remedy.
    pub message: String,
    retry: Retry,
}

impl SinkError {
    /// An error.
    #[must_use]
    pub fn new(message: impl Into<String>, retry: Retry) -> Self {
        Self { message: message.into(), retry }
    }

    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }
}
