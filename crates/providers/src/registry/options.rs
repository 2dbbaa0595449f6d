//! The options of a provider.

use std::collections::BTreeMap;

use perennial_core::{SecretError, SecretString};

use super::Variables;
use crate::{ConfigError, error::variable};

/// The options of a provider, by name. Any value may be secret, so none is ever printed: there is no
/// `Debug`.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<String, SecretString>);

impl Options {
    /// No options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option; a later value replaces an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// The names of the options that are set, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// See [`Registry::create_from_env`](super::Registry::create_from_env).
    pub(super) fn from_variables(
        kind: &str,
        docs: &[OptionDoc],
        variables: Variables<'_>,
    ) -> Result<Self, ConfigError> {
        let mut options = Self::new();
        for doc in docs {
            let fault = |reason| ConfigError::Secret {
                provider: kind.to_owned(),
                option: doc.name.to_owned(),
                reason,
            };
            let variable = variable(kind, doc.name);
            let value = match present(variables(&variable)).map_err(fault)? {
                Some(value) => Some(value),
                None => present(variables(&format!("{variable}_FILE")))
                    .and_then(|path| path.map(|path| SecretString::from_file(path.expose())).transpose())
                    .map_err(fault)?,
            };
            if let Some(value) = value {
                options.0.insert(doc.name.to_owned(), value);
            }
        }
        Ok(options)
    }
}

/// An absent or empty variable is no option: shells and container platforms make no difference.
fn present(variable: Result<SecretString, SecretError>) -> Result<Option<SecretString>, SecretError> {
    match variable {
        Ok(value) => Ok(Some(value)),
        Err(SecretError::VariableMissing { .. } | SecretError::Empty { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<N: Into<String>, V: Into<SecretString>> FromIterator<(N, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What an option means: for `--help`, and for the error when it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionDoc {
    /// Its name: lower case, words joined by hyphens.
    pub name: &'static str,
    /// What it is, in one sentence, with its default.
    pub meaning: &'static str,
    /// Whether the provider cannot do without it.
    pub required: bool,
    /// Whether its value must not be seen.
    pub secret: bool,
}

impl OptionDoc {
    /// An option that must be given.
    #[must_use]
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, required: true, secret: false }
    }

    /// An option that has a default.
    #[must_use]
    pub const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, required: false, secret: false }
    }

    /// Its value must not be seen.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The environment variable that holds it.
    ///
    /// ```
    /// use perennial_providers::OptionDoc;
    ///
    /// let doc = OptionDoc::required("key-name", "the name of the key");
    /// assert_eq!(doc.variable("rfc2136"), "PERENNIAL_RFC2136_KEY_NAME");
    /// ```
    #[must_use]
    pub fn variable(&self, kind: &str) -> String {
        variable(kind, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: [OptionDoc; 2] =
        [OptionDoc::required("server", "the server"), OptionDoc::optional("api-key", "the key").secret()];

    fn from(variables: &[(&str, &str)]) -> Result<Options, ConfigError> {
        Options::from_variables("my-dns", &DOCS, &|variable| {
            let found = variables.iter().find(|(name, _)| *name == variable);
            match found {
                Some((_, "")) => Err(SecretError::Empty { origin: variable.to_owned() }),
                Some((_, value)) => Ok((*value).into()),
                None => Err(SecretError::VariableMissing { variable: variable.to_owned() }),
            }
        })
    }

    #[test]
    fn options_come_from_variables_or_from_files_that_variables_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let path = file.path().to_str().unwrap();
        let options =
            from(&[("PERENNIAL_MY_DNS_SERVER", "192.0.2.1"), ("PERENNIAL_MY_DNS_API_KEY_FILE", path)]);
        let options = options.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(options.get("server").map(SecretString::expose), Some("192.0.2.1"));
        assert_eq!(options.get("api-key").map(SecretString::expose), Some("s3cret"));
    }

    #[test]
    fn an_empty_variable_is_an_absent_option() {
        let options = from(&[("PERENNIAL_MY_DNS_SERVER", "")]);
        assert_eq!(options.unwrap_or_else(|error| panic!("{error}")).keys().count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_with_its_option() {
        let error = from(&[("PERENNIAL_MY_DNS_API_KEY_FILE", "/nowhere/key")]).err().unwrap();
        let text = error.to_string();
        assert!(
            text.starts_with("my-dns: option `api-key`: cannot read the secret file /nowhere/key"),
            "{text}"
        );
    }
}
