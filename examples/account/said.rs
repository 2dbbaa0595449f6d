//! What is printed when it is done.

use std::io::Write as _;

use perennial::acme::{Account, Signer};
use serde_json::{Map, Value, json};

/// Names and values, for people or as JSON.
#[derive(Default)]
pub(crate) struct Said(Map<String, Value>);

impl Said {
    /// What there is to say of an account.
    pub(crate) fn of(account: &Account, directory: &str, key: &dyn Signer) -> Self {
        let said = Self::default()
            .with("account", account.url())
            .with("directory", directory)
            .with("key_type", key.algorithm().as_str())
            .with("thumbprint", account.thumbprint());
        match account.state() {
            None => said,
            Some(state) => said.with("status", state.status.as_str()).with("contact", state.contact),
        }
    }

    /// Says one thing more.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn print(self, as_json: bool) {
        say(&if as_json { format!("{:#}\n", json!(self.0)) } else { self.to_text() });
    }

    fn to_text(&self) -> String {
        let lines = self.0.iter().map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Array(items) => {
                    let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                    if items.is_empty() { "none".to_owned() } else { items.join("\n            ") }
                }
                other => other.to_string(),
            };
            format!("{:<12}{value}\n", name.replace('_', " "))
        });
        lines.collect()
    }
}

/// Puts text on standard output. That nobody reads it any more is no reason to fail: it is done.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
