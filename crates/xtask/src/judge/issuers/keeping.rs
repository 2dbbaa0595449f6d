//! Keepers with issuers side by side: a private PKI that begins with nothing, and one CA in the place of another.

use std::{path::Path, sync::Arc, time::Duration};

use perennial::{
    CaIssuer, CaSource, CertificateSpec, FileStore, MemoryStore, SelfSignedIssuer,
    core::{Clock as _, SystemClock},
    lifecycle::{Keeper, Outcome as Step, Store, Subject},
};
use perennial_testkit::ManualClock;

use super::{Case, Outcome, acme, text, vault, verified};

pub(super) fn cases<'a>(vault: &'a vault::Lab, acme: &'a acme::Lab) -> Vec<Case<'a>> {
    vec![("chain_from_nothing", Box::pin(from_nothing())), ("failover", Box::pin(failover(vault, acme)))]
}

/// Root, CA and leaf from three issuers, each CA a certificate in the keeper's own store; and the files that a server
/// would read.
async fn from_nothing() -> Outcome {
    let directory = text(tempfile::tempdir())?;
    let store: Arc<dyn Store> = Arc::new(text(FileStore::open(directory.path()))?);
    let ca = |certificate: &str| -> Result<Arc<CaIssuer>, String> {
        let source = CaSource::certificate(store.clone(), text(certificate.parse())?);
        Ok(Arc::new(text(CaIssuer::builder(source).build())?))
    };
    let keeper = Keeper::builder(store.clone())
        .issuer(text("self-signed".parse())?, Arc::new(SelfSignedIssuer::builder().build()))
        .issuer(text("root-ca".parse())?, ca("root")?)
        .issuer(text("middle-ca".parse())?, ca("middle")?)
        .build();
    let authority = |id: &str, subject: &str, issuer: &str| {
        let spec = text(CertificateSpec::authority(id, Subject::named(subject)))?;
        text(spec.duration(YEAR).issuer(issuer))
    };
    let leaf = text(CertificateSpec::new("leaf", ["intranet.example.com", "*.intranet.example.com"]))?;
    let specs = [
        authority("root", "Judged Root", "self-signed")?,
        authority("middle", "Judged CA", "root-ca")?,
        text(leaf.issuer("middle-ca"))?,
    ];
    for spec in specs {
        text(text(keeper.keep(spec).await)?.ready().await)?;
    }
    keeper.shut_down().await;
    let served = |certificate: &str| {
        let file = Path::new("certificates").join(certificate).join("current").join("fullchain.pem");
        text(std::fs::read_to_string(directory.path().join(file)))
    };
    let (root, chain) = (served("root")?, served("leaf")?);
    verified(&root, &chain)?;
    match chain.matches("BEGIN CERTIFICATE").count() {
        2 => Ok("leaf and CA are served, and good under the root".to_owned()),
        other => Err(format!("{other} certificates are served")),
    }
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Whom one waits for before another is asked, where nothing serves yet, and a little.
const PATIENCE: Duration = Duration::from_secs(700);

/// A Vault that is sealed is waited for as long as there is time, and then Pebble is asked.
async fn failover(vault: &vault::Lab, acme: &acme::Lab) -> Outcome {
    let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
    let (pebble, name) = acme.pebble_issuer()?;
    let keeper = Keeper::builder(Arc::new(MemoryStore::with_clock(clock.clone())))
        .clock(clock.clone())
        .issuer(text("vault".parse())?, Arc::new(vault.signer().await?))
        .issuer(text("pebble".parse())?, Arc::new(pebble))
        .build();
    let spec = text(text(CertificateSpec::new("site", [name]))?.issuer("vault"))?;
    let spec = text(spec.fallback_issuer("pebble"))?;
    let id = spec.id().clone();
    text(keeper.wish(spec).await)?;
    vault.seal().await?;
    let first = keeper.step(&id).await;
    clock.advance(PATIENCE);
    let second = keeper.step(&id).await;
    vault.unseal().await?;
    match text(first)? {
        Step::Failed { error, .. } if error.to_string().contains("is sealed") => {}
        other => return Err(format!("a sealed Vault was asked: {other:?}")),
    }
    match text(second)? {
        Step::Issued { .. } => {}
        other => return Err(format!("Pebble was asked: {other:?}")),
    }
    let Some(issued) = text(keeper.current(&id).await)? else { return Err("nothing serves".to_owned()) };
    verified(&acme.pebble_root().await?, issued.chain_pem())?;
    Ok(format!("signed by {}", issued.facts().issuer))
}
