//! The certificate of a server that is asked over TLS.

use std::{net::IpAddr, path::Path};

use super::{Error, launch};

/// Makes a certificate for this address, which is its own root, and writes it and its key to `tls.pem` and `tls.key`;
/// the certificate as PEM.
pub(super) fn make(home: &Path, address: IpAddr) -> Result<String, Error> {
    let made = rcgen::generate_simple_self_signed([address.to_string()]);
    let made = made.map_err(|error| crate::Error::Certificate {
        what: "a server's certificate",
        reason: error.to_string(),
    })?;
    let pem = made.cert.pem();
    launch::write(&home.join("tls.pem"), &pem)?;
    launch::write(&home.join("tls.key"), &made.signing_key.serialize_pem())?;
    Ok(pem)
}
