//! Where a finished certificate goes, and in what form.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::SinkName;

/// A place that a certificate is delivered to, beside the store.
///
/// Changing outputs delivers the certificate that there is once more; nobody is asked for a new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::exhaustive_structs)] // Where and how is all there is to say.
pub struct Output {
    /// Where, by the name that the keeper knows the place under.
    pub sink: SinkName,
    /// How.
    pub format: OutputFormat,
}

/// In what form a certificate is delivered. Which of them a place takes it says itself
/// ([`Sink::takes`](crate::Sink::takes)), and a wish for another is refused at once; a [`FileSink`](crate::FileSink)
/// takes all, those with a password once it has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputFormat {
    /// Key and chain in one PEM text, as HAProxy reads it.
    CombinedPem,
    /// The private key (PKCS#8) and the leaf in DER.
    Der,
    /// A Java key store, and a trust store.
    Jks,
    /// A manifest of a `kubernetes.io/tls` secret.
    KubernetesSecret,
    /// The four PEM files that servers read.
    #[default]
    Pem,
    /// A PKCS#12 file (RFC 7292), and a trust store.
    Pkcs12,
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CombinedPem => "combined PEM",
            Self::Der => "DER",
            Self::Jks => "JKS",
            Self::KubernetesSecret => "Kubernetes secret",
            Self::Pem => "PEM",
            Self::Pkcs12 => "PKCS#12",
        })
    }
}

/// What a delivered certificate is labelled with, where the place has room for it: a Kubernetes secret's labels
/// and annotations, an object's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct SecretTemplate {
    /// Labels: short, to be selected by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations: for people and programs to read.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl SecretTemplate {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }

    /// With one more label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// With one more annotation.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }
}
