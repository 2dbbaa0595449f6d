//! A command as a form (application/x-www-form-urlencoded, URL Standard §5).

use crate::vendor::segment;

use super::Split;

pub(super) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// A command in the making.
pub(super) struct Form(String);

impl Form {
    pub(super) fn new(command: &str) -> Self {
        Self(String::new()).with("Command", command)
    }

    /// Adds a field. Everything but unreserved characters is escaped, a plus sign above all: it would come out as
    /// a space, and so it would go into the records of others.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(&segment(name));
        self.0.push('=');
        self.0.push_str(&segment(value));
        self
    }

    pub(super) fn split(self, split: &Split) -> Self {
        self.with("SLD", &split.sld).with("TLD", &split.tld)
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}
