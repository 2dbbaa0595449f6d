//! Which solver proves which name, and who is next when one fails.

use std::time::Duration;

use async_trait::async_trait;
use perennial_acme::ChallengeKind;
use perennial_core::{DomainName, Retry};
use perennial_issuers::{AcmeIssuer, Error, Proof, Solver, Task, solver::Selector};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssueErrorClass, IssuedChain, Issuer as _, KeyAlgorithm, PrivateKey,
    SigningRequest,
};
use perennial_testkit::{
    CertificateAuthority, World,
    ca::{OrderStatus, Verb},
};

use crate::scene::{NoDns01, NoHttp01, NoTlsAlpn01, builder, dns01, journal, world};

const APP: &str = "app.site.example.com";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

async fn issue_for(
    issuer: &AcmeIssuer,
    spec: impl FnOnce(CertificateSpec) -> CertificateSpec,
    names: &[&str],
) -> Result<IssuedChain, IssueError> {
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spec = spec(CertificateSpec::new("site", names.iter().copied()).unwrap());
    issuer.issue(&SigningRequest::of(&spec, &key).unwrap(), &journal().await).await
}

fn orders(world: &World) -> Vec<OrderStatus> {
    world.ca().orders().iter().map(|order| order.status).collect()
}

/// A world whose CA looks at http-01 challenges where nobody answers.
async fn deaf_world() -> World {
    let authority = CertificateAuthority::builder().validate_http_at(([127, 0, 0, 1], 1).into());
    World::builder().zone("example.com").authority(authority).build().await.unwrap()
}

/// A solver that believes that it has done all.
struct Hopeful;

#[async_trait]
impl Solver for Hopeful {
    fn kind(&self) -> ChallengeKind {
        ChallengeKind::Http01
    }

    fn proof(&self, task: &Task<'_>) -> Result<Proof, Error> {
        Ok(Proof::new(&self.kind(), task.name.clone(), "somewhere", "something"))
    }

    async fn present(&self, _: &[Proof]) -> Result<(), Error> {
        Ok(())
    }

    async fn wait(&self, _: &[Proof], _: Duration) -> Result<(), Error> {
        Ok(())
    }

    async fn clean_up(&self, _: &[Proof]) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test]
async fn each_name_is_proven_by_the_solver_that_is_for_it() {
    let world = world().await;
    let issuer = builder(&world)
        .solver(NoDns01)
        .solver_for(Selector::new().zone(name("example.com")), NoHttp01)
        .solver_for(Selector::new().zone(name("site.example.com")), dns01(&world))
        .solver_for(Selector::new().zone(name("site.example.com")).label("team", "other"), NoTlsAlpn01)
        .build()
        .unwrap();
    let both = ["*.app.site.example.com", APP];
    issue_for(&issuer, |spec| spec, &both).await.unwrap();
    let elsewhere = issue_for(&issuer, |spec| spec, &["www.example.com"]).await.unwrap_err();
    assert!(elsewhere.message.contains("it was used"), "{elsewhere}");
    // The labelled solver is the better match, but the CA offers nothing for it.
    issue_for(&issuer, |spec| spec.label("team", "other"), &[APP]).await.unwrap();
}

#[tokio::test]
async fn what_no_solver_can_prove_is_refused_before_any_order() {
    let world = world().await;
    let only_http = builder(&world).solver(NoHttp01).build().unwrap();
    let elsewhere =
        builder(&world).solver_for(Selector::new().zone(name("example.org")), dns01(&world)).build().unwrap();
    for (issuer, asked, says) in
        [(&only_http, "*.app.site.example.com", "http-01"), (&elsewhere, APP, "zone example.org")]
    {
        let error = issue_for(issuer, |spec| spec, &[APP, asked]).await.unwrap_err();
        assert_eq!((error.class, error.retry()), (IssueErrorClass::Policy, Retry::Never));
        assert!(error.message.contains(says) && error.message.contains(asked), "{error}");
    }
    assert_eq!(world.ca().requests().iter().filter(|one| one.verb == Some(Verb::NewOrder)).count(), 0);
}

#[tokio::test]
async fn a_challenge_that_no_solver_solves_is_named_with_those_that_could() {
    let world = world().await;
    let issuer = builder(&world).solver(NoTlsAlpn01).build().unwrap();
    let error = issue_for(&issuer, |spec| spec, &[APP]).await.unwrap_err();
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Local, Retry::Never));
    assert!(error.message.contains("dns-01") && error.message.contains("tls-alpn-01"), "{error}");
}

#[tokio::test]
async fn what_the_ca_has_refused_is_tried_in_another_way_with_another_order() {
    let world = deaf_world().await;
    let issuer = builder(&world).solver(Hopeful).solver(dns01(&world)).build().unwrap();
    issue_for(&issuer, |spec| spec, &[APP]).await.unwrap();
    assert_eq!(orders(&world), [OrderStatus::Invalid, OrderStatus::Valid]);
}

#[tokio::test]
async fn without_another_way_what_the_ca_has_refused_is_the_end() {
    let world = deaf_world().await;
    let issuer = builder(&world)
        .solver(Hopeful)
        .solver_for(Selector::new().zone(name("example.org")), dns01(&world))
        .build()
        .unwrap();
    let error = issue_for(&issuer, |spec| spec, &[APP]).await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Validation, "{error}");
    assert_eq!(orders(&world), [OrderStatus::Invalid]);
}
