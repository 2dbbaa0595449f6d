//! Reading a server's JSON objects field by field, and writing our own.
//!
//! A required field that is absent or of the wrong kind is an error that names it; an optional one that is
//! of the wrong kind is as good as absent. So a server that adds, renames or garbles what we do not need
//! costs us nothing.

mod kept;
pub(crate) use kept::Kept;

mod value;
pub(crate) use value::Json;
use value::{Member, Members};

mod write;
pub(crate) use write::{ObjectWriter, push_text};

use std::collections::BTreeMap;

use perennial_core::Timestamp;

use crate::{Misbehaved, Url, text::printable};

/// One JSON object of an ACME resource, read where it stands.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    resource: &'static str,
    fields: Fields<'a>,
}

#[derive(Debug)]
enum Fields<'a> {
    /// Of an answer.
    Own(Vec<Member<'a>>),
    /// Of an object inside another.
    Within(&'a [Member<'a>]),
}

impl<'a> Object<'a> {
    /// Reads the body of an answer as the resource of that name.
    pub(crate) fn parse(resource: &'static str, body: &'a [u8]) -> Result<Self, Misbehaved> {
        // Looked at whole it is quickly known to be text; serde_json would otherwise ask it of each string.
        let fields = match std::str::from_utf8(body) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(body),
        };
        let Members(fields) = fields
            .map_err(|error| Misbehaved::Body { resource, reason: printable(&error.to_string(), 200) })?;
        Ok(Self { resource, fields: Fields::Own(fields) })
    }

    /// An object inside another, or `None` when the value is no object.
    pub(crate) fn inner(resource: &'static str, value: &'a Json<'a>) -> Option<Self> {
        match value {
            Json::Object(fields) => Some(Self { resource, fields: Fields::Within(fields) }),
            _ => None,
        }
    }

    /// The object in a field.
    pub(crate) fn object(&self, resource: &'static str, field: &str) -> Option<Object<'_>> {
        Object::inner(resource, self.value(field)?)
    }

    /// A field, whatever it holds.
    pub(crate) fn value(&self, field: &str) -> Option<&Json<'_>> {
        self.fields().iter().rev().find(|(name, _)| name == field).map(|(_, value)| value)
    }

    fn fields(&self) -> &[Member<'_>] {
        match &self.fields {
            Fields::Own(fields) => fields,
            Fields::Within(fields) => fields,
        }
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.value(field)?.as_text()
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
        self.value(field)?.as_flag()
    }

    pub(crate) fn number(&self, field: &str) -> Option<u64> {
        self.value(field)?.as_number()
    }

    pub(crate) fn moment(&self, field: &str) -> Option<Timestamp> {
        self.text(field)?.parse().ok()
    }

    /// The elements of an array; none when the field is absent or no array.
    ///
    /// # Errors
    /// [`Misbehaved::TooMany`] above `limit`.
    pub(crate) fn list(&self, field: &'static str, limit: usize) -> Result<&[Json<'_>], Misbehaved> {
        let list = self.value(field).and_then(Json::as_list).unwrap_or_default();
        if list.len() > limit {
            return Err(Misbehaved::TooMany { resource: self.resource, field, count: list.len(), limit });
        }
        Ok(list)
    }

    /// The elements of an array that has to be there.
    pub(crate) fn required_list(&self, field: &'static str, limit: usize) -> Result<&[Json<'_>], Misbehaved> {
        if self.value(field).and_then(Json::as_list).is_none() {
            return Err(self.lacks(field, "an array"));
        }
        self.list(field, limit)
    }

    /// Names and values, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Json<'_>)> {
        // Of two with one name the last stays.
        self.fields().iter().map(|(name, value)| (&**name, value)).collect::<BTreeMap<_, _>>().into_iter()
    }

    /// The error for a required field that is not what it should be.
    pub(crate) const fn lacks(&self, field: &'static str, expected: &'static str) -> Misbehaved {
        Misbehaved::Field { resource: self.resource, field, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_fields_with_one_name_the_last_counts() {
        let object = Object::parse("thing", br#"{"b":1,"a":"x","a":["y"],"b":true}"#).unwrap();
        assert_eq!((object.text("a"), object.list("a", 1).unwrap().len()), (None, 1));
        assert_eq!((object.number("b"), object.flag("b")), (None, Some(true)));
        let names: Vec<_> = object.iter().map(|(name, value)| (name, value.as_flag())).collect();
        assert_eq!(names, [("a", None), ("b", Some(true))]);
    }
}
