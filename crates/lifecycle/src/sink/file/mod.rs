//! A directory for each certificate.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use perennial_core::{Retry, SecretString};

use super::{Deposit, Shipment, Sink, SinkError};
use crate::{CertificateId, Found, OutputFormat, durable, output::PemSet};

/// Delivers to a directory for each certificate, `ROOT/ID/`, as the four PEM files that servers read.
///
/// What lies there already, such as certbot's `live/ID/`, is [taken over](Sink::stored) if it is what a spec wishes for.
/// Each file is replaced atomically, the key first. A server that must never see a new key beside an old
/// certificate reads the `current` link of a [`FileStore`](crate::FileStore) instead.
#[derive(Clone, Debug)]
pub struct FileSink {
    root: PathBuf,
}

impl FileSink {
    /// Delivers below this directory, which is made when it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a certificate is delivered to.
    #[must_use]
    pub fn directory(&self, id: &CertificateId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// File work on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        shipment: &Shipment,
        work: impl FnOnce(PathBuf, PemSet) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        if !self.takes(shipment.format) {
            let message =
                format!("a directory holds no {}: ask for PEM, or for another sink", shipment.format);
            return Err(SinkError::new(message, Retry::Never));
        }
        let (directory, files) = (self.directory(&shipment.id), shipment.issued.pem_set());
        let done = tokio::task::spawn_blocking(move || work(directory, files)).await;
        done.unwrap_or_else(|error| Err(SinkError::new(error.to_string(), Retry::Backoff)))
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn deliver(&self, shipment: &Shipment) -> Result<(), SinkError> {
        self.blocking(shipment, |directory, files| {
            files.write_to(directory).map_err(|error| SinkError::new(error.to_string(), error.retry()))
        })
        .await
    }

    async fn stored(&self, id: &CertificateId, format: OutputFormat) -> Result<Option<Deposit>, SinkError> {
        if format != OutputFormat::Pem {
            return Ok(None);
        }
        let directory = self.directory(id);
        let read = tokio::task::spawn_blocking(move || read_pair(&directory)).await;
        read.unwrap_or_else(|error| Err(SinkError::new(error.to_string(), Retry::Backoff)))
    }

    async fn found(&self, shipment: &Shipment) -> Result<Found, SinkError> {
        self.blocking(shipment, |directory, files| {
            let mut found = Found::AsDelivered;
            let wanted =
                [("fullchain.pem", files.fullchain()), ("privkey.pem", files.private_key().expose())];
            for (name, wanted) in wanted {
                match durable::read(&directory.join(name)) {
                    Ok(Some(there)) if there == wanted.as_bytes() => {}
                    Ok(Some(_)) => return Ok(Found::Overwritten),
                    Ok(None) => found = Found::Gone,
                    Err(error) => return Err(SinkError::new(error.to_string(), error.retry())),
                }
            }
            Ok(found)
        })
        .await
    }

    fn takes(&self, format: OutputFormat) -> bool {
        format == OutputFormat::Pem
    }
}

/// The chain and the key in a directory, if both are there and are text.
fn read_pair(directory: &Path) -> Result<Option<Deposit>, SinkError> {
    let read = |name: &str| {
        let bytes = durable::read_at_most(&directory.join(name), LARGEST)
            .map_err(|error| SinkError::new(error.to_string(), error.retry()))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    let (key, chain) = (read("privkey.pem")?.map(SecretString::new), read("fullchain.pem")?);
    Ok(chain.zip(key).map(|(chain, key)| Deposit::new(chain, key)))
}

/// A chain has some ten kilobytes; whoever may write there must not fill our memory.
const LARGEST: u64 = 256 * 1024;
