//! Hooks after a delivery: called until they succeed, after a crash too, and never a reason to issue anything.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Retry, Timestamp};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, EventKind, FileSink, HookError, IssuerName, Keeper, KeeperBuilder,
    MemoryStore, Outcome, OutputFormat, Record, Reload, ReloadHook, Shipment, Sink, SinkError, SinkName,
    Store,
};
use perennial_testkit::ManualClock;

use crate::issuer::TestIssuer;

/// What a hook does when it is called.
enum Answer {
    Fail,
    Hang,
    Panic,
    Succeed,
}

/// Answers as it is told to, and then succeeds.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    called: Mutex<Vec<Reload>>,
    hanging: tokio::sync::Notify,
}

#[async_trait]
impl ReloadHook for Scripted {
    async fn reload(&self, delivery: &Reload) -> Result<String, HookError> {
        self.called.lock().unwrap().push(delivery.clone());
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Succeed);
        match answer {
            Answer::Fail => Err(HookError::new("no such server\n\u{1b}[31m", Retry::Backoff)),
            Answer::Hang => {
                self.hanging.notify_one();
                std::future::pending().await
            }
            Answer::Panic => panic!("it fell over"),
            Answer::Succeed => Ok("done".to_owned()),
        }
    }
}

struct Scene {
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    issuer: Arc<TestIssuer>,
    hook: Arc<Scripted>,
    told: Arc<Mutex<Vec<EventKind>>>,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix(1_800_000_000)));
        let issuer = TestIssuer::new(clock.clone(), Duration::from_secs(90 * 86_400));
        let hook = Scripted { answers: Mutex::new(answers.into_iter().collect()), ..Scripted::default() };
        Self {
            store: Arc::new(MemoryStore::with_clock(clock.clone())),
            issuer,
            clock,
            hook: Arc::new(hook),
            told: Arc::default(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn builder(&self) -> KeeperBuilder {
        let told = self.told.clone();
        Keeper::builder(self.store.clone())
            .clock(self.clock.clone())
            .issuer(IssuerName::default(), self.issuer.clone())
            .sink(web(), Arc::new(FileSink::new(self.directory.path())))
            .hook(web(), self.hook.clone())
            .observer(move |event| told.lock().unwrap().push(event.kind.clone()))
    }

    async fn record(&self) -> Record {
        self.store.load(&name()).await.unwrap().unwrap().1
    }

    fn calls(&self) -> usize {
        self.hook.called.lock().unwrap().len()
    }

    fn requests(&self) -> usize {
        self.issuer.asked.lock().unwrap().len()
    }

    /// What was told of deliveries and hooks, in one word each.
    fn words(&self) -> Vec<&'static str> {
        let told = self.told.lock().unwrap();
        let words = told.iter().map(EventKind::reason);
        words.filter(|word| matches!(*word, "Redelivered" | "Reloaded" | "ReloadFailed")).collect()
    }
}

fn name() -> CertificateId {
    "site".parse().unwrap()
}

fn web() -> SinkName {
    "web".parse().unwrap()
}

fn spec() -> CertificateSpec {
    CertificateSpec::new("site", ["site.example"])
        .unwrap()
        .output(web(), OutputFormat::Pem)
        .output(web(), OutputFormat::CombinedPem)
}

#[tokio::test]
async fn a_hook_is_called_once_for_a_delivery_in_two_forms_and_told_where_it_lies() {
    let scene = Scene::new([]);
    let keeper = scene.builder().build();
    keeper.wish(spec()).await.unwrap();
    assert!(matches!(keeper.step(&name()).await.unwrap(), Outcome::Issued { .. }));
    keeper.step(&name()).await.unwrap();
    let called = scene.hook.called.lock().unwrap().clone();
    let [delivery] = called.as_slice() else { panic!("{called:?}") };
    let place = scene.directory.path().join("site");
    assert_eq!((&delivery.id, &delivery.sink, delivery.place.as_ref()), (&name(), &web(), Some(&place)));
    assert_eq!(delivery.facts, scene.record().await.current.unwrap().facts);
    assert_eq!(scene.words(), ["Redelivered", "Reloaded"]);
    let said = EventKind::Reloaded { sink: web(), said: "done".to_owned() };
    assert!(scene.told.lock().unwrap().contains(&said));
}

