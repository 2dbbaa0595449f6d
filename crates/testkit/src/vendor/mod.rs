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

mod akamai;
pub use akamai::Akamai;

mod alidns;
pub use alidns::AliDns;

mod azure;
pub use azure::AzureDns;

mod cloudflare;
pub use cloudflare::Cloudflare;

mod digitalocean;
pub use digitalocean::DigitalOcean;

mod dnspod;
pub use dnspod::Dnspod;

mod exchange;
pub use exchange::Exchange;

mod fault;
pub use fault::{Fault, Refusal, RetryAfter, When};

mod google;
pub use google::GoogleCloudDns;

mod ovh;
pub use ovh::Ovh;

mod powerdns;
pub use powerdns::PowerDns;

mod reply;
pub use reply::{Reply, query};

mod route53;
pub use route53::{AwsKey, Route53};

mod server;
pub use server::{Service, VendorServer};

mod store;
pub use store::{Echo, StoredRecord, StoredZone, TxtStore};
