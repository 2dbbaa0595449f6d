//! Vendors' HTTP interfaces for DNS records, on loopback, strict and steerable.
//!
//! A [`VendorServer`] speaks for a [`Service`], which has one vendor's paths, words and refusals over a common
//! [`TxtStore`]. Tests say what goes wrong next ([`Fault`]), write to the store behind the client's back, and
//! read what was asked ([`Exchange`]).
//!
//! ```
//! use perennial_testkit::vendor::{DigitalOcean, Fault, VendorServer, When};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), perennial_testkit::Error> {
//! let fake = VendorServer::start(DigitalOcean::new("t0k3n"), &["example.com"]).await?;
//! fake.fault(When::Write, Fault::Lost); // the next write is made, and its answer never arrives
//! fake.store().add("example.com", "_acme-challenge.example.com", "somebody else's", 300);
//! // … the client under test, with fake.base_url() …
//! assert_eq!(fake.store().values("_acme-challenge.example.com"), ["somebody else's"]);
//! # Ok(()) }
//! ```

mod acme_dns;
pub use acme_dns::AcmeDns;

mod akamai;
pub use akamai::Akamai;

mod alidns;
pub use alidns::AliDns;

mod asked;

mod azure;
pub use azure::AzureDns;

mod bunny;
pub use bunny::Bunny;

mod cloudflare;
pub use cloudflare::Cloudflare;

mod desec;
pub use desec::Desec;

mod digitalocean;
pub use digitalocean::DigitalOcean;

mod dnsimple;
pub use dnsimple::Dnsimple;

mod dnspod;
pub use dnspod::Dnspod;

mod duckdns;
pub use duckdns::DuckDns;

mod exchange;
pub use exchange::Exchange;

mod fault;
pub use fault::{Fault, Refusal, RetryAfter, When};

mod gandi;
pub use gandi::Gandi;

mod godaddy;
pub use godaddy::GoDaddy;

mod google;
pub use google::GoogleCloudDns;

mod hetzner;
pub use hetzner::Hetzner;

mod hook;
pub use hook::{HttpReq, Webhook};

mod infoblox;
pub use infoblox::Infoblox;

mod inwx;
pub use inwx::Inwx;

mod ionos;
pub use ionos::Ionos;

mod linode;
pub use linode::Linode;

mod namecheap;
pub use namecheap::Namecheap;

mod netcup;
pub use netcup::Netcup;

mod ns1;
pub use ns1::Ns1;

mod ovh;
pub use ovh::Ovh;

mod porkbun;
pub use porkbun::Porkbun;

mod powerdns;
pub use powerdns::PowerDns;

mod reply;
pub use reply::{Reply, query};

mod route53;
pub use route53::{AwsKey, Route53};

mod scaleway;
pub use scaleway::Scaleway;

mod server;
pub use server::{Service, VendorServer};

mod store;
pub use store::{Echo, StoredRecord, StoredZone, TxtStore};

mod vultr;
pub use vultr::Vultr;
