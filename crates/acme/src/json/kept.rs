//! Objects that outlive the answer they came in.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

use super::Object;

/// An object of an answer, kept for whoever asks for a field that has no place of its own.
///
/// Hardly anybody does, so the answer's body is kept as it came, and read again then. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Kept {
    body: Arc<[u8]>,
    /// The array that the object is in and its place there, unless it is the whole body.
    place: Option<(&'static str, usize)>,
}

impl Kept {
    /// The object that is the whole body.
    pub(crate) fn whole(body: &[u8]) -> Self {
        Self { body: body.into(), place: None }
    }

    /// The object at that place in an array of this one.
    pub(crate) fn element(&self, field: &'static str, index: usize) -> Self {
        Self { body: self.body.clone(), place: Some((field, index)) }
    }

    /// Reads the object again, as the resource of that name.
    pub(crate) fn read<T>(
        &self,
        resource: &'static str,
        read: impl FnOnce(&Object<'_>) -> Option<T>,
    ) -> Option<T> {
        let body = Object::parse(resource, &self.body).ok()?;
        match self.place {
            None => read(&body),
            Some((field, index)) => {
                let list = body.list(field, usize::MAX).ok()?;
                read(&Object::inner(resource, list.get(index)?)?)
            }
        }
    }

    /// A field as JSON text, whatever it holds.
    pub(crate) fn raw(&self, field: &str) -> Option<String> {
        self.fields()?.get(field).map(Value::to_string)
    }

    /// In serde_json's form, which gives equal objects one text.
    fn fields(&self) -> Option<Map<String, Value>> {
        let mut body: Map<String, Value> = serde_json::from_slice(&self.body).ok()?;
        let Some((field, index)) = self.place else {
            return Some(body);
        };
        match body.get_mut(field)?.as_array_mut()?.get_mut(index)? {
            Value::Object(fields) => Some(std::mem::take(fields)),
            _ => None,
        }
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        let same_place = self.place == other.place && self.body == other.body;
        same_place || self.fields() == other.fields()
    }
}

impl Eq for Kept {}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields().unwrap_or_default().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_the_same_wherever_it_came_from() {
        let whole = Kept::whole(br#"{ "b": [1.50], "a": "x" }"#);
        let body =
            Kept::whole(br#"{"list": [7, {"a": "x", "b": [1.5]}], "list": [8, {"b":[1.5],"a":"\u0078"}]}"#);
        let element = body.element("list", 1);
        assert_eq!(whole, element);
        assert_ne!(whole, body);
        assert_eq!(format!("{whole:?}"), format!("{element:?}"));
        for kept in [whole, element] {
            assert_eq!(kept.raw("b").as_deref(), Some("[1.5]"));
            assert_eq!(kept.raw("c"), None);
            let text = |field| kept.read("thing", |thing| thing.text(field).map(str::to_owned));
            assert_eq!((text("a").as_deref(), text("b")), (Some("x"), None));
        }
        for (field, index) in [("list", 0), ("list", 2), ("lost", 0)] {
            assert_eq!(body.element(field, index).raw("a"), None);
        }
    }
}
