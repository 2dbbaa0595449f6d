use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use http_body_util::BodyExt as _;
use perennial_acme::ChallengeKind;
use perennial_core::SecretBytes;
use perennial_lifecycle::{MemoryStore, StoreError, store::Overlay};
use tokio::{sync::Notify, time::Instant};

use super::{shelf::FRESH, *};

/// A store that counts who looks, and can be slow or away.
#[derive(Default)]
struct Watched {
    inner: Arc<MemoryStore>,
    looks: AtomicUsize,
    is_away: AtomicBool,
    /// Whoever looks is told what is there now, and learns it when this says so.
    holds: Mutex<Option<Arc<Notify>>>,
    /// Who goes on as soon as somebody has looked who was not held.
    then: Mutex<Option<Arc<Notify>>>,
}

#[async_trait]
impl Overlay for Watched {
    type Below = MemoryStore;

    fn below(&self) -> &MemoryStore {
        &self.inner
    }

    async fn read(&self, slot: &Slot) -> Result<Option<SecretBytes>, StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            let (store, reason) = ("postgres".to_owned(), "it is away".to_owned());
            return Err(StoreError::Unavailable { doing: "read", store, reason });
        }
        let found = Store::read(&self.inner, slot).await;
        let hold = self.holds.lock().unwrap().clone();
        // Others have their turn between a look and what comes of it.
        tokio::task::yield_now().await;
        if let Some(hold) = hold {
            hold.notified().await;
        } else if let Some(then) = self.then.lock().unwrap().take() {
            then.notify_one();
        }
        found
    }
}

impl Watched {
    fn looks(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    fn over(inner: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { inner: inner.clone(), ..Self::default() })
    }
}

fn answer(number: usize) -> Http01Answer {
    let token = format!("evaGxfADs6pSRb2LAv9IZf{number:05}");
    let at = format!("http://a.example/.well-known/acme-challenge/{token}");
    let proof =
        crate::Proof::new(&ChallengeKind::Http01, "a.example".parse().unwrap(), at, format!("{token}.key"));
    Http01Answer::read(&proof).unwrap()
}

