//! Where a life keeps what it has: a directory, or a schema of a PostgreSQL.

use std::{path::PathBuf, sync::Arc};

use perennial::{
    FileStore,
    core::{Clock, SystemClock},
    lifecycle::{CertificateId, Generation, MemoryStore, Record, Slot, Store},
    postgres::PostgresStore,
};
use serde::{Deserialize, Serialize};

use super::text;

/// Where a store is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::judge) enum Place {
    /// Its directory.
    File(PathBuf),
    Postgres {
        /// How it is reached, a schema of its own among it.
        connection: String,
        /// Whom to trust there.
        roots_pem: String,
    },
}

impl Place {
    /// Opens it by the operating system's clock.
    pub(in crate::judge) async fn open(&self) -> Result<Arc<dyn Store>, String> {
        self.open_by(Arc::new(SystemClock::new())).await
    }

    /// Opens it; a database has a clock of its own.
    pub(super) async fn open_by(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, String> {
        Ok(match self {
            Self::File(path) => Arc::new(text(FileStore::builder(path).clock(clock).open())?),
            Self::Postgres { connection, roots_pem } => {
                let store = PostgresStore::builder(connection.as_str()).pool_size(2);
                // Over a Unix socket nobody needs a root. To read the hundreds that the system has takes
                // longer than a life does.
                Arc::new(text(store.root_certificates_pem(roots_pem).connect().await)?)
            }
        })
    }
}

/// Everything that a store has of a certificate, in memory.
pub(super) async fn remember(store: &dyn Store, id: &CertificateId) -> Result<MemoryStore, String> {
    let memory = MemoryStore::new();
    copy(store, &memory, id).await?;
    Ok(memory)
}

/// Puts everything that a store has of a certificate into another, which has nothing.
pub(super) async fn copy(from: &dyn Store, to: &dyn Store, id: &CertificateId) -> Result<(), String> {
    let record = record(from, id).await?;
    let accounts = record.spec.issuers().map(|issuer| Slot::IssuerState { issuer: issuer.clone() });
    for slot in slots(&record).chain(accounts) {
        if let Some(bytes) = text(from.read(&slot).await)? {
            text(to.write(&slot, &bytes).await)?;
        }
    }
    text(to.commit(&record, None).await).map(drop)
}

pub(super) async fn record(store: &dyn Store, id: &CertificateId) -> Result<Record, String> {
    let found = text(store.load(id).await)?.ok_or_else(|| format!("there is no record of {id}"))?;
    Ok(found.1)
}

/// The places of every key and chain that a certificate has or had.
pub(super) fn slots(record: &Record) -> impl Iterator<Item = Slot> {
    let id = record.id().clone();
    let generations = (1..=record.last_generation.number()).filter_map(generation);
    generations.flat_map(move |generation| slots_of(&id, generation))
}

/// The places of the key and the chain of one generation.
pub(super) fn slots_of(id: &CertificateId, generation: Generation) -> [Slot; 2] {
    let certificate = id.clone();
    [
        Slot::PrivateKey { certificate: certificate.clone(), generation },
        Slot::Chain { certificate, generation },
    ]
}

/// A generation by its number, as stores write it down.
fn generation(number: u32) -> Option<Generation> {
    serde_json::from_value(number.into()).ok()
}
