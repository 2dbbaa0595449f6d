//! `Link` headers (RFC 8288 §3), as far as ACME uses them.

use http::{HeaderMap, header::LINK};

/// The references whose relation is `relation`, in the server's order; at most 32 of them.
pub(crate) fn references<'a>(headers: &'a HeaderMap, relation: &'a str) -> impl Iterator<Item = String> + 'a {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(links)
        .filter(move |(_, parameters)| has_relation(parameters, relation))
        .map(|(reference, _)| reference.to_owned())
        .take(MAX_LINKS)
}

/// CAs offer two or three alternate chains.
const MAX_LINKS: usize = 32;

/// Cuts `<a>;x="1,2", <b>;y` into references and their parameters.
fn links(header: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once('<')?;
        let (reference, after) = after.split_once('>')?;
        let (parameters, following) = after.split_at(end_of_parameters(after));
        rest = following;
        Some((reference.trim(), parameters))
    })
}

/// Where the next comma outside quotes is.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    text.find(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    })
    .unwrap_or(text.len())
}

fn has_relation(parameters: &str, relation: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return false;
        };
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("rel")
            && value.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(relation))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn alternates(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_str(value).unwrap());
        }
        references(&headers, "alternate").collect()
    }

    #[test]
    fn several_headers_and_several_links_in_one_are_read() {
        assert_eq!(
            alternates(&[
                r#"<https://ca.example/dir>;rel="index""#,
                r#"<https://ca.example/cert/7/1>;rel="alternate", </cert/7/2>; title="a, b"; REL=Alternate"#,
            ]),
            ["https://ca.example/cert/7/1", "/cert/7/2"]
        );
    }

    #[test]
    fn broken_links_are_passed_over() {
        assert_eq!(alternates(&["<", "<>", "rel=alternate", "<x;rel=alternate", "<y>;rel"]), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,60}") {
            let _ = alternates(&[&value]);
        }
    }
}
