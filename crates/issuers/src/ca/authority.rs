//! A CA as its certificate says that it is, with the key that signs for it.

use std::sync::Arc;

use perennial_core::{KeyError, PrivateKey, SecretString, Timestamp};
use perennial_lifecycle::SigningRequest;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SubjectPublicKeyInfo};
use ring::digest;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::*;

use super::{
    AuthorityFault, Signer,
    constraints::Constraints,
    pen::{Paper, Pen, Recorder},
};
use crate::{
    Error,
    signing::{self, Span},
};

/// A CA: its certificate, those above it, and who signs for it. What can be wrong with it whatever the time is was
/// looked at when it was read.
pub(crate) struct Authority {
    der: CertificateDer<'static>,
    /// Its certificate and those above it as PEM, without a root: what is served behind a leaf.
    chain: String,
    anchor: Option<CertificateDer<'static>>,
    subject: String,
    span: Span,
    /// How many CAs may follow below it; `None` for as many as like.
    room: Option<u32>,
    constraints: Vec<Constraints>,
    signs_lists: bool,
    /// SHA-256 of its key.
    pub(super) key_fingerprint: [u8; 32],
    is_slow: bool,
    pen: Pen,
}

impl Authority {
    /// A CA whose key is here.
    pub(super) fn with_key(chain: &str, key: &SecretString) -> Result<Self, AuthorityFault> {
        let own = PrivateKey::from_pem(key)?;
        let is_slow = signing::is_slow(own.algorithm());
        let public_key = own.public_key_der();
        // It was read a moment ago.
        let pair = KeyPair::from_pem(own.to_pem().expose())
            .map_err(|error| KeyError::Unreadable { reason: error.to_string() })?;
        Self::read(chain, Some(&public_key), is_slow, |der| {
            rcgen::Issuer::from_ca_cert_der(der, pair).map(|issuer| Pen::Held(Box::new(issuer)))
        })
    }

    /// A CA whose key somebody else has.
    pub(super) fn with_signer(chain: &str, signer: Arc<dyn Signer>) -> Result<Self, AuthorityFault> {
        Self::read(chain, None, false, |_| Ok(Pen::Remote(signer)))
    }

    fn read(
        chain: &str,
        public_key: Option<&[u8]>,
        is_slow: bool,
        pen: impl FnOnce(&CertificateDer<'_>) -> Result<Pen, rcgen::Error>,
    ) -> Result<Self, AuthorityFault> {
        let ders = certificates(chain)?;
        let mut parsed = Vec::with_capacity(ders.len());
        for (index, der) in ders.iter().enumerate() {
            let (rest, certificate) =
                X509Certificate::from_der(der).map_err(|error| malformed(index, &error))?;
            if !rest.is_empty() {
                return Err(malformed(index, &"bytes follow it"));
            }
            parsed.push(certificate);
        }
        let (Some(own), Some(der)) = (parsed.first(), ders.first()) else {
            return Err(AuthorityFault::NoCertificate);
        };
        let subject = shown(own.subject());
        if public_key.is_some_and(|key| key != own.public_key().raw) {
            return Err(AuthorityFault::KeyMismatch { subject });
        }
        check_links(&parsed)?;
        let room = room(&parsed)?;
        let constraints = parsed.iter().enumerate().map(|(index, it)| constraints(index, it));
        let constraints = constraints.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        writable(own, der, &subject)?;
        let span = |certificate: &X509Certificate<'_>| Span {
            not_before: Timestamp::from_unix(certificate.validity().not_before.timestamp()),
            not_after: Timestamp::from_unix(certificate.validity().not_after.timestamp()),
        };
        let span = parsed.iter().map(span).reduce(|one, other| Span {
            not_before: one.not_before.max(other.not_before),
            not_after: one.not_after.min(other.not_after),
        });
        let span = span.ok_or(AuthorityFault::NoCertificate)?;
        let anchor = parsed.iter().position(is_root).and_then(|at| ders.get(at)).cloned();
        let served = parsed.iter().zip(&ders).filter(|(it, _)| !is_root(it));
        let mut key_fingerprint = [0; 32];
        key_fingerprint.copy_from_slice(digest::digest(&digest::SHA256, own.public_key().raw).as_ref());
        Ok(Self {
            chain: served.map(|(_, der)| signing::pem(der)).collect(),
            anchor,
            span,
            room,
            constraints,
            signs_lists: may(own, KeyUsage::crl_sign),
            key_fingerprint,
            is_slow,
            pen: pen(der).map_err(|error| malformed(0, &error))?,
            der: der.clone(),
            subject,
        })
    }

