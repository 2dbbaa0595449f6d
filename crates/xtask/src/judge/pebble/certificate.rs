//! What is issued (RFC 8555 §7.4.2): chains, profiles, how long it is valid.

use std::time::Duration;

use perennial_acme::{ChainSelector, Error, Misuse, NewOrder, ProblemType};
use perennial_core::{KeyAlgorithm, Timestamp};
use perennial_testkit::real::{Pebble, PebbleBuilder};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::extensions::ParsedExtension;

use super::{
    Case, Outcome,
    account::refusal,
    check,
    lab::{Issued, Lab, Leaf, Site, now},
    proof::Proof,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("chain_length_3", Box::pin(longer_chain(lab, Pebble::builder()))),
        ("alternate_roots_2", Box::pin(alternate_roots(lab, Pebble::builder()))),
        ("leaf_ec384", Box::pin(leaf_key(lab, Pebble::builder(), KeyAlgorithm::EcdsaP384))),
        ("leaf_rsa2048", Box::pin(leaf_key(lab, Pebble::builder(), KeyAlgorithm::Rsa2048))),
        ("leaf_rsa3072", Box::pin(leaf_key(lab, Pebble::builder(), KeyAlgorithm::Rsa3072))),
        ("leaf_ed25519_refused", Box::pin(refused_leaf_key(lab))),
        ("profile", Box::pin(profile(lab))),
        ("profile_unknown", Box::pin(unknown_profile(lab))),
        ("not_before_not_after", Box::pin(validity(lab, Pebble::builder()))),
        ("name_refused", Box::pin(refused_name(lab))),
    ]
}

pub(super) async fn longer_chain(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble.chain_length(3)).await?;
    let issued = site.issue(&site.account().await?, &NewOrder::new([lab.name()?])).await?;
    let length = issued.chain.intermediates().len();
    check(length == 3, || format!("there are {length} intermediates"))?;
    signed_by_root(&issued, &site, 0).await?;
    Ok(String::new())
}

pub(super) async fn alternate_roots(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble.alternate_roots(2)).await?;
    let issued = site.issue(&site.account().await?, &NewOrder::new([lab.name()?])).await?;
    for number in 0..3 {
        let root = Root::of(&text(site.pebble.root_pem(number).await)?)?;
        let name = root.common_name.clone();
        for (way, selector) in [
            ("name", ChainSelector::issuer(&root.common_name)),
            ("key", ChainSelector::issuer_key(root.key_id)),
            ("predicate", ChainSelector::matching(move |chain| chain.has_issuer(&name))),
            ("second wish", ChainSelector::issuer("nobody").or(ChainSelector::issuer(&root.common_name))),
        ] {
            let chain = text(issued.order.certificate_with(&selector).await)?;
            check(chain.has_issuer(&root.common_name), || format!("by {way}: no chain to root {number}"))?;
            check(chain.leaf() == issued.chain.leaf(), || "the leaf is another one".to_owned())?;
            issued.leaf.verify(&chain, &issued.order.state().identifiers)?;
        }
    }
    for selector in [ChainSelector::default(), ChainSelector::issuer("nobody"), ChainSelector::shortest()] {
        let chain = text(issued.order.certificate_with(&selector).await)?;
        check(chain.to_pem() == issued.chain.to_pem(), || format!("{selector:?}: not the default chain"))?;
    }
    Ok("by name, key, predicate, length and default".to_owned())
}

pub(super) async fn leaf_key(lab: &Lab, pebble: PebbleBuilder, algorithm: KeyAlgorithm) -> Outcome {
    let site = lab.site(pebble).await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([lab.name()?])).await)?;
    site.prove(&order, Proof::Dns01).await?;
    Issued::finish(order, Leaf::of(algorithm).await?).await?;
    Ok(String::new())
}

async fn refused_leaf_key(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([lab.name()?])).await)?;
    site.prove(&order, Proof::Dns01).await?;
    let request = Leaf::of(KeyAlgorithm::Ed25519).await?.request(&order.state().identifiers)?;
    refusal(order.finalize(&request).await, &ProblemType::BadCsr)
}

