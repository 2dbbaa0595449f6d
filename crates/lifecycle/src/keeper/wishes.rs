//! What else can be wished for: adoption, replacement of a stolen key, certificates at first sight.

use std::{sync::atomic::Ordering, time::Duration};

use perennial_core::{DomainName, Timestamp};

use super::{Certificate, Inner, Keeper, adopting, lease::Ticket, material};
use crate::{
    CertificateId, CertificateSpec, Compromised, Error, EventKind, IssuedChain, PrivateKey, Record,
    StoreError, Version,
    budget::{BudgetKey, Demand, Refusal},
    facts::sha256_hex,
    store::Batch,
};

impl Keeper {
    /// Takes over a certificate that is there already, with its key, instead of having one issued: after a move, or
    /// one that was made by hand. From then on it is kept as if it had been issued for this spec.
    ///
    /// It is compared with the spec as far as it shows what it is: key, names, dates, whether it may sign others, and
    /// the attributes of the subject and the usages that are wished for. More usages than those, or a common name that
    /// nobody wished for, are no fault. By which profile it was made, no certificate says: that is believed. Nor is it
    /// asked whether it is as long as was wished for, which issuers do not promise; it is renewed by its real dates.
    ///
    /// # Errors
    /// [`Error::Spec`] or [`Error::UnknownIssuer`] when the spec cannot work, [`Error::Contract`] when the
    /// certificate is not the one that the spec wishes for, has another key or one of another kind, has ended, or its
    /// chain does not hold together; [`Error::Held`] while another process works on it, [`Error::Store`] when it
    /// cannot be written down.
    pub async fn adopt(
        &self,
        spec: CertificateSpec,
        chain: &IssuedChain,
        key: &PrivateKey,
    ) -> Result<(), Error> {
        self.inner.check(&spec)?;
        let (id, now) = (spec.id().clone(), self.inner.clock.now());
        adopting::check(&spec, chain, key, now)?;

        let _turn = self.inner.turns.wait(&id).await;
        let held = match self.inner.store.load(&id).await? {
            Some(_) => Some(self.inner.claim_one(&id).await?),
            None => None,
        };
        let (batch, expected, mut record) = match &held {
            Some(Ticket { hold, version, record }) => (hold.batch(), Some(*version), record.clone()),
            None => (Batch::new(), None, Record::new(spec.clone())),
        };
        record.spec = spec;
        let (batch, generation, forgotten) = adopting::take_over(&mut record, (chain, key), batch, now);
        // What is under way for it is ended at the next look, which is now.
        record.next_at = self.inner.at_once();
        let batch = batch.change(record, expected);
        self.inner.store.apply(&batch).await?;
        if let Some(old) = forgotten {
            // That an old generation stays a little longer harms nobody.
            let _ = self.inner.store.forget(&id, old).await;
        }
        if let Some(Ticket { hold, .. }) = held {
            hold.release().await?;
        }
        self.inner.tell(&id, EventKind::Adopted { generation, not_after: chain.facts().not_after });
        self.inner.look_now();
        Ok(())
    }

