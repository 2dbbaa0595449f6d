//! Google's discovery documents.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Operation, Specification,
    operation::{Answer, Content, Credential, Lists, Parameter, Place, Status, Template},
    schema::{Definitions, Side, Translation},
};

pub(super) fn read(document: &Value) -> Result<Specification, String> {
    let mut document = document.clone();
    if document.get("kind").and_then(Value::as_str) != Some("discovery#restDescription") {
        return Err("it is no discovery document".to_owned());
    }
    references(&mut document);
    let base = document.get("servicePath").and_then(Value::as_str).unwrap_or_default();
    let base = format!("/{}", base.trim_matches('/'));
    let mut operations = Vec::new();
    resources(&document, &document, &mut operations)?;
    Ok(Specification {
        operations,
        definitions: Definitions::translated(&document, "schemas"),
        bases: if base == "/" { Vec::new() } else { vec![base] },
    })
}

/// Its references are bare names, and its bounds are texts, which JSON Schema does not have.
fn references(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(references),
        Value::Object(object) => {
            object
                .retain(|key, value| !(value.is_string() && ["minimum", "maximum"].contains(&key.as_str())));
            if let Some(Value::String(name)) = object.get_mut("$ref") {
                *name = format!("#/schemas/{name}");
            }
            object.values_mut().for_each(references);
        }
        _ => {}
    }
}

fn resources(document: &Value, at: &Value, operations: &mut Vec<Operation>) -> Result<(), String> {
    for method in at.get("methods").and_then(Value::as_object).into_iter().flat_map(Map::values) {
        operations.push(operation(document, method)?);
    }
    for resource in at.get("resources").and_then(Value::as_object).into_iter().flat_map(Map::values) {
        resources(document, resource, operations)?;
    }
    Ok(())
}

fn operation(document: &Value, method: &Value) -> Result<Operation, String> {
    let text = |key: &str| method.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, path) = (text("id"), text("path"));
    let translated = |key: &str, side| {
        let mut schema = method.get(key)?.clone();
        Translation { document, side }.schema(&mut schema);
        Some(Content::json(schema))
    };
    let own = method.get("parameters").and_then(Value::as_object).into_iter().flatten();
    let common = document.get("parameters").and_then(Value::as_object).into_iter().flatten();
    Ok(Operation {
        name: name.to_owned(),
        methods: vec![text("httpMethod").parse::<Method>().map_err(|_| format!("{name} has no method"))?],
        path: Template::parse(path),
        action: None,
        parameters: own.chain(common).map(|(name, parameter)| read_parameter(name, parameter)).collect(),
        body: translated("request", Side::Request),
        answers: vec![
            Answer { status: Status::Hundred(2), content: translated("response", Side::Response) },
            Answer { status: Status::Default, content: Some(Content::json(error())) },
        ],
        credentials: vec![vec![Credential::Authorization("bearer".to_owned())]],
    })
}

fn read_parameter(name: &str, parameter: &Value) -> Parameter {
    let flag = |key: &str| parameter.get(key).and_then(Value::as_bool) == Some(true);
    let mut schema = Map::new();
    for key in ["type", "enum", "pattern"] {
        if let Some(value) = parameter.get(key) {
            schema.insert(key.to_owned(), value.clone());
        }
    }
    let schema = Value::Object(schema);
    Parameter {
        name: name.to_owned(),
        place: match parameter.get("location").and_then(Value::as_str) {
            Some("path") => Place::Path,
            _ => Place::Query,
        },
        required: flag("required"),
        schema: if flag("repeated") { json!({ "type": "array", "items": schema }) } else { schema },
        lists: Lists::Repeated,
    }
}

/// What all of Google's interfaces answer to what they refuse; the documents do not say so.
fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": { "type": "integer" },
                "message": { "type": "string" },
                "errors": { "type": "array", "items": { "type": "object", "required": ["reason"] } },
                "status": { "type": "string" },
            },
        } },
    })
}
