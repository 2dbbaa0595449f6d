//! Where things lie in the directory of a store.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use perennial_core::SecretBytes;

use super::stored::Stored;
use crate::{
    CertificateId, Generation, Record, StoreError,
    durable::{self, Disk, Mode, io_error},
    output,
    store::{Fence, Slot, Version},
};

/// The directory of a store, and the disk that it lies on.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) root: PathBuf,
    pub(super) disk: Disk,
}

impl Place {
    pub(super) fn certificates(&self) -> PathBuf {
        self.root.join("certificates")
    }

    pub(super) fn issuers(&self) -> PathBuf {
        self.root.join("issuers")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("index.log")
    }

    pub(super) fn certificate(&self, id: &CertificateId) -> PathBuf {
        self.certificates().join(id.as_str())
    }

    pub(super) fn record(&self, id: &CertificateId) -> PathBuf {
        self.certificate(id).join("record.json")
    }

    fn generation(&self, id: &CertificateId, generation: Generation) -> PathBuf {
        self.certificate(id).join(generation.to_string())
    }

    pub(super) fn slot(&self, slot: &Slot) -> PathBuf {
        match slot {
            Slot::Chain { certificate, generation } => {
                self.generation(certificate, *generation).join("fullchain.pem")
            }
            Slot::IssuerState { issuer } => self.issuers().join(issuer.as_str()),
            Slot::PrivateKey { certificate, generation } => {
                self.generation(certificate, *generation).join("privkey.pem")
            }
        }
    }

    /// Makes the directories that every store has.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        self.disk.create_directory(&self.certificates())?;
        self.disk.create_directory(&self.issuers())
    }

    /// The record of a certificate as it lies on disk.
    pub(super) fn read_record(&self, id: &CertificateId) -> Result<Option<Stored>, StoreError> {
        let path = self.record(id);
        let Some(bytes) = durable::read(&path)? else { return Ok(None) };
        Stored::read(id, &path, &bytes).map(Some)
    }

    /// Replaces the record of a certificate.
    pub(super) fn write_record(&self, stored: &Stored) -> Result<(), StoreError> {
        let path = self.record(stored.record.id());
        let bytes = stored.write(&path)?;
        self.disk.create_directory(&self.certificate(stored.record.id()))?;
        self.disk.replace(&path, &bytes, Mode::Private)?;
        if stored.version == Version::FIRST {
            self.sync(&self.certificates())?;
        }
        Ok(())
    }

    /// Removes a certificate in one step: it has another name, which nobody looks for, before it goes bit by bit.
    pub(super) fn remove_certificate(&self, id: &CertificateId) -> Result<(), StoreError> {
        let directory = self.certificate(id);
        let fault = |doing| move |error| io_error(doing, &self.certificate(id), &error);
        let doomed = durable::temporary_beside(&directory);
        self.disk.rename(&directory, &doomed).map_err(fault("remove"))?;
        self.disk.sync_directory(directory.parent()).map_err(fault("make durable"))?;
        // What is left of it is swept away when the store is opened.
        let _ = self.disk.remove_directory(&doomed);
        Ok(())
    }

    pub(super) fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        Ok(durable::read(&self.slot(slot))?.map(SecretBytes::new))
    }

    pub(super) fn write(&self, slot: &Slot, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.slot(slot);
        if let Some(directory) = path.parent() {
            self.disk.create_directory(directory)?;
        }
        match (slot, path.parent(), std::str::from_utf8(bytes)) {
            (Slot::Chain { .. }, Some(directory), Ok(fullchain)) => {
                output::write_chain(&self.disk, directory, fullchain)?;
            }
            _ => self.disk.replace(&path, bytes, Mode::Private)?,
        }
        slot.certificate().map_or(Ok(()), |id| self.sync(&self.certificate(id)))
    }

    /// Makes the names in a directory durable, those too that were made before a crash and are found there now.
    fn sync(&self, directory: &Path) -> Result<(), StoreError> {
        let synced = self.disk.sync_directory(Some(directory));
        synced.map_err(|error| io_error("make durable", directory, &error))
    }

    /// Makes what is seen of a certificate durable: a write that could not do so has failed, and is seen all the same.
    pub(super) fn settle(&self, id: &CertificateId) -> Result<(), StoreError> {
        self.sync(&self.certificates())?;
        self.sync(&self.certificate(id))
    }

    pub(super) fn forget(&self, id: &CertificateId, generation: Generation) -> Result<(), StoreError> {
        self.disk.remove_directory(&self.generation(id, generation))
    }

    /// Whether the `current` link agrees with the record.
    pub(super) fn is_pointed_at(&self, record: &Record) -> bool {
        let Some(current) = &record.current else { return true };
        let link = self.certificate(record.id()).join("current");
        fs::read_link(link).is_ok_and(|there| there == Path::new(&current.generation.to_string()))
    }

    /// Makes the `current` link agree with the record. The record is the truth; until the link is moved it
    /// names the previous, whole generation.
    pub(super) fn point_current(&self, record: &Record) -> Result<(), StoreError> {
        match &record.current {
            Some(current) if !self.is_pointed_at(record) => {
                let link = self.certificate(record.id()).join("current");
                self.disk.point(&link, Path::new(&current.generation.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Removes what a crash between writing and renaming left in a directory: nobody else has the store open, and
    /// nobody here may be writing into it.
    pub(super) fn sweep(directory: &Path) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(durable::is_temporary) {
                Self::sweep_away(&entry.path());
            }
        }
    }

    /// The same in the directory of a certificate and those of its generations.
    pub(super) fn sweep_below(directory: &Path) {
        Self::sweep(directory);
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                Self::sweep(&entry.path());
            }
        }
    }

    /// That it cannot be removed is no harm: it is in nobody's way.
    pub(super) fn sweep_away(path: &Path) {
        if path.is_dir() {
            let _ = fs::remove_dir_all(path);
        } else {
            let _ = fs::remove_file(path);
        }
    }
}

