//! The errors of AWS: codes that most of its services share.
//!
//! Source: AWS, "Common Errors", and the service models of Route 53 and STS.

use quick_xml::de::from_str;
use serde::Deserialize;

use crate::vendor::{Answer, Blame, Complaint};

/// An error in XML.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorDocument {
    error: Option<ErrorBody>,
    /// What Route 53 has in its place when it refuses a batch of changes.
    messages: Option<Messages>,
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Deserialize)]
struct Messages {
    #[serde(rename = "Message", default)]
    list: Vec<String>,
}

/// What AWS says in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
}

impl Fault {
    /// The error of a document, if it is one.
    pub(crate) fn read(document: &str) -> Option<Self> {
        let ErrorDocument { error, messages, request_id } = from_str(document).ok()?;
        let (code, message) = match (error, messages) {
            (Some(error), _) => (error.code, error.message),
            (None, Some(messages)) => ("InvalidChangeBatch".to_owned(), messages.list.join("; ")),
            (None, None) => return None,
        };
        Some(Self { code, message, request_id })
    }

    /// Whose move it is, where the code is one that services share.
    pub(crate) fn blame(&self) -> Option<Blame> {
        let blame = match self.code.as_str() {
            "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "OptInRequired" => Blame::Permission,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "IncompleteSignature"
            | "InvalidClientTokenId"
            | "InvalidIdentityToken"
            | "MissingAuthenticationToken"
            | "RequestExpired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => Blame::Auth,
            "IDPCommunicationError" | "InternalError" | "InternalFailure" | "ServiceUnavailable" => {
                Blame::Unavailable
            }
            "PriorRequestNotComplete"
            | "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException" => Blame::RateLimit,
            _ => return None,
        };
        Some(blame)
    }
}

/// Reads an answer of a service that has no codes of its own.
pub(crate) fn read_complaint(answer: &Answer) -> Option<Complaint> {
    let complaint = Complaint::of_status(answer)?;
    let Some(fault) = Fault::read(&answer.text()) else { return Some(complaint) };
    Some(explain(complaint, &fault))
}

/// The complaint with what AWS says in it.
pub(crate) fn explain(complaint: Complaint, fault: &Fault) -> Complaint {
    let mut complaint = complaint.code(&fault.code).message(&fault.message);
    if let Some(id) = &fault.request_id {
        complaint = complaint.request_id(id);
    }
    match fault.blame() {
        Some(blame) => complaint.blame(blame),
        None => complaint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_error_is_read_in_both_of_its_forms() {
        let batch = Fault::read(
            r#"<?xml version="1.0"?><InvalidChangeBatch xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
              <Messages><Message>one</Message><Message>two</Message></Messages><RequestId>r1</RequestId>
            </InvalidChangeBatch>"#,
        )
        .unwrap();
        assert_eq!((&*batch.code, &*batch.message), ("InvalidChangeBatch", "one; two"));
        assert_eq!(batch.blame(), None);
        let error = Fault::read(
            r#"<ErrorResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
              <Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>
              <RequestId>r2</RequestId></ErrorResponse>"#,
        )
        .unwrap();
        assert_eq!((&*error.code, &*error.message), ("Throttling", "Rate exceeded"));
        assert_eq!(error.request_id.as_deref(), Some("r2"));
        assert_eq!(error.blame(), Some(Blame::RateLimit));
        for other in ["", "plain", "<html><body>busy</body></html>", "<GetChangeResponse/>"] {
            assert_eq!(Fault::read(other), None);
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(document in "(<|>|/|Error|Code|Messages|Message|&amp;|&x;|a|\"| ){0,30}") {
            let _ = Fault::read(&document);
        }
    }
}
