//! How a file store is opened: from its log, or, where that cannot be believed, from its records.

use std::{
    fs, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use perennial_core::{Clock, Timestamp};
use tokio::sync::Notify;

use super::{
    inner::{Inner, STRIPES, State},
    log::{Content, Entry, Found, Log},
    place::{Lock, Noted, Place},
};
use crate::{
    CertificateId, Record, StoreError,
    durable::{self, io_error},
    store::{
        Fence,
        due::{DueIndex, Row},
    },
};

/// No store has given out so many fences: who says so has made it up.
const HIGHEST: Fence = Fence::from_number(1 << 62);

/// What a log had to say.
struct Reading {
    /// How many entries it has.
    entries: usize,
    /// Whether it is whole, so that it says everything.
    is_whole: bool,
    /// How many bytes it has.
    length: u64,
    fences: Fence,
}

impl Inner {
    /// Opens a store, and makes it if there is none.
    pub(super) fn open(place: Place, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        place.create()?;
        let lock = Lock::take(&place.root)?;
        Place::sweep(&place.root);
        Place::sweep(&place.issuers());
        let (log, content) = Log::open(place.log(), place.disk.clone())?;
        let mut state = State::default();
        let reading = content.map(|content| state.read(&content, &log)).transpose()?;
        let inner = Self {
            place,
            clock,
            log,
            lock,
            state: Mutex::new(state),
            stripes: std::iter::repeat_with(Mutex::default).take(STRIPES).collect(),
            issuers: Mutex::default(),
            budgets: Mutex::default(),
            fences: Mutex::default(),
            woken: Notify::new(),
        };
        inner.begin(reading)?;
        Ok(inner)
    }

    fn begin(&self, reading: Option<Reading>) -> Result<(), StoreError> {
        let noted = self.lock.read().filter(|noted| noted.fences <= HIGHEST);
        // Another number than in the log is that of an older log, which somebody restored; and another length than
        // when it was closed is that of one which lost its end.
        let is_believed = |reading: &Reading| {
            let is_newest = |noted: Noted| {
                noted.fences == reading.fences && [0, reading.length].contains(&noted.closed_at)
            };
            reading.is_whole && noted.is_some_and(is_newest)
        };
        if let Some(reading) = reading.as_ref().filter(|reading| is_believed(reading)) {
            let known = self.state().index.len();
            self.log.writer().found(reading.entries, known);
        } else {
            self.read_records()?;
            self.log.writer().doubt();
        }
        let of_log = reading.map(|reading| reading.fences);
        let mut state = self.state();
        let newest = state.index.newest_fence().max(noted.unwrap_or_default().fences);
        let newest = newest.max(of_log.unwrap_or_default());
        state.index.fences_from(newest);
        state.reserved = newest;
        drop(state);
        self.roll_forward();
        // A store on a full disk can be read; whoever claims or writes is told.
        let _ = self.take_fences(newest);
        Ok(())
    }

    /// Makes the index anew of all records.
    fn read_records(&self) -> Result<(), StoreError> {
        self.state().index = DueIndex::default();
        for id in self.certificates()? {
            let id = id?;
            let found = self.place.read_record(&id);
            if let Ok(Some(stored)) = &found {
                let mut state = self.state();
                state.put(&id, Row::of(&stored.record));
                state.index.fences_from(stored.fence.min(HIGHEST));
            } else {
                self.look_at(&id, &found);
            }
        }
        Ok(())
    }

    /// The certificates that have a directory. What is not named like one is somebody else's.
    fn certificates(
        &self,
    ) -> Result<impl Iterator<Item = Result<CertificateId, StoreError>> + use<>, StoreError> {
        let directory = self.place.certificates();
        let fault = move |error: &io::Error| io_error("list", &directory, error);
        let entries = fs::read_dir(self.place.certificates()).map_err(|error| fault(&error))?;
        Ok(entries.filter_map(move |entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(fault(&error))),
            };
            let name = entry.file_name();
            let name = name.to_str()?;
            if durable::is_temporary(name) {
                Place::sweep_away(&entry.path()); // What is left of a certificate that was removed.
            }
            name.parse().ok().map(Ok)
        }))
    }

    /// Puts in place what was written together and is not, because a crash came in between.
    fn roll_forward(&self) {
        let mut state = self.state();
        state.left = state.intents.keys().copied().collect();
        for (number, intent) in state.intents.clone() {
            for stored in intent.records {
                let id = stored.record.id().clone();
                let is_in_place = match self.place.read_record(&id) {
                    Ok(Some(found)) => {
                        found.version > stored.version
                            || found.version == stored.version
                                && self.place.is_pointed_at(&found.record)
                                && self.place.settle(&id).is_ok()
                    }
                    // One that is not new was removed since.
                    Ok(None) => stored.version > crate::Version::FIRST,
                    Err(_) => false, // It is looked at again before it is written.
                };
                if !is_in_place {
                    state.index.put(&id, Row::of(&stored.record));
                    state.unplaced.insert(id, (number, stored));
                }
            }
        }
        drop(state);
        self.put_all_in_place();
    }

    /// Looks at every certificate once: somebody may have put it there, restored an older one or moved its link
    /// while the store was closed, and a crash may have left half a file.
    fn look_around(&self, is_over: &AtomicBool) {
        let Ok(ids) = self.certificates() else { return };
        for id in ids.flatten() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            {
                let _stripes = self.stripes([&id]);
                Place::sweep_below(&self.place.certificate(&id));
            }
            let _ = self.load(&id); // What cannot be read is named.
        }
    }
}

