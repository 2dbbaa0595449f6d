//! A store written out as text, and read into another one: for backups, and to move from one kind to the other.
//!
//! One JSON object a line: the head, a line for each issuer's state, one for each certificate with its key and
//! chain and before it those for the budgets that it takes from, and an end that counts them, so that a text that was
//! cut off is known for it. Claims, the budgets that no record names (those of DNS providers, and those that are kept
//! under the name of another issuer at the same CA) and what could not be read stay behind.
//!
//! ```
//! use perennial_lifecycle::{CertificateSpec, MemoryStore, Record, Store as _};
//! use perennial_lifecycle::store::transfer::{self, Secrets};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let (old, new) = (MemoryStore::new(), MemoryStore::new());
//! let record = Record::new(CertificateSpec::new("shop", ["shop.example"])?);
//! old.commit(&record, None).await?;
//! let mut backup = Vec::new();
//! transfer::export(&old, Secrets::Included, &mut backup).await?;
//! let summary = transfer::import(&mut &backup[..], &new).await?;
//! assert_eq!((summary.certificates, summary.skipped.len()), (1, 0));
//! assert!(new.load(record.id()).await?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::{
    collections::{BTreeSet, HashSet},
    io::{self, BufRead, Write},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use perennial_core::{Retry, SecretBytes};
use serde::{Deserialize, Serialize};

use super::{Batch, Quarantined, Slot, Store};
use crate::{
    CertificateId, Generation, IssuerName, Record, StoreError,
    budget::{Bucket, BudgetKey},
    facts::printable,
};

/// Whether private keys and the state of issuers are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // They are, or they are not.
pub enum Secrets {
    /// They are, in the clear: whoever reads the text has the keys.
    Included,
    /// They are not. A certificate without its key is issued anew when it is imported.
    LeftOut,
}

/// What was transferred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// How many certificates.
    pub certificates: u64,
    /// How many issuers' states.
    pub issuers: u64,
    /// Certificates that were not imported, because there is one of that name already.
    pub skipped: Vec<CertificateId>,
    /// What could not be read, where it was exported from or where something of its name lies already; and
    /// certificates whose key or chain is not there.
    pub unreadable: Vec<Quarantined>,
}

/// Why a store was not transferred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The text ends before its end.
    #[error("the export ends after {certificates} certificates, before its own end: it was cut off")]
    CutOff {
        /// How many certificates were imported.
        certificates: u64,
    },
    /// The text is none that an export has written.
    #[error("line {line} of the export cannot be read: {reason}")]
    Malformed {
        /// Which line; the first is 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The text was written by a newer version.
    #[error("the export was written in schema {found}, this version knows {known}: update this program")]
    NewerSchema {
        /// Its schema.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text cannot be read or written.
    #[error("cannot {doing} the export: {reason}")]
    Stream {
        /// What was tried.
        doing: &'static str,
        /// The operating system's reason.
        reason: String,
    },
}

impl TransferError {
    /// Whether and when to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Stream { .. } => Retry::Backoff,
            Self::CutOff { .. } | Self::Malformed { .. } | Self::NewerSchema { .. } => Retry::Never,
        }
    }
}

/// The second has budgets; the first is read too.
const SCHEMA: u32 = 2;

/// A record with its key and its chain is some twenty kilobytes; nobody's text makes us hold more than this.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// How many ids are asked for at a time.
const PAGE: usize = 1_000;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Budget { key: BudgetKey, bucket: Bucket },
    Certificate { record: Box<Record>, material: Vec<Material> },
    End { certificates: u64, issuers: u64 },
    Issuer { name: IssuerName, state: String },
    PerennialStore { schema: u32 },
}

/// What lies in the slots of one generation, in Base64.
#[derive(Serialize, Deserialize)]
struct Material {
    generation: Generation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
}

