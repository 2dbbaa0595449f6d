//! What a certificate should be.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use perennial_core::{DomainName, DomainNameError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{KeyAlgorithm, MaintenanceWindow, RenewalPolicy};

/// What a certificate should be: its names, its key, who issues it and when it is renewed.
///
/// Pure data with a serde form; the [`Keeper`](crate::Keeper) makes the world agree with it. Changing the
/// names, the key algorithm, the profile or the issuer asks for a new certificate; changing the renewal
/// policy only moves the date.
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
    #[serde(deserialize_with = "distinct")]
    names: Vec<DomainName>,
    issuer: IssuerName,
    #[serde(default)]
    key_algorithm: KeyAlgorithm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default)]
    renewal: RenewalPolicy,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    maintenance: Vec<MaintenanceWindow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience: Option<Duration>,
}

impl CertificateSpec {
    /// A certificate for these names, by the issuer called `default`, with an EC P-256 key and the default
    /// renewal policy. Repeated names count once; the order is kept.
    ///
    /// # Errors
    /// [`SpecError`] when the id or a name is malformed, or there is no name or too many.
    pub fn new<N>(id: &str, names: impl IntoIterator<Item = N>) -> Result<Self, SpecError>
    where
        N: AsRef<str>,
    {
        let mut unique = Vec::new();
        for name in names {
            let name = DomainName::parse(name.as_ref()).map_err(SpecError::Name)?;
            if !unique.contains(&name) {
                unique.push(name);
            }
        }
        let spec = Self {
            id: id.parse()?,
            names: unique,
            issuer: IssuerName::default(),
            key_algorithm: KeyAlgorithm::default(),
            profile: None,
            renewal: RenewalPolicy::default(),
            maintenance: Vec::new(),
            patience: None,
        };
        spec.validate()?;
        Ok(spec)
    }

    /// Chooses the issuer by the name that the keeper knows it under. Default: `default`.
    ///
    /// # Errors
    /// [`SpecError::Id`] when the name is malformed.
    pub fn issuer(mut self, name: &str) -> Result<Self, SpecError> {
        self.issuer = name.parse()?;
        Ok(self)
    }

    /// Chooses the key. Default: EC P-256, which every client of the last decade accepts and which signs
    /// fastest.
    #[must_use]
    pub fn key_algorithm(mut self, algorithm: KeyAlgorithm) -> Self {
        self.key_algorithm = algorithm;
        self
    }

