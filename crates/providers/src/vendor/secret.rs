//! Credentials that can be changed under a running program, and what must not be seen of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use perennial_core::{SecretBytes, SecretError, SecretString};
use serde::de::IgnoredAny;

/// A secret that a provider presents: a token, a password, a key.
///
/// One that comes from a file is read again for every request, so that a rotation needs neither a restart nor
/// a new provider. A file that cannot be read just then, since it is being written, leaves the last good value
/// in force.
///
/// Like [`SecretString`] it has neither `Debug` nor `Display`. Clones share the file.
#[derive(Clone)]
pub struct Credential(Arc<Source>);

enum Source {
    File { path: PathBuf, last: Mutex<SecretString> },
    Fixed(SecretString),
}

impl Credential {
    /// A value that stays.
    #[must_use]
    pub fn new(secret: impl Into<SecretString>) -> Self {
        Self(Arc::new(Source::Fixed(secret.into())))
    }

    /// The value of an environment variable, as it is now.
    ///
    /// # Errors
    /// [`SecretError`] as [`SecretString::from_env`].
    pub fn from_env(variable: &str) -> Result<Self, SecretError> {
        SecretString::from_env(variable).map(Self::new)
    }

    /// The content of a file, whatever it is when it is needed: one line, or a JSON object in any number of lines, as
    /// some vendors hand out their keys.
    ///
    /// # Errors
    /// [`SecretError`] as [`SecretString::from_file`] when it has no usable content now.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, SecretError> {
        let path = path.into();
        let last = Mutex::new(read(&path)?);
        Ok(Self(Arc::new(Source::File { path, last })))
    }

    /// The value as it is now.
    #[must_use]
    pub fn current(&self) -> SecretString {
        match &*self.0 {
            Source::Fixed(secret) => secret.clone(),
            Source::File { path, last } => {
                let read = read(path);
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                match read {
                    Ok(secret) => *last = secret,
                    Err(error) => {
                        tracing::warn!(%error, "a credential's file is unusable; its last value is used")
                    }
                }
                last.clone()
            }
        }
    }
}

fn read(path: &Path) -> Result<SecretString, SecretError> {
    let line = SecretString::from_file(path);
    let Err(SecretError::LineBreak { .. }) = &line else { return line };
    let text = SecretString::text_of_file(path, SecretBytes::MOST)?;
    let is_object = serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text.expose()).is_ok();
    if is_object { Ok(text) } else { line }
}

impl<S: Into<SecretString>> From<S> for Credential {
    fn from(secret: S) -> Self {
        Self::new(secret)
    }
}

/// What must not be seen of a request: whatever of it a vendor's answer repeats is left out of errors.
#[derive(Clone, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Nothing to hide.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One secret.
    #[must_use]
    pub fn of(secret: SecretString) -> Self {
        Self::default().and(secret)
    }

    /// One more secret, such as a form of another: Basic authentication sends base64 of a password.
    #[must_use]
    pub fn and(mut self, secret: SecretString) -> Self {
        if !secret.expose().is_empty() {
            self.0.push(secret);
        }
        self
    }

    /// The text without them, however it wrote them: as they are, or escaped as in a URL or in JSON.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            let secret = secret.expose();
            for form in [
                secret.to_owned(),
                utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
                in_json(secret),
            ] {
                if text.contains(&form) {
                    text = text.replace(&form, HIDDEN);
                }
            }
        }
        text
    }
}

/// As it is written between the quotes of a JSON string.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted).to_owned()
}

const HIDDEN: &str = "[secret]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_and_its_last_good_value_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\n").unwrap();
        let credential = Credential::from_file(file.path()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(credential.current().expose(), "first");
        for (content, expected) in
            [("second\n", "second"), ("", "second"), ("a\nb", "second"), ("third", "third")]
        {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(credential.clone().current().expose(), expected);
        }
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(credential.current().expose(), "third");
        assert!(Credential::from_file(file.path()).is_err());
    }

    #[test]
    fn a_file_that_has_become_another_one_is_no_credential() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "good").unwrap();
        let credential = Credential::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
        std::fs::File::create(&path).unwrap().set_len(SecretBytes::MOST + 1).unwrap();
        assert_eq!(credential.current().expose(), "good");
        let error = Credential::from_file(&path).err().unwrap();
        assert!(matches!(error, SecretError::TooLarge { .. }), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(credential.current().expose(), "good");
    }

    #[test]
    fn a_key_that_is_a_json_object_may_have_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |content: &str| {
            std::fs::write(file.path(), content).unwrap();
            Credential::from_file(file.path()).map(|credential| credential.current().expose().to_owned()).ok()
        };
        let key = "{\n  \"type\": \"service_account\"\n}\n";
        assert_eq!(read(key).as_deref(), Some(key));
        for other in ["a\nb", "{\n}x", "[\n1]", "\"a\"\n{}"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_written() {
        let secrets = Secrets::of("p/w \"x\"".into()).and("t0k3n".into()).and("".into());
        let text = r#"t0k3n? p/w "x" or p%2Fw%20%22x%22 or p/w \"x\", at0k3nb"#;
        assert_eq!(secrets.hide(text), "[secret]? [secret] or [secret] or [secret], a[secret]b");
        assert_eq!(Secrets::none().hide("t0k3n"), "t0k3n");
    }
}
