//! The TLS-ALPN-01 challenge (RFC 8737): a certificate that is shown to the CA alone, on port 443.
//!
//! The CA connects as any client does, but offers the one protocol `acme-tls/1`. Whoever answers connections on port
//! 443 of the name has to know that: a rustls server by asking [`ChallengeCertificates`] first (perennial's own
//! resolver does), a server with settings of its own by [`ChallengeAcceptor`], and where there is no server yet by
//! [`TlsAlpn01Listener`]. A load balancer in front has to pass connections through as they are; one that ends TLS
//! itself answers the CA with its own certificate, and the challenge fails.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use data_encoding::BASE64URL_NOPAD;
use perennial_acme::{ChallengeKind, Identifier, challenge::tls_alpn01};
use tokio::time::{self, Instant};

use super::{
    Proof, Solver, Task,
    look::{Ends, TIMEOUT, watch, watch_all},
};
pub use super::{http01::Verdict, look::Policy};
use crate::Error;

mod acceptor;
pub use acceptor::ChallengeAcceptor;

mod certificates;
pub use certificates::ChallengeCertificates;

mod check;
pub use check::{Found, Observation, SelfCheck, TlsAlpn01Report};

mod listener;
pub use listener::TlsAlpn01Listener;

/// Proves names in the TLS handshakes of a server on their port 443.
///
/// What it presents lies in [`ChallengeCertificates`], which the server asks. The proof on record is the digest of the
/// key authorization: after a crash a new certificate is made of it, which proves the name as well. Nothing is left
/// behind by a process that dies. Wildcards cannot be proven this way.
///
/// Before the CA is told, the proof is looked for at every address of the name, since a look in vain is a failed validation,
/// of which CAs count few. What is shown is this process's alone: a load balancer has to lead the CA to it.
///
/// A server can show one proof of a name at a time, since nobody can tell in a handshake for which order a CA asks. Of
/// orders for one name at once, as for certificates with two kinds of keys, the one that was presented first is proven
/// first, and the next one waits until it is removed, two minutes at most: then it is taken for one that nobody comes back
/// for, and has its turn again when the others are gone.
///
/// ```
/// use perennial_issuers::{TlsAlpn01, solver::tls_alpn01::{ChallengeCertificates, TlsAlpn01Listener}};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let certificates = ChallengeCertificates::new();
/// # let port_443 = "[::1]:0";
/// let listener = TlsAlpn01Listener::bind([port_443.parse()?], &certificates).await?; // for as long as it lives
/// let solver = TlsAlpn01::new(certificates);
/// # let _ = (listener, solver); Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsAlpn01 {
    certificates: ChallengeCertificates,
    check: SelfCheck,
    policy: Policy,
    timeout: Duration,
    on_report: Option<OnReport>,
}

type OnReport = Arc<dyn Fn(&TlsAlpn01Report) + Send + Sync>;

impl TlsAlpn01 {
    /// Presents what is to be proven there; looks at each for at most a minute.
    #[must_use]
    pub fn new(certificates: ChallengeCertificates) -> Self {
        let (check, policy) = (SelfCheck::new(), Policy::default());
        Self { certificates, check, policy, timeout: TIMEOUT, on_report: None }
    }

    /// How to look. Default: [`SelfCheck::new`].
    #[must_use]
    pub fn self_check(mut self, check: SelfCheck) -> Self {
        self.check = check;
        self
    }

    /// What the look is worth. Default: [`Policy::Require`].
    #[must_use]
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// How long a proof that is not seen is looked for; a look that has begun by then is waited for. Default: a minute,
    /// since load balancers need a while to take up a server.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Who is shown what each look has found.
    #[must_use]
    pub fn on_report(mut self, on_report: impl Fn(&TlsAlpn01Report) + Send + Sync + 'static) -> Self {
        self.on_report = Some(Arc::new(on_report));
        self
    }

    /// Looks until the proof is seen, or time is up; returns the last report when there is evidence against it.
    async fn watch(&self, proof: &Proof, ends: Ends) -> Result<Option<TlsAlpn01Report>, Error> {
        let digest = &digest(proof)?;
        let look = move || async move {
            let report = self.check.look(&proof.name, digest).await?;
            if let Some(on_report) = &self.on_report {
                on_report(&report);
            }
            Ok(report)
        };
        watch(look, |report| report.verdict, ends).await
    }

