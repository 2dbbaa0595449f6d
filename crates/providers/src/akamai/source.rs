//! Where the texts that sign come from: what is in files is read again for every request.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use http::uri::Authority;
use perennial_core::{SecretBytes, SecretString};

use super::edgerc::{self, Section};
use crate::{signature::eg1::Credentials, vendor::Credential};

/// The texts that sign, and where they are.
pub(super) enum Source {
    /// A section of an `.edgerc`, and what it was when it could be read last.
    Edgerc { path: PathBuf, section: String, last: Mutex<Section> },
    /// They stay.
    Fixed(Credentials),
    /// Each by itself.
    Tokens { client_token: Credential, client_secret: Credential, access_token: Credential },
}

/// What signs now.
pub(super) struct Current {
    pub(super) credentials: Credentials,
    /// Where that is good, if not where the provider was made for.
    pub(super) host: Option<Authority>,
    /// The account that is meant, if not the client's own.
    pub(super) account_key: Option<String>,
}

impl From<Credentials> for Current {
    fn from(credentials: Credentials) -> Self {
        Self { credentials, host: None, account_key: None }
    }
}

impl Source {
    /// What signs now.
    pub(super) fn current(&self) -> Current {
        match self {
            Self::Edgerc { path, section, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                match read(path, section) {
                    Ok(read) => {
                        if read.host != last.host {
                            let (host, before) = (read.host.as_str(), last.host.as_str());
                            tracing::info!(
                                host,
                                before,
                                "an .edgerc names another host; requests go there now"
                            );
                        }
                        *last = read;
                    }
                    Err(reason) => tracing::warn!(reason, "an .edgerc is unusable; what it had is used"),
                }
                let Section { host, credentials, account_key } = last.clone();
                Current { credentials, host: Some(host), account_key }
            }
            Self::Fixed(credentials) => credentials.clone().into(),
            Self::Tokens { client_token, client_secret, access_token } => {
                Credentials::new(client_token.current(), client_secret.current(), access_token.current())
                    .into()
            }
        }
    }
}

/// Reads a section of a file. The reason why it cannot be read names the file and shows no value.
pub(super) fn read(path: &Path, section: &str) -> Result<Section, String> {
    let text = SecretString::text_of_file(path, SecretBytes::MOST).map_err(|error| error.to_string())?;
    edgerc::read(&text, section).map_err(|reason| format!("{}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(secret: &str) -> String {
        format!("[default]\nhost = h.example\nclient_token = c\nclient_secret = {secret}\naccess_token = a\n")
    }

    #[test]
    fn what_is_in_files_is_read_again_and_what_was_good_last_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), section("first")).unwrap();
        let last = Mutex::new(read(file.path(), "default").unwrap_or_else(|reason| panic!("{reason}")));
        let edgerc = Source::Edgerc { path: file.path().to_owned(), section: "default".to_owned(), last };
        let secret = |source: &Source| source.current().credentials.client_secret.expose().to_owned();
        assert_eq!(secret(&edgerc), "first");
        for (content, expected) in [(section("second"), "second"), (String::new(), "second")] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(secret(&edgerc), expected);
        }
        std::fs::write(file.path(), "one").unwrap();
        let token = Credential::from_file(file.path()).unwrap_or_else(|error| panic!("{error}"));
        let tokens =
            Source::Tokens { client_token: "c".into(), client_secret: token, access_token: "a".into() };
        assert_eq!(secret(&tokens), "one");
        std::fs::write(file.path(), "other").unwrap();
        assert_eq!(secret(&tokens), "other");
    }
}
