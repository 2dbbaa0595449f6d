//! May it issue? RFC 8659 §3 and §4 with RFC 8657, as a function of what the servers said.

use std::fmt;

use perennial_core::DomainName;
use serde::Serialize;

use super::{Authorization, Malformed, Parameter, Property, Question, Record};
use crate::zone::list;

/// Whether the CA may issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
#[allow(clippy::exhaustive_enums)] // Yes, no, and nobody knows are all there is; callers match on it.
pub enum Decision {
    /// It may.
    Allowed {
        /// The record that says so; `None` where no record restricts issuance.
        record: Option<Record>,
    },
    /// It may not: no record allows it, and at least one restricts issuance.
    Forbidden {
        /// The record that comes nearest to allowing it.
        record: Box<Record>,
        /// Why that one does not.
        refusal: Refusal,
    },
    /// It cannot be told from here. The CA decides.
    Inconclusive {
        /// Why.
        doubt: Doubt,
    },
}

/// Why a record does not allow issuance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// It allows another account only (RFC 8657 §3).
    Account {
        /// Which.
        allowed: String,
    },
    /// It has `accounturi` more than once, which nothing satisfies (RFC 8657 §3).
    AccountRepeated,
    /// It allows another issuer.
    Issuer {
        /// Which.
        allowed: String,
    },
    /// Its value is not as the grammar has it, and so allows nobody (RFC 8659 §4.2).
    Malformed {
        /// What is wrong with it.
        fault: Malformed,
    },
    /// It allows other methods only (RFC 8657 §4).
    Method {
        /// Which; perhaps none.
        allowed: Vec<String>,
    },
    /// Its `validationmethods` is no list of methods, which nothing satisfies (RFC 8657 §4).
    MethodsMalformed,
    /// It has `validationmethods` more than once, which nothing satisfies (RFC 8657 §4).
    MethodsRepeated,
    /// It allows nobody.
    Nobody,
}

/// Why it cannot be told whether the CA may issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Doubt {
    /// A record allows one account only, and it is not known which one will be used.
    AccountUndecided {
        /// The account that it allows.
        allowed: String,
    },
    /// A record is critical, and not every CA knows its tag (RFC 8659 §4.5).
    Critical {
        /// That record.
        record: Box<Record>,
    },
    /// The servers of a name do not say the same, and it matters.
    Disagreement {
        /// The name.
        name: DomainName,
    },
    /// A record names an issuer, and it is not known by which names this CA goes.
    IssuerUnknown {
        /// The issuer that it allows.
        allowed: String,
    },
    /// A name could not be looked up.
    LookupFailed {
        /// The name.
        name: DomainName,
        /// Why.
        reason: String,
    },
    /// A record allows some methods only, and it is not known which one will be used.
    MethodUndecided {
        /// The methods that it allows.
        allowed: Vec<String>,
    },
}

/// What was learnt about one name: one of the things that its servers say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // The decision's own alphabet: a new letter changes its rule.
pub enum Outcome {
    /// It has no CAA records.
    Empty,
    /// It could not be looked up.
    Failed {
        /// Why.
        reason: String,
    },
    /// It has these, at least one.
    Records {
        /// All of them.
        records: Vec<Record>,
    },
}

/// The names to ask about, in that order: the name itself, then each of its ancestors up to the top-level
/// domain, the root not included (RFC 8659 §3). The first that has records decides.
///
/// ```
/// let name = "X.Y.Z".parse()?;
/// let asked: Vec<_> = perennial_propagation::caa::climb(&name).map(|name| name.to_string()).collect();
/// assert_eq!(asked, ["x.y.z", "y.z", "z"]);
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
pub fn climb(name: &DomainName) -> impl Iterator<Item = DomainName> + use<> {
    std::iter::successors(Some(name.base()), DomainName::parent)
}

