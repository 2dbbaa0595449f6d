//! The walk of an order, killed at every step and taken up again.

use std::sync::Arc;

use perennial_acme::{
    Account, AccountKey, CertificateChain, CertificationRequest, ChallengeKind, Error, Expected, Misbehaved,
    Misuse, NewOrder,
    call::Download,
    flow::{Errand, Event, Plan, State, Task, Walk},
};
use perennial_core::{Clock as _, DomainName, SystemClock, Timestamp};
use perennial_testkit::{
    World,
    ca::{Quirk, Verb},
    dns::Data,
};

use crate::{
    pki::{Authority, Key},
    script::{
        HOME, NOON, Stage, acct, after, authorization, challenge, identifiers, json, lost, names, order,
        problem, reply,
    },
    world::{register, soon},
};

/// What an errand is called, for the order in which they come.
fn name(errand: &Errand) -> &'static str {
    match errand {
        Errand::Record(State::Ordering) => "record ordering",
        Errand::Record(State::Ordered { .. }) => "record ordered",
        Errand::Record(State::Presenting { .. }) => "record presenting",
        Errand::Record(State::Answering { .. }) => "record answering",
        Errand::Record(State::Finalizing { .. }) => "record finalizing",
        Errand::Choose(_) => "choose",
        Errand::Present(_) => "present",
        Errand::Wait(_) => "wait",
        Errand::CleanUp(_) => "clean up",
        Errand::Take(_) => "take",
        _ => "?",
    }
}

fn choose_dns01(errand: &Errand) -> Option<Event> {
    let Errand::Choose(offers) = errand else { return None };
    let url =
        |offer: &perennial_acme::flow::Offer| Some(offer.state.challenge(&ChallengeKind::Dns01)?.url.clone());
    Some(Event::Chosen(offers.iter().filter_map(url).collect()))
}

/// What is said after an errand that was done.
fn done(errand: &Errand) -> Option<Event> {
    Some(match errand {
        Errand::Record(_) => Event::Recorded,
        Errand::Choose(_) => choose_dns01(errand)?,
        Errand::Present(_) => Event::Presented,
        Errand::Wait(_) => Event::Visible,
        Errand::CleanUp(_) => Event::CleanedUp,
        Errand::Take(_) => return None,
    })
}

/// Drives a walk whose errands need no doing.
async fn drive(account: &Account, walk: &mut Walk) -> Result<(Vec<&'static str>, Download), Error> {
    let mut errands = Vec::new();
    loop {
        let errand = account.advance(walk).await?;
        errands.push(name(&errand));
        match errand {
            Errand::Take(download) => return Ok((errands, *download)),
            errand => walk.handle(done(&errand).unwrap())?,
        }
    }
}

fn plan(count: usize, key: &Key, deadline: Timestamp) -> Plan {
    plan_for(&names(count), key, deadline)
}

fn plan_for(names: &[DomainName], key: &Key, deadline: Timestamp) -> Plan {
    let certification_request = CertificationRequest::parse(&key.csr(names)).unwrap();
    Plan { request: NewOrder::new(names), certification_request, deadline }
}

fn chain(key: &Key, count: usize) -> String {
    let authority = Authority::root("Root X").intermediate("Intermediate 1");
    authority.leaf(key, &names(count)) + &authority.pem()
}

fn created(stage: &Stage, status: &str, count: usize) {
    let location = format!("{HOME}/order/1");
    stage.on("POST /new-order", json(201, &order(status, count)).header("location", location));
}

#[tokio::test]
async fn each_state_is_written_down_before_what_it_announces_and_requests_are_as_few_as_can_be() {
    let (stage, key) = (Stage::new(), Key::new());
    let account = stage.account().await;
    created(&stage, "pending", 2);
    stage
        .on("POST /authz/0", json(200, &authorization(0, "pending")))
        .on("POST /authz/1", json(200, &authorization(1, "pending")))
        .on("POST /chall/0", json(200, &challenge(0, "processing")))
        .on("POST /chall/1", json(200, &challenge(1, "processing")))
        .on("POST /order/1", json(200, &order("ready", 2)))
        .on("POST /order/1/finalize", json(200, &order("processing", 2)))
        .on("POST /order/1", json(200, &order("valid", 2)))
        .on("POST /cert/1", reply(200, chain(&key, 2)));
    let mut walk = Walk::new(plan(2, &key, after(60))).unwrap();

    let mut log = Vec::new();
    loop {
        let errand = account.advance(&mut walk).await.unwrap();
        log.push((name(&errand), stage.script.seen().len()));
        match done(&errand) {
            Some(event) => walk.handle(event).unwrap(),
            None => break,
        }
    }
    assert_eq!(
        log,
        [
            ("record ordering", 3),
            ("record ordered", 4),
            ("choose", 6),
            ("record presenting", 6),
            ("present", 6),
            ("wait", 6),
            ("record answering", 6),
            ("clean up", 9),
            ("record finalizing", 9),
            ("take", 12),
        ]
    );
    assert_eq!(stage.script.requests(), 7 + 2 * 2 + 1);
}

