//! The dns-persist-01 challenge (draft-ietf-acme-dns-persist): a TXT record that stays.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use perennial_acme::{
    ChallengeKind,
    challenge::dns_persist01::{Applicant, Draft, NotCovered, Record, Wanted as Standing, find},
};
use perennial_core::{Clock, DomainName, SystemClock, Timestamp};
use perennial_propagation::{Checker, CheckerBuilder, Error as PropagationError, Wanted, report::State};
use perennial_providers::{Change, DnsProvider, Error as ProviderError, engine};
use tokio::time::Instant;

use super::{Proof, Solver, Task, dns01::owner_of};
use crate::Error;

/// Proves names by a record that lets one account have certificates for as long as it is there.
///
/// The record is set once, at `_validation-persist` below the name, by hand or by a [provider](Self::provider), and
/// **never removed**: whoever holds the account's key holds the name until somebody else removes it. So nobody has this
/// solver who has not asked for it, and named the revision of the draft: they do not understand each other.
///
/// Without a provider it only looks: where no record that is there will do, the failure says what to set, for all names
/// at once ([`Error::RecordWanted`]), and the next solver of the issuer has its turn. A record of another form will do if
/// it says enough: for the wildcard too, or with an end that is still to come.
///
/// ```no_run
/// use perennial_acme::challenge::dns_persist01::Draft;
/// use perennial_issuers::{AcmeIssuer, DnsPersist01};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = AcmeIssuer::builder(perennial_acme::directory::LETS_ENCRYPT_STAGING)
///     .agree_to_terms()
///     .solver(DnsPersist01::new(Draft::V01))
///     .build()?;
/// # let _ = issuer; Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DnsPersist01 {
    draft: Draft,
    provider: Option<Arc<dyn DnsProvider>>,
    checker: Option<Checker>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
}

/// A record that somebody has to set, since there is none that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WantedRecord {
    /// Which name cannot be proven without it.
    pub name: DomainName,
    /// At which name it has to be.
    pub at: String,
    /// What it has to say, at least. Of a name and its wildcard both want the one that serves both.
    pub value: String,
    /// What is wrong with those that are there.
    pub reason: String,
}

impl WantedRecord {
    /// That a name lacks a record with this value at this place.
    #[must_use]
    pub fn new(
        name: DomainName,
        at: impl Into<String>,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self { name, at: at.into(), value: value.into(), reason: reason.into() }
    }
}

/// As for dns-01: secondaries that poll their primary are behind by minutes.
const TIMEOUT: Duration = Duration::from_secs(600);

impl DnsPersist01 {
    /// Looks for records in the words of this revision, through the system's resolver settings, for at most ten minutes.
    #[must_use]
    pub fn new(draft: Draft) -> Self {
        let clock = Arc::new(SystemClock::new());
        Self { draft, provider: None, checker: None, clock, timeout: TIMEOUT }
    }

    /// Who sets the record where there is none that will do. Default: nobody; the failure says what to set.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn DnsProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Who looks for records. Default: a [`Checker`] with the settings of the environment
    /// ([`CheckerBuilder::from_env`]).
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.checker = Some(checker);
        self
    }

    /// Whose time counts for records with an end. Default: the operating system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a record that was just set is waited for. Default: ten minutes.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn usable_checker(&self) -> Result<Checker, Error> {
        match &self.checker {
            Some(checker) => Ok(checker.clone()),
            None => Ok(CheckerBuilder::from_env()?.build()?),
        }
    }

    /// The values at the name of a proof: as the provider has them, else as the name servers show them.
    async fn values(&self, proof: &Proof) -> Result<Vec<String>, Error> {
        let owner = owner_of(proof)?;
        match &self.provider {
            Some(provider) => {
                let zone = provider.zone(&owner).await?;
                match provider.values(&zone, &owner).await {
                    // A hook can write and not read.
                    Err(ProviderError::Unsupported { .. }) => self.shown(owner, &proof.value).await,
                    values => Ok(values?),
                }
            }
            None => self.shown(owner, &proof.value).await,
        }
    }

    async fn shown(&self, owner: DomainName, value: &str) -> Result<Vec<String>, Error> {
        let report = self.usable_checker()?.check(&Wanted::new(owner, [value.to_owned()])).await?;
        let rows: Vec<_> = report.stages.iter().flat_map(|stage| &stage.rows).collect();
        // Texts in a report are cut for display; what was compared is whole.
        if rows.iter().any(|row| row.state == State::Satisfied) {
            return Ok(vec![value.to_owned()]);
        }
        if !rows.iter().any(|row| row.state == State::Lacking) {
            // Nobody has said that it is not there: who failed, refused or was silent has not.
            return Err(PropagationError::NotPropagated(Box::new(report)).into());
        }
        let mut values: Vec<String> = rows
            .into_iter()
            .filter_map(|row| row.last.as_ref())
            .flat_map(|last| last.values.iter().cloned())
            .collect();
        values.sort();
        values.dedup();
        Ok(values)
    }

    /// The text of a record that will do for a proof, among those that are there.
    async fn standing(&self, proof: &Proof) -> Result<Result<String, NotCovered>, Error> {
        let values = self.values(proof).await?;
        Ok(standing(proof, &values, self.clock.now()))
    }
}

