//! Parameters as an HTML form sends them: `application/x-www-form-urlencoded`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a body of this kind is called.
pub(super) const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Names and values, joined. A space becomes `%20`, which every reader takes for one, as it does `+`.
pub(super) fn encode(parameters: &[(&str, impl AsRef<str>)]) -> String {
    let text = |text| utf8_percent_encode(text, UNRESERVED);
    let pairs = parameters.iter().map(|(name, value)| format!("{}={}", text(name), text(value.as_ref())));
    pairs.collect::<Vec<_>>().join("&")
}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_form_is_encoded() {
        assert_eq!(encode(&[("a", "b c"), ("d+", "&=ü")]), "a=b%20c&d%2B=%26%3D%C3%BC");
    }
}
