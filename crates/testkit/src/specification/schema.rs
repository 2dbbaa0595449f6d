//! Schemas: the dialects of the documents turned into JSON Schema 2020-12, which the crate `jsonschema`
//! checks.

use jsonschema::{Draft, ValidationError, error::ValidationErrorKind};
use serde_json::{Map, Value, json};

/// Whether a schema is for what is sent or for what comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// The named schemas that others refer to, once for each side.
#[derive(Clone, Debug, Default)]
pub(super) struct Definitions {
    request: Map<String, Value>,
    response: Map<String, Value>,
}

impl Definitions {
    /// The same for both sides, as they are: `key` is what references begin with, `#/key/Name`.
    pub(super) fn plain(key: &str, schemas: Map<String, Value>) -> Self {
        let map = Map::from_iter([(key.to_owned(), Value::Object(schemas))]);
        Self { request: map.clone(), response: map }
    }

    /// Those of a document whose schemas are in OpenAPI's dialect, below `key`.
    pub(super) fn translated(document: &Value, key: &str) -> Self {
        let side = |side| {
            let mut schemas = document.get(key).cloned().unwrap_or_default();
            Translation { document, side }.names(&mut schemas);
            // `components` has maps of names below names.
            Map::from_iter([(key.to_owned(), schemas)])
        };
        Self { request: side(Side::Request), response: side(Side::Response) }
    }

    const fn of(&self, side: Side) -> &Map<String, Value> {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }

    /// The schema that a reference leads to, or the schema itself.
    pub(super) fn resolve<'s>(&'s self, side: Side, mut schema: &'s Value) -> &'s Value {
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
            let mut parts = reference.trim_start_matches("#/").split('/').map(unescape);
            let first = parts.next().and_then(|part| self.of(side).get(&part));
            let Some(target) = parts.fold(first, |value, part| value.and_then(|value| value.get(&part)))
            else {
                break;
            };
            schema = target;
        }
        schema
    }

    /// In what a value differs from a schema: pairs of a place and a reason.
    pub(super) fn check(&self, side: Side, schema: &Value, value: &Value) -> Vec<(String, String)> {
        let mut root = self.of(side).clone();
        root.insert("allOf".to_owned(), json!([schema]));
        if side == Side::Request && declares_fields(|schema| self.resolve(side, schema), schema, 0) {
            root.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
        }
        let root = Value::Object(root);
        let validator = match jsonschema::options().with_draft(Draft::Draft202012).build(&root) {
            Ok(validator) => validator,
            Err(error) => {
                return vec![(String::new(), format!("the document's own schema cannot be used: {error}"))];
            }
        };
        let errors: Vec<_> = validator.iter_errors(value).collect();
        let (surplus, other): (Vec<_>, Vec<_>) = errors.iter().partition(|error| is_surplus(error));
        // What a schema describes counts as described only if all of it is as described. So a surplus field is
        // believed where nothing else is wrong, and at the deepest place that has one.
        let told = |error: &&ValidationError<'_>| (error.instance_path().to_string(), error.to_string());
        if !other.is_empty() {
            return other.iter().map(told).collect();
        }
        let surplus: Vec<_> = surplus.iter().map(told).collect();
        let has_deeper = |place: &str| {
            let below = format!("{place}/");
            surplus.iter().any(|(other, _)| other.starts_with(&below))
        };
        surplus.iter().filter(|(place, _)| !has_deeper(place)).cloned().collect()
    }
}

fn is_surplus(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::UnevaluatedProperties { .. })
}

