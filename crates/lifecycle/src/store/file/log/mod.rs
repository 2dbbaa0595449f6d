//! The log of the index: what is due when, in one file that is read in one go.
//!
//! It grows at its end, in frames that are there whole or not at all, and is written anew when it has become
//! long. A frame is durable when it has been [synced](Log::sync); callers that wait for that at the same time
//! share one call to the disk.

use std::{
    fs::{self, File},
    io::{Seek as _, SeekFrom},
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    StoreError,
    durable::{self, Disk, Mode, io_error},
};

mod entry;
pub(super) use entry::{BucketRow, Entry, Intent};

mod frame;

/// The newest form of a log that this version knows, and the one that it writes: since 2 it tells lines apart.
const SCHEMA: u32 = 2;

/// A log is written anew when it has this many entries more than a quarter of what it began with.
const FEW: usize = 4_096;

/// How much a frame of a log that is written anew holds at least: few enough frames, and little lost by damage.
const PAGE: usize = 64 * 1_024;

/// The log of an index.
pub(super) struct Log {
    path: PathBuf,
    disk: Disk,
    writer: Mutex<Writer>,
    /// How far the log is durable; whoever holds it makes it so.
    synced: Mutex<u64>,
}

/// The end of a log.
pub(super) struct Writer {
    /// `None` until the log is written for the first time.
    file: Option<File>,
    /// The length of the file as far as it is good.
    length: u64,
    /// Bytes written by this process: a position that never goes back.
    position: u64,
    /// Entries that were added since the log was written anew.
    added: usize,
    /// With how many entries more it is written anew.
    limit: usize,
    /// What the file holds cannot be known any more: nothing is added before it was written anew.
    broken: bool,
}

/// A log as it would lie on disk.
pub(super) struct Image {
    bytes: Vec<u8>,
    /// How many entries it has.
    count: usize,
}

/// What a log holds.
pub(super) struct Content {
    /// Its frames, as they were written.
    pub(super) bytes: Vec<u8>,
}

/// What is found in a log, in its order.
pub(super) enum Found<'a> {
    Entry(Entry<'a>),
    /// It was being written when a crash came: nothing had been promised.
    Torn,
    /// Where it lies.
    Damaged(String),
}

impl Content {
    /// How many bytes it has.
    pub(super) const fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What a log holds, from its beginning. What follows the first damage is true but not all.
    pub(super) fn read(&self) -> impl Iterator<Item = Found<'_>> {
        let frames = frame::read(&self.bytes).map(|(_, frames)| frames);
        let none = frames.is_none().then(|| Found::Damaged("it is no index".to_owned()));
        let found = frames.into_iter().flatten().flat_map(|frame| {
            let (entries, damage) = match frame {
                Ok(body) => (Some(entry::read(body)), None),
                Err(damage) => (None, Some(damage)),
            };
            let entries = entries.into_iter().flatten().map(|entry| match entry {
                Some(entry) => Found::Entry(entry),
                None => Found::Damaged("an entry is of no known kind".to_owned()),
            });
            entries.chain(damage.map(|damage| match damage.to {
                Some(to) => Found::Damaged(format!("bytes {} to {to} are damaged", damage.from)),
                None => Found::Torn,
            }))
        });
        none.into_iter().chain(found)
    }
}

impl Log {
    /// The log at this path, and what it holds; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::NewerStore`] when a newer version has written it, [`StoreError::Io`].
    pub(super) fn open(path: PathBuf, disk: Disk) -> Result<(Self, Option<Content>), StoreError> {
        let bytes = durable::read(&path)?;
        // What is no log at all has no frames.
        let schema = bytes.as_deref().and_then(|bytes| Some(frame::read(bytes)?.0));
        if let Some(found) = schema.filter(|found| *found > SCHEMA) {
            return Err(StoreError::NewerStore { path, found, known: SCHEMA });
        }
        let file = schema.and_then(|_| File::options().append(true).open(&path).ok());
        let length = bytes.as_ref().map_or(0, Vec::len) as u64;
        // To an older one nothing is added: its head says that there is nothing newer in it.
        let broken = file.is_none() || schema.is_some_and(|found| found < SCHEMA);
        let writer = Writer { file, length, position: length, added: 0, limit: FEW, broken };
        let log = Self { path, disk, writer: Mutex::new(writer), synced: Mutex::new(length) };
        Ok((log, bytes.map(|bytes| Content { bytes })))
    }

    /// Where it lies.
    pub(super) const fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Where a log is kept that was found damaged.
    pub(super) fn path_of_damaged(&self) -> PathBuf {
        self.path.with_extension("damaged")
    }

