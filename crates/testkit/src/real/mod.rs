//! Real servers on loopback, each with its own directory, its own keys and its own ports.
//!
//! The rest of this crate is a world of our own making; these are the judges from outside it: BIND and Knot
//! as authoritative servers that take updates (RFC 2136), PowerDNS as one that is written to by its HTTP API,
//! NSD and a PowerDNS with zone files as some that take none, dnsdist before them where packets are to be late
//! or lost, unbound as the resolver, moto as a vendor's interface to write records by, Pebble as the certificate
//! authority (RFC 8555), OpenBao as one with an interface of its own; PostgreSQL as the store that processes
//! share. A fixture writes a configuration, starts the program, asks it something real until it answers, and
//! ends it when dropped.
//!
//! Which programs there are on this machine, [`Components`] knows; a test that needs some of them begins
//! with [`require`]:
//!
//! ```no_run
//! use perennial_testkit::real::{self, Bind, Tool};
//!
//! # async fn test() -> Result<(), real::Error> {
//! let Some(_components) = real::require(&[Tool::Named]) else { return Ok(()) };
//! let bind = Bind::builder().zone("example.test").start().await?;
//! assert!(bind.txt_values("_acme-challenge.example.test").await?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Outside a network namespace of one's own only 127.0.0.1 and free ports are to be had: BIND listens on
//! addresses that an interface bears, and port 53 is somebody else's.

mod ask;

mod bind;
pub use bind::{Bind, BindBuilder, Tsig};

mod certificate;

mod components;
pub use components::{Component, Components, Missing, Tool};

mod dnsdist;
pub use dnsdist::{Dnsdist, DnsdistBuilder};

mod dnssec;
pub use dnssec::{Signatures, SignedZone};

mod error;
pub use error::Error;

mod identity;

mod exchange;

mod knot;
pub use knot::{Knot, KnotBuilder};

mod launch;

mod moto;
pub use moto::{Moto, MotoRecordSet};

mod nginx;
pub use nginx::{Nginx, NginxBuilder};

mod nsd;
pub use nsd::{Nsd, NsdBuilder};

mod openbao;
pub use openbao::{AppRole, Openbao, TokenReview};

mod pdns;
pub use pdns::{Pdns, PdnsBuilder};

mod pdns_api;
pub use pdns_api::PdnsApi;

mod pebble;
pub use pebble::{CertificateStatus, Pebble, PebbleBuilder};

mod port;

#[cfg(unix)]
mod postgres;
#[cfg(unix)]
pub use postgres::{Postgres, PostgresBuilder};

mod require;
pub use require::{require, require_whole};

mod unbound;
pub use unbound::{Unbound, UnboundBuilder};

mod zone_file;
pub use zone_file::ZoneFile;
