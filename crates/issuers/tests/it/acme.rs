use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response};
use perennial_acme::AccountKey;
use perennial_core::{Clock, HttpClient, HttpError, ReqwestClient, Retry, SecretBytes, SystemClock};
use perennial_issuers::{AcmeIssuer, Dns01, Solver as _};
use perennial_lifecycle::{
    Facts, IssueErrorClass, Issuer as _, IssuerName, Journal, KeyAlgorithm, MemoryStore, PrivateKey,
    Progress, SigningRequest, Slot, Store as _,
};
use perennial_providers::{Action, MemoryProvider};
use perennial_testkit::{
    World,
    ca::{CertificateAuthority, Flaw, OrderStatus, Quirk, RetryAfter, Verb},
    dns::Behaviour,
};

use crate::scene::{
    NAMES, NoHttp01, OWNER, Silence, build_error, builder, checker, debt, dns01, hanging, issue, issuer,
    journal, provider, request, spec, stubborn, world,
};

fn records(world: &World) -> Vec<String> {
    world.zone().txt_values(OWNER)
}

fn count(world: &World, verb: Verb) -> usize {
    world.ca().requests().iter().filter(|request| request.verb == Some(verb)).count()
}

#[tokio::test]
async fn a_wildcard_and_its_apex_share_one_txt_name_with_two_values() {
    let world = world().await;
    let chain = issue(&issuer(&world)).await.unwrap();
    let names: Vec<_> = chain.facts().names.iter().map(ToString::to_string).collect();
    assert_eq!(names, NAMES);
    assert_eq!(records(&world), Vec::<String>::new(), "a challenge record was left");
    assert_eq!(world.ca().certificates().len(), 1);
}

#[tokio::test]
async fn a_sibling_value_stays() {
    let world = world().await;
    let provider = provider(&world);
    let owner = OWNER.parse().unwrap();
    let zone = provider.zone(&owner).await.unwrap();
    let sibling = [perennial_providers::Change::add(owner, "somebody else's")];
    provider.apply(&zone, &sibling).await.unwrap();
    issue(&issuer(&world)).await.unwrap();
    assert_eq!(records(&world), ["somebody else's"]);
}

#[tokio::test]
async fn the_ca_is_told_only_when_the_lagging_server_has_caught_up() {
    let lag = Duration::from_secs(1);
    let world = World::builder()
        .zone("example.com")
        .servers(2)
        .lag(1, lag)
        .liar("app.site.example.com")
        .build()
        .await
        .unwrap();
    issue(&issuer(&world)).await.unwrap();
    // One failed validation would have made the order invalid.
    assert_eq!(world.ca().orders().iter().filter(|order| order.status == OrderStatus::Invalid).count(), 0);
    let asked = world
        .recursive_server()
        .queries()
        .iter()
        .filter(|query| query.name.to_string().starts_with("_acme"))
        .count();
    assert_eq!(asked, 0, "the challenge name reached the resolver");
}

#[tokio::test]
async fn the_account_is_made_once_and_shared_by_certificates_that_start_together() {
    let world = world().await;
    let issuer = issuer(&world);
    let (one, two) = tokio::join!(issue(&issuer), issue(&issuer));
    one.unwrap();
    two.unwrap();
    assert_eq!(count(&world, Verb::NewAccount), 1);
}

/// Somebody else writes down another account just before the first signed request is sent.
struct Meanwhile {
    inner: ReqwestClient,
    store: Arc<MemoryStore>,
    theirs: Mutex<Option<SecretBytes>>,
}

#[async_trait]
impl HttpClient for Meanwhile {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let theirs = if request.method() == Method::POST { self.theirs.lock().unwrap().take() } else { None };
        if let Some(theirs) = theirs {
            self.store.write(&state_slot(), &theirs).await.unwrap();
        }
        self.inner.send(request).await
    }
}

fn state_slot() -> Slot {
    Slot::IssuerState { issuer: IssuerName::default() }
}

