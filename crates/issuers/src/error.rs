//! What can go wrong while a certificate is issued, sorted by whose fault it is.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use perennial_acme::{CertificateFault, Problem, ProblemType};
use perennial_core::{DomainName, HttpError, Retry};
use perennial_lifecycle::{
    CertificateId, FactsError, IssueError, IssueErrorClass, StoreError, budget::Counted,
};

use crate::{
    ca::{AuthorityFault, SignerError},
    solver::{WantedRecord, http01::Http01Report, tls_alpn01::TlsAlpn01Report},
    vault::VaultError,
};

/// What can go wrong while a certificate is issued.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file that should hold the account cannot be used.
    #[error("account file {}: {reason}", path.display())]
    AccountFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// The CA, or the way to it.
    #[error(transparent)]
    Acme(#[from] perennial_acme::Error),
    /// A CA whose key signs here cannot sign.
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
    /// The settings of the issuer cannot work.
    #[error("{reason}")]
    Configuration {
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A CA whose key signs here may not sign this.
    #[error(
        "the CA {authority} may not sign certificate {certificate}: {reason}; change the spec or choose another issuer"
    )]
    Constrained {
        /// Which certificate.
        certificate: CertificateId,
        /// The CA's subject.
        authority: String,
        /// Why.
        reason: String,
    },
    /// Somebody else removes challenge records as fast as they are put there.
    #[error(
        "the TXT record at {at} was removed {times} times while it was waited for: find out who else keeps that zone in \
         order, such as a DNS controller or a clean-up job, and have it leave challenge names alone"
    )]
    Contested {
        /// Where.
        at: DomainName,
        /// How often.
        times: u32,
    },
    /// There can be no web server for answers at an address.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// On which address.
        address: SocketAddr,
        /// Why, and the remedy.
        reason: String,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gave no random numbers for a serial number")]
    NoRandomness,
    /// The CA offers no challenge that a solver of ours can solve.
    #[error("no solver for {name}: the CA offers {offered}, this issuer has {have}")]
    NoSolver {
        /// For which name.
        name: DomainName,
        /// The challenge types offered, separated by commas.
        offered: String,
        /// The challenge types that could be solved, separated by commas.
        have: String,
    },
    /// What the CA would fetch is not what was put there.
    #[error("{}", summary(.reports, Http01Report::summary))]
    NotServed {
        /// What was seen at each name that failed.
        reports: Vec<Http01Report>,
    },
    /// What the CA would be shown in a handshake is not what was put there.
    #[error("{}", summary(.reports, TlsAlpn01Report::summary))]
    NotShown {
        /// What was seen at each name that failed.
        reports: Vec<TlsAlpn01Report>,
    },
    /// The checker found the proof not to be visible, or could not look.
    #[error(transparent)]
    Propagation(#[from] perennial_propagation::Error),
    /// The DNS provider refused or failed.
    #[error(transparent)]
    Provider(#[from] perennial_providers::Error),
    /// Records that stay have to be set by somebody, since no provider of ours does.
    #[error("{}", wanted(.records))]
    RecordWanted {
        /// One for each name that cannot be proven without: all that are lacking, to be set in one go.
        records: Vec<WantedRecord>,
    },
    /// The signing request cannot be signed as it is.
    #[error("the signing request of certificate {certificate} cannot be signed: {reason}")]
    Request {
        /// Which certificate.
        certificate: CertificateId,
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever has a CA's key has not signed.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The journal could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something took longer than it may.
    #[error(
        "{doing} took longer than {:.1} s: see whether the provider and the CA answer, or allow more time",
        limit.as_secs_f64()
    )]
    TooSlow {
        /// What.
        doing: &'static str,
        /// How long it might have taken.
        limit: Duration,
    },
    /// The chain cannot be read.
    #[error("the CA's certificate cannot be read: {0}")]
    Unreadable(#[from] FactsError),
    /// Something that a CA signs here could not be put together.
    #[error("it could not be signed: {reason}")]
    Unsigned {
        /// Why.
        reason: String,
    },
    /// No solver of this issuer can prove the name, whatever the CA offers.
    #[error("{name} cannot be proven: {reason}")]
    Unsolvable {
        /// Which name.
        name: DomainName,
        /// Why, and the remedy.
        reason: String,
    },
    /// The certificate asks for something that this issuer cannot put into it.
    #[error("certificate {certificate} asks for {what}; change the spec or choose another issuer")]
    Unserved {
        /// Which certificate.
        certificate: CertificateId,
        /// For what, and why it cannot be had.
        what: String,
    },
    /// A Vault, or the way to it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// An answer cannot be written below the document root of a web server.
    #[error("{}: {reason}", path.display())]
    Webroot {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
}

impl Error {
    /// Whether and when to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::AccountFile { .. }
            | Self::Configuration { .. }
            | Self::Constrained { .. }
            | Self::NoSolver { .. }
            | Self::Request { .. }
            | Self::Unserved { .. }
            | Self::Unsolvable { .. } => Retry::Never,
            Self::Acme(error) => error.retry(),
            Self::Authority(fault) => fault.retry(),
            Self::Contested { .. }
            | Self::Listen { .. }
            | Self::NoRandomness
            | Self::NotServed { .. }
            | Self::NotShown { .. }
            | Self::RecordWanted { .. }
            | Self::TooSlow { .. }
            | Self::Unreadable(_)
            | Self::Unsigned { .. }
            | Self::Webroot { .. } => Retry::Backoff,
            Self::Signer(error) => error.retry(),
            Self::Propagation(error) => error.retry(),
            Self::Provider(error) => error.retry(),
            Self::Store(error) => error.retry(),
            Self::Vault(error) => error.retry(),
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn class(&self) -> IssueErrorClass {
        match self {
            Self::AccountFile { .. }
            | Self::Configuration { .. }
            | Self::Listen { .. }
            | Self::NoRandomness
            | Self::NoSolver { .. }
            | Self::Store(_)
            | Self::Unsigned { .. }
            | Self::Webroot { .. } => IssueErrorClass::Local,
            Self::Acme(error) => acme_class(error),
            // It is the CA that is in trouble, and another one may well sign.
            Self::Authority(_) | Self::Signer(_) => IssueErrorClass::Transient,
            Self::Constrained { .. } | Self::Request { .. } => IssueErrorClass::Policy,
            Self::Contested { .. }
            | Self::NotServed { .. }
            | Self::NotShown { .. }
            | Self::Propagation(perennial_propagation::Error::NotPropagated(_))
            | Self::RecordWanted { .. } => IssueErrorClass::Validation,
            Self::Propagation(error) if error.retry() == Retry::Never => IssueErrorClass::Local,
            Self::Propagation(_) | Self::TooSlow { .. } => IssueErrorClass::Transient,
            Self::Provider(error) => provider_class(error),
            Self::Unreadable(_) => IssueErrorClass::Contract,
            Self::Unserved { .. } | Self::Unsolvable { .. } => IssueErrorClass::Policy,
            Self::Vault(error) => error.class(),
        }
    }
}

fn summary<R>(reports: &[R], of_one: impl Fn(&R) -> String) -> String {
    let told: Vec<String> = reports.iter().take(MOST_TOLD).map(of_one).collect();
    let more = reports.len().saturating_sub(MOST_TOLD);
    let more = if more == 0 { String::new() } else { format!("; and {more} more names") };
    told.join("; ") + &more
}

/// What is wrong with some of the names, and every record: whoever sets them does so once.
fn wanted(records: &[WantedRecord]) -> String {
    let of_one = |WantedRecord { name, reason, .. }: &WantedRecord| {
        if records.len() == 1 {
            format!("{name} cannot be proven yet: {reason}")
        } else {
            format!("{name}: {reason}")
        }
    };
    let why = summary(records, of_one);
    let why =
        if records.len() == 1 { why } else { format!("{} names cannot be proven yet: {why}", records.len()) };
    let records: BTreeSet<String> =
        records.iter().map(|WantedRecord { at, value, .. }| format!("`{at} TXT \"{value}\"`")).collect();
    let (stays, records) =
        (if records.len() == 1 { "stays" } else { "stay" }, Vec::from_iter(records).join(", "));
    format!("{why}; set {records}, which {stays} there, or give the solver a provider that does")
}

/// Names that fail together fail for one reason.
const MOST_TOLD: usize = 3;

fn acme_class(error: &perennial_acme::Error) -> IssueErrorClass {
    use perennial_acme::Error as Acme;
    match error {
        Acme::CaaForbids(_) => IssueErrorClass::Policy,
        Acme::Certificate(_) | Acme::Misbehaved(_) => IssueErrorClass::Contract,
        Acme::Misuse(_) | Acme::Signer(_) => IssueErrorClass::Local,
        Acme::Network(HttpError::BadRequest { .. } | HttpError::InsecureUrl { .. }) => IssueErrorClass::Local,
        Acme::OrderInvalid(_) => match error.problem().map(|problem| &problem.kind) {
            Some(ProblemType::Caa | ProblemType::RejectedIdentifier | ProblemType::BadCsr) => {
                IssueErrorClass::Policy
            }
            _ => IssueErrorClass::Validation,
        },
        // Whoever says that it does not know a certificate, or nonsense, has answered.
        Acme::RenewalInfo(failure) => acme_class(&failure.cause),
        Acme::Server(_) => match error.problem().map(|problem| &problem.kind) {
            Some(
                ProblemType::AccountDoesNotExist
                | ProblemType::BadPublicKey
                | ProblemType::BadSignatureAlgorithm
                | ProblemType::ExternalAccountRequired
                | ProblemType::Unauthorized,
            ) => IssueErrorClass::Auth,
            Some(ProblemType::BadNonce | ProblemType::RateLimited | ProblemType::ServerInternal) => {
                IssueErrorClass::Transient
            }
            _ if error.retry().is_worthwhile() => IssueErrorClass::Transient,
            _ => IssueErrorClass::Policy,
        },
        _ => IssueErrorClass::Transient,
    }
}

/// Whether the CA has counted and is well. Some say `rateLimited` with a 503 too, and mean that they are busy.
fn is_limit(error: &perennial_acme::Error) -> bool {
    error.problem().is_some_and(|problem| {
        let counted = problem.kind == ProblemType::RateLimited || problem.status == Some(429);
        counted && problem.status != Some(503)
    })
}

/// Which limit it is, in the words of Boulder, Let's Encrypt's CA (`ratelimits`), and of those who run it too. No
/// standard has words for it; whoever has others only tells the certificate that asked.
fn counted(problem: &Problem) -> Option<Counted> {
    let detail = problem.detail.as_deref()?.to_ascii_lowercase();
    let says = |words: &str| detail.contains(words);
    if says("exact set of") {
        Some(Counted::ExactSet)
    } else if says("too many failed authorizations") {
        Some(Counted::FailedValidations)
    } else if says("too many new orders") {
        Some(Counted::Account)
    } else if says("too many certificates") {
        Some(Counted::Domain)
    } else {
        None
    }
}

fn provider_class(error: &perennial_providers::Error) -> IssueErrorClass {
    use perennial_providers::Error as Provider;
    match error {
        Provider::Auth { .. } | Provider::Permission { .. } => IssueErrorClass::Auth,
        error if error.retry() == Retry::Never => IssueErrorClass::Local,
        _ => IssueErrorClass::Transient,
    }
}

impl From<CertificateFault> for Error {
    fn from(fault: CertificateFault) -> Self {
        Self::Acme(fault.into())
    }
}

impl From<Error> for IssueError {
    fn from(error: Error) -> Self {
        if let Error::Store(error) = error {
            return error.into();
        }
        let issue_error = Self::new(error.class(), error.to_string(), error.retry());
        match error {
            Error::Acme(error) if is_limit(&error) => match error.problem().and_then(counted) {
                Some(counted) => issue_error.limit_of(counted),
                None => issue_error.limit(),
            },
            // The CA waits for its own certificate.
            Error::Authority(AuthorityFault::NotIssued { .. }) => issue_error.elsewhere(),
            Error::Vault(error) if error.is_limit() => issue_error.limit(),
            // The CA does not rest because a DNS provider is down, or a name server slow.
            Error::Contested { .. }
            | Error::NotServed { .. }
            | Error::NotShown { .. }
            | Error::Propagation(_)
            | Error::Provider(_)
            | Error::RecordWanted { .. }
            | Error::TooSlow { .. }
            | Error::Webroot { .. } => issue_error.elsewhere(),
            _ => issue_error,
        }
    }
}
