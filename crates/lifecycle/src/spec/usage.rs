//! What a key may be used for.

use serde::{Deserialize, Serialize};

/// What the key of a certificate may be used for: key usages (RFC 5280 §4.2.1.3) and extended ones (§4.2.1.12),
/// by the names that cert-manager gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Usage {
    /// `anyExtendedKeyUsage`.
    #[serde(rename = "any")]
    Any,
    /// `keyCertSign`.
    #[serde(rename = "cert sign")]
    CertSign,
    /// `id-kp-clientAuth`.
    #[serde(rename = "client auth")]
    ClientAuth,
    /// `id-kp-codeSigning`.
    #[serde(rename = "code signing")]
    CodeSigning,
    /// `nonRepudiation`.
    #[serde(rename = "content commitment")]
    ContentCommitment,
    /// `cRLSign`.
    #[serde(rename = "crl sign")]
    CrlSign,
    /// `dataEncipherment`.
    #[serde(rename = "data encipherment")]
    DataEncipherment,
    /// `decipherOnly`.
    #[serde(rename = "decipher only")]
    DecipherOnly,
    /// `digitalSignature`.
    #[serde(rename = "digital signature")]
    DigitalSignature,
    /// `id-kp-emailProtection`.
    #[serde(rename = "email protection")]
    EmailProtection,
    /// `encipherOnly`.
    #[serde(rename = "encipher only")]
    EncipherOnly,
    /// `keyAgreement`.
    #[serde(rename = "key agreement")]
    KeyAgreement,
    /// `keyEncipherment`.
    #[serde(rename = "key encipherment")]
    KeyEncipherment,
    /// `id-kp-OCSPSigning`.
    #[serde(rename = "ocsp signing")]
    OcspSigning,
    /// `id-kp-serverAuth`.
    #[serde(rename = "server auth")]
    ServerAuth,
    /// `id-kp-timeStamping`.
    #[serde(rename = "timestamping")]
    Timestamping,
}
