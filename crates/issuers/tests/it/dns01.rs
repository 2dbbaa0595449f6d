//! TXT records where others have a hand in the zone: aliases, controllers, several solvers.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::SystemClock;
use perennial_issuers::{
    AcmeIssuer, Dns01, Proof, Solver as _,
    solver::{Selector, dns01::Delegation},
};
use perennial_lifecycle::{
    CertificateSpec, EventKind, IssueError, IssueErrorClass, IssuedChain, Issuer as _, Journal, Keeper,
    KeyAlgorithm, MemoryStore, Outcome, PrivateKey, SigningRequest, Stage,
};
use perennial_propagation::Checker;
use perennial_testkit::{
    World,
    dns::{Data, Freshness},
};

use crate::scene::{NAMES, OWNER, builder, checker, counted, dns01, issue, issuer, provider, spec, world};

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
    let proof = Proof::new(
        &perennial_acme::ChallengeKind::Dns01,
        "app.site.example.com".parse().unwrap(),
        OWNER,
        "value",
    );
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
