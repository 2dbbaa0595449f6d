//! `judge issuers`: the issuers, against real certificate authorities of other makers.
//!
//! ```text
//!   VaultIssuer --- sign/ROLE ---> OpenBao
//!   AcmeIssuer ---- ACME --------> OpenBao, Pebble --- DNS ------> a resolver and its zone, of the testkit
//!                                      |
//!                                      +------- HTTP, TLS -------> the solvers' own listeners
//! ```
//!
//! Proofs that stand elsewhere are looked for in BIND's zones, and behind a replica over PostgreSQL.
//!
//! OpenBao looks at the ports 80 and 443, which are free in here.

mod acme;
mod elsewhere;
mod keeping;
mod vault;

use std::{net::IpAddr, pin::Pin, sync::Arc, time::Duration};

use perennial::{
    core::{Clock as _, SystemClock},
    lifecycle::{
        CertificateSpec, IssueError, IssuedChain, Issuer, Journal, KeyAlgorithm, MemoryStore, PrivateKey,
        SigningRequest, Store,
    },
};
use perennial_testkit::real::{Components, Tool};

use super::{Outcome, Report, Running, Setting, Suite};
use crate::shell;

pub(super) const SUITE: Suite = Suite {
    name: "issuers",
    tools: &[Tool::Named, Tool::Openbao, Tool::Openssl, Tool::Pebble, Tool::Postgres, Tool::Unbound],
    addresses: || vec![IpAddr::V4(elsewhere::PRIMARY)],
    build: || Ok(()),
    run,
};

/// A case takes a few seconds; whoever takes a minute hangs.
const LONGEST_CASE: Duration = Duration::from_secs(60);

/// Its name and its story, not begun yet.
type Case<'a> = (&'static str, Pin<Box<dyn Future<Output = Outcome> + 'a>>);

fn run<'a>(_: &'a Setting, report: &'a mut Report) -> Running<'a> {
    Box::pin(async move {
        let (vault, acme) = tokio::join!(vault::Lab::start(), acme::Lab::start());
        let (vault, acme) = match (vault, acme) {
            (Ok(vault), Ok(acme)) => (vault, acme),
            (Err(reason), _) | (_, Err(reason)) => return report.case("lab", Err(reason)),
        };
        // One after the other: the ports 80 and 443 are there once, and a sealed Vault serves nobody.
        let cases = [
            vault::cases(&vault),
            acme::cases(&acme),
            elsewhere::cases(&acme),
            keeping::cases(&vault, &acme),
        ];
        for (name, story) in cases.into_iter().flatten() {
            if report.wants_any(&[name]) {
                let outcome = tokio::time::timeout(LONGEST_CASE, story).await;
                report.case(
                    name,
                    outcome.unwrap_or_else(|_| Err(format!("still running after {LONGEST_CASE:?}"))),
                );
            }
        }
    })
}

/// One certificate for these names, without a keeper.
async fn issue(issuer: &dyn Issuer, names: &[&str]) -> Result<Issued, IssueError> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    issue_over(&store, "judged", issuer, names).await
}

/// The same with what the issuer has in a store, where no certificate is called that yet.
async fn issue_over(
    store: &Arc<dyn Store>,
    id: &str,
    issuer: &dyn Issuer,
    names: &[&str],
) -> Result<Issued, IssueError> {
    let local = |reason: String| {
        let class = perennial::lifecycle::IssueErrorClass::Local;
        IssueError::new(class, reason, perennial::core::Retry::Never)
    };
    let spec = CertificateSpec::new(id, names).map_err(|error| local(error.to_string()))?;
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).map_err(|error| local(error.to_string()))?;
    let request = SigningRequest::of(&spec, &key).map_err(|error| local(error.to_string()))?;
    let journal = Journal::begin(store.clone(), spec, Arc::new(SystemClock::new())).await?;
    let chain = issuer.issue(&request, &journal).await?;
    Ok(Issued { chain, request, journal })
}

/// What was asked for, and what came.
struct Issued {
    chain: IssuedChain,
    request: SigningRequest,
    journal: Journal,
}

impl Issued {
    /// That it is what was asked for, by our own eyes, and up to the root by those of OpenSSL.
    fn verified(&self, root_pem: &str) -> Outcome {
        let facts = self.chain.facts();
        text(self.request.check(facts, SystemClock::new().now()))?;
        verified(root_pem, self.chain.pem())?;
        Ok(format!("certificate {} until {}", facts.serial, facts.not_after))
    }
}

/// That a chain is good up to this root, by the eyes of OpenSSL.
fn verified(root_pem: &str, chain_pem: &str) -> Result<(), String> {
    let directory = text(tempfile::tempdir())?;
    let [root, whole] = ["root.pem", "chain.pem"].map(|file| directory.path().join(file));
    text(std::fs::write(&root, root_pem))?;
    text(std::fs::write(&whole, chain_pem))?;
    let components = Components::locate();
    let mut openssl = text(components.find(Tool::Openssl))?.command();
    openssl.args(["verify", "-x509_strict", "-CAfile"]).arg(&root).arg("-untrusted").arg(&whole).arg(&whole);
    text(shell::read(openssl)).map(drop)
}

/// An error that says what it has to say.
fn refused(outcome: Result<Issued, IssueError>, says: &str) -> Outcome {
    match outcome {
        Err(error) if error.message.contains(says) => Ok(format!("{}: {error}", error.class)),
        Err(error) => Err(format!("{says:?} is not in: {error}")),
        Ok(issued) => Err(format!("it was issued: {}", issued.chain.facts().serial)),
    }
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
