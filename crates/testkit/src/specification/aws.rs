//! The models of AWS services, protocol `rest-xml`.

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Operation, Specification, body,
    operation::{Answer, Content, Credential, Lists, Parameter, Place, Status, Template},
    schema::Definitions,
};

pub(super) fn read(document: &Value) -> Result<Specification, String> {
    let protocol = document.get("metadata").and_then(|metadata| metadata.get("protocol"));
    if protocol.and_then(Value::as_str) != Some("rest-xml") {
        return Err("it is no model of a service whose protocol is rest-xml".to_owned());
    }
    let model = Model { document };
    let listed = document.get("operations").and_then(Value::as_object).ok_or("it has no `operations`")?;
    let operations = listed.iter().map(|(name, operation)| model.operation(name, operation));
    let operations = operations.collect::<Result<Vec<_>, _>>()?;
    let shapes = document.get("shapes").and_then(Value::as_object).ok_or("it has no `shapes`")?;
    let schemas = shapes.iter().map(|(name, shape)| (name.clone(), schema(shape, |_| true)));
    Ok(Specification {
        operations,
        definitions: Definitions::plain("shapes", schemas.collect()),
        bases: Vec::new(),
    })
}

struct Model<'d> {
    document: &'d Value,
}

impl Model<'_> {
    fn operation(&self, name: &str, operation: &Value) -> Result<Operation, String> {
        let http = |key: &str| operation.get("http").and_then(|http| http.get(key)).and_then(Value::as_str);
        let method = http("method").and_then(|method| method.parse::<Method>().ok());
        let path = http("requestUri").unwrap_or_default().split('?').next().unwrap_or_default();
        let namespace = |at: &Value| at.get("xmlNamespace").and_then(|at| at.get("uri")).cloned();
        let input = operation.get("input");
        let mut content = None;
        if let (Some(input), Some(shape)) = (input, input.and_then(|input| self.shape(input)))
            && members(shape).any(|(_, member)| member.get("location").is_none())
        {
            let mut schema = schema(shape, |member| member.get("location").is_none());
            let root = input.get("locationName").cloned().unwrap_or_default();
            mark(&mut schema, root, namespace(input));
            content = Some(Content { required: true, media: xml(schema) });
        }
        // Every operation of the service has the same namespace, and only inputs name it.
        let namespace = input.and_then(namespace).or_else(|| self.namespace());
        Ok(Operation {
            name: name.to_owned(),
            methods: vec![method.ok_or_else(|| format!("{name} has no method"))?],
            path: Template::parse(path),
            action: None,
            parameters: input.map(|input| self.parameters(input)).unwrap_or_default(),
            body: content,
            answers: self.answers(operation, namespace.as_ref()),
            credentials: vec![vec![Credential::Authorization("AWS4-HMAC-SHA256".to_owned())]],
        })
    }

    fn answers(&self, operation: &Value, namespace: Option<&Value>) -> Vec<Answer> {
        let output = operation.get("output");
        let content = output.and_then(|output| {
            let mut schema = schema(self.shape(output)?, |member| member.get("location").is_none());
            mark(&mut schema, output.get("shape").cloned().unwrap_or_default(), namespace.cloned());
            Some(Content { required: true, media: xml(schema) })
        });
        let mut error = json!({
            "type": "object",
            "required": ["Error", "RequestId"],
            "properties": { "Error": {
                "type": "object",
                "required": ["Code"],
                "properties": {
                    "Type": { "enum": ["Sender", "Receiver"] },
                    "Code": { "type": "string", "minLength": 1 },
                    "Message": { "type": "string" },
                },
            }, "RequestId": { "type": "string" } },
        });
        mark(&mut error, json!("ErrorResponse"), namespace.cloned());
        vec![
            Answer { status: Status::Hundred(2), content },
            Answer { status: Status::Default, content: Some(Content { required: true, media: xml(error) }) },
        ]
    }

    fn parameters(&self, input: &Value) -> Vec<Parameter> {
        let Some(shape) = self.shape(input) else { return Vec::new() };
        let required = required(shape);
        let read = members(shape).filter_map(|(member, at)| {
            let place = match at.get("location")?.as_str()? {
                "header" => Place::Header,
                "querystring" => Place::Query,
                "uri" => Place::Path,
                _ => return None,
            };
            Some(Parameter {
                name: wire_name(member, at).to_owned(),
                place,
                required: required.contains(&member),
                schema: reference(at),
                lists: Lists::Repeated,
            })
        });
        read.collect()
    }

    fn shape(&self, at: &Value) -> Option<&Value> {
        self.document.get("shapes")?.get(at.get("shape")?.as_str()?)
    }

    fn namespace(&self) -> Option<Value> {
        let operations = self.document.get("operations")?.as_object()?;
        operations
            .values()
            .find_map(|operation| operation.get("input")?.get("xmlNamespace")?.get("uri").cloned())
    }
}

