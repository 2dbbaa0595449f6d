//! Problem documents: RFC 7807 with the types of RFC 8555 §6.7.

use http::StatusCode;
use serde_json::{Value, json};

use super::identifier::Identifier;

/// Why a request is refused, or what became of a challenge.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) kind: &'static str,
    pub(super) status: StatusCode,
    detail: String,
    identifier: Option<Identifier>,
    subproblems: Vec<Self>,
    /// The signature algorithms that are understood: RFC 8555 §6.2 wants them beside
    /// `badSignatureAlgorithm`.
    algorithms: &'static [&'static str],
}

impl Problem {
    pub(super) fn new(kind: &'static str, status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { kind, status, detail, identifier: None, subproblems: Vec::new(), algorithms: &[] }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new("malformed", StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new("unauthorized", StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn bad_csr(detail: impl Into<String>) -> Self {
        Self::new("badCSR", StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new("malformed", StatusCode::NOT_FOUND, format!("no such {what}"))
    }

    pub(super) fn about(mut self, identifier: &Identifier) -> Self {
        self.identifier = Some(identifier.base());
        self
    }

    pub(super) fn with_algorithms(mut self, algorithms: &'static [&'static str]) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// One problem for several: itself when it is alone (RFC 8555 §6.7.1).
    pub(super) fn all(mut problems: Vec<Self>) -> Option<Self> {
        let first = problems.first()?.clone();
        if problems.len() == 1 {
            return problems.pop();
        }
        let detail = format!("{} identifiers are refused, see the subproblems", problems.len());
        Some(Self { detail, identifier: None, subproblems: problems, ..first })
    }

    pub(super) fn urn(&self) -> String {
        format!("urn:ietf:params:acme:error:{}", self.kind)
    }

    pub(super) fn to_json(&self) -> Value {
        let mut json = json!({"type": self.urn(), "detail": self.detail, "status": self.status.as_u16()});
        if let Some(identifier) = &self.identifier {
            json["identifier"] = identifier.to_json();
        }
        if !self.subproblems.is_empty() {
            json["subproblems"] = self.subproblems.iter().map(Self::to_json).collect();
        }
        if !self.algorithms.is_empty() {
            json["algorithms"] = json!(self.algorithms);
        }
        json
    }
}
