//! Which of a CA's limits it was, in a word that a label can bear: pure.

/// All words that there are for limits. The first four are those of budgets, so that a refusal leads to the budget that
/// should have been smaller.
pub(super) const LIMITS: [&str; 5] = ["account", "domain", "exact_set", "failed_validations", OTHER];

/// What no word fits, or what the CA does not say.
const OTHER: &str = "other";

/// Where the limit of which a CA speaks stands in [`LIMITS`].
///
/// RFC 8555 §6.6 leaves the text to the CA, so this goes by what Boulder says, as most who count run it: a text of
/// anybody else's is [`OTHER`], and costs no series of its own.
pub(super) fn limit(said: &str) -> usize {
    let said = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let word = if has(&["exact set"]) {
        "exact_set"
    } else if has(&["failed authorization", "failed validation"]) {
        "failed_validations"
    } else if has(&["certificates"]) {
        "domain"
    } else if has(&["new orders", "registrations", "account"]) {
        "account"
    } else {
        OTHER
    };
    LIMITS.iter().position(|known| *known == word).unwrap_or(LIMITS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_boulder_says_has_the_word_of_its_budget_and_all_else_is_other() {
        let texts = [
            (
                "too many new orders (300) from this account in the last 3h0m0s, retry after 2027-01-15",
                "account",
            ),
            ("too many new registrations (10) from this IP address in the last 3h0m0s", "account"),
            ("too many certificates (50) already issued for \"shop.example\" in the last 168h0m0s", "domain"),
            (
                "too many certificates (5) already issued for this exact set of identifiers in the last",
                "exact_set",
            ),
            (
                "Error creating new order :: too many failed authorizations (5) for \"a.example\"",
                "failed_validations",
            ),
            ("Service busy; retry later.", "other"),
            ("", "other"),
        ];
        for (text, word) in texts {
            assert_eq!(LIMITS[limit(text)], word, "{text}");
        }
    }
}
