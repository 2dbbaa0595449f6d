//! A directory for each certificate.

use std::{fmt, path::PathBuf};

use async_trait::async_trait;
use perennial_core::{Retry, SecretString};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{Deposit, Shipment, Sink, SinkError};
use crate::{
    CertificateId, Found, OutputFormat, StoreError,
    durable::{self, Disk},
    output::{CertifiedKey, Jks, OutputError, Pkcs12, encode_pem},
    trust::TrustBundle,
};

mod access;
use access::{Access, Resolved};

mod form;
use form::{FormFile, Forms};

mod shelf;
use shelf::Shelf;

/// Delivers to a directory for each certificate, `ROOT/ID/`.
///
/// | form | files |
/// |---|---|
/// | [`Pem`](OutputFormat::Pem) | `cert.pem`, `chain.pem`, `fullchain.pem`, `privkey.pem`, and `ca.pem` |
/// | [`CombinedPem`](OutputFormat::CombinedPem) | `combined.pem` |
/// | [`Der`](OutputFormat::Der) | `cert.der`, `key.der` |
/// | [`Pkcs12`](OutputFormat::Pkcs12) | `keystore.p12`, and `truststore.p12`; [with a password](Self::pkcs12) |
/// | [`Jks`](OutputFormat::Jks) | `keystore.jks`, and `truststore.jks`; [with a password](Self::jks) |
/// | [`KubernetesSecret`](OutputFormat::KubernetesSecret) | `secret.json` |
///
/// `ca.pem`, the trust stores, and `ca.crt` in a secret hold the [anchors](Self::anchors), or else the chain's own root;
/// where there is neither, they are not there: an intermediate is nothing to be trusted for its own sake.
///
/// All files of a form change in one step: they are links into the generation that is seen, and one link flips. The
/// generation before is kept beside it ([`roll_back`](Self::roll_back)). Whatever fails, what was there goes on being
/// there.
///
/// What lies there already, such as certbot's `live/ID/`, is [taken over](Sink::stored) if it is what a spec wishes for:
/// PEM, combined PEM, PKCS#12 and JKS. Of DER there is no chain, and a manifest is no place that serves.
#[derive(Clone)]
pub struct FileSink {
    root: PathBuf,
    access: Access,
    forms: Forms,
    disk: Disk,
}

