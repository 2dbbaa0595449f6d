//! What Pebble's management interface knows and can be told.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::Pebble;
use crate::real::{Error, identity::unanswered};

/// What the certificate authority holds of a certificate that it issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateStatus {
    /// It was revoked.
    Revoked {
        /// The reason that the revocation gave (RFC 5280 §5.3.1), if it gave one.
        reason: Option<u8>,
    },
    /// It is good.
    Valid,
}

/// As Pebble spells it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatusBySerial {
    status: String,
    #[serde(default)]
    reason: Option<u8>,
}

impl Pebble {
    /// The root certificate, in PEM, under which it issues: another one every time that it starts.
    ///
    /// # Errors
    /// [`Error::Answer`] when the management interface does not say.
    pub async fn issuer_root_pem(&self) -> Result<String, Error> {
        self.root_pem(0).await
    }

    /// A root certificate in PEM: 0 is that of the default chain, 1 and up are those of the
    /// [alternate](super::PebbleBuilder::alternate_roots) ones.
    ///
    /// # Errors
    /// [`Error::Answer`] when there is no such root.
    pub async fn root_pem(&self, number: usize) -> Result<String, Error> {
        self.pem(&format!("/roots/{number}")).await
    }

    /// The issuing certificate in PEM, as the root of that number certifies it.
    ///
    /// # Errors
    /// [`Error::Answer`] when there is no such chain.
    pub async fn intermediate_pem(&self, number: usize) -> Result<String, Error> {
        self.pem(&format!("/intermediates/{number}")).await
    }

    /// What became of a certificate, by its serial number in hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Answer`] when it has issued no such certificate.
    pub async fn certificate_status(&self, serial: &str) -> Result<CertificateStatus, Error> {
        let port = self.ports.management.number();
        let path = format!("/cert-status-by-serial/{serial}");
        let answer = self.identity.get(port, &path).await?;
        let status = serde_json::from_slice::<StatusBySerial>(&answer).map_err(|error| error.to_string());
        let status = status.and_then(|answer| match answer.status.as_str() {
            "Revoked" => Ok(CertificateStatus::Revoked { reason: answer.reason }),
            "Valid" => Ok(CertificateStatus::Valid),
            other => Err(format!("the status is {other:?}")),
        });
        status.map_err(|reason| unanswered(port, &path, reason))
    }

    /// What it answers from now on to those who ask for the renewal information (RFC 9773) of a certificate:
    /// any text, so that clients can be tried with a malformed one.
    ///
    /// # Errors
    /// [`Error::Answer`] when it has issued no such certificate, or speaks the
    /// [older dialect](super::PebbleBuilder::older_dialect), which has no renewal information.
    pub async fn set_renewal_info(&self, certificate_pem: &str, answer: &str) -> Result<(), Error> {
        let body = json!({ "Certificate": certificate_pem, "ARIResponse": answer }).to_string();
        let port = self.ports.management.number();
        self.identity.post(port, "/set-renewal-info/", Bytes::from(body)).await.map(drop)
    }

    async fn pem(&self, path: &str) -> Result<String, Error> {
        let pem = self.identity.get(self.ports.management.number(), path).await?;
        Ok(String::from_utf8_lossy(&pem).into_owned())
    }
}
