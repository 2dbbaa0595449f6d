//! The ways to prove a name (RFC 8555 §8, RFC 8737, RFC 8738), each with a proof that is there and one that is
//! not.

use perennial_acme::{Challenge, Error, Identifier, NewOrder};
use perennial_testkit::{
    dns::Data,
    real::{Pebble, PebbleBuilder},
};

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Leaf, Site, soon},
    proof::Proof,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let pebble = Pebble::builder;
    vec![
        ("http01", Box::pin(proven(lab, pebble(), Proof::Http01))),
        ("http01_absent", Box::pin(absent(lab, pebble(), Proof::Http01, "404"))),
        ("http01_wrong", Box::pin(wrong_http(lab, pebble()))),
        ("http01_ipv6", Box::pin(proven_over_ipv6(lab))),
        ("dns01", Box::pin(proven(lab, pebble(), Proof::Dns01))),
        ("dns01_absent", Box::pin(absent(lab, pebble(), Proof::Dns01, "TXT"))),
        ("dns01_wrong", Box::pin(wrong_txt(lab, pebble(), Proof::Dns01))),
    ]
}

pub(super) async fn proven(lab: &Lab, pebble: PebbleBuilder, proof: Proof) -> Outcome {
    let name = lab.name()?;
    let site = lab.site(pebble).await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([name])).await)?;
    site.prove(&order, proof).await?;
    Issued::finish(order, Leaf::new()?).await?;
    Ok(String::new())
}

async fn proven_over_ipv6(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([lab.name_of_ipv6()?])).await)?;
    site.prove(&order, Proof::Http01).await?;
    Issued::finish(order, Leaf::new()?).await?;
    Ok(String::new())
}

/// Nothing is shown where the certificate authority looks; it says so, and the caller hears it.
pub(super) async fn absent(lab: &Lab, pebble: PebbleBuilder, proof: Proof, mentions: &str) -> Outcome {
    refused(lab, pebble, lab.name()?.into(), proof, mentions, |_, _| Ok(())).await
}

pub(super) async fn wrong_http(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let spoil = |site: &Site<'_>, challenge: &Challenge| {
        let token = text(challenge.state().token())?.as_str();
        site.responder.show_http(format!("/.well-known/acme-challenge/{token}"), "something else");
        Ok(())
    };
    refused(lab, pebble, lab.name()?.into(), Proof::Http01, "did not match", spoil).await
}

async fn wrong_txt(lab: &Lab, pebble: PebbleBuilder, proof: Proof) -> Outcome {
    let spoil = |site: &Site<'_>, challenge: &Challenge| {
        let name = text(proof.record_name(challenge))?;
        text(site.lab.zone().add(name.as_str(), Data::txt("something-else")))
    };
    refused(lab, pebble, lab.name()?.into(), proof, "Correct value not found", spoil).await
}

/// The order fails, with the certificate authority's own words as the reason.
async fn refused(
    lab: &Lab,
    pebble: PebbleBuilder,
    identifier: Identifier,
    proof: Proof,
    mentions: &str,
    show: impl FnOnce(&Site<'_>, &Challenge) -> Result<(), String>,
) -> Outcome {
    let site = lab.site(pebble).await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([identifier])).await)?;
    let authorizations = text(order.authorizations().await)?;
    let challenge = proof.choose(authorizations.first().ok_or("there is no authorization")?)?;
    show(&site, &challenge)?;
    text(challenge.answer().await)?;
    match order.wait_ready(soon()).await {
        Err(error @ Error::OrderInvalid(_)) => {
            let said = error.to_string();
            check(said.contains(mentions), || format!("{mentions:?} is not in: {said}"))?;
            Ok(said)
        }
        Err(error) => Err(error.to_string()),
        Ok(state) => Err(format!("the order is {}", state.status)),
    }
}
