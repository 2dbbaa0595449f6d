//! Dialogues with a server that follows a script, with the CA of the testkit, and with Pebble.

#![allow(clippy::unwrap_used)] // A test that cannot go on says where: helpers too.

mod account;
mod certificate;
mod finalize;
mod issuance;
mod key_change;
mod key_change_faults;
mod keys;
mod nonces;
mod pebble;
mod pki;
mod polling;
mod script;
mod security;
mod world;
