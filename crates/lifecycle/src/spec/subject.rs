//! Whom a certificate names beside its alternative names.

use serde::{Deserialize, Serialize};

/// The subject of a certificate (RFC 5280 §4.1.2.6): at most one value of each attribute.
///
/// Public CAs take none of it but, at most, a common name that is among the DNS names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Subject {
    /// `CN`, 64 characters at most. Clients have not looked at it since RFC 6125.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// `C`: two letters (ISO 3166).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// `L`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// `O`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// `OU`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organizational_unit: Option<String>,
    /// `postalCode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// `ST`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub province: Option<String>,
    /// `serialNumber`: of the subject, not of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// `street`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
}

impl Subject {
    /// A subject with a common name and nothing else.
    #[must_use]
    pub fn named(common_name: impl Into<String>) -> Self {
        Self { common_name: Some(common_name.into()), ..Self::default() }
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// Its attributes as object identifier (RFC 5280 appendix A, RFC 4519) and value, the largest entity first.
    pub fn attributes(&self) -> impl Iterator<Item = (&'static [u64], &str)> {
        self.named_attributes().map(|(_, oid, value)| (oid, value))
    }

    /// The same, each with the field of the spec before it.
    pub(crate) fn named_attributes(&self) -> impl Iterator<Item = (&'static str, &'static [u64], &str)> {
        self.fields()
            .into_iter()
            .filter_map(|(field, value)| Some((field.name, field.oid, value.as_deref()?)))
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        for (field, value) in self.fields() {
            let Some(value) = value else { continue };
            let characters = value.chars().count();
            if characters == 0 || characters > field.longest {
                let reason = format!("it has {characters} characters: use 1 to {}", field.longest);
                return Err((field.name, reason));
            }
            if let Some(control) = value.chars().find(|c| c.is_control()) {
                return Err((field.name, format!("it holds the control character {control:?}: remove it")));
            }
        }
        match &self.country {
            Some(country)
                if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
            {
                Err(("subject.country", format!("{country:?} is no country: use two letters")))
            }
            _ => Ok(()),
        }
    }

    const fn fields(&self) -> [(Field, &Option<String>); 9] {
        [
            (Field { name: "subject.country", oid: &[2, 5, 4, 6], longest: 2 }, &self.country),
            (Field { name: "subject.province", oid: &[2, 5, 4, 8], longest: 128 }, &self.province),
            (Field { name: "subject.locality", oid: &[2, 5, 4, 7], longest: 128 }, &self.locality),
            (Field { name: "subject.postal_code", oid: &[2, 5, 4, 17], longest: 40 }, &self.postal_code),
            (Field { name: "subject.street", oid: &[2, 5, 4, 9], longest: 128 }, &self.street),
            (Field { name: "subject.organization", oid: &[2, 5, 4, 10], longest: 64 }, &self.organization),
            (
                Field { name: "subject.organizational_unit", oid: &[2, 5, 4, 11], longest: 64 },
                &self.organizational_unit,
            ),
            (Field { name: "subject.common_name", oid: &[2, 5, 4, 3], longest: 64 }, &self.common_name),
            (Field { name: "subject.serial_number", oid: &[2, 5, 4, 5], longest: 64 }, &self.serial_number),
        ]
    }
}

struct Field {
    name: &'static str,
    oid: &'static [u64],
    /// The upper bounds of RFC 5280 appendix A.1; of X.520 for the street.
    longest: usize,
}
