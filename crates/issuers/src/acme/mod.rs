//! The ACME issuer: an account, an order, proofs, a certificate (RFC 8555).

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_acme::{CaaCheck, Client, ExternalAccount, NewAccount};
use perennial_core::{Clock, HttpClient, ReqwestClient, SystemClock};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssuedChain, Issuer, Journal, Revocation, SigningRequest, SuggestedWindow,
};

use crate::{
    Error, Solver,
    caa::WithMethods,
    solver::{Panel, Seat, Selector},
};

mod account;
use account::AccountKeeper;

mod clean_up;

mod deadline;
use deadline::{Deadline, within};

mod refusal;
mod renewal_info;
mod revocation;
mod turns;
mod unserved;
mod walk;

/// Issues certificates at an ACME CA.
///
/// The account key is made and written down before the account is registered; the order's URL is written
/// down before challenges are answered; every TXT record is written down before it is presented. After a
/// crash the same order goes on. Records are removed as soon as the CA has looked, after a failure too.
///
/// ```no_run
/// use std::sync::Arc;
/// use perennial_issuers::{AcmeIssuer, Dns01};
/// use perennial_providers::rfc2136::Rfc2136;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let issuer = AcmeIssuer::builder(perennial_acme::directory::LETS_ENCRYPT_STAGING)
///     .contact("mailto:ops@example.com")
///     .agree_to_terms()
///     .solver(Dns01::new(Arc::new(Rfc2136::from_env()?)))
///     .build()?;
/// # let _ = issuer; Ok(())
/// # }
/// ```
pub struct AcmeIssuer {
    client: Client,
    clock: Arc<dyn Clock>,
    account: AccountKeeper,
    solvers: Panel,
    preferred_chain: Option<String>,
    timeout: Duration,
}

impl AcmeIssuer {
    /// Starts an issuer at the CA with this directory URL (RFC 8555 §7.1.1).
    pub fn builder(directory: impl Into<String>) -> AcmeIssuerBuilder {
        AcmeIssuerBuilder {
            account_file: None,
            agreed: false,
            caa: None,
            clock: Arc::new(SystemClock::new()),
            contacts: Vec::new(),
            directory: directory.into(),
            external_account: None,
            http: None,
            preferred_chain: None,
            solvers: Vec::new(),
            timeout: TIMEOUT,
        }
    }
}

/// Half an hour: ten minutes for slow secondaries, and a CA that takes its time.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// No CA keeps an order for longer; `Duration::MAX` cannot be added to any moment.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(30 * 86_400);

/// The waits of an issuance end with a diagnosis at its deadline; what has not ended a little later hangs.
const MARGIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Issuer for AcmeIssuer {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        unserved::refuse(request)?;
        for name in &request.names {
            self.solvers.candidates(name, &request.labels)?;
        }
        let deadline = Deadline::new(self.clock.now(), self.timeout);
        let walk = walk::issue(self, request, journal, deadline);
        let walked = within(self.timeout + MARGIN, "the issuance", walk).await;
        if walked.is_err() {
            // What cannot be removed stays on record and was told; the first failure is the one to report.
            let _ = self.clean_up(journal).await;
        }
        Ok(walked?)
    }

    async fn settle(&self, journal: &Journal) -> Result<(), IssueError> {
        Ok(self.clean_up(journal).await?)
    }

    fn suggests_windows(&self) -> bool {
        true
    }

    async fn suggested_window(&self, current: &IssuedChain) -> Result<Option<SuggestedWindow>, IssueError> {
        Ok(renewal_info::window(&self.client, current).await?)
    }

    async fn revoke(&self, revocation: &Revocation, journal: &Journal) -> Result<(), IssueError> {
        Ok(revocation::revoke(self, revocation, journal).await?)
    }

    fn providers(&self, spec: &CertificateSpec) -> Vec<String> {
        self.solvers.providers(spec.names(), spec.labels())
    }
}

/// Settings of an [`AcmeIssuer`].
#[must_use = "a builder does nothing until `build`"]
pub struct AcmeIssuerBuilder {
    account_file: Option<PathBuf>,
    agreed: bool,
    caa: Option<Arc<dyn CaaCheck>>,
    clock: Arc<dyn Clock>,
    contacts: Vec<String>,
    directory: String,
    external_account: Option<ExternalAccount>,
    http: Option<Arc<dyn HttpClient>>,
    preferred_chain: Option<String>,
    solvers: Vec<Seat>,
    timeout: Duration,
}

