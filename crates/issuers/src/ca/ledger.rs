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

impl State {
    /// Adds a certificate unless it is there. A serial number is one CA's own (RFC 5280 §4.1.2.2).
    fn add(&mut self, facts: &Facts, signed_by: &str, now: Timestamp) {
        let is_it = |entry: &Revoked| entry.serial == facts.serial && entry.signed_by == signed_by;
        if self.revoked.iter().any(is_it) {
            return;
        }
        let (serial, not_after, signed_by) = (facts.serial.clone(), facts.not_after, signed_by.to_owned());
        self.revoked.push(Revoked { serial, at: now, not_after, signed_by });
    }
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
        let signed_by = HEXLOWER.encode(&authority.key_fingerprint);
        self.change(|state| {
            state.revoked.retain(|entry| now < entry.not_after + grace);
            state.add(facts, &signed_by, now);
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
            self.check_serials(&state)?;
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

    /// What somebody has restored by hand, and no list could have.
    fn check_serials(&self, state: &State) -> Result<(), Error> {
        let is_no_hex = |entry: &&Revoked| HEXLOWER.decode(entry.serial.as_bytes()).is_err();
        let Some(entry) = state.revoked.iter().find(is_no_hex) else { return Ok(()) };
        let slot = &self.slot;
        let reason = format!(
            "{slot} has the serial {:?}, which is not in lower-case hex: restore it so",
            entry.serial
        );
        Err(Error::Configuration { reason })
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

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_lifecycle::MemoryStore;

    fn ledger() -> (Ledger, Arc<MemoryStore>, Slot) {
        let (store, issuer): (_, IssuerName) = (Arc::new(MemoryStore::new()), "house".parse().unwrap());
        (Ledger::new(store.clone(), issuer.clone()), store, Slot::IssuerState { issuer })
    }

    #[test]
    fn one_number_of_two_cas_is_two_certificates() {
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(1_u64));
        let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let facts = Facts::from_der(der.der()).unwrap();
        let mut state = State::default();
        for signed_by in ["old", "new", "old"] {
            state.add(&facts, signed_by, Timestamp::from_unix(0));
        }
        let signed_by: Vec<&str> = state.revoked.iter().map(|entry| entry.signed_by.as_str()).collect();
        assert_eq!(signed_by, ["old", "new"]);
    }

    #[tokio::test]
    async fn an_account_with_a_number_that_no_list_could_have_is_not_read_as_if_it_had_none() {
        let (ledger, store, slot) = ledger();
        let entry = |serial: &str| {
            let (at, not_after) = (Timestamp::from_unix(0), Timestamp::from_unix(i64::from(u32::MAX)));
            Revoked { serial: serial.to_owned(), at, not_after, signed_by: "key".to_owned() }
        };
        for (serial, is_read) in [("ab12", true), ("AB12", false), ("ab1", false)] {
            let state = State { number: 1, revoked: vec![entry(serial)] };
            let kept = SecretBytes::new(serde_json::to_vec(&state).unwrap());
            store.write(&slot, &kept).await.unwrap();
            let read = ledger.lists(&[], Timestamp::from_unix(1), Duration::from_secs(1)).await;
            assert_eq!(read.is_ok(), is_read, "{serial}");
            if let Err(error) = read {
                assert!(error.to_string().contains(serial), "{error}");
            }
        }
    }
}
