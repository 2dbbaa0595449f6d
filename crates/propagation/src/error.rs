//! What can go wrong, sorted by whose fault it is.

use std::time::Duration;

use perennial_core::{DomainName, Retry};

use crate::{NameServerError, Report, transport::TransportError, wire::ResponseCode};

/// Why there is no report, or why the report is bad news.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Ours or the caller's to mend.
    /// A text names no DNS server.
    #[error(transparent)]
    BadNameServer(#[from] NameServerError),
    /// An environment variable holds something else than it should.
    #[error("{variable}={value:?} cannot be used: {remedy}")]
    BadSetting {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What to use instead.
        remedy: String,
    },
    /// A DNS-over-HTTPS server was given and no HTTP client.
    #[error("{server} speaks HTTPS and there is no HTTP client; give one to the checker's builder")]
    NoHttpClient {
        /// The server.
        server: String,
    },
    /// No resolver was given and the operating system names none.
    #[error("no resolver: {path} names none ({reason}); give name servers to the checker's builder")]
    NoResolver {
        /// The file that was read.
        path: String,
        /// What was wrong with it.
        reason: String,
    },
    /// No TXT value was given, so every answer would do.
    #[error("no TXT value is wanted at {name}, so there is nothing to wait for; give at least one")]
    NothingWanted {
        /// The name.
        name: DomainName,
    },
    /// The roots for DNS over TLS cannot be used.
    #[error("cannot set up DNS over TLS: {reason}")]
    TlsRoots {
        /// The reason.
        reason: String,
    },

    // The world's.
    /// The aliases of a name have no end.
    #[error("the aliases of {name} lead nowhere: {reason}; mend the CNAME records")]
    AliasesLeadNowhere {
        /// The name.
        name: DomainName,
        /// Where they go.
        reason: String,
    },
    /// No server of a zone says anything about a name.
    #[error("no name server of {zone} says what {name} is; check whether they answer for the zone")]
    NobodyKnows {
        /// The name.
        name: DomainName,
        /// The zone.
        zone: DomainName,
    },
    /// A zone exists and nobody serves it.
    #[error("the zone {zone} has no name servers; check its delegation")]
    NoNameServers {
        /// The zone.
        zone: DomainName,
    },
    /// The values are not visible where the CA will look.
    #[error("{}", summary(.0))]
    NotPropagated(Box<Report>),
    /// No zone holds the name, as far as the resolvers know.
    #[error("no zone of {name} was found; asked about {}", crate::zone::list(.tried))]
    NoZone {
        /// The name.
        name: DomainName,
        /// The names that were asked about instead.
        tried: Vec<DomainName>,
    },
    /// No resolver answers at all.
    #[error("no resolver answers the question for {question}: {}{}", silence(.failures), also(.walk))]
    ResolversSilent {
        /// The question.
        question: String,
        /// Each resolver, and what happened.
        failures: Vec<(String, TransportError)>,
        /// Why the walk from the root, which is taken then, led nowhere either.
        walk: Option<String>,
    },
    /// The resolvers answer with errors.
    #[error("no resolver is willing to answer the question for {question}: {resolver} answers {code}{}", also(.walk))]
    ResolversUnwilling {
        /// The question.
        question: String,
        /// The last that was asked.
        resolver: String,
        /// What it answered.
        code: ResponseCode,
        /// Why the walk from the root, which is taken then, led nowhere either.
        walk: Option<String>,
    },
    /// The zone was not found in time.
    #[error("the zone of {name} was not found within {} s; some resolvers or name servers are slow", .limit.as_secs())]
    TooSlow {
        /// The name.
        name: DomainName,
        /// The time that was allowed.
        limit: Duration,
    },
    /// The walk from the root to the zone led nowhere.
    #[error("the zone of {name} was not found on the way from the root: {reason}")]
    WalkFailed {
        /// The name.
        name: DomainName,
        /// Where it ended, and why.
        reason: String,
    },
}

impl Error {
    /// Whether the same call can succeed later without anybody changing the program.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::BadNameServer(_)
            | Self::BadSetting { .. }
            | Self::NoHttpClient { .. }
            | Self::NothingWanted { .. }
            | Self::TlsRoots { .. } => Retry::Never,
            // A name that is no name under any zone stays one; with labels tried, a zone may yet appear.
            Self::NoZone { tried, .. } if tried.is_empty() => Retry::Never,
            Self::AliasesLeadNowhere { .. }
            | Self::NoNameServers { .. }
            | Self::NoResolver { .. }
            | Self::NobodyKnows { .. }
            | Self::NotPropagated(_)
            | Self::NoZone { .. }
            | Self::ResolversSilent { .. }
            | Self::ResolversUnwilling { .. }
            | Self::TooSlow { .. }
            | Self::WalkFailed { .. } => Retry::Backoff,
        }
    }
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "{} TXT is {} after {:.1} s",
        report.wanted.name(),
        report.verdict,
        report.elapsed.as_secs_f64()
    );
    for (index, advice) in report.advice.iter().enumerate() {
        text.push_str(if index == 0 { ": " } else { "; " });
        text.push_str(&advice.to_string());
    }
    text
}

fn also(walk: &Option<String>) -> String {
    walk.as_ref()
        .map(|reason| format!("; nor does the way from the root lead there: {reason}"))
        .unwrap_or_default()
}

fn silence(failures: &[(String, TransportError)]) -> String {
    if failures.is_empty() {
        return "there is none that can be reached from here".to_owned();
    }
    failures.iter().map(|(server, error)| format!("{server}: {error}")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_thing_and_the_remedy() {
        let name: DomainName = "_acme-challenge.example.com".parse().unwrap();
        let silent = Error::ResolversSilent {
            question: "example.com SOA".into(),
            failures: vec![("10.0.0.1:53".into(), TransportError::Timeout)],
            walk: None,
        };
        assert_eq!(
            silent.to_string(),
            "no resolver answers the question for example.com SOA: 10.0.0.1:53: no answer in time"
        );
        assert_eq!(silent.retry(), Retry::Backoff);
        assert_eq!(Error::NothingWanted { name: name.clone() }.retry(), Retry::Never);
        assert_eq!(Error::NoZone { name, tried: vec![] }.retry(), Retry::Never);
        let bad = Error::from("8.8.8.8:0".parse::<crate::NameServer>().unwrap_err());
        assert!(bad.to_string().contains("1 to 65535"));
    }
}
