//! Providers by name.

use std::{collections::BTreeMap, sync::Arc};

use perennial_core::{SecretError, SecretString};

use crate::{
    ConfigError, DnsProvider, Error, Guarded, acme_dns, akamai, alidns, azure, bunny, cloudflare, desec,
    digitalocean, dnsimple, dnspod, duckdns, exec, gandi, godaddy, google, hetzner, httpreq, infoblox, inwx,
    ionos, linode, namecheap, netcup, ns1, ovh, porkbun, powerdns, rfc2136, route53, scaleway, vultr,
    webhook,
};

mod common;
pub(crate) use common::{BASE_URL, PLAIN_HTTP, TTL, ZONE, ZONE_ID, settings};

mod option_doc;
pub use option_doc::{OptionDoc, OptionForm};

mod options;
pub use options::Options;

/// Makes providers from a name and options: what a command line or a configuration file has.
///
/// ```
/// use perennial_providers::{Options, Registry};
///
/// let registry = Registry::standard();
/// let options: Options = [("server", "192.0.2.1"), ("zone", "example.com")].into_iter().collect();
/// let provider = registry.create("rfc2136", &options)?;
/// assert_eq!(provider.kind(), "rfc2136");
///
/// let error = registry.create("rfc2137", &options).err().unwrap();
/// assert!(error.to_string().starts_with("there is no DNS provider `rfc2137`; there are "));
/// # Ok::<(), perennial_providers::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    factories: BTreeMap<String, Factory>,
}

impl Registry {
    /// A registry that knows no provider yet.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A registry that knows every provider of this crate that an operator can use.
    #[must_use]
    pub fn standard() -> Self {
        let mut registry = Self::empty();
        registry.register(acme_dns::KIND, acme_dns::factory());
        registry.register(akamai::KIND, akamai::factory());
        registry.register(alidns::KIND, alidns::factory());
        registry.register(azure::KIND, azure::factory());
        registry.register(bunny::KIND, bunny::factory());
        registry.register(cloudflare::KIND, cloudflare::factory());
        registry.register(desec::KIND, desec::factory());
        registry.register(digitalocean::KIND, digitalocean::factory());
        registry.register(dnsimple::KIND, dnsimple::factory());
        registry.register(dnspod::KIND, dnspod::factory());
        registry.register(duckdns::KIND, duckdns::factory());
        registry.register(exec::KIND, exec::factory());
        registry.register(gandi::KIND, gandi::factory());
        registry.register(godaddy::KIND, godaddy::factory());
        registry.register(google::KIND, google::factory());
        registry.register(hetzner::KIND, hetzner::factory());
        registry.register(httpreq::KIND, httpreq::factory());
        registry.register(infoblox::KIND, infoblox::factory());
        registry.register(inwx::KIND, inwx::factory());
        registry.register(ionos::KIND, ionos::factory());
        registry.register(linode::KIND, linode::factory());
        registry.register(namecheap::KIND, namecheap::factory());
        registry.register(netcup::KIND, netcup::factory());
        registry.register(ns1::KIND, ns1::factory());
        registry.register(ovh::KIND, ovh::factory());
        registry.register(porkbun::KIND, porkbun::factory());
        registry.register(powerdns::KIND, powerdns::factory());
        registry.register(rfc2136::KIND, rfc2136::factory());
        registry.register(route53::KIND, route53::factory());
        registry.register(scaleway::KIND, scaleway::factory());
        registry.register(vultr::KIND, vultr::factory());
        registry.register(webhook::KIND, webhook::factory());
        registry
    }

    /// Adds a provider, or puts another in its place.
    pub fn register(&mut self, kind: impl Into<String>, factory: Factory) -> &mut Self {
        self.factories.insert(kind.into(), factory);
        self
    }

