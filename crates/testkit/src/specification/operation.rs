//! What the forms have in common: operations, their parameters, bodies and answers.

use http::{HeaderMap, Method};
use serde_json::Value;

/// One thing that can be asked of a vendor.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// As violations call it.
    pub(super) name: String,
    pub(super) methods: Vec<Method>,
    pub(super) path: Template,
    /// Where one path serves many operations: who says which.
    pub(super) action: Option<Action>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Content>,
    pub(super) answers: Vec<Answer>,
    /// Alternatives; in each, all credentials are needed. None at all where the document does not tell.
    pub(super) credentials: Vec<Vec<Credential>>,
}

/// A value that tells which operation a request is: in a header, or in a query parameter.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) header: &'static str,
    pub(super) query: Option<&'static str>,
    pub(super) value: String,
}

impl Action {
    pub(super) fn is_asked_for(&self, headers: &HeaderMap, query: &[(String, String)]) -> bool {
        let in_header =
            headers.get(self.header).is_some_and(|value| value.as_bytes() == self.value.as_bytes());
        let in_query = |name: &str| query.iter().any(|(key, value)| key == name && *value == self.value);
        in_header || self.query.is_some_and(in_query)
    }
}

/// The path of an operation: segments, some of them to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// A literal whose case does not matter.
    Caseless(String),
    Literal(String),
    Parameter(String),
}

impl Template {
    /// Reads `/zones/{zone_id}`.
    pub(super) fn parse(text: &str) -> Self {
        let segments = text.trim_start_matches('/').split('/').map(|segment| {
            // A sign before the closing brace is RFC 6570's: what is filled in may have slashes.
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match name {
                Some(name) => Segment::Parameter(name.trim_matches('+').to_owned()),
                None => Segment::Literal(segment.to_owned()),
            }
        });
        Self(segments.collect())
    }

    /// The same where the case of fixed segments does not matter.
    pub(super) fn ignoring_case(self) -> Self {
        Self(
            self.0
                .into_iter()
                .map(|segment| match segment {
                    Segment::Literal(text) => Segment::Caseless(text),
                    other => other,
                })
                .collect(),
        )
    }

    /// What fills the parameters, when the path fits; percent-encoding undone.
    pub(super) fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let given: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        if given.len() != self.0.len() {
            return None;
        }
        let mut filled = Vec::new();
        for (segment, given) in self.0.iter().zip(given) {
            let given = percent_encoding::percent_decode_str(given).decode_utf8_lossy();
            match segment {
                Segment::Caseless(text) if text.eq_ignore_ascii_case(&given) => {}
                Segment::Literal(text) if *text == given => {}
                Segment::Parameter(name) if !given.is_empty() => {
                    filled.push((name.clone(), given.into_owned()));
                }
                Segment::Caseless(_) | Segment::Literal(_) | Segment::Parameter(_) => return None,
            }
        }
        Some(filled)
    }

    /// How exact it is: of two that fit, the one with more fixed segments is meant (OpenAPI, "Path
    /// Templating Matching").
    pub(super) fn literals(&self) -> usize {
        self.0.iter().filter(|segment| !matches!(segment, Segment::Parameter(_))).count()
    }
}

/// One parameter outside the body.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) required: bool,
    pub(super) schema: Value,
    pub(super) lists: Lists,
}

/// Where a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Path,
    Query,
}

/// How a parameter carries more than one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// Separated by commas.
    Commas,
    /// By being there more than once.
    Repeated,
}

/// A body: its media types, and the schema of each.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) required: bool,
    pub(super) media: Vec<(String, Value)>,
}

impl Content {
    pub(super) fn json(schema: Value) -> Self {
        Self { required: true, media: vec![("application/json".to_owned(), schema)] }
    }
}

/// A documented answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: Status,
    /// `None` is an answer without a body.
    pub(super) content: Option<Content>,
}

/// Which answers are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// All that have no other description.
    Default,
    Exactly(u16),
    /// All of a hundred: `4XX`.
    Hundred(u16),
}

impl Status {
    /// Reads `200`, `4XX` and `default`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "default" {
            return Some(Self::Default);
        }
        match text.strip_suffix("XX").or_else(|| text.strip_suffix("xx")) {
            Some(hundred) => hundred.parse().ok().map(Self::Hundred),
            None => text.parse().ok().map(Self::Exactly),
        }
    }

    /// How well it fits: the larger, the better; `None` if not at all.
    pub(super) const fn fits(self, status: u16) -> Option<u8> {
        match self {
            Self::Default => Some(0),
            Self::Hundred(hundred) if status / 100 == hundred => Some(1),
            Self::Exactly(exactly) if status == exactly => Some(2),
            Self::Exactly(_) | Self::Hundred(_) => None,
        }
    }
}

/// What shows who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// `Authorization` with this scheme (RFC 9110 §11.4), or with any when empty.
    Authorization(String),
    Header(String),
    Query(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_fills_its_template_whole_or_not_at_all() {
        let template = Template::parse("/zones/{zone}/records/{id}");
        let filled = template.matches("/zones/example.com/records/%40a").unwrap();
        assert_eq!(filled, [("zone".into(), "example.com".into()), ("id".into(), "@a".into())]);
        for path in ["/zones/example.com/records", "/zones/example.com/records/", "/zones/a/record/1"] {
            assert_eq!(template.matches(path), None, "{path}");
        }
        assert!(Template::parse("/zone/{Id}/rrset/").matches("/zone/Z1/rrset").is_none(), "the final slash");
    }

    #[test]
    fn case_matters_in_what_is_filled_in_alone_where_it_does_not_matter() {
        let template = Template::parse("/dnsZones/{zone}").ignoring_case();
        let filled = template.matches("/dnszones/Example.com").unwrap();
        assert_eq!(filled, [("zone".into(), "Example.com".into())]);
        assert_eq!(template.matches("/dnszone/example.com"), None);
        assert_eq!(Template::parse("/dnsZones/{zone}").matches("/dnszones/example.com"), None);
        assert_eq!(template.literals(), 1);
    }

    #[test]
    fn the_exact_status_comes_before_its_hundred_and_that_before_the_rest() {
        let fits = |text: &str| Status::parse(text).unwrap().fits(404);
        assert_eq!(
            ["404", "4XX", "default", "403", "5xx"].map(fits),
            [Some(2), Some(1), Some(0), None, None]
        );
        assert_eq!(Status::parse("x-extension"), None);
    }
}