/// Decides by all that was learnt: each name of the [`climb`] as far as it went, with everything that its
/// servers say about it. More than one outcome of a name means that they contradict each other; that is no
/// doubt where each of them leads to the same decision.
#[must_use]
pub fn decide(question: &Question, levels: &[(DomainName, Vec<Outcome>)]) -> Decision {
    let Some(((name, outcomes), above)) = levels.split_first() else {
        return Decision::Allowed { record: None };
    };
    let failed = |reason: &str| {
        let doubt = Doubt::LookupFailed { name: name.clone(), reason: reason.to_owned() };
        Decision::Inconclusive { doubt }
    };
    let mut decisions = outcomes.iter().map(|outcome| match outcome {
        Outcome::Empty => decide(question, above),
        Outcome::Failed { reason } => failed(reason),
        Outcome::Records { records } => judge(question, records),
    });
    let Some(first) = decisions.next() else { return failed("nobody was asked") };
    decisions.fold(first, |one, other| match (&one, &other) {
        (Decision::Inconclusive { .. }, _) => one,
        (_, Decision::Inconclusive { .. }) => other,
        (Decision::Allowed { .. }, Decision::Allowed { .. })
        | (Decision::Forbidden { .. }, Decision::Forbidden { .. }) => one,
        (Decision::Allowed { .. }, Decision::Forbidden { .. })
        | (Decision::Forbidden { .. }, Decision::Allowed { .. }) => {
            Decision::Inconclusive { doubt: Doubt::Disagreement { name: name.clone() } }
        }
    })
}

/// What the records of one name say: the relevant record set of RFC 8659 §3, if there is at least one.
#[must_use]
pub fn judge(question: &Question, records: &[Record]) -> Decision {
    let allowed = match weigh(question, records) {
        Decision::Allowed { record } => record,
        other => return other,
    };
    match records.iter().find(|record| record.is_critical_and_unusual()) {
        Some(record) => {
            Decision::Inconclusive { doubt: Doubt::Critical { record: Box::new(record.clone()) } }
        }
        None => Decision::Allowed { record: allowed },
    }
}

/// The same without a look at what is critical.
fn weigh(question: &Question, records: &[Record]) -> Decision {
    // RFC 8659 §4.3: one issuewild takes the place of every issue, for wildcards and for nothing else.
    let by_wildcard = question.wildcard && records.iter().any(|record| wild(record).is_some());
    let counts = if by_wildcard { wild } else { plain };
    let mut refused: Option<(&Record, Refusal)> = None;
    let mut doubt = None;
    for record in records {
        let Some(authorization) = counts(record) else { continue };
        match stands(question, authorization) {
            Stands::Allows => return Decision::Allowed { record: Some(record.clone()) },
            Stands::Open(why) => doubt = doubt.or(Some(why)),
            Stands::Refuses(why) => {
                if refused.as_ref().is_none_or(|(_, other)| other.distance() > why.distance()) {
                    refused = Some((record, why));
                }
            }
        }
    }
    match (doubt, refused) {
        (Some(doubt), _) => Decision::Inconclusive { doubt },
        (None, Some((record, refusal))) => Decision::Forbidden { record: Box::new(record.clone()), refusal },
        // RFC 8659 §3: a set that does not restrict issuance restricts nobody.
        (None, None) => Decision::Allowed { record: None },
    }
}

const fn plain(record: &Record) -> Option<&Authorization> {
    match &record.property {
        Property::Issue { authorization } => Some(authorization),
        _ => None,
    }
}

const fn wild(record: &Record) -> Option<&Authorization> {
    match &record.property {
        Property::Issuewild { authorization } => Some(authorization),
        _ => None,
    }
}

/// What one authorization means for the question.
enum Stands {
    Allows,
    Open(Doubt),
    Refuses(Refusal),
}

fn stands(question: &Question, authorization: &Authorization) -> Stands {
    let (domain, parameters) = match authorization {
        Authorization::Issuer { domain, parameters } => (domain, parameters),
        Authorization::Malformed { fault } => return Stands::Refuses(Refusal::Malformed { fault: *fault }),
        Authorization::Nobody => return Stands::Refuses(Refusal::Nobody),
    };
    let ours = question.issuers.iter().any(|issuer| issuer.eq_ignore_ascii_case(domain));
    if !ours && !question.issuers.is_empty() {
        return Stands::Refuses(Refusal::Issuer { allowed: domain.clone() });
    }
    let unknown = (!ours).then(|| Stands::Open(Doubt::IssuerUnknown { allowed: domain.clone() }));
    let parts = [account(question, parameters), method(question, parameters), unknown];
    // What refuses does so whatever is still open.
    let mut parts: Vec<Stands> = parts.into_iter().flatten().collect();
    let at = parts.iter().position(|part| matches!(part, Stands::Refuses(_))).unwrap_or(0);
    if parts.is_empty() { Stands::Allows } else { parts.swap_remove(at) }
}

