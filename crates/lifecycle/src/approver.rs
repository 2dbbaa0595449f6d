//! Who says whether a certificate may be asked for.

use async_trait::async_trait;

use crate::{CertificateSpec, IssuerName};

/// Says whether a certificate may be asked for: the rules of whoever runs the keeper, which no CA knows.
///
/// # Contract
/// - It is asked before each new attempt, renewals too, and before anything is asked of an issuer.
/// - It decides by what it is shown, and within a bounded time. What it cannot tell now is an
///   [`Err`], and asked again later. After a denial it is not asked again until the wish is made once more, changed or
///   not, or [`Keeper::retry`](crate::Keeper::retry) is called.
#[async_trait]
pub trait Approver: Send + Sync {
    /// Decides about one request.
    ///
    /// # Errors
    /// Why it cannot tell now, in words.
    async fn approve(&self, request: &ApprovalRequest<'_>) -> Result<Approval, String>;
}

/// What an [`Approver`] is asked about.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ApprovalRequest<'a> {
    /// What is asked for.
    pub spec: &'a CertificateSpec,
    /// Who would sign it.
    pub issuer: &'a IssuerName,
    /// Who wished for it, as [`Keeper::wish_for`](crate::Keeper::wish_for) was told; nobody in particular, without.
    pub requester: Option<&'a str>,
    /// Whether there is one already that serves, for the same names.
    pub is_renewal: bool,
}

/// What an [`Approver`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // Yes or no.
pub enum Approval {
    /// It may be asked for.
    Approved {
        /// Who says so, for the record.
        by: String,
    },
    /// It may not.
    Denied {
        /// Who says so, for the record.
        by: String,
        /// Why, for whoever wished for it.
        reason: String,
    },
}

/// Rules that most who have rules have: how many names, and who may ask for wildcards.
///
/// ```
/// use perennial_lifecycle::{CertificateSpec, Rules};
///
/// let rules = Rules::new().most_names(10).wildcards_for(["platform-team"]);
/// let wildcard = CertificateSpec::new("shop", ["*.shop.example"])?;
/// assert!(rules.objection(&wildcard, Some("platform-team")).is_none());
/// let objection = rules.objection(&wildcard, Some("shop-team")).unwrap_or_default();
/// assert!(objection.contains("*.shop.example"), "{objection}");
/// # Ok::<(), perennial_lifecycle::SpecError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    most_names: Option<usize>,
    wildcards_for: Option<Vec<String>>,
}

impl Rules {
    /// No rules yet: everything is approved.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many names a certificate may have, of all kinds. Default: as many as a spec may.
    #[must_use]
    pub const fn most_names(mut self, most: usize) -> Self {
        self.most_names = Some(most);
        self
    }

    /// Who may ask for wildcards. Default: everybody.
    #[must_use]
    pub fn wildcards_for<R: Into<String>>(mut self, requesters: impl IntoIterator<Item = R>) -> Self {
        self.wildcards_for = Some(requesters.into_iter().map(Into::into).collect());
        self
    }

    /// Why this requester may not have that certificate, if he may not: a pure function.
    #[must_use]
    pub fn objection(&self, spec: &CertificateSpec, requester: Option<&str>) -> Option<String> {
        let names = spec.names_in_all();
        if let Some(most) = self.most_names.filter(|most| names > *most) {
            return Some(format!("it has {names} names and may have {most}: split it up"));
        }
        let wildcard = spec.names().iter().find(|name| name.is_wildcard())?;
        let allowed = self.wildcards_for.as_ref()?;
        let may = requester.is_some_and(|requester| allowed.iter().any(|allowed| allowed == requester));
        let who = requester.unwrap_or("whoever wished for it");
        (!may).then(|| {
            format!("{who} may not ask for the wildcard {wildcard}: name its hosts, or ask one who may")
        })
    }
}

#[async_trait]
impl Approver for Rules {
    async fn approve(&self, request: &ApprovalRequest<'_>) -> Result<Approval, String> {
        let by = "the rules of this keeper".to_owned();
        Ok(match self.objection(request.spec, request.requester) {
            Some(reason) => Approval::Denied { by, reason },
            None => Approval::Approved { by },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_count_names_of_all_kinds_and_know_who_may_ask_for_wildcards() {
        let spec = |names: &[&str]| CertificateSpec::new("a", names).unwrap();
        let rules = Rules::new().most_names(2).wildcards_for(["ops"]);
        assert_eq!(rules.objection(&spec(&["a.example", "192.0.2.1"]), None), None);
        let many = rules.objection(&spec(&["a.example", "b.example", "192.0.2.1"]), None).unwrap();
        assert!(many.contains("3 names"), "{many}");
        assert_eq!(rules.objection(&spec(&["*.a.example"]), Some("ops")), None);
        for other in [Some("shop"), None] {
            assert!(rules.objection(&spec(&["*.a.example"]), other).is_some(), "{other:?}");
        }
        assert_eq!(Rules::new().objection(&spec(&["*.a.example", "b.example"]), None), None);
    }
}
