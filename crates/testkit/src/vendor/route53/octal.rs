//! How Route 53 writes names and values: escapes are octal.

/// In quotes, in as many strings as it needs.
pub(super) fn quoted(value: &str) -> String {
    let strings: Vec<_> = value.as_bytes().chunks(255).map(string).collect();
    if strings.is_empty() { "\"\"".to_owned() } else { strings.join(" ") }
}

/// In two strings, or more where it is long.
pub(super) fn segmented(value: &str) -> String {
    let middle = value.char_indices().nth(value.chars().count() / 2).map_or(0, |(place, _)| place);
    let (first, second) = value.split_at(middle);
    format!("{} {}", quoted(first), quoted(second))
}

fn string(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text.push('"');
    text
}

/// The value of a row of quoted strings, each of 255 bytes at most; `None` when it is none.
pub(super) fn unquoted(text: &str) -> Option<String> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::new();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        rest = rest.strip_prefix(b"\"")?;
        let begin = bytes.len();
        loop {
            let (byte, after) = match rest {
                [b'"', after @ ..] => {
                    rest = after.trim_ascii_start();
                    break;
                }
                [b'\\', after @ ..] => escape(after)?,
                [byte, after @ ..] => (*byte, after),
                [] => return None,
            };
            bytes.push(byte);
            rest = after;
        }
        if bytes.len() - begin > 255 {
            return None;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn escape(rest: &[u8]) -> Option<(u8, &[u8])> {
    if let Some((digits, after)) = rest.split_first_chunk::<3>()
        && digits.iter().all(|digit| matches!(digit, b'0'..=b'7'))
        && let Ok(text) = std::str::from_utf8(digits)
        && let Ok(byte) = u8::from_str_radix(text, 8)
    {
        return Some((byte, after));
    }
    rest.split_first().map(|(byte, after)| (*byte, after))
}

/// A name as it is listed: what is no letter, digit, hyphen or underscore is escaped.
pub(super) fn escaped_name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let escaped = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("\\{byte:03o}") };
    name.bytes().map(escaped).collect()
}

/// A name as it is asked for, with or without escapes.
pub(super) fn plain_name(name: &str) -> String {
    name.replace("\\052", "*").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for value in ["", "a", "a \"b\" \\ ü", &"x".repeat(600)] {
            assert_eq!(unquoted(&quoted(value)).as_deref(), Some(value));
            assert_eq!(unquoted(&segmented(value)).as_deref(), Some(value));
        }
        for text in ["a", "\"a", "", "\"a\" b", &format!("\"{}\"", "x".repeat(256))] {
            assert_eq!(unquoted(text), None, "{text}");
        }
        assert_eq!(escaped_name("*.a_b.example"), "\\052.a_b.example");
        assert_eq!(plain_name("\\052.A.example"), "*.a.example");
    }
}
