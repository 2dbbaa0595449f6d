//! Values that never print and are wiped when dropped.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// A text that must not be seen: a token, a password, a private key in PEM.
///
/// It has neither `Debug` nor `Display` nor serde, so it cannot reach a log, an error or a report by
/// accident; a struct that holds one cannot derive `Debug` either. The memory is wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the text over as it is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret that an environment variable holds, white space at both ends dropped.
    ///
    /// # Errors
    /// [`SecretError`] when the variable is absent, empty or not UTF-8, or when the text has a line break
    /// inside: a pasted newline is the commonest reason for a vendor's "invalid header" answer.
    pub fn from_env(variable: &str) -> Result<Self, SecretError> {
        let text = std::env::var(variable).map_err(|error| match error {
            std::env::VarError::NotPresent => SecretError::VariableMissing { variable: variable.to_owned() },
            std::env::VarError::NotUnicode(_) => {
                SecretError::NotText { origin: format!("environment variable {variable}") }
            }
        })?;
        Self::one_line(&Zeroizing::new(text), || format!("environment variable {variable}"))
    }

    /// The secret that a file holds, white space at both ends dropped.
    ///
    /// # Errors
    /// [`SecretError`] when the file cannot be read, is no regular file, has more than [`SecretBytes::MOST`] bytes,
    /// is empty or is not UTF-8, or when the text has a line break inside.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let text = Self::text_of_file(path, SecretBytes::MOST)?;
        Self::one_line(text.expose(), || format!("file {}", path.display()))
    }

    /// All the text that a file holds, as it is: a key in PEM, a list of accounts. `most` is how many bytes it may have.
    ///
    /// # Errors
    /// [`SecretError`] as [`SecretBytes::from_file_of`], and when it is not UTF-8.
    pub fn text_of_file(path: impl AsRef<Path>, most: u64) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let bytes = SecretBytes::from_file_of(path, most)?;
        let text = std::str::from_utf8(bytes.expose());
        let not_text = || SecretError::NotText { origin: format!("file {}", path.display()) };
        text.map(Self::new).map_err(|_| not_text())
    }

    fn one_line(text: &str, origin: impl Fn() -> String) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty { origin: origin() });
        }
        if text.contains(['\n', '\r']) {
            return Err(SecretError::LineBreak { origin: origin() });
        }
        Ok(Self::new(text))
    }

    /// The text itself. The caller answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Bytes that must not be seen: a key in DER, a message authentication key.
///
/// As quiet as [`SecretString`], and wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes over as they are.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The most bytes that [`from_file`](Self::from_file) reads: 1 MiB. The longest keys and tokens have a hundredth of
    /// it; what has more is another file.
    pub const MOST: u64 = 1 << 20;

    /// All bytes of a file, at most [`MOST`](Self::MOST).
    ///
    /// # Errors
    /// As [`from_file_of`](Self::from_file_of).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        Self::from_file_of(path, Self::MOST)
    }

    /// All bytes of a file that may have `most` of them.
    ///
    /// Nothing but a regular file is read, or a link to one: a pipe may keep whoever reads it waiting for ever, and a
    /// device need have no end.
    ///
    /// # Errors
    /// [`SecretError::NotAFile`], [`SecretError::TooLarge`], or [`SecretError::Unreadable`] with the operating system's
    /// reason.
    pub fn from_file_of(path: impl AsRef<Path>, most: u64) -> Result<Self, SecretError> {
        read(path.as_ref(), most).map(Self)
    }

    /// The bytes themselves. The caller answers for where they go.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

fn read(path: &Path, most: u64) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable =
        |error: io::Error| SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() };
    let too_large = |bytes| SecretError::TooLarge { path: path.to_owned(), bytes, most };
    let length = |metadata: io::Result<Metadata>| match metadata.map_err(unreadable)? {
        metadata if !metadata.is_file() => Err(SecretError::NotAFile { path: path.to_owned() }),
        metadata if metadata.len() > most => Err(too_large(metadata.len())),
        metadata => Ok(metadata.len()),
    };
    // Before it is opened, since that alone waits for whoever writes into a pipe; and after, since it may be another by
    // then.
    length(fs::metadata(path))?;
    let file = File::open(path).map_err(unreadable)?;
    let length = length(file.metadata())?;
    // With room for all of it: of what is moved when it grows, nobody wipes the place where it was.
    let room = usize::try_from(length.saturating_add(1)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    // Its length is what it was a moment ago, and none at all where the system makes files up.
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if read as u64 > most { Err(too_large(read as u64)) } else { Ok(bytes) }
}

