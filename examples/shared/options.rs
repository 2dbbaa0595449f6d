//! The options of a DNS provider: from the environment, and from the command line.

use perennial::{
    core::SecretString,
    providers::{Error, Options, Registry},
};

use crate::failure::Failure;

/// Options from the environment, then those of the command line over them: each `KEY=VALUE`, or `KEY=@FILE`.
pub(crate) fn of(registry: &Registry, kind: &str, given: &[String]) -> Result<Options, Failure> {
    let known = registry.kinds().find(|(name, _)| *name == kind).map(|(_, factory)| factory);
    let mut options = match known {
        Some(factory) => factory.options_from_env(kind).map_err(Error::from)?,
        None => Options::new(),
    };
    for option in given {
        let Some((key, value)) = option.split_once('=') else {
            // The text may be a secret without its key: it is not shown.
            return Err(Failure::usage("--provider-option needs the form KEY=VALUE".to_owned()));
        };
        let value = match value.strip_prefix('@') {
            Some(path) => SecretString::from_file(path)
                .map_err(|error| Failure::usage(format!("--provider-option {key}: {error}")))?,
            None => SecretString::new(value),
        };
        options = options.with(key, value);
    }
    Ok(options)
}