/// Writes a store out. What cannot be read is named in the summary and left out.
///
/// # Errors
/// [`TransferError::Store`] when the store fails, [`TransferError::Stream`] when the text cannot be written.
pub async fn export(
    store: &dyn Store,
    secrets: Secrets,
    to: &mut (dyn Write + Send),
) -> Result<Summary, TransferError> {
    let mut summary = Summary::default();
    put(to, &Line::PerennialStore { schema: SCHEMA })?;
    // Issuers first: a keeper that runs where this is imported finds its account before it makes another.
    for name in issuers(store, secrets).await? {
        if let Some(state) = store.read(&Slot::IssuerState { issuer: name.clone() }).await? {
            put(to, &Line::Issuer { name, state: BASE64_STANDARD.encode(state.expose()) })?;
            summary.issuers += 1;
        }
    }
    let mut budgets = Budgets::default();
    let mut after: Option<CertificateId> = None;
    loop {
        let page = store.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        for id in page {
            match certificate(store, secrets, &id).await {
                Ok(None) => {}
                Ok(Some((line, missing))) => {
                    if let Line::Certificate { record, .. } = &line {
                        // A keeper that runs where this is imported must not find them full.
                        budgets.export(store, record, to).await?;
                    }
                    put(to, &line)?;
                    summary.certificates += 1;
                    let missing = missing.map(|slot| StoreError::SlotMissing { slot });
                    summary.unreadable.extend(missing.map(|error| Quarantined { id: Some(id), error }));
                }
                Err(error @ (StoreError::Damaged { .. } | StoreError::NewerSchema { .. })) => {
                    summary.unreadable.push(Quarantined { id: Some(id), error });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    put(to, &Line::End { certificates: summary.certificates, issuers: summary.issuers })?;
    to.flush().map_err(|error| stream("write", &error))?;
    Ok(summary)
}

/// The budgets that were written out already; few of all that there might be are used at a time.
#[derive(Default)]
struct Budgets(HashSet<BudgetKey>);

impl Budgets {
    async fn export(
        &mut self,
        store: &dyn Store,
        record: &Record,
        to: &mut (dyn Write + Send),
    ) -> Result<(), TransferError> {
        let keys: Vec<BudgetKey> = BudgetKey::of(&record.spec).into_iter().collect();
        for (key, found) in keys.iter().zip(store.buckets(&keys).await?) {
            if let Some((_, bucket)) = found
                && self.0.insert(key.clone())
            {
                put(to, &Line::Budget { key: key.clone(), bucket })?;
            }
        }
        Ok(())
    }
}

/// Takes a budget over, unless less is left of it already.
async fn take_budget(store: &dyn Store, key: BudgetKey, bucket: Bucket) -> Result<(), StoreError> {
    loop {
        let found = store.buckets(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
        if found.is_some_and(|(_, found)| found.emptier(bucket) == found) {
            return Ok(());
        }
        let expected = found.map(|(version, _)| version);
        match store.apply(&Batch::new().bucket(key.clone(), expected, bucket)).await {
            Err(StoreError::BudgetConflict { .. }) => {}
            applied => return applied.map(drop),
        }
    }
}

/// The issuers that records name, if their state is wanted.
async fn issuers(store: &dyn Store, secrets: Secrets) -> Result<BTreeSet<IssuerName>, StoreError> {
    let (mut issuers, mut after) = (BTreeSet::new(), None::<CertificateId>);
    if secrets == Secrets::LeftOut {
        return Ok(issuers);
    }
    loop {
        let page = store.list(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(issuers) };
        after = Some(last.clone());
        for id in page {
            // One that cannot be read is named later.
            if let Ok(Some((_, record))) = store.load(&id).await {
                issuers.extend(record.spec.issuers().cloned());
                issuers.extend(record.debts.into_iter().map(|debt| debt.issuer));
            }
        }
    }
}

/// A certificate with what lies in its slots, and the slot that it names and that is empty, if there is one.
async fn certificate(
    store: &dyn Store,
    secrets: Secrets,
    id: &CertificateId,
) -> Result<Option<(Line, Option<Slot>)>, StoreError> {
    let mut last = None;
    loop {
        let Some((version, record)) = store.load(id).await? else { return Ok(None) };
        let material = material(store, secrets, &record).await?;
        let missing = missing(secrets, &record, &material);
        // While a keeper works on it the generation may have been forgotten after the record was read.
        if missing.is_none() || last == Some(version) {
            return Ok(Some((Line::Certificate { record: Box::new(record), material }, missing)));
        }
        last = Some(version);
    }
}

/// A slot that must not be empty and is.
fn missing(secrets: Secrets, record: &Record, material: &[Material]) -> Option<Slot> {
    let current = record.current.as_ref().map(|current| current.generation);
    let attempt = record.attempt.as_ref().map(|attempt| attempt.generation);
    material.iter().find_map(|found| {
        let [chain, key] = slots(record.id(), found.generation);
        let is_named = |generation| Some(found.generation) == generation;
        if is_named(current) && found.chain.is_none() {
            return Some(chain);
        }
        let wants_key = secrets == Secrets::Included && (is_named(current) || is_named(attempt));
        (wants_key && found.private_key.is_none()).then_some(key)
    })
}

/// The keys and chains of the generations that a record names.
async fn material(store: &dyn Store, secrets: Secrets, record: &Record) -> Result<Vec<Material>, StoreError> {
    let current = record.current.as_ref().map(|current| current.generation);
    let attempt = record.attempt.as_ref().map(|attempt| attempt.generation);
    let generations: BTreeSet<Generation> =
        [record.previous, current, attempt].into_iter().flatten().collect();
    let mut material = Vec::new();
    for generation in generations {
        let [chain, key] = slots(record.id(), generation);
        let chain = store.read(&chain).await?;
        let private_key = match secrets {
            Secrets::Included => store.read(&key).await?,
            Secrets::LeftOut => None,
        };
        let text = |bytes: Option<SecretBytes>| bytes.map(|bytes| BASE64_STANDARD.encode(bytes.expose()));
        material.push(Material { generation, chain: text(chain), private_key: text(private_key) });
    }
    Ok(material)
}

fn slots(certificate: &CertificateId, generation: Generation) -> [Slot; 2] {
    [
        Slot::Chain { certificate: certificate.clone(), generation },
        Slot::PrivateKey { certificate: certificate.clone(), generation },
    ]
}

fn put(to: &mut (dyn Write + Send), line: &Line) -> Result<(), TransferError> {
    let mut text = serde_json::to_vec(line).map_err(|error| stream("write", &error.into()))?;
    text.push(b'\n');
    // It may hold a key: wiped when it was written.
    let text = SecretBytes::new(text);
    to.write_all(text.expose()).map_err(|error| stream("write", &error))
}

fn stream(doing: &'static str, error: &io::Error) -> TransferError {
    TransferError::Stream { doing, reason: error.to_string() }
}

/// Reads what [`export`] wrote into a store. What is there already stays, and is named in the summary; a
/// certificate is written with its key and its chain, or not at all.
///
/// # Errors
/// [`TransferError`]; what came before the line that is wrong was imported.
pub async fn import(from: &mut (dyn BufRead + Send), store: &dyn Store) -> Result<Summary, TransferError> {
    let (mut summary, mut number) = (Summary::default(), 0);
    while let Some(text) = next_line(from, &mut number)? {
        let malformed = |reason: String| TransferError::Malformed { line: number, reason };
        let line: Line = serde_json::from_slice(text.expose())
            .map_err(|error| malformed(printable(&error.to_string())))?;
        match line {
            Line::PerennialStore { schema } if schema > SCHEMA => {
                return Err(TransferError::NewerSchema { found: schema, known: SCHEMA });
            }
            Line::PerennialStore { .. } if number == 1 => {}
            _ if number == 1 => return Err(malformed("it does not begin with its schema".to_owned())),
            Line::PerennialStore { .. } => return Err(malformed("it begins once more".to_owned())),
            Line::Budget { key, bucket } => take_budget(store, key, bucket).await?,
            Line::Certificate { record, material } => {
                if record.schema > Record::SCHEMA {
                    let (id, found) = (record.id().clone(), record.schema);
                    return Err(StoreError::NewerSchema { id, found, known: Record::SCHEMA }.into());
                }
                let id = record.id().clone();
                match store.apply(&batch(*record, material).map_err(malformed)?).await {
                    Err(StoreError::Conflict { .. }) => summary.skipped.push(id),
                    Err(error @ (StoreError::Damaged { .. } | StoreError::NewerSchema { .. })) => {
                        summary.unreadable.push(Quarantined { id: Some(id), error });
                    }
                    applied => drop(applied?),
                }
                summary.certificates += 1;
            }
            Line::Issuer { name, state } => {
                let slot = Slot::IssuerState { issuer: name };
                match store.write_if(&slot, None, &bytes(&state).map_err(malformed)?).await {
                    Ok(()) | Err(StoreError::SlotConflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                summary.issuers += 1;
            }
            Line::End { certificates, issuers } => {
                if (certificates, issuers) != (summary.certificates, summary.issuers) {
                    let counted = format!("it counts {certificates} certificates and {issuers} issuers");
                    return Err(malformed(format!("{counted}, there were {}", summary.certificates)));
                }
                summary.certificates -= (summary.skipped.len() + summary.unreadable.len()) as u64;
                return Ok(summary);
            }
        }
    }
    Err(TransferError::CutOff { certificates: summary.certificates })
}

/// The next line, without the break; `None` at the end of the text.
fn next_line(
    from: &mut (dyn BufRead + Send),
    number: &mut u64,
) -> Result<Option<SecretBytes>, TransferError> {
    *number += 1;
    let mut line = Vec::new();
    let read = io::Read::take(&mut *from, LONGEST_LINE).read_until(b'\n', &mut line);
    let read = read.map_err(|error| stream("read", &error))?;
    let line = SecretBytes::new(line);
    if read as u64 == LONGEST_LINE {
        let reason = format!("it is longer than {LONGEST_LINE} bytes");
        return Err(TransferError::Malformed { line: *number, reason });
    }
    Ok((read > 0).then_some(line))
}

fn batch(record: Record, material: Vec<Material>) -> Result<Batch, String> {
    let (id, mut batch) = (record.id().clone(), Batch::new());
    for Material { generation, chain, private_key } in material {
        let [chain_slot, key_slot] = slots(&id, generation);
        for (slot, text) in [(chain_slot, chain), (key_slot, private_key)] {
            if let Some(text) = text {
                batch = batch.write(slot, bytes(&text)?);
            }
        }
    }
    Ok(batch.change(record, None))
}

fn bytes(text: &str) -> Result<SecretBytes, String> {
    BASE64_STANDARD.decode(text).map(SecretBytes::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateSpec, FileStore, MemoryStore, budget::Limit};
    use proptest::prelude::*;

    /// Two certificates, of which one serves, and an issuer's state.
    async fn fill(store: &dyn Store) {
        let mut one = Record::new(CertificateSpec::new("a", ["a.example"]).unwrap());
        one.current = Some(crate::record::tests::current(2));
        one.previous = Some(Generation::from_number(1));
        one.next_at = perennial_core::Timestamp::from_unix(1_900_000_000);
        let mut batch = Batch::new();
        for number in [1, 2] {
            for slot in slots(one.id(), Generation::from_number(number)) {
                let content = SecretBytes::new(format!("{slot}"));
                batch = batch.write(slot, content);
            }
        }
        let two = Record::new(CertificateSpec::new("b", ["b.example"]).unwrap());
        store.apply(&batch.change(one, None).change(two, None)).await.unwrap();
        let state = Slot::IssuerState { issuer: IssuerName::default() };
        store.write(&state, &SecretBytes::new(*b"\xffaccount")).await.unwrap();
    }

    async fn exported(store: &dyn Store, secrets: Secrets) -> String {
        let mut text = Vec::new();
        export(store, secrets, &mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn from_file_to_memory_to_file_nothing_is_lost() {
        let (first, last) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (first, memory) = (FileStore::open(first.path()).unwrap(), MemoryStore::new());
        let last = FileStore::open(last.path()).unwrap();
        fill(&first).await;
        let text = exported(&first, Secrets::Included).await;
        let summary = import(&mut text.as_bytes(), &memory).await.unwrap();
        assert_eq!(summary, Summary { certificates: 2, issuers: 1, ..Summary::default() });
        let again = exported(&memory, Secrets::Included).await;
        import(&mut again.as_bytes(), &last).await.unwrap();
        assert_eq!(exported(&last, Secrets::Included).await, text);
        let due = last.scan_due(perennial_core::Timestamp::MAX, None, 9).await.unwrap();
        assert_eq!(due, first.scan_due(perennial_core::Timestamp::MAX, None, 9).await.unwrap());
        assert!(last.current(&"a".parse().unwrap()).join("fullchain.pem").exists(), "it serves at once");
    }

    #[tokio::test]
    async fn what_is_there_already_stays() {
        let store = MemoryStore::new();
        fill(&store).await;
        let text = exported(&store, Secrets::Included).await;
        let summary = import(&mut text.as_bytes(), &store).await.unwrap();
        assert_eq!((summary.certificates, summary.skipped.len()), (0, 2));
        assert_eq!(exported(&store, Secrets::Included).await, text);
    }

    #[tokio::test]
    async fn an_account_comes_before_what_needs_it_and_a_key_that_is_missing_is_named() {
        let store = MemoryStore::new();
        fill(&store).await;
        let (certificate, generation) = ("a".parse::<CertificateId>().unwrap(), Generation::from_number(2));
        store.forget(&certificate, generation).await.unwrap();
        let [chain, key] = slots(&certificate, generation);
        store.write(&chain, &SecretBytes::new(*b"chain")).await.unwrap();
        let mut text = Vec::new();
        let summary = export(&store, Secrets::Included, &mut text).await.unwrap();
        let error = StoreError::SlotMissing { slot: key };
        assert_eq!(summary.unreadable, [Quarantined { id: Some(certificate), error }]);
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().nth(1).unwrap().contains("issuer"), "{text}");
        assert!(import(&mut text.as_bytes(), &MemoryStore::new()).await.is_ok());
    }

    #[tokio::test]
    async fn what_was_taken_from_budgets_stays_taken_and_what_has_less_left_counts() {
        let (from, into) = (MemoryStore::new(), MemoryStore::new());
        fill(&from).await;
        let issuer = IssuerName::default;
        let domain = BudgetKey::Domain(issuer(), "a.example".to_owned());
        let keys =
            [BudgetKey::Account(issuer()), domain, BudgetKey::Fleet, BudgetKey::Provider("dns".into())];
        let limit = Limit::new(9, std::time::Duration::from_secs(900));
        let taken = |second| Bucket::emptied(limit, perennial_core::Timestamp::from_unix(second));
        let batch = keys.iter().fold(Batch::new(), |batch, key| batch.bucket(key.clone(), None, taken(500)));
        from.apply(&batch).await.unwrap();
        let batch = Batch::new().bucket(keys[0].clone(), None, taken(900));
        into.apply(&batch.bucket(keys[2].clone(), None, taken(100))).await.unwrap();

        let text = exported(&from, Secrets::Included).await;
        assert_eq!(text.matches("\"account\"").count(), 1, "each is written once\n{text}");
        import(&mut text.as_bytes(), &into).await.unwrap();
        let found = into.buckets(&keys).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|found| found.map(|(_, bucket)| bucket)).collect();
        assert_eq!(found, [Some(taken(900)), Some(taken(500)), Some(taken(500)), None]);
    }

    #[tokio::test]
    async fn without_secrets_no_secret_is_in_it() {
        let store = MemoryStore::new();
        fill(&store).await;
        let text = exported(&store, Secrets::LeftOut).await;
        assert!(!text.contains("private_key") && !text.contains("issuer\":{\"name"), "{text}");
        assert!(import(&mut text.as_bytes(), &MemoryStore::new()).await.is_ok());
    }

    #[tokio::test]
    async fn a_text_that_was_cut_off_or_changed_is_named() {
        let store = MemoryStore::new();
        fill(&store).await;
        let text = exported(&store, Secrets::Included).await;
        let end = text.trim_end().rfind('\n').unwrap() + 1;
        let cut = import(&mut &text.as_bytes()[..end], &MemoryStore::new()).await.unwrap_err();
        assert_eq!(cut, TransferError::CutOff { certificates: 2 });
        let half = import(&mut &text.as_bytes()[..end - 10], &MemoryStore::new()).await.unwrap_err();
        assert!(matches!(half, TransferError::Malformed { line: 4, .. }), "{half}");
        let head = |schema: u32| format!("\"schema\":{schema}}}}}\n");
        let newer = text.replace(&head(SCHEMA), &head(SCHEMA + 1));
        let newer = import(&mut newer.as_bytes(), &MemoryStore::new()).await.unwrap_err();
        assert_eq!(newer, TransferError::NewerSchema { found: SCHEMA + 1, known: SCHEMA });
        let older = text.replace(&head(SCHEMA), &head(1));
        assert!(import(&mut older.as_bytes(), &MemoryStore::new()).await.is_ok());
        let loud = text.replacen("\"key_algorithm\":\"ec256\"", r#""key_algorithm":"\u001b[2J""#, 1);
        let loud = import(&mut loud.as_bytes(), &MemoryStore::new()).await.unwrap_err().to_string();
        assert!(loud.contains("[2J") && !loud.contains(char::is_control), "{loud:?}");
        let headless = text.split_once('\n').unwrap().1;
        assert!(import(&mut headless.as_bytes(), &MemoryStore::new()).await.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), begins in any::<bool>()) {
            let head: &[u8] = if begins { b"{\"perennial_store\":{\"schema\":1}}\n" } else { b"" };
            let text = [head, &bytes].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert!(runtime.block_on(import(&mut &text[..], &MemoryStore::new())).is_err());
        }
    }
}
