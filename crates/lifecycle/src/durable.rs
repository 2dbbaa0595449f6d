//! Files that are the old or the new ones after a crash, never something between.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::StoreError;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The owner alone: keys.
    Private,
    /// Everybody: certificates.
    Public,
}

/// A disk: the real one, or in tests one that fails when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    faults: Option<Arc<dyn Faults>>,
}

/// Who says that a call fails before it is made.
pub(crate) trait Faults: Send + Sync {
    /// # Errors
    /// What the call answers instead of being made. One to [`Call::Write`] is half made: a disk that is full
    /// takes what still fits.
    fn before(&self, call: Call, path: &Path) -> io::Result<()>;
}

/// What is asked of a disk that it can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    CreateDirectory,
    Give,
    Link,
    Remove,
    Rename,
    Sync,
    SyncDirectory,
    Truncate,
    Write,
}

impl Disk {
    /// A disk that fails when it is told to.
    #[cfg(test)]
    pub(crate) fn with(faults: Arc<dyn Faults>) -> Self {
        Self { faults: Some(faults) }
    }

    /// What a test has written need not survive a power cut.
    const fn is_real(&self) -> bool {
        self.faults.is_none()
    }

    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.before(call, path))
    }

    /// Replaces a file by new content: temporary file in the same directory, fsync, rename, fsync of the
    /// directory. The temporary file has its mode before it has content.
    pub(crate) fn replace(&self, path: &Path, content: &[u8], mode: Mode) -> Result<(), StoreError> {
        let fault = |doing| move |error: io::Error| io_error(doing, path, &error);
        let temporary = temporary_beside(path);
        let written = self
            .write_new(&temporary, content, mode)
            .map_err(fault("write"))
            .and_then(|_| self.rename(&temporary, path).map_err(fault("replace")));
        if written.is_err() {
            // Leave nothing half-written; that this fails too would say nothing new.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.sync_directory(path.parent()).map_err(fault("make durable"))
    }

    /// Makes a directory and its parents, durably, readable by the owner alone.
    pub(crate) fn create_directory(&self, path: &Path) -> Result<(), StoreError> {
        let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !is_there(ancestor)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        self.before(Call::CreateDirectory, path)
            .and_then(|()| builder.create(path))
            .map_err(|error| io_error("create directory", path, &error))?;
        // A file is not durable in a directory that its own parent may forget.
        missing.into_iter().rev().try_for_each(|made| {
            self.sync_directory(made.parent()).map_err(|error| io_error("make durable", made, &error))
        })
    }

    /// A new file with this content, durable but for its name.
    pub(crate) fn write_new(&self, path: &Path, content: &[u8], mode: Mode) -> io::Result<File> {
        let mut file = self.create(path, mode)?;
        self.write(&mut file, path, content)?;
        self.sync(&file, path)?;
        Ok(file)
    }

    fn create(&self, path: &Path, mode: Mode) -> io::Result<File> {
        self.before(Call::Create, path)?;
        // A crashed process with our number may have left one; a new file has nobody else's mode or readers.
        let _ = fs::remove_file(path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            let bits = match mode {
                Mode::Private => 0o600,
                Mode::Public => 0o644,
            };
            let file = options.mode(bits).open(path)?;
            // The umask may have taken bits.
            file.set_permissions(fs::Permissions::from_mode(bits))?;
            Ok(file)
        }
        #[cfg(not(unix))]
        {
            let _ = mode;
            options.open(path)
        }
    }

    /// Gives a file or a directory to an owner and a group, and then a mode: a change of the owner may take bits of it.
    pub(crate) fn give(
        &self,
        path: &Path,
        (owner, group): (Option<u32>, Option<u32>),
        mode: u32,
    ) -> Result<(), StoreError> {
        let given = self.before(Call::Give, path).and_then(|()| give(path, owner, group));
        given.map_err(|error| io_error("change the owner or group of", path, &error))?;
        set_mode(path, mode).map_err(|error| io_error("change the mode of", path, &error))
    }

    /// Writes at the place where a file stands.
    pub(crate) fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.before(Call::Write, path) {
            let (half, _) = bytes.split_at(bytes.len() / 2);
            file.write_all(half)?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    /// Makes what was written survive a power cut.
    pub(crate) fn sync(&self, file: &File, path: &Path) -> io::Result<()> {
        self.before(Call::Sync, path)?;
        if self.is_real() { file.sync_all() } else { Ok(()) }
    }

    /// Cuts a file off.
    pub(crate) fn truncate(&self, file: &File, path: &Path, length: u64) -> io::Result<()> {
        self.before(Call::Truncate, path)?;
        file.set_len(length)
    }

    /// Gives a file or a directory another name, replacing what has it.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before(Call::Rename, to)?;
        fs::rename(from, to)
    }

    /// Replaces a symbolic link, or what lies in its place.
    pub(crate) fn point(&self, link: &Path, target: &Path) -> Result<(), StoreError> {
        let temporary = temporary_beside(link);
        let _ = fs::remove_file(&temporary);
        let pointed = self
            .before(Call::Link, link)
            .and_then(|()| symlink(target, &temporary))
            .and_then(|()| self.rename(&temporary, link));
        if pointed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        pointed
            .and_then(|()| self.sync_directory(link.parent()))
            .map_err(|error| io_error("point", link, &error))
    }

    /// Removes a directory and all that is in it; no error when there is none.
    pub(crate) fn remove_directory(&self, path: &Path) -> Result<(), StoreError> {
        match self.before(Call::Remove, path).and_then(|()| fs::remove_dir_all(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, &error)),
            _ => Ok(()),
        }
    }

    /// Makes a rename or removal in a directory survive a power cut. Other systems than Unix have no such call.
    pub(crate) fn sync_directory(&self, directory: Option<&Path>) -> io::Result<()> {
        match directory {
            #[cfg(unix)]
            Some(directory) => {
                self.before(Call::SyncDirectory, directory)?;
                // The parent of a relative name is the empty path.
                let named = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
                if self.is_real() { File::open(named)?.sync_all() } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn give(path: &Path, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
    if owner.is_none() && group.is_none() { Ok(()) } else { std::os::unix::fs::chown(path, owner, group) }
}

#[cfg(not(unix))]
fn give(_: &Path, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
    if owner.is_none() && group.is_none() { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    let is_directory = link.parent().is_none_or(|parent| parent.join(target).is_dir());
    if is_directory {
        std::os::windows::fs::symlink_dir(target, link)
    } else {
        std::os::windows::fs::symlink_file(target, link)
    }
}

/// The parent of a relative name is the empty path, which means the working directory.
fn is_there(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.exists()
}

/// The content of a file, or `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path, &error)),
    }
}

/// The same, where a file that is longer than `most` bytes is an error: others write there.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > most => {
            let reason = format!("it has more than {most} bytes");
            Err(StoreError::Io { doing: "read", path: path.to_owned(), reason })
        }
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path, &error)),
    }
}

