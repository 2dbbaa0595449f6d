//! The file of accounts, in the format that goacmedns made common: lego, cert-manager, Posh-ACME and others
//! read and write it.
//!
//! ```json
//! { "example.com": { "fulldomain": "8e57….auth.example.org", "subdomain": "8e57…", "username": "c36f…",
//!                    "password": "htB9…", "server_url": "https://auth.example.org" } }
//! ```

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use perennial_core::{DomainName, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

/// More than any operator has; a file that is larger is another one.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The credential for one name.
#[derive(Clone)]
pub(super) struct Account {
    /// Where the record is: what the CNAME of the challenge name must point to.
    pub(super) fulldomain: DomainName,
    pub(super) subdomain: String,
    pub(super) username: SecretString,
    pub(super) password: SecretString,
    /// The server it was registered with, where the file tells.
    pub(super) server: Option<String>,
}

/// What a server answers to a registration, and what the file holds.
#[derive(Deserialize)]
pub(super) struct Registration {
    fulldomain: String,
    subdomain: String,
    username: String,
    password: String,
    #[serde(default)]
    server_url: Option<String>,
}

impl Registration {
    /// The account, when each part of it is what it should be.
    pub(super) fn read(self) -> Result<Account, String> {
        let fulldomain = self.fulldomain.parse::<DomainName>().map_err(|error| error.to_string())?;
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        for (part, text) in
            [("subdomain", &self.subdomain), ("username", &self.username), ("password", &self.password)]
        {
            if !plain(text) {
                return Err(format!("its {part} is empty, too long or has characters that no header takes"));
            }
        }
        Ok(Account {
            fulldomain,
            subdomain: self.subdomain,
            username: self.username.into(),
            password: self.password.into(),
            server: self.server_url.filter(|url| !url.is_empty()),
        })
    }
}

/// The file, as it was read last. What it has beside accounts, and accounts' fields that are not known here,
/// stay.
#[derive(Clone, Default)]
pub(super) struct Accounts(Map<String, Value>);

impl Accounts {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // The parser's own words would show what stands there.
        let faults = |error: serde_json::Error| {
            format!("it is no JSON object of accounts (line {}, column {})", error.line(), error.column())
        };
        serde_json::from_str(text).map(Self).map_err(faults)
    }

    /// The account for a challenge name: that of the domain below `_acme-challenge`, or the one whose record it
    /// is, for those who have followed the CNAME already.
    pub(super) fn of(&self, name: &DomainName) -> Result<Option<Account>, String> {
        if let Some(value) = domain_of(name).and_then(|domain| self.0.get(domain)) {
            return read(domain_of(name).unwrap_or_default(), value).map(Some);
        }
        let found = self.0.iter().find(|(_, value)| {
            let fulldomain = value.get("fulldomain").and_then(Value::as_str);
            fulldomain.is_some_and(|text| text.trim_end_matches('.').eq_ignore_ascii_case(name.as_str()))
        });
        found.map(|(domain, value)| read(domain, value)).transpose()
    }

    /// With one more account.
    pub(super) fn insert(&mut self, domain: &str, account: &Account) {
        let fields = [
            ("fulldomain", account.fulldomain.as_str()),
            ("subdomain", &account.subdomain),
            ("username", account.username.expose()),
            ("password", account.password.expose()),
            ("server_url", account.server.as_deref().unwrap_or_default()),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())));
        self.0.insert(domain.to_owned(), Value::Object(fields.into_iter().collect()));
    }

    /// Those of a file; none where there is no file yet. The reason names it.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        if fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(Self::default());
        }
        let text = SecretString::text_of_file(path, MOST_BYTES).map_err(|error| error.to_string())?;
        Self::parse(text.expose()).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    /// Puts the file in place of the old one, whole or not at all, readable by its owner alone.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.0)?;
        text.push('\n');
        let beside = beside(path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&beside).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        let moved = written.and_then(|()| fs::rename(&beside, path));
        if moved.is_err() {
            // What is left of it would hold passwords.
            let _ = fs::remove_file(&beside);
        }
        moved
    }
}

