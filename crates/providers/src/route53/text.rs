//! How Route 53 writes names and values: as zone files do, but with octal escapes.
//!
//! Source: Amazon Route 53 Developer Guide, "DNS domain name format" and "Supported DNS record types", TXT.

use crate::txt;

/// The value as quoted character-strings: `"` and `\` escaped, bytes that do not print as `\OOO`.
pub(super) fn quote(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 8);
    for string in txt::character_strings(value) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push('"');
        for &byte in string {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03o}")),
            }
        }
        text.push('"');
    }
    text
}

/// The value that quoted character-strings stand for; a text that is none stays as it is.
pub(super) fn unquote(text: &str) -> String {
    match strings(text.trim().as_bytes()) {
        Some(bytes) => txt::join([bytes]),
        None => text.to_owned(),
    }
}

/// The name without escapes, `\052` for the asterisk of a wildcard, and without the dot at its end.
pub(super) fn unescape_name(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut rest = name.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let (byte, left) = match first {
            b'\\' => escape(after).unwrap_or((b'\\', after)),
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = left;
    }
    txt::join([bytes])
}

/// The bytes of one or more quoted strings with white space between them.
fn strings(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while let Some(inside) = rest.strip_prefix(b"\"") {
        rest = string(inside, &mut bytes)?.trim_ascii_start();
    }
    rest.is_empty().then_some(bytes)
}

/// Takes one string up to its closing quote; what comes after that is returned.
fn string<'a>(mut rest: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (first, after) = rest.split_first()?;
        let (byte, left) = match first {
            b'"' => return Some(after),
            b'\\' => escape(after)?,
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = left;
    }
}

/// What follows a backslash: three octal digits, or any character that stands for itself.
fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    if let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] = rest {
        let byte = ((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0');
        return Some((byte, after));
    }
    rest.split_first().map(|(byte, after)| (*byte, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_octal() {
        assert_eq!(quote("ex\u{e4}mple \"x\" \\"), r#""ex\303\244mple \"x\" \\""#);
        assert_eq!(unquote(r#""ex\303\244mple""#), "exämple");
        assert_eq!(unquote(r#""a" "b""#), "ab");
        assert_eq!(unescape_name(r"\052.example.com."), "*.example.com");
        assert_eq!(unescape_name("_acme-challenge.example.com."), "_acme-challenge.example.com");
    }

    #[test]
    fn a_long_value_is_several_strings() {
        let value = "x".repeat(300);
        assert_eq!(quote(&value), format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }

    #[test]
    fn what_is_no_row_of_quoted_strings_is_the_value_itself() {
        for text in ["plain", "\"open", "\"a\" b", "", "\"a\\"] {
            assert_eq!(unquote(text), text);
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone(value in ".{1,400}") {
            prop_assert_eq!(unquote(&quote(&value)), value);
        }

        #[test]
        fn no_text_panics(text in "[\"\\\\0-9a-z .ü]{0,40}") {
            let _ = (unquote(&text), unescape_name(&text));
        }
    }
}
