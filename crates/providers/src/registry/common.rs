//! Options that many kinds of providers have, and those that all have.

use perennial_core::DomainName;

use super::{OptionDoc, OptionForm, Options};
use crate::{ConfigError, Rails, engine::Settings};

/// For a vendor with an HTTP interface; say what it is by default.
pub(crate) const BASE_URL: OptionDoc = OptionDoc::optional(
    "base-url",
    "another base URL of the interface: an emulator, a proxy, a private cloud",
)
.form(OptionForm::Url);

/// For a vendor whose interface often has no TLS.
pub(crate) const PLAIN_HTTP: OptionDoc = OptionDoc::optional(
    "plain-http",
    "true: the base URL may be plain http; whoever can listen on the way has the credential",
)
.form(OptionForm::Flag)
.default("false");

/// For every vendor; see [`settings`].
pub(crate) const ZONE: OptionDoc =
    OptionDoc::optional("zone", "the zone of all names; without one, it is found for each name")
        .form(OptionForm::Name);

/// For a vendor that calls zones by identifiers; see [`settings`].
pub(crate) const ZONE_ID: OptionDoc =
    OptionDoc::optional("zone-id", "the vendor's identifier of the zone of all names");

/// For every vendor; see [`settings`].
pub(crate) const TTL: OptionDoc = OptionDoc::optional(
    "ttl",
    "time to live of new record sets in seconds; 60 by default, or the vendor's least",
)
.form(OptionForm::Seconds(0, 0x7fff_ffff))
.default("60");

/// What [`ZONE`], [`ZONE_ID`] and [`TTL`] come to.
pub(crate) fn settings(kind: &str, options: &Options) -> Result<Settings, ConfigError> {
    let mut settings = Settings::new();
    if let Some(zone) = options.parsed::<DomainName>(kind, &ZONE)? {
        settings = settings.zone(zone);
    }
    if let Some(id) = options.text(&ZONE_ID) {
        settings = settings.zone_id(id);
    }
    if let Some(ttl) = options.seconds(kind, &TTL, 0..=0x7fff_ffff)? {
        settings = settings.ttl(ttl);
    }
    Ok(settings)
}

const ALLOW_ZONES: OptionDoc = OptionDoc::optional(
    "allow-zones",
    "the zones that may be written to, with commas between them; all by default",
)
.form(OptionForm::Names);

const ALLOW_LABELS: OptionDoc = OptionDoc::optional(
    "allow-labels",
    "the first labels of names that may be written to, such as _acme-challenge; any by default",
);

/// What every kind takes.
pub(super) const OF_EVERY_KIND: [OptionDoc; 2] = [ALLOW_ZONES, ALLOW_LABELS];

pub(super) fn rails(kind: &str, options: &Options) -> Result<Rails, ConfigError> {
    let zones = options.list::<DomainName>(kind, &ALLOW_ZONES)?;
    let labels = options.list::<String>(kind, &ALLOW_LABELS)?;
    let rails = zones.into_iter().fold(Rails::new(), Rails::zone);
    Ok(labels.iter().fold(rails, |rails, label| rails.label(label)))
}
