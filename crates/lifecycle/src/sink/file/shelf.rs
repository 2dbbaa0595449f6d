//! The generations of one form of one certificate: a new one appears as a whole, and the one before stays.
//!
//! ```text
//! ROOT/ID/fullchain.pem -> .pem/current/fullchain.pem
//! ROOT/ID/.pem/current  -> 00000002
//! ROOT/ID/.pem/previous -> 00000001
//! ```
//!
//! All names flip with the one link `current`, as the volumes of a Kubernetes pod do: nobody sees a new key beside an
//! old certificate.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    access::Resolved,
    form::{self, FormFile, Forms},
};
use crate::{
    Found, OutputFormat, StoreError,
    durable::{self, Disk, Mode, io_error},
};

/// Where the generations of one form of one certificate stand.
pub(super) struct Shelf<'a> {
    pub(super) disk: &'a Disk,
    pub(super) directory: PathBuf,
    pub(super) format: OutputFormat,
}

impl Shelf<'_> {
    fn home(&self) -> PathBuf {
        self.directory.join(form::home(self.format))
    }

    /// Puts a generation there and makes it the one that is seen. A directory that is not there yet appears whole or not
    /// at all. After an error everything is as it was, unless it came last: then it is there, but a power cut may still
    /// undo it.
    pub(super) fn place(&self, files: &[FormFile], access: &Resolved) -> Result<(), StoreError> {
        if self.directory.exists() {
            return self.place_here(files, access);
        }
        let parent = self.directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent
            && !parent.exists()
        {
            self.disk.create_directory(parent)?;
            access.apply_to_directory(self.disk, parent)?;
        }
        let temporary = durable::temporary_beside(&self.directory);
        let hidden = Shelf { disk: self.disk, directory: temporary.clone(), format: self.format };
        let placed = self.disk.create_directory(&temporary).and_then(|()| hidden.place_here(files, access));
        let placed = placed.and_then(|()| {
            let renamed = self.disk.rename(&temporary, &self.directory);
            renamed.map_err(|error| io_error("create", &self.directory, &error))
        });
        if placed.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        placed?;
        let synced = self.disk.sync_directory(parent);
        synced.map_err(|error| io_error("make durable", &self.directory, &error))
    }

    fn place_here(&self, files: &[FormFile], access: &Resolved) -> Result<(), StoreError> {
        let home = self.home();
        self.disk.create_directory(&home)?;
        access.apply_to_directory(self.disk, &self.directory)?;
        access.apply_to_directory(self.disk, &home)?;
        let newest = self.numbers()?.into_iter().max().unwrap_or(0);
        let name = format!("{:08}", newest.saturating_add(1));
        let generation = home.join(&name);
        let temporary = durable::temporary_beside(&generation);
        let written = self.write(&temporary, files, access).and_then(|()| {
            let renamed = self.disk.rename(&temporary, &generation);
            renamed.map_err(|error| io_error("create", &generation, &error))
        });
        if written.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        let flipped = self.flip(Path::new(&name), self.target(CURRENT).as_deref());
        if flipped.is_err() && self.target(CURRENT).as_deref() != Some(Path::new(&name)) {
            let _ = fs::remove_dir_all(&generation);
        }
        flipped?;
        self.show(files)?;
        self.sweep();
        Ok(())
    }

    /// The files of a generation, and the directory that they lie in.
    fn write(&self, directory: &Path, files: &[FormFile], access: &Resolved) -> Result<(), StoreError> {
        self.disk.create_directory(directory)?;
        for file in files {
            let path = directory.join(file.name);
            let written = self.disk.write_new(&path, file.content.expose(), Mode::Private);
            written.map_err(|error| io_error("write", &path, &error))?;
            access.apply_to_file(self.disk, &path, file.is_private)?;
        }
        access.apply_to_directory(self.disk, directory)?;
        let synced = self.disk.sync_directory(Some(directory));
        synced.map_err(|error| io_error("make durable", directory, &error))
    }

    /// Makes one generation the one that is seen, and another the one before.
    fn flip(&self, current: &Path, previous: Option<&Path>) -> Result<(), StoreError> {
        if let Some(previous) = previous {
            self.disk.point(&self.home().join(PREVIOUS), previous)?;
        }
        self.disk.point(&self.home().join(CURRENT), current)
    }

    /// Lets every name lead to the generation that is seen. Plain files that lay there, as from certbot, make room one
    /// after the other, the key first.
    fn show(&self, files: &[FormFile]) -> Result<(), StoreError> {
        for file in files {
            let (link, target) = (self.directory.join(file.name), self.leads_to(file.name));
            if fs::read_link(&link).ok().as_deref() != Some(&target) {
                self.disk.point(&link, &target)?;
            }
        }
        let gone =
            form::names(self.format).iter().filter(|name| files.iter().all(|file| file.name != **name));
        for name in gone {
            let link = self.directory.join(name);
            if fs::read_link(&link).ok().as_deref() == Some(&self.leads_to(name)) {
                let _ = fs::remove_file(link);
            }
        }
        Ok(())
    }

    fn leads_to(&self, name: &str) -> PathBuf {
        [form::home(self.format), CURRENT, name].iter().collect()
    }

    /// Makes the one before the one that is seen, and the other way round. Returns whether there is one.
    pub(super) fn roll_back(&self) -> Result<bool, StoreError> {
        let (Some(current), Some(previous)) = (self.target(CURRENT), self.target(PREVIOUS)) else {
            return Ok(false);
        };
        if current == previous || !self.home().join(&previous).is_dir() {
            return Ok(false);
        }
        self.flip(&previous, Some(&current)).map(|()| true)
    }

    /// What is there of these files. Of a certificate that was rolled back by hand it is the newer generation that is
    /// looked at: it stays rolled back until the next one comes.
    pub(super) fn found(&self, files: &[FormFile], forms: &Forms) -> Result<Found, StoreError> {
        let newer = match (self.target(CURRENT), self.target(PREVIOUS)) {
            (Some(current), Some(previous)) if previous > current => Some(self.home().join(previous)),
            _ => None,
        };
        let mut found = Found::AsDelivered;
        for file in files {
            let path = newer.as_ref().unwrap_or(&self.directory).join(file.name);
            match durable::read_at_most(&path, LARGEST)? {
                Some(there) if forms.is_same(&there, file) => {}
                Some(_) => return Ok(Found::Overwritten),
                None => found = Found::Gone,
            }
        }
        Ok(found)
    }

    /// Whether these files are there as generations are, and not as plain files.
    pub(super) fn is_shown(&self, files: &[FormFile]) -> bool {
        files.iter().all(|file| {
            let target = fs::read_link(self.directory.join(file.name));
            target.ok().as_deref() == Some(&self.leads_to(file.name))
        })
    }

    /// Gives what is there the owner and modes that are wished for now.
    pub(super) fn give(&self, files: &[FormFile], access: &Resolved) -> Result<(), StoreError> {
        let generation = self.home().join(CURRENT);
        for directory in [&self.directory, &self.home(), &generation] {
            access.apply_to_directory(self.disk, directory)?;
        }
        files.iter().try_for_each(|file| {
            access.apply_to_file(self.disk, &generation.join(file.name), file.is_private)
        })
    }

    fn target(&self, link: &str) -> Option<PathBuf> {
        fs::read_link(self.home().join(link)).ok()
    }

    /// The numbers of the generations.
    fn numbers(&self) -> Result<Vec<u32>, StoreError> {
        let home = self.home();
        let failed = |error: io::Error| io_error("read", &home, &error);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&home).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(numbers)
    }

    /// Removes what no link leads to: older generations, and what a crash has left. That it stays a while harms nobody.
    fn sweep(&self) {
        let kept = [self.target(CURRENT), self.target(PREVIOUS)];
        let Ok(entries) = fs::read_dir(self.home()) else { return };
        for entry in entries.flatten() {
            let name = PathBuf::from(entry.file_name());
            let is_link = name == Path::new(CURRENT) || name == Path::new(PREVIOUS);
            if !is_link && !kept.iter().flatten().any(|kept| *kept == name) {
                let _ = self.disk.remove_directory(&entry.path());
            }
        }
    }
}

const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";

/// A store of all public roots has three hundred kilobytes; whoever may write there must not fill our memory.
const LARGEST: u64 = 1024 * 1024;
