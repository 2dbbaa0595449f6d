//! DNS provider clients that add and remove exactly one TXT value and leave its siblings alone.
//!
//! A certificate authority asks for a TXT record (RFC 8555 §8.4); who writes it is a [`DnsProvider`]. The
//! trait is a contract in prose, [`laws`] are the same contract as runnable checks, and a [`Registry`] makes
//! providers from names and options, those of other crates too.
//!
//! ```
//! use perennial_providers::{Change, DnsProvider, MemoryProvider};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let provider = MemoryProvider::new(["example.com".parse()?]);
//! let name = "_acme-challenge.www.example.com".parse()?;
//! let zone = provider.zone(&name).await?;
//!
//! let applied = provider.apply(&zone, &[Change::add(name.clone(), "value")]).await?;
//! assert_eq!(provider.values(&zone, &name).await?, ["value"]);
//!
//! // A receipt outlives the process: serialize it, and pay the debt after a crash.
//! for receipt in &applied.receipts {
//!     provider.apply(&receipt.zone, &[receipt.removal()]).await?;
//! }
//! assert!(provider.values(&zone, &name).await?.is_empty());
//! # Ok(()) }
//! ```
//!
//! | room | what is in it |
//! |---|---|
//! | [`DnsProvider`], [`Change`], [`Zone`], [`Applied`], [`Receipt`], [`TxtRecord`], [`Capabilities`] | the contract and its words |
//! | [`MemoryProvider`] | the contract kept in memory |
//! | [`akamai`], [`alidns`], [`azure`], [`bunny`], [`cloudflare`], [`desec`], [`digitalocean`], [`dnsimple`], [`dnspod`], [`duckdns`], [`gandi`], [`godaddy`], [`google`], [`hetzner`], [`infoblox`], [`inwx`], [`ionos`], [`linode`], [`namecheap`], [`netcup`], [`ns1`], [`ovh`], [`porkbun`], [`powerdns`], [`route53`], [`scaleway`], [`vultr`] | vendors and their interfaces |
//! | [`acme_dns`] | a server for challenges alone |
//! | [`exec`], [`httpreq`], [`webhook`] | a program or a web service of one's own |
//! | [`rfc2136`] | dynamic updates signed with TSIG (RFC 2136, RFC 8945) |
//! | [`Guarded`] | any provider, kept to some zones and names |
//! | [`Registry`], [`Options`] | providers by name |
//! | [`engine`] | many changes in few writes, and what stands between the contract and a vendor's interface |
//! | [`vendor`] | a client for vendors' HTTP interfaces |
//! | [`laws`] | the contract as checks that run against any provider |
//! | [`credentials`], [`signature`] | access that is handed out for a while, and how vendors want requests signed |
//! | [`txt`], [`zone_match`] | what authors of providers need again and again |

pub mod acme_dns;

pub mod akamai;

pub mod alidns;

mod applied;
pub use applied::{Applied, Outcome, Pending};

pub mod azure;

pub mod bunny;

mod capabilities;
pub use capabilities::{Capabilities, Rate, SerialScope, WriteClass};

mod change;
pub use change::{Action, Change};

pub mod cloudflare;

pub mod credentials;

pub mod desec;

pub mod digitalocean;

pub mod dnsimple;

pub mod dnspod;

pub mod duckdns;

pub mod engine;

mod error;
pub use error::{ConfigError, Error, VendorFault};

pub mod exec;

pub mod gandi;

pub mod godaddy;

pub mod google;

mod guarded;
pub use guarded::{Guarded, Rails};

pub mod hetzner;

mod hook;

pub mod httpreq;

pub mod infoblox;

pub mod inwx;

pub mod ionos;

pub mod laws;

pub mod linode;

mod memory;
pub use memory::{MemoryProvider, MemoryRecord};

pub mod namecheap;

pub mod netcup;

pub mod ns1;

pub mod ovh;

pub mod porkbun;

pub mod powerdns;

mod provider;
pub use provider::DnsProvider;

mod receipt;
pub use receipt::Receipt;

mod registry;
pub use registry::{Factory, OptionDoc, OptionForm, Options, Registry};

pub mod rfc2136;

pub mod route53;

pub mod scaleway;

pub mod signature;

pub mod txt;

mod txt_record;
pub use txt_record::TxtRecord;

pub mod vendor;

pub mod vultr;

pub mod webhook;

mod zone;
pub use zone::Zone;

pub mod zone_match;
