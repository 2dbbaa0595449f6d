//! Tencent Cloud's lists of actions and objects.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Operation, Specification,
    operation::{Action, Answer, Content, Credential, Lists, Parameter, Place, Status, Template},
    schema::Definitions,
};

pub(super) fn read(document: &Value) -> Result<Specification, String> {
    let map = |key: &str| document.get(key).and_then(Value::as_object);
    let actions = map("actions").ok_or("it has no `actions`")?;
    let objects = map("objects").ok_or("it has no `objects`")?;
    let version = document.get("metadata").and_then(|metadata| metadata.get("apiVersion"));
    let version = version.and_then(Value::as_str).ok_or("its `metadata` has no `apiVersion`")?;
    let operations = actions.iter().map(|(name, action)| operation(name, action, version)).collect();
    let schemas = objects.iter().map(|(name, object)| (name.clone(), schema(object)));
    Ok(Specification {
        operations,
        definitions: Definitions::plain("objects", schemas.collect()),
        bases: Vec::new(),
    })
}

fn operation(name: &str, action: &Value, version: &str) -> Operation {
    let reference = |key: &str| {
        let object = action.get(key).and_then(Value::as_str).unwrap_or_default();
        json!({ "$ref": format!("#/objects/{object}") })
    };
    let header = |name: &str, schema: Value| Parameter {
        name: name.to_owned(),
        place: Place::Header,
        required: true,
        schema,
        lists: Lists::Commas,
    };
    Operation {
        name: name.to_owned(),
        methods: vec![Method::POST],
        path: Template::parse("/"),
        action: Some(Action { header: "x-tc-action", query: None, value: name.to_owned() }),
        // The common parameters of version 3 of the signature, which the list leaves out.
        parameters: vec![
            header("X-TC-Version", json!({ "const": version })),
            header("X-TC-Timestamp", json!({ "type": "integer", "minimum": 1 })),
        ],
        body: Some(Content::json(reference("input"))),
        answers: vec![Answer {
            status: Status::Exactly(200),
            content: Some(Content::json(answer(&reference("output")))),
        }],
        credentials: vec![vec![Credential::Authorization("TC3-HMAC-SHA256".to_owned())]],
    }
}

/// Success and refusal both have status 200.
fn answer(output: &Value) -> Value {
    let refusal = json!({
        "type": "object",
        "required": ["Error", "RequestId"],
        "properties": { "Error": {
            "type": "object",
            "required": ["Code", "Message"],
            "properties": { "Code": { "type": "string" }, "Message": { "type": "string" } },
        } },
    });
    json!({
        "type": "object",
        "required": ["Response"],
        "properties": { "Response": {
            "if": { "type": "object", "required": ["Error"] },
            "then": refusal,
            "else": { "allOf": [output], "type": "object", "required": ["RequestId"] },
        } },
    })
}

fn schema(object: &Value) -> Value {
    let members = object.get("members").and_then(Value::as_array).into_iter().flatten();
    let (mut fields, mut required) = (Map::new(), Vec::new());
    for member in members {
        let text = |key: &str| member.get(key).and_then(Value::as_str).unwrap_or_default();
        let flag = |key: &str| member.get(key).and_then(Value::as_bool) == Some(true);
        let mut field = match text("type") {
            "list" => json!({ "type": "array", "items": scalar(text("member")) }),
            _ => scalar(text("member")),
        };
        if flag("value_allowed_null") {
            field = json!({ "anyOf": [field, { "type": "null" }] });
        }
        fields.insert(text("name").to_owned(), field);
        if flag("required") || flag("output_required") {
            required.push(text("name").to_owned());
        }
    }
    json!({ "type": "object", "properties": fields, "required": required, "additionalProperties": false })
}

/// The schema of a type's name; one that begins with a capital is an object's.
fn scalar(name: &str) -> Value {
    match name {
        "bool" => json!({ "type": "boolean" }),
        "float" | "double" => json!({ "type": "number" }),
        "int64" | "int" => json!({ "type": "integer" }),
        "uint64" => json!({ "type": "integer", "minimum": 0 }),
        name if name.starts_with(|first: char| first.is_ascii_uppercase()) => {
            json!({ "$ref": format!("#/objects/{name}") })
        }
        _ => json!({ "type": "string" }),
    }
}
