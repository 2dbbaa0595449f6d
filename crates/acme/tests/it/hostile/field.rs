//! Every field of every object: twice, huge, missing, and of the wrong type.

use perennial_testkit::ca::{
    Field::{self, *},
    FieldFault, Misbehaviour,
};

use super::{
    Outcome::{self, Bears, Fails, Recovers},
    Row, judge,
};

/// A field and what comes of it when it is twice, huge, missing, and of the wrong type.
const FIELDS: &[(Field, [Outcome; 4])] = &[
    (AccountContact, OPTIONAL),
    (AccountOrders, OPTIONAL),
    (AccountStatus, OPTIONAL),
    (AuthorizationChallenges, [Bears, TOO_MANY, Fails("NoChallenge"), Fails("NoChallenge")]),
    (AuthorizationExpires, OPTIONAL),
    (AuthorizationIdentifier, [Bears, LACKS, LACKS, LACKS]),
    // A status that nobody has heard of is not `valid`, so that the challenge is answered.
    (AuthorizationStatus, [Bears, Bears, LACKS, LACKS]),
    (ChallengeStatus, OPTIONAL),
    (ChallengeToken, OPTIONAL),
    // The CA has the answer by then: what it says about the challenge is not needed any more.
    (ChallengeType, [Bears, Bears, LACKED, LACKED]),
    (ChallengeUrl, [Bears, BAD_URL, LACKED, LACKED]),
    (DirectoryKeyChange, OPTIONAL),
    (DirectoryMeta, OPTIONAL),
    (DirectoryNewAccount, [Bears, BAD_URL, LACKS, LACKS]),
    (DirectoryNewNonce, [Bears, BAD_URL, LACKS, LACKS]),
    (DirectoryNewOrder, [Bears, BAD_URL, LACKS, LACKS]),
    (DirectoryRevokeCert, OPTIONAL),
    (OrderAuthorizations, [Bears, TOO_MANY, LACKS, LACKS]),
    (OrderCertificate, [Bears, BAD_URL, LACKS, LACKS]),
    (OrderExpires, OPTIONAL),
    (OrderFinalize, [Bears, BAD_URL, LACKS, LACKS]),
    (OrderIdentifiers, [Bears, TOO_MANY, LACKS, LACKS]),
    (OrderStatus, [Bears, Fails("Deadline"), LACKS, LACKS]),
    (ProblemDetail, [REFUSED; 4]),
    (ProblemInstance, [REFUSED; 4]),
    (ProblemStatus, [REFUSED; 4]),
    (ProblemSubproblems, [REFUSED; 4]),
    (ProblemType, [REFUSED, REFUSED_SOMEHOW, REFUSED_SOMEHOW, REFUSED_SOMEHOW]),
];

const BAD_URL: Outcome = Fails("Misbehaved::Url");
const LACKED: Outcome = Recovers("Misbehaved::Field");
const LACKS: Outcome = Fails("Misbehaved::Field");
const OPTIONAL: [Outcome; 4] = [Bears; 4];
const REFUSED: Outcome = Fails("Server::RejectedIdentifier");
const REFUSED_SOMEHOW: Outcome = Fails("Server::Unknown");
const TOO_MANY: Outcome = Fails("Misbehaved::TooMany");

pub(super) fn rows() -> Vec<Row> {
    let rows = FIELDS.iter().flat_map(|(field, outcomes)| {
        FieldFault::ALL
            .iter()
            .zip(outcomes)
            .map(|(fault, outcome)| (Misbehaviour::Field(*field, *fault), *outcome))
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_field_is_named_and_an_optional_one_costs_nothing() {
    judge(&rows()).await;
}