#[tokio::test]
async fn an_order_that_is_born_ready_is_finalized_at_once() {
    let (stage, key) = (Stage::new(), Key::new());
    let account = stage.account().await;
    created(&stage, "ready", 1);
    stage
        .on("POST /order/1/finalize", json(200, &order("valid", 1)))
        .on("POST /cert/1", reply(200, chain(&key, 1)));
    let mut walk = Walk::new(plan(1, &key, after(60))).unwrap();
    let (errands, download) = drive(&account, &mut walk).await.unwrap();
    assert_eq!(errands, ["record ordering", "record finalizing", "take"]);
    assert_eq!(stage.script.requests(), 3 + 3);
    let public_key = key.spki();
    download
        .chain
        .verify(&Expected { public_key: &public_key, identifiers: &identifiers(&names(1)), now: NOON })
        .unwrap();
}

#[tokio::test]
async fn a_lost_finalize_answer_leads_to_a_look_at_the_order_and_not_to_a_second_one() {
    let (stage, key) = (Stage::new(), Key::new());
    let account = stage.account().await;
    created(&stage, "ready", 1);
    stage
        .on("POST /order/1/finalize", lost())
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /order/1", json(200, &order("processing", 1)))
        .on("POST /order/1", json(200, &order("valid", 1)))
        .on("POST /cert/1", reply(200, chain(&key, 1)));
    drive(&account, &mut Walk::new(plan(1, &key, after(60))).unwrap()).await.unwrap();
    stage.script.requests();
}

#[tokio::test]
async fn a_request_for_other_names_or_with_the_account_s_key_sends_nothing() {
    let key = Key::new();
    let certification_request = CertificationRequest::parse(&key.csr(&names(1))).unwrap();
    let plan = Plan { request: NewOrder::new(names(2)), certification_request, deadline: after(60) };
    let error = Walk::new(plan).unwrap_err();
    assert!(error.to_string().contains("a1.example.org"), "{error}");

    let stage = Stage::new();
    let key = AccountKey::generate().unwrap();
    let pair = rcgen::KeyPair::from_pem(key.to_pkcs8_pem().expose()).unwrap();
    let account = stage.client.account(&acct(1), Arc::new(key)).unwrap();
    let mut params = rcgen::CertificateParams::new(["example.org".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let own = CertificationRequest::parse(params.serialize_request(&pair).unwrap().der()).unwrap();
    let plan = Plan { request: NewOrder::new(names(1)), certification_request: own, deadline: after(60) };
    let error = drive(&account, &mut Walk::new(plan).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::CertificationRequest(_))), "{error}");
    assert_eq!(stage.script.requests(), 0);
}

#[tokio::test]
async fn an_order_that_goes_round_is_not_followed() {
    // Finalized, and pending again.
    let stage = Stage::new();
    let account = stage.account().await;
    created(&stage, "ready", 1);
    stage.on("POST /order/1/finalize", json(200, &order("pending", 1)));
    let error = drive(&account, &mut Walk::new(plan(1, &Key::new(), after(60))).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::Backwards { .. })), "{error}");

    // Ready after each finalization.
    let stage = Stage::new();
    let account = stage.account().await;
    created(&stage, "ready", 1);
    for _ in 0..2 {
        stage
            .on("POST /order/1/finalize", json(200, &order("processing", 1)))
            .on("POST /order/1", json(200, &order("ready", 1)));
    }
    let error = drive(&account, &mut Walk::new(plan(1, &Key::new(), after(60))).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(Misbehaved::Backwards { .. })), "{error}");
    stage.script.requests();
}

#[tokio::test]
async fn nothing_is_proven_that_was_not_asked_for() {
    let stage = Stage::new();
    let account = stage.account().await;
    created(&stage, "pending", 1);
    let mut strange = authorization(0, "pending");
    strange["identifier"]["value"] = "victim.example.net".into();
    stage.on("POST /authz/0", json(200, &strange));
    let error = drive(&account, &mut Walk::new(plan(1, &Key::new(), after(60))).unwrap()).await.unwrap_err();
    let Error::Misbehaved(Misbehaved::AuthorizationName { name, .. }) = error else { panic!("{error}") };
    assert_eq!(name, "victim.example.net");
}

