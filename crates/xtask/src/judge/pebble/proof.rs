//! The ways to prove a name.

use perennial_acme::{
    Account, Authorization, Challenge, ChallengeKind, Identifier,
    challenge::{
        dns_persist01::{self, Applicant, Draft, Offer, Record},
        tls_alpn01,
    },
};
use perennial_testkit::dns::Data;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{lab::Site, text};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    Dns01,
    DnsAccount01,
    /// As Pebble speaks it: revision -00 or -01.
    DnsPersist01,
    Http01,
    TlsAlpn01,
}

impl Proof {
    /// The challenge of this kind, shown nowhere yet.
    pub(super) fn choose(self, authorization: &Authorization) -> Result<Challenge, String> {
        let kind = self.kind();
        authorization.challenge(&kind).ok_or_else(|| {
            let offered: Vec<_> = authorization.challenges().iter().map(|it| it.kind().as_str()).collect();
            format!("{kind} is not offered for {}, only {}", authorization.identifier(), offered.join(", "))
        })
    }

    /// Chooses a challenge and shows what the certificate authority will look for.
    pub(super) fn present(
        self,
        site: &Site<'_>,
        account: &Account,
        authorization: &Authorization,
    ) -> Result<Challenge, String> {
        let challenge = self.choose(authorization)?;
        match self {
            Self::Dns01 => self.publish(site, &challenge, text(challenge.dns01_value())?)?,
            Self::DnsAccount01 => self.publish(site, &challenge, text(challenge.dns_account01_value())?)?,
            Self::DnsPersist01 => {
                let record = persistent_record(account, authorization, &challenge)?;
                self.publish(site, &challenge, record.to_string())?;
            }
            Self::Http01 => {
                site.responder.show_http(text(challenge.http01_path())?, text(challenge.http01_body())?);
            }
            Self::TlsAlpn01 => {
                let made = text(challenge.tls_alpn01_certificate())?;
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.private_key.expose()));
                site.responder.show_tls(server_name(challenge.identifier())?, made.certificate, &key)?;
            }
        }
        Ok(challenge)
    }

    /// Puts a TXT record where this challenge has it.
    pub(super) fn publish(self, site: &Site<'_>, challenge: &Challenge, value: String) -> Result<(), String> {
        text(site.lab.zone().add(&self.record_name(challenge)?, Data::txt(value)))
    }

    fn record_name(self, challenge: &Challenge) -> Result<String, String> {
        let name = match self {
            Self::Dns01 => text(challenge.dns01_record_name()),
            Self::DnsAccount01 => text(challenge.dns_account01_record_name()),
            Self::DnsPersist01 => {
                let name = challenge.identifier().dns().ok_or("it is no DNS name")?;
                text(dns_persist01::record_name(name))
            }
            Self::Http01 | Self::TlsAlpn01 => Err(format!("{} has no record", self.kind())),
        };
        name.map(|name| name.to_string())
    }

    fn kind(self) -> ChallengeKind {
        match self {
            Self::Dns01 => ChallengeKind::Dns01,
            Self::DnsAccount01 => ChallengeKind::DnsAccount01,
            Self::DnsPersist01 => ChallengeKind::DnsPersist01,
            Self::Http01 => ChallengeKind::Http01,
            Self::TlsAlpn01 => ChallengeKind::TlsAlpn01,
        }
    }
}

/// For this account, at the certificate authority that offers the challenge.
pub(super) fn persistent_record(
    account: &Account,
    authorization: &Authorization,
    challenge: &Challenge,
) -> Result<Record, String> {
    let offer = text(Offer::read(challenge.state(), Draft::V01))?;
    let issuer = offer.issuers.first().ok_or("the challenge names no issuer")?;
    let name = challenge.identifier().dns().ok_or("it is no DNS name")?;
    // Revision -00 leaves it to the client how the server writes it.
    let applicant = Applicant::v01(offer.account_uri.as_deref().unwrap_or_else(|| account.url()));
    let record = text(Record::new(issuer.clone(), &applicant.uri(name)))?;
    Ok(if authorization.is_wildcard() { record.wildcard() } else { record })
}

/// What the certificate authority says in its handshake (RFC 8737 §3, RFC 8738 §6).
fn server_name(identifier: &Identifier) -> Result<String, String> {
    let name = tls_alpn01::server_name(identifier);
    name.map(|name| name.to_string()).ok_or_else(|| format!("{identifier} has no server name"))
}
