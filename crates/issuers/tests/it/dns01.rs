//! TXT records where others have a hand in the zone: aliases, controllers, several solvers.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_acme::ChallengeKind;
use perennial_core::{DomainName, SystemClock};
use perennial_issuers::{
    AcmeIssuer, Dns01, Error, Proof, Solver as _,
    solver::{Selector, dns01::Delegation},
};
use perennial_lifecycle::{
    CertificateSpec, EventKind, IssueError, IssueErrorClass, IssuedChain, Issuer as _, Journal, Keeper,
    KeyAlgorithm, MemoryStore, Outcome, PrivateKey, SigningRequest, Stage,
};
use perennial_propagation::{Checker, Verdict};
use perennial_providers::{
    Action, Applied, Capabilities, Change, DnsProvider, Error as ProviderError, MemoryProvider, Zone,
};
use perennial_testkit::{
    World,
    dns::{Behaviour, Data, Freshness},
};

use crate::scene::{
    NAMES, OWNER, builder, checker, counted, dns01, hooked, issue, issuer, provider, spec, world,
};

const ELSEWHERE: &str = "_acme-challenge.app.acme.example.com";

/// A world in which the challenges of the certificate's names are answered elsewhere.
async fn delegated(target: &str) -> World {
    let world = world().await;
    world.zone().add(OWNER, Data::Cname(target.parse().unwrap())).unwrap();
    world
}

async fn issue_for(issuer: &AcmeIssuer, names: &[&str]) -> Result<IssuedChain, IssueError> {
    let spec = CertificateSpec::new("site", names.iter().copied()).unwrap();
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let journal = Journal::in_memory(spec.clone(), Arc::new(SystemClock::new())).await.unwrap();
    let issued = issuer.issue(&SigningRequest::of(&spec, &key).unwrap(), &journal).await;
    if issued.is_ok() {
        assert!(journal.debts().await.is_empty());
    }
    issued
}

#[tokio::test]
async fn a_delegated_name_is_proven_where_its_alias_leads_and_nothing_stays_there() {
    let world = delegated(ELSEWHERE).await;
    world.zone().add(ELSEWHERE, Data::txt("foreign")).unwrap();
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let told = seen.clone();
    let solver = dns01(&world).on_report(move |report| {
        told.lock().unwrap().insert(report.wanted.name().to_string());
    });
    issue(&builder(&world).solver(solver).build().unwrap()).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from([ELSEWHERE.to_owned()]), "it was looked for elsewhere");
    assert_eq!(world.zone().txt_values(ELSEWHERE), ["foreign"]);
}

#[tokio::test]
async fn what_is_owed_is_written_down_where_it_really_is() {
    let world = delegated(ELSEWHERE).await;
    let proof = Proof::new(&ChallengeKind::Dns01, "app.site.example.com".parse().unwrap(), OWNER, "value");
    let located = dns01(&world).locate(vec![proof.clone()]).await.unwrap().remove(0);
    assert_eq!((located.at.as_str(), located.name.as_str()), (ELSEWHERE, "app.site.example.com"));
    assert_eq!(world.zone().txt_values(ELSEWHERE), Vec::<String>::new(), "a look has left something there");
    // Whoever removes it goes where it was put, wherever the alias leads by then.
    let solver = dns01(&world);
    solver.present(std::slice::from_ref(&located)).await.unwrap();
    world.zone().remove_all(OWNER).unwrap();
    assert_eq!(world.zone().txt_values(ELSEWHERE), ["value"]);
    solver.clean_up(&[located]).await.unwrap();
    assert_eq!(world.zone().txt_values(ELSEWHERE), Vec::<String>::new());
    assert_eq!(dns01(&world).locate(vec![proof]).await.unwrap()[0].at, OWNER);
}

#[tokio::test]
async fn an_alias_that_leads_out_of_reach_is_named_with_the_way() {
    for target in ["acme-challenges.com", "app.acme.elsewhere.net"] {
        let error = issue(&issuer(&delegated(target).await)).await.unwrap_err();
        assert!(error.message.contains(&format!("{OWNER} -> {target}")), "{error}");
    }
}

