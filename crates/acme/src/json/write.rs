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

/// An object in the making. Its members come in the order in which they are put.
pub(crate) struct ObjectWriter<'a> {
    json: &'a mut String,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object at the end of the text.
    pub(crate) fn open(json: &'a mut String) -> Self {
        json.push('{');
        Self { json, empty: true }
    }

    /// Writes a member's name; its value has to be put where this leads.
    pub(crate) fn member(&mut self, name: &'static str) -> &mut String {
        if !std::mem::replace(&mut self.empty, false) {
            self.json.push(',');
        }
        push_text(self.json, name);
        self.json.push(':');
        self.json
    }

    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        push_text(self.member(name), text);
    }

    /// Ends the object.
    pub(crate) fn close(self) {
        self.json.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_have_commas_between_them_and_nowhere_else() {
        let mut json = String::from("[");
        ObjectWriter::open(&mut json).close();
        json.push(',');
        let mut object = ObjectWriter::open(&mut json);
        object.text("a", "b");
        object.member("c").push('7');
        object.close();
        assert_eq!(json, r#"[{},{"a":"b","c":7}"#);
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_json_writes_it(text in any::<String>()) {
            let mut json = String::new();
            push_text(&mut json, &text);
            prop_assert_eq!(json, serde_json::to_string(&text).unwrap());
        }
    }
}
