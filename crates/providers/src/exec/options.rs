//! The options of this provider.

use std::sync::Arc;

use super::{Exec, KIND};
use crate::{ConfigError, Error, Factory, OptionDoc, OptionForm, Options, hook};

const PROGRAM: OptionDoc =
    OptionDoc::required("program", "the program: a path, or a name that is found in PATH; there is no shell");
const ARGUMENTS: OptionDoc = OptionDoc::optional(
    "arguments",
    "a JSON array of texts that come before the action, the name and the value; none by default",
);
const TIMEOUT: OptionDoc = OptionDoc::optional("timeout", "seconds that one call may take")
    .form(OptionForm::Seconds(1, 3600))
    .default("60");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "a program of yours, called as lego's exec calls it",
        [PROGRAM, ARGUMENTS, TIMEOUT, hook::ZONES],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<Exec, Error> {
    let program = options.required(KIND, &PROGRAM)?;
    let mut builder = Exec::builder(program);
    if let Some(text) = options.text(&ARGUMENTS) {
        let arguments: Vec<String> = serde_json::from_str(text).map_err(|error| ConfigError::BadOption {
            provider: KIND.to_owned(),
            option: ARGUMENTS.name.to_owned(),
            reason: format!("it is no JSON array of texts such as [\"--zone\", \"example.com\"]: {error}"),
        })?;
        builder = arguments.into_iter().fold(builder, super::ExecBuilder::argument);
    }
    if let Some(timeout) = options.seconds(KIND, &TIMEOUT, 1..=3600)? {
        builder = builder.timeout(timeout);
    }
    let zones = options.list(KIND, &hook::ZONES)?;
    Ok(zones.into_iter().fold(builder, super::ExecBuilder::zone).build())
}