#[tokio::test]
async fn a_hook_that_fails_is_called_later_and_nothing_is_issued_or_delivered_for_it() {
    let scene = Scene::new([Answer::Fail, Answer::Panic]);
    let keeper = scene.builder().build();
    keeper.wish(spec()).await.unwrap();
    let Outcome::Issued { .. } = keeper.step(&name()).await.unwrap() else { panic!("not issued") };
    let record = scene.record().await;
    let failures = record.reloads[&web()].clone().unwrap();
    assert_eq!(failures.message, "no such server\u{fffd}\u{fffd}[31m", "without what it does to a terminal");
    assert!(record.undelivered.is_none() && record.failures.is_none() && record.delivered.is_some());
    assert_eq!(record.next_at, failures.retry_at, "it is looked at again when the hook is due");
    let shown = keeper.describe(&name()).await.unwrap().to_string();
    assert!(shown.contains("Not Taken Up:") && shown.contains("no such server"), "{shown}");
    keeper.step(&name()).await.unwrap();
    assert_eq!(scene.calls(), 1, "not before its time");
    scene.clock.set(failures.retry_at);
    keeper.step(&name()).await.unwrap();
    let second = scene.record().await.reloads[&web()].clone().unwrap();
    assert_eq!((second.count, second.message.as_str()), (2, "the hook panicked: it fell over"));
    assert!(second.retry_at > failures.retry_at);
    scene.clock.set(second.retry_at);
    keeper.step(&name()).await.unwrap();
    assert_eq!((scene.calls(), scene.requests()), (3, 1));
    assert!(scene.record().await.reloads.is_empty());
    assert_eq!(scene.words(), ["Redelivered", "ReloadFailed", "ReloadFailed", "Reloaded"]);
}

#[tokio::test]
async fn a_crash_between_the_delivery_and_the_hook_calls_it_again() {
    let scene = Scene::new([Answer::Hang]);
    {
        let keeper = scene.builder().build();
        keeper.wish(spec()).await.unwrap();
        let id = name();
        let step = keeper.step(&id);
        tokio::select! {
            _ = step => panic!("the hook hangs"),
            () = scene.hook.hanging.notified() => {} // Here the process dies.
        }
    }
    let record = scene.record().await;
    assert!(
        record.delivered.is_some() && record.reloads[&web()].is_none(),
        "it is on record that it is owed"
    );
    assert!(scene.directory.path().join("site/fullchain.pem").exists());
    scene.clock.advance(Duration::from_secs(120)); // Its lease ends.
    let keeper = scene.builder().build();
    keeper.step(&name()).await.unwrap();
    assert_eq!((scene.calls(), scene.requests()), (2, 1));
    assert!(scene.record().await.reloads.is_empty());
    assert_eq!(scene.words(), ["Redelivered", "Reloaded"]);
}

#[tokio::test]
async fn what_somebody_has_mended_is_called_at_once_and_what_nobody_knows_is_forgotten() {
    let scene = Scene::new([Answer::Fail, Answer::Succeed, Answer::Fail]);
    let keeper = scene.builder().build();
    keeper.wish(spec()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    keeper.retry(&name()).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!((scene.calls(), scene.record().await.reloads.len()), (2, 0));
    keeper.wish(spec().label("team", "shop")).await.unwrap();
    keeper.step(&name()).await.unwrap();
    assert_eq!((scene.calls(), scene.record().await.reloads.len()), (3, 1), "it was delivered once more");
    drop(keeper);
    let without = Keeper::builder(scene.store.clone())
        .clock(scene.clock.clone())
        .issuer(IssuerName::default(), scene.issuer.clone())
        .sink(web(), Arc::new(FileSink::new(scene.directory.path())))
        .build();
    scene.clock.advance(Duration::from_secs(3_600));
    without.step(&name()).await.unwrap();
    assert!(scene.record().await.reloads.is_empty());
}

/// A place that holds nothing, so that a hundred deliveries cost nothing.
struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn deliver(&self, _: &Shipment) -> Result<(), SinkError> {
        Ok(())
    }
}

/// A hook for all, whose calls wait until they are let go; all but the first fail.
#[derive(Default)]
struct ForAll {
    calls: AtomicUsize,
    is_mended: AtomicBool,
    gate: Option<tokio::sync::Semaphore>,
}

#[async_trait]
impl ReloadHook for ForAll {
    async fn reload(&self, _: &Reload) -> Result<String, HookError> {
        let before = self.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        if before == 0 || self.is_mended.load(Ordering::SeqCst) {
            Ok("done".to_owned())
        } else {
            Err(HookError::new("no such server", Retry::Backoff))
        }
    }

    fn takes_up_all(&self) -> bool {
        true
    }
}

