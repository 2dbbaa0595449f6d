//! Answers as files below the document root of a web server.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use rustix::{
    fs::{self, AtFlags, Mode, OFlags},
    io::Errno,
};

use super::{Http01Answer, Http01Place};
use crate::Error;

/// Writes answers below a web server's document root, as `.well-known/acme-challenge/TOKEN`.
///
/// The root itself may be anywhere, behind links too; below it no symbolic link is followed, so that whoever may
/// write there cannot have this program write elsewhere. Files are readable by all (0644) and appear whole.
/// Removed are the files, and of the two directories those that were made here, once they are empty: an empty file
/// `.perennial` in them says so, after a crash too.
#[derive(Clone, Debug)]
pub struct Webroot {
    root: PathBuf,
    /// Held while files come and go: nobody removes a directory below a file that is just being written.
    turn: Arc<Mutex<()>>,
}

const WELL_KNOWN: &str = ".well-known";
const CHALLENGES: &str = "acme-challenge";
/// In each directory that was made here.
const MARK: &str = ".perennial";

/// Whatever the umask, the web server has to read it.
const FILE: Mode = Mode::from_raw_mode(0o644);
const DIRECTORY: Mode = Mode::from_raw_mode(0o755);

/// Another process may remove an empty directory between our looking and our writing.
const TRIES: usize = 3;

impl Webroot {
    /// Writes below this document root. It is not looked at yet.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), turn: Arc::default() }
    }

    fn write(&self, answer: &Http01Answer) -> Result<(), Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut result = Ok(());
        for _ in 0..TRIES {
            result = self.write_once(answer);
            if !matches!(result, Err((_, Errno::NOENT))) {
                break;
            }
        }
        result.map_err(|(path, errno)| fault(path, errno))
    }

    fn write_once(&self, answer: &Http01Answer) -> Result<(), Fault> {
        let root = self.open_root()?;
        let well_known = self.make(&root, Path::new(WELL_KNOWN), WELL_KNOWN)?;
        let within = Path::new(WELL_KNOWN).join(CHALLENGES);
        let directory = self.make(&well_known, &within, CHALLENGES)?;
        let token = answer.token.as_str();
        let path = self.root.join(within).join(token);
        let at = |errno| (path.clone(), errno);
        let unfinished = unfinished(answer);
        remove(&directory, &unfinished).map_err(at)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&directory, &unfinished, flags, FILE).map_err(at)?);
        let written = fs::fchmod(&file, FILE).and_then(|()| {
            let written = file.write_all(answer.key_authorization.as_bytes());
            written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            fs::renameat(&directory, &unfinished, &directory, token)
        });
        written.map_err(|errno| {
            let _ = fs::unlinkat(&directory, &unfinished, AtFlags::empty());
            at(errno)
        })
    }

    /// Opens a directory below, made if it is not there.
    fn make(&self, parent: &File, path: &Path, name: &str) -> Result<File, Fault> {
        let at = |errno| (self.root.join(path), errno);
        let is_new = match fs::mkdirat(parent, name, DIRECTORY) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(at(errno)),
        };
        let directory = self.open(parent, path, name)?;
        if is_new {
            fs::fchmod(&directory, DIRECTORY).map_err(at)?;
            mark(&directory).map_err(|errno| {
                let _ = fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
                at(errno)
            })?;
        }
        Ok(directory)
    }

    fn open_root(&self) -> Result<File, Fault> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = fs::open(&self.root, flags, Mode::empty()).map_err(|errno| (self.root.clone(), errno))?;
        Ok(File::from(root))
    }

    fn open(&self, parent: &File, path: &Path, name: &str) -> Result<File, Fault> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = fs::openat(parent, name, flags, Mode::empty());
        Ok(File::from(opened.map_err(|errno| (self.root.join(path), errno))?))
    }

    fn take_away(&self, answer: &Http01Answer) -> Result<(), Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match self.take_away_once(answer) {
            // Somebody has removed more than the file.
            Ok(()) | Err((_, Errno::NOENT)) => Ok(()),
            Err((path, errno)) => Err(fault(path, errno)),
        }
    }

    fn take_away_once(&self, answer: &Http01Answer) -> Result<(), Fault> {
        let root = self.open_root()?;
        let well_known = self.open(&root, Path::new(WELL_KNOWN), WELL_KNOWN)?;
        let within = Path::new(WELL_KNOWN).join(CHALLENGES);
        let directory = self.open(&well_known, &within, CHALLENGES)?;
        let token = answer.token.as_str();
        if is_ours(&directory, answer) {
            let path = self.root.join(&within).join(token);
            fs::unlinkat(&directory, token, AtFlags::empty()).map_err(|errno| (path, errno))?;
        }
        // Of whoever died before it was whole.
        let _ = remove(&directory, &unfinished(answer));
        // What is not empty stays, and is removed with the last file in it.
        if clear(&well_known, CHALLENGES, &directory) {
            clear(&root, WELL_KNOWN, &well_known);
        }
        Ok(())
    }
}

