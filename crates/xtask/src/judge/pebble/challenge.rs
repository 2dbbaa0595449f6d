//! The ways to prove a name (RFC 8555 §8, RFC 8737, RFC 8738), each with a proof that is there and ones that
//! are not.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use perennial_acme::{Account, Authorization, Challenge, Error, Identifier, NewOrder};
use perennial_core::DomainName;
use perennial_testkit::{
    dns::Data,
    real::{Pebble, PebbleBuilder},
};
use rustls_pki_types::PrivateKeyDer;

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Leaf, Site, now, soon},
    proof::{Proof, persistent_record},
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let pebble = Pebble::builder;
    let (http, tls) = (Proof::Http01, Proof::TlsAlpn01);
    vec![
        ("http01", Box::pin(proven(lab, pebble(), http))),
        ("http01_absent", Box::pin(absent(lab, pebble(), http, "404"))),
        ("http01_wrong", Box::pin(wrong_http(lab, pebble()))),
        ("http01_ipv6", Box::pin(proven_over_ipv6(lab, http))),
        ("tls_alpn01", Box::pin(proven(lab, pebble(), tls))),
        ("tls_alpn01_absent", Box::pin(absent(lab, pebble(), tls, "tls"))),
        ("tls_alpn01_wrong", Box::pin(wrong_tls(lab, pebble()))),
        ("tls_alpn01_ipv6", Box::pin(proven_over_ipv6(lab, tls))),
        ("dns01", Box::pin(proven(lab, pebble(), Proof::Dns01))),
        ("dns01_absent", Box::pin(absent(lab, pebble(), Proof::Dns01, "TXT"))),
        ("dns01_wrong", Box::pin(wrong_txt(lab, pebble(), Proof::Dns01))),
        ("dns_account01", Box::pin(proven(lab, pebble(), Proof::DnsAccount01))),
        ("dns_account01_wildcard", Box::pin(proven_wildcard(lab, Proof::DnsAccount01))),
        ("dns_account01_absent", Box::pin(absent(lab, pebble(), Proof::DnsAccount01, "TXT"))),
        ("dns_account01_wrong", Box::pin(wrong_txt(lab, pebble(), Proof::DnsAccount01))),
        ("dns_persist01", Box::pin(proven(lab, persisting(), Proof::DnsPersist01))),
        ("dns_persist01_wildcard", Box::pin(proven_wildcard(lab, Proof::DnsPersist01))),
        ("dns_persist01_beside_others", Box::pin(persistent_beside_others(lab))),
        ("dns_persist01_absent", Box::pin(absent(lab, pebble(), Proof::DnsPersist01, "TXT"))),
        ("dns_persist01_no_wildcard", Box::pin(persistent_but_no_wildcard(lab))),
        ("dns_persist01_expired", Box::pin(persistent_no_longer(lab))),
        ("ip_http01", Box::pin(proven_address(lab, pebble(), Ipv4Addr::LOCALHOST.into(), http))),
        ("ip_tls_alpn01", Box::pin(proven_address(lab, pebble(), Ipv4Addr::LOCALHOST.into(), tls))),
        ("ipv6_http01", Box::pin(proven_address(lab, pebble(), Ipv6Addr::LOCALHOST.into(), http))),
        ("ipv6_tls_alpn01", Box::pin(proven_address(lab, pebble(), Ipv6Addr::LOCALHOST.into(), tls))),
    ]
}

fn persisting() -> PebbleBuilder {
    Pebble::builder().caa_identity("ca.example")
}

async fn prove_and_finish(
    site: &Site<'_>,
    identifiers: impl IntoIterator<Item = Identifier>,
    proof: Proof,
) -> Outcome {
    let order = text(site.account().await?.new_order(&NewOrder::new(identifiers)).await)?;
    site.prove(&order, proof).await?;
    Issued::finish(order, Leaf::new().await?).await?;
    Ok(String::new())
}

pub(super) async fn proven(lab: &Lab, pebble: PebbleBuilder, proof: Proof) -> Outcome {
    prove_and_finish(&lab.site(pebble).await?, [lab.name()?.into()], proof).await
}

async fn proven_over_ipv6(lab: &Lab, proof: Proof) -> Outcome {
    prove_and_finish(&lab.usual_site().await?, [lab.name_of_ipv6()?.into()], proof).await
}

async fn proven_wildcard(lab: &Lab, proof: Proof) -> Outcome {
    let site = lab.site(persisting()).await?;
    prove_and_finish(&site, [wildcard_of(&lab.name()?)?.into()], proof).await
}

