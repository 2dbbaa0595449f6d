//! Alibaba Cloud's lists of parameters, one object an operation.

use http::Method;
use serde_json::{Value, json};

use super::{
    Operation, Specification,
    operation::{Action, Answer, Content, Credential, Lists, Parameter, Place, Status, Template},
    schema::Definitions,
};

pub(super) fn read(document: &Value) -> Result<Specification, String> {
    let listed = document.as_array().ok_or("it is no list of operations")?;
    let operations = listed.iter().map(operation).collect::<Result<Vec<_>, _>>()?;
    Ok(Specification { operations, definitions: Definitions::default(), bases: Vec::new() })
}

fn operation(at: &Value) -> Result<Operation, String> {
    let name = at.get("name").and_then(Value::as_str).ok_or("an operation has no `name`")?;
    let methods = at.get("method").and_then(Value::as_str).unwrap_or_default().split('|');
    let methods = methods.map(|method| method.parse::<Method>().map_err(|_| format!("{name}: bad `method`")));
    let listed = at.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let own = listed.map(|parameter| {
        let text = |key: &str| parameter.get(key).and_then(Value::as_str).unwrap_or_default();
        let schema = match text("type") {
            "Boolean" => json!({ "type": "boolean" }),
            "Integer" | "Long" => json!({ "type": "integer" }),
            _ => json!({ "type": "string" }),
        };
        let required = parameter.get("required").and_then(Value::as_bool) == Some(true);
        query(text("name"), required, schema)
    });
    // What every operation takes; the lists leave it out. Version 3 of the signature has the rest in headers.
    let version = Parameter {
        name: "x-acs-version".to_owned(),
        place: Place::Header,
        required: true,
        schema: json!({ "const": "2015-01-09" }),
        lists: Lists::Commas,
    };
    let format = query("Format", false, json!({ "enum": ["JSON", "json"] }));
    Ok(Operation {
        name: name.to_owned(),
        methods: methods.collect::<Result<_, _>>()?,
        path: Template::parse("/"),
        action: Some(Action { header: "x-acs-action", query: Some("Action"), value: name.to_owned() }),
        parameters: own.chain([version, format]).collect(),
        body: None,
        answers: vec![
            Answer {
                status: Status::Hundred(2),
                content: Some(Content::json(json!({ "type": "object", "required": ["RequestId"] }))),
            },
            Answer {
                status: Status::Default,
                content: Some(Content::json(
                    json!({ "type": "object", "required": ["RequestId", "Code", "Message"] }),
                )),
            },
        ],
        credentials: vec![vec![Credential::Authorization("ACS3-HMAC-SHA256".to_owned())]],
    })
}

fn query(name: &str, required: bool, schema: Value) -> Parameter {
    Parameter { name: name.to_owned(), place: Place::Query, required, schema, lists: Lists::Repeated }
}
