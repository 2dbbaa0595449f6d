//! Renewal information (RFC 9773): when the CA wants a certificate renewed, and by which name it is asked.

mod certificate_id;
pub use certificate_id::{CertificateId, CertificateIdError};