/// How often that was told of, when it has been told so often.
async fn told(scene: &Scene, reason: &str, times: usize) -> usize {
    let count = || scene.words().iter().filter(|word| **word == reason).count();
    for _ in 0..2_000 {
        if count() >= times {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    count()
}

#[tokio::test]
async fn a_hundred_certificates_that_come_together_share_a_call_and_each_has_its_result_on_record() {
    const MANY: usize = 100;
    let scene = Scene::new([]);
    let hook = Arc::new(ForAll { gate: Some(tokio::sync::Semaphore::new(0)), ..ForAll::default() });
    let keeper = scene.builder().sink(web(), Arc::new(Nowhere)).hook(web(), hook.clone()).build();
    let id = |number: usize| format!("site-{number}").parse::<CertificateId>().unwrap();
    for number in 0..MANY {
        let spec = CertificateSpec::new(id(number).as_str(), ["site.example"]).unwrap();
        keeper.wish(spec.output(web(), OutputFormat::Pem)).await.unwrap();
    }
    keeper.start().await;
    assert_eq!(told(&scene, "Redelivered", MANY).await, MANY, "who waits for a hook holds up nobody");
    assert_eq!(hook.calls.load(Ordering::SeqCst), 1);
    hook.gate.as_ref().unwrap().add_permits(MANY);
    // The first call began before the others were there; one more is for all of them.
    assert_eq!(told(&scene, "ReloadFailed", MANY - 1).await, MANY - 1);
    assert_eq!((told(&scene, "Reloaded", 1).await, hook.calls.load(Ordering::SeqCst)), (1, 2));
    keeper.shut_down().await;
    let mut owed = 0;
    for number in 0..MANY {
        let (_, record) = scene.store.load(&id(number)).await.unwrap().unwrap();
        if let Some(failures) = record.reloads.get(&web()) {
            let failures = failures.as_ref().unwrap();
            assert_eq!((failures.count, failures.message.as_str()), (1, "no such server"));
            owed += 1;
        }
    }
    assert_eq!(owed, MANY - 1);
}

#[tokio::test]
async fn those_that_failed_share_the_next_call_too_and_what_it_has_come_to() {
    const MANY: usize = 10;
    let scene = Scene::new([]);
    let hook = Arc::new(ForAll::default());
    let keeper = scene.builder().sink(web(), Arc::new(Nowhere)).hook(web(), hook.clone()).build();
    let ids: Vec<CertificateId> = (0..MANY).map(|number| format!("site-{number}").parse().unwrap()).collect();
    for id in &ids {
        let spec = CertificateSpec::new(id.as_str(), ["site.example"]).unwrap();
        keeper.wish(spec.output(web(), OutputFormat::Pem)).await.unwrap();
        keeper.step(id).await.unwrap();
    }
    let calls = || hook.calls.load(Ordering::SeqCst);
    assert_eq!(calls(), MANY, "one that has begun before a delivery is not for it");
    let failures = async |id: &CertificateId| {
        let (_, record) = scene.store.load(id).await.unwrap().unwrap();
        record.reloads.get(&web()).map(|failures| failures.clone().unwrap())
    };
    for round in 2..=4 {
        // They come back one after the other, each at its time.
        let mut times = Vec::new();
        for id in &ids[1..] {
            times.push((failures(id).await.unwrap().retry_at, id));
        }
        times.sort();
        for (time, id) in times {
            scene.clock.set(time);
            keeper.step(id).await.unwrap();
            let failures = failures(id).await.unwrap();
            assert_eq!((failures.count, failures.last_at), (round, time));
        }
        assert_eq!(calls(), MANY + round as usize - 1);
    }
    hook.is_mended.store(true, Ordering::SeqCst);
    scene.clock.advance(Duration::from_secs(3_600));
    for id in &ids {
        keeper.step(id).await.unwrap();
        assert!(failures(id).await.is_none());
    }
    assert_eq!((calls(), scene.words().iter().filter(|word| **word == "Reloaded").count()), (MANY + 4, MANY));
}

#[tokio::test]
async fn a_failure_of_long_ago_is_no_answer_and_what_was_delivered_since_wants_a_call_of_its_own() {
    let scene = Scene::new([]);
    let hook = Arc::new(ForAll::default());
    let keeper = scene.builder().sink(web(), Arc::new(Nowhere)).hook(web(), hook.clone()).build();
    let calls = || hook.calls.load(Ordering::SeqCst);
    let [first, second, third] = ["a", "b", "c"].map(|id| id.parse::<CertificateId>().unwrap());
    let spec = |id: &CertificateId| {
        CertificateSpec::new(id.as_str(), ["site.example"]).unwrap().output(web(), OutputFormat::Pem)
    };
    for id in [&first, &second, &third] {
        keeper.wish(spec(id)).await.unwrap();
        keeper.step(id).await.unwrap();
    }
    assert_eq!(calls(), 3);
    // The call of the third one was a minute ago when the second one comes again.
    scene.clock.advance(Duration::from_secs(80));
    keeper.step(&second).await.unwrap();
    assert_eq!(calls(), 4);
    // Delivered anew, it does not go by a call that was made before that, nor once it was told by that.
    hook.is_mended.store(true, Ordering::SeqCst);
    keeper.wish(spec(&third).label("team", "shop")).await.unwrap();
    keeper.step(&third).await.unwrap();
    assert_eq!((calls(), scene.words().last()), (5, Some(&"Reloaded")));
    keeper.wish(spec(&third).label("team", "desk")).await.unwrap();
    keeper.step(&third).await.unwrap();
    assert_eq!(calls(), 6);
}

#[tokio::test]
async fn what_another_process_has_delivered_since_is_not_for_an_earlier_call_here() {
    let scene = Scene::new([]);
    let [here, there] = [(); 2].map(|()| Arc::new(ForAll::default()));
    let keeper =
        |hook: &Arc<ForAll>| scene.builder().sink(web(), Arc::new(Nowhere)).hook(web(), hook.clone()).build();
    let (ours, theirs) = (keeper(&here), keeper(&there));
    let [first, shared, last] = ["a", "b", "c"].map(|id| id.parse::<CertificateId>().unwrap());
    let spec = |id: &CertificateId| {
        CertificateSpec::new(id.as_str(), ["site.example"]).unwrap().output(web(), OutputFormat::Pem)
    };
    for id in [&first, &shared] {
        ours.wish(spec(id)).await.unwrap();
        ours.step(id).await.unwrap();
    }
    here.is_mended.store(true, Ordering::SeqCst);
    ours.wish(spec(&last)).await.unwrap();
    ours.step(&last).await.unwrap();
    there.calls.store(1, Ordering::SeqCst); // All its calls fail.
    scene.clock.advance(Duration::from_secs(10));
    theirs.wish(spec(&shared).label("team", "shop")).await.unwrap();
    theirs.step(&shared).await.unwrap();
    assert_eq!((here.calls.load(Ordering::SeqCst), there.calls.load(Ordering::SeqCst)), (3, 2));
    scene.clock.advance(Duration::from_secs(120));
    ours.step(&shared).await.unwrap();
    assert_eq!((here.calls.load(Ordering::SeqCst), scene.words().last()), (4, Some(&"Reloaded")));
}

#[tokio::test]
async fn a_hook_that_hangs_keeps_no_other_sink_waiting() {
    let scene = Scene::new([Answer::Succeed]);
    let slow = Arc::new(Scripted { answers: Mutex::new([Answer::Hang].into()), ..Scripted::default() });
    let archive: SinkName = "archive".parse().unwrap();
    let builder =
        scene.builder().sink(archive.clone(), Arc::new(Nowhere)).hook(archive.clone(), slow.clone());
    let keeper = builder.build();
    keeper.wish(spec().output(archive, OutputFormat::Pem)).await.unwrap();
    let both = async {
        slow.hanging.notified().await;
        while scene.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let id = name();
    tokio::select! {
        _ = keeper.step(&id) => panic!("one hangs"),
        called = tokio::time::timeout(Duration::from_secs(10), both) => called.unwrap(),
    }
}

#[tokio::test]
async fn who_dies_in_a_shared_call_leaves_it_to_those_who_wait() {
    let scene = Scene::new([]);
    let hook = Arc::new(ForAll { gate: Some(tokio::sync::Semaphore::new(0)), ..ForAll::default() });
    let keeper = scene.builder().sink(web(), Arc::new(Nowhere)).hook(web(), hook.clone()).build();
    for id in ["a", "b"] {
        let spec = CertificateSpec::new(id, ["site.example"]).unwrap();
        keeper.wish(spec.output(web(), OutputFormat::Pem)).await.unwrap();
    }
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let is_called = async {
        while hook.calls.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let mut first = Box::pin(keeper.step(&a));
    tokio::select! {
        _ = &mut first => panic!("the hook waits"),
        () = is_called => {}
    }
    let mut second = Box::pin(keeper.step(&b));
    tokio::select! {
        _ = &mut second => panic!("it waits for the first"),
        deliveries = told(&scene, "Redelivered", 2) => assert_eq!(deliveries, 2),
    }
    drop(first); // Here it dies.
    hook.gate.as_ref().unwrap().add_permits(1);
    second.await.unwrap();
    assert_eq!((hook.calls.load(Ordering::SeqCst), told(&scene, "ReloadFailed", 1).await), (2, 1));
}
