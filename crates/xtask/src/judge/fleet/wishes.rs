//! What the fleet is wished to keep: names that have no certificate yet, and certificates that are due.

use std::sync::Arc;

use perennial_core::{PrivateKey, SecretBytes, SecretString, Timestamp};
use perennial_lifecycle::{
    CertificateSpec, Facts, IssuedChain, IssuerName, Keeper, MemoryStore, Record, Slot, Store, store::Batch,
};
use perennial_postgres::PostgresStore;
use perennial_testkit::ManualClock;

use super::{authority::Authority, text, worker::Counting};

/// One in so many is a renewal, so that both lines are claimed all the time.
const SHARE: usize = 3;

/// What the ids of those begin with that are due for renewal.
pub(super) const RENEWAL: &str = "renewal";
const FIRST: &str = "first";

/// How many renewals there are among so many certificates.
pub(super) const fn renewals(certificates: usize) -> usize {
    certificates.div_ceil(SHARE)
}

/// Writes the wishes; all of them are due.
pub(super) async fn write(
    store: &PostgresStore,
    authority: &Authority,
    certificates: usize,
) -> Result<(), String> {
    let pattern = pattern(authority).await?;
    let numbers: Vec<usize> = (0..certificates).collect();
    for numbers in numbers.chunks(500) {
        let mut batch = Batch::new();
        for number in numbers {
            batch = if number.is_multiple_of(SHARE) {
                add_old(batch, &pattern, authority, *number)?
            } else {
                batch.change(Record::new(spec(FIRST, *number)?), None)
            };
        }
        text(store.apply(&batch).await)?;
    }
    Ok(())
}

fn spec(kind: &str, number: usize) -> Result<CertificateSpec, String> {
    let name = format!("{kind}{number}.fleet.example");
    text(CertificateSpec::new(&name, [name.as_str()]))
}

/// What a keeper wrote down of a certificate that it obtained long ago.
async fn pattern(authority: &Authority) -> Result<Record, String> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix(OBTAINED)));
    let store = Arc::new(MemoryStore::with_clock(clock.clone()));
    let issuer = Arc::new(Counting(authority.address));
    let keeper = Keeper::builder(store.clone()).clock(clock).issuer(IssuerName::default(), issuer).build();
    let spec = spec(RENEWAL, 0)?;
    let (chain, key) = authority.sign_one_that_ends(spec.id(), 0)?;
    let (chain, key) =
        (text(IssuedChain::from_pem(chain))?, text(PrivateKey::from_pem(&SecretString::new(key)))?);
    text(keeper.adopt(spec.clone(), &chain, &key).await)?;
    let (_, mut record) = text(store.load(spec.id()).await)?.ok_or("it was not written down")?;
    record.next_at = Timestamp::MIN;
    Ok(record)
}

/// Adds another one, with its key and its chain.
fn add_old(batch: Batch, pattern: &Record, authority: &Authority, number: usize) -> Result<Batch, String> {
    let mut record = pattern.clone();
    record.spec = spec(RENEWAL, number)?;
    let (chain, key) = authority.sign_one_that_ends(record.id(), number)?;
    let current = record.current.as_mut().ok_or("it was not taken over")?;
    // So the next one is a renewal to the authority, which is told what it replaces.
    current.adopted = false;
    current.issued_for = record.spec.clone();
    current.facts = text(Facts::from_pem(chain.as_bytes()))?;
    let (certificate, generation) = (record.spec.id().clone(), current.generation);
    let key_slot = Slot::PrivateKey { certificate: certificate.clone(), generation };
    let chain_slot = Slot::Chain { certificate, generation };
    let batch = batch.write(key_slot, SecretBytes::new(key.as_bytes()));
    Ok(batch.write(chain_slot, SecretBytes::new(chain.as_bytes())).change(record, None))
}

/// A day after they begin.
const OBTAINED: i64 = 1_577_923_200; // 2020-01-02