/// `accounturi`; `None` when it stands in no way.
fn account(question: &Question, parameters: &[Parameter]) -> Option<Stands> {
    match values(parameters, "accounturi").as_slice() {
        [] => None,
        [allowed] => match &question.account {
            Some(account) if account == allowed => None,
            Some(_) => Some(Stands::Refuses(Refusal::Account { allowed: (*allowed).to_owned() })),
            None => Some(Stands::Open(Doubt::AccountUndecided { allowed: (*allowed).to_owned() })),
        },
        [_, _, ..] => Some(Stands::Refuses(Refusal::AccountRepeated)),
    }
}

/// `validationmethods`; `None` when it stands in no way.
fn method(question: &Question, parameters: &[Parameter]) -> Option<Stands> {
    let list = match values(parameters, "validationmethods").as_slice() {
        [] => return None,
        [list] => *list,
        [_, _, ..] => return Some(Stands::Refuses(Refusal::MethodsRepeated)),
    };
    let allowed: Vec<String> =
        if list.is_empty() { Vec::new() } else { list.split(',').map(str::to_owned).collect() };
    let is_label = |label: &String| {
        !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    if !allowed.iter().all(is_label) {
        return Some(Stands::Refuses(Refusal::MethodsMalformed));
    }
    let ours = |label: &String| question.methods.iter().any(|method| method.eq_ignore_ascii_case(label));
    if allowed.iter().any(ours) {
        None
    } else if allowed.is_empty() || !question.methods.is_empty() {
        Some(Stands::Refuses(Refusal::Method { allowed }))
    } else {
        Some(Stands::Open(Doubt::MethodUndecided { allowed }))
    }
}

fn values<'a>(parameters: &'a [Parameter], tag: &str) -> Vec<&'a str> {
    parameters
        .iter()
        .filter(|parameter| parameter.tag == tag)
        .map(|parameter| parameter.value.as_str())
        .collect()
}

impl Refusal {
    /// How far the record is from allowing: what names the issuer is nearer than what names another.
    const fn distance(&self) -> u8 {
        match self {
            Self::Account { .. }
            | Self::AccountRepeated
            | Self::Method { .. }
            | Self::MethodsMalformed
            | Self::MethodsRepeated => 0,
            Self::Malformed { .. } => 1,
            Self::Issuer { .. } => 2,
            Self::Nobody => 3,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed { record: Some(record) } => write!(f, "allowed: {} has {record}", record.domain),
            Self::Allowed { record: None } => f.write_str("allowed: no CAA record restricts issuance"),
            Self::Forbidden { record, refusal } => {
                write!(f, "forbidden: {} has {record}: {refusal}", record.domain)
            }
            Self::Inconclusive { doubt } => write!(f, "cannot tell: {doubt}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { allowed } => write!(f, "it allows the account {allowed} only"),
            Self::AccountRepeated => f.write_str("it has accounturi more than once, which allows nobody"),
            Self::Issuer { allowed } => write!(f, "it allows {allowed}"),
            Self::Malformed { fault } => write!(f, "it allows nobody, since {fault}"),
            Self::Method { allowed } if allowed.is_empty() => f.write_str("it allows no method"),
            Self::Method { allowed } => write!(f, "it allows {} only", list(allowed)),
            Self::MethodsMalformed => f.write_str("its validationmethods is no list, which allows nobody"),
            Self::MethodsRepeated => {
                f.write_str("it has validationmethods more than once, which allows nobody")
            }
            Self::Nobody => f.write_str("it allows nobody"),
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountUndecided { allowed } => {
                write!(f, "only the account {allowed} is allowed, and the account is not known")
            }
            Self::Critical { record } => {
                write!(f, "{} has {record}, which a CA must know before it may issue", record.domain)
            }
            Self::Disagreement { name } => write!(f, "the name servers of {name} contradict each other"),
            Self::IssuerUnknown { allowed } => {
                write!(f, "{allowed} is allowed, and it is not known by which names the CA goes")
            }
            Self::LookupFailed { name, reason } => write!(f, "{name} could not be looked up: {reason}"),
            Self::MethodUndecided { allowed } => {
                write!(f, "only {} is allowed, and the method is not known", list(allowed))
            }
        }
    }
}

#[cfg(test)]
mod tests;