    /// The kinds of providers there are, sorted, each with its factory: what `--help` prints.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &Factory)> {
        self.factories.iter().map(|(kind, factory)| (kind.as_str(), factory))
    }

    /// Makes a provider.
    ///
    /// Every kind takes two options besides its own: `allow-zones`, the zones that may be written to, and
    /// `allow-labels`, the first labels of names that may be; the provider is [`Guarded`] by them.
    ///
    /// # Errors
    /// [`Error::Config`] that names the provider, the option and the remedy.
    pub fn create(&self, kind: &str, options: &Options) -> Result<Arc<dyn DnsProvider>, Error> {
        let factory = self.factory(kind)?;
        factory.check(kind, options)?;
        let rails = common::rails(kind, options)?;
        let provider = (factory.create)(options)?;
        Ok(if rails.is_unlimited() { provider } else { Arc::new(Guarded::new(provider, rails)) })
    }

    /// The options of a kind as JSON Schema (draft 2020-12), those that every kind takes among them: what a
    /// configuration file of options is checked by before it is used, and what editors complete.
    ///
    /// # Errors
    /// [`ConfigError::UnknownProvider`].
    ///
    /// ```
    /// use perennial_providers::Registry;
    ///
    /// let schema = Registry::standard().schema("cloudflare")?;
    /// assert!(schema.contains(r#""zone-id""#) && schema.contains(r#""writeOnly": true"#));
    /// # Ok::<(), perennial_providers::ConfigError>(())
    /// ```
    pub fn schema(&self, kind: &str) -> Result<String, ConfigError> {
        Ok(self.factory(kind)?.schema(kind))
    }

    /// Makes a provider from environment variables: the option `key-name` of `rfc2136` is
    /// `PERENNIAL_RFC2136_KEY_NAME`, or the content of the file that `PERENNIAL_RFC2136_KEY_NAME_FILE` names,
    /// which is how container platforms hand out secrets.
    ///
    /// # Errors
    /// [`Error::Config`] that names the provider, the variable and the remedy.
    pub fn create_from_env(&self, kind: &str) -> Result<Arc<dyn DnsProvider>, Error> {
        let options = self.factory(kind)?.options_from_env(kind)?;
        self.create(kind, &options).map_err(|error| match error {
            Error::Config(error) => error.with_variable().into(),
            error => error,
        })
    }

    fn factory(&self, kind: &str) -> Result<&Factory, ConfigError> {
        self.factories.get(kind).ok_or_else(|| ConfigError::UnknownProvider {
            kind: shown(kind),
            known: self.factories.keys().cloned().collect(),
        })
    }
}

/// How a [`Registry`] makes providers of one kind.
#[derive(Clone)]
pub struct Factory {
    summary: &'static str,
    options: Vec<OptionDoc>,
    create: Arc<Create>,
}

type Create = dyn Fn(&Options) -> Result<Arc<dyn DnsProvider>, Error> + Send + Sync;

impl Factory {
    /// A factory with one sentence for `--help`, the options it takes, and what makes the provider.
    ///
    /// The registry refuses unknown and missing options before it calls `create`.
    #[must_use]
    pub fn new(
        summary: &'static str,
        options: impl Into<Vec<OptionDoc>>,
        create: impl Fn(&Options) -> Result<Arc<dyn DnsProvider>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { summary, options: options.into(), create: Arc::new(create) }
    }

    /// What the provider is, in one sentence.
    #[must_use]
    pub const fn summary(&self) -> &'static str {
        self.summary
    }

    /// The options it takes.
    #[must_use]
    pub fn options(&self) -> &[OptionDoc] {
        &self.options
    }

    /// The options that the environment holds: see [`Registry::create_from_env`].
    ///
    /// # Errors
    /// [`ConfigError::Secret`] when a variable or its file is there but cannot be used.
    pub fn options_from_env(&self, kind: &str) -> Result<Options, ConfigError> {
        let docs: Vec<_> = self.all_options().cloned().collect();
        Options::from_variables(kind, &docs, &SecretString::from_env)
    }

    /// Its own options, and those of every kind.
    fn all_options(&self) -> impl Iterator<Item = &OptionDoc> {
        let common = common::OF_EVERY_KIND.iter();
        self.options.iter().chain(common.filter(|doc| self.options.iter().all(|own| own.name != doc.name)))
    }

    fn schema(&self, kind: &str) -> String {
        let properties: serde_json::Map<_, _> =
            self.all_options().map(|doc| (doc.name.to_owned(), doc.schema())).collect();
        let required: Vec<_> = self.all_options().filter(|doc| doc.required).map(|doc| doc.name).collect();
        let schema = serde_json::json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": kind,
            "description": self.summary,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        format!("{schema:#}")
    }

    fn check(&self, kind: &str, options: &Options) -> Result<(), ConfigError> {
        if let Some(unknown) = options.keys().find(|key| self.all_options().all(|doc| doc.name != *key)) {
            return Err(ConfigError::UnknownOption {
                provider: kind.to_owned(),
                option: shown(unknown),
                known: self.all_options().map(|doc| doc.name.to_owned()).collect(),
            });
        }
        match self.options.iter().find(|doc| doc.required && options.get(doc.name).is_none()) {
            Some(missing) => Err(missing.missing(kind)),
            None => Ok(()),
        }
    }
}

