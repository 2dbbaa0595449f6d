//! Who reads the certificate that serves, all the time, as a server would.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use perennial::{
    core::{Clock as _, PrivateKey, SecretString, SystemClock},
    lifecycle::{CertificateId, Facts, Store},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{
    place::{self, Place},
    text,
};

/// Readers, in a thread of their own: the judge is busy with its certificate authority.
pub(in crate::judge) struct Witness(Option<Runtime>);

/// One of them.
pub(in crate::judge) struct Watching {
    enough: Arc<AtomicBool>,
    task: JoinHandle<Result<Seen, String>>,
}

/// What it has seen.
#[derive(Clone, Debug, Default)]
pub(in crate::judge) struct Seen {
    /// How often it has looked and found a certificate with its key.
    pub(in crate::judge) looks: u64,
    /// How often it was another one than before.
    pub(in crate::judge) flips: u32,
    /// Which one it was in the end, by its fingerprint.
    pub(in crate::judge) serves: Option<String>,
}

/// Whether there is a certificate to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Presence {
    /// It must never be missing.
    FromTheStart,
    /// Once it has been seen, it must never be missing again.
    SomeTime,
}

impl Witness {
    pub(in crate::judge) fn new() -> Result<Self, String> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("witness").enable_all().build();
        text(runtime).map(|runtime| Self(Some(runtime)))
    }

    /// Reads from now on.
    pub(in crate::judge) async fn watch(
        &self,
        place: &Place,
        id: &CertificateId,
        presence: Presence,
    ) -> Result<Watching, String> {
        let runtime = self.0.as_ref().ok_or("the witness has gone")?;
        let (source, enough) = (Source::open(place, id).await?, Arc::new(AtomicBool::new(false)));
        let task = runtime.spawn(read(source, presence, enough.clone()));
        Ok(Watching { enough, task })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // One runtime must not wait for another.
            runtime.shutdown_background();
        }
    }
}

impl Watching {
    /// Reads once more, and tells what was seen; an error says what a server would have stumbled over.
    pub(in crate::judge) async fn end(self) -> Result<Seen, String> {
        self.enough.store(true, Ordering::Relaxed);
        text(self.task.await)?
    }
}

async fn read(source: Source, presence: Presence, enough: Arc<AtomicBool>) -> Result<Seen, String> {
    let (mut seen, mut last) = (Seen::default(), None::<(Pair, Facts)>);
    loop {
        let is_last_look = enough.load(Ordering::Relaxed);
        match source.look().await? {
            None if presence == Presence::FromTheStart || last.is_some() => {
                return Err(format!("the certificate was gone at look {}", seen.looks + 1));
            }
            None => {}
            Some(pair) => {
                let facts = match last.take() {
                    Some((old, facts)) if old == pair => facts,
                    old => {
                        seen.flips += u32::from(old.is_some());
                        pair.check()?
                    }
                };
                if SystemClock::new().now() > facts.not_after {
                    return Err(format!("the certificate that serves ended at {}", facts.not_after));
                }
                seen.looks += 1;
                last = Some((pair, facts));
            }
        }
        if is_last_look {
            seen.serves = last.map(|(_, facts)| facts.fingerprint);
            return Ok(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A walk has some twenty steps in as many hundredths of a second: a reader that looks a thousand times a
/// second sees each of them.
const PAUSE: Duration = Duration::from_millis(1);

/// Where a reader reads.
enum Source {
    /// The link that a server is configured with.
    Link(PathBuf),
    /// What programs ask that share a database.
    Store(Arc<dyn Store>, CertificateId),
}

impl Source {
    async fn open(place: &Place, id: &CertificateId) -> Result<Self, String> {
        Ok(match place {
            Place::File(root) => Self::Link(root.join("certificates").join(id.as_str()).join("current")),
            Place::Postgres { .. } => Self::Store(place.open().await?, id.clone()),
        })
    }

    async fn look(&self) -> Result<Option<Pair>, String> {
        match self {
            Self::Link(link) => files(link),
            Self::Store(store, id) => slots(&**store, id).await,
        }
    }
}

/// Follows the link once: who follows it for each file may see it flip in between.
fn files(link: &Path) -> Result<Option<Pair>, String> {
    let directory = match fs::canonicalize(link) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        directory => text(directory)?,
    };
    let read = |name| {
        let path = directory.join(name);
        fs::read(&path).map_err(|error| format!("what serves has no {}: {error}", path.display()))
    };
    Ok(Some(Pair { key: read("privkey.pem")?, chain: read("fullchain.pem")? }))
}

async fn slots(store: &dyn Store, id: &CertificateId) -> Result<Option<Pair>, String> {
    let Some((_, record)) = text(store.load(id).await)? else { return Ok(None) };
    let Some(current) = &record.current else { return Ok(None) };
    let mut found = Vec::new();
    for slot in place::slots_of(id, current.generation) {
        let bytes = text(store.read(&slot).await)?.ok_or_else(|| format!("{slot} serves and is missing"))?;
        found.push(bytes.expose().to_vec());
    }
    let mut found = found.into_iter();
    Ok(found.next().zip(found.next()).map(|(key, chain)| Pair { key, chain }))
}

/// A key and a chain, as they are read.
#[derive(PartialEq, Eq)]
struct Pair {
    key: Vec<u8>,
    chain: Vec<u8>,
}

impl Pair {
    /// That both are whole and belong together; and what they are.
    fn check(&self) -> Result<Facts, String> {
        let key = text(PrivateKey::from_pem(&SecretString::new(text(std::str::from_utf8(&self.key))?)))?;
        let facts = text(Facts::from_pem(&self.chain))?;
        if facts.has_key(&key) { Ok(facts) } else { Err("key and chain do not belong together".to_owned()) }
    }
}
