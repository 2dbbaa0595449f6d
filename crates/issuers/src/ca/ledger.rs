//! What a CA has revoked, on record in a store: the account of it is all that a list is made of (RFC 5280 §5).

use std::{sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use perennial_core::{SecretBytes, Timestamp};
use perennial_lifecycle::{Facts, IssuerName, Slot, Store, StoreError};
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use serde::{Deserialize, Serialize};

use super::Authority;
use crate::{Error, signing};

/// Where it is written down.
pub(super) struct Ledger {
    store: Arc<dyn Store>,
    slot: Slot,
}

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The number of the last list (RFC 5280 §5.2.3).
    #[serde(default)]
    number: u64,
    #[serde(default)]
    revoked: Vec<Revoked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Revoked {
    /// In lower-case hex.
    serial: String,
    at: Timestamp,
    not_after: Timestamp,
    /// SHA-256 of the key of the CA that had signed it, in lower-case hex: lists are signed by keys.
    signed_by: String,
}

impl Ledger {
    pub(super) const fn new(store: Arc<dyn Store>, issuer: IssuerName) -> Self {
        Self { store, slot: Slot::IssuerState { issuer } }
    }

    /// Writes down that a certificate is revoked. One that is stays so.
    pub(super) async fn revoke(
        &self,
        facts: &Facts,
        authority: &Authority,
        now: Timestamp,
        grace: Duration,
    ) -> Result<(), Error> {
        self.change(|state| {
            state.revoked.retain(|entry| now < entry.not_after + grace);
            if state.revoked.iter().all(|entry| entry.serial != facts.serial) {
                state.revoked.push(Revoked {
                    serial: facts.serial.clone(),
                    at: now,
                    not_after: facts.not_after,
                    signed_by: HEXLOWER.encode(&authority.key_fingerprint),
                });
            }
        })
        .await
        .map(drop)
    }

    /// The lists of these CAs as they are to be signed, with a number that no list had before.
    pub(super) async fn lists(
        &self,
        authorities: &[Arc<Authority>],
        now: Timestamp,
        life: Duration,
    ) -> Result<Vec<CertificateRevocationListParams>, Error> {
        let state = self
            .change(|state| {
                state.revoked.retain(|entry| now < entry.not_after + life);
                state.number = state.number.saturating_add(1);
            })
            .await?;
        Ok(authorities.iter().map(|authority| list(&state, authority, now, life)).collect())
    }

    async fn change(&self, change: impl Fn(&mut State) + Send + Sync) -> Result<State, Error> {
        loop {
            let kept = self.store.read(&self.slot).await?;
            let mut state = match &kept {
                Some(kept) => {
                    serde_json::from_slice(kept.expose()).map_err(|error| self.unreadable(&error))?
                }
                None => State::default(),
            };
            change(&mut state);
            let text = serde_json::to_vec(&state).map_err(|error| self.unreadable(&error))?;
            match self.store.write_if(&self.slot, kept.as_ref(), &SecretBytes::new(text)).await {
                Ok(()) => return Ok(state),
                // Another process has revoked something in between.
                Err(StoreError::SlotConflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// To begin anew would forget what is revoked.
    fn unreadable(&self, error: &serde_json::Error) -> Error {
        let reason = format!("{} is no account of what was revoked: {error}; restore it", self.slot);
        Error::Configuration { reason }
    }
}

fn list(
    state: &State,
    authority: &Authority,
    now: Timestamp,
    life: Duration,
) -> CertificateRevocationListParams {
    let own = HEXLOWER.encode(&authority.key_fingerprint);
    let revoked = state.revoked.iter().filter(|entry| entry.signed_by == own);
    CertificateRevocationListParams {
        this_update: signing::moment(now),
        next_update: signing::moment((now + life).min(authority.span().not_after)),
        crl_number: SerialNumber::from(state.number),
        issuing_distribution_point: None,
        revoked_certs: revoked.filter_map(entry).collect(),
        key_identifier_method: authority
            .key_identifier()
            .map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified),
    }
}

fn entry(revoked: &Revoked) -> Option<RevokedCertParams> {
    Some(RevokedCertParams {
        serial_number: SerialNumber::from(HEXLOWER.decode(revoked.serial.as_bytes()).ok()?),
        revocation_time: signing::moment(revoked.at),
        // Nothing else is revoked here: see `Issuer::revoke`.
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    })
}