/// A word of a configuration file as a terminal may be shown it. Whoever wrote it knows it from its beginning.
fn shown(word: &str) -> String {
    word.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// Who knows environment variables: the process, or a test.
type Variables<'v> = &'v dyn Fn(&str) -> Result<SecretString, SecretError>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryProvider;

    fn registry() -> Registry {
        let mut registry = Registry::empty();
        let docs = [
            OptionDoc::required("zone", "the zone to keep"),
            OptionDoc::optional("colour", "what it looks like").secret(),
        ];
        registry.register(
            "paper",
            Factory::new("a zone on paper", docs, |options| {
                let zone = options.get("zone").map_or("", SecretString::expose);
                let zone = zone.parse().map_err(|error| ConfigError::BadOption {
                    provider: "paper".into(),
                    option: "zone".into(),
                    reason: format!("{error}"),
                })?;
                Ok(Arc::new(MemoryProvider::new([zone])))
            }),
        );
        registry
    }

    fn error_of(options: &[(&str, &str)]) -> String {
        let options = options.iter().copied().collect();
        registry().create("paper", &options).err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_provider_of_another_crate_is_made_by_name() {
        let options = [("zone", "example.com")].into_iter().collect();
        let provider = registry().create("paper", &options).unwrap();
        assert!(provider.zone(&"a.example.com".parse().unwrap()).await.is_ok());
    }

    #[test]
    fn errors_name_the_provider_the_option_and_the_remedy() {
        assert_eq!(error_of(&[]), "paper needs the option `zone`: the zone to keep");
        assert_eq!(
            error_of(&[("zone", "example.com"), ("color", "red")]),
            "paper has no option `color`; it has zone, colour, allow-zones, allow-labels"
        );
        assert!(
            error_of(&[("zone", "a..b")]).starts_with("paper: option `zone`: \"a..b\" is not a domain name")
        );
        let error = registry().create("stone", &Options::default()).err().unwrap();
        assert_eq!(error.to_string(), "there is no DNS provider `stone`; there are paper");
    }

    #[test]
    fn words_that_are_not_known_are_shown_without_what_a_terminal_obeys() {
        let options = [("zone", "example.com"), ("\u{1b}[2Jcolor", "red")];
        assert!(error_of(&options).starts_with("paper has no option `[2Jcolor`"), "{}", error_of(&options));
        let error = registry().create(&format!("\0{}", "x".repeat(1000)), &Options::new()).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("there is no DNS provider `{}`; there are paper", "x".repeat(64))
        );
    }

    #[tokio::test]
    async fn every_kind_can_be_kept_to_zones_and_labels() {
        let options = [("zone", "example.com"), ("allow-zones", "example.net, example.org")];
        let provider = registry().create("paper", &options.into_iter().collect()).unwrap();
        let error = provider.zone(&"a.example.com".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("`allow-zones`"), "{error}");
    }

    #[test]
    fn a_schema_tells_what_is_required_what_is_secret_and_what_it_is_otherwise() {
        let mut registry = Registry::empty();
        let docs = [
            OptionDoc::required("token", "the token").secret(),
            OptionDoc::optional("ttl", "time to live").form(OptionForm::Seconds(1, 9)).default("5"),
            OptionDoc::optional("mode", "how").form(OptionForm::Choice(&["fast", "safe"])).default("safe"),
        ];
        registry.register("paper", Factory::new("a zone on paper", docs, |_| unreachable!()));
        let schema: serde_json::Value = serde_json::from_str(&registry.schema("paper").unwrap()).unwrap();
        assert_eq!(schema["required"], serde_json::json!(["token"]));
        assert_eq!(schema["additionalProperties"], false);
        let properties = &schema["properties"];
        assert_eq!(properties["token"]["writeOnly"], true);
        assert_eq!(properties["ttl"]["default"], 5);
        assert_eq!(properties["ttl"]["anyOf"][0]["maximum"], 9);
        assert_eq!(properties["mode"]["anyOf"][0]["enum"], serde_json::json!(["fast", "safe"]));
        assert!(properties["allow-zones"].is_object());
        assert!(registry.schema("stone").is_err());
    }

    #[test]
    fn an_option_missing_in_the_environment_is_called_by_its_variable() {
        let error = registry().create_from_env("paper").err().unwrap();
        assert_eq!(
            error.to_string(),
            "paper needs the option `zone`: the zone to keep; set PERENNIAL_PAPER_ZONE"
        );
    }

    #[test]
    fn every_standard_provider_documents_its_options() {
        for (kind, factory) in Registry::standard().kinds() {
            assert!(!factory.summary().is_empty(), "{kind}");
            for doc in factory.options() {
                assert!(doc.meaning.len() > 10, "{kind}: {}", doc.name);
                assert!(doc.name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{kind}: {}", doc.name);
            }
        }
    }
}
