//! A whole cycle: a certificate that lives for a minute and a half is kept, falls due, and is renewed by the
//! keeper itself, in real time.

use std::{path::Path, sync::Arc, time::Duration};

use perennial::{
    CertificateSpec, FileStore, Manager,
    acme::{CertificateChain, Expected, Identifier},
    core::{Clock as _, PrivateKey, SystemClock},
    lifecycle::Issued,
};
use perennial_testkit::real::{Components, Pebble, Tool};

use super::{
    Case, Outcome, check,
    lab::{Lab, Site, now},
    text,
};
use crate::{
    judge::crash::{
        place::Place,
        witness::{Presence, Witness},
    },
    shell,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![("keeper_renews", Box::pin(renewed(lab)))]
}

/// Longer than the minute for which a keeper leaves a new certificate alone, and half a minute for the
/// renewal.
const LIFE: Duration = Duration::from_secs(90);

async fn renewed(lab: &Lab) -> Outcome {
    let site = lab.site(Pebble::builder().profile("default", LIFE)).await?;
    let directory = text(tempfile::tempdir())?;
    let issuer = site.surroundings().issuer(Arc::new(SystemClock::new()))?;
    let manager = Manager::builder(text(FileStore::open(directory.path()))?).issuer("pebble", issuer);
    let manager = text(manager)?.build();
    let name = lab.name()?;
    let names = [text(format!("*.{name}").parse())?, name];
    let spec = text(CertificateSpec::new("short", names.each_ref().map(ToString::to_string)))?;
    let certificate = text(manager.keep(spec).await)?;
    let first = text(certificate.ready().await)?;
    let identifiers = names.each_ref().map(Identifier::from);
    verified(&site, &first, &identifiers, directory.path()).await?;

    let (witness, place) = (Witness::new()?, Place::File(directory.path().to_owned()));
    let watching = witness.watch(&place, certificate.id(), Presence::FromTheStart).await?;
    let second = text(certificate.changed(&first).await)?;
    verified(&site, &second, &identifiers, directory.path()).await?;
    let seen = watching.end().await?;
    check(seen.flips == 1, || format!("it has changed {} times", seen.flips))?;
    let (ended, left) = (first.facts().not_after, now().until(first.facts().not_after));
    check(!left.is_zero(), || format!("the first one ended at {ended}, before the second came"))?;
    check(first.private_key_pem().expose() != second.private_key_pem().expose(), || {
        "the key is the old one".to_owned()
    })?;
    check(lab.leftovers(&names[1]).is_empty(), || "records were left".to_owned())?;
    Ok(format!("{} s before the end; {} reads", left.as_secs(), seen.looks))
}

/// That a chain is what was asked for, link by link, and up to the root with the eyes of OpenSSL.
async fn verified(
    site: &Site<'_>,
    issued: &Issued,
    identifiers: &[Identifier],
    scratch: &Path,
) -> Result<(), String> {
    let chain = text(CertificateChain::parse(issued.chain_pem().as_bytes()))?;
    let key = text(PrivateKey::from_pem(issued.private_key_pem()))?;
    let public_key = key.public_key_der();
    text(chain.verify(&Expected { public_key: &public_key, identifiers, now: SystemClock::new().now() }))?;
    let [root, whole] = ["root.pem", "chain.pem"].map(|file| scratch.join(file));
    text(std::fs::write(&root, text(site.pebble.issuer_root_pem().await)?))?;
    text(std::fs::write(&whole, issued.chain_pem()))?;
    let components = Components::locate();
    let mut openssl = text(components.find(Tool::Openssl))?.command();
    openssl.arg("verify").arg("-CAfile").arg(&root).arg("-untrusted").arg(&whole).arg(&whole);
    text(shell::read(openssl)).map(drop)
}