    /// Asks the issuer for a named kind of certificate, such as Let's Encrypt's `shortlived`. Default: the
    /// issuer's own choice.
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
    /// serves, if there is one. Default: for ever, at long intervals; a name that has left for good costs a few
    /// requests a day.
    #[must_use]
    pub const fn give_up_after(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// What the keeper and the store call this certificate.
    #[must_use]
    pub const fn id(&self) -> &CertificateId {
        &self.id
    }

    /// The names, in the order they were given.
    #[must_use]
    pub fn names(&self) -> &[DomainName] {
        &self.names
    }

    /// The names as a set, which is how certificates are compared.
    #[must_use]
    pub fn name_set(&self) -> BTreeSet<DomainName> {
        self.names.iter().cloned().collect()
    }

    /// Who issues.
    #[must_use]
    pub const fn issuer_name(&self) -> &IssuerName {
        &self.issuer
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

    /// Whether these are exactly its names. Copies nothing: it is asked at every decision.
    pub(crate) fn has_names(&self, names: &BTreeSet<DomainName>) -> bool {
        self.names.len() == names.len() && self.names.iter().all(|name| names.contains(name))
    }

    /// Whether both ask for the same certificate: same names, key algorithm, profile and issuer. The
    /// renewal policy does not matter here.
    #[must_use]
    pub fn asks_same_certificate(&self, other: &Self) -> bool {
        self.name_set() == other.name_set()
            && self.key_algorithm == other.key_algorithm
            && self.profile == other.profile
            && self.issuer == other.issuer
    }

    /// Checks what the constructor checks; for a spec that came from outside through serde.
    ///
    /// # Errors
    /// [`SpecError`] that names the field.
    pub fn validate(&self) -> Result<(), SpecError> {
        if self.names.is_empty() {
            return Err(SpecError::NoNames { id: self.id.clone() });
        }
        if self.names.len() > MOST_NAMES {
            return Err(SpecError::TooManyNames { id: self.id.clone(), count: self.names.len() });
        }
        match self.names.iter().find(|name| !name.is_host_name()) {
            Some(name) => Err(SpecError::NotHostName { id: self.id.clone(), name: name.clone() }),
            None => self
                .renewal
                .validate()
                .and_then(|()| self.maintenance.iter().try_for_each(MaintenanceWindow::validate))
                .map_err(|reason| SpecError::Renewal { id: self.id.clone(), reason }),
        }
    }
}

/// A spec from outside may repeat a name; it counts once, as in the constructor.
fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<DomainName>, D::Error> {
    let mut names = Vec::deserialize(deserializer)?;
    let mut seen = BTreeSet::new();
    names.retain(|name: &DomainName| seen.insert(name.clone()));
    Ok(names)
}

/// What Let's Encrypt and most public CAs allow in one certificate.
const MOST_NAMES: usize = 100;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = SpecError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                check_identifier(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

identifier! {
    /// What a certificate is called in the store: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or
    /// digit.
    ///
    /// It becomes a directory name in the file store, so nothing that could leave that directory or differ
    /// by case alone is let in.
    CertificateId
}

identifier! {
    /// What an issuer is called; the same alphabet as [`CertificateId`].
    IssuerName
}

impl Default for IssuerName {
    fn default() -> Self {
        Self("default".into())
    }
}

/// Longest file name that every file system takes is 255; 64 leaves room for suffixes and stays readable.
const LONGEST_IDENTIFIER: usize = 64;

fn check_identifier(text: &str) -> Result<(), SpecError> {
    let first_fits = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let all_fit =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'));
    if first_fits && all_fit && text.len() <= LONGEST_IDENTIFIER {
        return Ok(());
    }
    Err(SpecError::Id { text: text.chars().take(LONGEST_IDENTIFIER + 1).collect() })
}

/// What is wrong with a [`CertificateSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// An id or issuer name outside its alphabet.
    #[error(
        "{text:?} cannot be an identifier: use 1 to {LONGEST_IDENTIFIER} of a-z, 0-9, '.', '_' and '-', beginning with a \
         letter or digit"
    )]
    Id {
        /// The text.
        text: String,
    },
    /// A malformed name.
    #[error(transparent)]
    Name(DomainNameError),
    /// No name at all.
    #[error("certificate {id} has no names: give at least one")]
    NoNames {
        /// Which certificate.
        id: CertificateId,
    },
    /// A name with an underscore.
    #[error("certificate {id}: {name} has an underscore, which no public CA signs (RFC 5280 §4.2.1.6)")]
    NotHostName {
        /// Which certificate.
        id: CertificateId,
        /// The name.
        name: DomainName,
    },
    /// A renewal policy or maintenance window that cannot work.
    #[error("certificate {id}: {reason}")]
    Renewal {
        /// Which certificate.
        id: CertificateId,
        /// What is wrong.
        reason: String,
    },
    /// More names than one certificate can hold.
    #[error("certificate {id} has {count} names, {MOST_NAMES} is the most: split it")]
    TooManyNames {
        /// Which certificate.
        id: CertificateId,
        /// How many.
        count: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_count_once_and_order_is_kept() {
        let spec = CertificateSpec::new("a", ["b.example", "a.example", "B.example."]).unwrap();
        let names: Vec<_> = spec.names().iter().map(DomainName::as_str).collect();
        assert_eq!(names, ["b.example", "a.example"]);
    }

    #[test]
    fn identifiers_cannot_leave_their_directory() {
        for text in ["", ".", "..", "../x", "a/b", "A", "-a", "a\0", &"a".repeat(65)] {
            assert!(matches!(text.parse::<CertificateId>(), Err(SpecError::Id { .. })), "{text:?}");
        }
        assert!("a-1_b.example".parse::<CertificateId>().is_ok());
    }

    #[test]
    fn each_fault_names_the_certificate_and_the_field() {
        let none: [&str; 0] = [];
        assert!(matches!(CertificateSpec::new("a", none), Err(SpecError::NoNames { .. })));
        let underscore = CertificateSpec::new("a", ["_x.example"]).unwrap_err().to_string();
        assert!(underscore.contains("_x.example"), "{underscore}");
        let many: Vec<_> = (0..101).map(|i| format!("h{i}.example")).collect();
        assert!(matches!(CertificateSpec::new("a", many), Err(SpecError::TooManyNames { count: 101, .. })));
    }

    #[test]
    fn the_renewal_policy_does_not_make_another_certificate() {
        let spec = CertificateSpec::new("a", ["a.example", "b.example"]).unwrap();
        let moved = spec.clone().renewal(RenewalPolicy::Percentage(50));
        let reordered = CertificateSpec::new("a", ["b.example", "a.example"]).unwrap();
        assert!(spec.asks_same_certificate(&moved) && spec.asks_same_certificate(&reordered));
        assert!(!spec.asks_same_certificate(&spec.clone().key_algorithm(KeyAlgorithm::Ed25519)));
        assert!(!spec.asks_same_certificate(&spec.clone().profile("shortlived")));
        assert!(!spec.asks_same_certificate(&spec.clone().issuer("other").unwrap()));
        assert!(!spec.asks_same_certificate(&CertificateSpec::new("a", ["a.example"]).unwrap()));
    }

    #[test]
    fn serde_round_trips_and_refuses_unknown_fields() {
        let spec = CertificateSpec::new("a", ["*.a.example"]).unwrap().issuer("ca").unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<CertificateSpec>(&text).unwrap(), spec);
        let repeated = text.replacen("[\"*.a.example\"]", "[\"*.a.example\",\"*.A.example\"]", 1);
        assert_eq!(serde_json::from_str::<CertificateSpec>(&repeated).unwrap(), spec);
        let typo = text.replacen("\"names\"", "\"nmaes\"", 1);
        assert!(serde_json::from_str::<CertificateSpec>(&typo).is_err());
    }
}