/// RFC 8738: the server name of the handshake is the address, turned round below `arpa`.
pub(super) async fn proven_address(
    lab: &Lab,
    pebble: PebbleBuilder,
    address: IpAddr,
    proof: Proof,
) -> Outcome {
    prove_and_finish(&lab.site(pebble).await?, [address.into()], proof).await
}

/// A record for each certificate authority that may issue.
async fn persistent_beside_others(lab: &Lab) -> Outcome {
    let site = lab.site(persisting()).await?;
    let name = lab.name()?;
    let owner = format!("_validation-persist.{name}");
    let other = "other-ca.example; accounturi=https://other-ca.example/acct/1; policy=wildcard";
    text(lab.zone().add(&owner, Data::txt(other)))?;
    prove_and_finish(&site, [name.into()], Proof::DnsPersist01).await
}

/// Nothing is shown where the certificate authority looks; it says so, and the caller hears it.
pub(super) async fn absent(lab: &Lab, pebble: PebbleBuilder, proof: Proof, mentions: &str) -> Outcome {
    refused(lab, pebble, lab.name()?, proof, mentions, |_| Ok(())).await
}

pub(super) async fn wrong_http(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let wrong = |Shown { site, challenge, .. }: Shown<'_>| {
        site.responder.show_http(text(challenge.http01_path())?, "something else");
        Ok(())
    };
    refused(lab, pebble, lab.name()?, Proof::Http01, "did not match", wrong).await
}

/// A certificate that proves nothing.
pub(super) async fn wrong_tls(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let wrong = |Shown { site, challenge, .. }: Shown<'_>| {
        let name = challenge.identifier().to_string();
        let made = text(rcgen::generate_simple_self_signed([name.clone()]))?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        site.responder.show_tls(name, made.cert.der().clone(), &key)
    };
    refused(lab, pebble, lab.name()?, Proof::TlsAlpn01, "unauthorized", wrong).await
}

async fn wrong_txt(lab: &Lab, pebble: PebbleBuilder, proof: Proof) -> Outcome {
    let wrong = |Shown { site, challenge, .. }: Shown<'_>| {
        proof.publish(site, challenge, "something-else".to_owned())
    };
    refused(lab, pebble, lab.name()?, proof, "Correct value not found", wrong).await
}

async fn persistent_but_no_wildcard(lab: &Lab) -> Outcome {
    let name = wildcard_of(&lab.name()?)?;
    let narrow = |it: Shown<'_>| {
        let record = persistent_record(it.account, it.authorization, it.challenge)?;
        let text = record.to_string().replace("; policy=wildcard", "");
        Proof::DnsPersist01.publish(it.site, it.challenge, text)
    };
    refused(lab, persisting(), name, Proof::DnsPersist01, "policy mismatch", narrow).await
}

async fn persistent_no_longer(lab: &Lab) -> Outcome {
    let ended = |it: Shown<'_>| {
        let record = persistent_record(it.account, it.authorization, it.challenge)?;
        let an_hour_ago = now() - Duration::from_secs(3600);
        let record = record.persist_until(an_hour_ago).to_string();
        Proof::DnsPersist01.publish(it.site, it.challenge, record)
    };
    refused(lab, persisting(), lab.name()?, Proof::DnsPersist01, "persistUntil", ended).await
}

/// Where a proof is to be shown, or something else in its place.
struct Shown<'a> {
    site: &'a Site<'a>,
    account: &'a Account,
    authorization: &'a Authorization,
    challenge: &'a Challenge,
}

/// The order fails, with the certificate authority's own words as the reason.
async fn refused(
    lab: &Lab,
    pebble: PebbleBuilder,
    name: DomainName,
    proof: Proof,
    mentions: &str,
    show: impl FnOnce(Shown<'_>) -> Result<(), String>,
) -> Outcome {
    let site = lab.site(pebble).await?;
    let account = site.account().await?;
    let order = text(account.new_order(&NewOrder::new([name])).await)?;
    let authorizations = text(order.authorizations().await)?;
    let authorization = authorizations.first().ok_or("there is no authorization")?;
    let challenge = proof.choose(authorization)?;
    show(Shown { site: &site, account: &account, authorization, challenge: &challenge })?;
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

fn wildcard_of(name: &DomainName) -> Result<DomainName, String> {
    text(format!("*.{name}").parse())
}
