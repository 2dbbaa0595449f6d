//! The options of a provider.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, path::Path, str::FromStr, time::Duration};

use perennial_core::{SecretError, SecretString};

use super::{OptionDoc, Variables};
use crate::{ConfigError, error::variable, vendor::Credential};

/// The options of a provider, by name. Any value may be secret, so none is ever printed: there is no
/// `Debug`.
///
/// It deserializes from a map: a value is a text, a number or a truth value, or says where it is to be read,
/// as `{"file": "/run/secrets/token"}` or `{"env": "TOKEN"}`. What is read from a file is read again whenever
/// it is used as a credential.
#[derive(Clone, Default)]
pub struct Options(BTreeMap<String, Given>);

/// An option that was given.
#[derive(Clone)]
struct Given {
    /// The value when it was given.
    value: SecretString,
    /// The value whenever it is needed.
    credential: Credential,
}

impl From<Credential> for Given {
    fn from(credential: Credential) -> Self {
        Self { value: credential.current(), credential }
    }
}

impl Options {
    /// No options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an option; a later value replaces an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.0.insert(name.into(), Credential::new(value.into()).into());
        self
    }

    /// Sets an option to whatever the file holds when it is needed.
    ///
    /// # Errors
    /// [`SecretError`] when the file has no usable content now.
    pub fn with_file(mut self, name: impl Into<String>, path: impl AsRef<Path>) -> Result<Self, SecretError> {
        self.0.insert(name.into(), Credential::from_file(path.as_ref())?.into());
        Ok(self)
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name).map(|given| &given.value)
    }

    /// The value of an option whenever it is needed.
    pub(crate) fn credential(&self, doc: &OptionDoc) -> Option<Credential> {
        self.0.get(doc.name).map(|given| given.credential.clone())
    }

    /// The value of an option, read.
    ///
    /// # Errors
    /// [`ConfigError::BadOption`] with what the type says of it.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(
        &self,
        kind: &str,
        doc: &OptionDoc,
    ) -> Result<Option<T>, ConfigError> {
        let value = self.get(doc.name).map(SecretString::expose);
        value.map(|text| text.trim().parse().map_err(|error| bad(kind, doc, format!("{error}")))).transpose()
    }

    /// The values of an option that is a list, with commas or white space between them.
    ///
    /// # Errors
    /// [`ConfigError::BadOption`] with what the type says of one of them.
    pub fn list<T: FromStr<Err: fmt::Display>>(
        &self,
        kind: &str,
        doc: &OptionDoc,
    ) -> Result<Vec<T>, ConfigError> {
        let text = self.get(doc.name).map_or("", SecretString::expose);
        let items = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(|error| bad(kind, doc, format!("{error}")))).collect()
    }

    /// The value of an option that is a number of seconds.
    ///
    /// # Errors
    /// [`ConfigError::BadOption`] when it is something else, or out of range.
    pub fn seconds(
        &self,
        kind: &str,
        doc: &OptionDoc,
        range: RangeInclusive<u64>,
    ) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = self.get(doc.name).map(SecretString::expose) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => Ok(Some(Duration::from_secs(number))),
            _ => {
                let text: String = text.chars().take(64).collect();
                let (least, most) = range.into_inner();
                Err(bad(kind, doc, format!("{text:?} is not a number of seconds from {least} to {most}")))
            }
        }
    }

    /// The value of an option that is yes or no; no if it is absent.
    ///
    /// # Errors
    /// [`ConfigError::BadOption`] when it is something else.
    pub fn flag(&self, kind: &str, doc: &OptionDoc) -> Result<bool, ConfigError> {
        match self.get(doc.name).map_or("", SecretString::expose).trim() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" | "" => Ok(false),
            other => {
                let other: String = other.chars().take(64).collect();
                Err(bad(kind, doc, format!("{other:?} is neither true nor false")))
            }
        }
    }

    /// The value of an option that is free text, trimmed; `None` if nothing is left of it.
    #[must_use]
    pub fn text(&self, doc: &OptionDoc) -> Option<&str> {
        self.get(doc.name).map(SecretString::expose).map(str::trim).filter(|text| !text.is_empty())
    }

    /// The same of an option that must be there.
    ///
    /// # Errors
    /// [`ConfigError::MissingOption`] when nothing is left of it.
    pub fn required(&self, kind: &str, doc: &OptionDoc) -> Result<&str, ConfigError> {
        self.text(doc).ok_or_else(|| doc.missing(kind))
    }

    /// A token that goes into a header: without white space, line breaks and anything that is not ASCII, and
    /// without the word that is put before it. The commonest reason why a credential is "invalid" is a line
    /// break that came with it.
    ///
    /// # Errors
    /// [`ConfigError::BadOption`] that says what is wrong, and not what it is; [`ConfigError::MissingOption`]
    /// when it is absent.
    pub fn token(&self, kind: &str, doc: &OptionDoc) -> Result<Credential, ConfigError> {
        let given = self.given(kind, doc)?;
        let text = given.value.expose();
        let fault = |what: &str| Err(bad(kind, doc, what.to_owned()));
        if text.contains(['\n', '\r']) {
            return fault("it contains a line break; give the token alone, on one line");
        }
        if text.to_ascii_lowercase().starts_with("bearer ") {
            return fault("it begins with `Bearer `; give the token alone");
        }
        if text.contains(char::is_whitespace) {
            return fault("it contains a space; give the token alone");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return fault("it contains a character that no token has; copy it again");
        }
        if text.is_empty() {
            return fault("it is empty");
        }
        Ok(given.credential.clone())
    }

    /// The same of a token that may be absent.
    ///
    /// # Errors
    /// As [`token`](Self::token), but for its absence.
    pub fn token_if_any(&self, kind: &str, doc: &OptionDoc) -> Result<Option<Credential>, ConfigError> {
        self.get(doc.name).map(|_| self.token(kind, doc)).transpose()
    }

    /// A password: anything on one line.
    ///
    /// # Errors
    /// [`ConfigError::BadOption`] when it is empty or has a line break; [`ConfigError::MissingOption`] when it
    /// is absent.
    pub fn password(&self, kind: &str, doc: &OptionDoc) -> Result<Credential, ConfigError> {
        let given = self.given(kind, doc)?;
        let text = given.value.expose();
        if text.is_empty() || text.contains(['\n', '\r']) {
            return Err(bad(
                kind,
                doc,
                "it is empty or contains a line break; give it on one line".to_owned(),
            ));
        }
        Ok(given.credential.clone())
    }

    fn given(&self, kind: &str, doc: &OptionDoc) -> Result<&Given, ConfigError> {
        self.0.get(doc.name).ok_or_else(|| doc.missing(kind))
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
            let credential = match present(variables(&variable)).map_err(fault)? {
                Some(value) => Some(Credential::new(value)),
                None => present(variables(&format!("{variable}_FILE")))
                    .and_then(|path| path.map(|path| Credential::from_file(path.expose())).transpose())
                    .map_err(fault)?,
            };
            if let Some(credential) = credential {
                options.0.insert(doc.name.to_owned(), credential.into());
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
        let given = |value: V| Given::from(Credential::new(value.into()));
        Self(pairs.into_iter().map(|(name, value)| (name.into(), given(value))).collect())
    }
}

