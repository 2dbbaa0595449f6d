//! The walk from names to a certificate, and the deaths that it survives.

use std::sync::Arc;

use perennial_acme::{
    Account, AccountKey, CertificateChain, CertificationRequest, Identifier, NewOrder,
    flow::{Errand, Event, Plan, State, Step, Walk},
};
use perennial_core::DomainName;
use perennial_testkit::real::{Pebble, PebbleBuilder};

use super::{
    Case, Outcome, check,
    lab::{Lab, Leaf, Site, soon},
    proof::Proof,
    recorder::Recorder,
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("walk", Box::pin(straight(lab, Pebble::builder()))),
        ("walk_killed_at_every_step", Box::pin(killed(lab))),
        ("walk_lost_answer_authorization", Box::pin(lost(lab, "/authZ/"))),
        ("walk_lost_answer_challenge", Box::pin(lost(lab, "/chalZ/"))),
        ("walk_lost_answer_order", Box::pin(lost(lab, "/my-order/"))),
        ("walk_lost_answer_finalize", Box::pin(lost(lab, "/finalize-order/"))),
        ("walk_lost_answer_certificate", Box::pin(lost(lab, "/certZ/"))),
    ]
}

/// What outlives a process: the key of the account, the key of the certificate, and the state of the walk.
struct Kept<'a> {
    site: &'a Site<'a>,
    account_key: Arc<AccountKey>,
    account_url: String,
    names: Vec<DomainName>,
    leaf: Leaf,
    state: Option<String>,
}

impl<'a> Kept<'a> {
    async fn new(site: &'a Site<'a>) -> Result<Self, String> {
        let account_key = Arc::new(text(AccountKey::generate())?);
        let account_url = site.register(account_key.clone()).await?.url().to_owned();
        let name = site.lab.name()?;
        let names = vec![text(format!("*.{name}").parse())?, name];
        Ok(Self { site, account_key, account_url, names, leaf: Leaf::new().await?, state: None })
    }

    /// A process that goes on with what is kept, and its requests.
    fn process(&self) -> Result<(Account, Walk, Arc<Recorder>), String> {
        let (client, recorder) = self.site.client()?;
        let account = text(client.account(&self.account_url, self.account_key.clone()))?;
        let csr = self.leaf.request(&self.identifiers())?;
        let certification_request = text(CertificationRequest::parse(&csr))?;
        let plan = Plan { request: NewOrder::new(&self.names), certification_request, deadline: soon() };
        let walk = match &self.state {
            Some(state) => Walk::resume(plan, text(serde_json::from_str::<State>(state))?),
            None => Walk::new(plan),
        };
        Ok((account, text(walk)?, recorder))
    }

    /// So many steps, or fewer when the certificate is there.
    async fn go(
        &mut self,
        account: &Account,
        walk: &mut Walk,
        steps: usize,
    ) -> Result<Option<CertificateChain>, String> {
        for _ in 0..steps {
            let event = match walk.poll() {
                Step::Send(calls) => {
                    text(account.perform(walk, calls).await)?;
                    continue;
                }
                Step::Do(Errand::Record(state)) => {
                    self.state = Some(text(serde_json::to_string(&state))?);
                    Event::Recorded
                }
                Step::Do(Errand::Choose(offers)) => {
                    let mut chosen = Vec::new();
                    for offer in &offers {
                        let challenge = Proof::Dns01.present(self.site, account, &account.offered(offer))?;
                        chosen.push(challenge.state().url.clone());
                    }
                    Event::Chosen(chosen)
                }
                Step::Do(Errand::Present(_)) => Event::Presented,
                Step::Do(Errand::Wait(_)) => Event::Visible,
                Step::Do(Errand::CleanUp(_)) => Event::CleanedUp,
                Step::Do(Errand::Take(download)) => {
                    self.leaf.verify(&download.chain, &self.identifiers())?;
                    return Ok(Some(download.chain));
                }
            };
            text(walk.handle(event))?;
        }
        Ok(None)
    }

    fn identifiers(&self) -> Vec<Identifier> {
        self.names.iter().map(Identifier::from).collect()
    }
}

/// More steps than any walk has.
const TO_THE_END: usize = 1000;

pub(super) async fn straight(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let mut kept = Kept::new(&site).await?;
    let (account, mut walk, recorder) = kept.process()?;
    kept.go(&account, &mut walk, TO_THE_END).await?.ok_or("it has no end")?;
    Ok(format!("{} requests for {} names", recorder.take().len(), kept.names.len()))
}

/// The first process dies after one step, the second after two, and so on. The one gap is the protocol's: an
/// order whose URL was not written down yet is lost.
async fn killed(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let mut kept = Kept::new(&site).await?;
    let (mut lives, mut orders, mut finalizations) = (0, 0, 0);
    loop {
        lives += 1;
        let (account, mut walk, recorder) = kept.process()?;
        let chain = kept.go(&account, &mut walk, lives).await?;
        orders += recorder.count("/order-plz");
        finalizations += recorder.count("/finalize-order/");
        if chain.is_some() {
            break;
        }
    }
    check(orders == 2, || format!("{orders} orders were placed"))?;
    check(finalizations == 1, || format!("{finalizations} finalizations were sent"))?;
    Ok(format!("in {lives} lives"))
}

/// The server has done what was asked, and nobody heard of it; the step is done again, or another process goes on.
async fn lost(lab: &Lab, path: &'static str) -> Outcome {
    let site = lab.usual_site().await?;
    let mut kept = Kept::new(&site).await?;
    let (account, mut walk, recorder) = kept.process()?;
    recorder.lose_answer_of(path);
    let first = kept.go(&account, &mut walk, TO_THE_END).await;
    let lives = match first {
        Ok(chain) => chain.map(|_| 1),
        Err(reason) => {
            check(reason.contains("the judge lost"), || reason)?;
            let (account, mut walk, again) = kept.process()?;
            let chain = kept.go(&account, &mut walk, TO_THE_END).await?;
            check(again.count("/order-plz") == 0, || "a second order was placed".to_owned())?;
            check(again.count("/finalize-order/") + recorder.count("/finalize-order/") == 1, || {
                "it was finalized twice".to_owned()
            })?;
            chain.map(|_| 2)
        }
    };
    let lives = lives.ok_or("it has no end")?;
    check(recorder.count("/order-plz") == 1, || "a second order was placed".to_owned())?;
    Ok(if lives == 1 { "by the same process".to_owned() } else { "by another process".to_owned() })
}
