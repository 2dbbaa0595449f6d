//! Values that never print and are wiped when dropped.

use std::path::{Path, PathBuf};

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
    /// [`SecretError`] when the file cannot be read, is empty or is not UTF-8, or when the text has a line
    /// break inside.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let bytes = SecretBytes::from_file(path)?;
        let text = std::str::from_utf8(bytes.expose())
            .map_err(|_| SecretError::NotText { origin: format!("file {}", path.display()) })?;
        Self::one_line(text, || format!("file {}", path.display()))
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

    /// All bytes of a file.
    ///
    /// # Errors
    /// [`SecretError::Unreadable`] with the operating system's reason.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        std::fs::read(path)
            .map(Self::new)
            .map_err(|error| SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() })
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
    /// Not UTF-8.
    #[error("the secret in {origin} is not UTF-8 text")]
    NotText {
        /// The file or variable.
        origin: String,
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
        std::fs::write(file.path(), content).unwrap();
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
    fn a_missing_file_or_variable_is_named() {
        let error = SecretString::from_file("/nowhere/token").err().unwrap();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
        let error = SecretString::from_env("PERENNIAL_NO_SUCH_VARIABLE").err().unwrap();
        assert!(error.to_string().contains("PERENNIAL_NO_SUCH_VARIABLE"), "{error}");
    }
}
