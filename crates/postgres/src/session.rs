//! Connections: how they are begun, shared, limited in time and given up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{
    Client, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use perennial_lifecycle::StoreError;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Error, batch, bell::Bell, fault, front::Front, schema, target::Target};

/// A statement's parameters: never a part of its text.
pub(crate) type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// Connections to one database.
#[derive(Clone)]
pub(crate) struct Sessions {
    pool: Pool,
    bell: Arc<Bell>,
    front: Arc<Front>,
    name: String,
    limit: Duration,
    /// Whether a statement that was prepared is there when it is run.
    keeps_prepared: Arc<AtomicBool>,
}

/// How much longer than the server we wait for a statement: it is the one who knows whether it happened, so
/// it shall be the first to speak.
const GRACE: Duration = Duration::from_secs(2);

/// How many idle connections may turn out to be cut, as those are that a firewall has forgotten, within the
/// time of one wait. To give up a good one by mistake costs a few milliseconds.
const PROBES: u32 = 8;

impl Sessions {
    pub(crate) fn new(
        target: Target,
        tls: MakeRustlsConnect,
        size: usize,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        let Target { mut config, name } = target;
        config.connect_timeout(limit);
        // A host that vanished is noticed by the kernel as early as by us.
        config.tcp_user_timeout(limit);
        let front = Arc::new(Front::default());
        let bell = Arc::new(Bell::new(config.clone(), tls.clone(), limit, front.clone()));
        // Verified: one short round trip finds the connections that a failover or a firewall has cut.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
        let settings = settings(limit);
        let begin = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = settings.clone();
            Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(Manager::from_config(config, tls, recycling))
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(limit))
            .create_timeout(Some(limit))
            .recycle_timeout(Some(limit / PROBES))
            .post_create(begin)
            .build();
        match pool {
            Ok(pool) => {
                let keeps_prepared = Arc::new(AtomicBool::new(true));
                Ok(Self { pool, bell, front, name, limit, keeps_prepared })
            }
            Err(error) => {
                let reason = error.to_string();
                Err(StoreError::Unavailable { doing: "make connections to", store: name, reason })
            }
        }
    }

    /// What errors call the database.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs one statement, which PostgreSQL does wholly or not at all.
    pub(crate) async fn rows(
        &self,
        doing: &'static str,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.client(doing).await?;
        let done = timeout(self.patience(), client.query_typed(statement, parameters)).await;
        self.close(doing, client, done)
    }

    /// Runs one statement of the few that are run all the time: the server reads and plans it once for each
    /// connection instead of each time, which costs it a fifth of a claim of a hundred.
    pub(crate) async fn rows_of_prepared(
        &self,
        doing: &'static str,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.client(doing).await?;
        let asked = async {
            if self.keeps_prepared.load(Ordering::Relaxed) {
                match query_prepared(&client, statement, parameters).await {
                    Err(error) if fault::is_of_pooler(&error) => {
                        self.keeps_prepared.store(false, Ordering::Relaxed);
                    }
                    // Somebody has altered the tables since.
                    Err(error) if fault::is_of_old_plan(&error) => client.statement_cache.clear(),
                    done => return done,
                }
            }
            client.query_typed(statement, parameters).await
        };
        let done = timeout(self.patience(), asked).await;
        self.close(doing, client, done)
    }

    /// See [`schema::bring_up_to_date`].
    pub(crate) async fn bring_schema_up_to_date(&self) -> Result<(), Error> {
        let doing = "prepare the tables of";
        let mut client = self.client(doing).await?;
        let mut patience = self.patience();
        let done = match timeout(patience, schema::is_up_to_date(&client)).await {
            Ok(Ok(false)) => {
                patience = schema::TIME_LIMIT + GRACE;
                timeout(patience, schema::bring_up_to_date(&mut client)).await
            }
            looked => looked.map(|looked| looked.map(drop)),
        };
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(schema::Fault::Driver(error))) => {
                Err(self.unavailable(doing, fault::of_statement(&error)).into())
            }
            Ok(Err(schema::Fault::Newer { found })) => {
                Err(Error::NewerSchema { store: self.name.clone(), found, known: schema::KNOWN })
            }
            Err(_) => Err(self.give_up(doing, client, patience).into()),
        }
    }

    /// What came of one statement, or of several in one transaction.
    pub(crate) fn close<T>(
        &self,
        doing: &'static str,
        client: Client,
        done: Result<Result<T, impl Into<batch::Fault>>, Elapsed>,
    ) -> Result<T, StoreError> {
        match done.map(|done| done.map_err(Into::into)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(batch::Fault::Driver(error))) => Err(self.unavailable(doing, fault::of_statement(&error))),
            Ok(Err(batch::Fault::Store(error))) => Err(error),
            Err(_) => Err(self.give_up(doing, client, self.patience())),
        }
    }

    /// Where claims begin.
    pub(crate) fn front(&self) -> &Front {
        &self.front
    }

    /// Tells everybody who waits for something to do.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Waits until there may be something to do.
    pub(crate) async fn heard(&self) {
        self.bell.heard().await;
    }

    pub(crate) async fn client(&self, doing: &'static str) -> Result<Client, StoreError> {
        // A wait for a free connection, and one until it is usable or a new one is there.
        match timeout(self.limit + self.limit, self.pool.get()).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(self.unavailable(doing, fault::of_pool(&error, self.limit))),
            Err(_) => Err(self.unavailable(doing, fault::no_answer(self.limit + self.limit))),
        }
    }

    /// Closes a connection whose statement may still run: nobody else shall wait behind it.
    fn give_up(&self, doing: &'static str, client: Client, waited: Duration) -> StoreError {
        drop(Object::take(client));
        self.unavailable(doing, fault::no_answer(waited))
    }

    pub(crate) fn unavailable(&self, doing: &'static str, reason: String) -> StoreError {
        StoreError::Unavailable { doing, store: self.name.clone(), reason }
    }

    /// How long to wait for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.limit + GRACE
    }
}