/// A value as configuration files write it.
#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "a text, a number, true or false, {\"file\": path} or {\"env\": variable}")]
enum Written {
    Flag(bool),
    Number(i64),
    Text(String),
    Place(Place),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Env(String),
    File(String),
}

impl<'de> serde::Deserialize<'de> for Options {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<String, Written>::deserialize(deserializer)?;
        let given = |name: &str, written| {
            let place = |error: SecretError| serde::de::Error::custom(format!("option `{name}`: {error}"));
            Ok(match written {
                Written::Flag(flag) => Credential::new(flag.to_string()),
                Written::Number(number) => Credential::new(number.to_string()),
                Written::Text(text) => Credential::new(text),
                Written::Place(Place::Env(variable)) => Credential::from_env(&variable).map_err(place)?,
                Written::Place(Place::File(path)) => Credential::from_file(path).map_err(place)?,
            })
        };
        let options = written.into_iter().map(|(name, written)| {
            let credential = given(&name, written)?;
            Ok((name, credential.into()))
        });
        options.collect::<Result<_, _>>().map(Self)
    }
}

pub(super) fn bad(kind: &str, doc: &OptionDoc, reason: String) -> ConfigError {
    ConfigError::BadOption { provider: kind.to_owned(), option: doc.name.to_owned(), reason }
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
    fn a_token_is_refused_with_what_came_along_when_it_was_copied() {
        let doc = OptionDoc::required("token", "the token").secret();
        let error_of = |token: &str| match Options::new().with("token", token).token("paper", &doc) {
            Ok(_) => panic!("accepted {token:?}"),
            Err(error) => error.to_string(),
        };
        for (token, part) in [
            ("t0k3n\n", "contains a line break"),
            ("t0k3n more", "contains a space"),
            ("Bearer t0k3n", "begins with `Bearer `"),
            ("t0k3n\u{200b}", "contains a character"),
            ("", "is empty"),
        ] {
            let text = error_of(token);
            assert!(text.starts_with("paper: option `token`: ") && text.contains(part), "{text}");
            assert!(!text.contains("t0k3n"), "{text}");
        }
        let token = Options::new().with("token", "t0k3n").token("paper", &doc);
        assert!(token.is_ok_and(|token| token.current().expose() == "t0k3n"));
    }

    #[test]
    fn a_configuration_file_gives_values_or_says_where_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let json = serde_json::json!({
            "server": "192.0.2.1", "ttl": 60, "plain": true, "api-key": { "file": file.path() },
        });
        let options: Options = serde_json::from_value(json).unwrap();
        let get = |name: &str| options.get(name).map(SecretString::expose);
        assert_eq!(get("server"), Some("192.0.2.1"));
        assert_eq!((get("ttl"), get("plain"), get("api-key")), (Some("60"), Some("true"), Some("s3cret")));
        let credential = options.token("my-dns", &DOCS[1]).unwrap_or_else(|error| panic!("{error}"));
        std::fs::write(file.path(), "r0tated\n").unwrap();
        assert_eq!(credential.current().expose(), "r0tated");
        for (json, part) in [
            (r#"{"api-key": {"file": "/nowhere/key"}}"#, "option `api-key`: cannot read the secret file"),
            (r#"{"api-key": ["s3cret"]}"#, "a text, a number"),
        ] {
            let error = serde_json::from_str::<Options>(json).err().unwrap().to_string();
            assert!(error.contains(part) && !error.contains("s3cret"), "{error}");
        }
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
