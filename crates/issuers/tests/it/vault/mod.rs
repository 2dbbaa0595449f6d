//! The Vault issuer against a real OpenBao, and against answers that no OpenBao gives.

mod answers;
mod doors;
mod keeping;
mod logins;
mod refusals;
mod roles;
mod scene;
mod script;
mod signing;