async fn query_prepared(
    client: &Client,
    statement: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let types: Vec<Type> = parameters.iter().map(|(_, its)| its.clone()).collect();
    let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|(value, _)| *value).collect();
    let prepared = client.prepare_typed_cached(statement, &types).await?;
    client.query(&prepared, &values).await
}

/// What every connection begins with, whatever the server's, the database's or the account's own settings.
///
/// A statement that outlives our patience could overwrite what its successor wrote, so the server ends it. A
/// transaction that its client has left must not keep others from their tables. A conditional update counts
/// on seeing the row as it is after the wait for it (PostgreSQL manual §13.2.1). And what was committed has
/// to survive a crash.
///
/// Every statement finds its rows by an index, and joins few rows to a table. A server that does not know yet how
/// large a table has become may think otherwise, and keeps a plan for a prepared statement until it knows: so it is
/// told.
fn settings(limit: Duration) -> String {
    let milliseconds = limit.as_millis().clamp(1, LONGEST_TIMEOUT);
    format!(
        "SET statement_timeout = {milliseconds}; \
         SET idle_in_transaction_session_timeout = {milliseconds}; \
         SET default_transaction_isolation = 'read committed'; \
         SET enable_bitmapscan = off; SET enable_hashjoin = off; \
         SET enable_mergejoin = off; SET enable_seqscan = off; \
         SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') = 'off'"
    )
}

