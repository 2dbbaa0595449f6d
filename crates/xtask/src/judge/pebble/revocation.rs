//! Revocation (RFC 8555 §7.6), looked at from the other side: what the certificate authority then holds.

use std::sync::Arc;

use perennial_acme::{
    AccountKey, Error, Misuse, NewOrder, ProblemType, Revocation, RevocationReason, Revoked,
};
use perennial_core::KeyAlgorithm;
use perennial_testkit::real::{CertificateStatus, Pebble, PebbleBuilder};

use super::{
    Case, Outcome,
    account::refusal,
    check,
    lab::{Issued, Lab, Leaf, Site},
    proof::Proof,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let pebble = Pebble::builder;
    vec![
        ("revoke_by_account", Box::pin(by_account(lab, pebble()))),
        ("revoke_by_key_ec256", Box::pin(by_key(lab, pebble(), KeyAlgorithm::EcdsaP256))),
        ("revoke_by_key_ec384", Box::pin(by_key(lab, pebble(), KeyAlgorithm::EcdsaP384))),
        ("revoke_by_key_rsa2048", Box::pin(by_key(lab, pebble(), KeyAlgorithm::Rsa2048))),
        ("revoke_by_another_account", Box::pin(by_another_account(lab))),
        ("revoke_by_another_key", Box::pin(by_another_key(lab))),
    ]
}

async fn status(site: &Site<'_>, issued: &Issued) -> Result<CertificateStatus, String> {
    let serial: String = issued.chain.serial().iter().map(|octet| format!("{octet:02x}")).collect();
    text(site.pebble.certificate_status(&serial).await)
}

/// With a reason; and once more, which is no failure.
pub(super) async fn by_account(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let account = site.account().await?;
    let issued = site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    check(status(&site, &issued).await? == CertificateStatus::Valid, || "it is not valid".to_owned())?;
    let revocation = Revocation::of(&issued.chain).reason(RevocationReason::Superseded);
    check(text(account.revoke(&revocation).await)? == Revoked::Now, || "it was before".to_owned())?;
    let held = status(&site, &issued).await?;
    check(held == CertificateStatus::Revoked { reason: Some(4) }, || format!("it is {held:?}"))?;
    check(text(account.revoke(&revocation).await)? == Revoked::Already, || "it is forgotten".to_owned())?;
    Ok("superseded; already revoked the second time".to_owned())
}

/// By a client that has no account.
pub(super) async fn by_key(lab: &Lab, pebble: PebbleBuilder, algorithm: KeyAlgorithm) -> Outcome {
    let site = lab.site(pebble).await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([lab.name()?])).await)?;
    site.prove(&order, Proof::Dns01).await?;
    let issued = Issued::finish(order, Leaf::of(algorithm).await?).await?;
    let key = Arc::new(text(AccountKey::from_pem(&issued.leaf.to_pem()))?);
    let revocation = Revocation::of(&issued.chain).reason(RevocationReason::KeyCompromise);
    text(site.client()?.0.revoke(&revocation, key).await)?;
    let held = status(&site, &issued).await?;
    check(held == CertificateStatus::Revoked { reason: Some(1) }, || format!("it is {held:?}"))?;
    Ok(String::new())
}

async fn by_another_account(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let issued = site.issue(&site.account().await?, &NewOrder::new([lab.name()?])).await?;
    let revoked = site.account().await?.revoke(&Revocation::of(&issued.chain)).await;
    check(status(&site, &issued).await? == CertificateStatus::Valid, || "it is not valid".to_owned())?;
    refusal(revoked, &ProblemType::Unauthorized)
}

/// Nothing is sent: the certificate says whose key it has.
async fn by_another_key(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let issued = site.issue(&site.account().await?, &NewOrder::new([lab.name()?])).await?;
    let (client, recorder) = site.client()?;
    let key = Arc::new(text(AccountKey::generate())?);
    match client.revoke(&Revocation::of(&issued.chain), key).await {
        Err(error @ Error::Misuse(Misuse::KeyOfOtherCertificate { .. })) => {
            check(recorder.take().is_empty(), || "it was sent".to_owned())?;
            Ok(error.to_string())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("it is revoked".to_owned()),
    }
}
