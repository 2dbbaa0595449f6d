//! Where a walk is.

use perennial_core::Timestamp;

use crate::{OrderState, Url, call::Download};

/// What comes next, once the state is written down.
#[derive(Clone, Debug)]
pub(super) enum Position {
    // In the order in which they come.
    Place,
    /// An order of an earlier run.
    TakeUp,
    Authorize(OrderState),
    Choose,
    Present,
    Wait,
    Answer,
    Validate,
    /// With the order as it was when the CA had looked.
    CleanUp(OrderState),
    Finalize(OrderState),
    /// With the moment that the server has named for the first look.
    Issue(Option<Timestamp>),
    Download(Url),
    Take(Box<Download>),
    /// The order is invalid, and does not say why.
    Explain(OrderState),
}

impl Position {
    pub(super) const fn awaits_answers(&self) -> bool {
        !matches!(self, Self::Choose | Self::Present | Self::Wait | Self::CleanUp(_) | Self::Take(_))
    }

    pub(super) const fn expected(&self) -> &'static str {
        match self {
            Self::Choose => "chosen",
            Self::Present => "presented",
            Self::Wait => "visible",
            Self::CleanUp(_) => "cleaned up",
            Self::Take(_) => "nothing: the walk is over",
            _ => "answered",
        }
    }
}
