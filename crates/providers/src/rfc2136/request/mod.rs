//! One request on the wire, and what an arriving message means to it.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use perennial_core::Timestamp;

use super::{
    failure::Failure,
    tsig::{TooLong, TsigKey},
};

/// A request as it is sent, with what its answer is judged by.
pub(super) struct Request<'k> {
    message: Message,
    bytes: Vec<u8>,
    signed: Option<(&'k TsigKey, Vec<u8>)>,
    at: Timestamp,
}

/// What an arriving message means.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// The answer, whatever its response code; an update's is signed with our key if the request was.
    Answer(Box<Message>),
    /// An answer that is no success: the end of it when it [is proved](Failure::is_proved), else a better one
    /// may follow.
    Failed(Failure),
    /// Not an answer to this request: go on listening.
    Foreign,
    /// The answer did not fit into a datagram (RFC 2181 §9): ask again over TCP.
    Truncated,
}

impl<'k> Request<'k> {
    pub(super) fn new(
        mut message: Message,
        key: Option<&'k TsigKey>,
        now: Timestamp,
    ) -> Result<Self, TooLong> {
        let signed = match key {
            Some(key) => Some((key, key.sign(&mut message, now)?)),
            None => None,
        };
        let bytes = message.to_vec().map_err(|_| TooLong)?;
        // The length on TCP is written in 16 bits.
        if bytes.len() > usize::from(u16::MAX) {
            return Err(TooLong);
        }
        Ok(Self { message, bytes, signed, at: now })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether no answer is believed that is not signed. What is asked is: see [`read`](Self::read).
    pub(super) fn wants_signature(&self) -> bool {
        self.signed.is_some() && self.message.metadata.op_code == OpCode::Update
    }

    /// RFC 1035 §4.2.1: what a server must take in a datagram. Longer requests go over TCP.
    pub(super) const fn fits_datagram(&self) -> bool {
        self.bytes.len() <= 512
    }

    /// What an arriving message means. No bytes make it panic.
    pub(super) fn read(&self, bytes: &[u8]) -> Reading {
        let Ok(answer) = Message::from_vec(bytes) else { return Reading::Foreign };
        if !self.is_answered_by(&answer) {
            return Reading::Foreign;
        }
        if answer.metadata.truncation {
            return Reading::Truncated;
        }
        if let Some((key, mac)) = &self.signed {
            match key.verify(bytes, &answer, mac, self.at) {
                Ok(()) => {}
                // Simple servers sign what they are sent to change, and nothing else. What is read decides
                // nothing that the signed update after it does not prove.
                Err(Failure::Unsigned { .. }) if self.message.metadata.op_code == OpCode::Query => {}
                Err(failure) => return Reading::Failed(failure),
            }
        }
        Reading::Answer(Box::new(answer))
    }

    /// Same identifier, same kind, same question. A server that did not understand the question, and some
    /// that answer an update, do not repeat it.
    fn is_answered_by(&self, answer: &Message) -> bool {
        let (ours, theirs) = (&self.message.metadata, &answer.metadata);
        let may_be_silent = ours.op_code == OpCode::Update || theirs.response_code != ResponseCode::NoError;
        theirs.message_type == MessageType::Response
            && theirs.id == ours.id
            && theirs.op_code == ours.op_code
            && (answer.queries == self.message.queries || (answer.queries.is_empty() && may_be_silent))
    }
}

#[cfg(test)]
mod tests;