    /// Its certificate and those above it as PEM, without a root.
    pub(super) fn chain(&self) -> &str {
        &self.chain
    }

    /// The root above it, if its chain ends in one.
    pub(super) const fn anchor(&self) -> Option<&CertificateDer<'static>> {
        self.anchor.as_ref()
    }

    /// From when until when it and all above it are valid.
    pub(super) const fn span(&self) -> Span {
        self.span
    }

    /// Its subject, fit to be shown.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether it is valid.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), AuthorityFault> {
        let (subject, Span { not_before, not_after }) = (self.subject.clone(), self.span);
        if now < not_before {
            return Err(AuthorityFault::NotYetValid { subject, not_before, now });
        }
        if now >= not_after {
            return Err(AuthorityFault::Expired { subject, not_after, now });
        }
        Ok(())
    }

    /// Whether it may sign for such a request, and how many CAs may follow below what it signs.
    pub(super) fn admit(&self, request: &SigningRequest, most: Option<u8>) -> Result<Option<u8>, Error> {
        let refuse = |reason: String| Error::Constrained {
            certificate: request.certificate.clone(),
            authority: self.subject.clone(),
            reason,
        };
        self.constraints.iter().try_for_each(|it| it.check(request)).map_err(refuse)?;
        match self.room {
            _ if !request.is_ca => Ok(None),
            Some(0) => Err(refuse("its path length allows no CA below it (RFC 5280 §4.2.1.9)".to_owned())),
            Some(room) => {
                let left = u8::try_from(room - 1).unwrap_or(u8::MAX);
                Ok(Some(most.map_or(left, |most| most.min(left))))
            }
            None => Ok(most),
        }
    }

    /// Whether it may sign lists of what is revoked.
    pub(super) fn check_lists(&self) -> Result<(), AuthorityFault> {
        if self.signs_lists {
            return Ok(());
        }
        Err(AuthorityFault::MayNotSignLists { subject: self.subject.clone() })
    }

    /// Whether it has signed a certificate.
    pub(super) fn has_signed(&self, leaf: &[u8]) -> bool {
        let (Ok((_, own)), Ok((_, leaf))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(leaf))
        else {
            return false;
        };
        leaf.issuer().as_raw() == own.subject().as_raw()
            && leaf.verify_signature(Some(own.public_key())).is_ok()
    }

    /// Signs something, on a thread that may block where that takes its time.
    pub(super) async fn sign<P: Paper>(self: &Arc<Self>, paper: P) -> Result<P::Signed, Error> {
        match &self.pen {
            Pen::Held(issuer) if !self.is_slow => {
                paper.written(issuer).map_err(|error| Error::Unsigned { reason: error.to_string() })
            }
            Pen::Held(_) => {
                let own = self.clone();
                let written = tokio::task::spawn_blocking(move || match &own.pen {
                    Pen::Held(issuer) => paper.written(issuer).map_err(|error| error.to_string()),
                    Pen::Remote(_) => Err("its key is not here".to_owned()),
                });
                let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
                written.map_err(|reason| Error::Unsigned { reason })
            }
            Pen::Remote(signer) => super::pen::written_by(&**signer, &self.der, &paper).await,
        }
    }

    /// The key identifier that what it signs names (RFC 5280 §4.2.1.1), if its certificate has one.
    pub(super) fn key_identifier(&self) -> Option<Vec<u8>> {
        let (_, own) = X509Certificate::from_der(&self.der).ok()?;
        own.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    }
}