/// A name of our own beside the file, so that the move stays within one file system.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", rand::random::<u64>()));
    path.with_file_name(name)
}

/// The domain that a challenge name (RFC 8555 §8.4) is for.
pub(super) fn domain_of(name: &DomainName) -> Option<&str> {
    name.as_str().strip_prefix("_acme-challenge.")
}

fn read(domain: &str, value: &Value) -> Result<Account, String> {
    // Neither the parser's words nor the value: both may hold the password.
    let registration: Registration = serde_json::from_value(value.clone())
        .map_err(|_| format!("the account of {domain:?} lacks a part, or has one that is no text"))?;
    registration.read().map_err(|reason| format!("the account of {domain:?}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As goacmedns writes it; the last account as versions before `server_url` did.
    const FILE: &str = r#"{"example.com":{"fulldomain":"a.auth.example.org","subdomain":"a","username":"u",
        "password":"s3cret","server_url":"https://auth.example.org"},
        "old.example.com":{"fulldomain":"B.auth.example.org.","subdomain":"b","username":"u","password":"s3cret"}}"#;

    fn account(accounts: &Accounts, name: &str) -> Option<Account> {
        accounts.of(&name.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_account_is_found_by_its_domain_and_by_where_its_record_is() {
        let accounts = Accounts::parse(FILE).unwrap();
        let found = |name: &str| account(&accounts, name).map(|account| account.subdomain);
        assert_eq!(found("_acme-challenge.example.com").as_deref(), Some("a"));
        assert_eq!(found("a.auth.example.org").as_deref(), Some("a"));
        assert_eq!(found("_acme-challenge.old.example.com").as_deref(), Some("b"));
        assert_eq!(found("b.auth.example.org").as_deref(), Some("b"));
        for name in ["example.com", "_acme-challenge.example.net", "_acme-challenge.a.auth.example.org"] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_is_written_so_that_only_its_owner_reads_it_and_nothing_in_it_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("accounts.json");
        fs::write(&path, FILE.replace("\"u\",", "\"u\",\"note\":\"mine\",")).unwrap();
        let mut accounts = Accounts::load(&path).unwrap();
        let new = account(&accounts, "b.auth.example.org").unwrap();
        accounts.insert("new.example.com", &new);
        accounts.save(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("\"note\": \"mine\"").count(), 2, "{text}");
        let again = Accounts::load(&path).unwrap();
        assert_eq!(account(&again, "_acme-challenge.new.example.com").unwrap().fulldomain, new.fulldomain);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(Accounts::load(&directory.path().join("none.json")).unwrap().0.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_one_of_accounts_is_not_read_and_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        fs::File::create(&large).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let reason = Accounts::load(&large).err().unwrap();
        assert!(reason.contains("/large has 16777217 bytes and may have 16777216"), "{reason}");
        let reason = Accounts::load(directory.path()).err().unwrap();
        assert!(reason.contains("is no regular file"), "{reason}");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_secrets() {
        for text in ["[\"s3cret\"]", "{\"a\": s3cret}", "s3cret"] {
            let reason = Accounts::parse(text).err().unwrap();
            assert!(reason.starts_with("it is no JSON object of accounts (line 1"), "{reason}");
        }
        for (from, to, part) in [
            ("\"password\":\"s3cret\"", "\"password\":7", "lacks a part"),
            ("\"username\":\"u\"", "\"username\":\"a\\nb\"", "its username is empty"),
            ("a.auth.example.org", "a..auth", "is not a domain name"),
        ] {
            let accounts = Accounts::parse(&FILE.replace(from, to)).unwrap();
            let reason = accounts.of(&"_acme-challenge.example.com".parse().unwrap()).err().unwrap();
            assert!(reason.contains(part) && !reason.contains("s3cret"), "{reason}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\{|\\}|\"fulldomain\"|\"a\"|:|,|\\PC){0,30}") {
            if let Ok(accounts) = Accounts::parse(&text) {
                let _ = accounts.of(&"_acme-challenge.a".parse().unwrap());
            }
        }
    }
}
