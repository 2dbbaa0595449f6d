//! A little internet, and an issuer in it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_acme::ChallengeKind;
use perennial_core::{Clock, DomainName, HttpClient, HttpError, ReqwestClient, SecretString, SystemClock};
use perennial_issuers::{AcmeIssuer, AcmeIssuerBuilder, Dns01, Error, Proof, Solver, Task};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssuedChain, Issuer as _, Journal, KeyAlgorithm, PrivateKey, Progress,
    SigningRequest,
};
use perennial_propagation::Checker;
use perennial_providers::{
    Action, Applied, Capabilities, Change, DnsProvider, Error as ProviderError, Options, Registry,
    WriteClass, Zone,
};
use perennial_testkit::{World, dns::Data};

pub(crate) const OWNER: &str = "_acme-challenge.app.site.example.com";
pub(crate) const NAMES: [&str; 2] = ["*.app.site.example.com", "app.site.example.com"];

pub(crate) async fn world() -> World {
    World::builder().zone("example.com").servers(2).build().await.unwrap()
}

pub(crate) fn provider(world: &World) -> Arc<dyn DnsProvider> {
    let options = Options::new()
        .with("server", world.primary().to_string())
        .with("key-name", world.tsig().name.to_string())
        .with("algorithm", world.tsig().algorithm.to_string())
        .with("secret", SecretString::new(world.tsig().secret_base64.as_str()));
    Registry::standard().create("rfc2136", &options).unwrap()
}

pub(crate) fn checker(world: &World) -> Checker {
    Checker::builder()
        .nameservers([world.resolver().to_string().parse().unwrap()])
        .authoritative_port(world.authoritative_port())
        .build()
        .unwrap()
}

pub(crate) fn builder(world: &World) -> AcmeIssuerBuilder {
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build().unwrap();
    AcmeIssuer::builder(world.ca().directory_url()).http(Arc::new(http)).agree_to_terms()
}

pub(crate) fn dns01(world: &World) -> Dns01 {
    Dns01::new(provider(world)).checker(checker(world))
}

pub(crate) fn issuer(world: &World) -> AcmeIssuer {
    builder(world).solver(dns01(world)).build().unwrap()
}

pub(crate) fn spec() -> CertificateSpec {
    CertificateSpec::new("site", NAMES).unwrap()
}

pub(crate) fn request() -> SigningRequest {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    SigningRequest::new("site".parse().unwrap(), spec().names().to_vec(), &key).unwrap()
}

pub(crate) async fn journal() -> Journal {
    Journal::in_memory(spec(), Arc::new(SystemClock::new()) as Arc<dyn Clock>).await.unwrap()
}

/// One issuance with a journal of its own.
pub(crate) async fn issue(issuer: &AcmeIssuer) -> Result<IssuedChain, IssueError> {
    issuer.issue(&request(), &journal().await).await
}

/// A provider that does what another does, but for some changes.
struct Stubborn {
    inner: Arc<dyn DnsProvider>,
    balks_at: fn(&Change) -> bool,
    how: Balking,
}

enum Balking {
    /// Never returns.
    Hangs,
    /// Says no.
    Refuses,
}

#[async_trait]
impl DnsProvider for Stubborn {
    fn kind(&self) -> &str {
        self.inner.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
        self.inner.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        if changes.iter().any(self.balks_at) {
            match self.how {
                Balking::Hangs => std::future::pending::<()>().await,
                Balking::Refuses => {
                    let reason = "it does not feel like it".to_owned();
                    return Err(ProviderError::Permission {
                        provider: "stubborn".to_owned(),
                        reason,
                        fault: None,
                    });
                }
            }
        }
        self.inner.apply(zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
        self.inner.values(zone, name).await
    }
}

pub(crate) fn stubborn(world: &World, refuses: fn(&Change) -> bool) -> Dns01 {
    let provider = Stubborn { inner: provider(world), balks_at: refuses, how: Balking::Refuses };
    Dns01::new(Arc::new(provider)).checker(checker(world)).timeout(Duration::from_secs(30))
}

pub(crate) fn hanging(inner: Arc<dyn DnsProvider>, hangs: fn(&Change) -> bool) -> Dns01 {
    Dns01::new(Arc::new(Stubborn { inner, balks_at: hangs, how: Balking::Hangs }))
}

/// A provider that writes into the zone of a world whatever the name: its primary lets us change challenge names alone.
struct Direct(perennial_testkit::dns::Zone);

#[async_trait]
impl DnsProvider for Direct {
    fn kind(&self) -> &str {
        "direct"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::AtomicValue).batch_max(usize::MAX)
    }

