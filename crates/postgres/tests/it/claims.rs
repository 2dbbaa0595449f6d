//! Claims: what only many processes, or a damaged table, can get wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use perennial_core::{SecretBytes, Timestamp};
use perennial_lifecycle::{
    Slot, Store as _, StoreError,
    store::{Batch, Claim, Fence, Owner},
};
use perennial_postgres::PostgresStore;
use perennial_testkit::real::Postgres;
use tokio::{sync::Barrier, task::JoinSet};

use crate::scene::{aside, record, server, store};

const MINUTE: Duration = Duration::from_secs(60);

/// Writes so many records that are due at once.
async fn fill(store: &PostgresStore, count: usize) {
    let batch =
        (0..count).fold(Batch::new(), |batch, number| batch.change(record(&format!("c{number}")), None));
    store.apply(&batch).await.unwrap();
}

fn ids(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.held.id.as_str()).collect()
}

/// Claims everything that is due, a few at a time.
async fn claim_all(store: &PostgresStore) -> Vec<Claim> {
    let owner = Owner::unique();
    let mut all = Vec::new();
    loop {
        let claims = store.claim(&owner, MINUTE, 7).await.unwrap();
        if claims.is_empty() {
            return all;
        }
        all.extend(claims);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_at_once_claim_each_certificate_once() {
    const PROCESSES: usize = 6;
    const CERTIFICATES: usize = 600;
    let Some(server) = server().await else { return };
    fill(&store(&server).await, CERTIFICATES).await;
    let barrier = Arc::new(Barrier::new(PROCESSES));
    let mut processes = JoinSet::new();
    for _ in 0..PROCESSES {
        let (store, barrier) = (store(&server).await, barrier.clone());
        processes.spawn(async move {
            barrier.wait().await;
            claim_all(&store).await
        });
    }
    let claims = processes.join_all().await.concat();
    // Nothing was passed over for good, either: who passes over a row that another locks comes back to it.
    assert_eq!(claims.len(), CERTIFICATES);
    assert_eq!(ids(&claims).into_iter().collect::<BTreeSet<_>>().len(), CERTIFICATES);
    let fences: BTreeSet<Fence> = claims.iter().map(|claim| claim.held.fence).collect();
    assert_eq!(fences.len(), CERTIFICATES);
}

/// How often the table of records was read from end to end, once so many rows were made and written anew: a session
/// tells what it did when it ends, and a little later.
async fn whole_reads(server: &Postgres, made: usize, written: usize) -> String {
    let statement = format!(
        "SELECT seq_scan FROM pg_stat_user_tables
         WHERE relname = 'perennial_records' AND n_tup_ins = {made} AND n_tup_upd = {written}"
    );
    loop {
        if let Some(reads) = aside(server.socket(), &statement).await.pop() {
            return reads;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_claim_finds_what_is_due_by_the_index_alone_whatever_the_server_knows_of_the_table() {
    const CERTIFICATES: usize = 20_000;
    let Some(server) = server().await else { return };
    fill(&store(&server).await, CERTIFICATES).await;
    // None is a first certificate, which nobody has told the server: it takes a half of them for such.
    aside(server.socket(), "UPDATE perennial_records SET has_certificate = true").await;
    let before = whole_reads(&server, CERTIFICATES, CERTIFICATES).await;
    let (claimer, owner) = (store(&server).await, Owner::unique());
    for _ in 0..5 {
        assert_eq!(claimer.claim(&owner, MINUTE, 100).await.unwrap().len(), 100);
    }
    drop(claimer);
    assert_eq!(whole_reads(&server, CERTIFICATES, CERTIFICATES + 500).await, before);
}

#[tokio::test]
async fn a_claim_does_not_wait_for_a_row_that_somebody_writes() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 3).await;
    let (writer, driver) = tokio_postgres::connect(server.socket(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    writer.batch_execute("BEGIN; UPDATE perennial_records SET version = 2 WHERE id = 'c1'").await.unwrap();
    let claims = store.claim(&Owner::unique(), MINUTE, 10).await.unwrap();
    assert_eq!(ids(&claims), ["c0", "c2"]);
    writer.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&store.claim(&Owner::unique(), MINUTE, 10).await.unwrap()), ["c1"]);
    drop(writer);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_longest_due_come_first_whatever_the_order_of_the_rows() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    for (id, next_at) in [("late", 300), ("early", 100), ("middle-b", 200), ("middle-a", 200)] {
        let mut record = record(id);
        record.next_at = Timestamp::from_unix(next_at);
        store.commit(&record, None).await.unwrap();
    }
    let owner = Owner::unique();
    assert_eq!(ids(&store.claim(&owner, MINUTE, 3).await.unwrap()), ["early", "middle-a", "middle-b"]);
    assert_eq!(ids(&store.claim(&owner, MINUTE, 3).await.unwrap()), ["late"]);
}

/// Records that are due at these moments, called `c` and the moment.
async fn due(store: &PostgresStore, moments: impl IntoIterator<Item = i64>) {
    for moment in moments {
        let mut record = record(&format!("c{moment}"));
        record.next_at = Timestamp::from_unix(moment);
        store.commit(&record, None).await.unwrap();
    }
}

/// Makes one due before those of [`due`].
fn put_before(id: &str) -> String {
    format!(
        "UPDATE perennial_records SET due_at = to_timestamp(50), next_at = to_timestamp(50) WHERE id = '{id}'"
    )
}

#[tokio::test]
async fn what_is_put_before_those_that_were_claimed_comes_first() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    due(&store, [100, 200, 300, 400]).await;
    let owner = Owner::unique();
    let claim = async |most| ids(&store.claim(&owner, MINUTE, most).await.unwrap()).concat();
    assert_eq!(claim(1).await, "c100");
    due(&store, [50]).await;
    assert_eq!(claim(1).await, "c50");
    // Where there is room for all, at once, though nobody is told.
    assert_eq!(claim(1).await, "c200");
    aside(server.socket(), &put_before("c400")).await;
    assert_eq!(claim(9).await, "c400c300");
}

#[tokio::test]
async fn what_others_put_before_those_that_were_claimed_comes_within_a_second() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    due(&store, 100..400).await;
    let owner = Owner::unique();
    store.claim(&owner, MINUTE, 1).await.unwrap();
    // Not by this program, so nobody is told.
    aside(server.socket(), &put_before("c399")).await;
    let begun = tokio::time::Instant::now();
    loop {
        let claims = store.claim(&owner, MINUTE, 1).await.unwrap();
        if ids(&claims) == ["c399"] {
            break;
        }
        assert_eq!(claims.len(), 1, "all others came before");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_claim_does_not_pass_what_was_claimed_before_it() {
    const CERTIFICATES: usize = 3_000;
    let Some(server) = server().await else { return };
    fill(&store(&server).await, CERTIFICATES).await;
    // While somebody makes a backup, no entry of an index goes away.
    let (backup, driver) = tokio_postgres::connect(server.socket(), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM perennial_records";
    backup.batch_execute(begin).await.unwrap();
    let (claimer, owner) = (store(&server).await, Owner::unique());
    for _ in 0..CERTIFICATES / 50 {
        assert_eq!(claimer.claim(&owner, MINUTE, 50).await.unwrap().len(), 50);
    }
    drop(claimer);
    // The statistics of a session come when it has ended, and a little later.
    whole_reads(&server, CERTIFICATES, CERTIFICATES).await;
    let read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'perennial_lines'";
    let read: usize = aside(server.socket(), read).await.pop().unwrap().parse().unwrap();
    // From the beginning each time it were thirty times as many.
    assert!(read < 4 * CERTIFICATES, "{read} entries for {CERTIFICATES} certificates");
    drop(backup);
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_fence_comes_twice_after_a_crash_a_removal_or_a_sequence_that_was_set_back() {
    let Some(mut server) = server().await else { return };
    let store = store(&server).await;
    let owner = Owner::unique();
    let mut newest = Fence::default();
    for round in 0..4 {
        let version = match store.load(record("again").id()).await.unwrap() {
            Some((version, _)) => version,
            None => store.commit(&record("again"), None).await.unwrap(),
        };
        let claim = store.claim_one(&owner, MINUTE, record("again").id()).await.unwrap().unwrap();
        assert!(claim.held.fence > newest, "round {round}: {} after {newest}", claim.held.fence);
        newest = claim.held.fence;
        match round {
            0 => store.remove(record("again").id(), version, Some(&claim.held)).await.unwrap(),
            1 => {
                server.crash().await.unwrap();
                server.start().await.unwrap();
            }
            _ => drop(aside(server.socket(), "SELECT setval('perennial_fences', 1, false)").await),
        }
        store.release(&[claim.held]).await.unwrap();
    }
}

#[tokio::test]
async fn a_claim_is_by_the_servers_clock_in_whole_seconds_and_never_shorter_than_asked_for() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 1).await;
    let now = "SELECT ceil(extract(epoch FROM clock_timestamp()) + 60)::bigint";
    let earliest: i64 = aside(server.socket(), now).await.remove(0).parse().unwrap();
    let claim = store.claim(&Owner::unique(), MINUTE, 1).await.unwrap().remove(0);
    let latest: i64 = aside(server.socket(), now).await.remove(0).parse().unwrap();
    assert!((earliest..=latest).contains(&claim.until.unix()), "{earliest} {} {latest}", claim.until);
    // A length that no calendar has is a long one.
    let held = [claim.held];
    assert!(store.extend(&held, Duration::MAX).await.unwrap().is_empty());
    assert!(store.next_due().await.unwrap().unwrap().unix() > latest + 300 * 86_400);
}

/// Spoils the records of these ids behind the store's back.
async fn spoil(server: &Postgres, ids: &str, record: &str) {
    let statement = format!("UPDATE perennial_records SET record = '{record}' WHERE id IN ({ids})");
    aside(server.socket(), &statement).await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named_put_aside_and_stops_no_other() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 5).await;
    let good =
        aside(server.socket(), "SELECT record::text FROM perennial_records WHERE id = 'c1'").await.remove(0);
    spoil(&server, "'c1'", r#"{"schema":1,"\u0000":"\u001b[2J"}"#).await;
    spoil(&server, "'c2'", &good.replace("\"schema\":1", "\"schema\":9")).await;
    aside(server.socket(), "UPDATE perennial_records SET id = 'no id at all' WHERE id = 'c3'").await;
    let owner = Owner::unique();
    assert_eq!(ids(&store.claim(&owner, MINUTE, 9).await.unwrap()), ["c0", "c4"]);
    // Nothing else is due now: they do not come again and again.
    assert!(store.claim(&owner, MINUTE, 9).await.unwrap().is_empty());
    let named: BTreeMap<_, _> = store
        .quarantined()
        .await
        .unwrap()
        .into_iter()
        .map(|it| (it.id.map(|id| id.to_string()), it.error))
        .collect();
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(named.keys().cloned().collect::<Vec<_>>(), [None, id("c1"), id("c2")]);
    assert!(matches!(named[&None], StoreError::Damaged { .. }), "{}", named[&None]);
    assert!(matches!(named[&id("c1")], StoreError::Damaged { .. }), "{}", named[&id("c1")]);
    assert!(matches!(named[&id("c2")], StoreError::NewerSchema { found: 9, .. }), "{}", named[&id("c2")]);
    // Whoever administers the database finds them as well.
    let told = aside(server.socket(), "SELECT damage FROM perennial_records WHERE id = 'c2'").await;
    assert!(told[0].contains("update this program"), "{told:?}");
    // The one that is mended is due at once, and named no more.
    quiet(&store).await;
    spoil(&server, "'c1'", &good).await;
    assert_eq!(store.quarantined().await.unwrap().len(), 2);
    tokio::time::timeout(Duration::from_secs(30), store.woken()).await.unwrap();
    assert_eq!(ids(&store.claim(&owner, MINUTE, 9).await.unwrap()), ["c1"]);
}

#[tokio::test]
async fn a_damaged_record_is_tried_again_later_and_is_free_when_it_is_good() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 1).await;
    let good = aside(server.socket(), "SELECT record::text FROM perennial_records").await.remove(0);
    spoil(&server, "'c0'", "[]").await;
    let owner = Owner::unique();
    let error = store.claim_one(&owner, MINUTE, record("c0").id()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let wait = "SELECT round(extract(epoch FROM next_at - now()) / 60)::bigint FROM perennial_records";
    assert_eq!(aside(server.socket(), wait).await, ["60"]);
    spoil(&server, "'c0'", &good).await;
    aside(server.socket(), "UPDATE perennial_records SET next_at = now() - interval '1 second'").await;
    assert_eq!(ids(&store.claim(&owner, MINUTE, 9).await.unwrap()), ["c0"]);
    let hurt = "SELECT count(*) FROM perennial_records WHERE damage IS NOT NULL OR newer IS NOT NULL";
    assert_eq!(aside(server.socket(), hurt).await, ["0"]);
    assert!(store.quarantined().await.unwrap().is_empty());
}

/// Waits for the bell, which may ring for nothing, until there is something to claim.
async fn woken_for(store: &PostgresStore, id: &str) {
    let owner = Owner::unique();
    let woken = async {
        loop {
            if ids(&store.claim(&owner, MINUTE, 9).await.unwrap()).contains(&id) {
                return;
            }
            store.woken().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), woken).await.unwrap();
}

#[tokio::test]
async fn a_wish_in_another_process_wakes_this_one_and_so_after_a_restart() {
    let Some(mut server) = server().await else { return };
    let (here, elsewhere) = (store(&server).await, store(&server).await);
    for round in ["first", "second"] {
        let wish = async {
            // Long after the other has looked in vain, and waits.
            tokio::time::sleep(Duration::from_secs(2)).await;
            elsewhere.commit(&record(round), None).await.unwrap();
        };
        tokio::join!(woken_for(&here, round), wish);
        server.stop().await.unwrap();
        server.start().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_written_between_the_look_and_the_wait_wakes_too() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    quiet(&store).await;
    assert_eq!(store.next_due().await.unwrap(), None);
    store.commit(&record("meanwhile"), None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), store.woken()).await.unwrap();
}

#[tokio::test]
async fn what_a_wish_moves_after_its_claim_was_over_is_held_by_nobody() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    let mut wish = record("wish");
    let mut version = store.commit(&wish, None).await.unwrap();
    let key = Slot::PrivateKey { certificate: wish.id().clone(), generation: wish.last_generation.next() };
    for batch in [Batch::new(), Batch::new().write(key, SecretBytes::new(*b"with more than the record"))] {
        assert!(store.claim_one(&Owner::unique(), MINUTE, wish.id()).await.unwrap().is_some());
        aside(server.socket(), "UPDATE perennial_records SET next_at = now() - interval '1 second'").await;
        wish.next_at = Timestamp::from_unix(4_000_000_000);
        version = store.apply(&batch.change(wish.clone(), Some(version))).await.unwrap()[0];
        let claim = store.claim_one(&Owner::unique(), MINUTE, wish.id()).await.unwrap();
        store.release(&[claim.expect("it is nobody's").held]).await.unwrap();
    }
}

#[tokio::test]
async fn an_old_claim_of_the_same_owner_neither_holds_nor_frees_what_it_has_claimed_since() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 1).await;
    let owner = Owner::unique();
    let old = store.claim(&owner, MINUTE, 1).await.unwrap().remove(0).held;
    aside(server.socket(), "UPDATE perennial_records SET next_at = now() - interval '1 second'").await;
    let new = store.claim(&owner, MINUTE, 1).await.unwrap().remove(0).held;
    store.release(std::slice::from_ref(&old)).await.unwrap();
    assert!(store.claim_one(&Owner::unique(), MINUTE, &new.id).await.unwrap().is_none(), "it is held");
    assert_eq!(store.extend(&[old], MINUTE).await.unwrap(), std::slice::from_ref(&new.id));
    assert_eq!(store.extend(&[new], MINUTE).await.unwrap(), []);
}