    async fn look_at_all(&self, proofs: &[Proof], ends: Ends) -> Result<(), Error> {
        let watches = proofs.iter().map(|proof| self.watch(proof, ends)).collect();
        let reports = watch_all(watches, ends).await?;
        if reports.is_empty() || self.policy == Policy::Warn {
            Ok(())
        } else {
            Err(Error::NotShown { reports })
        }
    }
}

#[async_trait]
impl Solver for TlsAlpn01 {
    fn kind(&self) -> ChallengeKind {
        ChallengeKind::TlsAlpn01
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        let server_name = tls_alpn01::server_name(&Identifier::from(task.name));
        let server_name = server_name.ok_or_else(|| Error::Unsolvable {
            name: task.name.clone(),
            reason: "a wildcard has no server of its own to be asked: prove it by dns-01".to_owned(),
        })?;
        let digest = BASE64URL_NOPAD.encode(&tls_alpn01::digest_of(task.key_authorization));
        Ok(Proof::new(&self.kind(), task.name.clone(), server_name.as_str(), digest))
    }

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        self.certificates.present(&shown(proofs)?)
    }

    async fn wait(&self, proofs: &[Proof], deadline: Duration) -> Result<(), Error> {
        let end = Instant::now() + deadline;
        let limit = Instant::now() + LONGEST_TURN.min(deadline / 2);
        self.certificates.turn(&shown(proofs)?, limit).await;
        let deadline = end.saturating_duration_since(Instant::now());
        match self.policy {
            Policy::Skip => Ok(()),
            Policy::Wait(pause) => {
                time::sleep(pause.min(deadline)).await;
                Ok(())
            }
            Policy::Require | Policy::Warn => {
                self.look_at_all(proofs, Ends::new(self.timeout, deadline)).await
            }
        }
    }

    async fn clean_up(&self, proofs: &[Proof]) -> Result<(), Error> {
        let mut result = Ok(());
        for proof in proofs {
            let removed = digest(proof).map(|digest| self.certificates.remove(&proof.at, &digest));
            result = result.and(removed);
        }
        result
    }
}

impl fmt::Debug for TlsAlpn01 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificates, check, policy, timeout, .. } = self;
        f.debug_struct("TlsAlpn01")
            .field("certificates", certificates)
            .field("check", check)
            .field("policy", policy)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}

/// Longer than a look and the CA's take where all is well.
const LONGEST_TURN: Duration = Duration::from_secs(120);

/// Which name each is shown for, and its digest.
fn shown(proofs: &[Proof]) -> Result<Vec<(&str, [u8; 32])>, Error> {
    proofs.iter().map(|proof| Ok((proof.at.as_str(), digest(proof)?))).collect()
}

