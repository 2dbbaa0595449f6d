//! What a life may ask of an issuer, and what lives have taken of it.

use std::time::Duration;

use perennial::{
    core::{Clock as _, SystemClock},
    lifecycle::{
        CertificateSpec, IssuerName, Store,
        budget::{BudgetKey, Charge, Limit, Limits, Purpose},
    },
};

use super::text;

/// All that a keeper can count of an issuer, and nothing comes back while somebody looks.
pub(super) fn limits() -> Limits {
    let limit = Limit::new(BURST, CENTURY);
    let mut limits = Limits::default().issuer(limit);
    limits.account = Some(limit);
    limits.exact_set = Some(limit);
    limits.failed_validations = Some(limit);
    limits
}

/// More than any life needs.
const BURST: u32 = 1_000;
const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How many tokens are gone from a bucket.
pub(super) struct Taken {
    key: BudgetKey,
    charge: Charge,
    tokens: u32,
}

/// What is gone from each budget of each issuer that a certificate may come from.
pub(super) async fn taken(store: &dyn Store, spec: &CertificateSpec) -> Result<Vec<Taken>, String> {
    let mut taken = Vec::new();
    for issuer in spec.issuers() {
        let asked = text(spec.clone().issuer(issuer.as_str()))?;
        for demand in limits().demands(&asked, Purpose::First) {
            taken.push(Taken { key: demand.key, charge: demand.charge, tokens: 0 });
        }
    }
    let keys: Vec<BudgetKey> = taken.iter().map(|taken| taken.key.clone()).collect();
    // Later than any clock that was set ahead: what was taken then is gone by now.
    let now = SystemClock::new().now() + Duration::from_secs(86_400);
    for (taken, stored) in taken.iter_mut().zip(text(store.buckets(&keys).await)?) {
        let level = stored.map_or(BURST, |(_, bucket)| bucket.level(Limit::new(BURST, CENTURY), now));
        taken.tokens = BURST - level;
    }
    Ok(taken)
}

/// How many orders were paid for.
pub(super) fn paid(taken: &[Taken]) -> u32 {
    taken.iter().filter(|it| matches!(it.key, BudgetKey::Account(_))).map(|it| it.tokens).sum()
}

/// What was taken that should not have been, or not taken that should: a certificate `by` an issuer costs one token of
/// each of its budgets, however often its makers died. What a failed proof would cost is given back when it has not
/// failed; each death may leave one token of that behind, which comes back by itself.
pub(super) fn faults(taken: &[Taken], by: Option<&IssuerName>, deaths: u32) -> Vec<String> {
    let is_wrong = |it: &&Taken| {
        let is_asked = by.is_some_and(|by| is_of(&it.key, by));
        match it.charge {
            Charge::Always => it.tokens != u32::from(is_asked),
            Charge::OnFailure => it.tokens > deaths,
        }
    };
    taken
        .iter()
        .filter(is_wrong)
        .map(|it| format!("{} tokens were taken for {}", it.tokens, it.key))
        .collect()
}

fn is_of(key: &BudgetKey, issuer: &IssuerName) -> bool {
    match key {
        BudgetKey::Account(of) | BudgetKey::ExactSet(of, _) | BudgetKey::Issuer(of) => of == issuer,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial::lifecycle::MemoryStore;

    fn spec() -> CertificateSpec {
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        spec.fallback_issuer("second").unwrap()
    }

    #[tokio::test]
    async fn a_store_that_nobody_has_taken_from_is_wrong_for_who_has_issued_and_right_for_who_has_not() {
        let taken = taken(&MemoryStore::new(), &spec()).await.unwrap();
        assert_eq!((taken.len(), paid(&taken)), (8, 0));
        assert_eq!(faults(&taken, None, 0), Vec::<String>::new());
        let second = "second".parse().unwrap();
        assert_eq!(faults(&taken, Some(&second), 1).len(), 3, "account, names and requests of the second");
    }

    #[test]
    fn a_second_token_is_a_fault_and_one_for_a_proof_is_excused_by_a_death() {
        let issuer = IssuerName::default();
        let order = Taken { key: BudgetKey::Account(issuer.clone()), charge: Charge::Always, tokens: 2 };
        assert_eq!(faults(&[order], Some(&issuer), 9).len(), 1);
        let key = BudgetKey::FailedValidations(issuer.clone(), "a.example".to_owned());
        let proof = |tokens| [Taken { key: key.clone(), charge: Charge::OnFailure, tokens }];
        assert_eq!(faults(&proof(1), Some(&issuer), 1), Vec::<String>::new());
        assert_eq!(faults(&proof(1), Some(&issuer), 0).len(), 1);
        assert_eq!(faults(&proof(2), Some(&issuer), 1).len(), 1);
    }
}
