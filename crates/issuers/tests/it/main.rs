//! The ACME issuer against a CA that really validates, name servers that really serve, and a real wire between.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod acme;
mod bootstrap;
mod ca;
mod ca_lists;
mod caa;
mod dns01;
mod dns_persist01;
mod dns_persist01_others;
mod http01;
mod http01_pebble;
mod http01_shared;
mod janitor;
mod janitor_faults;
mod lifecycle;
mod old_serves;
mod pki;
mod probe;
mod renewal;
mod scene;
mod selection;
mod self_signed;
mod tls_alpn01;
mod tls_alpn01_limits;
mod vault;
