//! One exchange against one operation.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use serde_json::Value;

use super::{
    Specification, Violation, body,
    operation::{Content, Credential, Lists, Operation, Parameter, Place},
    schema::{Side, typed},
};

/// The operation that a request asks for, with what it gives.
pub(super) struct Found<'s> {
    operation: &'s Operation,
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

/// Which operation a request asks for.
pub(super) fn find<'s>(
    specification: &'s Specification,
    request: &Request<Bytes>,
) -> Result<Found<'s>, Violation> {
    let path = request.uri().path();
    let query = pairs(request.uri().query().unwrap_or_default());
    let here = within(specification, path).flat_map(|path| {
        let operations = specification.operations.iter();
        operations.filter_map(move |operation| Some((operation, operation.path.matches(path)?)))
    });
    let mut candidates: Vec<_> = here.collect();
    let unknown = |place: &str, reason: String| Violation {
        operation: format!("{} {path}", request.method()),
        place: place.to_owned(),
        reason,
    };
    let most = candidates.iter().map(|(operation, _)| operation.path.literals()).max();
    candidates.retain(|(operation, _)| Some(operation.path.literals()) == most);
    if candidates.is_empty() {
        return Err(unknown("path", "the document has no such path".to_owned()));
    }
    let named = |operation: &Operation| {
        operation.action.as_ref().is_none_or(|action| action.is_asked_for(request.headers(), &query))
    };
    candidates.retain(|(operation, _)| named(operation));
    if candidates.is_empty() {
        return Err(unknown("action", "the document has no such action".to_owned()));
    }
    let methods: Vec<_> = candidates.iter().flat_map(|(operation, _)| &operation.methods).collect();
    let reason = format!("the document has no such method there, but {methods:?}");
    let fitting = candidates.into_iter().find(|(operation, _)| operation.methods.contains(request.method()));
    match fitting {
        Some((operation, path)) => Ok(Found { operation, path, query }),
        None => Err(unknown("method", reason)),
    }
}

/// The path without what the servers' URLs have before it; the whole one last, for those who mount an
/// interface at the root.
fn within<'p>(specification: &Specification, path: &'p str) -> impl Iterator<Item = &'p str> {
    let stripped = specification.bases.iter().find_map(|base| {
        let rest = path.strip_prefix(base.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    });
    stripped.into_iter().chain([path])
}

/// What is wrong with a request.
pub(super) fn request(
    specification: &Specification,
    found: &Found<'_>,
    request: &Request<Bytes>,
) -> Vec<Violation> {
    let mut judge = Judge { specification, operation: found.operation, violations: Vec::new() };
    judge.parameters(found, request.headers());
    judge.credentials(found, request.headers());
    judge.request_body(request);
    judge.violations
}

/// What is wrong with a response.
pub(super) fn response(
    specification: &Specification,
    found: &Found<'_>,
    response: &Response<Bytes>,
) -> Vec<Violation> {
    let mut judge = Judge { specification, operation: found.operation, violations: Vec::new() };
    judge.response(response);
    judge.violations
}

struct Judge<'s> {
    specification: &'s Specification,
    operation: &'s Operation,
    violations: Vec<Violation>,
}

