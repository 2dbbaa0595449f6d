//! The shortest program that obtains a wildcard certificate and keeps it: the README's first code block.
//!
//! It speaks to Let's Encrypt's staging CA unless `ACME_DIRECTORY` names another, and writes the challenge
//! record by dynamic update: set `PERENNIAL_RFC2136_SERVER`, `…_KEY_NAME` and `…_SECRET_FILE`. Servers read
//! `certificates/certificates/wildcard/current/fullchain.pem` and `…/privkey.pem`.
#![allow(clippy::print_stdout)] // It is a program.

use perennial::providers::rfc2136::Rfc2136;
use perennial::{AcmeIssuer, CertificateSpec, Dns01, FileStore, Manager, directory};
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ca = std::env::var("ACME_DIRECTORY").unwrap_or_else(|_| directory::LETS_ENCRYPT_STAGING.into());
    let issuer = AcmeIssuer::builder(ca)
        .contact("mailto:ops@example.com")
        .agree_to_terms()
        .solver(Dns01::new(Arc::new(Rfc2136::from_env()?)))
        .build()?;
    let manager = Manager::builder(FileStore::open("certificates")?).issuer("letsencrypt", issuer)?.build();

    let names = ["*.example.com", "example.com"];
    let certificate = manager.keep(CertificateSpec::new("wildcard", names)?).await?;
    let mut issued = certificate.ready().await?; // obtained, verified, stored
    loop {
        println!("{} serves until {}", certificate.id(), issued.facts().not_after);
        issued = certificate.changed(&issued).await?; // renewed
    }
}
