//! The options of this provider.

use std::sync::Arc;

use super::{KIND, Ovh};
use crate::{
    ConfigError, Error, Factory, OptionDoc, OptionForm, Options,
    credentials::ovh::{Access, Region},
    registry::{BASE_URL, TTL, ZONE},
};

const REGION: OptionDoc = OptionDoc::optional("region", "where the account is: eu, ca or us")
    .form(OptionForm::Choice(&["ca", "eu", "us"]))
    .default("eu");
const APPLICATION_KEY: OptionDoc = OptionDoc::optional("application-key", "the key of an application");
const APPLICATION_SECRET: OptionDoc =
    OptionDoc::optional("application-secret", "the secret of that application").secret();
const CONSUMER_KEY: OptionDoc =
    OptionDoc::optional("consumer-key", "the consent of the account to that application").secret();
const CLIENT_ID: OptionDoc = OptionDoc::optional("client-id", "a service account, instead of an application");
const CLIENT_SECRET: OptionDoc =
    OptionDoc::optional("client-secret", "the secret of that service account").secret();
const TOKEN_URL: OptionDoc =
    OptionDoc::optional("token-url", "where a service account gets its tokens; the region's own by default")
        .form(OptionForm::Url);

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    let docs = [
        REGION,
        APPLICATION_KEY,
        APPLICATION_SECRET,
        CONSUMER_KEY,
        CLIENT_ID,
        CLIENT_SECRET,
        TOKEN_URL,
        ZONE,
        TTL,
        BASE_URL,
    ];
    Factory::new("OVHcloud", docs, |options| Ok(Arc::new(from_options(options)?)))
}

pub(super) fn from_options(options: &Options) -> Result<Ovh, Error> {
    let region = match options.text(&REGION).unwrap_or("eu") {
        "ca" => Region::Canada,
        "eu" => Region::Europe,
        "us" => Region::UnitedStates,
        _ => {
            return Err(ConfigError::BadOption {
                provider: KIND.to_owned(),
                option: REGION.name.to_owned(),
                reason: "it is none of eu, ca and us".to_owned(),
            }
            .into());
        }
    };
    let mut access = Access::builder(KIND, region);
    if let Some(url) = options.text(&BASE_URL) {
        access = access.base_url(url);
    }
    if let Some(url) = options.text(&TOKEN_URL) {
        access = access.token_url(url);
    }
    let access = match options.text(&CLIENT_ID) {
        Some(id) => access.service_account(id, options.token(KIND, &CLIENT_SECRET)?)?,
        None => {
            let missing = ConfigError::MissingOption {
                provider: KIND.to_owned(),
                option: APPLICATION_KEY.name.to_owned(),
                meaning: format!("{}; or give `client-id`", APPLICATION_KEY.meaning),
            };
            let key = options.text(&APPLICATION_KEY).ok_or(missing)?;
            let secret = options.token(KIND, &APPLICATION_SECRET)?;
            access.consumer_key(key, secret, options.token(KIND, &CONSUMER_KEY)?)?
        }
    };
    Ovh::builder(access, region).options(KIND, options)?.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(options: &[(&str, &str)]) -> Result<Ovh, Error> {
        from_options(&options.iter().copied().collect())
    }

    #[test]
    fn either_an_application_or_a_service_account_is_needed() {
        let application = [("application-key", "a"), ("application-secret", "s3cret"), ("consumer-key", "c")];
        assert!(made(&application).is_ok());
        assert!(made(&[("client-id", "a"), ("client-secret", "s3cret"), ("region", "us")]).is_ok());
        let error = |options: &[(&str, &str)]| made(options).err().unwrap().to_string();
        assert!(error(&[]).contains("or give `client-id`"));
        assert!(error(&application[..2]).contains("`consumer-key`"));
        assert!(error(&[("region", "moon")]).contains("none of eu, ca and us"));
    }
}