/// Whoever opens it next knows whether the log has lost its end.
impl Drop for Inner {
    fn drop(&mut self) {
        let (position, closed_at) = {
            let writer = self.log.writer();
            (writer.position(), writer.length())
        };
        let fences = self.state().reserved;
        // That it cannot be written is no harm: it is found as after a crash.
        let _ = self
            .log
            .sync(position)
            .and_then(|()| self.lock.write(&self.place.disk, Noted { fences, closed_at }));
    }
}

impl State {
    /// Takes over what a log says.
    ///
    /// # Errors
    /// [`StoreError::NewerStore`] when a record in it was written by a newer version.
    fn read(&mut self, content: &Content, log: &Log) -> Result<Reading, StoreError> {
        let mut reading =
            Reading { entries: 0, is_whole: true, length: content.length(), fences: Fence::default() };
        for found in content.read() {
            reading.entries += 1;
            match found {
                Found::Entry(entry) => self.take(entry, &mut reading),
                Found::Torn => reading.is_whole = false,
                Found::Damaged(what) => {
                    let reason = format!("{what}, all records were read instead");
                    self.log_faults.push(StoreError::Damaged { path: log.path_of_damaged(), reason });
                    reading.is_whole = false;
                }
            }
        }
        if !self.log_faults.is_empty() {
            // Whoever wants to know what happened finds it; that it cannot be kept changes nothing.
            let _ = fs::copy(log.path(), log.path_of_damaged());
        }
        let records = self.intents.values().flat_map(|intent| &intent.records);
        match records.map(|stored| stored.record.schema).find(|schema| *schema > Record::SCHEMA) {
            Some(found) => {
                Err(StoreError::NewerStore { path: log.path().clone(), found, known: Record::SCHEMA })
            }
            None => Ok(reading),
        }
    }

    fn take(&mut self, entry: Entry<'_>, reading: &mut Reading) {
        match entry {
            Entry::Bucket(row) => self.take_buckets(&[row]),
            Entry::Done(number) => drop(self.intents.remove(&number)),
            Entry::Due(name, at, line) => {
                self.index.put_name(name, Row::new(Timestamp::from_unix(at.into()), line));
            }
            Entry::Fences(fence) if fence > HIGHEST => reading.is_whole = false,
            Entry::Fences(fence) => reading.fences = reading.fences.max(fence),
            Entry::Gone(name) => {
                if let Ok(id) = name.parse() {
                    self.index.remove(&id);
                }
            }
            Entry::Intent(number, intent) => {
                self.take_buckets(&intent.buckets);
                self.last_intent = self.last_intent.max(number);
                self.intents.insert(number, intent);
            }
        }
    }
}

/// Looks at all records, while the store is used already.
pub(super) struct Search {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Search {
    /// Begins to look.
    pub(super) fn begin(inner: &Arc<Inner>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (inner, over) = (inner.clone(), is_over.clone());
        // Without a thread nothing is found, and everything else goes on.
        let thread = thread::Builder::new()
            .name("perennial-search".to_owned())
            .spawn(move || inner.look_around(&over))
            .ok();
        Self { is_over, thread }
    }
}

impl Drop for Search {
    /// Waits for the thread: it has the store open too.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
