//! What the driver and the server say, made fit to be shown.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::{Error, error::SqlState};

/// The options of libpq (PostgreSQL manual §34.1.2) that the driver does not know. Only these are quoted from
/// a connection string that cannot be read: any other word may be a piece of a password.
const FOREIGN_OPTIONS: &[(&str, &str)] = &[
    ("passfile", "put the password in the string"),
    ("service", "write its settings out"),
    ("sslcert", "client certificates are not supported"),
    ("sslkey", "client certificates are not supported"),
    ("sslcrl", "revocation lists are not supported"),
    ("ssl_min_protocol_version", "TLS 1.2 is the oldest anyway"),
    ("sslrootcert", "use root_certificates_pem()"),
];

/// The options whose values the driver checks, with the values that it takes.
const CHECKED_OPTIONS: &[(&str, &str)] = &[
    ("channel_binding", "disable, prefer or require"),
    ("connect_timeout", "whole seconds"),
    ("hostaddr", "an IP address"),
    ("keepalives", "0 or 1"),
    ("keepalives_idle", "whole seconds"),
    ("keepalives_interval", "whole seconds"),
    ("keepalives_retries", "a number"),
    ("load_balance_hosts", "disable or random"),
    ("port", "1 to 65535"),
    (
        "sslmode",
        "disable, prefer or require; require verifies certificate and name, as verify-full does elsewhere",
    ),
    ("sslnegotiation", "postgres or direct"),
    ("target_session_attrs", "any, read-write or read-only"),
    ("tcp_user_timeout", "whole seconds"),
];

/// Why a connection string cannot be read, with no word of it but the name of an option.
pub(crate) fn of_connection_string(error: &Error) -> String {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    let quoted = |options: &'static [(&'static str, &'static str)], before: &str| {
        options.iter().find(|(option, _)| said == format!("{before} `{option}`"))
    };
    if let Some((option, values)) = quoted(CHECKED_OPTIONS, "invalid value for option") {
        return format!("the value of {option} must be {values}");
    }
    if let Some((option, remedy)) = quoted(FOREIGN_OPTIONS, "unknown option") {
        return format!("the option {option} is not known here: {remedy}");
    }
    "it is neither postgresql://USER:PASSWORD@HOST:PORT/DATABASE?KEY=VALUE nor KEY=VALUE KEY=VALUE; letters with \
     a meaning in a URL are written as %XX, values with spaces in quotes"
        .to_owned()
}

/// Whether a prepared statement is not there any more, or another of its name is: what hands each transaction to
/// another session, as PgBouncer does in its mode for that, has no place for them.
pub(crate) fn is_of_pooler(error: &Error) -> bool {
    let known = [&SqlState::INVALID_SQL_STATEMENT_NAME, &SqlState::DUPLICATE_PSTATEMENT];
    error.code().is_some_and(|code| known.contains(&code))
}

/// Whether a prepared statement does not fit its tables any more ("cached plan must not change result type").
pub(crate) fn is_of_old_plan(error: &Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
}

/// Why a statement failed. Details and hints stay with the server: there it quotes rows.
pub(crate) fn of_statement(error: &Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return presentable(&format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code()));
    }
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    presentable(&said)
}

/// Why there is no connection.
pub(crate) fn of_pool(error: &PoolError, limit: std::time::Duration) -> String {
    let seconds = limit.as_secs_f32();
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            of_statement(error)
        }
        PoolError::Timeout(TimeoutType::Wait) => {
            format!("all connections were in use for {seconds} s: a larger pool_size() may help")
        }
        PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => no_answer(limit),
        other => presentable(&other.to_string()),
    }
}

/// The server, or what lies before it, is silent.
pub(crate) fn no_answer(limit: std::time::Duration) -> String {
    format!("no answer within {} s", limit.as_secs_f32())
}

/// A server's text is a stranger's: one line, and no longer than a reader's patience.
pub(crate) fn presentable(text: &str) -> String {
    text.chars().take(LONGEST).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// PostgreSQL's own messages are one sentence.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_is_one_line_without_escape_sequences() {
        let said = presentable(&format!("no\n\u{1b}[2Jway{}", "!".repeat(1000)));
        assert!(said.starts_with("no  [2Jway!") && said.len() == LONGEST, "{said}");
    }
}
