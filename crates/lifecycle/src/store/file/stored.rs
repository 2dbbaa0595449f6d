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
        let parsed = |error: serde_json::Error| damaged(presentable(&error.to_string()));
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

/// What a parser quotes is whatever lies there: one line, and no longer than a reader's patience.
fn presentable(text: &str) -> String {
    text.chars().take(300).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Stored, StoreError> {
        Stored::read(&"a".parse().unwrap(), Path::new("record.json"), bytes)
    }

    #[test]
    fn what_is_quoted_from_a_damaged_record_holds_no_escape_sequence() {
        let text = br#"{"version":1,"record":{"schema":1,"spec":{"id":"a","names":["a.example"],
            "issuer":"default","key_algorithm":"\u001b[2J"}}}"#;
        let error = read(text).unwrap_err().to_string();
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&bytes).is_err());
        }
    }
}