impl FileSink {
    /// Delivers below this directory, which is made when it is needed.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), access: Access::default(), forms: Forms::default(), disk: Disk::default() }
    }

    /// What is trusted with the certificates: the content of `ca.pem`, of trust stores and of `ca.crt`. Default: the root
    /// that a chain brings along.
    #[must_use]
    pub fn anchors(mut self, anchors: TrustBundle) -> Self {
        self.forms.anchors = Some(anchors);
        self
    }

    /// The mode of a certificate's directory, and of what lies in it. Default: 0700, and 0750 with a
    /// [group](Self::group); directories that are there already keep theirs unless it, an owner or a group is said.
    #[must_use]
    pub const fn directory_mode(mut self, mode: u32) -> Self {
        self.access.directory_mode = Some(mode);
        self
    }

    /// Which group may read the keys, by name or number. Default: the process's own, which may not.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.access.group = Some(group.into());
        self
    }

    /// How Java key stores are made. Default: no wish for one is taken, for lack of a password.
    #[must_use]
    pub fn jks(mut self, jks: Jks) -> Self {
        self.forms.jks = Some(jks);
        self
    }

    /// The mode of files with a key in them. Default: 0600, and 0640 with a [group](Self::group).
    #[must_use]
    pub const fn key_mode(mut self, mode: u32) -> Self {
        self.access.private_mode = Some(mode);
        self
    }

    /// The namespace that manifests name. Default: none, so that it is whichever `kubectl` is told.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.forms.namespace = Some(namespace.into());
        self
    }

    /// Whose the files are, by name or number: only a process of root may give files away. Default: the process's own.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.access.owner = Some(owner.into());
        self
    }

    /// How PKCS#12 files are made. Default: no wish for one is taken, for lack of a password.
    #[must_use]
    pub fn pkcs12(mut self, pkcs12: Pkcs12) -> Self {
        self.forms.pkcs12 = Some(pkcs12);
        self
    }

    /// The mode of files without a key in them. Default: 0644.
    #[must_use]
    pub const fn public_mode(mut self, mode: u32) -> Self {
        self.access.public_mode = Some(mode);
        self
    }

    /// A disk that fails when it is told to.
    #[cfg(test)]
    pub(crate) fn on(mut self, disk: Disk) -> Self {
        self.disk = disk;
        self
    }

    /// Where a certificate is delivered to.
    #[must_use]
    pub fn directory(&self, id: &CertificateId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Goes back to the generation before, in one step, and says whether there is one. Called again it goes forward again.
    /// A keeper leaves it so until there is a certificate that was not delivered yet.
    ///
    /// # Errors
    /// [`SinkError`] when the links cannot be changed.
    pub async fn roll_back(&self, id: &CertificateId, format: OutputFormat) -> Result<bool, SinkError> {
        let (sink, directory) = (self.clone(), self.directory(id));
        blocking(move || Ok(Shelf { disk: &sink.disk, directory, format }.roll_back()?)).await
    }

    /// File work on a thread that may block, with the files that are wanted: made before anything is touched.
    async fn with_files<T: Send + 'static>(
        &self,
        shipment: &Shipment,
        work: impl FnOnce(&Self, &Shelf<'_>, &[FormFile]) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let (sink, shipment) = (self.clone(), shipment.clone());
        blocking(move || {
            let Shipment { id, format, template, issued } = &shipment;
            let key = CertifiedKey::new(issued.chain_pem(), issued.private_key_pem())?;
            let files = sink.forms.files((id, *format), template, &key)?.ok_or_else(|| {
                let message =
                    format!("this directory takes no {format}: give it a password, or ask for another form");
                SinkError::new(message, Retry::Never)
            })?;
            let shelf = Shelf { disk: &sink.disk, directory: sink.directory(id), format: *format };
            work(&sink, &shelf, &files)
        })
        .await
    }

    fn resolved(&self) -> Result<Resolved, SinkError> {
        self.access.resolved()
    }

    /// What lies in a directory of a form, if it is there and can be one.
    fn deposit(&self, id: &CertificateId, format: OutputFormat) -> Result<Option<Deposit>, SinkError> {
        let directory = self.directory(id);
        let read = |name: &str| durable::read_at_most(&directory.join(name), LARGEST);
        let text = |name: &str| Ok::<_, StoreError>(read(name)?.and_then(|it| String::from_utf8(it).ok()));
        let of_store = |key: CertifiedKey| Deposit::new(key.chain_pem(), key.private_key_pem().clone());
        Ok(match (format, &self.forms.pkcs12, &self.forms.jks) {
            (OutputFormat::Pem, ..) => {
                let (key, chain) = (text(form::PRIVKEY)?, text(form::FULLCHAIN)?);
                chain.zip(key).map(|(chain, key)| Deposit::new(chain, SecretString::new(key)))
            }
            (OutputFormat::CombinedPem, ..) => text(form::COMBINED)?.and_then(|text| split(&text)),
            (OutputFormat::Pkcs12, Some(pkcs12), _) => {
                let bytes = read(form::KEYSTORE_P12)?;
                bytes.map(|bytes| pkcs12.read_key_store(&bytes)).transpose()?.map(of_store)
            }
            (OutputFormat::Jks, _, Some(jks)) => {
                let bytes = read(form::KEYSTORE_JKS)?;
                bytes.map(|bytes| jks.read_key_store(&bytes)).transpose()?.map(of_store)
            }
            _ => None,
        })
    }
}

impl fmt::Debug for FileSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { root, access, .. } = self;
        f.debug_struct("FileSink").field("root", root).field("access", access).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn deliver(&self, shipment: &Shipment) -> Result<(), SinkError> {
        self.with_files(shipment, |sink, shelf, files| {
            let access = sink.resolved()?;
            // The same once more must not push the one before out of its place.
            if shelf.is_shown(files) && shelf.found(files, &sink.forms)? == Found::AsDelivered {
                return Ok(shelf.give(files, &access)?);
            }
            Ok(shelf.place(files, &access)?)
        })
        .await
    }

    async fn stored(&self, id: &CertificateId, format: OutputFormat) -> Result<Option<Deposit>, SinkError> {
        let (sink, id) = (self.clone(), id.clone());
        blocking(move || sink.deposit(&id, format)).await
    }

    async fn found(&self, shipment: &Shipment) -> Result<Found, SinkError> {
        self.with_files(shipment, |sink, shelf, files| Ok(shelf.found(files, &sink.forms)?)).await
    }

    fn place(&self, id: &CertificateId) -> Option<PathBuf> {
        Some(self.directory(id))
    }

    fn takes(&self, format: OutputFormat) -> bool {
        self.forms.take(format)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SinkError> + Send + 'static,
) -> Result<T, SinkError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(SinkError::new(error.to_string(), Retry::Backoff)))
}

/// A text with a key of whatever form in it, and a chain.
fn split(text: &str) -> Option<Deposit> {
    let chain = CertificateDer::pem_slice_iter(text.as_bytes())
        .map(|der| Some(encode_pem("CERTIFICATE", &der.ok()?)));
    let chain: String = chain.collect::<Option<_>>()?;
    text.contains("PRIVATE KEY-----").then(|| Deposit::new(chain, SecretString::new(text)))
}

impl From<OutputError> for SinkError {
    fn from(error: OutputError) -> Self {
        Self::new(error.to_string(), error.retry())
    }
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> Self {
        Self::new(error.to_string(), error.retry())
    }
}

/// A chain has some ten kilobytes; whoever may write there must not fill our memory.
const LARGEST: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