/// Where, and why not.
type Fault = (PathBuf, Errno);

/// Enough of a token to tell one from another.
const UNFINISHED: usize = 64;

/// The name of a file that is not whole yet. A token may be as long as a file's name may be.
fn unfinished(answer: &Http01Answer) -> String {
    let token = answer.token.as_str();
    format!(".{}.new", token.get(..UNFINISHED).unwrap_or(token))
}

fn remove(directory: &File, name: &str) -> Result<(), Errno> {
    match fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Says of a directory that it was made here.
fn mark(directory: &File) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    fs::openat(directory, MARK, flags, FILE).map(drop)
}

/// Removes a directory that was made here if nothing else is in it; whether it is gone.
fn clear(parent: &File, name: &str, directory: &File) -> bool {
    let Ok(entries) = fs::Dir::read_from(directory) else { return false };
    let mut is_ours = false;
    for entry in entries {
        match entry.as_ref().map(|entry| entry.file_name().to_bytes()) {
            Ok(b"." | b"..") => {}
            Ok(name) if name == MARK.as_bytes() => is_ours = true,
            _ => return false,
        }
    }
    if !is_ours || remove(directory, MARK).is_err() {
        return false;
    }
    let is_gone = fs::unlinkat(parent, name, AtFlags::REMOVEDIR).is_ok();
    if !is_gone {
        // Another process has put something there meanwhile, and will remove it.
        let _ = mark(directory);
    }
    is_gone
}

/// Whether the file is there and has the answer in it.
fn is_ours(directory: &File, answer: &Http01Answer) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(file) = fs::openat(directory, answer.token.as_str(), flags, Mode::empty()) else { return false };
    let expected = answer.key_authorization.as_bytes();
    let mut found = Vec::new();
    let read = File::from(file).take(expected.len() as u64 + 1).read_to_end(&mut found);
    read.is_ok() && found == expected
}

fn fault(path: PathBuf, errno: Errno) -> Error {
    let remedy = match errno {
        Errno::ACCESS | Errno::PERM => "; let this program write there",
        Errno::LOOP | Errno::NOTDIR => {
            "; below the document root no symbolic link is followed: make it a directory, or give the root of the \
             place that it leads to"
        }
        Errno::NOENT => "; give the document root of the web server, which has to be there",
        _ => "",
    };
    Error::Webroot { path, reason: format!("{}{remedy}", std::io::Error::from(errno)) }
}

#[async_trait]
impl Http01Place for Webroot {
    async fn put(&self, answer: &Http01Answer) -> Result<(), Error> {
        let (this, answer) = (self.clone(), answer.clone());
        blocking(&self.root, move || this.write(&answer)).await
    }

    async fn remove(&self, answer: &Http01Answer) -> Result<(), Error> {
        let (this, answer) = (self.clone(), answer.clone());
        blocking(&self.root, move || this.take_away(&answer)).await
    }
}

