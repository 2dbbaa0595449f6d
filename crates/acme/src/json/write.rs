//! Writing the payloads of requests.

/// Writes a JSON string (RFC 8259 §7), escaped as serde_json does it.
///
/// Names, URLs and nonces hold nothing to escape but in a server's dreams.
pub(crate) fn push_text(json: &mut String, text: &str) {
    // Without a way out at the first, so that the compiler can look at many at once.
    let escapes = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    if text.bytes().fold(false, |any, byte| any | escapes(byte)) {
        json.push_str(&serde_json::Value::from(text).to_string());
        return;
    }
    json.push('"');
    json.push_str(text);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_json_writes_it(text in any::<String>()) {
            let mut json = String::new();
            push_text(&mut json, &text);
            prop_assert_eq!(json, serde_json::to_string(&text).unwrap());
        }
    }
}
