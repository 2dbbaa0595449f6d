//! What comes of it: an exit code, and what is printed.

use std::io::Write as _;

use perennial::propagation::{
    Report,
    caa::{self, Decision},
    report::State,
};
use serde::Serialize;

use crate::failure::Failure;

/// The answer to the question, as an exit code has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    CannotTell,
}

impl Answer {
    /// Of a report that is bad news: whether anybody said so, or nobody said anything.
    pub(crate) fn of(report: &Report) -> Self {
        let somebody = |state: &State| matches!(state, State::Lacking | State::Satisfied);
        let rows = report.stages.last().into_iter().flat_map(|stage| &stage.rows);
        if report.verdict.is_ready() {
            Self::Yes
        } else if rows.into_iter().any(|row| somebody(&row.state)) {
            Self::No
        } else {
            Self::CannotTell
        }
    }

    pub(crate) const fn of_caa(report: &caa::Report) -> Self {
        match report.decision {
            Decision::Allowed { .. } => Self::Yes,
            Decision::Forbidden { .. } => Self::No,
            Decision::Inconclusive { .. } => Self::CannotTell,
        }
    }

    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::CannotTell => 2,
        }
    }
}

/// Puts text on standard output. That nobody reads it any more is no reason to fail: the exit code says it
/// too.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Puts one object on standard output, indented for people or on one line for programs that read line by
/// line.
pub(crate) fn say_json(object: &impl Serialize, indented: bool) -> Result<(), Failure> {
    let text = if indented { serde_json::to_string_pretty(object) } else { serde_json::to_string(object) };
    say(&format!("{}\n", text.map_err(|error| Failure::cannot_tell(error.to_string()))?));
    Ok(())
}