/// The first of the values that proves what a proof of ours would prove, or what is wrong with the one that came closest.
fn standing(proof: &Proof, values: &[String], now: Timestamp) -> Result<String, NotCovered> {
    let record = Record::parse(&proof.value)?;
    let issuers = [record.issuer().clone()];
    // What the account is called here is compared as it is written, in either revision.
    let applicant = Applicant::v01(record.account_uri());
    let wanted = Standing { name: &proof.name, issuers: &issuers, applicant: &applicant, now };
    let base = proof.name.base();
    let will_do = |value: &&String| find(&base, [value.as_str()], &wanted).is_ok();
    match values.iter().find(will_do) {
        Some(value) => Ok(value.clone()),
        None => {
            Err(find(&base, values.iter().map(String::as_str), &wanted).err().unwrap_or(NotCovered::NoRecord))
        }
    }
}

/// Of proofs for one name and its wildcard the one for both is enough.
fn without_covered(proofs: Vec<Proof>, now: Timestamp) -> Vec<Proof> {
    let is_covered = |at: usize, proof: &Proof| {
        proofs.iter().enumerate().any(|(other_at, other)| {
            let is_other = other_at != at && other.at == proof.at;
            let will_do = standing(proof, std::slice::from_ref(&other.value), now).is_ok();
            // Of two that say the same the first stays.
            is_other && will_do && (other_at < at || other.value != proof.value)
        })
    };
    let kept = proofs.iter().enumerate().filter(|(at, proof)| !is_covered(*at, proof));
    kept.map(|(_, proof)| proof.clone()).collect()
}

/// What to set for each name that lacks something: the record that serves it, of those that are enough for all.
fn wanted(lacking: Vec<(Proof, NotCovered)>, records: &[Proof], now: Timestamp) -> Vec<WantedRecord> {
    let of_one = |(proof, reason): (Proof, NotCovered)| {
        let serves = |record: &&Proof| {
            record.at == proof.at && standing(&proof, std::slice::from_ref(&record.value), now).is_ok()
        };
        let value = records.iter().find(serves).map_or(&proof.value, |record| &record.value).clone();
        WantedRecord::new(proof.name, proof.at, value, reason.to_string())
    };
    lacking.into_iter().map(of_one).collect()
}

#[async_trait]
impl Solver for DnsPersist01 {
    fn kind(&self) -> ChallengeKind {
        ChallengeKind::DnsPersist01
    }

    fn provider(&self) -> Option<String> {
        self.provider.as_ref().map(|provider| provider.kind().to_owned())
    }