/// The schema of a shape; of a structure's members, only those that are wanted.
fn schema(shape: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let bound = |key: &str| shape.get(key).cloned();
    let mut schema = match shape.get("type").and_then(Value::as_str) {
        Some("structure") => {
            let wanted: Vec<_> = members(shape).filter(|(_, member)| wanted(member)).collect();
            let fields: Map<String, Value> = wanted
                .iter()
                .map(|(name, member)| (wire_name(name, member).to_owned(), reference(member)))
                .collect();
            let required = required(shape);
            let required = wanted.iter().filter(|(name, _)| required.contains(name));
            let required: Vec<_> = required.map(|(name, member)| wire_name(name, member)).collect();
            json!({ "type": "object", "properties": fields, "required": required, "additionalProperties": false })
        }
        Some("list") => {
            let member = shape.get("member").unwrap_or(&Value::Null);
            let mut list = json!({ "type": "array", "items": reference(member) });
            insert(&mut list, body::XML_ITEM, Some(json!(wire_name("member", member))));
            insert(&mut list, "minItems", bound("min"));
            insert(&mut list, "maxItems", bound("max"));
            list
        }
        Some(kind @ ("integer" | "long" | "float" | "double")) => {
            let kind = if ["integer", "long"].contains(&kind) { "integer" } else { "number" };
            let mut number = json!({ "type": kind });
            insert(&mut number, "minimum", bound("min"));
            insert(&mut number, "maximum", bound("max"));
            number
        }
        Some("boolean") => json!({ "type": "boolean" }),
        _ => {
            let mut text = json!({ "type": "string" });
            insert(&mut text, "minLength", bound("min"));
            insert(&mut text, "maxLength", bound("max"));
            insert(&mut text, "pattern", bound("pattern"));
            text
        }
    };
    insert(&mut schema, "enum", bound("enum"));
    schema
}

fn members(shape: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = shape.get("members").and_then(Value::as_object).into_iter().flatten();
    members.map(|(name, member)| (name.as_str(), member))
}

fn required(shape: &Value) -> Vec<&str> {
    shape.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

fn wire_name<'m>(name: &'m str, member: &'m Value) -> &'m str {
    member.get("locationName").and_then(Value::as_str).unwrap_or(name)
}

fn reference(member: &Value) -> Value {
    let shape = member.get("shape").and_then(Value::as_str).unwrap_or_default();
    json!({ "$ref": format!("#/shapes/{shape}") })
}

fn mark(schema: &mut Value, root: Value, namespace: Option<Value>) {
    insert(schema, body::XML_ROOT, Some(root));
    insert(schema, body::XML_NAMESPACE, namespace);
}

fn insert(schema: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (schema.as_object_mut(), value) {
        object.insert(key.to_owned(), value);
    }
}

fn xml(schema: Value) -> Vec<(String, Value)> {
    ["application/xml", "text/xml"].map(|media| (media.to_owned(), schema.clone())).into()
}
