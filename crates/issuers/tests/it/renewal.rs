//! What follows an issuance: the CA's window (RFC 9773), the order that replaces, and revocation (RFC 8555 §7.6).

use std::{sync::Arc, time::Duration};

use perennial_acme::CertificateId;
use perennial_core::{Clock as _, Retry, SystemClock, Timestamp};
use perennial_issuers::AcmeIssuer;
use perennial_lifecycle::{
    CertificateSpec, EventKind, FileStore, IssueErrorClass, IssuedChain, Issuer as _, Journal, Keeper,
    KeyAlgorithm, MemoryStore, Outcome, PrivateKey, Revocation, SigningRequest, Store,
};
use perennial_testkit::{
    World,
    ca::{CertificateAuthority, Quirk, Request, RetryAfter, Verb},
};

use crate::scene::{issue, issuer, journal, request, spec, world};

/// A world whose CA says when to renew.
async fn with_windows() -> World {
    let authority = CertificateAuthority::builder().renewal_info();
    World::builder().zone("example.com").authority(authority).build().await.unwrap()
}

/// A request that names what its certificate replaces.
fn replacing(chain: &IssuedChain) -> SigningRequest {
    let mut request = request();
    request.replaces = Some(chain.clone());
    request
}

async fn renew(issuer: &AcmeIssuer, replaced: &IssuedChain) -> IssuedChain {
    issuer.issue(&replacing(replaced), &journal().await).await.unwrap()
}

fn name_of(chain: &IssuedChain) -> String {
    CertificateId::from_der(&chain.leaf_der()).unwrap().to_string()
}

fn asked(world: &World, verb: Verb) -> Vec<Request> {
    world.ca().requests().into_iter().filter(|request| request.verb == Some(verb)).collect()
}

fn replaced(world: &World) -> Vec<Option<String>> {
    world.ca().orders().into_iter().map(|order| order.replaces).collect()
}

#[tokio::test]
async fn a_renewal_tells_the_ca_which_certificate_it_replaces() {
    let world = with_windows().await;
    let issuer = issuer(&world);
    let first = issue(&issuer).await.unwrap();
    let second = renew(&issuer, &first).await;
    renew(&issuer, &second).await;
    assert_eq!(replaced(&world), [None, Some(name_of(&first)), Some(name_of(&second))]);
    assert_eq!(asked(&world, Verb::NewOrder).len(), 3);
}

#[tokio::test]
async fn what_was_replaced_already_is_replaced_by_an_order_that_does_not_say_so() {
    let world = with_windows().await;
    let issuer = issuer(&world);
    let first = issue(&issuer).await.unwrap();
    renew(&issuer, &first).await;
    renew(&issuer, &first).await;
    assert_eq!(replaced(&world), [None, Some(name_of(&first)), None]);
    let orders = asked(&world, Verb::NewOrder);
    assert_eq!(orders.len(), 4, "it was refused once, and asked once more");
    let refused: Vec<_> = orders.iter().filter_map(|request| request.problem.as_deref()).collect();
    assert_eq!(refused, ["urn:ietf:params:acme:error:alreadyReplaced"]);
}

#[tokio::test]
async fn a_certificate_of_another_account_or_another_ca_does_not_stop_a_renewal() {
    let (world, elsewhere) = (with_windows().await, with_windows().await);
    let foreign = issue(&issuer(&elsewhere)).await.unwrap();
    let anothers = issue(&issuer(&world)).await.unwrap();
    // A store of its own: an account of its own.
    let issuer = issuer(&world);
    renew(&issuer, &anothers).await;
    renew(&issuer, &foreign).await;
    assert_eq!(replaced(&world), [None, None, None]);
}

#[tokio::test]
async fn a_ca_without_renewal_information_is_neither_asked_nor_told() {
    let world = world().await;
    let issuer = issuer(&world);
    let first = issue(&issuer).await.unwrap();
    assert!(issuer.suggests_windows());
    assert_eq!(issuer.suggested_window(&first).await.unwrap(), None);
    renew(&issuer, &first).await;
    assert_eq!(asked(&world, Verb::RenewalInfo), []);
    assert_eq!(asked(&world, Verb::NewOrder).len(), 2, "no order was refused");
}

#[tokio::test]
async fn a_certificate_that_has_no_name_at_its_ca_is_neither_asked_about_nor_named() {
    let world = with_windows().await;
    let issuer = issuer(&world);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(crate::scene::NAMES.map(str::to_owned)).unwrap();
    let nameless = IssuedChain::from_pem(params.self_signed(&key).unwrap().pem()).unwrap();
    assert_eq!(issuer.suggested_window(&nameless).await.unwrap(), None);
    renew(&issuer, &nameless).await;
    assert_eq!((asked(&world, Verb::RenewalInfo).len(), replaced(&world)), (0, vec![None]));
}

/// In how many seconds a moment is, give or take what a test takes.
fn is_in(moment: Timestamp, seconds: u64) -> bool {
    let now = SystemClock::new().now();
    (seconds.saturating_sub(30)..=seconds).contains(&now.until(moment).as_secs())
}

