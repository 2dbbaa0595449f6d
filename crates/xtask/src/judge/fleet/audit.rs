//! Who wrote what, by the database's own account: a trigger notes it, which no process of the fleet knows of.

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::{text, wishes::RENEWAL};

/// Somebody who looks in from the side.
pub(super) struct Audit {
    connection: String,
}

/// What the database has noted.
pub(super) struct Noted {
    /// Claims that were handed out.
    pub(super) claims: i64,
    /// Records that were written under a claim.
    pub(super) writes: i64,
    /// Those that were written by another process than the one that had the newest claim.
    pub(super) stale: i64,
    /// Claims by one process of what another had claimed before.
    pub(super) takeovers: i64,
    /// Those of certificates that were due for renewal.
    pub(super) renewals_taken_over: i64,
}

/// Each process calls itself by another name when it connects.
const TRIGGER: &str = "
    CREATE TABLE fleet_claims (id text, fence bigint PRIMARY KEY, process text);
    CREATE TABLE fleet_writes (id text, fence bigint, version bigint, process text);
    CREATE FUNCTION fleet_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.owner IS NOT NULL AND NEW.fence <> OLD.fence THEN
            INSERT INTO fleet_claims VALUES (NEW.id, NEW.fence, current_setting('application_name'));
        END IF;
        IF NEW.version <> OLD.version THEN
            INSERT INTO fleet_writes
            VALUES (NEW.id, OLD.fence, NEW.version, current_setting('application_name'));
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER fleet_note AFTER UPDATE ON perennial_records FOR EACH ROW EXECUTE FUNCTION fleet_note();
";

impl Audit {
    pub(super) async fn begin(connection: &str) -> Result<Self, String> {
        let audit = Self { connection: connection.to_owned() };
        let (client, _driver) = audit.client().await?;
        text(client.batch_execute(TRIGGER).await)?;
        Ok(audit)
    }

    /// A connection of its own each time: the server is restarted meanwhile.
    async fn client(&self) -> Result<(Client, Driver), String> {
        let (client, connection) = text(tokio_postgres::connect(&self.connection, NoTls).await)?;
        let driver = Driver(tokio::spawn(async move { drop(connection.await) }));
        Ok((client, driver))
    }

    /// How many certificates are done: nobody holds them, and nobody need look at them for a day.
    pub(super) async fn done(&self) -> Result<usize, String> {
        let statement = "SELECT count(*) FROM perennial_records
                         WHERE owner IS NULL AND next_at > now() + interval '1 day'";
        let (client, _driver) = self.client().await?;
        let count: i64 = text(text(client.query_one(statement, &[]).await)?.try_get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    pub(super) async fn noted(&self) -> Result<Noted, String> {
        let statement = "
            SELECT (SELECT count(*) FROM fleet_claims), (SELECT count(*) FROM fleet_writes),
                   (SELECT count(*) FROM fleet_writes AS writes LEFT JOIN fleet_claims AS claims USING (fence)
                    WHERE claims.process IS DISTINCT FROM writes.process),
                   count(*), count(*) FILTER (WHERE starts_with(id, $1))
            FROM (SELECT id, process, lag(process) OVER (PARTITION BY id ORDER BY fence) AS before
                  FROM fleet_claims) AS claims
            WHERE before <> process";
        let (client, _driver) = self.client().await?;
        let row = text(client.query_one(statement, &[&RENEWAL]).await)?;
        let count = |number: usize| text(row.try_get::<_, i64>(number));
        Ok(Noted {
            claims: count(0)?,
            writes: count(1)?,
            stale: count(2)?,
            takeovers: count(3)?,
            renewals_taken_over: count(4)?,
        })
    }
}

/// Drives a connection while it lives.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}
