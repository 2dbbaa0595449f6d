//! The forms of a TXT value: one text, character-strings on the wire (RFC 1035 §3.3.14), quoted strings in
//! zone files and in many vendors' interfaces (RFC 1035 §5.1).
//!
//! Vendors echo what they were given in any of these forms. Two forms are the same value when they are equal
//! after [`unquote`].

/// The longest value that is written: nobody's challenge needs more, and every message stays small. RFC 8555
/// §8.4 needs 43 bytes.
pub const MAX_VALUE: usize = 4096;

/// RFC 1035 §3.3: a length octet, then so many octets at most.
const MAX_CHARACTER_STRING: usize = 255;

/// The value cut into character-strings of at most 255 bytes. An empty value is one empty string, since a
/// TXT record has at least one.
#[must_use]
pub fn character_strings(value: &str) -> Vec<&[u8]> {
    if value.is_empty() { vec![b""] } else { value.as_bytes().chunks(MAX_CHARACTER_STRING).collect() }
}

/// The value that character-strings make when joined; bytes that are not UTF-8 become U+FFFD, which only a
/// foreign value can be.
#[must_use]
pub fn join<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> String {
    let mut bytes = Vec::new();
    for string in strings {
        bytes.extend_from_slice(string.as_ref());
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The value as zone files write it: quoted character-strings, `"` and `\` escaped, bytes that do not print
/// as `\DDD`.
///
/// ```
/// use perennial_providers::txt;
///
/// assert_eq!(txt::quote(r#"a "b""#), r#""a \"b\"""#);
/// assert_eq!(txt::unquote(&txt::quote(&"x".repeat(300))), "x".repeat(300));
/// ```
#[must_use]
pub fn quote(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    for (index, string) in character_strings(value).into_iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        text.push('"');
        for &byte in string {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text.push('"');
    }
    text
}

/// The value that a vendor's echo stands for: quoted strings are unescaped and joined; a text that does not
/// begin with a quote is the value itself.
///
/// A text that begins with a quote but is no well-formed row of quoted strings is a value that happens to
/// begin so, and stays as it is.
///
/// ```
/// use perennial_providers::txt;
///
/// assert_eq!(txt::unquote(r#""ab" "c\"d""#), r#"abc"d"#);
/// assert_eq!(txt::unquote("plain text"), "plain text");
/// assert_eq!(txt::unquote(r#""\195\188""#), "ü");
/// ```
#[must_use]
pub fn unquote(text: &str) -> String {
    match parse_quoted(text.trim()) {
        Some(bytes) => join([bytes]),
        None => text.to_owned(),
    }
}

/// The bytes of one or more quoted strings with white space between them.
fn parse_quoted(text: &str) -> Option<Vec<u8>> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    if rest.is_empty() {
        return None;
    }
    while let Some(string) = rest.strip_prefix(b"\"") {
        rest = parse_string(string, &mut bytes)?;
        rest = rest.trim_ascii_start();
    }
    rest.is_empty().then_some(bytes)
}

/// Reads to the closing quote and returns what follows it.
fn parse_string<'t>(mut rest: &'t [u8], bytes: &mut Vec<u8>) -> Option<&'t [u8]> {
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                let number = [a, b, c].into_iter().fold(0_u16, |n, digit| n * 10 + u16::from(digit - b'0'));
                bytes.push(u8::try_from(number).ok()?);
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                bytes.push(*escaped);
                rest = after;
            }
            [b'\\'] | [] => return None,
            [plain, after @ ..] => {
                bytes.push(*plain);
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_quotes_are_part_of_the_value() {
        for text in [r#"""#, r#""open"#, r#""a" b"#, r#""\999""#, r#""end\"#, r#"a"b""#] {
            assert_eq!(unquote(text), text);
        }
    }

    #[test]
    fn an_empty_value_is_one_empty_string() {
        assert_eq!(character_strings(""), [b""]);
        assert_eq!(quote(""), r#""""#);
        assert_eq!(unquote(r#""""#), "");
    }

    #[test]
    fn foreign_bytes_that_are_no_text_do_not_stop_the_reading() {
        assert_eq!(join([&[b'a', 0xff][..], b"b"]), "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn quoting_and_cutting_are_undone(value in "\\PC{0,400}") {
            prop_assert_eq!(unquote(&quote(&value)), value.clone());
            let strings = character_strings(&value);
            prop_assert!(strings.iter().all(|string| string.len() <= MAX_CHARACTER_STRING));
            prop_assert_eq!(join(strings), value);
        }

        #[test]
        fn no_text_panics(text in "[\"\\\\ 0-9aü]{0,40}") {
            let _ = unquote(&text);
        }
    }
}
