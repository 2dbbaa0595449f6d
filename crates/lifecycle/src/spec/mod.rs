//! What a certificate should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use perennial_core::DomainName;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Facts, KeyAlgorithm, MaintenanceWindow, RenewalPolicy};

mod check;

mod error;
pub use error::SpecError;

mod identifier;
pub use identifier::{CertificateId, IssuerName, SinkName};

mod output;
pub use output::{Output, OutputFormat, SecretTemplate};

mod subject;
pub use subject::Subject;

mod usage;
pub use usage::Usage;

/// What a certificate should be: its names, its key, who issues it and when it is renewed.
///
/// Pure data with a serde form; the [`Keeper`](crate::Keeper) makes the world agree with it.
///
/// | a change of | does |
/// |---|---|
/// | names, subject, usages, `is_ca`, duration, profile, key algorithm, issuer | a new certificate ([`asks_same_certificate`](Self::asks_same_certificate)) |
/// | outputs, labels, secret template | another delivery of the same one ([`asks_same_delivery`](Self::asks_same_delivery)) |
/// | renewal policy, maintenance windows, patience, further issuers | moves a date |
/// | key rotation | counts at the next renewal |
///
/// ```
/// use perennial_lifecycle::{CertificateSpec, KeyAlgorithm};
///
/// let spec = CertificateSpec::new("shop", ["shop.example", "*.shop.example"])?
///     .issuer("letsencrypt")?
///     .key_algorithm(KeyAlgorithm::EcdsaP384);
/// assert_eq!(spec.names().len(), 2);
/// # Ok::<(), perennial_lifecycle::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateSpec {
    id: CertificateId,
    #[serde(default, deserialize_with = "distinct")]
    names: Vec<DomainName>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    addresses: BTreeSet<IpAddr>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    uris: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    emails: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Subject::is_empty")]
    subject: Subject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    usages: BTreeSet<Usage>,
    #[serde(default, skip_serializing_if = "is_false")]
    is_ca: bool,
    issuer: IssuerName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fallback_issuers: Vec<IssuerName>,
    #[serde(default)]
    key_algorithm: KeyAlgorithm,
    #[serde(default)]
    key_rotation: KeyRotation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default)]
    renewal: RenewalPolicy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    maintenance: Vec<MaintenanceWindow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idleness: Option<Duration>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    outputs: BTreeSet<Output>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "SecretTemplate::is_empty")]
    secret_template: SecretTemplate,
}

/// Whether a renewed certificate has a new key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // It has, or it has not.
pub enum KeyRotation {
    /// Each certificate has a key of its own. The default: a stolen key is worth one certificate's life.
    #[default]
    Always,
    /// The key stays, as long as it is there and of the wanted kind: for those who pin it (RFC 7469, DANE).
    Never,
}

impl CertificateSpec {
    /// A certificate for these names, by the issuer called `default`, with an EC P-256 key and the default
    /// renewal policy. Repeated names count once; the order is kept.
    ///
    /// A name is a DNS name or, by its form, an IP address, a URI (with a colon) or a mailbox (with an `@`).
    /// Not every issuer signs each: one that cannot says so, and issues nothing.
    ///
    /// # Errors
    /// [`SpecError`] when the id or a name is malformed, or there is no name or too many.
    pub fn new<N>(id: &str, names: impl IntoIterator<Item = N>) -> Result<Self, SpecError>
    where
        N: AsRef<str>,
    {
        let mut spec = Self::nameless(id.parse()?);
        for name in names {
            spec.add_name(name.as_ref())?;
        }
        spec.validate()?;
        Ok(spec)
    }

    /// The certificate of a CA, which needs no name but its subject (RFC 5280 §4.1.2.6); all else is as in
    /// [`new`](Self::new).
    ///
    /// ```
    /// use perennial_lifecycle::{CertificateSpec, Subject};
    ///
    /// let root = CertificateSpec::authority("root", Subject::named("Example Root"))?;
    /// assert!(root.is_ca() && root.names().is_empty());
    /// assert!(CertificateSpec::authority("root", Subject::default()).is_err());
    /// # Ok::<(), perennial_lifecycle::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// [`SpecError`] when the id is malformed, or the subject says nothing or something that no certificate can hold.
    pub fn authority(id: &str, subject: Subject) -> Result<Self, SpecError> {
        let spec = Self { subject, is_ca: true, ..Self::nameless(id.parse()?) };
        spec.validate()?;
        Ok(spec)
    }

    fn nameless(id: CertificateId) -> Self {
        Self {
            id,
            names: Vec::new(),
            addresses: BTreeSet::new(),
            uris: BTreeSet::new(),
            emails: BTreeSet::new(),
            subject: Subject::default(),
            duration: None,
            usages: BTreeSet::new(),
            is_ca: false,
            issuer: IssuerName::default(),
            fallback_issuers: Vec::new(),
            key_algorithm: KeyAlgorithm::default(),
            key_rotation: KeyRotation::default(),
            profile: None,
            renewal: RenewalPolicy::default(),
            maintenance: Vec::new(),
            patience: None,
            idleness: None,
            outputs: BTreeSet::new(),
            labels: BTreeMap::new(),
            secret_template: SecretTemplate::default(),
        }
    }

