//! Dialogues: the client and a server that says exactly what a script tells it to.

#![allow(clippy::unwrap_used)] // A test that cannot go on says where: helpers too.

mod certificate;
mod finalize;
mod issuance;
mod nonces;
mod pki;
mod polling;
mod script;
mod security;
