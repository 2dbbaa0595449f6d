//! What options mean.

use serde_json::{Map, Value, json};

use crate::{ConfigError, error::variable};

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
    /// What values it can have.
    pub form: OptionForm,
    /// What it is without being given, where that can be written down.
    pub default: Option<&'static str>,
}

/// What values an option can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionForm {
    /// One of these.
    Choice(&'static [&'static str]),
    /// Yes or no.
    Flag,
    /// A domain name.
    Name,
    /// Several domain names, with commas between them.
    Names,
    /// A number of seconds, from the least to the most.
    Seconds(u64, u64),
    /// Any text.
    Text,
    /// A URL.
    Url,
}

impl OptionDoc {
    /// An option that must be given.
    #[must_use]
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, required: true, secret: false, form: OptionForm::Text, default: None }
    }

    /// An option that has a default.
    #[must_use]
    pub const fn optional(name: &'static str, meaning: &'static str) -> Self {
        Self { name, meaning, required: false, secret: false, form: OptionForm::Text, default: None }
    }

    /// Its value must not be seen.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Says what values it can have; any text by default.
    #[must_use]
    pub const fn form(mut self, form: OptionForm) -> Self {
        self.form = form;
        self
    }

    /// Says what it is without being given.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// What it is as JSON Schema.
    pub(super) fn schema(&self) -> Value {
        let mut schema = Map::new();
        schema.insert("description".to_owned(), self.meaning.into());
        let value = match self.form {
            OptionForm::Choice(values) => json!({ "enum": values }),
            OptionForm::Flag => json!({ "type": "boolean" }),
            OptionForm::Name => json!({ "type": "string", "format": "hostname" }),
            OptionForm::Names | OptionForm::Text => json!({ "type": "string" }),
            OptionForm::Seconds(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            OptionForm::Url => json!({ "type": "string", "format": "uri" }),
        };
        let place = |what: &str| {
            json!({
                "type": "object", "properties": { what: { "type": "string" } },
                "required": [what], "additionalProperties": false,
            })
        };
        // A number or a truth value may be written as text, too: a command line has nothing else.
        let mut forms = vec![value.clone(), place("file"), place("env")];
        if value.get("type").is_some_and(|it| it == "integer" || it == "boolean") {
            forms.insert(1, json!({ "type": "string" }));
        }
        schema.insert("anyOf".to_owned(), forms.into());
        if let Some(default) = self.default {
            let default = match self.form {
                OptionForm::Seconds(..) => {
                    default.parse::<u64>().map_or_else(|_| default.into(), Value::from)
                }
                OptionForm::Flag => (default == "true").into(),
                _ => default.into(),
            };
            schema.insert("default".to_owned(), default);
        }
        if self.secret {
            schema.insert("writeOnly".to_owned(), true.into());
        }
        schema.into()
    }

    /// That it has to be given and was not: what it is, for whoever has to give it.
    #[must_use]
    pub fn missing(&self, kind: &str) -> ConfigError {
        ConfigError::MissingOption {
            provider: kind.to_owned(),
            option: self.name.to_owned(),
            meaning: self.meaning.to_owned(),
        }
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