/// What PostgreSQL takes for a timeout in milliseconds.
const LONGEST_TIMEOUT: u128 = i32::MAX as u128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        target::{Plaintext, Roots},
        tls,
    };
    use perennial_testkit::real::{self, Postgres, Tool};

    fn sessions(connection: &str, size: usize, limit: Duration) -> Sessions {
        let target = Target::parse(connection, Plaintext::Refused, Roots::OfTheSystem).unwrap();
        Sessions::new(target, tls::connector(&[]).unwrap(), size, limit).unwrap()
    }

    async fn setting(sessions: &Sessions, name: &str) -> String {
        let rows = sessions.rows("look at", "SELECT current_setting($1)", &[(&name, Type::TEXT)]).await;
        rows.unwrap().first().unwrap().try_get(0).unwrap()
    }

    #[tokio::test]
    async fn settings_that_would_break_the_contract_are_overruled_and_stricter_ones_kept() {
        let Some(_) = real::require(&[Tool::Postgres]) else { return };
        let server = Postgres::builder().start().await.unwrap();
        let limit = Duration::from_secs(7);
        let loose = "-c synchronous_commit=off -c default_transaction_isolation=serializable";
        let loose = sessions(&format!("{} options='{loose}'", server.socket()), 1, limit);
        assert_eq!(setting(&loose, "synchronous_commit").await, "on");
        assert_eq!(setting(&loose, "default_transaction_isolation").await, "read committed");
        assert_eq!(setting(&loose, "statement_timeout").await, "7s");
        let strict = "-c synchronous_commit=remote_apply";
        let strict = sessions(&format!("{} options='{strict}'", server.socket()), 1, limit);
        assert_eq!(setting(&strict, "synchronous_commit").await, "remote_apply");
    }

    #[tokio::test]
    async fn a_statement_ends_at_the_limit_and_leaves_its_connection_usable() {
        let Some(_) = real::require(&[Tool::Postgres]) else { return };
        let server = Postgres::builder().start().await.unwrap();
        let sessions = sessions(server.socket(), 1, Duration::from_secs(2));
        let error = sessions.rows("wait in", "SELECT pg_sleep(3600)", &[]).await.unwrap_err();
        assert!(error.to_string().contains("57014"), "query_canceled: {error}");
        assert!(sessions.rows("look at", "SELECT 1", &[]).await.is_ok());
    }

    #[tokio::test]
    async fn what_was_prepared_and_is_gone_or_does_not_fit_any_more_is_run_all_the_same() {
        let Some(_) = real::require(&[Tool::Postgres]) else { return };
        let server = Postgres::builder().start().await.unwrap();
        let sessions = sessions(server.socket(), 1, Duration::from_secs(2));
        let one = |statement| sessions.rows("prepare a test in", statement, &[]);
        one("CREATE TABLE shops AS SELECT 1 AS id").await.unwrap();
        let look = || async {
            let rows = sessions.rows_of_prepared("look at", "SELECT * FROM shops", &[]).await;
            rows.unwrap().first().unwrap().len()
        };
        let prepared = || async { one("SELECT FROM pg_prepared_statements").await.unwrap().len() };
        assert_eq!((look().await, look().await, prepared().await), (1, 1, 1));
        one("ALTER TABLE shops ADD COLUMN name text").await.unwrap();
        assert_eq!((look().await, look().await, prepared().await), (2, 2, 1));
        // A pooler hands the next transaction to another session, which knows nothing of it.
        one("DEALLOCATE ALL").await.unwrap();
        assert_eq!((look().await, look().await, prepared().await), (2, 2, 0));
    }

    #[tokio::test]
    async fn a_name_that_another_process_has_prepared_behind_one_pooler_is_left_to_it() {
        let Some(_) = real::require(&[Tool::Postgres]) else { return };
        let server = Postgres::builder().start().await.unwrap();
        let sessions = sessions(server.socket(), 1, Duration::from_secs(2));
        // The driver counts its names for the whole process.
        let taken =
            "DO $$ BEGIN FOR i IN 0..999 LOOP EXECUTE format('PREPARE s%s AS SELECT 2', i); END LOOP; END $$";
        sessions.rows("prepare a test in", taken, &[]).await.unwrap();
        let rows = sessions.rows_of_prepared("look at", "SELECT 1", &[]).await.unwrap();
        assert_eq!(rows.first().unwrap().try_get::<_, i32>(0).unwrap(), 1);
    }

    #[tokio::test]
    async fn a_pool_that_is_in_use_says_so() {
        let Some(_) = real::require(&[Tool::Postgres]) else { return };
        let server = Postgres::builder().start().await.unwrap();
        let sessions = sessions(server.socket(), 1, Duration::from_secs(2));
        let _held = sessions.client("hold").await.unwrap();
        let error = sessions.rows("look at", "SELECT 1", &[]).await.unwrap_err();
        assert!(error.to_string().contains("pool_size()"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_says_nothing_is_given_up() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = format!("host=127.0.0.1 user=x port={}", silent.local_addr().unwrap().port());
        let sessions = sessions(&connection, 1, Duration::from_millis(200));
        let error = sessions.rows("look at", "SELECT 1", &[]).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("no answer")),
            "{error}"
        );
    }
}
