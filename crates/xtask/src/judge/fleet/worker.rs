//! One process of the fleet: keeps whatever is due in the store until it is killed.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_core::Retry;
use perennial_lifecycle::{
    IssueError, IssueErrorClass, IssuedChain, Issuer, IssuerName, Journal, Keeper, Progress, SigningRequest,
    StoreError,
    store::{Call, Overlay},
};
use perennial_postgres::PostgresStore;
use tokio::{io::BufReader, net::TcpStream};

use super::authority::{self, Answer, Question};
use crate::Error;

/// What a process of the fleet is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The connection string of the store
    #[arg(long)]
    store: String,
    /// Where the authority listens
    #[arg(long)]
    authority: SocketAddr,
    /// How long a claim holds, in seconds
    #[arg(long)]
    lease: u64,
}

/// Works until it is killed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|reason| Error::Start { program: "tokio".to_owned(), reason })?;
    runtime.block_on(async {
        let store = loop {
            let builder = PostgresStore::builder(arguments.store.as_str()).time_limit(LIMIT).pool_size(POOL);
            match builder.connect().await {
                Ok(store) => break store,
                // It may just be restarted.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        let issuer = Arc::new(Counting(arguments.authority));
        let keeper = Keeper::builder(Arc::new(Told(store)))
            .issuer(IssuerName::default(), issuer)
            .lease(Duration::from_secs(arguments.lease))
            .build();
        keeper.start().await;
        std::future::pending().await
    })
}

/// Short, so that a process that is stopped within a transaction holds its rows no longer than its claims.
const LIMIT: Duration = Duration::from_secs(2);
/// Enough that nobody waits for one for so long, on a machine that is busy.
const POOL: usize = 8;
const PAUSE: Duration = Duration::from_millis(200);

/// How a refusal by a fence is told on standard output, one line each.
pub(super) const FENCED: &str = "fenced";

/// The authority, as an issuer.
pub(super) struct Counting(pub(super) SocketAddr);

#[async_trait]
impl Issuer for Counting {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        let stream = TcpStream::connect(self.0).await.map_err(|error| failed(error.to_string()))?;
        let mut stream = BufReader::new(stream);
        let order = match journal.progress().await.and_then(|progress| progress.decode()) {
            Some(order) => order,
            None => {
                let certificate = request.certificate.clone();
                let replaces = request.replaces.as_ref().map(|chain| chain.facts().fingerprint.clone());
                let question = Question::NewOrder { certificate, replaces };
                let Answer::Order(order) = ask(&mut stream, &question).await? else {
                    return Err(failed("an order was asked for, and something else came".to_owned()));
                };
                journal.record(Progress::encode(&order).map_err(failed)?).await?;
                order
            }
        };
        let csr = request.csr_der.clone();
        match ask(&mut stream, &Question::Finalize { order, csr }).await? {
            Answer::Chain(pem) => IssuedChain::from_pem(pem).map_err(|error| failed(error.to_string())),
            Answer::Refused(reason) => Err(failed(reason)),
            Answer::Order(_) => Err(failed("a chain was asked for, and an order came".to_owned())),
        }
    }
}

async fn ask(stream: &mut BufReader<TcpStream>, question: &Question) -> Result<Answer, IssueError> {
    authority::ask(stream, question).await.map_err(failed)
}

fn failed(reason: String) -> IssueError {
    IssueError::new(IssueErrorClass::Transient, reason, Retry::Backoff)
}

/// The store, with every refusal by a fence told.
struct Told(PostgresStore);

#[async_trait]
impl Overlay for Told {
    type Below = PostgresStore;

    fn below(&self) -> &PostgresStore {
        &self.0
    }

    async fn around<T: Send>(&self, _: &'static str, call: Call<'_, T>) -> Result<T, StoreError> {
        let result = call.await;
        if let Err(StoreError::Fenced { id, held, newest }) = &result {
            println!("{FENCED} {id} {held} {newest:?}");
        }
        result
    }
}
