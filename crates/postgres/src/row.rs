//! Between rows and records.

use std::path::PathBuf;

use perennial_lifecycle::{CertificateId, Record, Slot, StoreError, Version, budget::Bucket, store::Fence};
use serde::Deserialize;

use crate::fault::presentable;

/// The one field of a record that every schema has.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u32,
}

/// The record of a row, or what is wrong with it. `place` is where it lies.
pub(crate) fn record(
    id: &CertificateId,
    place: &str,
    version: i64,
    json: &str,
) -> Result<(Version, Record), StoreError> {
    let damaged = |reason: String| StoreError::Damaged { path: PathBuf::from(place), reason };
    // What a parser quotes is whatever lies there.
    let parsed = |error: serde_json::Error| damaged(presentable(&error.to_string()));
    let newer = |found| StoreError::NewerSchema { id: id.clone(), found, known: Record::SCHEMA };
    let record: Record = match serde_json::from_str::<Record>(json) {
        Ok(record) if record.schema > Record::SCHEMA => return Err(newer(record.schema)),
        Ok(record) => record,
        // A newer one need not look like ours.
        Err(error) => {
            return Err(match serde_json::from_str::<SchemaOnly>(json) {
                Ok(SchemaOnly { schema }) if schema > Record::SCHEMA => newer(schema),
                _ => parsed(error),
            });
        }
    };
    if record.id() != id {
        return Err(damaged(format!("it is the record of certificate {}", record.id())));
    }
    let number = u64::try_from(version).map_err(|_| damaged(format!("its version is {version}")))?;
    Ok((Version::from_number(number), record))
}

/// A version as PostgreSQL counts. The largest that it has is reached by no certificate: at a commit a
/// second that takes longer than the sun lasts.
pub(crate) fn bigint(version: Version) -> i64 {
    i64::try_from(version.number()).unwrap_or(i64::MAX)
}

/// A version as PostgreSQL counts it. No column holds a negative one.
pub(crate) fn version(number: i64) -> Version {
    Version::from_number(u64::try_from(number).unwrap_or(0))
}

/// A fence as PostgreSQL counts, for which the same is true.
pub(crate) fn number(fence: Fence) -> i64 {
    i64::try_from(fence.number()).unwrap_or(i64::MAX)
}

/// A fence as PostgreSQL counts it.
pub(crate) fn fence(number: i64) -> Fence {
    Fence::from_number(u64::try_from(number).unwrap_or(0))
}

/// When a bucket is full, in milliseconds since 1970: all that it knows.
pub(crate) fn full_at(bucket: Bucket) -> Result<i64, StoreError> {
    let full_at = serde_json::to_value(bucket).ok().and_then(|bucket| bucket.as_i64());
    full_at.ok_or_else(|| StoreError::Damaged {
        path: "perennial_buckets".into(),
        reason: "a bucket is no moment any more: update perennial-postgres".to_owned(),
    })
}

/// The bucket that is full then.
pub(crate) fn bucket(full_at: i64) -> Bucket {
    serde_json::from_value(full_at.into()).unwrap_or(Bucket::FULL)
}

/// The primary key of `perennial_slots`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlotKey<'a> {
    pub(crate) kind: &'static str,
    pub(crate) owner: &'a str,
    pub(crate) generation: i64,
}

pub(crate) const CHAIN: &str = "chain";
pub(crate) const ISSUER_STATE: &str = "issuer_state";
pub(crate) const PRIVATE_KEY: &str = "private_key";

impl<'a> SlotKey<'a> {
    /// `None` for a kind of slot that this version has no place for.
    pub(crate) fn of(slot: &'a Slot) -> Option<Self> {
        let (kind, owner, generation) = match slot {
            Slot::Chain { certificate, generation } => (CHAIN, certificate.as_str(), generation.number()),
            Slot::IssuerState { issuer } => (ISSUER_STATE, issuer.as_str(), 0),
            Slot::PrivateKey { certificate, generation } => {
                (PRIVATE_KEY, certificate.as_str(), generation.number())
            }
            _ => return None,
        };
        Some(Self { kind, owner, generation: i64::from(generation) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_lifecycle::CertificateSpec;

    const PLACE: &str = "postgresql://db.example:5432/x/perennial_records/shop";

    fn shop() -> Record {
        Record::new(CertificateSpec::new("shop", ["shop.example"]).unwrap())
    }

    fn json() -> String {
        serde_json::to_string(&shop()).unwrap()
    }

    fn read(version: i64, json: &str) -> Result<(Version, Record), StoreError> {
        record(shop().id(), PLACE, version, json)
    }

    #[test]
    fn a_row_gives_back_what_was_put_in() {
        assert_eq!(read(7, &json()), Ok((Version::from_number(7), shop())));
    }

    #[test]
    fn a_bucket_is_a_moment_and_no_moment_is_damaged() {
        for moment in [i64::MIN, -1, 0, 1_800_000_000_000, i64::MAX] {
            assert_eq!(full_at(bucket(moment)), Ok(moment));
        }
        assert_eq!(bucket(i64::MIN), Bucket::FULL);
    }

    #[test]
    fn a_damaged_row_is_named() {
        let renamed = json().replace("\"shop\"", "\"other\"");
        for (version, json) in
            [(1, "{}"), (1, "{\"schema\":1}"), (1, renamed.as_str()), (-1, json().as_str())]
        {
            let error = read(version, json).unwrap_err();
            assert!(
                matches!(&error, StoreError::Damaged { path, .. } if path.to_str() == Some(PLACE)),
                "{json}: {error}"
            );
        }
    }

    #[test]
    fn what_is_quoted_from_a_damaged_row_holds_no_escape_sequence() {
        let loud = json().replace("\"key_algorithm\":\"ec256\"", r#""key_algorithm":"\u001b[2J""#);
        assert_ne!(loud, json());
        let error = read(1, &loud).unwrap_err().to_string();
        assert!(error.contains("[2J") && !error.contains(char::is_control), "{error:?}");
    }

    #[test]
    fn a_newer_record_is_not_taken_for_a_damaged_one() {
        let newer = json().replace("\"schema\":1", "\"schema\":9,\"surprise\":[]");
        assert!(matches!(read(1, &newer), Err(StoreError::NewerSchema { found: 9, .. })));
    }
}
