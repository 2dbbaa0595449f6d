//! When to renew, and what an order replaces: RFC 9773.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode, header::RETRY_AFTER};
use perennial_core::Timestamp;
use serde_json::json;
use x509_parser::{certificate::X509Certificate, extensions::ParsedExtension, prelude::FromDer};

use super::{
    certificate::Certificate,
    identifier::Identifier,
    office::{Office, add_header, json as json_response},
    problem::Problem,
};

impl Office {
    /// RFC 9773 §4.1 and §4.2: for anybody who knows the certificate.
    pub(super) fn renewal_info(&self, path: &str, now: Timestamp) -> Result<Response<Bytes>, Problem> {
        let wanted = path.rsplit('/').next().unwrap_or_default();
        let certificate = self.identified(wanted)?;
        let (start, end) = self.settings.renewal_window.unwrap_or_else(|| suggestion(certificate));
        let json = json!({"suggestedWindow": {"start": start.to_string(), "end": end.to_string()}});
        let mut response = json_response(StatusCode::OK, &json);
        match self.quirks.renewal_retry_after() {
            Some(retry_after) => retry_after.write(response.headers_mut(), now),
            None => add_header(&mut response, RETRY_AFTER, "21600"), // six hours, as Let's Encrypt has it
        }
        Ok(response)
    }

    /// RFC 9773 §5: only its holder replaces a certificate, only by one for some of its names, and only once.
    pub(super) fn check_replaced(
        &self,
        identifier: &str,
        account: u64,
        names: &BTreeSet<Identifier>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let certificate = self.identified(identifier)?;
        if certificate.account != account {
            return Err(Problem::unauthorized("the certificate to replace is another account's"));
        }
        if certificate.names.is_disjoint(names) {
            return Err(Problem::malformed("the certificate to replace has none of these names"));
        }
        if self.is_replaced(identifier, now) {
            let detail = "the certificate has been replaced by another order already";
            return Err(Problem::new("alreadyReplaced", StatusCode::CONFLICT, detail));
        }
        Ok(())
    }

    fn identified(&self, identifier: &str) -> Result<&Certificate, Problem> {
        let certificates = self.certificates.values();
        let mut found =
            certificates.filter(|found| self::identifier(&found.signed.der).as_deref() == Some(identifier));
        found.next().filter(|_| self.settings.renewal_info).ok_or_else(|| Problem::not_found("certificate"))
    }
}

/// RFC 9773 §4.1: the key identifier of the issuer and the serial number, as the certificate has them.
fn identifier(der: &[u8]) -> Option<String> {
    let (_, leaf) = X509Certificate::from_der(der).ok()?;
    let issuer = leaf.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(issuer) => issuer.key_identifier.as_ref(),
        _ => None,
    })?;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{}.{}", encode(issuer.0), encode(leaf.raw_serial())))
}

/// A day, or a tenth of a short life, from the beginning of the last third.
fn suggestion(certificate: &Certificate) -> (Timestamp, Timestamp) {
    let life = certificate.signed.not_before.until(certificate.signed.not_after);
    let start = certificate.signed.not_after - life / 3;
    (start, start + (life / 10).min(Duration::from_secs(86_400)))
}
