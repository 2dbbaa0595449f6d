//! What a CA says of the names of an order that it refuses.

use perennial_acme::{OrderInvalid, Problem};
use perennial_core::DomainName;

use super::walk::wildcard_of;

/// A name that was refused.
pub(super) struct Refusal<'a> {
    pub(super) name: DomainName,
    /// What the CA calls it, if it does.
    pub(super) problem: Option<&'a Problem>,
    pub(super) reason: String,
}

/// Which of the names that were asked for were refused, and why: some CAs say so of the authorizations, some in the
/// order's own problem or its parts (RFC 8555 §6.7.1), where a wildcard may go by its base name.
pub(super) fn refusals<'a>(
    order: &'a OrderInvalid,
    is_asked: impl Fn(&DomainName) -> bool,
) -> Vec<Refusal<'a>> {
    let of_authorizations = order.failures.iter().filter_map(|failure| {
        let name = failure.identifier.dns()?;
        let name = if failure.wildcard { wildcard_of(name) } else { name.clone() };
        let problem = failure.problem.as_ref();
        let reason = problem.map_or_else(|| failure.to_string(), ToString::to_string);
        Some(Refusal { name, problem, reason })
    });
    let problems = order.problem.iter().flat_map(|problem| [problem].into_iter().chain(&problem.subproblems));
    let of_order = problems.filter_map(|problem| {
        let name = problem.identifier.as_ref()?.dns()?;
        let name = [name.clone(), wildcard_of(name)].into_iter().find(&is_asked)?;
        Some(Refusal { name, problem: Some(problem), reason: problem.to_string() })
    });
    of_authorizations.chain(of_order).collect()
}
