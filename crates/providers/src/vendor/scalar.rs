//! A text or a number: what many vendors write sometimes as the one and sometimes as the other.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A text or a number of a vendor's JSON, as text: identifiers and times to live change their type from call
/// to call and from year to year, and nobody calculates with them.
///
/// ```
/// use perennial_providers::vendor::Scalar;
///
/// let ids: Vec<Scalar> = serde_json::from_str(r#"["106926659", 106926659]"#)?;
/// assert_eq!(ids[0], ids[1]);
/// assert_eq!(ids[0].number(), Some(106_926_659));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scalar(String);

impl Scalar {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a whole number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.0.parse().ok()
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar(number.to_string()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_text_nor_whole_number_is_refused() {
        let read = |json: &str| serde_json::from_str::<Scalar>(json);
        assert_eq!(read("-7").unwrap().as_str(), "-7");
        assert_eq!(read(r#""0000026A""#).unwrap().number(), None);
        for json in ["null", "1.5", "true", "[1]", r#"{"id": 1}"#] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
