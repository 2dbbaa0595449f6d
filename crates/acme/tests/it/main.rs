//! Dialogues: the client and a server that says exactly what a script tells it to.

mod certificate;
mod finalize;
mod issuance;
mod nonces;
mod pki;
mod polling;
mod script;
mod security;