/// What a parameter's text stands for, in the type that its schema wants.
pub(super) fn typed(definitions: &Definitions, schema: &Value, text: &str) -> Value {
    let schema = definitions.resolve(Side::Request, schema);
    let number = || serde_json::from_str::<serde_json::Number>(text).ok().map(Value::Number);
    let wanted = |kind: &str| match kind {
        "boolean" => text.parse().ok().map(Value::Bool),
        "integer" | "number" => number(),
        _ => None,
    };
    let typed = match schema.get("type") {
        Some(Value::String(kind)) => wanted(kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find_map(wanted),
        _ => ["allOf", "anyOf", "oneOf"].iter().find_map(|key| {
            let members = schema.get(key)?.as_array()?;
            members.iter().map(|member| typed(definitions, member, text)).find(|value| !value.is_string())
        }),
    };
    typed.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// From OpenAPI's dialect to 2020-12, in place.
pub(super) struct Translation<'d> {
    pub(super) document: &'d Value,
    pub(super) side: Side,
}

impl Translation<'_> {
    /// A map from names to schemas, or to further such maps.
    fn names(&self, map: &mut Value) {
        for value in map.as_object_mut().into_iter().flat_map(Map::values_mut) {
            self.schema(value);
        }
    }

    /// A schema, or anything that contains some.
    pub(super) fn schema(&self, value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.schema(value)),
            Value::Object(object) => {
                for (key, value) in object.iter_mut() {
                    match key.as_str() {
                        // Data, not schemas.
                        "const" | "default" | "enum" | "example" | "examples" => {}
                        "patternProperties" | "properties" | "responses" | "schemas" => self.names(value),
                        _ => self.schema(value),
                    }
                }
                if let Some(Value::String(pattern)) = object.get_mut("pattern") {
                    // Other dialects' words for the beginning and the end of a text.
                    *pattern = pattern.replace(r"\A", "^").replace(r"\Z", "$").replace(r"\z", "$");
                }
                self.requirements(object);
                self.close(object);
                if object.remove("nullable") == Some(Value::Bool(true)) {
                    nullable(object);
                }
            }
            _ => {}
        }
    }

    /// What only the other side writes is not required of this one (OpenAPI 3.0, "Fixed Fields" of a schema).
    fn requirements(&self, object: &mut Map<String, Value>) {
        let flag = if self.side == Side::Request { "readOnly" } else { "writeOnly" };
        let Some(Value::Array(mut required)) = object.get("required").cloned() else { return };
        required.retain(|name| {
            let property = name.as_str().and_then(|name| self.property(object, name, 0));
            property.and_then(|property| property.get(flag)).and_then(Value::as_bool) != Some(true)
        });
        object.insert("required".to_owned(), Value::Array(required));
    }

    fn property<'v>(&'v self, object: &'v Map<String, Value>, name: &str, depth: usize) -> Option<&'v Value> {
        if depth > MOST_REFERENCES {
            return None;
        }
        if let Some(property) = object.get("properties").and_then(|properties| properties.get(name)) {
            return Some(self.resolve(property));
        }
        let mut members = object.get("allOf")?.as_array()?.iter();
        members.find_map(|member| self.property(self.resolve(member).as_object()?, name, depth + 1))
    }

    fn resolve<'v>(&'v self, mut schema: &'v Value) -> &'v Value {
        for _ in 0..MOST_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(target) = self.document.pointer(reference.trim_start_matches('#')) else { break };
            schema = target;
        }
        schema
    }

    /// What is sent has no fields that nobody described. The fence is around the whole of a property's
    /// schema: one of its members alone, which others extend, stays open.
    fn close(&self, object: &mut Map<String, Value>) {
        if self.side == Side::Response {
            return;
        }
        if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
            properties.values_mut().for_each(|schema| self.fence(schema));
        }
        if let Some(items) = object.get_mut("items") {
            self.fence(items);
        }
    }

    fn fence(&self, schema: &mut Value) {
        if declares_fields(|schema| self.resolve(schema), schema, 0) {
            *schema = json!({ "allOf": [schema.take()], "unevaluatedProperties": false });
        }
    }
}