    /// The end of the log. A panic elsewhere left it whole: it is changed last.
    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame with these entries and returns the position to [sync](Self::sync).
    ///
    /// # Errors
    /// [`StoreError::Io`]; the log is what it was.
    pub(super) fn append(&self, writer: &mut Writer, entries: &[Entry<'_>]) -> Result<u64, StoreError> {
        let fault = |error| io_error("write", &self.path, &error);
        let mut body = Vec::new();
        for entry in entries {
            entry.write(&mut body).map_err(|reason| self.unwritable(reason))?;
        }
        let mut bytes = Vec::new();
        frame::write(&body, &mut bytes);
        let file = writer.file.as_mut().ok_or_else(|| self.unwritable("it is not open".to_owned()))?;
        if let Err(error) = self.disk.write(file, &self.path, &bytes) {
            // Half a frame must not stand before the next one.
            let cut = self.disk.truncate(file, &self.path, writer.length);
            writer.broken = cut.and_then(|()| file.seek(SeekFrom::Start(writer.length))).is_err();
            return Err(fault(error));
        }
        writer.length += bytes.len() as u64;
        writer.position += bytes.len() as u64;
        writer.added += entries.len();
        Ok(writer.position)
    }

    /// Waits until the log is durable up to a position.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the log has to be written anew then, since a system that could not write a page may
    /// forget that it has it.
    pub(super) fn sync(&self, position: u64) -> Result<(), StoreError> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= position {
            return Ok(()); // Somebody has waited for more meanwhile.
        }
        let (file, end) = {
            let writer = self.writer();
            if writer.broken {
                return Err(self.unwritable("a part of it may be lost".to_owned()));
            }
            (writer.file.as_ref().and_then(|file| file.try_clone().ok()), writer.position)
        };
        let file = file.ok_or_else(|| self.unwritable("it is not open".to_owned()))?;
        if let Err(error) = self.disk.sync(&file, &self.path) {
            self.writer().broken = true;
            return Err(io_error("make durable", &self.path, &error));
        }
        *synced = end.max(*synced);
        Ok(())
    }

    /// A log with these entries and no others, to [replace](Self::replace) this one by.
    ///
    /// # Errors
    /// [`StoreError::Io`] in no case that is known: entries have a form.
    pub(super) fn image<'a>(&self, entries: impl Iterator<Item = Entry<'a>>) -> Result<Image, StoreError> {
        let (mut bytes, mut body, mut count) = (frame::head(SCHEMA).to_vec(), Vec::new(), 0);
        for entry in entries {
            count += 1;
            entry.write(&mut body).map_err(|reason| self.unwritable(reason))?;
            if body.len() >= PAGE {
                frame::write(&body, &mut bytes);
                body.clear();
            }
        }
        frame::write(&body, &mut bytes);
        Ok(Image { bytes, count })
    }

    /// Writes the log anew.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the old one stays, unless the writer is broken: then it may be either.
    pub(super) fn replace(&self, writer: &mut Writer, image: &Image) -> Result<(), StoreError> {
        let fault = |doing| move |error| io_error(doing, &self.path, &error);
        let Image { bytes, count } = image;
        let temporary = durable::temporary_beside(&self.path);
        let written = self
            .disk
            .write_new(&temporary, bytes, Mode::Private)
            .and_then(|file| self.disk.rename(&temporary, &self.path).map(|()| file));
        if written.is_err() {
            let _ = fs::remove_file(&temporary); // That this fails too would say nothing new.
        }
        let file = written.map_err(fault("write"))?;
        // From here on this is the file that others would find, durable or not.
        writer.file = Some(file);
        writer.length = bytes.len() as u64;
        writer.position += bytes.len() as u64;
        (writer.added, writer.limit) = (0, FEW + count / 4);
        writer.broken = true;
        self.disk.sync_directory(self.path.parent()).map_err(fault("make durable"))?;
        writer.broken = false;
        Ok(())
    }

    fn unwritable(&self, reason: String) -> StoreError {
        StoreError::Io { doing: "write", path: self.path.clone(), reason }
    }
}

impl Writer {
    /// Whether nothing can be added before it was written anew.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether it has become long.
    pub(super) const fn is_long(&self) -> bool {
        self.added > self.limit
    }

    /// The length of the file.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Where the log ends.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// What is in the file cannot be known any more.
    pub(super) const fn doubt(&mut self) {
        self.broken = true;
    }

    /// Asks later whether it has become long: it could not be written anew.
    pub(super) const fn put_off(&mut self) {
        self.limit = self.added + FEW;
    }

    /// How many entries it was found with, of which so many are needed.
    pub(super) fn found(&mut self, entries: usize, needed: usize) {
        self.added = entries.saturating_sub(needed);
        self.limit = FEW + needed / 4;
    }
}
