//! The canonical form of a request: what AWS, Alibaba and Tencent sign is the digest of the same text.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::{host, sha256};

/// A request in the form in which it is signed.
pub(super) struct CanonicalRequest {
    /// SHA-256 of the canonical text, in hexadecimal.
    pub(super) digest: String,
    /// The names of the headers in it, sorted and joined by semicolons.
    pub(super) signed_headers: String,
}

impl CanonicalRequest {
    /// The request with the path and query as the scheme writes them, and with those of its headers that the
    /// scheme covers. `Host` is one of them, whether the request has it or leaves it to the client.
    pub(super) fn new(
        request: &Request<Bytes>,
        path: &str,
        query: &str,
        covers: impl Fn(&str) -> bool,
    ) -> Self {
        let headers = headers(request, covers);
        let signed_headers = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
        let mut text = format!("{}\n{path}\n{query}\n", request.method()).into_bytes();
        for (name, value) in &headers {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        text.extend_from_slice(format!("\n{signed_headers}\n{}", payload_digest(request)).as_bytes());
        Self { digest: HEXLOWER.encode(sha256(&text).as_ref()), signed_headers }
    }
}

/// SHA-256 of the body, in hexadecimal; that of nothing when there is none.
pub(super) fn payload_digest(request: &Request<Bytes>) -> String {
    HEXLOWER.encode(sha256(request.body()).as_ref())
}

/// The query with names and values encoded as RFC 3986 §2.1 wants it, sorted by name and then by value. A name
/// without a value gets an empty one.
pub(super) fn sorted_query(query: &str) -> String {
    let encoded = |text: &str| encode(&percent_decode_str(text).collect::<Vec<u8>>(), UNRESERVED);
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The text with everything encoded but what the set lets through.
pub(super) fn encode(text: &[u8], set: &'static AsciiSet) -> String {
    percent_encode(text, set).to_string()
}

/// RFC 3986 §2.3: what is never encoded.
pub(super) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Names in lower case and sorted; values without white space at the ends and with one space for many between,
/// joined by commas where a header comes more than once.
fn headers(request: &Request<Bytes>, covers: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
    let mut headers = BTreeMap::new();
    for name in request.headers().keys().filter(|name| covers(name.as_str())) {
        let values = request.headers().get_all(name).iter();
        let values: Vec<_> = values.map(|value| squeezed(value.as_bytes())).collect();
        headers.insert(name.as_str().to_owned(), values.join(&b','));
    }
    headers.entry("host".to_owned()).or_insert_with(|| host(request.uri()).into_bytes());
    headers
}

fn squeezed(value: &[u8]) -> Vec<u8> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_is_sorted_by_name_and_then_by_value() {
        assert_eq!(sorted_query("b=2&a=2&a=10&c"), "a=10&a=2&b=2&c=");
        assert_eq!(sorted_query(""), "");
        assert_eq!(sorted_query("&&a=1&"), "a=1");
    }

    #[test]
    fn a_query_is_encoded_once_however_it_was_written() {
        assert_eq!(sorted_query("name=a b"), "name=a%20b");
        assert_eq!(sorted_query("name=a%20b"), "name=a%20b");
        assert_eq!(sorted_query("name=%7e~*%2a%3d=="), "name=~~%2A%2A%3D%3D%3D");
        assert_eq!(sorted_query("n=ü"), sorted_query("n=%c3%bc"));
    }

    #[test]
    fn white_space_in_a_header_is_squeezed() {
        assert_eq!(squeezed(b"  a \t b  "), b"a b");
        assert_eq!(squeezed(b" "), b"");
    }

    proptest! {
        #[test]
        fn the_canonical_query_is_its_own_canonical_form(query in "[a-c%=&+ ü0-9]{0,24}") {
            let once = sorted_query(&query);
            prop_assert_eq!(sorted_query(&once), once.clone());
        }
    }
}