impl AcmeIssuerBuilder {
    /// Keeps the account in a file of its own (JSON, mode 0600) instead of the store: to share it among
    /// programs, or to carry it along. It holds one account for each CA that it was used with.
    pub fn account_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.account_file = Some(path.into());
        self
    }

    /// Agrees to the CA's terms of service (RFC 8555 §7.3). Most CAs register nobody without.
    pub const fn agree_to_terms(mut self) -> Self {
        self.agreed = true;
        self
    }

    /// Who looks at CAA records before an order is sent, such as [`CaaLookup`](crate::CaaLookup): an order
    /// that they forbid is not sent, and costs no rate limit. Default: nobody. The CA looks in any case, and
    /// from where it stands; not every host can ask the name servers of every domain; and an order waits.
    pub fn caa_check(mut self, check: impl CaaCheck + 'static) -> Self {
        self.caa = Some(Arc::new(check));
        self
    }

    /// Whose time counts. Default: the operating system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where the CA can reach the account's owner, as a URL such as `mailto:ops@example.com`; repeatable.
    pub fn contact(mut self, url: impl Into<String>) -> Self {
        self.contacts.push(url.into());
        self
    }

    /// The customer whom the CA knows already, and to whom a new account is tied (RFC 8555 §7.3.4): some CAs take no
    /// other. It is used once, when the account is registered.
    pub fn external_account(mut self, customer: ExternalAccount) -> Self {
        self.external_account = Some(customer);
        self
    }

    /// Who carries the requests. Default: [`ReqwestClient`] with the operating system's roots. A private CA
    /// needs one with its root.
    pub fn http(mut self, http: Arc<dyn HttpClient>) -> Self {
        self.http = Some(http);
        self
    }

    /// Among the chains that the CA offers, prefer one that contains an issuer of this common name (RFC 8555
    /// §7.4.2). Default: the CA's own choice.
    pub fn preferred_chain(mut self, common_name: impl Into<String>) -> Self {
        self.preferred_chain = Some(common_name.into());
        self
    }

    /// Who proves names for which there is nobody in particular; repeatable, the first whose type the CA offers is
    /// used.
    pub fn solver(self, solver: impl Solver + 'static) -> Self {
        self.solver_for(Selector::new(), solver)
    }

    /// Who proves the names that the selector matches; repeatable. Where several match, a solver for the very name
    /// goes before one for its zone, one for a longer zone before one for a shorter, and one for anything in
    /// particular before one for everything; then the first. One whose type the CA does not offer is left out. One that
    /// fails for a reason that stays is followed by the next of another type, in the same issuance.
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use perennial_issuers::{AcmeIssuer, Dns01, solver::Selector};
    /// # use perennial_providers::{DnsProvider, rfc2136::Rfc2136};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (public, internal): (Arc<dyn DnsProvider>, Arc<dyn DnsProvider>) =
    /// #     (Arc::new(Rfc2136::from_env()?), Arc::new(Rfc2136::from_env()?));
    /// let issuer = AcmeIssuer::builder(perennial_acme::directory::LETS_ENCRYPT_STAGING)
    ///     .solver(Dns01::new(public))
    ///     .solver_for(Selector::new().zone("corp.example.com".parse()?), Dns01::new(internal))
    ///     .build()?;
    /// # let _ = issuer; Ok(())
    /// # }
    /// ```
    pub fn solver_for(mut self, selector: Selector, solver: impl Solver + 'static) -> Self {
        self.solvers.push(Seat { selector, solver: Arc::new(solver) });
        self
    }

    /// How long one issuance may take in all, whatever hangs; thirty days at most. Default: half an hour; it is
    /// taken up again later. What was presented is removed within a further minute.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the issuer. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Acme`] when the directory URL is no https URL or the HTTP client cannot be made,
    /// [`Error::Configuration`] when there is no solver, or two of one type with the same selector.
    pub fn build(self) -> Result<AcmeIssuer, Error> {
        let solvers = Panel::new(self.solvers, &self.directory)?;
        let http = match self.http {
            Some(http) => http,
            None => Arc::new(ReqwestClient::new().map_err(perennial_acme::Error::from)?),
        };
        let mut client = Client::builder(self.directory.as_str()).http(http).clock(self.clock.clone());
        if let Some(check) = self.caa {
            let check = WithMethods { check, methods: solvers.kinds() };
            client = client.caa_check(Arc::new(check));
        }
        let wanted = self.contacts.into_iter().fold(NewAccount::new(), NewAccount::contact);
        let wanted = if self.agreed { wanted.agree_to_terms() } else { wanted };
        let wanted = self.external_account.into_iter().fold(wanted, NewAccount::external_account);
        Ok(AcmeIssuer {
            account: AccountKeeper::new(self.directory, self.account_file, wanted),
            client: client.build()?,
            clock: self.clock,
            preferred_chain: self.preferred_chain,
            solvers,
            timeout: self.timeout.min(LONGEST_TIMEOUT),
        })
    }
}