async fn said(shared: &Http01Shared, path: &str) -> (u16, String) {
    let request = Request::builder().uri(path).body(()).unwrap();
    let response = shared.clone().call(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn shown(shared: &Http01Shared, answer: &Http01Answer) -> bool {
    match said(shared, &answer.path()).await {
        (200, body) => {
            assert_eq!(body, answer.key_authorization);
            true
        }
        (404, _) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_replica_puts_there_another_shows_until_either_has_removed_it() {
    let store = Arc::new(MemoryStore::new());
    let (one, two) = (Http01Shared::new(store.clone()), Http01Shared::new(store));
    assert!(!shown(&two, &answer(1)).await);
    one.put(&answer(1)).await.unwrap();
    one.put(&answer(1)).await.unwrap();
    assert!(shown(&one, &answer(1)).await && shown(&two, &answer(1)).await);
    assert!(!shown(&two, &answer(2)).await);
    // Whoever has it removed need not be the one that put it there.
    two.remove(&answer(1)).await.unwrap();
    two.remove(&answer(1)).await.unwrap();
    assert!(!shown(&two, &answer(1)).await);
    time::sleep(Duration::from_secs(11)).await;
    assert!(!shown(&one, &answer(1)).await, "it is shown for ever where it was put");
}

#[tokio::test(start_paused = true)]
async fn replicas_that_write_at_the_same_moment_keep_all_answers() {
    let store = Watched::over(&Arc::default());
    let replicas: Vec<_> = (0..8).map(|_| Http01Shared::new(store.clone())).collect();
    let answers: Vec<_> = (0..80).map(answer).collect();
    let puts = answers.iter().enumerate().map(|(at, answer)| replicas[at % 8].put(answer));
    join_all(puts).await.into_iter().collect::<Result<Vec<()>, _>>().unwrap();
    let late = Http01Shared::new(store);
    for answer in &answers {
        assert!(shown(&late, answer).await);
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_who_ask_for_anything_cost_the_store_few_looks_and_bad_forms_none() {
    let store = Watched::over(&Arc::default());
    let shared = Http01Shared::new(store.clone());
    for path in
        ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/short", "/.well-known/x/..%2f"]
    {
        assert_eq!(said(&shared, path).await.0, 404, "{path}");
    }
    assert_eq!(store.looks(), 0);
    // Two hundred at a time, for ten seconds.
    let begun = Instant::now();
    let mut asked = 0;
    while begun.elapsed() < Duration::from_secs(10) && store.looks() < 1_000 {
        let answers: Vec<_> = (0..200).map(|number| answer(asked + number)).collect();
        asked += answers.len();
        let found = join_all(answers.iter().map(|answer| shown(&shared, answer))).await;
        assert!(!found.contains(&true));
    }
    assert!(asked >= 2_000, "each waits for a turn of its own: {asked}");
    assert!(store.looks() <= 10 * 20 + 20, "{} looks", store.looks());
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_is_shown_without_a_look_for_moments() {
    let store = Watched::over(&Arc::default());
    let shared = Http01Shared::new(store.clone());
    Http01Shared::new(store.inner.clone()).put(&answer(1)).await.unwrap();
    for _ in 0..100 {
        assert!(shown(&shared, &answer(1)).await);
    }
    assert_eq!(store.looks(), 1);
    time::sleep(Duration::from_secs(11)).await;
    assert!(shown(&shared, &answer(1)).await);
    assert_eq!(store.looks(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_what_a_look_has_seen_that_began_before_he_asked() {
    let inner = Arc::new(MemoryStore::new());
    let store = Watched::over(&inner);
    let shared = Http01Shared::new(store.clone());
    let hold = Arc::new(Notify::new());
    *store.holds.lock().unwrap() = Some(hold.clone());
    let (path, asking) = (answer(1).path(), shared.clone());
    let early = tokio::spawn(async move { said(&asking, &path).await.0 });
    while store.looks() == 0 {
        tokio::task::yield_now().await;
    }
    // The look that is under way has seen nothing. The CA asks after the answer was put.
    Http01Shared::new(inner).put(&answer(1)).await.unwrap();
    *store.holds.lock().unwrap() = None;
    let asking = shared.clone();
    let late = tokio::spawn(async move { shown(&asking, &answer(1)).await });
    tokio::task::yield_now().await;
    hold.notify_one();
    assert_eq!(early.await.unwrap(), 404);
    assert!(late.await.unwrap(), "the CA was shown what was there before");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_has_read_long_ago_does_not_hide_what_a_look_has_found() {
    let inner = Arc::new(MemoryStore::new());
    let store = Watched::over(&inner);
    let shared = Http01Shared::new(store.clone());
    let hold = |store: &Watched| {
        let hold = Arc::new(Notify::new());
        *store.holds.lock().unwrap() = Some(hold.clone());
        hold
    };
    let looked = async |times: usize| {
        while store.looks() < times {
            tokio::task::yield_now().await;
        }
    };
    // All on one shelf: the letters of their tokens are the same.
    let [removed, early, stranger, ours] = [12, 21, 102, 120].map(answer);
    let writes = hold(&store);
    let writing = shared.clone();
    let writer = tokio::spawn(async move { writing.remove(&removed).await });
    looked(1).await;
    // The writer has seen a shelf without it.
    Http01Shared::new(inner).put(&ours).await.unwrap();
    let looks = hold(&store);
    let ask = |answer: Http01Answer| {
        let asking = shared.clone();
        tokio::spawn(async move { said(&asking, &answer.path()).await.0 })
    };
    let early = ask(early);
    looked(2).await;
    let (stranger, ours) = (ask(stranger), ask(ours));
    tokio::task::yield_now().await;
    // The stranger looks for both, and before the other one is told, the writer says what it has seen.
    *store.holds.lock().unwrap() = None;
    *store.then.lock().unwrap() = Some(writes);
    looks.notify_one();
    assert_eq!((early.await.unwrap(), stranger.await.unwrap()), (404, 404));
    writer.await.unwrap().unwrap();
    assert_eq!(ours.await.unwrap(), 200);
    assert_eq!(store.looks(), 3, "they have looked one by one");
}

#[tokio::test(start_paused = true)]
async fn whoever_hangs_up_during_a_look_leaves_nobody_blind() {
    let inner = Arc::new(MemoryStore::new());
    let store = Watched::over(&inner);
    let shared = Http01Shared::new(store.clone());
    Http01Shared::new(inner).put(&answer(1)).await.unwrap();
    *store.holds.lock().unwrap() = Some(Arc::new(Notify::new()));
    let (path, asking) = (answer(1).path(), shared.clone());
    let early = tokio::spawn(async move { said(&asking, &path).await });
    while store.looks() == 0 {
        tokio::task::yield_now().await;
    }
    let asking = shared.clone();
    let late = tokio::spawn(async move { shown(&asking, &answer(1)).await });
    tokio::task::yield_now().await;
    *store.holds.lock().unwrap() = None;
    early.abort();
    assert!(late.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_or_hangs_is_told_and_recovers() {
    let store = Watched::over(&Arc::default());
    let shared = Http01Shared::new(store.clone());
    store.is_away.store(true, Ordering::SeqCst);
    assert_eq!(said(&shared, &answer(1).path()).await.0, 503);
    let error = shared.put(&answer(1)).await.unwrap_err();
    assert!(matches!(error, Error::Store(StoreError::Unavailable { .. })), "{error}");
    store.is_away.store(false, Ordering::SeqCst);
    shared.put(&answer(1)).await.unwrap();
    assert!(shown(&shared, &answer(1)).await);

    *store.holds.lock().unwrap() = Some(Arc::new(Notify::new()));
    assert_eq!(said(&shared, &answer(2).path()).await.0, 503);
    time::sleep(FRESH).await;
    assert!(shown(&shared, &answer(1)).await, "what was seen is forgotten when it is needed");
    let error = shared.put(&answer(2)).await.unwrap_err();
    assert!(matches!(error, Error::TooSlow { .. }), "{error}");
    *store.holds.lock().unwrap() = None;
    assert!(!shown(&shared, &answer(2)).await);
}

#[tokio::test(start_paused = true)]
async fn more_than_can_wait_are_sent_away() {
    let store = Watched::over(&Arc::default());
    let shared = Http01Shared::new(store.clone());
    let known = answer(MOST_ASKING + 1);
    shared.put(&known).await.unwrap();
    let before = store.looks();
    *store.holds.lock().unwrap() = Some(Arc::new(Notify::new()));
    let answers: Vec<_> = (0..=MOST_ASKING).map(answer).collect();
    let ask = async |answer: &Http01Answer| said(&shared, &answer.path()).await;
    let mut waiting = Box::pin(join_all(answers[..MOST_ASKING].iter().map(ask)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let path = answers[MOST_ASKING].path();
    let late = time::timeout(Duration::from_secs(60), said(&shared, &path)).await;
    assert_eq!(late.unwrap().0, 503);
    assert_eq!(store.looks(), before + 1, "nobody has waited for the last one");
    // The CA asks for what is there, while strangers hold all places, and a while later.
    assert!(shown(&shared, &known).await);
    time::sleep(FRESH).await;
    assert!(shown(&shared, &known).await);
}

#[tokio::test]
async fn a_slot_that_holds_something_else_is_named_and_left_alone() {
    let store = Arc::new(MemoryStore::new());
    let theirs = SecretBytes::new(*b"a key");
    for number in 0..SHELVES {
        let issuer = format!("le-{number}").parse().unwrap();
        Store::write(&store, &Slot::IssuerState { issuer }, &theirs).await.unwrap();
    }
    let shared = Http01Shared::named(store.clone(), "le").unwrap();
    let error = shared.put(&answer(1)).await.unwrap_err();
    assert!(error.to_string().contains("the state of issuer le-"), "{error}");
    assert!(!error.to_string().contains("a key"), "{error}");
    assert_eq!(said(&shared, &answer(1).path()).await.0, 503);
    for number in 0..SHELVES {
        let issuer = format!("le-{number}").parse().unwrap();
        assert!(Store::read(&store, &Slot::IssuerState { issuer }).await.unwrap().as_ref() == Some(&theirs));
    }
    Http01Shared::named(store.clone(), "others").unwrap().put(&answer(1)).await.unwrap();
    assert!(!shown(&Http01Shared::new(store.clone()), &answer(1)).await, "names keep them apart");
    Http01Shared::named(store, "NO").unwrap_err();
}

/// What axum's `route_service` wants (axum 0.8), and what hyper serves.
fn mounted<S, B>(_: S)
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
}

#[test]
fn whoever_mounts_services_can_mount_these() {
    mounted(super::super::Http01Responder::new());
    mounted(Http01Shared::new(Arc::new(MemoryStore::new())));
}
