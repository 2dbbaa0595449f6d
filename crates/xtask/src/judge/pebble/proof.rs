//! The ways to prove a name.

use perennial_acme::{Authorization, Challenge, ChallengeKind};
use perennial_testkit::dns::Data;

use super::{lab::Site, text};

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    Dns01,
    Http01,
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
    pub(super) fn present(self, site: &Site<'_>, authorization: &Authorization) -> Result<Challenge, String> {
        let challenge = self.choose(authorization)?;
        match self {
            Self::Dns01 => {
                let (name, value) = (text(challenge.dns01_record_name())?, text(challenge.dns01_value())?);
                text(site.lab.zone().add(name.as_str(), Data::txt(value)))?;
            }
            Self::Http01 => {
                let proof = text(challenge.key_authorization())?;
                let path =
                    format!("/.well-known/acme-challenge/{}", text(challenge.state().token())?.as_str());
                site.responder.show_http(path, proof.as_str());
            }
        }
        Ok(challenge)
    }

    /// Where the TXT record has to be.
    pub(super) fn record_name(self, challenge: &Challenge) -> Result<String, String> {
        match self {
            Self::Dns01 => text(challenge.dns01_record_name()).map(|name| name.to_string()),
            Self::Http01 => Err(format!("{} has no record", self.kind())),
        }
    }

    fn kind(self) -> ChallengeKind {
        match self {
            Self::Dns01 => ChallengeKind::Dns01,
            Self::Http01 => ChallengeKind::Http01,
        }
    }
}