#[tokio::test]
async fn the_window_is_what_the_ca_says_and_the_next_question_when_it_says_within_a_day() {
    let world = with_windows().await;
    let issuer = issuer(&world);
    let chain = issue(&issuer).await.unwrap();
    let (start, end) = (Timestamp::from_unix(1_900_000_000), Timestamp::from_unix(1_900_086_400));
    world.ca().set_renewal_window(Some((start, end)));
    for (retry_after, seconds) in [
        (None, 21_600),
        (Some(RetryAfter::Seconds(7_200)), 7_200),
        (Some(RetryAfter::DateIn(Duration::from_secs(10_800))), 10_800),
        (Some(RetryAfter::Seconds(0)), 60),
        (Some(RetryAfter::Seconds(u64::MAX)), 86_400),
    ] {
        world.ca().clear_quirks();
        if let Some(retry_after) = retry_after.clone() {
            world.ca().add_quirk(Quirk::RenewalRetryAfter(retry_after));
        }
        let window = issuer.suggested_window(&chain).await.unwrap().unwrap();
        assert_eq!((window.start, window.end), (start, end));
        assert!(is_in(window.ask_at, seconds), "{retry_after:?}: {}", window.ask_at);
    }
    let questions = asked(&world, Verb::RenewalInfo);
    assert!(questions.iter().all(|question| question.account.is_none() && question.method == "GET"));
    assert!(questions.iter().all(|question| question.path.ends_with(&name_of(&chain))));
}

#[tokio::test]
async fn a_ca_that_does_not_say_names_when_to_ask_again_and_whose_fault_it_is() {
    let world = with_windows().await;
    let issuer = issuer(&world);
    let chain = issue(&issuer).await.unwrap();
    let busy = |status, retry_after| Quirk::Fail { verb: Verb::RenewalInfo, status, retry_after, times: 99 };
    let soon = Some(RetryAfter::Seconds(7_200));
    for (quirk, class, seconds) in [
        (busy(503, soon), IssueErrorClass::Transient, Some(7_200)),
        (busy(500, None), IssueErrorClass::Transient, None),
        (
            Quirk::AnswerNonsense { verb: Verb::RenewalInfo, times: 99 },
            IssueErrorClass::Contract,
            Some(21_600),
        ),
    ] {
        world.ca().clear_quirks();
        world.ca().add_quirk(quirk);
        let error = issuer.suggested_window(&chain).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        match (error.retry(), seconds) {
            (Retry::At(at), Some(seconds)) => assert!(is_in(at, seconds), "{error}: {at}"),
            (retry, seconds) => assert_eq!((retry, seconds), (Retry::Backoff, None), "{error}"),
        }
    }
    world.ca().clear_quirks();
    // A CA that knows nothing of a certificate has answered, and does not rest because of it.
    let foreign = issue(&crate::scene::issuer(&with_windows().await)).await.unwrap();
    let error = issuer.suggested_window(&foreign).await.unwrap_err();
    let Retry::At(at) = error.retry() else { panic!("{error}") };
    assert!(error.class == IssueErrorClass::Policy && is_in(at, 21_600), "{error}");
    let moment = Timestamp::from_unix(1_900_000_000);
    world.ca().set_renewal_window(Some((moment, moment)));
    assert!(issuer.suggested_window(&chain).await.is_err(), "a window without width is none");
    world.ca().set_renewal_window(None);
    assert!(issuer.suggested_window(&chain).await.unwrap().is_some());
}

/// A certificate with its key.
async fn issued(issuer: &AcmeIssuer, journal: &Journal) -> (IssuedChain, PrivateKey) {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let request = SigningRequest::of(&spec(), &key).unwrap();
    (issuer.issue(&request, journal).await.unwrap(), key)
}

fn same(key: &PrivateKey) -> PrivateKey {
    PrivateKey::from_pem(&key.to_pem()).unwrap()
}