    async fn zone(&self, _: &DomainName) -> Result<Zone, ProviderError> {
        Ok(Zone::new(self.0.origin().trim_end_matches('.').parse().unwrap()))
    }

    async fn apply(&self, _: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        for Change { action, name, value, .. } in changes {
            let data = Data::txt(value.as_str());
            match action {
                Action::Add => self.0.add(name.as_str(), data).unwrap(),
                Action::Remove => self.0.remove(name.as_str(), &data).unwrap(),
            }
        }
        Ok(Applied::new(Vec::new()))
    }

    async fn values(&self, _: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
        Ok(self.0.txt_values(name.as_str()))
    }
}

pub(crate) fn direct(world: &World) -> Arc<dyn DnsProvider> {
    Arc::new(Direct(world.zone().clone()))
}

/// A provider that can set a record and not say what is there, as hooks are.
struct Hooked(Arc<dyn DnsProvider>);

#[async_trait]
impl DnsProvider for Hooked {
    fn kind(&self) -> &str {
        "hook"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
        self.0.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        self.0.apply(zone, changes).await
    }

    async fn values(&self, _: &Zone, _: &DomainName) -> Result<Vec<String>, ProviderError> {
        let (provider, reason) = ("hook".to_owned(), "it cannot be asked".to_owned());
        Err(ProviderError::Unsupported { provider, reason, fault: None })
    }
}

pub(crate) fn hooked(inner: Arc<dyn DnsProvider>) -> Arc<dyn DnsProvider> {
    Arc::new(Hooked(inner))
}

/// Counts the batches that reach a provider.
pub(crate) struct Counted(Arc<dyn DnsProvider>, Arc<Mutex<Vec<usize>>>);

#[async_trait]
impl DnsProvider for Counted {
    fn kind(&self) -> &str {
        self.0.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
        self.0.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        self.1.lock().unwrap().push(changes.len());
        self.0.apply(zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
        self.0.values(zone, name).await
    }
}

pub(crate) fn counted(inner: Arc<dyn DnsProvider>, batches: &Arc<Mutex<Vec<usize>>>) -> Counted {
    Counted(inner, batches.clone())
}

/// Solvers of other kinds, which fail when they are used.
macro_rules! no_solver {
    ($name:ident, $kind:expr) => {
        pub(crate) struct $name;

        #[async_trait]
        impl Solver for $name {
            fn kind(&self) -> ChallengeKind {
                $kind
            }

            fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
                Ok(Proof::new(&self.kind(), task.name.clone(), "nowhere", "nothing"))
            }

            async fn present(&self, _: &[Proof]) -> Result<(), Error> {
                Err(Error::Configuration { reason: "it was used".to_owned() })
            }

            async fn wait(&self, _: &[Proof], _: Duration) -> Result<(), Error> {
                Ok(())
            }

            async fn clean_up(&self, _: &[Proof]) -> Result<(), Error> {
                Ok(())
            }
        }
    };
}
no_solver!(NoDns01, ChallengeKind::Dns01);
no_solver!(NoHttp01, ChallengeKind::Http01);
no_solver!(NoTlsAlpn01, ChallengeKind::TlsAlpn01);

/// An HTTP client that breaks its contract: no answer, and no end.
pub(crate) struct Silence;

#[async_trait]
impl HttpClient for Silence {
    async fn send(&self, _: http::Request<bytes::Bytes>) -> Result<http::Response<bytes::Bytes>, HttpError> {
        std::future::pending().await
    }
}

/// Something on record that has to be removed from there.
pub(crate) fn debt(at: &str, kind: &str) -> Progress {
    let name: DomainName = "app.site.example.com".parse().unwrap();
    let proof = Proof::new(&ChallengeKind::from(kind), name, at, "v");
    Progress::encode(&proof).unwrap()
}

/// The message and class of an error, for those who build one by hand.
pub(crate) fn build_error(builder: AcmeIssuerBuilder) -> Error {
    builder.build().err().unwrap()
}
