//! dns-persist-01 by a challenge's handle (draft-ietf-acme-dns-persist).

use perennial_core::DomainName;

use super::Challenge;
use crate::{
    ChallengeKind, Error, Misbehaved, Misuse,
    challenge::dns_persist01::{self, Applicant, Draft, Offer, Record},
    url::shown,
};

impl Challenge {
    /// Where the TXT record has to be for a dns-persist-01 challenge.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind or a name that is no DNS name, [`Misuse::NoRoom`] for a
    /// name that is too long.
    pub fn dns_persist01_record_name(&self) -> Result<DomainName, Error> {
        self.require(&ChallengeKind::DnsPersist01, "dns-persist-01")?;
        let name = self.dns_name()?;
        dns_persist01::record_name(name).map_err(|_| Misuse::NoRoom { name: name.to_string() }.into())
    }

    /// The record that lets this account have certificates for the name, in the words of that revision: for
    /// the first of the CA's names, for the name alone, and without end. Widen or narrow it before it is
    /// published. Look whether it is there already: it stays from one order to the next.
    ///
    /// # Errors
    /// [`Misuse::ChallengeKind`] for another kind or a name that is no DNS name; [`Error::Misbehaved`] when
    /// the challenge does not speak that revision, contradicts the directory, or names another account than
    /// ours: such a record would give the name away. [`Misuse::NotOffered`] when the revision needs a hash
    /// and the directory has no prefix for it.
    pub async fn dns_persist01_record(&self, draft: Draft) -> Result<Record, Error> {
        self.require(&ChallengeKind::DnsPersist01, "dns-persist-01")?;
        let (name, offer) = (self.dns_name()?, Offer::read(self.state(), draft)?);
        let applicant = self.applicant(&offer).await?;
        let lacking = Misbehaved::Field { resource: "challenge", field: "issuer names", expected: "one" };
        let issuer = offer.issuers.into_iter().next().ok_or(lacking)?;
        Ok(Record::new(issuer, &applicant.uri(name)).map_err(Misuse::DnsPersistRecord)?)
    }

    async fn applicant(&self, offer: &Offer) -> Result<Applicant, Error> {
        let account = self.account();
        match offer.draft {
            Draft::V01 => match &offer.account_uri {
                Some(uri) if uri != account.url() => {
                    let (url, found) = (self.url().to_owned(), shown(uri));
                    Err(Misbehaved::AccountUri { url, found, account: account.url().to_owned() }.into())
                }
                _ => Ok(Applicant::v01(account.url())),
            },
            Draft::V02 => {
                let directory = account.client().directory().await?;
                offer.check(&directory.meta)?;
                let prefix = directory.meta.account_hash_prefix.clone();
                let prefix = prefix.ok_or(Misuse::NotOffered { what: "accountHashPrefix" })?;
                let thumbprint = account.key_thumbprint().ok_or(Misuse::NoAccount { verb: "accounturi" })?;
                Ok(Applicant::v02(account.url(), thumbprint.clone(), prefix))
            }
        }
    }
}
