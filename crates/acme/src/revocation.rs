//! Revocation (RFC 8555 §7.6, RFC 5280 §5.3.1): a certificate that must not be trusted any longer.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use perennial_core::Retry;
use serde_json::{Value, json};

use crate::{CertificateChain, text::printable};

/// A request to revoke a certificate.
///
/// ```
/// use perennial_acme::{Revocation, RevocationReason};
///
/// let revocation = Revocation::new([0x30, 0x03]).reason(RevocationReason::KeyCompromise);
/// assert_eq!(revocation.to_json(), r#"{"certificate":"MAM","reason":1}"#);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct Revocation {
    certificate: Vec<u8>,
    reason: Option<RevocationReason>,
}

impl Revocation {
    /// Of the certificate in DER.
    pub fn new(certificate_der: impl Into<Vec<u8>>) -> Self {
        Self { certificate: certificate_der.into(), reason: None }
    }

    /// Of a chain's leaf.
    pub fn of(chain: &CertificateChain) -> Self {
        Self::new(chain.leaf().as_ref())
    }

    /// Why. Default: nothing is said, which public CAs take for [`Unspecified`](RevocationReason::Unspecified).
    pub const fn reason(mut self, reason: RevocationReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut payload = serde_json::Map::new();
        payload.insert("certificate".to_owned(), json!(URL_SAFE_NO_PAD.encode(&self.certificate)));
        if let Some(reason) = self.reason {
            payload.insert("reason".to_owned(), json!(reason.code()));
        }
        Value::Object(payload).to_string()
    }
}

/// What became of a revocation. Either way the certificate is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // By this request or by one before: there is no third.
pub enum Revoked {
    /// It had been revoked before (`alreadyRevoked`): by somebody else, or by a request whose answer was lost.
    Already,
    /// It is revoked since this request.
    Now,
}

/// Why a certificate is revoked, in the order of the codes of RFC 5280 §5.3.1. There is no code 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// The private key is known to somebody else. CAs then refuse the key for ever; a request that is signed
    /// with the certificate's own key proves it.
    KeyCompromise,
    /// The CA's key is known to somebody else. Not for subscribers.
    CaCompromise,
    /// The subject's name or other information has changed.
    AffiliationChanged,
    /// A new certificate has taken its place.
    Superseded,
    /// The names are not in use any more, or belong to somebody else now.
    CessationOfOperation,
    /// It is suspended. Not for subscribers, and forbidden to public CAs.
    CertificateHold,
    /// It was suspended and is so no longer. For delta CRLs, not for subscribers.
    RemoveFromCrl,
    /// The subscriber broke the CA's rules. For the CA to say, not for subscribers.
    PrivilegeWithdrawn,
    /// The key of an attribute authority is known to somebody else. Not for subscribers.
    AaCompromise,
}

impl RevocationReason {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::CertificateHold,
        Self::RemoveFromCrl,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// The code of RFC 5280 §5.3.1.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::RemoveFromCrl => 8,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// The reason with that code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The name in RFC 5280, such as `keyCompromise`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::CertificateHold => "certificateHold",
            Self::RemoveFromCrl => "removeFromCRL",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    /// Whether the root programmes of browsers let a subscriber give it. A public CA refuses the others with
    /// `badRevocationReason`, and some refuse [`AffiliationChanged`](Self::AffiliationChanged) too; a private
    /// one may take all.
    #[must_use]
    pub const fn is_for_subscribers(self) -> bool {
        matches!(
            self,
            Self::Unspecified
                | Self::KeyCompromise
                | Self::AffiliationChanged
                | Self::Superseded
                | Self::CessationOfOperation
        )
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name, in any case, or the code.
impl FromStr for RevocationReason {
    type Err = RevocationReasonError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let code = text.parse().ok().and_then(Self::from_code);
        let named = || Self::ALL.into_iter().find(|reason| reason.as_str().eq_ignore_ascii_case(text));
        code.or_else(named).ok_or_else(|| RevocationReasonError { text: printable(text, 40) })
    }
}

/// A text that is no reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no reason to revoke a certificate: use unspecified, keyCompromise, affiliationChanged, superseded \
     or cessationOfOperation"
)]
#[non_exhaustive]
pub struct RevocationReasonError {
    /// The text.
    pub text: String,
}

impl RevocationReasonError {
    /// The same text is no reason for ever.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc5280_5_3_1_codes_and_names_come_back_and_there_is_no_seven() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::from_code(reason.code()), Some(reason));
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert_eq!(reason.code().to_string().parse(), Ok(reason));
        }
        assert_eq!(RevocationReason::ALL.map(RevocationReason::code), [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]);
        for none in ["7", "11", "", "because"] {
            let error = none.parse::<RevocationReason>().unwrap_err();
            assert!(error.to_string().contains("keyCompromise"), "{error}");
        }
        assert_eq!("KEYCOMPROMISE".parse(), Ok(RevocationReason::KeyCompromise));
    }

    #[test]
    fn the_reasons_of_subscribers_are_five() {
        let allowed = RevocationReason::ALL.into_iter().filter(|reason| reason.is_for_subscribers());
        assert_eq!(allowed.map(RevocationReason::code).collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
    }

    #[test]
    fn a_reason_that_is_not_given_is_not_sent() {
        assert_eq!(Revocation::new([0xff]).to_json(), r#"{"certificate":"_w"}"#);
    }
}
