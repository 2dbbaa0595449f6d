#![doc = include_str!("../README.md")]

pub use perennial_acme as acme;
pub use perennial_core as core;
pub use perennial_issuers as issuers;
pub use perennial_lifecycle as lifecycle;
#[cfg(feature = "postgres")]
pub use perennial_postgres as postgres;
pub use perennial_propagation as propagation;
pub use perennial_providers as providers;

#[doc(no_inline)]
pub use perennial_acme::directory;
#[doc(no_inline)]
pub use perennial_issuers::{
    AcmeIssuer, CaIssuer, CaSource, Dns01, DnsPersist01, Http01, HttpHook, Probe, SelfSignedIssuer,
    TlsAlpn01, VaultAuth, VaultIssuer, VaultSecret,
};
#[doc(no_inline)]
pub use perennial_lifecycle::{
    Certificate, CertificateId, CertificateSpec, CommandHook, FileSink, FileStore, KeyAlgorithm, MemoryStore,
    OutputFormat,
};

mod manager;
pub use manager::{Manager, ManagerBuilder};

pub mod rustls;

/// The guides: what they show compiles.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/caa.md")]
    struct Caa;
    #[doc = include_str!("../../../docs/guide/http-01.md")]
    struct Http01;
    #[cfg(feature = "metrics")]
    #[doc = include_str!("../../../docs/guide/metrics.md")]
    struct Metrics;
    #[cfg(unix)]
    #[doc = include_str!("../../../docs/guide/outputs.md")]
    struct Outputs;
    #[doc = include_str!("../../../docs/guide/vault.md")]
    struct Vault;
}