/// The file that says that a process has the store open, which fences no longer to use, and how long the index was
/// when it was closed.
pub(super) struct Lock {
    path: PathBuf,
    /// Locked for as long as it is open.
    file: File,
}

/// What the lock file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// Up to which fence they may have been used.
    pub(super) fences: Fence,
    /// The length of the log at the end of a process that closed the store; 0 while it is open, and after a crash.
    pub(super) closed_at: u64,
}

/// As many digits as the largest number has: the file never changes its length, so it needs no space.
const DIGITS: usize = 20;

impl Lock {
    /// Keeps other processes out for as long as it lives.
    ///
    /// # Errors
    /// [`StoreError::Locked`] or [`StoreError::Io`].
    pub(super) fn take(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("lock");
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        // Windows locks by opening: a second opener is refused with ERROR_SHARING_VIOLATION.
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
        let file = options.open(&path).map_err(|error| match error.raw_os_error() {
            Some(32) if cfg!(windows) => StoreError::Locked { path: root.to_owned() },
            _ => io_error("open", &path, &error),
        })?;
        #[cfg(unix)]
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked { path: root.to_owned() }),
            Err(error) => return Err(io_error("lock", &path, &error.into())),
        }
        Ok(Self { path, file })
    }

    /// What it says; `None` when nobody has written it, or something else.
    pub(super) fn read(&self) -> Option<Noted> {
        let mut text = String::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(2 * DIGITS as u64 + 1).read_to_string(&mut text).ok()?;
        let (fences, closed_at) = text.split_once(' ')?;
        Some(Noted { fences: Fence::from_number(fences.parse().ok()?), closed_at: closed_at.parse().ok()? })
    }

    /// Replaces what it says.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub(super) fn write(&self, disk: &Disk, noted: Noted) -> Result<(), StoreError> {
        let fault = |error: io::Error| io_error("write", &self.path, &error);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0)).map_err(fault)?;
        let text = format!("{:0DIGITS$} {:0DIGITS$}\n", noted.fences.number(), noted.closed_at);
        file.write_all(text.as_bytes()).map_err(fault)?;
        disk.sync(file, &self.path).map_err(fault)
    }
}
