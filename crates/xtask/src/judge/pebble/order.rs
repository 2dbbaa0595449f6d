//! Orders (RFC 8555 §7.4): nonces that are refused, answers that are lost, orders taken up again.

use perennial_acme::{NewOrder, OrderStatus};
use perennial_testkit::real::Pebble;

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Leaf},
    proof::Proof,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("nonces_refused_0", Box::pin(refused_nonces(lab, 0))),
        ("nonces_refused_50", Box::pin(refused_nonces(lab, 50))),
        ("nonces_refused_90", Box::pin(refused_nonces(lab, 90))),
        ("strict", Box::pin(strict(lab))),
        ("wildcard", Box::pin(wildcard(lab))),
        ("resumed_by_url", Box::pin(resumed_by_url(lab))),
        ("lost_answer_finalize", Box::pin(lost_finalize_answer(lab))),
    ]
}

async fn refused_nonces(lab: &Lab, percent: u8) -> Outcome {
    let site = lab.site(Pebble::builder().rejected_nonces(percent)).await?;
    let account = site.account().await?;
    site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    Ok(String::new())
}

async fn strict(lab: &Lab) -> Outcome {
    let site = lab.site(Pebble::builder().strict()).await?;
    let account = site.account().await?;
    site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    Ok(String::new())
}

/// Both share one record name, and need two values there.
async fn wildcard(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let name = lab.name()?;
    let names = [text(format!("*.{name}").parse())?, name];
    site.issue(&site.account().await?, &NewOrder::new(&names)).await?;
    Ok(format!("{} and {}", names[0], names[1]))
}

/// Another process has nothing but the account and the order's URL, at each stage.
async fn resumed_by_url(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let account = site.account().await?;
    let order = text(account.new_order(&NewOrder::new([lab.name()?])).await)?;
    let url = order.url().to_owned();
    site.prove(&text(account.order(&url).await)?, Proof::Dns01).await?;
    let ready = text(account.order(&url).await)?;
    check(ready.state().status == OrderStatus::Ready, || format!("it is {}", ready.state().status))?;
    let leaf = Leaf::new()?;
    text(ready.finalize(&leaf.request(&ready.state().identifiers)?).await)?;
    // Pebble names no order in the answer of finalize: its URL is what newOrder said.
    Issued::finish(text(account.order(&url).await)?, leaf).await?;
    Ok(String::new())
}

async fn lost_finalize_answer(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (client, recorder) = site.client()?;
    let key = std::sync::Arc::new(text(perennial_acme::AccountKey::generate())?);
    let terms = perennial_acme::NewAccount::new().agree_to_terms();
    let account = text(client.register(terms, key).await)?;
    let order = text(account.new_order(&NewOrder::new([lab.name()?])).await)?;
    site.prove(&order, Proof::Dns01).await?;
    recorder.lose_answer_of("/finalize-order/");
    Issued::finish(order, Leaf::new()?).await?;
    let finalized = recorder.count("/finalize-order/");
    check(finalized == 1, || format!("it was finalized {finalized} times"))?;
    Ok("finalized once".to_owned())
}