/// The certificates of a PEM text.
fn certificates(chain: &str) -> Result<Vec<CertificateDer<'static>>, AuthorityFault> {
    let mut ders = Vec::new();
    for (index, der) in CertificateDer::pem_slice_iter(chain.as_bytes()).enumerate() {
        if index >= LONGEST {
            return Err(AuthorityFault::TooLong);
        }
        ders.push(der.map_err(|error| malformed(index, &error))?);
    }
    Ok(ders)
}

/// Each is a CA that may sign certificates, and was signed by the next; a root by itself.
fn check_links(chain: &[X509Certificate<'_>]) -> Result<(), AuthorityFault> {
    for (index, certificate) in chain.iter().enumerate() {
        let subject = || shown(certificate.subject());
        if !certificate.is_ca() {
            return Err(AuthorityFault::IsNoCa { subject: subject() });
        }
        if !may(certificate, KeyUsage::key_cert_sign) {
            return Err(AuthorityFault::MayNotSign { subject: subject() });
        }
        let next = chain.get(index + 1).or_else(|| is_root(certificate).then_some(certificate));
        let Some(next) = next else { continue };
        let is_signed = certificate.issuer().as_raw() == next.subject().as_raw()
            && certificate.verify_signature(Some(next.public_key())).is_ok();
        if !is_signed {
            return Err(AuthorityFault::NotSigned { index });
        }
    }
    Ok(())
}

/// How many CAs may follow below the first: each that is above it counts those between.
fn room(chain: &[X509Certificate<'_>]) -> Result<Option<u32>, AuthorityFault> {
    let mut room: Option<u32> = None;
    for (below, certificate) in chain.iter().enumerate() {
        let constraints = certificate.basic_constraints().map_err(|error| malformed(below, &error))?;
        let Some(most) = constraints.and_then(|it| it.value.path_len_constraint) else { continue };
        let below = u32::try_from(below).unwrap_or(u32::MAX);
        let Some(left) = most.checked_sub(below) else {
            let subject = chain.first().map(|own| shown(own.subject())).unwrap_or_default();
            return Err(AuthorityFault::PathLength { subject });
        };
        room = Some(room.map_or(left, |room| room.min(left)));
    }
    Ok(room)
}

fn constraints(
    index: usize,
    certificate: &X509Certificate<'_>,
) -> Result<Option<Constraints>, AuthorityFault> {
    let extension = certificate.name_constraints().map_err(|error| malformed(index, &error))?;
    let read = extension.map(|extension| Constraints::read(extension.value)).transpose();
    read.map_err(|reason| malformed(index, &reason))
}

/// That what it signs will name it by the very bytes of its subject, as verifiers compare them.
fn writable(
    own: &X509Certificate<'_>,
    der: &CertificateDer<'_>,
    subject: &str,
) -> Result<(), AuthorityFault> {
    let unfit = || AuthorityFault::Subject { subject: subject.to_owned() };
    let mut parts = own.subject().iter().peekable();
    if parts.peek().is_none() || parts.any(|part| part.iter().count() != 1) {
        return Err(unfit());
    }
    let key = SubjectPublicKeyInfo::from_der(own.public_key().raw).map_err(|error| malformed(0, &error))?;
    let probe = rcgen::Issuer::from_ca_cert_der(der, Recorder::new(key.algorithm(), &key))
        .and_then(|issuer| CertificateParams::default().signed_by(&key, &issuer))
        .map_err(|_| unfit())?;
    let (_, probe) = X509Certificate::from_der(probe.der()).map_err(|_| unfit())?;
    if probe.issuer().as_raw() == own.subject().as_raw() { Ok(()) } else { Err(unfit()) }
}

/// Whether a certificate's key usage allows something; one that has none allows all.
fn may(certificate: &X509Certificate<'_>, what: fn(&KeyUsage) -> bool) -> bool {
    certificate.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| what(usage.value)))
}

fn is_root(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

fn malformed(index: usize, reason: &dyn ToString) -> AuthorityFault {
    AuthorityFault::Malformed { index, reason: printable(&reason.to_string()) }
}

pub(super) fn shown(name: &X509Name<'_>) -> String {
    printable(&name.to_string())
}

/// Whoever made the certificate wrote these texts, and they end up on terminals.
fn printable(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The longest of public CAs have four.
pub(super) const LONGEST: usize = 16;
