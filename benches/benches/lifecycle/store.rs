//! What does a file store of a million certificates cost, and how long until one that is opened can be worked with?
//!
//! The million is in the index, as the store's own writer wrote it; records lie on disk of the hundred that are due,
//! since to make a million directories takes longer than all other benches together, and nothing of them is read
//! when a store is opened. Names are of realistic length, 31 letters on average; moments lie at random in sixty
//! days.
//!
//! - `lifecycle/resident_bytes`: what is allocated by an open store, for each certificate.
//! - `lifecycle/cold_start_1m`: milliseconds on the wall, from nothing to a hundred certificates claimed with their
//!   records: the median of five, and beside it the processor's time of the opening thread. The file is in the cache of the system, as after a restart of the process.

use std::{error::Error, path::Path, time::Duration};

use perennial_benches::measure;
use perennial_core::Timestamp;
use perennial_lifecycle::{
    CertificateId, CertificateSpec, FileStore, Record, Store as _,
    store::{Claim, Owner},
};
use stats_alloc::Region;
use tokio::runtime::{Builder, Runtime};

use crate::schedule::{moment, scatter};

const CERTIFICATES: u32 = 1_000_000;
const DUE: usize = 100;

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    fill(directory.path(), &runtime)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let mut claimed = Ok(0);
        let cost = measure(1, &mut || claimed = start(directory.path(), &runtime).map(|claims| claims.len()));
        let claimed = claimed?;
        if claimed != DUE {
            return Err(format!("{claimed} of {DUE} certificates were claimed").into());
        }
        times.push([cost.wall / 1e6, cost.cpu / 1e6]);
    }
    times.sort_by(|one, other| one[0].total_cmp(&other[0]));
    let [wall, cpu] = times[times.len() / 2];
    let nothing = Region::new(crate::ALLOCATOR);
    let store = FileStore::open(directory.path())?;
    let open = nothing.change();
    drop(store);
    #[expect(clippy::cast_precision_loss, reason = "fewer bytes than an `f64` has exact integers")]
    let bytes = (open.bytes_allocated - open.bytes_deallocated) as f64 / f64::from(CERTIFICATES);
    println!("figure lifecycle/resident_bytes {bytes:.1} bytes");
    println!("figure lifecycle/cold_start_1m {wall:.0} ms cpu={cpu:.0}");
    Ok(())
}

/// Opens the store and claims what is due.
fn start(root: &Path, runtime: &Runtime) -> Result<Vec<Claim>, perennial_lifecycle::StoreError> {
    let store = FileStore::open(root)?;
    runtime.block_on(store.claim(&Owner::unique(), Duration::from_secs(60), DUE))
}

/// Makes a store of a million, of which a hundred are due.
fn fill(root: &Path, runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let store = FileStore::open(root)?;
    for number in 0..DUE {
        let mut record = Record::new(CertificateSpec::new(&format!("due-{number}"), ["shop.example"])?);
        record.next_at = Timestamp::from_unix(1_000_000_000);
        runtime.block_on(store.commit(&record, None))?;
    }
    let mut rows = Vec::new();
    for number in 0..u64::from(CERTIFICATES) {
        let at = Timestamp::from_unix(moment(number).into());
        rows.push((name(number).parse::<CertificateId>()?, at));
    }
    store.index_only(rows)?;
    Ok(())
}

/// A host of a customer, with names of different length.
fn name(number: u64) -> String {
    let (host, customer) = (["www", "shop", "api", "mail-gateway"], scatter(number) % 50_000);
    let host = host[usize::try_from(number % 4).unwrap_or(0)];
    format!("{host}-{number:07}.customer-{customer}.example")
}
