//! Renewal information (RFC 9773), as it is and as the certificate authority is told to answer; and orders that
//! replace a certificate.

use std::time::Duration;

use perennial_acme::{Account, Error, NewOrder};
use perennial_core::{Retry, Timestamp};
use perennial_testkit::real::Pebble;

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Site, now},
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("ari", Box::pin(as_it_is(lab))),
        ("ari_moved", Box::pin(moved(lab))),
        ("ari_malformed", Box::pin(unusable(lab, "not even JSON"))),
        ("ari_end_before_start", Box::pin(unusable(lab, BACKWARDS))),
        ("ari_no_window", Box::pin(unusable(lab, "{}"))),
        ("ari_unknown_certificate", Box::pin(unknown(lab))),
        ("ari_not_offered", Box::pin(not_offered(lab))),
        ("replaces", Box::pin(replaced(lab))),
        ("replaces_again", Box::pin(replaced_again(lab))),
        ("replaces_of_another_account", Box::pin(replaced_by_another(lab))),
    ]
}

const BACKWARDS: &str =
    r#"{"suggestedWindow":{"start":"2031-01-02T00:00:00Z","end":"2031-01-01T00:00:00Z"}}"#;

async fn issued(lab: &Lab, site: &Site<'_>) -> Result<(Account, Issued), String> {
    let account = site.account().await?;
    let issued = site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    Ok((account, issued))
}

async fn as_it_is(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, issued) = issued(lab, &site).await?;
    let info = text(account.client().renewal_info(&text(issued.chain.id())?).await)?;
    let (start, end) = (info.window.start(), info.window.end());
    check(now() < start && end < issued.chain.not_after(), || format!("the window is {start} to {end}"))?;
    // Pebble says six hours.
    let wait = now().until(info.retry_at);
    let expected = Duration::from_secs(6 * 3600 - 60)..Duration::from_secs(6 * 3600 + 60);
    check(expected.contains(&wait), || format!("ask again in {wait:?}"))?;
    Ok(format!("{start} to {end}"))
}

/// The window is in the past: renew now. The explanation is shown.
async fn moved(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, issued) = issued(lab, &site).await?;
    let window = r#"{"suggestedWindow":{"start":"2026-01-02T00:00:00Z","end":"2026-01-03T00:00:00Z"},
        "explanationURL":"https://ca.example/incident"}"#;
    text(site.pebble.set_renewal_info(&issued.chain.leaf_pem(), window).await)?;
    let info = text(account.client().renewal_info(&text(issued.chain.id())?).await)?;
    let start: Timestamp = text("2026-01-02T00:00:00Z".parse())?;
    check(info.window.start() == start, || format!("it begins at {}", info.window.start()))?;
    let now = now();
    check(info.window.moment(0.5, now) == now, || "it is not renewed at once".to_owned())?;
    let explanation = info.explanation_url.unwrap_or_default();
    check(explanation == "https://ca.example/incident", || format!("explained by {explanation:?}"))?;
    Ok(explanation)
}

/// An answer that is none: ask again in six hours (RFC 9773 §4.3.3).
async fn unusable(lab: &Lab, answer: &str) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, issued) = issued(lab, &site).await?;
    text(site.pebble.set_renewal_info(&issued.chain.leaf_pem(), answer).await)?;
    let asked = account.client().renewal_info(&text(issued.chain.id())?).await;
    in_six_hours(asked.err().ok_or("it was taken")?)
}

/// Another certificate authority's certificate.
async fn unknown(lab: &Lab) -> Outcome {
    let (here, there) = (lab.usual_site().await?, lab.usual_site().await?);
    let (_, issued) = issued(lab, &there).await?;
    let asked = here.client()?.0.renewal_info(&text(issued.chain.id())?).await;
    in_six_hours(asked.err().ok_or("it was answered")?)
}

fn in_six_hours(error: Error) -> Outcome {
    let hours = match error.retry() {
        Retry::At(moment) => now().until(moment).as_secs_f32() / 3600.0,
        other => return Err(format!("{other:?}: {error}")),
    };
    check((5.9..6.1).contains(&hours), || format!("again in {hours} hours: {error}"))?;
    Ok(error.to_string())
}

async fn not_offered(lab: &Lab) -> Outcome {
    let (new, old) = (lab.usual_site().await?, lab.site(Pebble::builder().older_dialect()).await?);
    let (_, issued) = issued(lab, &new).await?;
    let (client, recorder) = old.client()?;
    let asked = client.renewal_info(&text(issued.chain.id())?).await;
    let error = asked.err().ok_or("it was answered")?;
    let sent = recorder.take();
    check(matches!(error, Error::Misuse(_)) && sent.len() == 1, || format!("{error}: {}", sent.join(", ")))?;
    Ok(error.to_string())
}

/// The order names the certificate that it replaces, and the server says so too.
async fn replaced(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, issued) = issued(lab, &site).await?;
    let id = text(issued.chain.id())?;
    let renewal = site.issue(&account, &again(&site, &issued)?).await?;
    check(renewal.chain.leaf() != issued.chain.leaf(), || "it is the same certificate".to_owned())?;
    check(renewal.order.state().replaces.as_deref() == Some(id.to_string().as_str()), || {
        format!("{:?} is replaced", renewal.order.state().replaces)
    })?;
    Ok(id.to_string())
}

/// It was replaced already (409): the order is asked for once more without, and no renewal fails for it.
async fn replaced_again(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (account, recorder) = site.recorded_account().await?;
    let issued = site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    site.issue(&account, &again(&site, &issued)?).await?;
    recorder.take();
    let renewal = site.issue(&account, &again(&site, &issued)?).await?;
    let orders = recorder.count("/order-plz");
    check(orders == 2, || format!("{orders} orders were asked for"))?;
    let replaces = renewal.order.state().replaces;
    check(replaces.is_none(), || format!("{replaces:?} is replaced"))?;
    Ok("refused with it, made without".to_owned())
}

async fn replaced_by_another(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (_, issued) = issued(lab, &site).await?;
    site.issue(&site.account().await?, &again(&site, &issued)?).await?;
    Ok("refused with it, made without".to_owned())
}

/// The same names once more, in the certificate's place.
fn again(site: &Site<'_>, issued: &Issued) -> Result<NewOrder, String> {
    let request = NewOrder::new(issued.order.state().identifiers);
    Ok(request.replaces(&text(issued.chain.id())?, site.pebble.directory_url()))
}
