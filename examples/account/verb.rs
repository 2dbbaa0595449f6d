//! The verbs.

use std::{path::Path, sync::Arc};

use perennial::{
    acme::{Account, AccountCredentials, AccountUpdate, Client, Error, Misuse, NewAccount, ProblemType},
    core::{HttpError, ReqwestClient},
};

use crate::{
    args::{Args, NewKey, Register, Update, Verb},
    failure::Failure,
    kept::Kept,
    revocation,
    said::Said,
};

pub(crate) async fn run(args: Args) -> Result<Said, Failure> {
    let kept = Kept::at(&args.account);
    match &args.verb {
        Verb::Register(register) => self::register(&args, register, &kept).await,
        Verb::Revoke(revoke) if revoke.key.is_some() => {
            let directory = match &args.directory {
                Some(directory) => directory.clone(),
                None => kept.require()?.directory_url().to_owned(),
            };
            revocation::by_certificate_key(&client(&args, &directory)?, revoke).await
        }
        verb => {
            let opened = Opened::new(&args, kept).await?;
            match verb {
                Verb::Update(update) => opened.update(update).await,
                Verb::RollKey(key) => opened.roll_key(key).await,
                Verb::Deactivate => opened.deactivate().await,
                Verb::Revoke(revoke) => revocation::by_account(&opened.account, revoke).await,
                Verb::Orders => opened.orders().await,
                Verb::Show | Verb::Register(_) => opened.show().await,
            }
        }
    }
}

/// Key first: it is in a file before the CA hears of it.
async fn register(args: &Args, register: &Register, kept: &Kept) -> Result<Said, Failure> {
    if let Some(credentials) = kept.read()? {
        let (path, url) = (kept.path().display(), credentials.account_url());
        return Err(Failure::usage(format!(
            "{path} holds the account {url}: name another file by --account"
        )));
    }
    let directory = args.directory.as_deref();
    let directory = directory.ok_or_else(|| Failure::usage("register needs --directory".to_owned()))?;
    let client = client(args, directory)?;
    let request = register.email.iter().fold(NewAccount::new(), |it, email| it.contact(mailto(email)));
    let request = if register.agree_tos { request.agree_to_terms() } else { request };
    let request = match register.external_account()? {
        Some(customer) => request.external_account(customer),
        None => request,
    };
    let key = match kept.waiting_key()? {
        Some(key) if register.key.key.is_none() => key,
        _ => register.key.make()?,
    };
    kept.write_waiting_key(&key)?;
    let account = client.register(request, key.clone()).await.map_err(with_remedy)?;
    kept.write(&account.credentials(key.clone())?)?;
    kept.remove_waiting_key();
    Ok(Said::of(&account, directory, &*key))
}

/// The account of the file, its key settled.
struct Opened {
    kept: Kept,
    account: Account,
    credentials: AccountCredentials,
    /// Whether a change of the key was found unfinished, and turned out to have been made.
    settled: bool,
}

impl Opened {
    async fn new(args: &Args, kept: Kept) -> Result<Self, Failure> {
        let found = kept.require()?;
        let directory = args.directory.as_deref().unwrap_or_else(|| found.directory_url());
        let (account, credentials) = client(args, directory)?.settle_key_change(&found).await?;
        let settled = found.pending_key().is_some() && credentials.pending_key().is_none();
        if settled {
            kept.write(&credentials)?;
            eprintln!("account: the key was changed by an earlier run that did not come to its end");
        }
        Ok(Self { kept, account, credentials, settled })
    }

    fn said(&self) -> Said {
        Said::of(&self.account, self.credentials.directory_url(), &**self.credentials.key())
    }

    async fn show(self) -> Result<Said, Failure> {
        self.account.refresh().await?;
        Ok(self.said())
    }

    async fn update(self, update: &Update) -> Result<Said, Failure> {
        let change = update.email.iter().fold(AccountUpdate::new(), |it, email| it.contact(mailto(email)));
        let change = if update.no_email { change.no_contacts() } else { change };
        let change = if update.agree_tos { change.agree_to_terms() } else { change };
        self.account.update(&change).await.map_err(with_remedy)?;
        Ok(self.said())
    }

    /// The new key is in the file as pending before the CA hears of it. Whatever happens then, the next run
    /// asks the CA which of the two keys it knows the account by.
    async fn roll_key(mut self, key: &NewKey) -> Result<Said, Failure> {
        if self.settled {
            return Ok(self.said());
        }
        if self.credentials.pending_key().is_none() {
            self.credentials = self.credentials.with_pending_key(key.make()?)?;
            self.kept.write(&self.credentials)?;
        }
        match self.account.change_key(&self.credentials).await {
            Ok(credentials) => self.credentials = credentials,
            Err(error) => {
                if is_for_nothing(&error) {
                    self.kept.write(&self.credentials.without_pending_key())?;
                }
                return Err(error.into());
            }
        }
        self.kept.write(&self.credentials)?;
        Ok(self.said())
    }

    async fn deactivate(self) -> Result<Said, Failure> {
        self.account.deactivate().await?;
        Ok(self.said())
    }

    async fn orders(self) -> Result<Said, Failure> {
        let orders = self.account.orders().await?;
        let orders: Vec<String> = orders.iter().map(ToString::to_string).collect();
        Ok(Said::default().with("account", self.account.url()).with("orders", orders))
    }
}

/// Whether it is certain that the CA does not know the account by the new key, and never will.
fn is_for_nothing(error: &Error) -> bool {
    let refused = error.problem().map(|problem| &problem.kind);
    matches!(error, Error::Misuse(Misuse::KeyTaken { .. } | Misuse::NotOffered { .. }))
        || matches!(refused, Some(ProblemType::BadPublicKey | ProblemType::BadSignatureAlgorithm))
}

/// Which flag helps, where one does.
fn with_remedy(error: Error) -> Failure {
    let wants_terms = error.problem().is_some_and(|problem| problem.kind == ProblemType::UserActionRequired);
    match error {
        Error::Misuse(Misuse::ExternalAccountRequired) => {
            Failure::usage("this CA binds accounts to customers: give --eab-kid and --eab-key".to_owned())
        }
        error if wants_terms => Failure::from(error).with("read them, then agree by --agree-tos"),
        error => error.into(),
    }
}

fn client(args: &Args, directory: &str) -> Result<Client, Failure> {
    let http = Arc::new(http(args.ca_root.as_deref())?);
    let client = Client::builder(directory)
        .http(http)
        .user_agent(concat!("perennial-example-account/", env!("CARGO_PKG_VERSION")));
    client.build().map_err(|error| match error {
        Error::Misuse(error) => Failure::usage(error.to_string()),
        error => error.into(),
    })
}

fn http(ca_root: Option<&Path>) -> Result<ReqwestClient, Failure> {
    let mut client = ReqwestClient::builder();
    if let Some(path) = ca_root {
        let pem = std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read --ca-root {}: {error}", path.display())))?;
        client = client.root_certificates_pem(pem);
    }
    client.build().map_err(|error| match (error, ca_root) {
        (HttpError::Tls { reason, .. }, Some(path)) => {
            Failure::usage(format!("--ca-root {}: {reason}", path.display()))
        }
        (error, _) => Failure::local(error.to_string()),
    })
}

fn mailto(email: &str) -> String {
    if email.starts_with("mailto:") { email.to_owned() } else { format!("mailto:{email}") }
}
