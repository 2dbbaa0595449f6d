//! Name servers on loopback: authoritative ones that lag, lie and drop, and a resolver.
//!
//! Messages are those of RFC 1035 with EDNS (RFC 6891), over UDP and TCP (RFC 7766). A [`Zone`] is a value that
//! servers share; each [`AuthoritativeServer`] shows it as its [`Freshness`] and [`Behaviour`] say, takes
//! dynamic updates (RFC 2136) signed with a [`TsigKey`] (RFC 8945), and remembers every [`Query`]. A
//! [`RecursiveServer`] asks them, or lies.
//!
//! ```
//! use perennial_testkit::dns::{AuthoritativeServer, Behaviour, Data, Endpoint, Zone};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), perennial_testkit::Error> {
//! let zone = Zone::new("example.com")?;
//! zone.add_name_server("ns1.example.com", &["127.0.0.1".parse().unwrap()])?;
//! let server = AuthoritativeServer::builder().zone(&zone).start(Endpoint::bind("127.0.0.1:0").await?);
//!
//! zone.add("_acme-challenge.example.com", Data::txt("gfj9Xq...Rg85nM"))?; // seen at once
//! server.set_behaviour(Behaviour::Dead); // and now nobody sees anything
//! assert!(server.queries().is_empty());
//! # Ok(())
//! # }
//! ```

mod answer;

mod authoritative;
pub use authoritative::{AuthoritativeServer, AuthoritativeServerBuilder};

mod behaviour;
pub use behaviour::{Behaviour, Freshness};

mod data;
pub use data::Data;

mod endpoint;
pub use endpoint::Endpoint;

mod exchange;
pub(crate) use exchange::{TextsFault, texts_at};

mod query_log;
pub use query_log::{Operation, Query, Transport};

mod recursive;
pub use recursive::{RecursiveServer, RecursiveServerBuilder};

mod serve;

mod tsig;
pub use tsig::{TsigAlgorithm, TsigKey};

mod update;
pub use update::UpdatePolicy;

mod zone;
pub use zone::Zone;