#[tokio::test]
async fn everybody_who_waits_is_woken() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    quiet(&store).await;
    let wish = record("wish");
    let all = async { tokio::join!(store.woken(), store.woken(), store.commit(&wish, None)) };
    let ((), (), committed) = tokio::time::timeout(Duration::from_secs(30), all).await.unwrap();
    committed.unwrap();
}

#[tokio::test]
async fn what_rang_while_nobody_listened_is_looked_for() {
    let Some(mut server) = server().await else { return };
    let (here, elsewhere) = (store(&server).await, store(&server).await);
    quiet(&here).await;
    server.stop().await.unwrap();
    server.start().await.unwrap();
    // Before the bell hangs again.
    elsewhere.commit(&record("unheard"), None).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), here.woken()).await.unwrap();
}

/// Waits until a store is connected to its bell, which it hears ring then, and has heard all that rang.
async fn quiet(store: &PostgresStore) {
    while tokio::time::timeout(QUIET, store.woken()).await.is_ok() {}
}

const QUIET: Duration = Duration::from_secs(1);

#[tokio::test]
async fn what_is_not_due_soon_wakes_nobody() {
    let Some(server) = server().await else { return };
    let (here, elsewhere) = (store(&server).await, store(&server).await);
    quiet(&here).await;
    let mut record = record("later");
    record.next_at = Timestamp::MAX;
    let version = elsewhere.commit(&record, None).await.unwrap();
    // Nor does the work on it, until it is let go and due.
    let claim = elsewhere.claim_one(&Owner::unique(), MINUTE, record.id()).await.unwrap().unwrap();
    record.next_at = Timestamp::MIN;
    let batch = Batch::new().change(record, Some(version)).held(&claim.held);
    elsewhere.apply(&batch).await.unwrap();
    assert!(tokio::time::timeout(QUIET, here.woken()).await.is_err());
    elsewhere.release(&[claim.held]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), here.woken()).await.unwrap();
}