#[tokio::test]
async fn of_two_processes_that_begin_together_both_go_on_with_the_account_that_is_kept() {
    let world = world().await;
    let store = Arc::new(MemoryStore::new());
    let theirs = AccountKey::generate().unwrap().to_pkcs8_pem();
    let own = serde_json::json!({ "url": null, "private_key_pem": theirs.expose() });
    let directory = world.ca().directory_url();
    let state = serde_json::json!({ "accounts": { directory: own } }).to_string();
    let root = world.ca().https_root_pem();
    let http = Meanwhile {
        inner: ReqwestClient::builder().root_certificates_pem(root).build().unwrap(),
        store: store.clone(),
        theirs: Mutex::new(Some(SecretBytes::new(state.into_bytes()))),
    };
    let issuer = builder(&world).http(Arc::new(http)).solver(dns01(&world)).build().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let journal = Journal::begin(store.clone(), spec(), clock).await.unwrap();
    issuer.issue(&request(), &journal).await.unwrap();

    let kept = store.read(&state_slot()).await.unwrap().unwrap();
    let kept: serde_json::Value = serde_json::from_slice(kept.expose()).unwrap();
    let kept = &kept["accounts"][world.ca().directory_url()];
    assert_eq!(kept["private_key_pem"].as_str(), Some(theirs.expose()), "theirs was kept last");
    let requests = world.ca().requests();
    let order = requests.iter().find(|request| request.verb == Some(Verb::NewOrder)).unwrap();
    assert_eq!(order.account.as_deref(), kept["url"].as_str(), "and ours is not used");
}

#[tokio::test]
async fn a_limit_that_the_ca_counts_is_told_from_a_ca_that_is_busy() {
    for (status, is_limit) in [(429, true), (503, false)] {
        let world = world().await;
        let retry_after = Some(RetryAfter::Seconds(7_200));
        world.ca().add_quirk(Quirk::Fail { verb: Verb::NewOrder, status, retry_after, times: 9 });
        let error = issue(&issuer(&world)).await.unwrap_err();
        assert_eq!((error.class, error.is_limit()), (IssueErrorClass::Transient, is_limit), "{error}");
    }
}

