//! Tells other processes, and hears from them, that something may be due earlier than was thought (LISTEN and
//! NOTIFY, PostgreSQL manual).
//!
//! A bell that is not heard does no harm: whoever waits for it looks by himself once a minute. So it rings
//! apart from the transaction that it is about: in there each NOTIFY would make all others wait with their
//! commits.

use std::{
    convert::Infallible,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OnceCell},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{AsyncMessage, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::front::Front;

/// A connection of its own on which the bell is rung and heard. It is made when first needed, and made again
/// when it is lost.
pub(crate) struct Bell {
    line: Arc<Line>,
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Line {
    config: Config,
    tls: MakeRustlsConnect,
    limit: Duration,
    /// Begins anew when somebody rings.
    front: Arc<Front>,
    /// Somebody rang, here or elsewhere.
    heard: Notify,
    /// Somebody here rang, and the others do not know yet.
    rung: Notify,
}

/// How long a connection that was lost is left alone: a server that restarts takes about as long.
const PAUSE: Duration = Duration::from_secs(1);

/// The others are told four times a second at most, however much is written here. Nobody misses a quarter of a
/// second.
const GAP: Duration = Duration::from_millis(250);

/// A firewall forgets a silent connection, and tells nobody. So does a machine that lost its power.
const KEEPALIVE: Duration = Duration::from_secs(60);

impl Bell {
    pub(crate) fn new(
        mut config: Config,
        tls: MakeRustlsConnect,
        limit: Duration,
        front: Arc<Front>,
    ) -> Self {
        config.keepalives_idle(KEEPALIVE).keepalives_interval(limit);
        let (heard, rung) = (Notify::new(), Notify::new());
        Self { line: Arc::new(Line { config, tls, limit, front, heard, rung }), task: Mutex::default() }
    }

    /// Tells everybody who waits, here at once and elsewhere soon.
    pub(crate) fn ring(&self) {
        self.line.hear();
        self.line.rung.notify_one();
        self.attend();
    }

    /// Waits until somebody rings, or may have done so unheard.
    pub(crate) async fn heard(&self) {
        self.attend();
        self.line.heard.notified().await;
    }

    /// Sees to it that there is a task. It ends with the runtime that it was started in, and the next caller
    /// may come from another.
    fn attend(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let line = self.line.clone();
            *task = Some(tokio::spawn(async move {
                loop {
                    // Why it ended is told by the statements of others, who meet the same.
                    let Err(_lost) = line.keep().await;
                    tokio::time::sleep(PAUSE).await;
                }
            }));
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// The connection is lost, or was never made.
struct Lost;

impl From<Error> for Lost {
    fn from(_: Error) -> Self {
        Self
    }
}

impl Line {
    /// Wakes all who wait, or else the next one who comes: he may have looked before it rang.
    fn hear(&self) {
        self.front.forget();
        self.heard.notify_waiters();
        self.heard.notify_one();
    }

    /// Makes a connection, and rings and hears on it until it is lost.
    async fn keep(&self) -> Result<Infallible, Lost> {
        let connecting = timeout(self.limit, self.config.connect(self.tls.clone()));
        let (client, mut connection) = connecting.await.map_err(|_| Lost)??;
        let ours = OnceCell::new();
        let hear = async {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message? {
                    // Whoever rings on this connection has been heard here already.
                    AsyncMessage::Notification(bell) if ours.get() != Some(&bell.process_id()) => self.hear(),
                    _ => {}
                }
            }
            Err(Lost)
        };
        let ring = async {
            client.batch_execute(LISTEN).await?;
            if let Some(row) = client.query_typed("SELECT pg_backend_pid()", NOTHING).await?.first() {
                let _ = ours.set(row.try_get(0)?);
            }
            // What rang while nobody listened.
            self.hear();
            loop {
                self.rung.notified().await;
                client.batch_execute(NOTIFY).await?;
                tokio::time::sleep(GAP).await;
            }
        };
        tokio::select! {
            lost = hear => lost,
            lost = ring => lost,
        }
    }
}

const LISTEN: &str = "LISTEN perennial_due";
const NOTIFY: &str = "NOTIFY perennial_due";
const NOTHING: crate::session::Parameters<'static> = &[];