/// File work on a thread that may block.
async fn blocking(
    root: &Path,
    work: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let failed =
        |error: tokio::task::JoinError| Error::Webroot { path: root.to_owned(), reason: error.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(failed)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_acme::ChallengeKind;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn answer(number: u8) -> Http01Answer {
        let token = format!("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-{number:02}");
        let at = format!("http://a.example/.well-known/acme-challenge/{token}");
        let name = "a.example".parse().unwrap();
        let proof = crate::Proof::new(&ChallengeKind::Http01, name, at, format!("{token}.key"));
        Http01Answer::read(&proof).unwrap()
    }

    fn listed(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_is_there_for_all_to_read_and_with_the_last_one_its_directories_go() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("index.html"), "hello").unwrap();
        let webroot = Webroot::new(root.path());
        for number in [1, 2, 1] {
            webroot.put(&answer(number)).await.unwrap();
        }
        let directory = root.path().join(".well-known/acme-challenge");
        assert_eq!(listed(&directory), [MARK, answer(1).token.as_str(), answer(2).token.as_str()]);
        let file = directory.join(answer(1).token.as_str());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), answer(1).key_authorization);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&directory)), (0o644, 0o755));
        webroot.remove(&answer(1)).await.unwrap();
        webroot.remove(&answer(1)).await.unwrap();
        assert_eq!(listed(&directory), [MARK, answer(2).token.as_str()]);
        webroot.remove(&answer(2)).await.unwrap();
        assert_eq!(listed(root.path()), ["index.html"]);
        webroot.remove(&answer(2)).await.unwrap();
    }

    #[tokio::test]
    async fn who_comes_after_a_crash_leaves_nothing_behind_either() {
        let root = tempfile::tempdir().unwrap();
        Webroot::new(root.path()).put(&answer(1)).await.unwrap();
        let directory = root.path().join(".well-known/acme-challenge");
        std::fs::write(directory.join(unfinished(&answer(2))), "hal").unwrap();
        let webroot = Webroot::new(root.path());
        webroot.remove(&answer(1)).await.unwrap();
        assert_eq!(listed(&directory), [unfinished(&answer(2)).as_str(), MARK], "it is still to be removed");
        webroot.remove(&answer(2)).await.unwrap();
        assert_eq!(listed(root.path()), Vec::<String>::new());
        // One directory of ours below one that was there.
        std::fs::create_dir(root.path().join(".well-known")).unwrap();
        Webroot::new(root.path()).put(&answer(1)).await.unwrap();
        webroot.remove(&answer(1)).await.unwrap();
        assert_eq!(listed(root.path()), [".well-known"]);
        assert_eq!(listed(&root.path().join(".well-known")), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_was_there_before_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join(".well-known/acme-challenge");
        std::fs::create_dir_all(&directory).unwrap();
        let theirs = directory.join(answer(2).token.as_str());
        std::fs::write(&theirs, "somebody else's").unwrap();
        let webroot = Webroot::new(root.path());
        webroot.put(&answer(1)).await.unwrap();
        webroot.remove(&answer(1)).await.unwrap();
        webroot.remove(&answer(2)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "somebody else's");
        std::fs::remove_file(&theirs).unwrap();
        webroot.put(&answer(1)).await.unwrap();
        webroot.remove(&answer(1)).await.unwrap();
        assert!(directory.is_dir(), "a directory that was there before is gone");
    }

    #[tokio::test]
    async fn no_link_leads_out_of_the_root() {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let webroot = Webroot::new(root.path());
        symlink(elsewhere.path(), root.path().join(".well-known")).unwrap();
        let error = webroot.put(&answer(1)).await.unwrap_err();
        assert!(error.to_string().contains("no symbolic link is followed"), "{error}");
        std::fs::remove_file(root.path().join(".well-known")).unwrap();

        std::fs::create_dir(root.path().join(".well-known")).unwrap();
        symlink(elsewhere.path(), root.path().join(".well-known/acme-challenge")).unwrap();
        webroot.put(&answer(1)).await.unwrap_err();
        std::fs::remove_file(root.path().join(".well-known/acme-challenge")).unwrap();

        // Nor does the name of the file itself.
        let directory = root.path().join(".well-known/acme-challenge");
        std::fs::create_dir(&directory).unwrap();
        let victim = elsewhere.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        for name in [answer(1).token.as_str(), &format!(".{}.new", answer(1).token.as_str())] {
            symlink(&victim, directory.join(name)).unwrap();
        }
        webroot.put(&answer(1)).await.unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(listed(&directory), [answer(1).token.as_str()]);
        assert_eq!(listed(elsewhere.path()), ["victim"]);
    }

    #[tokio::test]
    async fn a_root_that_is_not_there_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = Webroot::new(root.path().join("gone")).put(&answer(1)).await.unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
        assert!(error.to_string().contains("document root"), "{error}");
    }
}
