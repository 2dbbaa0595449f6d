//! Directories, accounts and bodies that are not what they should be.

use perennial_testkit::ca::Misbehaviour::*;

use super::{
    Outcome::{Bears, Fails, Recovers},
    Row, judge,
};

pub(super) const ROWS: &[Row] = &[
    (AccountLocationLies, Fails("Server::AccountDoesNotExist")),
    (AccountLocationMissing, Fails("Misbehaved::Header")),
    (AccountStatus204, Fails("Misbehaved::Status")),
    (ContentTypeWrong, Bears),
    (DirectoryUrlElsewhere, Fails("Misbehaved::Url")),
    (DirectoryUrlHttp, Fails("Misbehaved::Url")),
    (GzipClaimed, Bears),
    (GzipUnasked, Fails("Misbehaved::Body")),
    (JsonArray, Fails("Misbehaved::Body")),
    (JsonByteOrderMark, Fails("Misbehaved::Body")),
    // Which of two members counts is open (RFC 8259 §4). Whoever can write one can write the other, so that
    // taking the last one gives nothing away.
    (JsonDuplicateKeys, Bears),
    (JsonEmpty, Fails("Misbehaved::Body")),
    (JsonInvalidUtf8, Fails("Misbehaved::Body")),
    (JsonNestedDeep, Fails("Misbehaved::Body")),
    (JsonNull, Fails("Misbehaved::Body")),
    (JsonNumberHuge, Fails("Misbehaved::Body")),
    (JsonTruncated, Fails("Misbehaved::Body")),
    (JsonTwice, Recovers("Misbehaved::Body")),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_read_is_named() {
    judge(ROWS).await;
}