#[tokio::test]
async fn a_certificate_is_revoked_by_its_key_or_by_its_account_for_a_compromised_key_and_only_once() {
    let world = world().await;
    let (issuer, journal) = (issuer(&world), journal().await);
    let (chain, key) = issued(&issuer, &journal).await;
    journal.start_over().await.unwrap();
    let (other, _) = issued(&issuer, &journal).await;
    world.ca().clear_requests();
    issuer.revoke(&Revocation::new(chain.clone(), Some(same(&key))), &journal).await.unwrap();
    issuer.revoke(&Revocation::new(other.clone(), None), &journal).await.unwrap();
    let reasons: Vec<_> = world.ca().certificates().iter().map(|issued| issued.revoked).collect();
    assert_eq!(reasons, [Some(1), Some(1)], "keyCompromise (RFC 5280 §5.3.1)");
    let signers: Vec<_> =
        asked(&world, Verb::RevokeCertificate).iter().map(|request| request.account.is_some()).collect();
    assert_eq!(signers, [false, true]);
    // Its answer was lost, or somebody else was quicker: it is done all the same.
    issuer.revoke(&Revocation::new(chain, Some(key)), &journal).await.unwrap();
    issuer.revoke(&Revocation::new(other, None), &journal).await.unwrap();
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_leaves_it_to_the_account() {
    let world = world().await;
    let (issuer, journal) = (issuer(&world), journal().await);
    let (chain, _) = issued(&issuer, &journal).await;
    let another = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    issuer.revoke(&Revocation::new(chain, Some(another)), &journal).await.unwrap();
    assert_eq!(world.ca().certificates()[0].revoked, Some(1));
    assert!(asked(&world, Verb::RevokeCertificate)[0].account.is_some());
}

#[tokio::test]
async fn what_the_ca_refuses_for_good_is_told_from_what_passes_by() {
    let (world, elsewhere) = (world().await, world().await);
    let (issuer, other) = (issuer(&world), issuer(&elsewhere));
    let (journal, other_journal) = (journal().await, journal().await);
    let (chain, key) = issued(&issuer, &journal).await;
    let (foreign, foreign_key) = issued(&other, &other_journal).await;
    let error = issuer.revoke(&Revocation::new(foreign, Some(foreign_key)), &journal).await.unwrap_err();
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never), "{error}");

    let busy = Quirk::Fail { verb: Verb::RevokeCertificate, status: 503, retry_after: None, times: 99 };
    world.ca().add_quirk(busy);
    let error = issuer.revoke(&Revocation::new(chain.clone(), Some(same(&key))), &journal).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Transient, "{error}");
    assert!(error.retry().is_worthwhile());
    assert_eq!(world.ca().certificates()[0].revoked, None);
    world.ca().clear_quirks();
    world.ca().add_quirk(Quirk::LoseAnswer { verb: Verb::RevokeCertificate, times: 1 });
    // Whoever it is that hears no answer, the next one hears that it is done.
    issuer.revoke(&Revocation::new(chain, Some(key)), &journal).await.unwrap();
    assert_eq!(world.ca().certificates()[0].revoked, Some(1));
}

#[tokio::test]
async fn a_stolen_key_is_replaced_and_revoked_at_the_ca_in_that_order() {
    let world = with_windows().await;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = told.clone();
    let keeper = Keeper::builder(store)
        .issuer("default".parse().unwrap(), Arc::new(issuer(&world)))
        .observer(move |event| {
            if let EventKind::Revoked { serial } = &event.kind {
                seen.lock().unwrap().push(serial.clone());
            }
        })
        .build();
    keeper.wish(spec()).await.unwrap();
    assert!(matches!(keeper.step(spec().id()).await.unwrap(), Outcome::Issued { .. }));
    let stolen = keeper.current(spec().id()).await.unwrap().unwrap();
    keeper.replace_compromised(spec().id()).await.unwrap();
    assert!(matches!(keeper.step(spec().id()).await.unwrap(), Outcome::Issued { .. }));
    let fresh = keeper.current(spec().id()).await.unwrap().unwrap();
    assert_ne!(fresh.facts().public_key_fingerprint, stolen.facts().public_key_fingerprint);
    let reasons: Vec<_> = world.ca().certificates().iter().map(|issued| issued.revoked).collect();
    assert_eq!(reasons, [Some(1), None]);
    assert_eq!(*told.lock().unwrap(), [stolen.facts().serial.clone()]);
    let verbs: Vec<_> = world.ca().requests().iter().filter_map(|request| request.verb).collect();
    let last = |verb| verbs.iter().rposition(|other| *other == verb).unwrap();
    assert!(last(Verb::Certificate) < last(Verb::RevokeCertificate), "first the new one is there");
    assert_eq!(replaced(&world).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_begin_at_once_one_registers_an_account_and_all_use_it() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(directory.path()).unwrap());
    let spec = |number: usize| {
        let (id, name) = (format!("host-{number}"), format!("host-{number}.site.example.com"));
        CertificateSpec::new(&id, [name]).unwrap()
    };
    let mut processes = Vec::new();
    for number in 0..4 {
        // Each has an issuer of its own, which knows nothing of the others.
        let (issuer, store, spec) = (issuer(&world), store.clone(), spec(number));
        processes.push(tokio::spawn(async move {
            let journal = Journal::begin(store, spec.clone(), Arc::new(SystemClock::new())).await.unwrap();
            let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
            issuer.issue(&SigningRequest::of(&spec, &key).unwrap(), &journal).await.unwrap();
        }));
    }
    for process in processes {
        process.await.unwrap();
    }
    let registered = asked(&world, Verb::NewAccount).iter().filter(|request| request.status == 201).count();
    assert_eq!(registered, 1);
    let owners: std::collections::BTreeSet<_> =
        world.ca().certificates().into_iter().map(|issued| issued.account).collect();
    assert_eq!((owners.len(), world.ca().certificates().len()), (1, 4));
}
