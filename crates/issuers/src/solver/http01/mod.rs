//! The HTTP-01 challenge (RFC 8555 §8.3): an answer on port 80 of the name.
//!
//! Where the answer is put is one choice, an [`Http01Place`]: a [listener](Http01Listener) of our own, a
//! [service](Http01Responder) in a web server of the program, files below the [document root](Webroot) of another, or the
//! [store](Http01Shared) that replicas share. How it is looked at before the CA is told is another, a [`SelfCheck`].

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_acme::{ChallengeKind, Identifier, challenge};
use tokio::time;

pub use super::look::Policy;
use super::{
    Proof, Solver, Task,
    look::{Ends, TIMEOUT, watch, watch_all},
};
use crate::Error;

mod check;
pub(crate) use check::shown;
pub use check::{
    Advice, Answer, Content, Evidence, Found, Http01Report, Observation, Phase, RedirectFault, SelfCheck,
    Verdict, diagnose,
};

mod listener;
pub use listener::Http01Listener;

mod place;
pub use place::{Http01Answer, Http01Place};

mod responder;
pub use responder::Http01Responder;

mod shared;
pub use shared::Http01Shared;

#[cfg(unix)]
mod webroot;
#[cfg(unix)]
pub use webroot::Webroot;

/// Proves names by what their web server answers on port 80. It proves no wildcard.
///
/// The answer is put in place and looked at, at every address of the name; the CA is told only then, since a look in
/// vain is a failed validation, of which CAs count few. The diagnosis says what stands in between.
///
/// ```no_run
/// use perennial_issuers::{AcmeIssuer, solver::http01::{Http01, Http01Listener}};
///
/// # async fn example() -> Result<(), perennial_issuers::Error> {
/// let listener = Http01Listener::everywhere(80).await?;
/// let issuer = AcmeIssuer::builder(perennial_acme::directory::LETS_ENCRYPT_STAGING)
///     .agree_to_terms()
///     .solver(Http01::new(listener.responder()))
///     .build()?;
/// # let _ = issuer; Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Http01 {
    place: Arc<dyn Http01Place>,
    check: SelfCheck,
    policy: Policy,
    timeout: Duration,
    on_report: Option<OnReport>,
}

type OnReport = Arc<dyn Fn(&Http01Report) + Send + Sync>;

impl Http01 {
    /// Proves names by answers at this place; looks at each for at most a minute.
    #[must_use]
    pub fn new(place: impl Http01Place + 'static) -> Self {
        let (check, policy) = (SelfCheck::new(), Policy::default());
        Self { place: Arc::new(place), check, policy, timeout: TIMEOUT, on_report: None }
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

    /// How long an answer that is not seen is looked for; a look that has begun by then is waited for. Default: a minute,
    /// since load balancers need a while to take up a server.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Who is shown what each look has found.
    #[must_use]
    pub fn on_report(mut self, on_report: impl Fn(&Http01Report) + Send + Sync + 'static) -> Self {
        self.on_report = Some(Arc::new(on_report));
        self
    }

    /// Looks until the answer is seen, or time is up; returns the last report when there is evidence against it.
    async fn watch(
        &self,
        check: &SelfCheck,
        answer: Http01Answer,
        ends: Ends,
    ) -> Result<Option<Http01Report>, Error> {
        let answer = &answer;
        let look = move || async move {
            let report = check.look(answer).await?;
            if let Some(on_report) = &self.on_report {
                on_report(&report);
            }
            Ok(report)
        };
        watch(look, |report| report.verdict, ends).await
    }

    async fn look_at_all(&self, proofs: &[Proof], ends: Ends) -> Result<(), Error> {
        let check = self.check.clone().or_locally(self.place.locally());
        let answers: Result<Vec<_>, Error> = proofs.iter().map(Http01Answer::read).collect();
        let watches = answers?.into_iter().map(|answer| self.watch(&check, answer, ends)).collect();
        let reports = watch_all(watches, ends).await?;
        if reports.is_empty() || self.policy == Policy::Warn {
            Ok(())
        } else {
            Err(Error::NotServed { reports })
        }
    }
}

#[async_trait]
impl Solver for Http01 {
    fn kind(&self) -> ChallengeKind {
        ChallengeKind::Http01
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        let unsolvable =
            |reason: &str| Error::Unsolvable { name: task.name.clone(), reason: reason.to_owned() };
        let key_authorization = task.key_authorization.as_str();
        let token = key_authorization.split_once('.').map(|(token, _)| challenge::Token::parse(token));
        let Some(Ok(token)) = token else { return Err(unsolvable("the challenge has no token")) };
        let url = challenge::http01::url(&Identifier::from(task.name.clone()), &token);
        let url = url.ok_or_else(|| unsolvable("a wildcard has no web server of its own"))?;
        Ok(Proof::new(&self.kind(), task.name.clone(), url, key_authorization))
    }

    async fn present(&self, proofs: &[Proof]) -> Result<(), Error> {
        for proof in proofs {
            self.place.put(&Http01Answer::read(proof)?).await?;
        }
        Ok(())
    }

    async fn wait(&self, proofs: &[Proof], deadline: Duration) -> Result<(), Error> {
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
            let removed = match Http01Answer::read(proof) {
                Ok(answer) => self.place.remove(&answer).await,
                Err(error) => Err(error),
            };
            result = result.and(removed);
        }
        result
    }
}

impl fmt::Debug for Http01 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, policy, timeout, .. } = self;
        f.debug_struct("Http01")
            .field("check", check)
            .field("policy", policy)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}