impl Judge<'_> {
    fn say(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        self.violations.push(Violation {
            operation: self.operation.name.clone(),
            place: place.into(),
            reason: reason.into(),
        });
    }

    fn parameters(&mut self, found: &Found<'_>, headers: &HeaderMap) {
        for parameter in &self.operation.parameters {
            let given = |pairs: &[(String, String)]| -> Vec<String> {
                let of_name = pairs.iter().filter(|(name, _)| *name == parameter.name);
                of_name.map(|(_, value)| value.clone()).collect()
            };
            let (word, values) = match parameter.place {
                Place::Header => ("header", headers_of(headers, &parameter.name)),
                Place::Path => ("path parameter", given(&found.path)),
                Place::Query => ("query parameter", given(&found.query)),
            };
            self.parameter(parameter, &format!("{word} `{}`", parameter.name), &values);
        }
        for (name, _) in &found.query {
            let documented =
                |parameter: &Parameter| parameter.place == Place::Query && parameter.name == *name;
            let of_action = self.operation.action.as_ref().and_then(|action| action.query) == Some(name);
            let of_credential = self
                .operation
                .credentials
                .iter()
                .flatten()
                .any(|credential| matches!(credential, Credential::Query(query) if query == name));
            if !self.operation.parameters.iter().any(documented) && !of_action && !of_credential {
                self.say(format!("query parameter `{name}`"), "the document has no such parameter");
            }
        }
    }

    fn parameter(&mut self, parameter: &Parameter, place: &str, values: &[String]) {
        if values.is_empty() {
            if parameter.required {
                self.say(place, "it is required and absent");
            }
            return;
        }
        let definitions = &self.specification.definitions;
        let schema = definitions.resolve(Side::Request, &parameter.schema);
        let value = if schema.get("type").and_then(Value::as_str) == Some("array") {
            let parts = values.iter().flat_map(|value| match parameter.lists {
                Lists::Commas => value.split(',').collect(),
                Lists::Repeated => vec![value.as_str()],
            });
            let items = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(parts.map(|part| typed(definitions, items, part)).collect())
        } else {
            if values.len() > 1 {
                self.say(place, "it is given more than once");
            }
            typed(definitions, &parameter.schema, values.first().map_or("", String::as_str))
        };
        for (inside, reason) in definitions.check(Side::Request, &parameter.schema, &value) {
            self.say(format!("{place}{inside}"), reason);
        }
    }

    fn credentials(&mut self, found: &Found<'_>, headers: &HeaderMap) {
        let shown = |credential: &Credential| match credential {
            Credential::Authorization(scheme) => headers_of(headers, header::AUTHORIZATION.as_str())
                .iter()
                .any(|value| value.to_ascii_lowercase().starts_with(&scheme.to_ascii_lowercase())),
            Credential::Header(name) => !headers_of(headers, name).is_empty(),
            Credential::Query(name) => found.query.iter().any(|(key, _)| key == name),
        };
        let alternatives = &self.operation.credentials;
        if !alternatives.is_empty() && !alternatives.iter().any(|all| all.iter().all(shown)) {
            self.say("credentials", format!("none of those it takes: {alternatives:?}"));
        }
    }

    fn request_body(&mut self, request: &Request<Bytes>) {
        let bytes = request.body();
        match &self.operation.body {
            None if bytes.is_empty() => {}
            None => self.say("request body", "the document has none"),
            Some(content) if bytes.is_empty() => {
                if content.required {
                    self.say("request body", "it is required and absent");
                }
            }
            Some(content) => match media_type(request.headers()) {
                Some(media) => self.body("request body", Side::Request, content, &media, bytes),
                None => self.say("header `content-type`", "the request has a body and does not say what"),
            },
        }
    }

    fn response(&mut self, response: &Response<Bytes>) {
        let (status, bytes) = (response.status().as_u16(), response.body());
        let place = format!("response {status}");
        let answers = self.operation.answers.iter();
        let fitting = answers.filter_map(|answer| Some((answer.status.fits(status)?, answer)));
        let Some((_, answer)) = fitting.max_by_key(|(fit, _)| *fit) else {
            if status < 400 {
                self.say(place, "the document has no such status there");
            }
            return;
        };
        match (&answer.content, media_type(response.headers())) {
            (None, _) if bytes.is_empty() || status >= 400 => {}
            (None, _) => self.say(place, "the document has no body there"),
            (Some(_), _) if bytes.is_empty() => {
                if status < 400 {
                    self.say(place, "the body is absent");
                }
            }
            (Some(content), Some(media)) if status < 400 || content.has(&media) => {
                self.body(&place, Side::Response, content, &media, bytes);
            }
            // Before an interface stand others, which refuse in their own words.
            (Some(_), _) if status >= 400 => {}
            (Some(_), _) => self.say(place, "the response has a body and does not say what"),
        }
    }

    fn body(&mut self, place: &str, side: Side, content: &Content, media: &str, bytes: &[u8]) {
        let Some(schema) = content.schema(media) else {
            let documented: Vec<_> = content.media.iter().map(|(media, _)| media).collect();
            self.say(place, format!("it is {media}, and the document has {documented:?}"));
            return;
        };
        let definitions = &self.specification.definitions;
        match body::read(definitions, side, media, schema, bytes) {
            Ok(Some(value)) => {
                for (inside, reason) in definitions.check(side, schema, &value) {
                    self.say(format!("{place} {inside}").trim_end(), reason);
                }
            }
            Ok(None) => {}
            Err(reason) => self.say(place, reason),
        }
    }
}

impl Content {
    fn has(&self, media: &str) -> bool {
        self.schema(media).is_some()
    }

    fn schema(&self, media: &str) -> Option<&Value> {
        let fits = |range: &str| {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            range == media
                || range == "*/*"
                || range.strip_suffix("/*").is_some_and(|kind| media.split('/').next() == Some(kind))
        };
        self.media.iter().find(|(range, _)| fits(range)).map(|(_, schema)| schema)
    }
}

/// The media type without its parameters (RFC 9110 §8.3.1).
fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn headers_of(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).into_iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}
