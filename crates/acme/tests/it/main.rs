//! Dialogues with a server that follows a script, with the CA of the testkit, and with Pebble.

#![allow(clippy::unwrap_used)] // A test that cannot go on says where: helpers too.

mod certificate;
mod finalize;
mod issuance;
mod nonces;
mod pebble;
mod pki;
mod polling;
mod requests;
mod script;
mod security;
mod world;