/// Whether a schema names fields: one that names none describes any object.
fn declares_fields<'v>(
    resolve: impl Fn(&'v Value) -> &'v Value + Copy,
    schema: &'v Value,
    depth: usize,
) -> bool {
    if depth > MOST_REFERENCES {
        return false;
    }
    let schema = resolve(schema);
    let members = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    schema.get("properties").and_then(Value::as_object).is_some_and(|fields| !fields.is_empty())
        || members.flatten().any(|member| declares_fields(resolve, member, depth + 1))
}

/// OpenAPI 3.0's way to say that null will do.
fn nullable(object: &mut Map<String, Value>) {
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.push(Value::Null);
    }
    match object.get_mut("type") {
        Some(kind @ Value::String(_)) => *kind = json!([kind.take(), "null"]),
        Some(_) => {}
        None => {
            let schema = Value::Object(std::mem::take(object));
            object.insert("anyOf".to_owned(), json!([schema, { "type": "null" }]));
        }
    }
}

/// RFC 6901 §4.
fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Longer chains of references are circles.
const MOST_REFERENCES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions() -> Definitions {
        let document = json!({ "components": { "schemas": {
            "Base": {
                "type": "object",
                "required": ["id", "name"],
                "properties": { "id": { "type": "integer", "readOnly": true }, "name": { "type": "string" } },
            },
            "Record": {
                "allOf": [{ "$ref": "#/components/schemas/Base" }],
                "properties": {
                    "ttl": { "type": "integer", "minimum": 60, "nullable": true },
                    "owner": { "$ref": "#/components/schemas/Owner" },
                    "free": { "type": "object" },
                },
            },
            "Owner": { "type": "object", "properties": { "nullable": { "type": "string" } } },
        } } });
        Definitions::translated(&document, "components")
    }

    fn faults(side: Side, value: &Value) -> Vec<String> {
        let schema = json!({ "$ref": "#/components/schemas/Record" });
        let faults = definitions().check(side, &schema, value);
        faults.into_iter().map(|(place, reason)| format!("{place} {reason}")).collect()
    }

    #[test]
    fn what_the_server_writes_is_not_required_of_a_request_but_of_a_response() {
        let sent = json!({ "name": "a", "ttl": 60 });
        assert!(faults(Side::Request, &sent).is_empty());
        let faults = faults(Side::Response, &sent);
        assert!(faults[0].contains("\"id\" is a required property"), "{faults:?}");
    }

    #[test]
    fn null_will_do_where_the_document_says_so() {
        assert!(faults(Side::Request, &json!({ "name": "a", "ttl": null })).is_empty());
        assert_eq!(faults(Side::Request, &json!({ "name": null })).len(), 1);
        assert_eq!(faults(Side::Request, &json!({ "name": "a", "ttl": 59 })).len(), 1);
    }

    #[test]
    fn fields_that_nobody_described_are_found_at_any_depth_of_a_request() {
        let nested = json!({ "name": "a", "owner": { "nullable": "b", "nulable": "c" } });
        let found = faults(Side::Request, &nested);
        assert!(found.len() == 1 && found[0].contains("nulable"), "{found:?}");
        assert_eq!(faults(Side::Request, &json!({ "nam": "a", "name": "a" })).len(), 1);
        assert!(faults(Side::Request, &json!({ "name": "a", "free": { "any": 1 } })).is_empty());
        assert!(faults(Side::Response, &json!({ "id": 1, "name": "a", "more": 1 })).is_empty());
    }

    #[test]
    fn a_text_gets_the_type_that_its_schema_wants() {
        let typed = |schema: Value, text: &str| typed(&Definitions::default(), &schema, text);
        assert_eq!(typed(json!({ "type": "integer" }), "7"), json!(7));
        assert_eq!(typed(json!({ "type": "integer" }), "seven"), json!("seven"));
        assert_eq!(typed(json!({ "type": "boolean" }), "true"), json!(true));
        assert_eq!(typed(json!({ "type": "string" }), "7"), json!("7"));
        assert_eq!(typed(json!({ "allOf": [{ "type": "number" }] }), "1.5"), json!(1.5));
    }
}