/// Why a secret could not be had. It names the place, never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Nothing but white space there.
    #[error("the secret in {origin} is empty")]
    Empty {
        /// The file or variable.
        origin: String,
    },
    /// A line break inside.
    #[error("the secret in {origin} has a line break inside: it must be a single line")]
    LineBreak {
        /// The file or variable.
        origin: String,
    },
    /// A directory, a pipe, a device.
    #[error("the secret file {} is no regular file, and nothing else is read: give the path of one", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// Not UTF-8.
    #[error("the secret in {origin} is not UTF-8 text")]
    NotText {
        /// The file or variable.
        origin: String,
    },
    /// More bytes than any secret has.
    #[error("the secret file {} has {bytes} bytes and may have {most}: give the path of another", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, or how much of it was read when that was less.
        bytes: u64,
        /// The most that it may have.
        most: u64,
    },
    /// The file cannot be read.
    #[error("cannot read the secret file {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// No such environment variable.
    #[error("environment variable {variable} is not set")]
    VariableMissing {
        /// Its name.
        variable: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    fn error_of(content: &[u8]) -> SecretError {
        match SecretString::from_file(file(content).path()) {
            Ok(_) => panic!("accepted {content:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn the_newline_that_editors_add_is_dropped() {
        assert!(SecretString::from_file(file(b"s3cret\n").path()).is_ok_and(|s| s.expose() == "s3cret"));
    }

    #[test]
    fn a_line_break_inside_is_refused_without_showing_the_secret() {
        for content in [b"s3cret\nmore", b"s3cret\rmore"] {
            let error = error_of(content);
            assert!(matches!(error, SecretError::LineBreak { .. }), "{error}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn empty_and_binary_files_are_told_apart() {
        assert!(matches!(error_of(b" \n"), SecretError::Empty { .. }));
        assert!(matches!(error_of(&[0xff, 0xfe]), SecretError::NotText { .. }));
    }

    #[test]
    fn a_file_that_is_too_large_is_told_with_its_size_and_the_limit() {
        let large = tempfile::NamedTempFile::new().unwrap();
        large.as_file().set_len(SecretBytes::MOST).unwrap();
        assert!(SecretBytes::from_file(large.path()).is_ok_and(|it| it.expose().len() == 1 << 20));
        large.as_file().set_len(SecretBytes::MOST + 1).unwrap();
        let error = SecretBytes::from_file(large.path()).err().unwrap();
        let expected = SecretError::TooLarge { path: large.path().into(), bytes: 1_048_577, most: 1_048_576 };
        assert_eq!(error, expected);
        let text = error.to_string();
        assert!(text.contains("has 1048577 bytes and may have 1048576"), "{text}");
        assert!(text.contains(large.path().to_str().unwrap()), "{text}");
        let few = SecretString::text_of_file(file(b"s3cret").path(), 5).err().unwrap();
        assert!(matches!(few, SecretError::TooLarge { bytes: 6, most: 5, .. }), "{few}");
    }

    /// The system makes these files up, and says that they are empty.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_longer_than_it_says_is_read_no_further_than_the_limit() {
        let error = SecretBytes::from_file_of("/proc/self/status", 100).err().unwrap();
        assert!(matches!(error, SecretError::TooLarge { bytes: 101, most: 100, .. }), "{error}");
        assert!(SecretBytes::from_file("/proc/self/status").is_ok_and(|it| !it.expose().is_empty()));
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_read_from_a_directory_a_pipe_or_a_device_and_nobody_waits() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for path in [directory.path().to_owned(), pipe, link, "/dev/zero".into()] {
            let (told, heard) = std::sync::mpsc::channel();
            let at = path.clone();
            std::thread::spawn(move || told.send(SecretString::from_file(at).err()));
            let error = heard.recv_timeout(std::time::Duration::from_secs(10)).expect("it waits");
            assert_eq!(error, Some(SecretError::NotAFile { path }));
        }
    }

    #[test]
    fn a_link_to_a_file_is_followed() {
        let file = file(b"s3cret");
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        #[cfg(unix)]
        std::os::unix::fs::symlink(file.path(), &link).unwrap();
        #[cfg(windows)]
        std::os::windows::fs::symlink_file(file.path(), &link).unwrap();
        assert!(SecretString::from_file(link).is_ok_and(|secret| secret.expose() == "s3cret"));
    }

    #[test]
    fn a_missing_file_or_variable_is_named() {
        let error = SecretString::from_file("/nowhere/token").err().unwrap();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
        let error = SecretString::from_env("PERENNIAL_NO_SUCH_VARIABLE").err().unwrap();
        assert!(error.to_string().contains("PERENNIAL_NO_SUCH_VARIABLE"), "{error}");
    }
}
