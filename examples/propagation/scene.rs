//! Who looks, and where.

use std::sync::Arc;

use perennial::{
    core::{DomainName, ReqwestClient},
    propagation::{Agreement, Checker, CheckerBuilder, NameServer, Policy, Protocol},
};
use perennial_testkit::{
    World,
    dns::{Behaviour, Data},
};

use crate::{
    args::{self, Look},
    failure::Failure,
    world::{self, BEHIND},
};

/// A checker, and the world that it lives in where that is our own.
pub(crate) struct Scene {
    pub(crate) checker: Checker,
    /// It ends when this is dropped.
    _world: Option<World>,
}

impl Scene {
    /// For a look at a TXT record. In the embedded world the values were published a moment ago.
    pub(crate) async fn for_record(
        look: &Look,
        vantage: &[NameServer],
        values: &[String],
    ) -> Result<Self, Failure> {
        if !look.world.embedded {
            let checker = demanding(look, vantage, builder(&look.world, vantage)?).build()?;
            return Ok(Self { checker, _world: None });
        }
        require_inside(&look.name)?;
        let world = world::builder().servers(3).behaviour(2, Behaviour::ServerFailure).build().await;
        let world = world.map_err(|error| broken(&error))?;
        for value in values {
            world.zone().add(look.name.as_str(), Data::txt(value)).map_err(|error| broken(&error))?;
        }
        announce(&world, look.world.json, &["", BEHIND, ", which has lost it and answers SERVFAIL"]);
        let checker = world::checker(&world).nat64(look.world.nat64.clone());
        let checker = demanding(look, vantage, checker).build()?;
        Ok(Self { checker, _world: Some(world) })
    }

    /// For a look at CAA records. In the embedded world one CA may issue, for wildcards by one method only.
    pub(crate) async fn for_caa(caa: &args::Caa) -> Result<Self, Failure> {
        let policy = if caa.recursive_only { Policy::RecursiveOnly } else { Policy::All };
        if !caa.world.embedded {
            let checker = builder(&caa.world, &[])?.policy(policy).build()?;
            return Ok(Self { checker, _world: None });
        }
        require_inside(&caa.name.base())?;
        let world = world::builder().build().await.map_err(|error| broken(&error))?;
        for (tag, value) in [("issue", "ca.example"), ("issuewild", "ca.example; validationmethods=dns-01")] {
            let data = Data::Caa { flags: 0, tag: tag.to_owned(), value: value.to_owned() };
            world.zone().add("example.com", data).map_err(|error| broken(&error))?;
        }
        // Nothing is new here: a server that is behind would contradict the other.
        world.servers().iter().for_each(|server| server.set_freshness(Default::default()));
        announce(&world, caa.world.json, &[]);
        let checker = world::checker(&world).nat64(caa.world.nat64.clone()).policy(policy).build()?;
        Ok(Self { checker, _world: Some(world) })
    }
}

/// The real world, as the command line describes it.
fn builder(world: &args::World, vantage: &[NameServer]) -> Result<CheckerBuilder, Failure> {
    let mut checker = Checker::builder()
        .authoritative_servers(world.authoritative.clone())
        .nat64(world.nat64.clone())
        .authoritative_port(world.port);
    if !world.nameserver.is_empty() {
        checker = checker.nameservers(world.nameserver.clone());
    }
    let mut zones: Vec<(&DomainName, Vec<NameServer>)> = Vec::new();
    for (zone, server) in &world.nameserver_for {
        match zones.iter_mut().find(|(known, _)| *known == zone) {
            Some((_, servers)) => servers.push(server.clone()),
            None => zones.push((zone, vec![server.clone()])),
        }
    }
    for (zone, servers) in zones {
        checker = checker.nameservers_for(zone.clone(), servers);
    }
    if world.iterative {
        checker = checker.iterative();
    }
    let for_zones = world.nameserver_for.iter().map(|(_, server)| server);
    let mut servers = world.authoritative.iter().chain(&world.nameserver).chain(for_zones).chain(vantage);
    if servers.any(|server| server.protocol() == Protocol::Https) {
        let client = ReqwestClient::new().map_err(|error| Failure::cannot_tell(error.to_string()))?;
        checker = checker.http(Arc::new(client));
    }
    Ok(checker)
}

fn demanding(look: &Look, vantage: &[NameServer], checker: CheckerBuilder) -> CheckerBuilder {
    let agreement = if look.vantage_must_agree { Agreement::Required } else { Agreement::Reported };
    let mut checker = checker
        .policy(look.policy)
        .vantage_points(vantage.to_vec())
        .vantage_agreement(agreement)
        .dnssec(look.dnssec);
    if let Some(grace) = look.grace {
        checker = checker.grace(grace);
    }
    if let Some(settle) = look.settle {
        checker = checker.settle(settle);
    }
    checker
}

fn require_inside(name: &DomainName) -> Result<(), Failure> {
    let inside = name.as_str() == "example.com" || name.as_str().ends_with(".example.com");
    if inside {
        return Ok(());
    }
    let below = format!("_acme-challenge.{}", world::DOMAIN);
    Err(Failure::usage(format!(
        "--embedded knows example.com only, not {name}: use {below}, or leave it out"
    )))
}

fn announce(world: &World, quiet: bool, ailments: &[&str]) {
    if quiet {
        return;
    }
    eprintln!("This is a little internet of our own.");
    world::described(world, ailments).iter().for_each(|line| eprintln!("{line}"));
    eprintln!();
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::cannot_tell(format!("the embedded world: {error}"))
}
