//! Forms in which a finished certificate is handed over.

mod pem;
pub use pem::PemSet;
pub(crate) use pem::write_chain;
