//! Issued certificates: RFC 8555 §7.4.2 and §7.6.

use std::{collections::BTreeSet, net::IpAddr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use perennial_core::{DomainName, Timestamp};
use serde::Deserialize;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{
    Verb,
    csr::Csr,
    hierarchy::{Leaf, Signed},
    identifier::Identifier,
    office::{Call, Office, add_header, typed},
    problem::Problem,
    verb::Route,
};

/// A certificate as the office keeps it.
pub(super) struct Certificate {
    pub(super) account: u64,
    pub(super) names: BTreeSet<Identifier>,
    profile: Option<String>,
    pub(super) signed: Signed,
    /// The reason code (RFC 5280 §5.3.1), once it is revoked.
    revoked: Option<u8>,
}

/// A certificate that was issued, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The URL of the account that it was issued to.
    pub account: String,
    /// The addresses that were ordered (RFC 8738).
    pub addresses: Vec<IpAddr>,
    /// The default chain in PEM: leaf first, without the root.
    pub chain_pem: String,
    /// The names that were ordered. With [`Flaw::OtherNames`](super::Flaw::OtherNames) the certificate says otherwise.
    pub names: Vec<DomainName>,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The profile that was asked for.
    pub profile: Option<String>,
    /// The reason code of its revocation (RFC 5280 §5.3.1), once it is revoked.
    pub revoked: Option<u8>,
    /// The serial number in hexadecimal.
    pub serial: String,
}

#[derive(Deserialize)]
struct Revocation {
    certificate: String,
    #[serde(default)]
    reason: u8,
}

impl Office {
    /// Signs and keeps a certificate; its number is the answer.
    pub(super) fn issue(
        &mut self,
        account: u64,
        profile: Option<String>,
        names: &BTreeSet<Identifier>,
        csr: &Csr,
        now: Timestamp,
    ) -> Result<u64, Problem> {
        let chosen = profile.as_ref().and_then(|profile| self.settings.profiles.get(profile));
        let validity = chosen.map_or(self.settings.validity, |profile| profile.validity);
        let leaf = Leaf { names, key: &csr.key, now, validity };
        let signed = self
            .hierarchy
            .issue(&leaf, &self.quirks)
            .map_err(|error| Problem::bad_csr(format!("this key cannot be certified: {error}")))?;
        let id = self.number();
        self.certificates
            .insert(id, Certificate { account, names: names.clone(), profile, signed, revoked: None });
        Ok(id)
    }

    pub(super) fn certificate(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        call.must_be_post_as_get()?;
        let account = call.account()?;
        let (id, part) = (call.route.id, call.route.part);
        let certificate = self.certificates.get(&id).ok_or_else(|| Problem::not_found("certificate"))?;
        if certificate.account != account {
            return Err(Problem::unauthorized("this is another account's"));
        }
        let chains = &certificate.signed.chains;
        let chain = chains.get(part).ok_or_else(|| Problem::not_found("alternate chain"))?;
        let mut response = typed(StatusCode::OK, "application/pem-certificate-chain", chain.clone());
        for other in (0..chains.len()).filter(|other| *other != part) {
            let url = self.url(Route::part(Verb::Certificate, id, other));
            add_header(&mut response, header::LINK, &format!("<{url}>;rel=\"alternate\""));
        }
        Ok(response)
    }

    /// RFC 8555 §7.6: by the account that it was issued to, or by the certificate's own key.
    pub(super) fn revoke(&mut self, call: &Call) -> Result<Response<Bytes>, Problem> {
        let wanted: Revocation = call.json()?;
        let der = BASE64_URL_SAFE_NO_PAD
            .decode(wanted.certificate)
            .map_err(|_| Problem::malformed("the certificate is not base64url without padding"))?;
        let certificate = self.certificates.values_mut().find(|certificate| certificate.signed.der == der);
        let certificate = certificate.ok_or_else(|| Problem::not_found("certificate"))?;
        let allowed = match call.account {
            Some(account) => account == certificate.account,
            None => X509Certificate::from_der(&der).is_ok_and(|(_, leaf)| call.key.is_in(leaf.public_key())),
        };
        if !allowed {
            return Err(Problem::unauthorized("only its account or its own key may revoke a certificate"));
        }
        if certificate.revoked.is_some() {
            let detail = "the certificate is revoked already";
            return Err(Problem::new("alreadyRevoked", StatusCode::BAD_REQUEST, detail));
        }
        if !REASONS.contains(&wanted.reason) {
            let detail = format!("{} is no reason that a subscriber can give", wanted.reason);
            return Err(Problem::new("badRevocationReason", StatusCode::BAD_REQUEST, detail));
        }
        certificate.revoked = Some(wanted.reason);
        Ok(Response::new(Bytes::new()))
    }

    /// All certificates, oldest first, as a test sees them.
    pub(super) fn issued(&self) -> Vec<Issued> {
        let issued = self.certificates.values().map(|certificate| Issued {
            account: self.url(Route::of(Verb::Account, certificate.account)),
            chain_pem: certificate.signed.chains.first().cloned().unwrap_or_default(),
            addresses: certificate.names.iter().filter_map(Identifier::ip).collect(),
            names: certificate.names.iter().filter_map(Identifier::dns).cloned().collect(),
            not_after: certificate.signed.not_after,
            not_before: certificate.signed.not_before,
            profile: certificate.profile.clone(),
            revoked: certificate.revoked,
            serial: certificate.signed.serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
        issued.collect()
    }
}

/// Unspecified, key compromise, affiliation changed, superseded, cessation of operation: what the browsers'
/// root programmes let subscribers say.
const REASONS: [u8; 5] = [0, 1, 3, 4, 5];