#[tokio::test]
async fn what_has_no_id_of_ours_stops_no_list() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 6).await;
    aside(
        server.socket(),
        "UPDATE perennial_records SET id = 'C' || id || '!' WHERE id IN ('c0', 'c1', 'c2')",
    )
    .await;
    aside(server.socket(), "UPDATE perennial_records SET id = 'c4 4' WHERE id = 'c4'").await;
    for most in [1, 2, 9] {
        let (mut listed, mut scanned) = (Vec::new(), Vec::new());
        loop {
            let page = store.list(listed.last(), most).await.unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        loop {
            let page = store.scan_due(Timestamp::MAX, scanned.last(), most).await.unwrap();
            if page.is_empty() {
                break;
            }
            scanned.extend(page);
        }
        assert_eq!(listed.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["c3", "c5"]);
        assert_eq!(scanned.iter().map(|due| due.id.as_str()).collect::<Vec<_>>(), ["c3", "c5"]);
    }
}

#[tokio::test]
async fn what_a_newer_process_wrote_is_left_to_it_and_keeps_nobody_awake() {
    let Some(server) = server().await else { return };
    let store = store(&server).await;
    fill(&store, 2).await;
    let newer = "UPDATE perennial_records SET record = replace(record::text, '\"schema\":1', '\"schema\":2')::json \
                 WHERE id = 'c1'";
    aside(server.socket(), newer).await;
    let owner = Owner::unique();
    let held = store.claim(&owner, MINUTE, 9).await.unwrap();
    assert_eq!(ids(&held), ["c0"]);
    assert!(matches!(store.quarantined().await.unwrap()[0].error, StoreError::NewerSchema { found: 2, .. }));
    // A process that knows schema 2 finds it due; this one neither claims it again nor waits for it.
    let due = "SELECT id FROM perennial_records WHERE next_at <= now() AND owner IS NULL AND newer <= 2";
    assert_eq!(aside(server.socket(), due).await, ["c1"]);
    assert!(store.claim(&owner, MINUTE, 9).await.unwrap().is_empty());
    assert_eq!(store.next_due().await.unwrap().unwrap(), held[0].until);
}
