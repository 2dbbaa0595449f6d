//! Bodies as values that a schema can be held against.

use roxmltree::{Document, Node};
use serde_json::{Map, Value};

use super::schema::{Definitions, Side};

/// The name of the only element at the top of a document, in a schema made from an AWS model.
pub(super) const XML_ROOT: &str = "x-root";

/// The namespace of its elements.
pub(super) const XML_NAMESPACE: &str = "x-namespace";

/// The name of the elements of a list.
pub(super) const XML_ITEM: &str = "x-item";

/// Reads a body; `None` where its media type says nothing that a schema could judge.
pub(super) fn read(
    definitions: &Definitions,
    side: Side,
    media: &str,
    schema: &Value,
    bytes: &[u8],
) -> Result<Option<Value>, String> {
    if media.ends_with("json") || media.ends_with("javascript") {
        return serde_json::from_slice(bytes).map(Some).map_err(|error| format!("it is no JSON: {error}"));
    }
    if media == "application/x-www-form-urlencoded" {
        let pairs = form_urlencoded::parse(bytes).into_owned();
        return Ok(Some(Value::Object(pairs.map(|(name, value)| (name, Value::String(value))).collect())));
    }
    if media.ends_with("xml") && schema.get(XML_ROOT).is_some() {
        return xml(definitions, side, schema, bytes).map(Some);
    }
    Ok(None)
}

fn xml(definitions: &Definitions, side: Side, schema: &Value, bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("it is no text: {error}"))?;
    let document = Document::parse(text).map_err(|error| format!("it is no XML: {error}"))?;
    let root = document.root_element();
    let wanted = |key: &str| schema.get(key).and_then(Value::as_str);
    if wanted(XML_ROOT) != Some(root.tag_name().name()) {
        let name = root.tag_name().name();
        return Err(format!("its root element is {name:?} and should be {:?}", wanted(XML_ROOT)));
    }
    if wanted(XML_NAMESPACE) != root.tag_name().namespace() {
        let namespace = root.tag_name().namespace();
        return Err(format!("its namespace is {namespace:?} and should be {:?}", wanted(XML_NAMESPACE)));
    }
    Ok(element(definitions, side, schema, root))
}

/// The value that an element stands for, in the type that its schema wants.
fn element(definitions: &Definitions, side: Side, schema: &Value, node: Node<'_, '_>) -> Value {
    let schema = definitions.resolve(side, schema);
    let text = node.text().unwrap_or_default();
    let children = node.children().filter(Node::is_element);
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let mut object = Map::new();
            for child in children {
                let name = child.tag_name().name();
                let field =
                    schema.get("properties").and_then(|fields| fields.get(name)).unwrap_or(&Value::Null);
                object.insert(name.to_owned(), element(definitions, side, field, child));
            }
            Value::Object(object)
        }
        Some("array") => {
            let item = schema.get(XML_ITEM).and_then(Value::as_str);
            let items = schema.get("items").unwrap_or(&Value::Null);
            let of_list = children.map(|child| match child.tag_name().name() {
                name if Some(name) == item => element(definitions, side, items, child),
                // Null is of no type that a list holds.
                _ => Value::Null,
            });
            Value::Array(of_list.collect())
        }
        Some("boolean") => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Bool),
        Some("integer" | "number") => {
            serde_json::from_str(text).map_or_else(|_| Value::String(text.to_owned()), Value::Number)
        }
        _ => Value::String(text.to_owned()),
    }
}