#[tokio::test]
async fn an_account_file_is_private_and_found_again() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("deep/account.json");
    for _ in 0..2 {
        let solver = Dns01::new(provider(&world)).checker(checker(&world));
        let issuer = builder(&world).account_file(&file).solver(solver).build().unwrap();
        issue(&issuer).await.unwrap();
    }
    assert_eq!(count(&world, Verb::NewAccount), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(&file, "{").unwrap();
    let solver = Dns01::new(provider(&world)).checker(checker(&world));
    let issuer = builder(&world).account_file(&file).solver(solver).build().unwrap();
    let error = issue(&issuer).await.unwrap_err();
    assert!(error.message.contains("account.json") && error.message.contains("move it away"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{", "a damaged account is left as it is");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = issue(&issuer).await.unwrap_err();
    assert!(error.message.contains("account.json is no regular file"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_to_the_order_and_to_finalize_is_recovered_on_the_next_call() {
    for verb in [Verb::NewAccount, Verb::Finalize, Verb::Certificate, Verb::Challenge] {
        let world = world().await;
        let issuer = issuer(&world);
        let (journal, request) = (journal().await, request());
        world.ca().add_quirk(Quirk::LoseAnswer { verb, times: 1 });
        let mut calls = 0;
        let chain = loop {
            calls += 1;
            match issuer.issue(&request, &journal).await {
                Ok(chain) => break chain,
                Err(error) if calls < 3 => assert!(error.retry().is_worthwhile(), "{verb:?}: {error}"),
                Err(error) => panic!("{verb:?}: {error}"),
            }
        };
        assert_eq!(chain.facts().names.len(), 2);
        assert_eq!(world.ca().orders().len(), 1, "{verb:?}: a second order");
        assert_eq!(world.ca().certificates().len(), 1, "{verb:?}");
        assert_eq!(records(&world), Vec::<String>::new(), "{verb:?}: a record was left");
    }
}

#[tokio::test]
async fn a_crash_at_any_request_goes_on_with_the_same_order_and_leaves_no_record() {
    // Drop the walk at the nth request that the CA sees, as a kill would, and start again.
    for stop_at in 1..=10 {
        let world = world().await;
        let (journal, request) = (journal().await, request());
        {
            let issuer = issuer(&world);
            tokio::select! {
                done = issuer.issue(&request, &journal) => { done.unwrap(); }
                () = async {
                    while world.ca().requests().len() < stop_at {
                        tokio::task::yield_now().await;
                    }
                } => {}
            }
        }
        let chain = issuer(&world).issue(&request, &journal).await.unwrap();
        assert_eq!(chain.facts().names.len(), 2);
        // Only a kill between the CA's applying newOrder and our hearing of it may cost a second order.
        assert!(
            world.ca().orders().len() <= 2,
            "{} orders after a stop at {stop_at}",
            world.ca().orders().len()
        );
        assert_eq!(records(&world), Vec::<String>::new(), "stop at {stop_at}: a record was left");
        assert_eq!(journal.debts().await, [], "stop at {stop_at}: a debt was left");
    }
}

#[tokio::test]
async fn what_is_proven_already_is_not_proven_again() {
    let authority = CertificateAuthority::builder().reuse_authorizations();
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    let issuer = issuer(&world);
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let apex = vec![NAMES[1].parse().unwrap()];
    let for_apex = SigningRequest::new("site".parse().unwrap(), apex, &key).unwrap();
    issuer.issue(&for_apex, &journal().await).await.unwrap();
    issuer.issue(&request(), &journal().await).await.unwrap();
    assert_eq!(count(&world, Verb::Challenge), 2, "the apex was proven twice");
}

#[tokio::test]
async fn a_profile_and_a_chain_are_asked_for() {
    let validity = Duration::from_secs(6 * 86_400);
    let authority = CertificateAuthority::builder().profile("short", "Six days", validity);
    let world = World::builder().zone("example.com").authority(authority).build().await.unwrap();
    let request = request().profile(Some("short"));
    let chain = issuer(&world).issue(&request, &journal().await).await.unwrap();
    assert!(chain.facts().lifetime() < Duration::from_secs(7 * 86_400), "{:?}", chain.facts());

    let root = Facts::from_pem(world.ca().alternate_root_pem().as_bytes()).unwrap().issuer;
    let (_, common_name) = root.split_once("CN=").unwrap();
    for (preferred, found) in [("Nobody's Root", false), (common_name, true)] {
        let issuer = builder(&world).solver(dns01(&world)).preferred_chain(preferred).build().unwrap();
        let chain = issue(&issuer).await.unwrap();
        let certificates = chain.pem().split_inclusive("-----END CERTIFICATE-----\n");
        let mut issuers = certificates.map(|pem| Facts::from_pem(pem.as_bytes()).unwrap().issuer);
        assert_eq!(issuers.any(|issuer| issuer == root), found, "{preferred}");
    }
}

#[tokio::test]
async fn a_rejected_name_is_the_cas_policy_and_nothing_is_presented() {
    let world = world().await;
    world.ca().add_quirk(Quirk::RejectIdentifier("app.site.example.com".parse().unwrap()));
    let error = issue(&issuer(&world)).await.unwrap_err();
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never), "{error}");
    assert_eq!(records(&world), Vec::<String>::new());
}

#[tokio::test]
async fn records_are_removed_after_a_failure_too() {
    // The CA looks elsewhere and does not see the record.
    let world = world().await;
    let elsewhere = World::builder().zone("example.com").build().await.unwrap();
    world.ca().validate_through(&[elsewhere.servers()[0].address()]);
    let error = issue(&issuer(&world)).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
    assert!(error.message.contains("app.site.example.com"), "{error}");
    assert_eq!(records(&world), Vec::<String>::new());
}

#[tokio::test]
async fn an_order_that_cannot_succeed_any_more_is_left_and_a_new_one_made() {
    let world = world().await;
    let elsewhere = World::builder().zone("example.com").build().await.unwrap();
    let (journal, request) = (journal().await, request());
    // Invalid, since the CA did not see the record.
    world.ca().validate_through(&[elsewhere.servers()[0].address()]);
    issuer(&world).issue(&request, &journal).await.unwrap_err();
    world.ca().validate_through(&[world.servers()[0].address()]);
    let refusing =
        builder(&world).solver(stubborn(&world, |change| change.action == Action::Add)).build().unwrap();
    refusing.issue(&request, &journal).await.unwrap_err();
    assert_eq!(world.ca().orders().len(), 2);
    // For other names.
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let apex = vec![NAMES[1].parse().unwrap()];
    let for_apex = SigningRequest::new("site".parse().unwrap(), apex, &key).unwrap();
    issuer(&world).issue(&for_apex, &journal).await.unwrap();
    assert_eq!(world.ca().orders().len(), 3);
    // Forgotten by the CA.
    let known = journal.progress().await.unwrap().decode::<serde_json::Value>().unwrap();
    let url = known["order"].as_str().unwrap();
    let forgotten = serde_json::json!({ "state": "ordered", "order": format!("{url}0000") });
    journal.record(Progress::encode(&forgotten).unwrap()).await.unwrap();
    issuer(&world).issue(&for_apex, &journal).await.unwrap();
    assert_eq!(world.ca().orders().len(), 4);
}

#[tokio::test]
async fn what_cannot_be_removed_stays_on_record_until_it_is() {
    let world = world().await;
    let solver = stubborn(&world, |change| change.action == Action::Remove);
    let stuck = builder(&world).solver(solver).build().unwrap();
    let journal = journal().await;
    stuck.issue(&request(), &journal).await.unwrap();
    assert_eq!((records(&world).len(), journal.debts().await.len()), (2, 2));
    assert!(stuck.settle(&journal).await.is_err());
    issuer(&world).settle(&journal).await.unwrap();
    assert_eq!((records(&world).len(), journal.debts().await.len()), (0, 0));
}

#[tokio::test]
async fn an_order_that_is_taken_up_pays_what_an_earlier_call_left() {
    let world = world().await;
    let solver = stubborn(&world, |change| change.action == Action::Remove);
    let stuck = builder(&world).solver(solver).build().unwrap();
    let journal = journal().await;
    let request = request();
    stuck.issue(&request, &journal).await.unwrap();
    assert_eq!((records(&world).len(), journal.debts().await.len()), (2, 2));
    // The certificate is there already: nothing is proven, and so nothing presented, on the way to it.
    issuer(&world).issue(&request, &journal).await.unwrap();
    assert_eq!((records(&world).len(), journal.debts().await.len()), (0, 0));
    assert_eq!(world.ca().orders().len(), 1);
}

#[tokio::test]
async fn a_provider_that_refuses_is_named_and_the_order_waits() {
    let world = world().await;
    let refusing =
        builder(&world).solver(stubborn(&world, |change| change.action == Action::Add)).build().unwrap();
    let (journal, request) = (journal().await, request());
    let error = refusing.issue(&request, &journal).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth, "{error}");
    assert!(error.message.contains("stubborn"), "{error}");
    issuer(&world).issue(&request, &journal).await.unwrap();
    assert_eq!(world.ca().orders().len(), 1, "the same order goes on");
}

#[tokio::test]
async fn a_record_that_does_not_propagate_is_reported_and_removed() {
    let world = world().await;
    for server in world.servers() {
        server.set_behaviour(Behaviour::Refuse);
    }
    world.servers()[0].set_behaviour(Behaviour::Honest);
    let elapsed = Arc::new(Mutex::new(Duration::ZERO));
    let shown = elapsed.clone();
    let solver = dns01(&world)
        .timeout(Duration::from_secs(2))
        .on_report(move |report| *shown.lock().unwrap() = report.elapsed);
    let error = issue(&builder(&world).solver(solver).build().unwrap()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
    let last = format!("after {:.1} s", elapsed.lock().unwrap().as_secs_f64());
    assert!(error.message.contains(&last), "the last report was shown {last}: {error}");
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(count(&world, Verb::Challenge), 0, "the CA was told of a record that it cannot see");
    assert_eq!(records(&world), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_removed_after_a_failure_is_owed_again_when_it_is_presented_again() {
    let world = world().await;
    let (journal, request) = (journal().await, request());
    world.servers()[1].set_behaviour(Behaviour::Refuse);
    let hasty = builder(&world).solver(dns01(&world).timeout(Duration::from_secs(1))).build().unwrap();
    hasty.issue(&request, &journal).await.unwrap_err();
    assert_eq!((records(&world).len(), journal.debts().await.len()), (0, 0));
    // The same order goes on, and is to present the same.
    world.servers()[1].set_behaviour(Behaviour::Honest);
    issuer(&world).issue(&request, &journal).await.unwrap();
    assert_eq!(world.ca().orders().len(), 1);
    assert_eq!(records(&world), Vec::<String>::new(), "records were left that nobody owes");
}

#[tokio::test]
async fn bad_nonces_a_busy_ca_and_slow_signing_are_borne() {
    let world = world().await;
    world.ca().add_quirk(Quirk::RejectEveryNthNonce(2));
    world.ca().add_quirk(Quirk::SlowIssuance { polls: 1 });
    issue(&issuer(&world)).await.unwrap();
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_anything_is_sent() {
    let world = world().await;
    let error = build_error(builder(&world));
    assert!(error.to_string().contains("no solver"), "{error}");
    let solver = Dns01::new(provider(&world)).checker(checker(&world));
    let error = build_error(AcmeIssuer::builder("http://ca.example/dir").solver(solver));
    assert!(
        error.to_string().contains("http://ca.example/dir") && error.to_string().contains("https"),
        "{error}"
    );
    assert_eq!(error.class(), IssueErrorClass::Local);
}

#[tokio::test]
async fn an_account_that_the_ca_has_forgotten_is_registered_anew_with_the_same_key() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.json");
    issue(&builder(&world).account_file(&file).solver(dns01(&world)).build().unwrap()).await.unwrap();
    let kept = std::fs::read_to_string(&file).unwrap();
    let url: serde_json::Value = serde_json::from_str(&kept).unwrap();
    let url = url["accounts"][world.ca().directory_url()]["url"].as_str().unwrap().to_owned();
    std::fs::write(&file, kept.replace(&url, &format!("{url}0000"))).unwrap();

    let issuer = builder(&world).account_file(&file).solver(dns01(&world)).build().unwrap();
    let (one, two) = tokio::join!(issue(&issuer), issue(&issuer));
    one.unwrap();
    two.unwrap();
    assert_eq!(count(&world, Verb::NewAccount), 2);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept, "the same key has the same account");
}

#[tokio::test]
async fn the_account_key_is_kept_before_the_ca_hears_of_it() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.json");
    let kept = || -> serde_json::Value {
        let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        kept["accounts"][world.ca().directory_url()].clone()
    };
    world.ca().add_quirk(Quirk::LoseAnswer { verb: Verb::NewAccount, times: 1 });
    issue(&builder(&world).account_file(&file).solver(dns01(&world)).build().unwrap()).await.unwrap_err();
    let before = kept();
    assert!(before["url"].is_null() && before["private_key_pem"].is_string(), "nothing of use was kept");
    issue(&builder(&world).account_file(&file).solver(dns01(&world)).build().unwrap()).await.unwrap();
    assert_eq!(kept()["private_key_pem"], before["private_key_pem"]);
}

#[tokio::test]
async fn one_account_file_serves_two_cas_and_loses_neither_key() {
    let (staging, production) = (world().await, world().await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.json");
    for world in [&staging, &production, &staging] {
        issue(&builder(world).account_file(&file).solver(dns01(world)).build().unwrap()).await.unwrap();
    }
    assert_eq!((count(&staging, Verb::NewAccount), count(&production, Verb::NewAccount)), (1, 1));
}

#[tokio::test]
async fn a_damaged_account_is_named_and_its_content_is_not_shown() {
    let world = world().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("account.json");
    std::fs::write(&file, "{\"accounts\": \"-----BEGIN PRIVATE KEY----- hunter2\"}").unwrap();
    let issuer = builder(&world).account_file(&file).solver(dns01(&world)).build().unwrap();
    let error = issue(&issuer).await.unwrap_err();
    assert!(error.message.contains("line 1") && !error.message.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_useless_certificate_gives_its_order_up_and_the_next_call_makes_a_new_one() {
    let world = world().await;
    for flaw in [Flaw::Expired, Flaw::AnotherKey, Flaw::OtherNames] {
        let (journal, request, orders) = (journal().await, request(), world.ca().orders().len());
        world.ca().add_quirk(Quirk::Flaw(flaw));
        let error = issuer(&world).issue(&request, &journal).await.unwrap_err();
        assert_eq!(error.class, IssueErrorClass::Contract, "{flaw:?}: {error}");
        world.ca().clear_quirks();
        issuer(&world).issue(&request, &journal).await.unwrap();
        assert_eq!(world.ca().orders().len(), orders + 2, "{flaw:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_begins_later_waits_for_it_with_the_same_order() {
    let world = world().await;
    let (journal, request) = (journal().await, request());
    world.ca().add_quirk(Quirk::Flaw(Flaw::NotYetValid));
    for _ in 0..2 {
        issuer(&world).issue(&request, &journal).await.unwrap_err();
    }
    assert_eq!(world.ca().orders().len(), 1);
}

#[tokio::test]
async fn an_order_of_another_ca_is_left_and_a_new_one_made() {
    let (staging, production) = (world().await, world().await);
    let (journal, request) = (journal().await, request());
    let refusing =
        builder(&staging).solver(stubborn(&staging, |change| change.action == Action::Add)).build().unwrap();
    refusing.issue(&request, &journal).await.unwrap_err();
    issuer(&production).issue(&request, &journal).await.unwrap();
    assert_eq!((staging.ca().orders().len(), production.ca().orders().len()), (1, 1));
}

#[tokio::test]
async fn a_provider_that_hangs_is_given_up_at_the_timeout_and_cleaned_up_after() {
    let world = world().await;
    let solver = hanging(provider(&world), |change| change.action == Action::Add).checker(checker(&world));
    let issuer = builder(&world).solver(solver).timeout(Duration::from_secs(1)).build().unwrap();
    let journal = journal().await;
    let error = issuer.issue(&request(), &journal).await.unwrap_err();
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Transient, Retry::Backoff));
    assert!(error.message.contains("presenting the proofs"), "{error}");
    assert_eq!(journal.debts().await, [], "what may have been presented was removed");
}

#[tokio::test(start_paused = true)]
async fn a_ca_that_never_answers_is_given_up_at_the_timeout() {
    let solver = Dns01::new(Arc::new(MemoryProvider::new(["example.com".parse().unwrap()])));
    let issuer = AcmeIssuer::builder("https://ca.example/dir").http(Arc::new(Silence)).solver(solver);
    let error = issue(&issuer.build().unwrap()).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Transient);
    assert!(error.message.contains("the issuance took longer than 18"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_while_it_removes_is_given_up_too() {
    let memory = MemoryProvider::new(["example.com".parse().unwrap()]);
    let solver = hanging(Arc::new(memory), |change| change.action == Action::Remove);
    let issuer = AcmeIssuer::builder("https://ca.example/dir").solver(solver).build().unwrap();
    let journal = journal().await;
    journal.owe(&[debt(OWNER, "dns-01")]).await.unwrap();
    let error = issuer.settle(&journal).await.unwrap_err();
    assert!(error.message.contains("removing what was presented"), "{error}");
    assert_eq!(journal.debts().await.len(), 1);
}

#[tokio::test]
async fn a_timeout_names_the_server_that_lags_and_leaves_no_record() {
    let lag = Duration::from_secs(60);
    let world = World::builder().zone("example.com").servers(2).lag(1, lag).build().await.unwrap();
    let issuer = builder(&world).solver(dns01(&world)).timeout(Duration::from_secs(1)).build().unwrap();
    let error = issue(&issuer).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
    let lagging = world.servers()[1].address().ip().to_string();
    assert!(error.message.contains(&lagging), "{error} does not name {lagging}");
    assert_eq!(records(&world), Vec::<String>::new());
}

#[tokio::test]
async fn records_live_as_long_as_was_asked_for() {
    let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
    let solver = Dns01::new(Arc::new(provider.clone())).ttl(Duration::from_secs(7));
    solver.present(&[debt(OWNER, "dns-01").decode().unwrap()]).await.unwrap();
    assert_eq!(provider.records(&OWNER.parse().unwrap())["v"].ttl, Duration::from_secs(7));
}

#[tokio::test]
async fn a_zone_that_is_gone_does_not_keep_the_records_of_another_in_place() {
    let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
    provider.put(OWNER.parse().unwrap(), "v", Duration::from_secs(60));
    let solver = Dns01::new(Arc::new(provider.clone()));
    let issuer = AcmeIssuer::builder("https://ca.example/dir").solver(solver).build().unwrap();
    let journal = journal().await;
    let gone = debt("_acme-challenge.gone.example", "dns-01");
    journal.owe(&[gone.clone(), debt(OWNER, "dns-01")]).await.unwrap();
    let error = issuer.settle(&journal).await.unwrap_err();
    assert!(error.message.contains("gone.example"), "{error}");
    assert!(provider.is_empty());
    assert_eq!(journal.debts().await, [gone]);
}

#[tokio::test]
async fn debts_of_a_solver_that_is_not_here_any_more_are_not_forgotten() {
    let solver = Dns01::new(Arc::new(MemoryProvider::new(["example.com".parse().unwrap()])));
    let issuer = AcmeIssuer::builder("https://ca.example/dir").solver(solver).build().unwrap();
    for strange in [debt("http://app.example/x", "http-01"), Progress::encode(&"of another version").unwrap()]
    {
        let journal = journal().await;
        journal.owe(&[strange, debt(OWNER, "dns-01")]).await.unwrap();
        let error = issuer.settle(&journal).await.unwrap_err();
        assert!(error.message.contains("1 of the things on record"), "{error}");
        assert_eq!(journal.debts().await.len(), 1);
    }
}

#[tokio::test]
async fn the_first_solver_whose_challenge_is_offered_is_used_and_two_of_one_kind_are_refused() {
    let world = world().await;
    // The CA offers http-01 first.
    let issuer =
        builder(&world).solver(dns01(&world)).solver(NoHttp01).timeout(Duration::MAX).build().unwrap();
    issue(&issuer).await.unwrap();
    let error = build_error(builder(&world).solver(dns01(&world)).solver(dns01(&world)));
    assert!(error.to_string().contains("two solvers for dns-01"), "{error}");
}

#[tokio::test]
async fn without_agreement_the_terms_are_named() {
    let world = world().await;
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem());
    let issuer = AcmeIssuer::builder(world.ca().directory_url())
        .http(Arc::new(http.build().unwrap()))
        .solver(Dns01::new(provider(&world)).checker(checker(&world)))
        .build()
        .unwrap();
    let error = issue(&issuer).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert!(error.message.to_lowercase().contains("terms"), "{error}");
}
