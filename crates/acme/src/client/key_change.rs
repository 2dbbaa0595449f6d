//! A new key for an account, by its handle (RFC 8555 §7.3.5), and what a crash in the midst of it leaves.

use std::sync::Arc;

use super::{Account, Client};
use crate::{
    AccountCredentials, AccountKey, Error, Misbehaved, Misuse, ProblemType, Session, Signer, Url,
    call::KeyChange, error::Refusal,
};

impl Account {
    /// What to keep of the account to take it up again by [`Client::restore`]. The key is asked for because
    /// the account may sign with one that cannot be written down.
    ///
    /// # Errors
    /// [`Misuse::OtherKey`] when the account signs with another key.
    pub fn credentials(&self, key: Arc<AccountKey>) -> Result<AccountCredentials, Misuse> {
        if self.session().jwk() != Some(key.jwk()) {
            return Err(Misuse::OtherKey { account: self.url().to_owned() });
        }
        let directory = self.client().server.directory_url();
        Ok(AccountCredentials::new(directory.as_str(), self.url(), key))
    }

    /// Gives the account the pending key of its credentials. This handle and all its clones sign with the new
    /// key from then on; the credentials that come back, with the new key alone, are to be kept in place of
    /// the others.
    ///
    /// **The credentials with the pending key have to be kept first.** Then no crash and no lost answer loses
    /// the account: [`Client::settle_key_change`] finds out afterwards which key the server knows it by.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use perennial_acme::{Account, AccountCredentials, AccountKey, Error, Misuse};
    /// # use perennial_core::SecretString;
    /// # fn keep(_: SecretString) {}
    /// # async fn example(account: Account, credentials: AccountCredentials) -> Result<(), Error> {
    /// let new_key = Arc::new(AccountKey::generate().map_err(Misuse::from)?);
    /// let pending = credentials.with_pending_key(new_key)?;
    /// keep(pending.to_json());
    /// let changed = account.change_key(&pending).await?;
    /// keep(changed.to_json());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Misuse::NoPendingKey`], [`Misuse::OtherAccount`] or [`Misuse::OtherKey`] when the credentials do not
    /// fit; otherwise as [`change_signer`](Self::change_signer).
    pub async fn change_key(&self, credentials: &AccountCredentials) -> Result<AccountCredentials, Error> {
        let new_key = credentials.pending_key();
        let new_key = new_key.ok_or_else(|| Misuse::NoPendingKey { account: self.url().to_owned() })?;
        self.client().check_directory(credentials)?;
        if credentials.account_url() != self.url() {
            let (credentials, account) = (credentials.account_url().to_owned(), self.url().to_owned());
            return Err(Misuse::OtherAccount { credentials, account }.into());
        }
        let session = self.session();
        let known = [credentials.key(), new_key].map(|key| Some(key.jwk()));
        if !known.contains(&session.jwk()) {
            return Err(Misuse::OtherKey { account: self.url().to_owned() }.into());
        }
        self.change_signer(new_key.clone()).await?;
        Ok(credentials.clone().settled())
    }

    /// Gives the account a key that may live anywhere, such as in an HSM. This handle and all its clones sign
    /// with it from then on. Nothing is sent when they do so already. **The new key must not be lost**, even
    /// when this fails: after a lost answer the server may know the account by either.
    ///
    /// Whatever the answer is, the server is then asked which account the new key has, unless it refused the
    /// key for certain: there are servers that answer 200 and change nothing, and answers get lost. So an
    /// error means that the change was not made by then, or that this could not be found out. Requests of
    /// other tasks that are under way meanwhile may be refused, and can be repeated.
    ///
    /// # Errors
    /// [`Misuse::NotOffered`] when the CA does not change keys; [`Misuse::KeyTaken`] when the new key has an
    /// account already; [`Error::Server`] when the CA does not want the key (`badPublicKey`,
    /// `badSignatureAlgorithm`); [`Misbehaved::KeyNotChanged`] when it says that the key was changed and does
    /// not know it; [`Error::Network`].
    pub async fn change_signer(&self, new_key: Arc<dyn Signer>) -> Result<(), Error> {
        let (client, session) = (self.client(), self.session());
        if session.jwk() == Some(new_key.jwk()) {
            return Ok(());
        }
        let follower = Session::with_key(client.server.clone(), new_key.clone())?;
        let change = KeyChange::new(&session, &*client.directory().await?, &*new_key)?;
        let signature = new_key.sign(change.message()).await?;
        let answer = client.run(&session, change.seal(&signature)?).await.map_err(explain);
        self.settle(answer, new_key).await?;
        self.follow(follower);
        Ok(())
    }