#[tokio::test]
async fn aliases_that_lead_in_a_circle_are_named_before_anything_is_put_there() {
    let world = delegated("other.site.example.com").await;
    world.zone().add("other.site.example.com", Data::Cname(OWNER.parse().unwrap())).unwrap();
    let error = issue(&issuer(&world)).await.unwrap_err();
    assert!(error.message.contains("circle"), "{error}");
    assert_ne!(error.class, IssueErrorClass::Local, "{error}");
}

#[tokio::test]
async fn a_wildcard_that_is_an_alias_is_no_delegation() {
    let world = world().await;
    world.zone().add("*.site.example.com", Data::Cname("cdn.elsewhere.net".parse().unwrap())).unwrap();
    issue(&issuer(&world)).await.unwrap();
}

#[tokio::test]
async fn whoever_follows_no_alias_puts_the_record_at_the_name_itself() {
    let world = delegated(ELSEWHERE).await;
    let solver = dns01(&world).delegation(Delegation::Ignore);
    let error = issue(&builder(&world).solver(solver).build().unwrap()).await.unwrap_err();
    // This server takes no record beside an alias.
    assert!(error.message.contains(OWNER) && error.message.contains("alias"), "{error}");
}

/// Two servers, of which one shows nothing until it is told to: there is something to wait for.
async fn held_up() -> Arc<World> {
    let world = world().await;
    world.servers()[1].set_freshness(Freshness::Frozen);
    Arc::new(world)
}

/// Removes both records as often as that, and lets the one server show what is there after that.
fn controller(world: &Arc<World>, rounds: usize) -> tokio::task::JoinHandle<()> {
    let world = world.clone();
    tokio::spawn(async move {
        let are_there = || world.zone().wait_until(|zone| zone.txt_values(OWNER).len() == 2);
        for _ in 0..rounds {
            are_there().await;
            world.zone().remove_all(OWNER).unwrap();
        }
        are_there().await;
        world.servers()[1].set_freshness(Freshness::Current);
    })
}

#[tokio::test]
async fn records_that_a_controller_removes_are_put_there_again_and_told() {
    let world = held_up().await;
    let controller = controller(&world, 2);
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = told.clone();
    let solver = dns01(&world).look_again(Duration::from_millis(200));
    let keeper = Keeper::builder(Arc::new(MemoryStore::new()))
        .issuer("default".parse().unwrap(), Arc::new(builder(&world).solver(solver).build().unwrap()))
        .observer(move |event| {
            if let EventKind::Stage { stage: Stage::PresentedAgain { at } } = &event.kind {
                seen.lock().unwrap().push(at.clone());
            }
        })
        .build();
    keeper.wish(spec()).await.unwrap();
    let outcome = keeper.step(spec().id()).await.unwrap();
    assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
    controller.await.unwrap();
    assert_eq!(*told.lock().unwrap(), [OWNER, OWNER]);
    assert_eq!(world.zone().txt_values(OWNER), Vec::<String>::new());
}

#[tokio::test]
async fn a_controller_that_never_stops_is_the_failure() {
    let world = held_up().await;
    let controller = controller(&world, 100);
    let solver = dns01(&world).look_again(Duration::from_millis(20));
    let error = issue(&builder(&world).solver(solver).build().unwrap()).await.unwrap_err();
    controller.abort();
    assert!(error.message.contains("was removed 6 times"), "{error}");
    assert_eq!(error.class, IssueErrorClass::Validation);
}

#[tokio::test]
async fn all_challenges_of_an_order_are_presented_in_one_batch_and_removed_in_one() {
    let world = world().await;
    let batches = Arc::new(Mutex::new(Vec::new()));
    let provider = counted(provider(&world), &batches);
    let solver = Dns01::new(Arc::new(provider)).checker(checker(&world));
    let issuer = builder(&world).solver(solver).build().unwrap();
    let names = [NAMES[0], NAMES[1], "a.example.com", "b.example.com", "*.c.example.com"];
    issue_for(&issuer, &names).await.unwrap();
    assert_eq!(*batches.lock().unwrap(), [5, 5]);
}

