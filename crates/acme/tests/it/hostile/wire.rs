//! Answers that do not arrive, or not as HTTP.

use perennial_testkit::ca::Misbehaviour::*;

use super::{
    Outcome::{Bears, Fails, Recovers},
    Row, judge,
};

pub(super) const ROWS: &[Row] = &[
    (BodyCut, Recovers("Network::Exchange")),
    (BodySlow, Fails("Network::Timeout")),
    (BodyWithoutEnd, Fails("Network::BodyTooLarge")),
    (ChunkHuge, Fails("Network::Exchange")),
    (ChunksBroken, Fails("Network::Exchange")),
    (ContentLengthNegative, Fails("Network::Exchange")),
    (ContentLengthTooLong, Fails("Network::Exchange")),
    (ContentLengthTooShort, Fails("Misbehaved::Body")),
    (ContentLengthTwice, Fails("Network::Exchange")),
    (HeaderControl, Fails("Network::Exchange")),
    (HeadersMany, Fails("Network::Exchange")),
    (HeadersWithoutEnd, Fails("Network::Exchange")),
    (Http10, Bears),
    (InterimAnswers, Bears),
    (InterimAnswersWithoutEnd, Fails("Network::Timeout")),
    (NoHttp, Recovers("Network::Exchange")),
    (ResetAuthorization, Recovers("Network::Exchange")),
    (ResetCertificate, Recovers("Network::Exchange")),
    (ResetChallenge, Recovers("Network::Exchange")),
    (ResetDirectory, Recovers("Network::Exchange")),
    // The order is asked what has become of it.
    (ResetFinalize, Bears),
    (ResetNewAccount, Recovers("Network::Exchange")),
    (ResetNewNonce, Recovers("Network::Exchange")),
    // The one gap of the protocol: an order whose URL was lost with the answer costs a second one.
    (ResetNewOrder, Recovers("Network::Exchange")),
    // Who waits for an order looks again.
    (ResetOrder, Bears),
    (ResponseTwice, Bears),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_costs_no_second_order_but_the_one_whose_url_was_lost() {
    judge(ROWS).await;
}
