//! What is issued (RFC 8555 §7.4.2): chains, profiles, how long it is valid.

use std::time::Duration;

use perennial_acme::{Error, Misuse, NewOrder, ProblemType};
use perennial_core::Timestamp;
use perennial_testkit::real::{Pebble, PebbleBuilder};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Site, now},
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("chain_length_3", Box::pin(longer_chain(lab, Pebble::builder()))),
        ("alternate_roots_2", Box::pin(alternate_roots(lab, Pebble::builder()))),
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
        let root = common_name(&site.pebble.root_pem(number).await.map_err(|it| it.to_string())?)?;
        let chain = text(issued.order.certificate_by_issuer(&root).await)?;
        check(chain.has_issuer(&root), || format!("there is no chain to {root}"))?;
        check(chain.leaf() == issued.chain.leaf(), || "the leaf is another one".to_owned())?;
    }
    Ok(String::new())
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

fn common_name(pem: &str) -> Result<String, String> {
    let der = text(CertificateDer::from_pem_slice(pem.as_bytes()))?;
    let (_, certificate) = text(x509_parser::parse_x509_certificate(&der))?;
    let name = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok());
    name.map(str::to_owned).ok_or_else(|| "the root has no common name".to_owned())
}
