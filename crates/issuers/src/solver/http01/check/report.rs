//! The diagnosis as people and programs read it.

use std::fmt;

use perennial_core::DomainName;
use serde::{Serialize, Serializer};

use super::{Advice, Answer, Evidence, Observation, Verdict, diagnosis::diagnose};

/// What one look at one challenge has found: a row for each address of the name, the verdict and the advice.
///
/// It prints as a small table, and serializes for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Http01Report {
    /// The name that is to be proven.
    pub name: DomainName,
    /// What the CA will fetch: shown, to try by hand and from elsewhere.
    pub url: String,
    /// Whether the CA will see the answer.
    pub verdict: Verdict,
    /// A row for each address of the name; none where they could not be looked up.
    pub rows: Vec<Observation>,
    /// What was found where this machine shows the answer itself, if that was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Observation>,
    /// What was seen from elsewhere, if there is such a place.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "outside")]
    pub outside: Option<Result<Answer, String>>,
    /// What to do.
    pub advice: Vec<Advice>,
}

fn outside<S: Serializer>(
    outside: &Option<Result<Answer, String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match outside {
        Some(Ok(answer)) => answer.serialize(serializer),
        Some(Err(reason)) => serializer.serialize_str(reason),
        None => serializer.serialize_none(),
    }
}

impl Http01Report {
    /// Weighs what was found.
    #[must_use]
    pub fn new(name: DomainName, url: String, evidence: Evidence) -> Self {
        let (verdict, advice) = diagnose(&evidence);
        let Evidence { rows, local, outside, .. } = evidence;
        Self { name, url, verdict, rows: rows.unwrap_or_default(), local, outside, advice }
    }

    /// The verdict and the advice, on one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let advice: Vec<String> = self.advice.iter().map(ToString::to_string).collect();
        let told = if advice.is_empty() { String::new() } else { format!(": {}", advice.join("; ")) };
        format!("{} {}{told}", self.url, self.verdict)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "does not give the answer that the CA wants",
            Self::Inconclusive => "cannot be judged from here",
            Self::Pass => "gives the right answer",
        })
    }
}

impl fmt::Display for Http01Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.verdict)?;
        for row in &self.rows {
            write_row(f, row.address, row)?;
        }
        for row in &self.local {
            write_row(f, format_args!("here, at {}", row.asked), row)?;
        }
        match &self.outside {
            Some(Ok(answer)) if answer.is_right() => write!(f, "\n  from outside: the right answer")?,
            Some(Ok(answer)) => {
                write!(f, "\n  from outside: status {} and {:?}", answer.status, answer.body)?
            }
            Some(Err(reason)) => write!(f, "\n  from outside: {reason}")?,
            None => {}
        }
        self.advice.iter().try_for_each(|advice| write!(f, "\n  -> {advice}"))
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, place: impl fmt::Display, row: &Observation) -> fmt::Result {
    write!(f, "\n  {place}")?;
    if let Some(nat64) = row.nat64 {
        write!(f, " (through {})", nat64.prefix)?;
    }
    write!(f, ": {}", row.found)?;
    match row.redirects.as_slice() {
        [] => Ok(()),
        redirects => write!(f, ", after redirects to {}", redirects.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::observation::Found;
    use super::*;
    use http::HeaderMap;

    #[test]
    fn a_report_reads_as_a_table_and_serializes_for_programs() {
        let seen = |body: &[u8]| Found::Answered(Answer::read(200, &HeaderMap::new(), body, "t.k"));
        let at = |address: &str, found| Observation::new(format!("{address}:80").parse().unwrap(), found);
        let evidence = Evidence {
            expected: "t.k".to_owned(),
            rows: Ok(vec![at("[2001:db8::7]", Found::Refused), at("192.0.2.7", seen(b"hello"))]),
            local: vec![at("127.0.0.1", seen(b"t.k"))],
            outside: Some(Err("no answer".to_owned())),
        };
        let report =
            Http01Report::new("a.example".parse().unwrap(), "http://a.example/x".to_owned(), evidence);
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..5],
            [
                "http://a.example/x does not give the answer that the CA wants",
                "  2001:db8::7: connection refused",
                "  192.0.2.7: status 200 and \"hello\"",
                "  here, at 127.0.0.1:80: the right answer",
                "  from outside: no answer",
            ]
        );
        assert!(lines[5].starts_with("  -> this machine shows the answer"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["verdict"], "fail");
        assert_eq!(json["rows"][0]["found"], "refused");
        assert_eq!(json["rows"][1]["found"]["answered"]["status"], 200);
        assert_eq!(json["advice"][0]["advice"], "hairpin");
    }
}
