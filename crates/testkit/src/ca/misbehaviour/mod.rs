//! What a hostile or broken CA does, each by its name.
//!
//! Almost everything here is an honest answer that is spoiled on its way out: the CA has done what it was
//! asked, and says something else. So a test can see what a client makes of the lie, and what it costs.

mod catalogue;
pub use catalogue::Misbehaviour;

mod chain;

mod field;
pub use field::{Field, FieldFault};

mod head;

mod json;

mod wire;
pub(super) use wire::{End, Piece, Raw};

use bytes::Bytes;
use http::Response;

use super::{Verb, quirk::Flaw};

/// Where, how often and with what a misbehaviour strikes.
pub(super) struct Strike {
    verbs: &'static [Verb],
    times: u32,
    act: Act,
}

/// What is done to a client.
enum Act {
    /// Changes the answer.
    Answer(fn(&mut Response<Bytes>, &Occasion<'_>)),
    /// Spoils one field of the answer.
    Field(Field, FieldFault),
    /// Issues certificates with a flaw.
    Flaw(Flaw),
    /// Says `badNonce` though the nonce was good.
    RefuseNonce,
    /// Sends other bytes than HTTP would have for the answer.
    Wire(fn(&Response<Bytes>) -> Raw),
}

/// What a lie may draw on.
pub(super) struct Occasion<'a> {
    /// The CA's URL without a path.
    pub(super) base: &'a str,
    /// How often the misbehaviour has struck before.
    pub(super) struck: u32,
    /// The oldest nonce, which was spent long ago.
    pub(super) spent_nonce: &'a str,
    /// The number of the CA's first order.
    pub(super) first_order: u64,
}

/// A misbehaviour that is on, and how often it has struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Active {
    misbehaviour: Misbehaviour,
    struck: u32,
}

impl Active {
    pub(super) const fn new(misbehaviour: Misbehaviour) -> Self {
        Self { misbehaviour, struck: 0 }
    }

    /// Spoils an answer to `verb`; what comes back is to be sent instead of it.
    pub(super) fn spoil(
        &mut self,
        verb: Verb,
        response: &mut Response<Bytes>,
        occasion: &Occasion<'_>,
    ) -> Option<Raw> {
        let strike = self.misbehaviour.strike();
        let spoils = !matches!(strike.act, Act::Flaw(_) | Act::RefuseNonce);
        if !spoils || !strike.verbs.contains(&verb) || self.struck >= strike.times {
            return None;
        }
        let occasion = Occasion { struck: self.struck, ..*occasion };
        self.struck += 1;
        match strike.act {
            Act::Answer(change) => change(response, &occasion),
            Act::Field(field, fault) => field::spoil(field, fault, response),
            Act::Wire(bytes) => return Some(bytes(response)),
            Act::Flaw(_) | Act::RefuseNonce => {}
        }
        None
    }

    pub(super) fn refuses_nonce(&mut self) -> bool {
        let strike = self.misbehaviour.strike();
        let refuses = matches!(strike.act, Act::RefuseNonce) && self.struck < strike.times;
        self.struck += u32::from(refuses);
        refuses
    }

    pub(super) fn has_flaw(&self, flaw: Flaw) -> bool {
        matches!(self.misbehaviour.strike().act, Act::Flaw(own) if own == flaw)
    }
}

/// So that a client sees the lie once, and can find out that it was one.
const ONCE: u32 = 1;
/// So that it cannot.
const ALWAYS: u32 = u32::MAX;

#[cfg(test)]
mod tests;
