//! A vendor's words, fit to be shown.

use super::Secrets;

/// Enough of an error message to act upon, and no more of a stranger's text.
const MOST: usize = 300;

/// A remedy stands at its end.
const MOST_OF_A_SENTENCE: usize = 1000;

/// A code or the name of an exchange.
const MOST_OF_A_WORD: usize = 80;

/// The text without secrets and control characters, on one line, cut.
pub(super) fn shown(text: &str, secrets: &Secrets) -> String {
    cut(&one_line(&secrets.hide(text)), MOST)
}

/// The same of a sentence of ours that quotes the vendor.
pub(super) fn sentence(text: &str, secrets: &Secrets) -> String {
    cut(&one_line(&secrets.hide(text)), MOST_OF_A_SENTENCE)
}

/// The same of a short thing.
pub(super) fn word(text: &str, secrets: &Secrets) -> String {
    cut(&one_line(&secrets.hide(text)), MOST_OF_A_WORD)
}

/// The beginning of a body, as [`shown`]. What is far behind the beginning is not even looked at.
pub(super) fn excerpt(body: &[u8], secrets: &Secrets) -> String {
    // A secret that the cut would halve could not be recognized, hence the room.
    let head = body.get(..ROOM).unwrap_or(body);
    shown(&String::from_utf8_lossy(head), secrets)
}

/// Longer than what is shown by more than any secret is long.
const ROOM: usize = 16 * 1024;

/// What is to be read of a web page: without its tags.
pub(super) fn of_page(body: &[u8], secrets: &Secrets) -> String {
    let head = body.get(..ROOM).unwrap_or(body);
    let text = secrets.hide(&String::from_utf8_lossy(head));
    let mut plain = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        match character {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                plain.push(' ');
            }
            other if !inside => plain.push(other),
            _ => {}
        }
    }
    cut(&one_line(&plain), MOST)
}

/// Whether the body begins as a web page does.
pub(super) fn is_page(content_type: Option<&str>, body: &[u8]) -> bool {
    let declared = content_type.is_some_and(|it| it.to_ascii_lowercase().starts_with("text/html"));
    let head = body.trim_ascii_start();
    let head = head.get(..14).unwrap_or(head).to_ascii_lowercase();
    declared || head.starts_with(b"<!doctype html") || head.starts_with(b"<html")
}

fn one_line(text: &str) -> String {
    let harmless: String = text.chars().map(|c| if is_harmless(c) { c } else { ' ' }).collect();
    harmless.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Neither a control character nor one that turns the direction of writing.
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_told_from_data_and_read_without_its_tags() {
        let page =
            b"  <!DOCTYPE html><html><head><title>502 Bad Gateway</title></head>\n<h1>nginx</h1></html>";
        assert!(is_page(None, page));
        assert!(is_page(Some("text/html; charset=utf-8"), b"whatever"));
        assert!(!is_page(Some("application/json"), b"{}"));
        assert!(!is_page(None, b"<?xml version=\"1.0\"?>"));
        assert_eq!(of_page(page, &Secrets::none()), "502 Bad Gateway nginx");
    }

    #[test]
    fn what_is_shown_is_one_line_without_secrets_and_cut() {
        let secrets = Secrets::of("t0k3n".into());
        assert_eq!(shown("a\x1b[31m\r\n\u{202e}b  t0k3n", &secrets), "a [31m b [secret]");
        assert_eq!(shown(&"x".repeat(1000), &secrets).chars().count(), MOST + 1);
        let halved = format!("{}t0k3n", "x".repeat(MOST - 2));
        assert!(!excerpt(halved.as_bytes(), &secrets).contains("t0"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let secrets = Secrets::of("x".into());
            for text in [excerpt(&bytes, &secrets), of_page(&bytes, &secrets)] {
                prop_assert!(text.chars().all(is_harmless));
            }
            let _ = is_page(None, &bytes);
        }
    }
}
