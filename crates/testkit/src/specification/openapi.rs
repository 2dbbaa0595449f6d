//! OpenAPI 3.0 and 3.1.

use http::Method;
use serde_json::Value;

use super::{
    Operation, Specification,
    operation::{Answer, Content, Credential, Lists, Parameter, Place, Status, Template},
    schema::{Definitions, Side, Translation},
};

pub(super) fn read(document: &Value) -> Result<Specification, String> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !version.starts_with("3.") {
        return Err(format!("it is not OpenAPI 3, but {version:?}"));
    }
    let paths = document.get("paths").and_then(Value::as_object).ok_or("it has no `paths`")?;
    let reader = Reader { document };
    let mut operations = Vec::new();
    for (path, item) in paths {
        let of_path = reader.parameters(item);
        for (method, operation) in item.as_object().into_iter().flatten() {
            if METHODS.contains(&method.as_str()) {
                let method = method.to_ascii_uppercase();
                operations.push(reader.operation(path, &method, operation, &of_path)?);
            }
        }
    }
    let mut bases: Vec<String> = paths.values().chain([document]).flat_map(|at| reader.bases(at)).collect();
    bases.sort_by_key(|base| std::cmp::Reverse(base.len()));
    bases.dedup();
    Ok(Specification { operations, definitions: Definitions::translated(document, "components"), bases })
}

const METHODS: [&str; 7] = ["delete", "get", "head", "options", "patch", "post", "put"];

/// Azure compares names and types of resources without regard to case, and its documents write them as they like.
fn template(path: &str) -> Template {
    let template = Template::parse(path);
    if path.contains("/providers/Microsoft.") { template.ignoring_case() } else { template }
}

struct Reader<'d> {
    document: &'d Value,
}

impl<'d> Reader<'d> {
    fn operation(
        &self,
        path: &str,
        method: &str,
        operation: &Value,
        of_path: &[Parameter],
    ) -> Result<Operation, String> {
        let name = format!("{method} {path}");
        let mut parameters = self.parameters(operation);
        for inherited in of_path {
            let same = |own: &Parameter| own.name == inherited.name && own.place == inherited.place;
            if !parameters.iter().any(same) {
                parameters.push(inherited.clone());
            }
        }
        let body = operation.get("requestBody").map(|body| self.resolve(body));
        let mut answers = Vec::new();
        for (status, answer) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
            if let Some(status) = Status::parse(status) {
                let content = self.content(self.resolve(answer), Side::Response);
                answers.push(Answer { status, content });
            }
        }
        Ok(Operation {
            methods: vec![method.parse::<Method>().map_err(|_| format!("{name}: no such method"))?],
            path: template(path),
            action: None,
            parameters,
            body: body.and_then(|body| self.content(body, Side::Request)),
            answers,
            credentials: self.credentials(operation),
            name,
        })
    }

    /// Headers that OpenAPI says to ignore are (3.0, "Parameter Object", `name`).
    fn parameters(&self, at: &Value) -> Vec<Parameter> {
        let listed = at.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let read = listed.map(|parameter| self.resolve(parameter)).filter_map(|parameter| {
            let name = parameter.get("name")?.as_str()?.to_owned();
            let place = match parameter.get("in")?.as_str()? {
                "header" => Place::Header,
                "path" => Place::Path,
                "query" => Place::Query,
                _ => return None,
            };
            let ignored = ["accept", "authorization", "content-type"];
            if place == Place::Header && ignored.contains(&name.to_ascii_lowercase().as_str()) {
                return None;
            }
            let exploded = parameter.get("explode").and_then(Value::as_bool);
            let lists = match exploded.unwrap_or(place == Place::Query) {
                true => Lists::Repeated,
                false => Lists::Commas,
            };
            let required = parameter.get("required").and_then(Value::as_bool) == Some(true);
            let schema = self.translated(parameter.get("schema"), Side::Request);
            Some(Parameter { name, place, required, schema, lists })
        });
        read.collect()
    }

    fn content(&self, at: &Value, side: Side) -> Option<Content> {
        let media = at.get("content")?.as_object()?;
        let media = media.iter().map(|(media, at)| (media.clone(), self.translated(at.get("schema"), side)));
        Some(Content {
            required: at.get("required").and_then(Value::as_bool) == Some(true),
            media: media.collect(),
        })
    }

    fn translated(&self, schema: Option<&Value>, side: Side) -> Value {
        // Where there is no schema, all is well.
        let mut schema = schema.cloned().unwrap_or(Value::Bool(true));
        Translation { document: self.document, side }.schema(&mut schema);
        schema
    }

    /// An empty alternative is no credential at all, and then nothing is asked for.
    fn credentials(&self, operation: &Value) -> Vec<Vec<Credential>> {
        let security = operation.get("security").or_else(|| self.document.get("security"));
        let alternatives = security.and_then(Value::as_array).into_iter().flatten();
        let read: Vec<Vec<Credential>> = alternatives
            .filter_map(|all| {
                let names = all.as_object()?.keys();
                Some(names.filter_map(|name| self.credential(name)).collect())
            })
            .collect();
        if read.iter().any(Vec::is_empty) { Vec::new() } else { read }
    }

    fn credential(&self, name: &str) -> Option<Credential> {
        let scheme = self.document.get("components")?.get("securitySchemes")?.get(name)?;
        let text = |key: &str| scheme.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("type")?.as_str(), text("in").as_deref()) {
            ("apiKey", Some("header")) => text("name").map(Credential::Header),
            ("apiKey", Some("query")) => text("name").map(Credential::Query),
            ("http", _) => text("scheme").map(Credential::Authorization),
            ("oauth2" | "openIdConnect", _) => Some(Credential::Authorization("bearer".to_owned())),
            _ => None,
        }
    }

    /// The paths of the servers' URLs; what is to be filled in, such as a host, comes before the path.
    fn bases(&self, at: &Value) -> Vec<String> {
        let servers = at.get("servers").and_then(Value::as_array).into_iter().flatten();
        let urls = servers.filter_map(|server| server.get("url").and_then(Value::as_str));
        let paths = urls.filter_map(|url| {
            let path = match url.split_once("//") {
                Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
                None => url,
            };
            let path = path.trim_end_matches('/');
            (!path.is_empty()).then(|| path.to_owned())
        });
        paths.collect()
    }

    fn resolve(&self, mut at: &'d Value) -> &'d Value {
        // A reference leads to what is meant; one that leads to another is not allowed to go in circles.
        for _ in 0..4 {
            let reference = at.get("$ref").and_then(Value::as_str);
            let Some(target) = reference.and_then(|text| self.document.pointer(text.trim_start_matches('#')))
            else {
                break;
            };
            at = target;
        }
        at
    }
}
