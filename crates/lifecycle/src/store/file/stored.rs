//! `record.json`: a record, its version, and the claim that wrote it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    CertificateId, Record, StoreError,
    store::{Fence, Version},
};

/// A record as it lies on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) version: Version,
    /// The newest claim that wrote it: those of later processes are newer.
    #[serde(default)]
    pub(super) fence: Fence,
    pub(super) record: Record,
}

/// The one field of a record that is read before the others.
#[derive(Deserialize)]
struct SchemaOnly {
    record: SchemaField,
}

#[derive(Deserialize)]
struct SchemaField {
    schema: u32,
}

impl Stored {
    /// Reads the record of this certificate, which lies at this path.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::NewerSchema`].
    pub(super) fn read(id: &CertificateId, path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |reason| StoreError::Damaged { path: path.to_owned(), reason };
        let parsed = |error: serde_json::Error| damaged(error.to_string());
        let schema = serde_json::from_slice::<SchemaOnly>(bytes).map_err(parsed)?.record.schema;
        if schema > Record::SCHEMA {
            return Err(StoreError::NewerSchema { id: id.clone(), found: schema, known: Record::SCHEMA });
        }
        let stored: Self = serde_json::from_slice(bytes).map_err(parsed)?;
        if stored.record.id() != id {
            return Err(damaged(format!("it is the record of certificate {}", stored.record.id())));
        }
        Ok(stored)
    }

    /// What [`read`](Self::read) reads.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] in no case that is known: a record has a JSON form.
    pub(super) fn write(&self, path: &Path) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() })
    }
}
