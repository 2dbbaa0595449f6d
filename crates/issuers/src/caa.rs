//! The CAA check before an order (RFC 8659, RFC 8657), by the propagation checker.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_acme::{CaaAnswer, CaaCheck, CaaQuestion, CaaRecord, ChallengeKind};
use perennial_propagation::{
    Checker,
    caa::{Decision, Question},
};

/// Looks at CAA records at the zones' own name servers, as the CA will.
///
/// What forbids is told with its record; a look-up that failed, servers that contradict each other and
/// critical records that not every CA knows are inconclusive, and the order is sent. A name takes ten seconds
/// at most, usually well under one.
///
/// ```no_run
/// use std::sync::Arc;
/// use perennial_issuers::{AcmeIssuer, CaaLookup, Dns01};
/// use perennial_propagation::Checker;
/// use perennial_providers::rfc2136::Rfc2136;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let checker = Checker::builder().build()?;
/// let issuer = AcmeIssuer::builder(perennial_acme::directory::LETS_ENCRYPT_STAGING)
///     .agree_to_terms()
///     .caa_check(CaaLookup::new(checker.clone()))
///     .solver(Dns01::new(Arc::new(Rfc2136::from_env()?)).checker(checker))
///     .build()?;
/// # let _ = issuer; Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CaaLookup {
    checker: Checker,
}

impl CaaLookup {
    /// Looks with this checker. Give it the one that looks for the challenge records: what it learns about
    /// zones on the way it need not find again.
    #[must_use]
    pub const fn new(checker: Checker) -> Self {
        Self { checker }
    }
}

#[async_trait]
impl CaaCheck for CaaLookup {
    async fn check(&self, question: &CaaQuestion) -> CaaAnswer {
        match self.checker.caa(&translated(question)).await {
            Ok(report) => match report.decision {
                Decision::Allowed { .. } => CaaAnswer::Allowed,
                Decision::Forbidden { record, .. } => {
                    CaaAnswer::Forbidden(CaaRecord::new(record.domain.clone(), &record.to_string()))
                }
                Decision::Inconclusive { doubt } => CaaAnswer::Inconclusive { reason: doubt.to_string() },
            },
            Err(error) => CaaAnswer::Inconclusive { reason: error.to_string() },
        }
    }
}

fn translated(question: &CaaQuestion) -> Question {
    let mut asked = Question::new(&question.name);
    asked.wildcard = question.wildcard;
    asked.issuers.clone_from(&question.identities);
    asked.account = (!question.account_url.is_empty()).then(|| question.account_url.clone());
    asked.methods = question.methods.iter().map(ToString::to_string).collect();
    asked
}

/// A check that knows by which methods this issuer can prove names, where nobody says more.
pub(crate) struct WithMethods {
    pub(crate) check: Arc<dyn CaaCheck>,
    pub(crate) methods: Vec<ChallengeKind>,
}

#[async_trait]
impl CaaCheck for WithMethods {
    async fn check(&self, question: &CaaQuestion) -> CaaAnswer {
        if !question.methods.is_empty() {
            return self.check.check(question).await;
        }
        let mut question = question.clone();
        question.methods.clone_from(&self.methods);
        self.check.check(&question).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ca_says_and_what_is_not_known_yet_arrive_as_such() {
        let mut question = CaaQuestion::new(&"*.example.com".parse().unwrap());
        let asked = translated(&question);
        assert_eq!((asked.name.as_str(), asked.wildcard), ("example.com", true));
        assert_eq!((asked.issuers, asked.account, asked.methods), (vec![], None, vec![]));
        question.identities = vec!["ca.example".to_owned()];
        question.account_url = "https://ca.example/acct/1".to_owned();
        question.methods = vec![ChallengeKind::Dns01];
        let asked = translated(&question);
        assert_eq!(asked.issuers, ["ca.example"]);
        assert_eq!(asked.account.as_deref(), Some("https://ca.example/acct/1"));
        assert_eq!(asked.methods, ["dns-01"]);
    }
}
