//! Orders (RFC 8555 §7.4): nonces that are refused, answers that are lost, orders taken up again.

use std::sync::Arc;

use perennial_acme::{AccountKey, AuthorizationStatus, Error, NewAuthorization, NewOrder, OrderStatus};
use perennial_testkit::real::{Pebble, PebbleBuilder};

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Leaf},
    proof::Proof,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let pebble = Pebble::builder;
    vec![
        ("nonces_refused_0", Box::pin(issued(lab, pebble()))),
        ("nonces_refused_50", Box::pin(issued(lab, pebble().rejected_nonces(50)))),
        ("nonces_refused_90", Box::pin(issued(lab, pebble().rejected_nonces(90)))),
        ("strict", Box::pin(issued(lab, pebble().strict()))),
        ("wildcard", Box::pin(wildcard(lab, pebble()))),
        ("authorizations_reused", Box::pin(reused_authorizations(lab))),
        ("authorization_given_up", Box::pin(given_up(lab, pebble()))),
        ("preauthorization_not_offered", Box::pin(no_preauthorization(lab))),
        ("resumed_by_url", Box::pin(resumed_by_url(lab, pebble()))),
        ("finalize_without_location", Box::pin(finalized(lab, pebble(), 0))),
        ("lost_answer_finalize", Box::pin(lost_finalize_answer(lab))),
    ]
}

pub(super) async fn issued(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let account = site.account().await?;
    site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    Ok(String::new())
}

/// Both share one record name, and need two values there.
pub(super) async fn wildcard(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let name = lab.name()?;
    let names = [text(format!("*.{name}").parse())?, name];
    site.issue(&site.account().await?, &NewOrder::new(&names)).await?;
    let [wildcard, name] = names;
    Ok(format!("{wildcard} and {name}"))
}

/// The second order is born ready, and nothing is proven for it.
async fn reused_authorizations(lab: &Lab) -> Outcome {
    let site = lab.site(Pebble::builder().reused_authorizations(100)).await?;
    let account = site.account().await?;
    let request = NewOrder::new([lab.name()?]);
    site.issue(&account, &request).await?;
    let order = text(account.new_order(&request).await)?;
    check(order.state().status == OrderStatus::Ready, || format!("it is {}", order.state().status))?;
    Issued::finish(order, Leaf::new().await?).await?;
    Ok(String::new())
}

/// So that a failed attempt leaves nothing pending.
pub(super) async fn given_up(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let order = text(site.account().await?.new_order(&NewOrder::new([lab.name()?])).await)?;
    let authorizations = text(order.authorizations().await)?;
    let authorization = authorizations.first().ok_or("there is no authorization")?;
    let status = text(authorization.deactivate().await)?.status().clone();
    check(status == AuthorizationStatus::Deactivated, || format!("it is {status}"))?;
    Ok(String::new())
}

/// RFC 8555 §7.4.1 leaves it to the server; nothing is sent to one that has not.
async fn no_preauthorization(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, recorder) = site.recorded_account().await?;
    recorder.take();
    let error = account.new_authorization(&NewAuthorization::new(lab.name()?)).await;
    let error = error.err().ok_or("it was offered")?;
    check(matches!(error, Error::Misuse(_)), || error.to_string())?;
    check(recorder.take().is_empty(), || "it was sent".to_owned())?;
    Ok(error.to_string())
}

/// Another process has nothing but the account and the order's URL, at each stage.
pub(super) async fn resumed_by_url(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let key = Arc::new(text(AccountKey::generate())?);
    let account = site.register(key.clone()).await?;
    let order = text(account.new_order(&NewOrder::new([lab.name()?])).await)?;
    let (account_url, url) = (account.url().to_owned(), order.url().to_owned());
    let again = async || {
        let account = text(site.client()?.0.account(&account_url, key.clone()))?;
        text(account.order(&url).await)
    };
    site.prove(&again().await?, Proof::Dns01).await?;
    let ready = again().await?;
    check(ready.state().status == OrderStatus::Ready, || format!("it is {}", ready.state().status))?;
    let leaf = Leaf::new().await?;
    text(ready.finalize(&leaf.request(&ready.state().identifiers)?).await)?;
    Issued::finish(again().await?, leaf).await?;
    Ok(String::new())
}

/// RFC 8555 §7.4 knows a `Location` of newOrder alone: servers used to send one with finalize, too.
pub(super) async fn finalized(lab: &Lab, pebble: PebbleBuilder, locations: usize) -> Outcome {
    let site = lab.site(pebble).await?;
    let (account, recorder) = site.recorded_account().await?;
    let issued = site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    let found = recorder.located("/finalize-order/");
    check(found == locations, || format!("{found} answers have a Location"))?;
    text(issued.order.refresh().await)?;
    Ok(format!("with {found} of them"))
}

async fn lost_finalize_answer(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, recorder) = site.recorded_account().await?;
    let order = text(account.new_order(&NewOrder::new([lab.name()?])).await)?;
    site.prove(&order, Proof::Dns01).await?;
    recorder.lose_answer_of("/finalize-order/");
    Issued::finish(order, Leaf::new().await?).await?;
    let finalized = recorder.count("/finalize-order/");
    check(finalized == 1, || format!("it was finalized {finalized} times"))?;
    Ok("finalized once".to_owned())
}
