//! The front door: a store, issuers, and certificates that keep coming back.

use std::sync::Arc;

use perennial_core::Clock;
use perennial_lifecycle::{
    Certificate, CertificateId, CertificateSpec, Error, Event, Issuer, IssuerName, Keeper, KeeperBuilder,
    ReloadHook, Sink, SpecError, Store, StoreError,
};

use crate::rustls::CertificateResolver;

/// Keeps certificates: obtains them, verifies them, stores them, and renews them for as long as it lives.
///
/// A thin layer over [`Keeper`]; [`keeper`](Self::keeper) gives it out for what is not said here. Cloning is
/// cheap. Use it within a tokio runtime.
///
/// ```
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// # let world = perennial_testkit::World::builder().zone("example.com").build().await?;
/// # let (issuer, directory) = example::issuer(&world)?;
/// use perennial::{CertificateSpec, FileStore, Manager};
///
/// let manager = Manager::builder(FileStore::open(directory.path())?).issuer("letsencrypt", issuer)?.build();
/// let certificate =
///     manager.keep(CertificateSpec::new("wildcard", ["*.example.com", "example.com"])?).await?;
/// let issued = certificate.ready().await?;
/// assert_eq!(issued.facts().names.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # mod example {
/// #     use std::sync::Arc;
/// #     use perennial::{AcmeIssuer, Dns01, core::{ReqwestClient, SecretString}, propagation::Checker, providers::{Options, Registry}};
/// #     type Fault = Box<dyn std::error::Error>;
/// #     pub fn issuer(world: &perennial_testkit::World) -> Result<(AcmeIssuer, tempfile::TempDir), Fault> {
/// #         let tsig = world.tsig();
/// #         let options = Options::new()
/// #             .with("server", world.primary().to_string())
/// #             .with("key-name", tsig.name.to_string())
/// #             .with("secret", SecretString::new(tsig.secret_base64.as_str()));
/// #         let checker = Checker::builder()
/// #             .nameservers(vec![world.resolver().to_string().parse()?])
/// #             .authoritative_port(world.authoritative_port())
/// #             .build()?;
/// #         let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build()?;
/// #         let issuer = AcmeIssuer::builder(world.ca().directory_url())
/// #             .agree_to_terms()
/// #             .http(Arc::new(http))
/// #             .solver(Dns01::new(Registry::standard().create("rfc2136", &options)?).checker(checker))
/// #             .build()?;
/// #         Ok((issuer, tempfile::tempdir()?))
/// #     }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Manager {
    keeper: Keeper,
    store: Arc<dyn Store>,
    /// The only issuer, if there is one only: specs that name none mean it.
    sole_issuer: Option<IssuerName>,
}

impl Manager {
    /// Starts a manager over a store, such as a [`FileStore`](crate::FileStore).
    pub fn builder(store: impl Store + 'static) -> ManagerBuilder {
        let store: Arc<dyn Store> = Arc::new(store);
        ManagerBuilder { keeper: Keeper::builder(store.clone()), store, issuers: Vec::new() }
    }

    /// Keeps a certificate from now on, and returns its handle at once.
    ///
    /// A spec that names no issuer means the only one there is. A certificate that the store holds already
    /// is taken up as it is: starting a program again costs no request at the CA.
    ///
    /// # Errors
    /// [`Error`] when the spec cannot work or cannot be written down.
    pub async fn keep(&self, spec: CertificateSpec) -> Result<Certificate, Error> {
        let spec = match &self.sole_issuer {
            Some(sole) if *spec.issuer_name() == IssuerName::default() => spec.issuer(sole.as_str())?,
            _ => spec,
        };
        self.keeper.keep(spec).await
    }

    /// Keeps a certificate no longer: see [`Keeper::remove`]. What was delivered stays where it is.
    ///
    /// # Errors
    /// [`Error`] when there is none, something that is owed for it cannot be paid, or another process works on it.
    pub async fn remove(&self, id: &CertificateId) -> Result<(), Error> {
        self.keeper.remove(id).await
    }

    /// All certificates of the store for TLS servers, as they are and as they are renewed: see
    /// [`CertificateResolver::follow_all`]. Names that none of them has are refused.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot say what it holds.
    pub async fn resolver(&self) -> Result<CertificateResolver, StoreError> {
        let resolver = CertificateResolver::new();
        resolver.follow_all(self).await?;
        Ok(resolver)
    }

    pub(crate) const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The keeper underneath.
    #[must_use]
    pub const fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Stops keeping, in good order: see [`Keeper::shut_down`]. What is under way is taken up at the next start.
    pub async fn shut_down(&self) {
        self.keeper.shut_down().await;
    }
}

/// Settings of a [`Manager`].
#[must_use = "a builder does nothing until `build`"]
pub struct ManagerBuilder {
    keeper: KeeperBuilder,
    store: Arc<dyn Store>,
    issuers: Vec<IssuerName>,
}

impl ManagerBuilder {
    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.keeper = self.keeper.clock(clock);
        self
    }

    /// Who is told when something was delivered to the place of this name: a server that has to read its files again.
    ///
    /// # Errors
    /// [`SpecError::Id`] when the name is malformed.
    pub fn hook(mut self, sink: &str, hook: impl ReloadHook + 'static) -> Result<Self, SpecError> {
        self.keeper = self.keeper.hook(sink.parse()?, Arc::new(hook));
        Ok(self)
    }

    /// An issuer, and the name that specs call it by.
    ///
    /// # Errors
    /// [`SpecError::Id`] when the name is malformed.
    pub fn issuer(mut self, name: &str, issuer: impl Issuer + 'static) -> Result<Self, SpecError> {
        let name: IssuerName = name.parse()?;
        self.issuers.push(name.clone());
        self.keeper = self.keeper.issuer(name, Arc::new(issuer));
        Ok(self)
    }

    /// Who is told what happens; repeatable. It is called between steps and must return quickly.
    pub fn observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.keeper = self.keeper.observer(observer);
        self
    }

    /// A place that certificates are delivered to, such as a [`FileSink`](crate::FileSink), and the name that specs call
    /// it by.
    ///
    /// # Errors
    /// [`SpecError::Id`] when the name is malformed.
    pub fn sink(mut self, name: &str, sink: impl Sink + 'static) -> Result<Self, SpecError> {
        self.keeper = self.keeper.sink(name.parse()?, Arc::new(sink));
        Ok(self)
    }

    /// Makes the manager. Nothing is sent yet.
    #[must_use]
    pub fn build(self) -> Manager {
        let sole_issuer = match self.issuers.as_slice() {
            [sole] => Some(sole.clone()),
            _ => None,
        };
        Manager { keeper: self.keeper.build(), store: self.store, sole_issuer }
    }
}