    fn add_name(&mut self, name: &str) -> Result<(), SpecError> {
        if let Ok(address) = name.parse() {
            self.addresses.insert(address);
        } else if name.contains(':') {
            self.uris.insert(name.to_owned());
        } else if name.contains('@') {
            self.emails.insert(name.to_owned());
        } else {
            let name = DomainName::parse(name).map_err(SpecError::Name)?;
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        Ok(())
    }

    /// Whom it names beside its alternative names. Default: nobody.
    #[must_use]
    pub fn subject(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// For how long it should be valid. Default: as long as the issuer likes; one that gives less is not asked
    /// again.
    #[must_use]
    pub const fn duration(mut self, duration: Duration) -> Self {
        self.duration = Some(duration);
        self
    }

    /// What its key may be used for. Default: what the issuer gives to all.
    #[must_use]
    pub fn usages(mut self, usages: impl IntoIterator<Item = Usage>) -> Self {
        self.usages = usages.into_iter().collect();
        self
    }

    /// Asks for a certificate that may sign others (RFC 5280 §4.2.1.9).
    #[must_use]
    pub const fn ca(mut self) -> Self {
        self.is_ca = true;
        self
    }

    /// Whether a renewed certificate has a new key. Default: [`KeyRotation::Always`].
    #[must_use]
    pub const fn key_rotation(mut self, rotation: KeyRotation) -> Self {
        self.key_rotation = rotation;
        self
    }

    /// One more place that it is delivered to. Default: the store alone.
    #[must_use]
    pub fn output(mut self, sink: SinkName, format: OutputFormat) -> Self {
        self.outputs.insert(Output { sink, format });
        self
    }

    /// One more label of the certificate itself: to be selected by, and for metrics.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// What it is labelled with where it is delivered to.
    #[must_use]
    pub fn secret_template(mut self, template: SecretTemplate) -> Self {
        self.secret_template = template;
        self
    }

    /// Chooses the issuer by the name that the keeper knows it under. Default: `default`.
    ///
    /// # Errors
    /// [`SpecError::Id`] when the name is malformed.
    pub fn issuer(mut self, name: &str) -> Result<Self, SpecError> {
        self.issuer = name.parse()?;
        Ok(self)
    }

    /// One more issuer, which is asked when those before it have failed for too long
    /// ([`failover`](crate::failover)); the next renewal begins with the first again. Each is named once, and eight are
    /// the most. Default: none.
    ///
    /// # Errors
    /// [`SpecError::Id`] when the name is malformed.
    pub fn fallback_issuer(mut self, name: &str) -> Result<Self, SpecError> {
        self.fallback_issuers.push(name.parse()?);
        Ok(self)
    }

    /// Chooses the key. Default: EC P-256, which every client of the last decade accepts and which signs
    /// fastest.
    #[must_use]
    pub fn key_algorithm(mut self, algorithm: KeyAlgorithm) -> Self {
        self.key_algorithm = algorithm;
        self
    }

    /// Asks the issuer for a named kind of certificate, such as Let's Encrypt's `shortlived`. No certificate shows by
    /// which it was made, so one that is taken over is believed to be of this kind. Default: the issuer's own choice.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// When to renew.
    #[must_use]
    pub fn renewal(mut self, policy: RenewalPolicy) -> Self {
        self.renewal = policy;
        self
    }

    /// When renewals are welcome. Default: always.
    #[must_use]
    pub fn maintenance(mut self, windows: impl IntoIterator<Item = MaintenanceWindow>) -> Self {
        self.maintenance = windows.into_iter().collect();
        self
    }

    /// For how long failed attempts go on: after the first failure, and after the end of the certificate that
    /// serves, if there is one; a minute at least. Default: for ever, at long intervals; a name that has left for good
    /// costs a few requests a day.
    #[must_use]
    pub const fn give_up_after(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Lets it end when nobody has asked for it for so long: counted from the last call of
    /// [`Keeper::on_demand`](crate::Keeper::on_demand) for it, by the day; the next call begins anew. Default: never,
    /// and for one that is wanted at first sight after ninety days.
    #[must_use]
    pub const fn lapse_after(mut self, idleness: Duration) -> Self {
        self.idleness = Some(idleness);
        self
    }

    /// What the keeper and the store call this certificate.
    #[must_use]
    pub const fn id(&self) -> &CertificateId {
        &self.id
    }

    /// The DNS names, in the order they were given.
    #[must_use]
    pub fn names(&self) -> &[DomainName] {
        &self.names
    }

    /// The IP addresses.
    #[must_use]
    pub const fn addresses(&self) -> &BTreeSet<IpAddr> {
        &self.addresses
    }

    /// The URIs.
    #[must_use]
    pub const fn uris(&self) -> &BTreeSet<String> {
        &self.uris
    }

    /// The mailboxes.
    #[must_use]
    pub const fn emails(&self) -> &BTreeSet<String> {
        &self.emails
    }

    /// Whom it names beside its alternative names.
    #[must_use]
    pub const fn distinguished_name(&self) -> &Subject {
        &self.subject
    }

    /// For how long it should be valid; as long as the issuer likes, without one.
    #[must_use]
    pub const fn lifetime(&self) -> Option<Duration> {
        self.duration
    }

    /// What its key may be used for; what the issuer gives to all, without one.
    #[must_use]
    pub const fn key_usages(&self) -> &BTreeSet<Usage> {
        &self.usages
    }

    /// Whether it may sign others.
    #[must_use]
    pub const fn is_ca(&self) -> bool {
        self.is_ca
    }

    /// Whether a renewed certificate has a new key.
    #[must_use]
    pub const fn rotation(&self) -> KeyRotation {
        self.key_rotation
    }

    /// Where it is delivered to beside the store.
    #[must_use]
    pub const fn outputs(&self) -> &BTreeSet<Output> {
        &self.outputs
    }

    /// The labels of the certificate itself.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// What it is labelled with where it is delivered to.
    #[must_use]
    pub const fn template(&self) -> &SecretTemplate {
        &self.secret_template
    }

    /// The DNS names as a set, which is how certificates are compared.
    #[must_use]
    pub fn name_set(&self) -> BTreeSet<DomainName> {
        self.names.iter().cloned().collect()
    }

    /// Who issues.
    #[must_use]
    pub const fn issuer_name(&self) -> &IssuerName {
        &self.issuer
    }

    /// Who may issue: the one that is wished for, and then those that are asked in its place.
    pub fn issuers(&self) -> impl Iterator<Item = &IssuerName> {
        std::iter::once(&self.issuer).chain(&self.fallback_issuers)
    }

    /// The same by another issuer.
    pub(crate) fn by(self, issuer: IssuerName) -> Self {
        Self { issuer, ..self }
    }

    /// The kind of key.
    #[must_use]
    pub const fn key(&self) -> KeyAlgorithm {
        self.key_algorithm
    }

    /// The profile asked for, if any.
    #[must_use]
    pub fn profile_name(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// When to renew.
    #[must_use]
    pub const fn renewal_policy(&self) -> &RenewalPolicy {
        &self.renewal
    }

    /// When renewals are welcome; always, if there is none.
    #[must_use]
    pub fn maintenance_windows(&self) -> &[MaintenanceWindow] {
        &self.maintenance
    }

    /// For how long failed attempts go on; for ever without one.
    #[must_use]
    pub const fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// For how long it is renewed after somebody has asked for it; for ever without one.
    #[must_use]
    pub const fn idleness(&self) -> Option<Duration> {
        self.idleness
    }

    /// Whether a certificate has exactly its names, of all kinds. Copies nothing: it is asked at every decision.
    pub(crate) fn has_names_of(&self, facts: &Facts) -> bool {
        self.names.len() == facts.names.len()
            && self.names.iter().all(|name| facts.names.contains(name))
            && self.addresses == facts.addresses
            && self.uris == facts.uris
            && self.emails == facts.emails
            && facts.other_names.is_empty()
    }

    pub(crate) fn names_in_all(&self) -> usize {
        self.names.len() + self.addresses.len() + self.uris.len() + self.emails.len()
    }

    /// Whether both ask for the same certificate by the same issuer: all that is in it or decides who signs it.
    /// A duration counts where both have one.
    #[must_use]
    pub fn asks_same_certificate(&self, other: &Self) -> bool {
        self.issuer == other.issuer
            && self.asks_same_request(other)
            && self.name_set() == other.name_set()
            && self.addresses == other.addresses
            && self.uris == other.uris
            && self.emails == other.emails
            && self.key_algorithm == other.key_algorithm
    }

    /// Whether what both ask of an issuer is the same, names, key and issuer apart: those are told apart in a
    /// [`Reason`](crate::Reason).
    pub(crate) fn asks_same_request(&self, other: &Self) -> bool {
        let same_duration = match (self.duration, other.duration) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        };
        same_duration
            && self.profile == other.profile
            && self.is_ca == other.is_ca
            && self.usages == other.usages
            && self.subject == other.subject
    }

    /// Whether both ask for the same delivery of a certificate: places, forms, labels and templates.
    #[must_use]
    pub fn asks_same_delivery(&self, other: &Self) -> bool {
        self.outputs == other.outputs
            && self.labels == other.labels
            && self.secret_template == other.secret_template
    }

    /// Checks what the constructor checks, and all other fields; for a spec that came from outside through serde
    /// or was changed since.
    ///
    /// # Errors
    /// [`SpecError`] that names the field.
    pub fn validate(&self) -> Result<(), SpecError> {
        check::check(self)
    }
}

/// A spec from outside may repeat a name; it counts once, as in the constructor.
fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DomainName>, D::Error> {
    let mut names = Vec::deserialize(deserializer)?;
    let mut seen = BTreeSet::new();
    names.retain(|name: &DomainName| seen.insert(name.clone()));
    Ok(names)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde calls.
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
