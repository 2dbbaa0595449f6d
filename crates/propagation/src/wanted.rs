//! What should be visible: RFC 8555 §8.4.

use perennial_core::DomainName;
use serde::Serialize;

/// A name and the TXT values that it should have, perhaps among others.
///
/// An order for `example.com` and `*.example.com` puts two values at one name (RFC 8555 §8.4), and a server
/// counts only when it has both: wanted is a subset of what is there.
///
/// ```
/// use perennial_propagation::Wanted;
///
/// let name = "_acme-challenge.example.com".parse()?;
/// let wanted = Wanted::new(name, ["first".to_owned(), "second".to_owned(), "first".to_owned()]);
/// assert_eq!(wanted.values(), ["first", "second"]);
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted {
    name: DomainName,
    values: Vec<String>,
}

impl Wanted {
    /// These values at this name; a repeated value counts once.
    #[must_use]
    pub fn new(name: DomainName, values: impl IntoIterator<Item = String>) -> Self {
        let mut distinct = Vec::new();
        for value in values {
            if !distinct.contains(&value) {
                distinct.push(value);
            }
        }
        Self { name, values: distinct }
    }

    /// The name that holds the TXT records, such as `_acme-challenge.example.com`.
    #[must_use]
    pub const fn name(&self) -> &DomainName {
        &self.name
    }

    /// The values, each once, in the order given.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }
}
