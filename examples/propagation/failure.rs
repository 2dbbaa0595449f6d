//! Why there is no answer, and the exit code that says so.

use std::fmt;

use perennial::propagation::Error;

/// A malformed command line; from BSD's sysexits, as in the other examples.
pub(crate) const USAGE: u8 = 64;
/// The question makes sense, and nobody could be asked.
const CANNOT_TELL: u8 = 2;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    exit_code: u8,
    message: String,
}

impl Failure {
    pub(crate) const fn usage(message: String) -> Self {
        Self { exit_code: USAGE, message }
    }

    pub(crate) const fn cannot_tell(message: String) -> Self {
        Self { exit_code: CANNOT_TELL, message }
    }

    pub(crate) const fn exit_code(&self) -> u8 {
        self.exit_code
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "message": self.message, "exit_code": self.exit_code } })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.exit_code == USAGE { f.write_str("; see --help") } else { Ok(()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::BadNameServer(_) | Error::BadSetting { .. } | Error::NothingWanted { .. } => {
                Self::usage(message)
            }
            _ => Self::cannot_tell(message),
        }
    }
}
