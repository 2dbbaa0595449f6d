//! Nonces, refusals and redirects.

use perennial_testkit::ca::Misbehaviour::*;

use super::{
    Outcome::{Bears, Fails},
    Row, judge,
};

pub(super) const ROWS: &[Row] = &[
    (ErrorHtml, Fails("Server::Unknown")),
    (ErrorWithoutBody, Fails("Server::Unknown")),
    (NewNonceEmpty, Fails("Misbehaved::Header")),
    (NonceHuge, Bears),
    (NonceMalformed, Bears),
    (NonceMissing, Bears),
    (NonceReused, Bears),
    (NoncesRefused, Bears),
    (ProblemAsSuccess, Fails("Misbehaved::Field")),
    (ProblemControlCharacters, Fails("Server::Unknown")),
    (ProblemHuge, Fails("Server::RejectedIdentifier")),
    (ProblemInstanceHttp, Fails("Server::UserActionRequired")),
    (ProblemNested, Fails("Server::Unknown")),
    (ProblemNestedDeep, Fails("Server::Unknown")),
    (ProblemsWithoutEnd, Fails("Server::RejectedIdentifier")),
    (RateLimitedForEver, Fails("Server::RateLimited")),
    (Redirect301, Fails("Misbehaved::Status")),
    (Redirect302, Fails("Misbehaved::Status")),
    (Redirect307, Fails("Misbehaved::Status")),
    (Redirect308, Bears),
    (RedirectLoop, Fails("Network::TooManyRedirects")),
    (RedirectToHttp, Fails("Network::InsecureUrl")),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_and_a_redirect_of_a_post_is_not_followed() {
    judge(ROWS).await;
}