    /// Whether the key was changed, whatever we hear: the server's accounts know best.
    async fn settle(&self, answer: Result<(), Error>, new_key: Arc<dyn Signer>) -> Result<(), Error> {
        if answer.as_ref().is_err_and(|error| !may_have_changed(error)) {
            return answer;
        }
        match (self.client().look_for_account(new_key).await, answer) {
            (Ok(Some(found)), _) => same_account(&found, self.url()),
            (Ok(None) | Err(_), Err(error)) => Err(error),
            (Ok(None), Ok(())) => Err(Misbehaved::KeyNotChanged { account: self.url().to_owned() }.into()),
            (Err(error), Ok(())) => Err(error),
        }
    }
}

impl Client {
    /// Takes up the account of credentials that were kept. No request is sent.
    ///
    /// # Errors
    /// [`Misuse::OtherDirectory`] when they are for another CA; [`Misuse::KeyChangePending`] when a change of
    /// the key was begun and has to be settled by [`settle_key_change`](Self::settle_key_change).
    pub fn restore(&self, credentials: &AccountCredentials) -> Result<Account, Error> {
        self.check_directory(credentials)?;
        if credentials.pending_key().is_some() {
            return Err(Misuse::KeyChangePending { account: credentials.account_url().to_owned() }.into());
        }
        self.account(credentials.account_url(), credentials.key().clone())
    }

    /// Takes up the account of credentials that were kept, and settles a change of its key that was begun.
    ///
    /// The server is asked which of the two keys has the account, by the new one first (RFC 8555 §7.3.1).
    /// Without a pending key no request is sent.
    ///
    /// Keep the credentials that come back. If they still have the pending key, the change was not made:
    /// [`Account::change_key`] makes it. A server that takes no such key at all has no account by it, and so
    /// the old one is found.
    ///
    /// # Errors
    /// [`Misuse::OtherDirectory`] when they are for another CA; [`Misuse::KeyTaken`] when the pending key has
    /// another account; [`Misuse::UnknownKey`] when neither key has one; [`Error::Server`],
    /// [`Error::Network`].
    pub async fn settle_key_change(
        &self,
        credentials: &AccountCredentials,
    ) -> Result<(Account, AccountCredentials), Error> {
        let Some(new_key) = credentials.pending_key() else {
            return Ok((self.restore(credentials)?, credentials.clone()));
        };
        self.check_directory(credentials)?;
        let found = match self.look_for_account(new_key.clone()).await {
            // A kind of key that the server takes from nobody is no account's.
            Err(error) if is_refused_for_its_kind(&error) => None,
            found => found?,
        };
        if let Some(account) = found {
            same_account(&account, credentials.account_url())?;
            return Ok((account, credentials.clone().settled()));
        }
        let account = self.find_account(credentials.key().clone()).await?;
        if account.url() != credentials.account_url() {
            let (credentials, account) = (credentials.account_url().to_owned(), account.url().to_owned());
            return Err(Misuse::OtherAccount { credentials, account }.into());
        }
        Ok((account, credentials.clone()))
    }

    fn check_directory(&self, credentials: &AccountCredentials) -> Result<(), Misuse> {
        let own = self.server.directory_url();
        if Url::parse(credentials.directory_url()).as_ref() == Ok(own) {
            return Ok(());
        }
        let (credentials, client) = (credentials.directory_url().to_owned(), own.to_string());
        Err(Misuse::OtherDirectory { credentials, client })
    }
}

fn same_account(found: &Account, wanted: &str) -> Result<(), Error> {
    if found.url() == wanted {
        return Ok(());
    }
    Err(Misuse::KeyTaken { account: found.url().to_owned() }.into())
}

/// The refusals that have a meaning of their own here.
fn explain(error: Error) -> Error {
    match &error {
        // RFC 8555 §7.3.5: the new key has an account, which `Location` names.
        Error::Server(refusal) if status(refusal) == 409 => {
            let account = refusal.problem.location.clone();
            Misuse::KeyTaken { account: account.unwrap_or_else(|| "(unnamed)".to_owned()) }.into()
        }
        // There are servers that name a URL for it and have nothing behind it.
        Error::Server(refusal) if status(refusal) == 501 => Misuse::NotOffered { what: refusal.verb }.into(),
        _ => error,
    }
}

/// Whether the server may have made the change. A refusal of the signature is among the signs: an earlier
/// request that was thought lost can have had its effect.
fn may_have_changed(error: &Error) -> bool {
    match error {
        Error::Misbehaved(_) | Error::Network(_) => true,
        Error::Server(refusal) => {
            status(refusal) >= 500
                || matches!(
                    refusal.problem.kind,
                    ProblemType::AccountDoesNotExist | ProblemType::Malformed | ProblemType::Unauthorized
                )
        }
        _ => false,
    }
}

/// Whether the server wants no such key at all, whoever has it.
fn is_refused_for_its_kind(error: &Error) -> bool {
    error.is(&ProblemType::BadPublicKey) || error.is(&ProblemType::BadSignatureAlgorithm)
}

fn status(refusal: &Refusal) -> u16 {
    refusal.problem.status.unwrap_or_default()
}
