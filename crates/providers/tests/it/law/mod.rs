//! The laws that need a vendor which can be told what to do wrong: the same for every provider, over its fake.
//!
//! A provider's test says how a client of it is made and what is different about it, and everything else is here:
//!
//! ```text
//! let fake = VendorServer::start(vendor::Paper::new(TOKEN), &["example.com"]).await.unwrap();
//! let make = |means: Means| -> Arc<dyn DnsProvider> {
//!     let builder = Paper::builder(TOKEN).base_url(means.base_url).clock(means.clock).http(means.http);
//!     Arc::new(builder.build().unwrap())
//! };
//! Case::new(&fake, &make).secret(TOKEN).keeps().await;
//! ```

use std::{fmt::Debug, sync::Arc};

use perennial_core::{Clock, DomainName, HttpClient, ReqwestClient, SystemClock};
use perennial_providers::{Change, DnsProvider, Zone, vendor::BODY_LIMIT};
use perennial_testkit::{
    SkippingClock,
    vendor::{Echo, TxtStore, VendorServer},
};
use tracing::instrument::WithSubscriber as _;

mod contract;
mod failing;
mod finding;
mod hostile;
mod outside;
mod sharing;

pub(crate) use outside::each_bad_answer_is_told_apart;

/// The zone that every fake is started with.
pub(crate) const ZONE: &str = "example.com";

/// A name in it, where somebody else has a value already.
pub(crate) const NAME: &str = "_acme-challenge.www.example.com";

const FOREIGN: &str = "somebody else's";
const FOREIGN_TTL: u32 = 3600;

/// What a client is made with.
#[derive(Clone)]
pub(crate) struct Means {
    /// That of the fake, without a path.
    pub(crate) base_url: String,
    pub(crate) clock: Arc<SkippingClock>,
    /// As a provider has it by default; it takes long to make, and is shared therefore.
    pub(crate) http: Arc<dyn HttpClient>,
}

impl Means {
    /// For this fake, at this moment.
    pub(crate) fn of(fake: &VendorServer) -> Self {
        let client = ReqwestClient::builder().dangerous_allow_http().body_limit(BODY_LIMIT).build().unwrap();
        let clock = Arc::new(SkippingClock::new(SystemClock::new().now()));
        Self { base_url: fake.base_url(), clock, http: Arc::new(client) }
    }
}

pub(crate) type Make<'c> = &'c (dyn Fn(Means) -> Arc<dyn DnsProvider> + Sync);

/// One provider over its fake.
pub(crate) struct Case<'c> {
    pub(crate) fake: &'c VendorServer,
    make: Make<'c>,
    means: Means,
    secrets: Vec<String>,
    echoes: Vec<Echo>,
    walks: bool,
    twins: bool,
    keeps_foreign: bool,
    keeps_comments: bool,
    found_by_id: bool,
    only: &'c [&'c str],
}

pub(crate) type Outcome = Result<(), String>;

impl<'c> Case<'c> {
    pub(crate) fn new(fake: &'c VendorServer, make: Make<'c>) -> Self {
        Self {
            fake,
            make,
            means: Means::of(fake),
            secrets: Vec::new(),
            echoes: vec![Echo::AsSent, Echo::Plain, Echo::Quoted, Echo::Segmented],
            walks: true,
            twins: false,
            keeps_foreign: true,
            keeps_comments: true,
            found_by_id: false,
            only: &[],
        }
    }

