//! Reading a server's JSON objects field by field.
//!
//! A required field that is absent or of the wrong kind is an error that names it; an optional one that is
//! of the wrong kind is as good as absent. So a server that adds, renames or garbles what we do not need
//! costs us nothing.

use std::sync::Arc;

use perennial_core::Timestamp;
use serde_json::{Map, Value};

use crate::{Misbehaved, Url, text::printable};

/// One JSON object of an ACME resource. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    resource: &'static str,
    fields: Arc<Map<String, Value>>,
}

impl Object {
    /// Reads the body of an answer as the resource of that name.
    pub(crate) fn parse(resource: &'static str, body: &[u8]) -> Result<Self, Misbehaved> {
        let fields = serde_json::from_slice(body)
            .map_err(|error| Misbehaved::Body { resource, reason: printable(&error.to_string(), 200) })?;
        Ok(Self { resource, fields: Arc::new(fields) })
    }

    /// An object inside another, or `None` when the value is no object.
    pub(crate) fn inner(resource: &'static str, value: &Value) -> Option<Self> {
        Some(Self { resource, fields: Arc::new(value.as_object()?.clone()) })
    }

    /// The object in a field.
    pub(crate) fn object(&self, resource: &'static str, field: &str) -> Option<Self> {
        Self::inner(resource, self.fields.get(field)?)
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.fields.get(field)?.as_str()
    }

    pub(crate) fn required_text(&self, field: &'static str) -> Result<&str, Misbehaved> {
        self.text(field).ok_or_else(|| self.lacks(field, "a text"))
    }

    pub(crate) fn url(&self, field: &str) -> Option<Url> {
        Url::parse(self.text(field)?).ok()
    }

    pub(crate) fn required_url(&self, field: &'static str) -> Result<Url, Misbehaved> {
        let text = self.text(field).ok_or_else(|| self.lacks(field, "a URL"))?;
        Url::parse(text).map_err(|fault| Misbehaved::url(text, fault))
    }

    pub(crate) fn flag(&self, field: &str) -> Option<bool> {
        self.fields.get(field)?.as_bool()
    }

    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field)?.as_u64()
    }

    pub(crate) fn moment(&self, field: &str) -> Option<Timestamp> {
        self.text(field)?.parse().ok()
    }

    /// The elements of an array; none when the field is absent or no array.
    ///
    /// # Errors
    /// [`Misbehaved::TooMany`] above `limit`.
    pub(crate) fn list(&self, field: &'static str, limit: usize) -> Result<&[Value], Misbehaved> {
        let list = self.fields.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if list.len() > limit {
            return Err(Misbehaved::TooMany { resource: self.resource, field, count: list.len(), limit });
        }
        Ok(list)
    }

    /// The elements of an array that has to be there.
    pub(crate) fn required_list(&self, field: &'static str, limit: usize) -> Result<&[Value], Misbehaved> {
        if !self.fields.get(field).is_some_and(Value::is_array) {
            return Err(self.lacks(field, "an array"));
        }
        self.list(field, limit)
    }

    /// A field, whatever it holds.
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// A field as JSON text, whatever it holds.
    pub(crate) fn raw(&self, field: &str) -> Option<String> {
        self.fields.get(field).map(Value::to_string)
    }

    /// Names and values, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The error for a required field that is not what it should be.
    pub(crate) const fn lacks(&self, field: &'static str, expected: &'static str) -> Misbehaved {
        Misbehaved::Field { resource: self.resource, field, expected }
    }
}
