//! The tables, and how they come to be.
//!
//! Each file `N.sql` beside this one leads from schema `N - 1` to schema `N`. Once released it is never
//! changed. `0.sql` makes the table that counts them.

use std::time::Duration;

use deadpool_postgres::Client;
use tokio_postgres::types::Type;

const COUNTER: &str = include_str!("0.sql");

/// The steps, in order; the first leads to schema 1.
const STEPS: &[&str] = &[include_str!("1.sql"), include_str!("2.sql"), include_str!("3.sql")];

/// The newest schema that this version knows.
pub(crate) const KNOWN: u32 = STEPS.len() as u32;

/// Only one process at a time changes the tables. The number is `perennia` in ASCII, so that no other
/// program's advisory lock in the same database is likely to be the same.
const LOCK: i64 = 0x7065_7265_6e6e_6961;

/// How long the tables may take to be changed, with the wait for somebody else who does so. An index over ten
/// million records takes a minute; whoever is stopped before the end begins anew at the next start.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Why the tables cannot be used.
#[derive(Debug)]
pub(crate) enum Fault {
    Driver(tokio_postgres::Error),
    Newer { found: u32 },
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

/// Whether the tables have the newest schema.
///
/// Where nothing is to be done nothing is locked, so an account that may not create tables will do.
pub(crate) async fn is_up_to_date(client: &Client) -> Result<bool, Fault> {
    Ok(is_there(client).await? && pending(found(client).await?)?.is_empty())
}

/// Brings the tables to the newest schema. Any number of processes may do so at once.
pub(crate) async fn bring_up_to_date(client: &mut Client) -> Result<(), Fault> {
    let transaction = client.transaction().await?;
    let limit = format!("SET LOCAL statement_timeout = {}", TIME_LIMIT.as_millis());
    transaction.batch_execute(&limit).await?;
    transaction.query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await?;
    // Somebody else may have done it while we waited. Looking the name up once more would not tell: within a
    // transaction PostgreSQL may remember that there was no such table. Making it does, and reading it then.
    transaction.batch_execute(COUNTER).await?;
    for step in pending(found(transaction.client()).await?)? {
        transaction.batch_execute(step).await?;
    }
    let known = i64::from(KNOWN);
    transaction.query_typed("UPDATE perennial_schema SET version = $1", &[(&known, Type::INT8)]).await?;
    Ok(transaction.commit().await?)
}

/// Whether the table that counts is there.
async fn is_there(client: &tokio_postgres::Client) -> Result<bool, tokio_postgres::Error> {
    let statement = "SELECT 1 WHERE to_regclass('perennial_schema') IS NOT NULL";
    Ok(!client.query_typed(statement, &[]).await?.is_empty())
}

/// What the table that counts says.
async fn found(client: &tokio_postgres::Client) -> Result<u32, tokio_postgres::Error> {
    let rows = client.query_typed("SELECT version::bigint FROM perennial_schema", &[]).await?;
    let version: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(u32::try_from(version.max(0)).unwrap_or(u32::MAX))
}

/// The steps that lead from a schema to the newest one.
fn pending(found: u32) -> Result<&'static [&'static str], Fault> {
    STEPS.get(found as usize..).ok_or(Fault::Newer { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_database_takes_every_step_and_a_finished_one_none() {
        assert_eq!(pending(0).unwrap().len(), STEPS.len());
        assert!(pending(KNOWN).unwrap().is_empty());
    }

    #[test]
    fn a_newer_schema_is_left_alone() {
        for found in [KNOWN + 1, u32::MAX] {
            assert!(matches!(pending(found), Err(Fault::Newer { found: named }) if named == found));
        }
    }
}
