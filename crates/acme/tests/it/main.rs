//! Dialogues with a server that follows a script, with the CA of the testkit, and with Pebble.

#![allow(clippy::unwrap_used)] // A test that cannot go on says where: helpers too.

mod account;
mod batch;
mod caa;
mod certificate;
mod certification_request;
mod chains;
mod challenges;
mod finalize;
mod flow;
mod hostile;
mod issuance;
mod key_change;
mod key_change_faults;
mod keys;
mod nonces;
mod pebble;
mod pki;
mod polling;
mod preauthorization;
mod renewal_info;
mod replaces;
mod requests;
mod revocation;
mod script;
mod security;
mod star;
mod tls_alpn01;
mod world;
