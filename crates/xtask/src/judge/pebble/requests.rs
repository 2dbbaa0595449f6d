//! How many requests an issuance takes: never one more than RFC 8555 needs.

use std::{fmt, sync::Arc, time::Duration};

use perennial_acme::{Account, AccountKey, NewAccount, NewOrder, OrderStatus};
use perennial_core::DomainName;
use perennial_testkit::real::Pebble;

use super::{
    Case, Outcome, check,
    lab::{Issued, Lab, Leaf, Site, soon},
    proof::Proof,
    recorder::Recorder,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("requests_1_name", Box::pin(in_the_fewest_requests(lab, 1))),
        ("requests_10_names", Box::pin(in_the_fewest_requests(lab, 10))),
    ]
}

/// A new account, a known one in a new process, a process that goes on, and names that are proven already.
async fn in_the_fewest_requests(lab: &Lab, n: usize) -> Outcome {
    let site = lab.site(Pebble::builder().reused_authorizations(100)).await?;
    let key = Arc::new(text(AccountKey::generate())?);
    let (client, recorder) = site.client()?;
    let account = text(client.register(NewAccount::new().agree_to_terms(), key.clone()).await)?;
    let cold = issue(&site, &account, &recorder, &names(lab, n)?).await?;
    cold.expect("cold", 7 + 2 * n)?;

    let daemon = issue(&site, &account, &recorder, &names(lab, n)?).await?;
    daemon.expect("daemon", 4 + 2 * n)?;

    let (client, recorder) = site.client()?;
    let account = text(client.account(account.url(), key))?;
    let proven = names(lab, n)?;
    let known = issue(&site, &account, &recorder, &proven).await?;
    known.expect("known account", 6 + 2 * n)?;

    let ready = issue(&site, &account, &recorder, &proven).await?;
    ready.expect("ready", 3)?;
    Ok(format!("cold {cold}, known account {known}, daemon {daemon}, ready {ready}"))
}

fn names(lab: &Lab, n: usize) -> Result<Vec<DomainName>, String> {
    (0..n).map(|_| lab.name()).collect()
}

/// What was sent for one certificate.
struct Sent {
    lines: Vec<String>,
    /// Looks at the order after finalize: the server's pace, not ours.
    polls: usize,
}

async fn issue(
    site: &Site<'_>,
    account: &Account,
    recorder: &Recorder,
    names: &[DomainName],
) -> Result<Sent, String> {
    let order = text(account.new_order(&NewOrder::new(names)).await)?;
    if order.state().status != OrderStatus::Ready {
        let mut challenges = Vec::new();
        for authorization in text(order.authorizations().await)? {
            challenges.push(Proof::Dns01.present(site, account, &authorization)?);
        }
        for challenge in challenges {
            text(challenge.answer().await)?;
        }
        // Pebble validates in milliseconds but does not say when to look.
        tokio::time::sleep(Duration::from_secs(1)).await;
        text(order.wait_ready(soon()).await)?;
    }
    Issued::finish(order, Leaf::new().await?).await?;
    let lines = recorder.take();
    let finalized = lines.iter().position(|line| line.contains("/finalize-order/")).unwrap_or_default();
    let polls = lines.iter().skip(finalized).filter(|line| line.contains("/my-order/")).count();
    Ok(Sent { lines, polls })
}

impl Sent {
    fn expect(&self, what: &str, fewest: usize) -> Result<(), String> {
        let fewest = fewest + self.polls;
        check(self.lines.len() == fewest, || {
            format!("{what}: {} requests instead of {fewest}: {}", self.lines.len(), self.lines.join(", "))
        })
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (m = {})", self.lines.len(), self.polls)
    }
}
