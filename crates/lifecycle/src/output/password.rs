//! What a password of a key store may be.

use perennial_core::SecretString;

use super::OutputError;
use crate::OutputFormat;

/// A password that every program reads as the same bytes: PKCS#12 has it in UTF-16 for one purpose and, by each
/// program's own habit, in UTF-8 or Latin-1 for the other (RFC 7292 Appendix B.1, RFC 8018 §3).
pub(super) fn checked(password: SecretString, format: OutputFormat) -> Result<SecretString, OutputError> {
    if password.expose().is_empty() {
        return Err(OutputError::EmptyPassword { format });
    }
    if !password.expose().chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Err(OutputError::PasswordNotAscii { format });
    }
    Ok(password)
}
