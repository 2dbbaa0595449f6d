//! The options of this provider.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use super::{
    Akamai, KIND,
    source::{self, Source},
};
use crate::{
    ConfigError, Error, Factory, OptionDoc, Options,
    registry::{BASE_URL, TTL, ZONE},
};

const HOST: OptionDoc = OptionDoc::optional("host", "the API client's host, akab-….luna.akamaiapis.net");
const CLIENT_TOKEN: OptionDoc =
    OptionDoc::optional("client-token", "the API client's token, akab-…").secret();
const CLIENT_SECRET: OptionDoc = OptionDoc::optional("client-secret", "the API client's secret").secret();
const ACCESS_TOKEN: OptionDoc =
    OptionDoc::optional("access-token", "the API client's access token, akab-…").secret();
const EDGERC: OptionDoc = OptionDoc::optional("edgerc", "an .edgerc file that holds these four instead");
const SECTION: OptionDoc = OptionDoc::optional("section", "the section of that file").default("default");
const ACCOUNT: OptionDoc = OptionDoc::optional(
    "account-switch-key",
    "another account that the API client manages; its own by default",
);

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs =
        [HOST, CLIENT_TOKEN, CLIENT_SECRET, ACCESS_TOKEN, EDGERC, SECTION, ACCOUNT, ZONE, TTL, BASE_URL];
    Factory::new("Akamai Edge DNS", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Akamai, Error> {
    let given = options.text(&ACCOUNT).map(str::to_owned);
    let (host, source, account) = match options.text(&EDGERC) {
        Some(path) => {
            let bad = |reason| ConfigError::BadOption {
                provider: KIND.to_owned(),
                option: EDGERC.name.to_owned(),
                reason,
            };
            let (path, name) = (PathBuf::from(path), options.text(&SECTION).unwrap_or("default"));
            let section = source::read(&path, name).map_err(bad)?;
            let (host, name) = (section.host.to_string(), name.to_owned());
            let source = Source::Edgerc { path, section: name, last: Mutex::new(section) };
            (host, source, given)
        }
        None => {
            let missing = ConfigError::MissingOption {
                provider: KIND.to_owned(),
                option: HOST.name.to_owned(),
                meaning: format!("{}; or give `edgerc`", HOST.meaning),
            };
            let host = options.text(&HOST).ok_or(missing)?.to_owned();
            let source = Source::Tokens {
                client_token: options.token(KIND, &CLIENT_TOKEN)?,
                client_secret: options.token(KIND, &CLIENT_SECRET)?,
                access_token: options.token(KIND, &ACCESS_TOKEN)?,
            };
            (host, source, given)
        }
    };
    Akamai::begin(&host, source, account).options(KIND, options)?.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(options: &[(&str, &str)]) -> String {
        from_options(&options.iter().copied().collect()).err().unwrap().to_string()
    }

    #[test]
    fn either_four_texts_or_a_file_are_needed() {
        let four = [
            ("host", "akab-h.luna.akamaiapis.net"),
            ("client-token", "akab-c"),
            ("client-secret", "s3cret"),
            ("access-token", "akab-a"),
        ];
        assert!(from_options(&four.into_iter().collect()).is_ok());
        assert!(error_of(&[]).contains("or give `edgerc`"));
        assert!(error_of(&four[..2]).contains("`client-secret`"));
        assert!(error_of(&[("edgerc", "/nowhere/.edgerc")]).contains("/nowhere/.edgerc: "));

        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[dns]\nhost = h.example\nclient_token = c\nclient_secret = s3cret\naccess_token = a\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        assert!(from_options(&[("edgerc", path), ("section", "dns")].into_iter().collect()).is_ok());
        let error = error_of(&[("edgerc", path)]);
        assert!(error.contains("no section [default]") && !error.contains("s3cret"), "{error}");
        assert!(error.contains(path), "{error}");
        file.as_file().set_len(1 << 21).unwrap();
        let error = error_of(&[("edgerc", path)]);
        assert!(error.contains("has 2097152 bytes and may have 1048576"), "{error}");
    }
}
