//! Authorizations and challenges that lead astray.

use perennial_testkit::ca::Misbehaviour::*;

use super::{
    Outcome::{Bears, Fails},
    Row, judge,
};

pub(super) const ROWS: &[Row] = &[
    (AuthorizationForAnotherName, Fails("Misbehaved::AuthorizationName")),
    (AuthorizationForAnotherType, Fails("Misbehaved::AuthorizationName")),
    (AuthorizationStatus201, Fails("Misbehaved::Status")),
    (AuthorizationUrlElsewhere, Fails("Misbehaved::Url")),
    (AuthorizationUrlHttp, Fails("Misbehaved::Url")),
    (AuthorizationsMore, Bears),
    (AuthorizationsNone, Fails("Deadline")),
    (AuthorizationsWithoutEnd, Fails("Misbehaved::TooMany")),
    (ChallengeUrlElsewhere, Fails("Misbehaved::Url")),
    (ChallengeUrlHttp, Fails("Misbehaved::Url")),
    (ChallengesNone, Fails("NoChallenge")),
    (ChallengesUnheard, Fails("NoChallenge")),
    (ChallengesWithNonsense, Bears),
    (ChallengesWithoutEnd, Fails("Misbehaved::TooMany")),
    (TokenClimbs, Fails("Misbehaved::Token")),
    (TokenHuge, Fails("Misbehaved::Token")),
    (TokenMissing, Fails("Misbehaved::Token")),
    (TokenShort, Fails("Misbehaved::Token")),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_proved_that_nobody_has_asked_for() {
    judge(ROWS).await;
}