async fn profile(lab: &Lab) -> Outcome {
    let six_days = Duration::from_secs(6 * 24 * 3600);
    let pebble = Pebble::builder().profile("default", six_days * 15).profile("shortlived", six_days);
    let site = lab.site(pebble).await?;
    let request = NewOrder::new([lab.name()?]).profile("shortlived");
    let issued = site.issue(&site.account().await?, &request).await?;
    check(issued.order.state().profile.as_deref() == Some("shortlived"), || "it is not echoed".to_owned())?;
    let left = now().until(issued.chain.not_after());
    check(left <= six_days && left > six_days - Duration::from_secs(300), || format!("{left:?} are left"))?;
    Ok(format!("until {}", issued.chain.not_after()))
}

/// Nothing is sent: the directory says what there is.
async fn unknown_profile(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, recorder) = site.recorded_account().await?;
    recorder.take();
    match account.new_order(&NewOrder::new([lab.name()?]).profile("gold")).await {
        Err(error @ Error::Misuse(Misuse::Profile { .. })) => {
            let sent = recorder.take();
            check(sent.is_empty(), || format!("it was sent: {}", sent.join(", ")))?;
            Ok(error.to_string())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("it was ordered".to_owned()),
    }
}

pub(super) async fn validity(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let day = Duration::from_secs(24 * 3600);
    // Whole seconds: certificates have no others.
    let end = Timestamp::from_unix((now() + day).unix());
    let request = NewOrder::new([lab.name()?]).validity(Some(now()), Some(end));
    let issued = site.issue(&site.account().await?, &request).await?;
    check(issued.chain.not_after() == end, || format!("it ends at {}, not {end}", issued.chain.not_after()))?;
    Ok(format!("until {end}"))
}

/// The problem has a subproblem for the one name that it is about (RFC 8555 §6.7.1).
async fn refused_name(lab: &Lab) -> Outcome {
    let blocked = lab.name()?;
    let site = lab.site(Pebble::builder().block(blocked.as_str())).await?;
    let order = site.account().await?.new_order(&NewOrder::new([lab.name()?, blocked.clone()])).await;
    let error = order.err().ok_or("it was ordered")?;
    let problem = error.problem().ok_or_else(|| error.to_string())?;
    check(problem.kind == ProblemType::RejectedIdentifier, || error.to_string())?;
    let about = problem.subproblems.iter().filter_map(|it| it.identifier.as_ref()).collect::<Vec<_>>();
    check(about.iter().any(|it| it.dns() == Some(&blocked)), || format!("{error}: about {about:?}"))?;
    Ok(error.to_string())
}

/// Whether the last certificate of the chain is signed by that root.
async fn signed_by_root(issued: &Issued, site: &Site<'_>, number: usize) -> Result<(), String> {
    let root = text(CertificateDer::from_pem_slice(text(site.pebble.root_pem(number).await)?.as_bytes()))?;
    let top = issued.chain.certificates().last().ok_or("there is no certificate")?;
    let (_, root) = text(x509_parser::parse_x509_certificate(&root))?;
    let (_, top) = text(x509_parser::parse_x509_certificate(top))?;
    text(top.verify_signature(Some(root.public_key())))
}

/// What chains are chosen by.
struct Root {
    common_name: String,
    key_id: Vec<u8>,
}

impl Root {
    fn of(pem: &str) -> Result<Self, String> {
        let der = text(CertificateDer::from_pem_slice(pem.as_bytes()))?;
        let (_, certificate) = text(x509_parser::parse_x509_certificate(&der))?;
        let name = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
        let key_id =
            certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(key_id) => Some(key_id.0.to_vec()),
                _ => None,
            });
        Ok(Self {
            common_name: name.ok_or("the root has no common name")?.to_owned(),
            key_id: key_id.ok_or("the root has no key identifier")?,
        })
    }
}
