//! Text that a server wrote, made fit to be shown.
//!
//! A problem's `detail` ends up in terminals, logs and web pages. Escape sequences, line breaks that forge
//! log lines and right-to-left overrides that swap what is read are dropped here, once.

/// The text without control and direction characters, white space folded to single spaces, at most `limit`
/// characters long; a cut is marked with `…`.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    if text.len() <= limit && is_plain(text) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(limit));
    for (count, character) in folded(text).enumerate() {
        if count == limit {
            shown.pop();
            shown.push('…');
            break;
        }
        shown.push(character);
    }
    if shown.ends_with(' ') {
        shown.pop();
    }
    shown
}

/// Whether it can stay as it is; nearly all that servers write can.
fn is_plain(text: &str) -> bool {
    let mut after_space = true;
    let plain = text.bytes().all(|byte| {
        let space = byte == b' ';
        !(std::mem::replace(&mut after_space, space) && space) && (space || byte.is_ascii_graphic())
    });
    plain && (text.is_empty() || !after_space)
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    let mut after_space = true;
    text.chars().filter_map(move |character| {
        if character.is_whitespace() {
            return (!std::mem::replace(&mut after_space, true)).then_some(' ');
        }
        if character.is_control() || turns_direction(character) {
            return None;
        }
        after_space = false;
        Some(character)
    })
}

/// The bidirectional formatting characters of Unicode (UAX #9 §2), and the byte order mark.
const fn turns_direction(character: char) -> bool {
    matches!(character, '\u{061c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_and_line_breaks_do_not_survive() {
        assert_eq!(printable("no\x1b[31m TXT\r\n  found\u{202e}!\u{0}", 100), "no[31m TXT found!");
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!(printable("abcdef", 4), "abc…");
        assert_eq!(printable("abcd", 4), "abcd");
    }

    proptest! {
        #[test]
        fn whatever_comes_the_result_is_short_and_quiet(text in any::<String>(), limit in 1_usize..40) {
            let shown = printable(&text, limit);
            prop_assert!(shown.chars().count() <= limit);
            prop_assert!(!shown.chars().any(char::is_control));
        }

        #[test]
        fn what_is_plain_is_what_comes_through_unchanged(text in "[ab ]{0,8}|[ -~]{0,12}|.{0,8}") {
            let folded: String = folded(&text).collect();
            prop_assert!(!is_plain(&text) || folded == text && !text.ends_with(' '));
        }
    }
}