    fn persists(&self) -> Option<Draft> {
        Some(self.draft)
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        let reason = "dns-persist-01 has no token; its record comes from the challenge itself".to_owned();
        Err(Error::Unsolvable { name: task.name.clone(), reason })
    }

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        let found = try_join_all(proofs.iter().map(|proof| self.standing(proof))).await?;
        let lacking: Vec<(Proof, NotCovered)> = proofs
            .iter()
            .zip(found)
            .filter_map(|(proof, found)| Some((proof.clone(), found.err()?)))
            .collect();
        let now = self.clock.now();
        let records = without_covered(lacking.iter().map(|(proof, _)| proof.clone()).collect(), now);
        let Some(provider) = &self.provider else {
            let records = wanted(lacking, &records, now);
            return if records.is_empty() { Ok(()) } else { Err(Error::RecordWanted { records }) };
        };
        let changes: Result<Vec<Change>, Error> =
            records.into_iter().map(|proof| Ok(Change::add(owner_of(&proof)?, proof.value))).collect();
        engine::apply(provider.as_ref(), &changes?).await?;
        Ok(())
    }

    async fn wait(&self, proofs: &[Proof], deadline: Duration) -> Result<(), Error> {
        let checker = self.usable_checker()?;
        let end = Instant::now() + deadline.min(self.timeout);
        let mut wanted = BTreeMap::<DomainName, Vec<String>>::new();
        let found = try_join_all(proofs.iter().map(|proof| self.standing(proof))).await?;
        for (proof, found) in proofs.iter().zip(found) {
            // It was there, or set, a moment ago.
            let value = found.unwrap_or_else(|_| proof.value.clone());
            wanted.entry(owner_of(proof)?).or_default().push(value);
        }
        let watches = wanted.into_iter().map(|(owner, values)| {
            let checker = &checker;
            async move {
                let left = end.saturating_duration_since(Instant::now());
                checker.watch(&Wanted::new(owner, values), left, &mut |_| ()).await.map(drop)
            }
        });
        join_all(watches).await.into_iter().collect::<Result<(), _>>()?;
        Ok(())
    }

    /// Removes nothing.
    async fn clean_up(&self, _: &[Proof]) -> Result<(), Error> {
        Ok(())
    }
}

impl fmt::Debug for DnsPersist01 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { draft, timeout, .. } = self;
        f.debug_struct("DnsPersist01").field("draft", draft).field("timeout", timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "ca.example; accounturi=https://ca.example/acct/1";

    fn now() -> Timestamp {
        Timestamp::from_unix(1_800_000_000)
    }

    fn proof(name: &str, more: &str) -> Proof {
        let at = "_validation-persist.a.example";
        Proof::new(&ChallengeKind::DnsPersist01, name.parse().unwrap(), at, format!("{OURS}{more}"))
    }

    fn found(proof: &Proof, values: &[&str]) -> Result<String, NotCovered> {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        standing(proof, &values, now())
    }

    #[test]
    fn a_record_will_do_that_says_enough_in_whatever_form() {
        let (alone, all) = (proof("a.example", ""), proof("*.a.example", "; policy=wildcard"));
        let broad = format!("{OURS}; policy=WILDCARD; persistUntil=1800000000; x=y");
        let other = "ca.example; accounturi=https://ca.example/acct/2";
        assert_eq!(found(&alone, &["v=spf1", other, &broad]), Ok(broad.clone()));
        assert_eq!(found(&all, &[OURS, &broad]), Ok(broad));
        assert!(matches!(found(&all, &[OURS]), Err(NotCovered::NotWildcard { .. })));
        assert!(matches!(found(&alone, &[other]), Err(NotCovered::OtherAccount { .. })));
        assert_eq!(found(&alone, &[]), Err(NotCovered::NoRecord));
        let over = format!("{OURS}; persistUntil=1799999999");
        assert!(matches!(found(&alone, &[&over]), Err(NotCovered::Expired { .. })));
    }

    #[test]
    fn of_a_name_and_its_wildcard_one_record_is_set() {
        let (alone, all) = (proof("a.example", ""), proof("*.a.example", "; policy=wildcard"));
        let kept =
            |proofs: &[&Proof]| without_covered(proofs.iter().map(|it| (*it).clone()).collect(), now());
        assert_eq!(kept(&[&alone, &all]), std::slice::from_ref(&all));
        assert_eq!(kept(&[&all, &alone]), std::slice::from_ref(&all));
        assert_eq!(kept(&[&alone, &alone]), std::slice::from_ref(&alone));
        let mut elsewhere = alone.clone();
        elsewhere.at = "_validation-persist.b.example".to_owned();
        assert_eq!(kept(&[&elsewhere, &all]), [elsewhere, all]);
    }

    #[test]
    fn of_a_name_and_its_wildcard_both_want_the_record_that_serves_both() {
        let (alone, all) = (proof("a.example", ""), proof("*.a.example", "; policy=wildcard"));
        let lacking: Vec<_> = [&alone, &all].map(|it| (it.clone(), NotCovered::NoRecord)).to_vec();
        let records = without_covered(vec![alone, all.clone()], now());
        let wanted = wanted(lacking, &records, now());
        let told: Vec<_> = wanted.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
        assert_eq!(told, [("a.example", all.value.as_str()), ("*.a.example", all.value.as_str())]);
    }

    proptest! {
        #[test]
        fn no_value_panics(values in proptest::collection::vec(".{0,60}", 0..4)) {
            let _ = standing(&proof("a.example", ""), &values, now());
        }
    }
}
