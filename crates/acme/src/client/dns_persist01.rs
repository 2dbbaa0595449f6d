//! dns-persist-01 by a challenge's handle (draft-ietf-acme-dns-persist).

use perennial_core::DomainName;

use super::{Account, Challenge};
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
        self.check_offer(&offer).await?;
        let applicant = self.account().dns_persist01_applicant(draft).await?;
        let lacking = Misbehaved::Field { resource: "challenge", field: "issuer names", expected: "one" };
        let issuer = offer.issuers.into_iter().next().ok_or(lacking)?;
        Ok(Record::new(issuer, &applicant.uri(name)).map_err(Misuse::DnsPersistRecord)?)
    }

    async fn check_offer(&self, offer: &Offer) -> Result<(), Error> {
        let account = self.account();
        if let Some(uri) = offer.account_uri.as_ref().filter(|uri| *uri != account.url()) {
            let (url, found) = (self.url().to_owned(), shown(uri));
            return Err(Misbehaved::AccountUri { url, found, account: account.url().to_owned() }.into());
        }
        if offer.draft == Draft::V02 {
            offer.check(&account.client().directory().await?.meta)?;
        }
        Ok(())
    }
}

impl Account {
    /// This account as records of dns-persist-01 name it: to publish one before there is any order, or to
    /// [`find`](dns_persist01::find) one.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`] when the revision needs a hash and the directory has no prefix for it, or why the
    /// directory could not be had.
    pub async fn dns_persist01_applicant(&self, draft: Draft) -> Result<Applicant, Error> {
        match draft {
            Draft::V01 => Ok(Applicant::v01(self.url())),
            Draft::V02 => {
                let prefix = self.client().directory().await?.meta.account_hash_prefix.clone();
                let prefix = prefix.ok_or(Misuse::NotOffered { what: "accountHashPrefix" })?;
                let thumbprint = self.key_thumbprint().ok_or(Misuse::NoAccount { verb: "accounturi" })?;
                Ok(Applicant::v02(self.url(), thumbprint.clone(), prefix))
            }
        }
    }
}