/// The digest on record.
fn digest(proof: &Proof) -> Result<[u8; 32], Error> {
    let octets = BASE64URL_NOPAD.decode(proof.value.as_bytes()).ok();
    octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| Error::Configuration {
        reason: format!("a proof on record for {} is damaged: its value is no digest", proof.name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_acme::{
        Jwk,
        challenge::{KeyAuthorization, Token},
    };
    use perennial_core::DomainName;

    fn authorization(seed: u8) -> KeyAuthorization {
        let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").unwrap();
        KeyAuthorization::new(&token, &Jwk::ed25519([seed; 32]).thumbprint())
    }

    fn proof(solver: &TlsAlpn01, name: &str, seed: u8) -> Result<Proof, Error> {
        let name: DomainName = name.parse().unwrap();
        solver.proof(&Task::new(&name, &authorization(seed)))
    }

    #[tokio::test]
    async fn the_proof_on_record_is_enough_to_present_it_again_and_to_remove_it() {
        let certificates = ChallengeCertificates::new();
        let solver = TlsAlpn01::new(certificates.clone());
        let written = serde_json::to_string(&proof(&solver, "a.example", 1).unwrap()).unwrap();
        assert!(certificates.find("a.example").is_none(), "that is pure");

        let proof: Proof = serde_json::from_str(&written).unwrap();
        assert_eq!((proof.kind.as_str(), proof.at.as_str()), ("tls-alpn-01", "a.example"));
        for _ in 0..2 {
            solver.present(std::slice::from_ref(&proof)).await.unwrap();
        }
        let der = certificates.find("a.example").unwrap().cert[0].to_vec();
        let digest = tls_alpn01::digest_of(&authorization(1));
        assert!(der.windows(32).any(|window| window == digest));
        for _ in 0..2 {
            solver.clean_up(std::slice::from_ref(&proof)).await.unwrap();
            assert!(certificates.find("a.example").is_none());
        }
    }

    #[tokio::test]
    async fn two_orders_for_one_name_do_not_take_each_others_proof_away() {
        let certificates = ChallengeCertificates::new();
        let solver = TlsAlpn01::new(certificates.clone());
        let [first, second] = [1, 2].map(|seed| proof(&solver, "a.example", seed).unwrap());
        solver.present(&[first.clone(), second.clone()]).await.unwrap();
        let shows = |seed| {
            let der = certificates.find("a.example").map(|found| found.cert[0].to_vec()).unwrap_or_default();
            der.windows(32).any(|window| window == tls_alpn01::digest_of(&authorization(seed)))
        };
        solver.present(std::slice::from_ref(&first)).await.unwrap();
        assert!(shows(1), "the one that was presented first");
        solver.clean_up(&[first]).await.unwrap();
        assert!(shows(2));
        solver.clean_up(&[second]).await.unwrap();
        assert!(certificates.find("a.example").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn orders_for_one_name_have_their_turns_and_one_that_nobody_ends_holds_up_the_next_for_a_while() {
        let certificates = ChallengeCertificates::new();
        let solver = TlsAlpn01::new(certificates.clone()).policy(Policy::Skip);
        let of = |seed| ["a.example", "b.example"].map(|name| proof(&solver, name, seed).unwrap());
        let [first, second, third] = [1, 2, 3].map(of);
        for proofs in [&first, &second, &third] {
            solver.present(proofs).await.unwrap();
        }
        let (begun, deadline) = (Instant::now(), Duration::from_secs(1800));
        solver.wait(&first, deadline).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let ends = async {
            time::sleep(Duration::from_secs(5)).await;
            solver.clean_up(&first[..1]).await.unwrap();
            time::sleep(Duration::from_secs(5)).await;
            solver.clean_up(&first[1..]).await.unwrap();
        };
        let (waited, ()) = tokio::join!(solver.wait(&second, deadline), ends);
        waited.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(10), "both its names");
        // The work on the second one was dropped.
        solver.wait(&third, deadline).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(130));
        for proof in &third {
            let der = certificates.find(&proof.at).unwrap().cert[0].to_vec();
            assert!(der.windows(32).any(|window| window == tls_alpn01::digest_of(&authorization(3))));
        }
        solver.clean_up(&third).await.unwrap();
        solver.wait(&second, deadline).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(130), "it has its turn again");
        // What is not there waits for nobody.
        solver.wait(&first, deadline).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(130));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_with_little_time_waits_for_half_of_it() {
        let solver = TlsAlpn01::new(ChallengeCertificates::new()).policy(Policy::Skip);
        let [first, second] = [1, 2].map(|seed| proof(&solver, "a.example", seed).unwrap());
        solver.present(&[first, second.clone()]).await.unwrap();
        let begun = Instant::now();
        solver.wait(&[second], Duration::from_secs(20)).await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_wildcard_and_a_damaged_record_are_refused() {
        let solver = TlsAlpn01::new(ChallengeCertificates::new());
        let error = proof(&solver, "*.a.example", 1).unwrap_err().to_string();
        assert!(error.contains("*.a.example cannot be proven: a wildcard"), "{error}");
        let sound = proof(&solver, "b.example", 1).unwrap();
        solver.present(std::slice::from_ref(&sound)).await.unwrap();
        let mut damaged = proof(&solver, "a.example", 1).unwrap();
        damaged.value.truncate(9);
        for result in
            [solver.present(std::slice::from_ref(&damaged)).await, solver.clean_up(&[damaged, sound]).await]
        {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("a.example is damaged"), "{error}");
        }
        assert!(solver.certificates.is_empty(), "what can be removed is");
    }
}
