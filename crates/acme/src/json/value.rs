//! A JSON value (RFC 8259) as it stands in an answer.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A JSON value. Its texts are the answer's own octets, but for those with escapes in them: an answer is read
/// once and then dropped, so that a copy of each text would be most of the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    /// `true` or `false`.
    Flag(bool),
    /// An array.
    List(Vec<Self>),
    /// `null`.
    Null,
    /// A whole number that is not negative; `None` for the others, which ACME has none of.
    Number(Option<u64>),
    /// An object, its members as they came: of two with one name the last counts.
    Object(Vec<Member<'a>>),
    /// A string.
    Text(Cow<'a, str>),
}

/// Name and value.
pub(crate) type Member<'a> = (Cow<'a, str>, Json<'a>);

impl Json<'_> {
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) const fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => *number,
            // In a program that turns serde_json's feature `arbitrary_precision` on, numbers come so.
            Self::Object(members) => match &members[..] {
                [(name, Self::Text(digits))] if name == "$serde_json::private::Number" => digits.parse().ok(),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.try_into().ok()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(Some(number)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Json::Number(None))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        read_members(map).map(Json::Object)
    }
}

/// The members of an object.
pub(super) struct Members<'a>(pub(super) Vec<Member<'a>>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyObject).map(Self)
    }
}

struct AnyObject;

impl<'de> Visitor<'de> for AnyObject {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        read_members(map)
    }
}

fn read_members<'de, A: MapAccess<'de>>(mut map: A) -> Result<Vec<Member<'de>>, A::Error> {
    let mut members = Vec::new();
    while let Some(Name(name)) = map.next_key()? {
        if members.is_empty() {
            members.reserve(USUAL_MEMBERS);
        }
        members.push((name, map.next_value()?));
    }
    Ok(members)
}

/// Most of ACME's objects have four to seven.
const USUAL_MEMBERS: usize = 8;

/// serde's own `Cow` copies.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AnyName).map(Self)
    }
}

struct AnyName;

impl<'de> Visitor<'de> for AnyName {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// What both can tell of a value.
    fn same(ours: &Json<'_>, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Json::Null, Value::Null) => true,
            (Json::Flag(ours), Value::Bool(theirs)) => ours == theirs,
            (Json::Number(ours), Value::Number(theirs)) => *ours == theirs.as_u64(),
            (Json::Text(ours), Value::String(theirs)) => ours == theirs,
            (Json::List(ours), Value::Array(theirs)) => {
                ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
            }
            (Json::Object(ours), Value::Object(theirs)) => {
                let last =
                    |name: &str| ours.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value);
                ours.iter().all(|(name, _)| theirs.contains_key(&**name))
                    && theirs.iter().all(|(name, theirs)| last(name).is_some_and(|ours| same(ours, theirs)))
            }
            _ => false,
        }
    }

    #[test]
    fn texts_are_those_of_the_answer_unless_they_have_escapes() {
        let Members(members) = serde_json::from_str(r#"{"a":"b","\u0061":"\n"}"#).unwrap();
        let borrowed = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
        let [(first, Json::Text(plain)), (second, Json::Text(escaped))] = &members[..] else { panic!() };
        assert!(borrowed(first) && borrowed(plain) && !borrowed(second) && !borrowed(escaped));
        assert_eq!((&**second, &**escaped), ("a", "\n"));
    }

    #[test]
    fn a_number_of_arbitrary_precision_is_a_number() {
        let number = |text| serde_json::from_str::<Json<'_>>(text).unwrap().as_number();
        assert_eq!(number("60"), Some(60));
        assert_eq!(number(r#"{"$serde_json::private::Number":"60"}"#), Some(60));
        for text in ["-60", "6.5", "1e2", "18446744073709551616", r#""60""#, r#"{"x":"60"}"#, "{}"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_serde_json_reads_is_read_alike_and_nothing_else_is(
            text in prop_oneof![
                r#"[\[\]{}:, "a\\u0-9eE.+-]{0,24}"#,
                r#"(\[|\{"a":|"a"|-?[0-9]{1,22}|\]|\}|,|true|null| ){0,16}"#,
            ],
        ) {
            match (serde_json::from_str::<Json<'_>>(&text), serde_json::from_str::<Value>(&text)) {
                (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours, &theirs), "{ours:?} {theirs}"),
                (Err(ours), Err(theirs)) => prop_assert_eq!(ours.to_string(), theirs.to_string()),
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }

        #[test]
        fn bytes_that_are_no_text_are_refused_as_serde_json_refuses_them(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\')], 0..16),
        ) {
            let body = [br#"{"a":""#, &bytes[..], br#""}"#].concat();
            let ours = serde_json::from_slice::<Members<'_>>(&body).map(drop);
            let theirs = serde_json::from_slice::<serde_json::Map<String, Value>>(&body).map(drop);
            let text = |error: serde_json::Error| error.to_string();
            prop_assert_eq!(ours.map_err(text), theirs.map_err(text));
        }
    }
}
