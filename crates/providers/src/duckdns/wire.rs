//! What DuckDNS answers: a word, and with `verbose` what became of the request.

use crate::vendor::{Answer, Blame, Complaint};

/// Whether the first line is the good word.
pub(super) fn is_ok(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.trim() == "OK")
}

/// One word, with 200, for a token that is unknown and for a domain that is another account's.
pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    let of_status = Complaint::of_status(answer);
    if of_status.is_some() {
        return of_status;
    }
    let refused = answer.text().lines().next().is_some_and(|line| line.trim() == "KO");
    let why = "KO, which it says when the token is wrong, and when the domain is not one of this account's";
    refused.then(|| Complaint::new(Blame::Auth).code("KO").message(why))
}