#[tokio::test]
async fn the_proof_of_an_ancestor_is_one_that_was_asked_for() {
    let stage = Stage::new();
    let account = stage.account().await;
    let name: DomainName = "a.b.example.org".parse().unwrap();
    let mut placed = order("pending", 1);
    placed["identifiers"][0]["value"] = name.as_str().into();
    stage
        .on("POST /new-order", json(201, &placed).header("location", format!("{HOME}/order/1")))
        .on("POST /authz/0", json(200, &authorization(0, "pending")));
    let mut walk = Walk::new(plan_for(&[name], &Key::new(), after(60))).unwrap();
    for expected in ["record ordering", "record ordered", "choose"] {
        let errand = account.advance(&mut walk).await.unwrap();
        assert_eq!(self::name(&errand), expected);
        walk.handle(done(&errand).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn a_failed_order_names_all_reasons_and_its_leftovers_can_be_given_up() {
    let stage = Stage::new();
    let account = stage.account().await;
    created(&stage, "pending", 2);
    let mut failed = authorization(1, "invalid");
    failed["challenges"][1]["error"] =
        serde_json::json!({ "type": "urn:ietf:params:acme:error:dns", "detail": "no TXT" });
    stage
        .on("POST /authz/0", json(200, &authorization(0, "pending")))
        .on("POST /authz/1", json(200, &authorization(1, "pending")))
        .on("POST /chall/0", json(200, &challenge(0, "processing")))
        .on("POST /chall/1", json(200, &challenge(1, "processing")))
        .on("POST /order/1", json(200, &order("invalid", 2)))
        .on("POST /authz/0", json(200, &authorization(0, "pending")))
        .on("POST /authz/1", json(200, &failed));
    let mut walk = Walk::new(plan(2, &Key::new(), after(60))).unwrap();
    let error = drive(&account, &mut walk).await.unwrap_err();
    assert!(error.to_string().ends_with("is invalid: a1.example.org: dns: no TXT"), "{error}");
    assert_eq!(walk.state().tasks().len(), 2, "what was presented is still known");

    stage.on("POST /authz/0", json(200, &authorization(0, "deactivated")));
    let given_up = account.send(walk.leftovers()).await;
    assert!(given_up.iter().all(Result::is_ok));
    let seen = stage.script.seen();
    assert_eq!(seen.last().unwrap().payload, r#"{"status":"deactivated"}"#);
    stage.script.requests();
}

#[tokio::test]
async fn an_order_that_cannot_be_taken_up_is_left_for_a_new_one() {
    let state = State::Ordered { order: format!("{HOME}/order/9").parse().unwrap() };
    for old in [
        problem(404, "malformed"),
        problem(403, "unauthorized"),
        json(200, &order("invalid", 1)),
        json(200, &order("ready", 2)),
    ] {
        let stage = Stage::new();
        let account = stage.account().await;
        stage.on("POST /order/9", old);
        let mut walk = Walk::resume(plan(1, &Key::new(), after(60)), state.clone()).unwrap();
        let errand = account.advance(&mut walk).await.unwrap();
        assert_eq!(name(&errand), "record ordering");
        stage.script.requests();
    }
    let elsewhere = State::Ordered { order: "https://other.test/order/9".parse().unwrap() };
    let stage = Stage::new();
    let account = stage.account().await;
    let mut walk = Walk::resume(plan(1, &Key::new(), after(60)), elsewhere).unwrap();
    assert_eq!(name(&account.advance(&mut walk).await.unwrap()), "record ordering");
}

#[tokio::test]
async fn an_order_that_cannot_be_looked_at_now_is_kept() {
    let state = State::Ordered { order: format!("{HOME}/order/1").parse().unwrap() };
    let stage = Stage::new();
    let account = stage.account().await;
    stage.on("POST /order/1", problem(503, "serverInternal"));
    let mut walk = Walk::resume(plan(1, &Key::new(), after(60)), state.clone()).unwrap();
    assert!(account.advance(&mut walk).await.is_err());
    assert_eq!(*walk.state(), state);
    // The same walk can be polled again.
    stage.on("POST /order/1", json(200, &order("ready", 1)));
    assert_eq!(name(&account.advance(&mut walk).await.unwrap()), "record finalizing");
}

#[tokio::test]
async fn the_same_names_are_ordered_one_after_the_other() {
    let stage = Stage::new();
    let account = stage.account().await;
    let first = account.flight(&NewOrder::new(names(2))).await;
    let mut reversed = names(2);
    reversed.reverse();
    let second = account.clone();
    let waiting = tokio::spawn(async move { second.flight(&NewOrder::new(reversed)).await });
    drop(account.flight(&NewOrder::new(names(1))).await); // Other names wait for nobody.
    drop(account.flight(&NewOrder::new(names(2)).profile("short")).await);
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    drop(waiting.await.unwrap());
}

/// A world whose CA and DNS are real, in which a walk dies and is taken up again.
struct Scene {
    world: World,
    account: Account,
    key: Key,
    names: Vec<DomainName>,
}

impl Scene {
    async fn new() -> Self {
        let world = World::builder().zone("example.com").build().await.unwrap();
        let account = register(world.ca().directory_url(), world.ca().https_root_pem()).await;
        let names = ["app.example.com", "*.app.example.com"].map(|name| name.parse().unwrap()).to_vec();
        Self { world, account, key: Key::new(), names }
    }

    fn plan(&self) -> Plan {
        plan_for(&self.names, &self.key, soon())
    }

    fn present(&self, tasks: &[Task], offers: &[perennial_acme::flow::Offer]) {
        for task in tasks {
            let offer = offers.iter().find(|offer| offer.url == task.authorization).unwrap();
            let authorization = self.account.offered(offer);
            let challenge = authorization.dns01().unwrap();
            let value = Data::txt(challenge.dns01_value().unwrap());
            let at = challenge.dns01_record_name().unwrap();
            // It may be there since before the crash.
            let _ = self.world.zone().add(at.as_str(), value);
        }
    }

    /// Walks on from a state until the errand with that number, which is done but never told of, or to the end.
    async fn walk(&self, state: Option<State>, dies_after: usize) -> (State, Option<CertificateChain>) {
        let mut recorded = state.clone().unwrap_or_default();
        let mut offered = Vec::new();
        let mut walk = match state {
            Some(state) => Walk::resume(self.plan(), state).unwrap(),
            None => Walk::new(self.plan()).unwrap(),
        };
        for step in 0.. {
            let errand = self.account.advance(&mut walk).await.unwrap();
            match &errand {
                Errand::Record(state) => recorded = state.clone(),
                Errand::Choose(offers) => offered.clone_from(offers),
                Errand::Present(tasks) => self.present(tasks, &offered),
                Errand::Take(download) => return (recorded, Some(download.chain.clone())),
                Errand::Wait(_) | Errand::CleanUp(_) => {}
            }
            if step == dies_after {
                break;
            }
            walk.handle(done(&errand).unwrap()).unwrap();
        }
        (recorded, None)
    }
}

#[tokio::test]
async fn a_walk_that_dies_after_any_errand_goes_on_with_the_same_order() {
    for dies_after in 0..10 {
        let scene = Scene::new().await;
        let (recorded, chain) = scene.walk(None, dies_after).await;
        let chain = match chain {
            Some(chain) => chain,
            None => scene.walk(Some(recorded.clone()), usize::MAX).await.1.unwrap(),
        };
        let (public_key, now) = (scene.key.spki(), SystemClock::new().now());
        chain
            .verify(&Expected { public_key: &public_key, identifiers: &identifiers(&scene.names), now })
            .unwrap();
        assert_eq!(scene.world.ca().orders().len(), 1, "after errand {dies_after}, from {recorded:?}");
        assert_eq!(scene.world.ca().certificates().len(), 1, "after errand {dies_after}");
        let answers = scene.world.ca().requests();
        let told = answers.iter().filter(|request| request.verb == Some(Verb::Challenge)).count();
        assert_eq!(told, 2, "no challenge is answered twice: after errand {dies_after}");
    }
}

#[tokio::test]
async fn a_lost_answer_at_any_verb_costs_no_second_order_but_at_new_order() {
    for (verb, orders) in [
        (Verb::NewOrder, 2),
        (Verb::Authorization, 1),
        (Verb::Challenge, 1),
        (Verb::Order, 1),
        (Verb::Finalize, 1),
        (Verb::Certificate, 1),
    ] {
        let scene = Scene::new().await;
        scene.world.ca().add_quirk(Quirk::LoseAnswer { verb, times: 1 });
        let mut state = None;
        let mut chain = None;
        // A process that dies of every failure, and is started again.
        for _ in 0..3 {
            let mut walk = match state.take() {
                Some(state) => Walk::resume(scene.plan(), state).unwrap(),
                None => Walk::new(scene.plan()).unwrap(),
            };
            let mut offered = Vec::new();
            while let Ok(errand) = scene.account.advance(&mut walk).await {
                match &errand {
                    Errand::Choose(offers) => offered.clone_from(offers),
                    Errand::Present(tasks) => scene.present(tasks, &offered),
                    Errand::Take(download) => chain = Some(download.chain.clone()),
                    _ => {}
                }
                let Some(event) = done(&errand) else { break };
                walk.handle(event).unwrap();
            }
            state = Some(walk.state().clone());
            if chain.is_some() {
                break;
            }
        }
        assert!(chain.is_some(), "{verb:?}");
        assert_eq!(scene.world.ca().orders().len(), orders, "{verb:?}");
        assert_eq!(scene.world.ca().certificates().len(), 1, "{verb:?}");
    }
}
