//! Orders that change their minds, and places where they are not.

use perennial_testkit::ca::Misbehaviour::*;

use super::{
    Outcome::{Bears, Fails, Recovers},
    Row, judge,
};

pub(super) const ROWS: &[Row] = &[
    (FinalizeHtml, Bears),
    (FinalizeNotReady, Bears),
    (FinalizeStatus204, Bears),
    (FinalizeUrlElsewhere, Fails("Misbehaved::Url")),
    (FinalizeUrlHttp, Fails("Misbehaved::Url")),
    (FinalizeUrlOfAnotherOrder, Fails("Server::Unauthorized")),
    (IdentifiersChanged, Fails("Misbehaved::Identifiers")),
    // The certificate is held against the names that were asked for, whatever the order says by then.
    (IdentifiersChangedLater, Bears),
    (LocationElsewhere, Fails("Misbehaved::Url")),
    (LocationEmpty, Fails("Misbehaved::Url")),
    (LocationHttp, Fails("Misbehaved::Url")),
    (LocationMissing, Fails("Misbehaved::Header")),
    (LocationOfALook, Bears),
    (LocationPath, Bears),
    (LocationRelative, Fails("Misbehaved::Url")),
    (OrderFlaps, Bears),
    (OrderInvalidWithoutError, Fails("OrderInvalid")),
    (OrderPendingForever, Fails("Deadline")),
    (OrderProcessingForever, Fails("Deadline")),
    (OrderStatus200, Fails("Misbehaved::Status")),
    (OrderStatus202, Fails("Misbehaved::Status")),
    (OrderStatus304, Fails("Misbehaved::Status")),
    (OrderStatus999, Fails("Misbehaved::Status")),
    (OrderStatusUnknown, Fails("Deadline")),
    (OrderValidAtBirth, Recovers("Misbehaved::Field")),
    (OrderValidWithoutCertificate, Fails("Misbehaved::Field")),
    (RetryAfterGarbage, Bears),
    (RetryAfterHuge, Fails("Deadline")),
    (RetryAfterNegative, Bears),
    (RetryAfterPast, Bears),
    (RetryAfterYear9999, Fails("Deadline")),
    (RetryAfterZero, Fails("Deadline")),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_lies_is_neither_lost_nor_doubled() {
    judge(ROWS).await;
}