#[tokio::test]
async fn each_solver_looks_through_name_servers_of_its_own() {
    let world = world().await;
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let noting = |solver: Dns01, by: &'static str| {
        let seen = seen.clone();
        solver.on_report(move |report| {
            let name = report.wanted.name().to_string();
            let asked = report.stages.first().map_or(0, |stage| stage.rows.len());
            seen.lock().unwrap().insert((by, name, asked));
        })
    };
    let given = Checker::builder()
        .nameservers([world.resolver().to_string().parse().unwrap()])
        .authoritative_servers([world.primary().to_string().parse().unwrap()])
        .build()
        .unwrap();
    let internal = Dns01::new(provider(&world)).checker(given);
    let issuer = builder(&world)
        .solver(noting(dns01(&world), "public"))
        .solver_for(Selector::new().zone("corp.example.com".parse().unwrap()), noting(internal, "internal"))
        .build()
        .unwrap();
    issue_for(&issuer, &["www.example.com", "db.corp.example.com"]).await.unwrap();
    let seen = seen.lock().unwrap();
    let of = |by: &str, name: &str| seen.iter().filter(|row| row.0 == by && row.1.ends_with(name)).count();
    assert!(of("public", "www.example.com") > 0 && of("internal", "db.corp.example.com") > 0, "{seen:?}");
    assert_eq!(of("public", "db.corp.example.com") + of("internal", "www.example.com"), 0, "{seen:?}");
    // One was given to the internal one; the zone has two.
    let most = |by: &str| seen.iter().filter(|row| row.0 == by).map(|row| row.2).max();
    assert_eq!((most("internal"), most("public")), (Some(1), Some(2)));
}

/// The name of a report, and whether all was well in it.
type Seen = (String, bool);

/// What a solver has reported so far.
fn noted(solver: Dns01) -> (Dns01, Arc<Mutex<Vec<Seen>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let solver = solver.on_report(move |report| {
        told.lock().unwrap().push((report.wanted.name().to_string(), report.verdict == Verdict::Ready));
    });
    (solver, seen)
}