    /// Replaces a certificate whose key is in other hands: at once, with a new key whatever its rotation says, and
    /// when the new one is in place the old one is revoked. Until then the old one serves, for what it is worth.
    ///
    /// It is on record before this returns, so that a crash in between delays it and no more.
    ///
    /// # Errors
    /// [`Error::UnknownCertificate`] when nobody wished for it, [`Error::Store`] when it cannot be written down.
    pub async fn replace_compromised(&self, id: &CertificateId) -> Result<(), Error> {
        loop {
            let (version, mut record) = self.inner.record(id).await?;
            let Some(current) = record.current.clone().filter(|it| !record.is_compromised(it.generation))
            else {
                return Ok(());
            };
            let others = record.attempt.as_ref().map(|attempt| attempt.generation).into_iter();
            let mut stolen = vec![current.generation];
            for other in others.chain(record.previous) {
                // A key that is kept from one certificate to the next is stolen with all of them.
                let key = material::key(&self.inner, id, other).await;
                if key.is_ok_and(|key| current.facts.has_key(&key)) && !record.is_compromised(other) {
                    stolen.push(other);
                }
            }
            for generation in stolen {
                let (issuer, at) = (current.issuer().clone(), self.inner.clock.now());
                record.compromised.push(Compromised { generation, issuer, at });
            }
            record.forget_failures();
            record.next_at = self.inner.at_once();
            match self.inner.store.commit(&record, Some(version)).await {
                Ok(_) => break,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.inner.look_now();
        Ok(())
    }

    /// The certificate for a name that somebody asks for right now, such as a client that has connected: kept from
    /// then on, if [the rule](crate::KeeperBuilder::on_demand) for it allows that and the budget is not used up.
    ///
    /// It is renewed for as long as somebody goes on asking for it, or holds its handle: ninety days after that it is
    /// left to end, unless the rule's spec [says otherwise](CertificateSpec::lapse_after). Whoever asks then waits for a
    /// new one, which costs no second question either.
    ///
    /// Whoever connects can ask for any name. So nothing is asked of anybody before the rule has said yes, and what
    /// was wished for once costs no second question.
    ///
    /// # Errors
    /// [`Error::NotOnDemand`] when it is not to be had; otherwise as [`keep`](Self::keep).
    pub async fn on_demand(&self, name: &DomainName) -> Result<Certificate, Error> {
        let refused = |reason: String| Error::NotOnDemand { name: name.to_string(), reason };
        let Some((rule, limit)) = &self.inner.on_demand else {
            return Err(refused("this keeper has no rule for it".to_owned()));
        };
        let plain = CertificateSpec::new(&called(name), [name.as_str()])?.lapse_after(IDLENESS);
        let id = plain.id().clone();
        if !self.inner.is_asked_for(&id).await? {
            // Whoever connects must not hold up renewals on their way to the budgets, only to hear no again.
            let until = Timestamp::from_unix(self.inner.no_more_until.load(Ordering::Relaxed));
            let now = self.inner.clock.now();
            // One that lies farther ahead than a token takes is from a clock that has been put right since.
            if now < until && until <= now + limit.interval() + Duration::from_secs(1) {
                return Err(refused(Refusal { key: BudgetKey::OnDemand, until }.to_string()));
            }
            let spec = rule.allow(name, plain).await.map_err(refused)?;
            if *spec.id() != id {
                return Err(refused(format!("its rule has called it {}", spec.id())));
            }
            self.inner.check(&spec)?;
            let demands = [Demand::always(BudgetKey::OnDemand, *limit)];
            let record = Record { asked_at: Some(now), ..Record::new(spec) };
            let batch = Batch::new().change(record, None);
            match self.inner.spend(&demands, batch).await {
                Ok(Ok(_)) => self.inner.look_now(),
                Ok(Err(refusal)) => {
                    self.inner.no_more_until.store(refusal.until.unix(), Ordering::Relaxed);
                    return Err(refused(refusal.to_string()));
                }
                // Another connection was quicker.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.start().await;
        self.watch(&id).await
    }
}

impl Inner {
    /// Notes that a certificate is asked for, if there is one of that name.
    async fn is_asked_for(&self, id: &CertificateId) -> Result<bool, StoreError> {
        loop {
            let Some((version, record)) = self.store.load(id).await? else { return Ok(false) };
            match self.note_asked(version, record).await {
                Err(StoreError::Conflict { .. }) => {}
                noted => return noted.map(|()| true),
            }
        }
    }

    /// Notes when somebody wanted it last, if that was not today; one that was left to its end is wanted again.
    pub(super) async fn note_asked(&self, version: Version, mut record: Record) -> Result<(), StoreError> {
        let now = self.clock.now();
        let is_news =
            record.asked_at.is_some_and(|asked_at| asked_at.since(now).max(now.since(asked_at)) >= DAY);
        if !is_news {
            return Ok(());
        }
        let was_idle = record.is_idle(now);
        record.asked_at = Some(now);
        if was_idle {
            record.next_at = self.at_once();
            record.observe(None, now);
        }
        self.store.commit(&record, Some(version)).await?;
        if was_idle {
            self.look_now();
        }
        Ok(())
    }
}

/// What the certificate of a name is called: after the name, or a digest of one that is too long for that.
fn called(name: &DomainName) -> String {
    let plain = format!("on-demand.{name}");
    if plain.len() <= LONGEST_ID && !name.is_wildcard() {
        return plain;
    }
    let digest = sha256_hex(name.as_str().as_bytes());
    format!("on-demand.{}", digest.get(..32).unwrap_or(&digest))
}

const LONGEST_ID: usize = 64;
/// A name that is asked for now and then has one that is valid; and one that has left for good costs one renewal or two.
const IDLENESS: Duration = Duration::from_secs(90 * 86_400);
/// So that what is asked for a thousand times a second is written once a day.
const DAY: Duration = Duration::from_secs(86_400);