pub(crate) fn io_error(doing: &'static str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io { doing, path: path.to_owned(), reason: error.to_string() }
}

/// A name beside the file that no reader looks for and no other writer uses.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{}.new", std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Whether a file name is one of [`temporary_beside`].
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".new")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Disk = Disk { faults: None };

    #[test]
    fn a_failed_replacement_leaves_the_old_file_and_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        DISK.replace(&path, b"old", Mode::Public).unwrap();
        let blocked = directory.path().join("blocked");
        fs::create_dir(&blocked).unwrap();
        fs::write(blocked.join("child"), b"").unwrap();
        assert!(DISK.replace(&blocked, b"new", Mode::Public).is_err()); // a directory cannot be replaced by a file
        assert_eq!(read(&path).unwrap().unwrap(), b"old");
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }

    #[test]
    fn a_bare_file_name_lies_in_the_working_directory() {
        assert!(is_there(Path::new("")));
        DISK.sync_directory(Path::new("file").parent()).unwrap();
    }

    #[test]
    fn writers_of_one_file_at_once_leave_one_whole_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let contents: Vec<_> = (b'a'..=b'h').map(|letter| vec![letter; 100_000]).collect();
        std::thread::scope(|scope| {
            for content in &contents {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| DISK.replace(path, content, Mode::Public).unwrap()));
            }
        });
        assert!(contents.contains(&read(&path).unwrap().unwrap()), "contents were mixed");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_and_a_new_directory_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let made = directory.path().join("a/b");
        DISK.create_directory(&made).unwrap();
        DISK.create_directory(&made).unwrap(); // One that is there is left as it is.
        let path = made.join("key");
        DISK.replace(&path, b"a", Mode::Private).unwrap();
        for (path, mode) in [(&path, 0o600), (&made, 0o700), (&directory.path().join("a"), 0o700)] {
            let found = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }
}