#[tokio::test]
async fn what_was_removed_after_it_was_seen_is_waited_for_once_more() {
    const OTHER: &str = "_acme-challenge.www.example.com";
    let world = world().await;
    let (solver, seen) = noted(dns01(&world).look_again(Duration::from_millis(50)));
    let proof = |name: &str, at| Proof::new(&ChallengeKind::Dns01, name.parse().unwrap(), at, "value");
    let proofs = [proof("app.site.example.com", OWNER), proof("www.example.com", OTHER)];
    solver.present(&proofs[..1]).await.unwrap();
    world.servers()[1].set_freshness(Freshness::Frozen);
    // Of the second one this server knows nothing.
    solver.present(&proofs[1..]).await.unwrap();
    let told = Mutex::new(0);
    let tell = |stage: Stage| {
        assert_eq!(stage, Stage::PresentedAgain { at: OWNER.to_owned() });
        *told.lock().unwrap() += 1;
    };
    let others = async {
        let is_seen = || seen.lock().unwrap().contains(&(OWNER.to_owned(), true));
        while !is_seen() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // It is over with the first one by now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.zone().remove_all(OWNER).unwrap();
        world.zone().wait_until(|zone| zone.txt_values(OWNER).len() == 1).await;
        seen.lock().unwrap().clear();
        world.servers()[1].set_freshness(Freshness::Current);
    };
    let waited = solver.wait_and_tell(&proofs, Duration::from_secs(30), &tell);
    let (waited, ()) = tokio::join!(waited, others);
    waited.unwrap();
    assert_eq!(*told.lock().unwrap(), 1);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.last(), Some(&(OWNER.to_owned(), true)), "{seen:?}");
    assert!(seen.contains(&(OTHER.to_owned(), true)), "{seen:?}");
    solver.clean_up(&proofs).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_cannot_say_what_is_there_is_not_told_again_while_it_is_waited_for() {
    let world = held_up().await;
    let batches = Arc::new(Mutex::new(Vec::new()));
    let hook = hooked(Arc::new(counted(provider(&world), &batches)));
    let solver = Dns01::new(hook).checker(checker(&world)).look_again(Duration::from_millis(20));
    let shows = async {
        world.zone().wait_until(|zone| zone.txt_values(OWNER).len() == 2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.servers()[1].set_freshness(Freshness::Current);
    };
    let issuer = builder(&world).solver(solver).build().unwrap();
    let (issued, ()) = tokio::join!(issue(&issuer), shows);
    issued.unwrap();
    assert_eq!(*batches.lock().unwrap(), [2, 2], "there once, and away once");
}

/// Takes what is added first, and nothing after that.
struct Once {
    inner: Arc<dyn DnsProvider>,
    adds: Mutex<usize>,
}

#[async_trait]
impl DnsProvider for Once {
    fn kind(&self) -> &str {
        "once"
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, ProviderError> {
        self.inner.zone(name).await
    }

    async fn apply(&self, zone: &Zone, changes: &[Change]) -> Result<Applied, ProviderError> {
        if changes.iter().any(|change| change.action == Action::Add) {
            let mut adds = self.adds.lock().unwrap();
            *adds += 1;
            if *adds > 1 {
                let (provider, reason) = ("once".to_owned(), "that was enough".to_owned());
                return Err(ProviderError::Permission { provider, reason, fault: None });
            }
        }
        self.inner.apply(zone, changes).await
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, ProviderError> {
        self.inner.values(zone, name).await
    }
}

#[tokio::test]
async fn what_could_not_be_put_there_again_is_neither_told_nor_counted() {
    let world = held_up().await;
    let provider = Arc::new(Once { inner: provider(&world), adds: Mutex::new(0) });
    let solver = Dns01::new(provider.clone())
        .checker(checker(&world))
        .look_again(Duration::from_millis(10))
        .timeout(Duration::from_millis(500));
    let proofs = [Proof::new(&ChallengeKind::Dns01, "app.site.example.com".parse().unwrap(), OWNER, "value")];
    solver.present(&proofs).await.unwrap();
    world.zone().remove_all(OWNER).unwrap();
    let told = Mutex::new(Vec::new());
    let tell = |stage: Stage| told.lock().unwrap().push(stage);
    let error = solver.wait_and_tell(&proofs, Duration::from_secs(30), &tell).await.unwrap_err();
    assert!(matches!(error, Error::Propagation(_)), "{error}");
    assert_eq!(*told.lock().unwrap(), []);
    assert!(*provider.adds.lock().unwrap() > 7, "it was tried again and again");
}

#[tokio::test]
async fn where_nobody_knows_whether_it_is_an_alias_the_record_is_put_nowhere() {
    let world = world().await;
    let provider = MemoryProvider::new(["example.com".parse().unwrap()]);
    let solver = Dns01::new(Arc::new(provider)).checker(checker(&world));
    let name = "app.site.example.com".parse().unwrap();
    let proofs = vec![Proof::new(&ChallengeKind::Dns01, name, OWNER, "value")];
    assert_eq!(solver.locate(proofs.clone()).await.unwrap(), proofs);
    world.servers().iter().for_each(|server| server.set_behaviour(Behaviour::ServerFailure));
    let error = solver.locate(proofs.clone()).await.unwrap_err();
    assert!(error.to_string().contains(OWNER) && error.retry().is_worthwhile(), "{error}");
    world.servers().iter().for_each(|server| server.set_behaviour(Behaviour::Honest));
    assert_eq!(solver.locate(proofs.clone()).await.unwrap(), proofs, "it passes");
}

#[tokio::test]
async fn a_zone_that_the_resolvers_do_not_know_is_the_providers_if_it_has_it() {
    const INSIDE: &str = "_acme-challenge.db.corp.internal";
    let world = world().await;
    let inside = MemoryProvider::new(["corp.internal".parse().unwrap()]);
    let proofs =
        vec![Proof::new(&ChallengeKind::Dns01, "db.corp.internal".parse().unwrap(), INSIDE, "value")];
    let solver = Dns01::new(Arc::new(inside)).checker(checker(&world));
    assert_eq!(solver.locate(proofs.clone()).await.unwrap(), proofs);
    let outside = MemoryProvider::new(["example.net".parse().unwrap()]);
    let solver = Dns01::new(Arc::new(outside)).checker(checker(&world));
    let error = solver.locate(proofs).await.unwrap_err();
    assert!(matches!(error, Error::Propagation(_)), "what the DNS says is told: {error}");
}
