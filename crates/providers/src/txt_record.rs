//! One TXT record, as somebody looks at it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One value at a name, and how long it may be kept by whoever asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TxtRecord {
    /// The value: joined and unquoted.
    pub value: String,
    /// The time to live, in whole seconds, where the vendor says it.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::receipt::seconds")]
    pub ttl: Option<Duration>,
}

impl TxtRecord {
    /// A value with its time to live, where that is known.
    #[must_use]
    pub fn new(value: impl Into<String>, ttl: Option<Duration>) -> Self {
        Self { value: value.into(), ttl }
    }
}