    /// What must be seen in no error, no `Debug`, no receipt and no log, whether something fails or not.
    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.secrets.push(secret.to_owned());
        self
    }

    /// The forms in which the vendor may write values; all by default.
    pub(crate) fn echoes(mut self, echoes: &[Echo]) -> Self {
        self.echoes = echoes.to_vec();
        self
    }

    /// No candidate can be refused by the vendor, since none is looked up by its name.
    #[allow(dead_code, reason = "for providers that need it")]
    pub(crate) const fn never_walks(mut self) -> Self {
        self.walks = false;
        self
    }

    /// A zone may have a private twin of the same name.
    #[allow(dead_code, reason = "for providers that need it")]
    pub(crate) const fn with_twins(mut self) -> Self {
        self.twins = true;
        self
    }

    /// The vendor replaces sets or zones blindly: a writer elsewhere can be overwritten between our read and our
    /// write. That is documented, and not asked of the provider.
    pub(crate) const fn overwrites_blindly(mut self) -> Self {
        self.keeps_foreign = false;
        self
    }

    /// The vendor has no comments.
    #[allow(dead_code, reason = "for providers that need it")]
    pub(crate) const fn without_comments(mut self) -> Self {
        self.keeps_comments = false;
        self
    }

    /// The vendor addresses zones by identifiers, which change when a zone is made anew.
    pub(crate) const fn found_by_id(mut self) -> Self {
        self.found_by_id = true;
        self
    }

    /// Of the laws only these.
    pub(crate) const fn only(mut self, laws: &'c [&'c str]) -> Self {
        self.only = laws;
        self
    }

    /// Every law is kept, or the test fails with those that are not.
    pub(crate) async fn keeps(&self) {
        let broken = self.breaches().await;
        let report: Vec<_> = broken.iter().map(|(law, what)| format!("{law}: {what}")).collect();
        assert!(broken.is_empty(), "{} laws are broken\n{}", broken.len(), report.join("\n"));
    }

    /// The laws that are not kept, and how.
    pub(crate) async fn breaches(&self) -> Vec<(&'static str, String)> {
        let mut broken = Vec::new();
        macro_rules! laws {
            ($($law:path),* $(,)?) => {$(
                if self.only.is_empty() || self.only.contains(&stringify!($law)) {
                    self.reset();
                    let log = hostile::Log::default();
                    let kept = $law(self).with_subscriber(log.clone()).await;
                    // What succeeds is logged, too.
                    if let Err(what) = kept.and_then(|()| self.keeps_secrets("the log", &log.text())) {
                        broken.push((stringify!($law), what));
                    }
                }
            )*};
        }
        laws![
            contract::is_kept_with_a_foreign_sibling,
            contract::is_kept_at_the_apex_and_for_names_however_they_are_written,
            contract::removes_without_a_receipt_after_a_restart,
            contract::removes_by_receipts_that_were_written_down,
            contract::understands_every_echo,
            contract::tells_what_became_of_each_change,
            contract::raises_a_time_to_live_that_is_too_short,
            failing::writes_once_whatever_becomes_of_an_answer,
            failing::waits_as_it_is_told,
            failing::does_not_wait_for_long,
            failing::is_held_back_with_whoever_shows_the_same_credential,
            failing::leaves_what_can_be_cleaned_up_when_it_is_dropped,
            finding::finds_the_nearest_zone,
            finding::reads_every_page,
            finding::tolerates_a_candidate_that_is_refused,
            finding::says_which_zones_were_tried,
            finding::remembers_what_it_found,
            finding::finds_a_zone_that_was_made_anew,
            hostile::takes_no_web_page_for_an_answer,
            hostile::follows_no_redirect,
            hostile::reads_no_endless_body,
            hostile::explains_a_refusal_and_keeps_the_secret,
            hostile::says_that_the_clocks_differ,
            hostile::survives_whatever_is_left_of_an_answer,
            sharing::survives_others_who_write_in_between,
            sharing::converges_with_twenty_writers_of_two_clients,
        ];
        broken
    }

    /// As it was in the beginning: one zone, and somebody else's value in it.
    fn reset(&self) {
        self.fake.clear_faults();
        self.fake.clear_exchanges();
        let mut store = self.fake.store();
        store.records.clear();
        store.forbidden.clear();
        store.echo = Echo::AsSent;
        store.page_size = None;
        store.zones.retain(|zone| !zone.private);
        store.zones.truncate(1);
    }

    /// A client of its own, as another process would have it.
    pub(crate) fn client(&self) -> Arc<dyn DnsProvider> {
        self.client_with(&self.clock())
    }

    fn client_with(&self, clock: &Arc<SkippingClock>) -> Arc<dyn DnsProvider> {
        (self.make)(Means { clock: clock.clone(), ..self.means.clone() })
    }

    /// A client that takes the fake for another server: whatever a process keeps for one server is kept apart.
    fn stranger(&self) -> Arc<dyn DnsProvider> {
        (self.make)(Means { base_url: self.fake.other_base_url(), clock: self.clock(), ..self.means.clone() })
    }

    fn clock(&self) -> Arc<SkippingClock> {
        Arc::new(SkippingClock::new(SystemClock::new().now()))
    }

    /// Somebody else's value at the name, with a time to live and a comment of its own.
    fn plant(&self) {
        let mut store = self.fake.store();
        store.add(ZONE, NAME, FOREIGN, FOREIGN_TTL);
        if self.keeps_comments
            && let Some(record) = store.records.last_mut()
        {
            record.comment = Some("do not touch".to_owned());
        }
    }

    /// Whether somebody else's value is as it was.
    fn is_untouched(&self) -> Outcome {
        let store = self.fake.store();
        let found: Vec<_> =
            store.records.iter().filter(|it| it.name == NAME && it.value == FOREIGN).collect();
        let comment = self.keeps_comments.then_some("do not touch");
        match found.as_slice() {
            [record] if record.ttl == FOREIGN_TTL && record.comment.as_deref() == comment => Ok(()),
            other => Err(format!("somebody else's value is not as it was: {other:?}")),
        }
    }

    /// That none of the secrets is in there.
    fn keeps_secrets(&self, what: &str, text: &str) -> Outcome {
        match self.secrets.iter().find(|secret| text.contains(*secret)) {
            Some(_) => Err(format!("a secret is in {what}: {text}")),
            None => Ok(()),
        }
    }

    /// The values that are there, apart from somebody else's.
    fn expect(&self, after: &str, name: &str, ours: &[&str]) -> Outcome {
        let mut found = self.fake.store().values(name);
        found.retain(|value| value != FOREIGN);
        let mut expected: Vec<_> = ours.iter().map(|value| (*value).to_owned()).collect();
        expected.sort();
        if found == expected {
            Ok(())
        } else {
            Err(format!("after {after}: expected {expected:?}, found {found:?}"))
        }
    }

    fn store<T>(&self, change: impl FnOnce(&mut TxtStore) -> T) -> T {
        change(&mut self.fake.store())
    }
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn add(value: &str) -> Change {
    Change::add(name(NAME), value)
}

fn remove(value: &str) -> Change {
    Change::remove(name(NAME), value)
}

async fn zone(provider: &dyn DnsProvider) -> Result<Zone, String> {
    doing("finding the zone", provider.zone(&name(NAME)).await)
}

/// Adds or removes, in batches no larger than the provider takes.
async fn apply(provider: &dyn DnsProvider, what: &str, changes: &[Change]) -> Outcome {
    let zone = zone(provider).await?;
    for batch in changes.chunks(provider.capabilities().batch_max.get()) {
        doing(what, provider.apply(&zone, batch).await)?;
    }
    Ok(())
}

fn doing<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}
