//! Where the records of a name really are: aliases are followed (RFC 1034 §3.6.2).

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use perennial_core::DomainName;
use tokio::time;

use super::{Checker, LIMIT, Shared};
use crate::{
    Error, Policy,
    probe::{self, Asked, Finding, MAX_CHAIN, Role},
    target::{Route, Target},
    watch::{Located, Place},
    wire::{Query, RecordType},
};

/// The most addresses that are asked about one name.
const MOST_ASKED: usize = 16;
/// The most zones that begin one below the other before a name is reached.
const MOST_CUTS: usize = 8;

impl Checker {
    /// The name itself, and behind it the names that it is an alias of, one of the other: records are put at the last
    /// one. Whoever has a name's challenges answered elsewhere points `_acme-challenge` there (RFC 8555 §8.4 follows
    /// it).
    ///
    /// The zones' own name servers are asked, never a resolver, which would remember that there is nothing. So under
    /// [`Policy::RecursiveOnly`] and [`Policy::WaitOnly`], where none of them is asked, no alias is known. One that a
    /// wildcard has made is none: a record that is put at the name takes its place (RFC 4592 §2.2.1). Takes 30 seconds
    /// at most, usually well under one.
    ///
    /// # Errors
    /// [`Error::AliasesLeadNowhere`] when they lead in a circle or do not end; other errors when a name's zone cannot
    /// be found, or no server of it answers.
    pub async fn aliases(&self, name: &DomainName) -> Result<Vec<DomainName>, Error> {
        if matches!(self.shared.policy, Policy::RecursiveOnly | Policy::WaitOnly(_)) {
            return Ok(vec![name.clone()]);
        }
        let late = |_| Error::TooSlow { name: name.clone(), limit: LIMIT };
        time::timeout(LIMIT, self.shared.follow(name)).await.map_err(late)?
    }
}

impl Shared {
    async fn follow(&self, name: &DomainName) -> Result<Vec<DomainName>, Error> {
        let mut trail = Trail::new(name.clone());
        while let Some(target) = self.alias_of(trail.end()).await.map_err(|error| trail.dead_end(error))? {
            if self.is_made_by_wildcard(trail.end(), &target).await {
                break;
            }
            trail.follow(target)?;
        }
        Ok(trail.names)
    }

    /// Whether a name beside it that nobody has made is the same alias.
    async fn is_made_by_wildcard(&self, name: &DomainName, target: &DomainName) -> bool {
        let Some(Ok(beside)) = name.parent().map(|parent| parent.child(NOBODYS)) else { return false };
        matches!(self.alias_of(&beside).await, Ok(Some(other)) if other == *target)
    }

    /// What a name is an alias of, by the first server of its zone that knows.
    async fn alias_of(&self, name: &DomainName) -> Result<Option<DomainName>, Error> {
        let mut place = Place::Holding(name.clone());
        for _ in 0..MOST_CUTS {
            let Located { zone, targets, .. } = self.locator.verified(&place).await?;
            let zone = zone.ok_or_else(|| Error::NoZone { name: name.clone(), tried: Vec::new() })?;
            match self.first_useful(name, &zone.apex, &targets).await {
                Some(Finding::Alias { target }) => return Ok(Some(target)),
                Some(Finding::Referral(delegation)) => place = Place::Delegated(delegation),
                Some(_) => return Ok(None),
                None => {
                    self.locator.forget(&zone.apex);
                    return Err(Error::NobodyKnows { name: name.clone(), zone: zone.apex });
                }
            }
        }
        Err(Error::AliasesLeadNowhere {
            name: name.clone(),
            reason: "too many zones lie above it".to_owned(),
        })
    }

    async fn first_useful(
        &self,
        name: &DomainName,
        apex: &DomainName,
        targets: &[Target],
    ) -> Option<Finding> {
        let query = Query::authoritative(name.clone(), RecordType::Txt);
        let reachable = targets.iter().filter(|target| target.route == Route::Exists).take(MOST_ASKED);
        let ask = |target: &Target| {
            let (endpoint, query) = (target.endpoint.clone(), &query);
            async move { self.exchange.exchange(&endpoint, query).await }
        };
        let mut flights: FuturesUnordered<_> = reachable.map(ask).collect();
        while let Some(reply) = flights.next().await {
            let Ok(reply) = reply else { continue };
            let asked = Asked { name, values: &[], role: Role::Authority(apex) };
            match probe::interpret(&asked, &reply.answer) {
                Finding::Lame(_) => {}
                finding => return Some(finding),
            }
        }
        None
    }
}

/// A label that nobody has made.
const NOBODYS: &str = "_perennial-no-such-name";

/// The names on the way.
#[derive(Debug)]
struct Trail {
    /// The name that was asked for, and those behind it.
    names: Vec<DomainName>,
    end: DomainName,
}

impl Trail {
    fn new(name: DomainName) -> Self {
        Self { end: name.clone(), names: vec![name] }
    }

    const fn end(&self) -> &DomainName {
        &self.end
    }

    fn follow(&mut self, target: DomainName) -> Result<(), Error> {
        if self.names.contains(&target) {
            return Err(self.nowhere(&format!("they go round in a circle to {target}")));
        }
        if self.names.len() > MAX_CHAIN {
            return Err(self.nowhere(&format!("there are more than {MAX_CHAIN}")));
        }
        self.end = target.clone();
        self.names.push(target);
        Ok(())
    }

    /// What a failure means: at the name itself what it says, behind an alias that the alias leads nowhere.
    fn dead_end(&self, error: Error) -> Error {
        if self.names.len() > 1 { self.nowhere(&error) } else { error }
    }

    fn nowhere(&self, reason: &dyn std::fmt::Display) -> Error {
        let way: Vec<&str> = self.names.iter().map(DomainName::as_str).collect();
        let name = self.names.first().unwrap_or(&self.end).clone();
        Error::AliasesLeadNowhere { name, reason: format!("{}: {reason}", way.join(" -> ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NAME, Scripted, checker, code, healthy, last_octet, name, record, says, soa};
    use super::*;
    use crate::wire::{Data, ResponseCode};
    use std::{sync::Arc, time::Duration};

    /// The zone `example.com` as it should be, where names are aliases of others.
    fn scene(aliases: &'static [(&'static str, &'static str)]) -> Arc<Scripted> {
        Scripted::new(move |server, query| {
            let asked = query.name.as_str();
            if last_octet(server).is_none() || query.record_type != RecordType::Txt {
                return healthy(server, query);
            }
            let alias = aliases.iter().find(|(owner, _)| match owner.strip_prefix("*.") {
                Some(base) => asked.ends_with(base) && !aliases.iter().any(|(other, _)| *other == asked),
                None => *owner == asked,
            });
            let said = match alias {
                Some((_, target)) => says(true, vec![record(asked, Data::Cname(name(target)))], vec![]),
                None => says(true, vec![], vec![soa("example.com")]),
            };
            (Duration::ZERO, said)
        })
    }

    async fn followed(aliases: &'static [(&'static str, &'static str)]) -> Result<Vec<String>, Error> {
        let checker = checker(&scene(aliases), &["10.0.0.1"]).build().unwrap();
        let names = checker.aliases(&name(NAME)).await?;
        Ok(names.into_iter().map(|name| name.to_string()).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn aliases_are_followed_to_where_the_records_are() {
        assert_eq!(followed(&[]).await.unwrap(), [NAME]);
        let one = followed(&[(NAME, "one.www.example.com")]).await.unwrap();
        assert_eq!(one, [NAME, "one.www.example.com"]);
        let two = followed(&[(NAME, "one.www.example.com"), ("one.www.example.com", "two.www.example.com")]);
        assert_eq!(two.await.unwrap(), [NAME, "one.www.example.com", "two.www.example.com"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_circle_is_named() {
        let circle = followed(&[(NAME, "one.www.example.com"), ("one.www.example.com", NAME)]).await;
        let error = circle.unwrap_err();
        let way = format!("{NAME} -> one.www.example.com: they go round in a circle to {NAME}");
        assert!(
            matches!(&error, Error::AliasesLeadNowhere { reason, .. } if reason.contains(&way)),
            "{error}"
        );
        let itself = followed(&[(NAME, NAME)]).await.unwrap_err();
        assert!(matches!(itself, Error::AliasesLeadNowhere { .. } | Error::NobodyKnows { .. }), "{itself}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_end_is_named_with_the_way_to_it() {
        let exchange = Scripted::new(|server, query| match last_octet(server) {
            Some(1 | 2)
                if query.record_type == RecordType::Txt && query.name.as_str().starts_with("dead") =>
            {
                (Duration::ZERO, code(ResponseCode::REFUSED))
            }
            Some(1 | 2) if query.record_type == RecordType::Txt && query.name.as_str() == NAME => {
                let alias = record(NAME, Data::Cname(name("dead.www.example.com")));
                (Duration::ZERO, says(true, vec![alias], vec![]))
            }
            Some(1 | 2) if query.record_type == RecordType::Txt => {
                (Duration::ZERO, says(true, vec![], vec![soa("example.com")]))
            }
            _ => healthy(server, query),
        });
        let error =
            checker(&exchange, &["10.0.0.1"]).build().unwrap().aliases(&name(NAME)).await.unwrap_err();
        for part in
            [format!("the aliases of {NAME} "), format!("{NAME} -> dead.www.example.com: no name server")]
        {
            assert!(error.to_string().contains(&part), "{error}");
        }
    }

    #[test]
    fn a_chain_without_end_is_named() {
        let mut trail = Trail::new(name("n0.example"));
        let followed: Result<Vec<()>, Error> =
            (1..100).map(|number| trail.follow(name(&format!("n{number}.example")))).collect();
        let error = followed.unwrap_err();
        assert!(error.to_string().contains("more than 16"), "{error}");
        assert!(trail.names.len() <= MAX_CHAIN + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_wildcard_has_made_is_no_alias() {
        let made = followed(&[("*.www.example.com", "cdn.www.example.com")]).await.unwrap();
        assert_eq!(made, [NAME]);
        // One that somebody has made beside it is one.
        let beside = followed(&[(NAME, "own.example.com"), ("*.www.example.com", "cdn.example.com")]);
        assert_eq!(beside.await.unwrap(), [NAME, "own.example.com"]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_name_server_is_asked_no_alias_is_known_and_no_resolver_hears_the_name() {
        let exchange = scene(&[(NAME, "one.www.example.com")]);
        let checker = checker(&exchange, &["10.0.0.1"]);
        let names =
            checker.policy(Policy::RecursiveOnly).build().unwrap().aliases(&name(NAME)).await.unwrap();
        assert_eq!(names, [name(NAME)]);
        assert!(exchange.log().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn servers_that_say_nothing_are_named_with_their_zone() {
        let exchange = Scripted::new(|server, query| match last_octet(server) {
            Some(1 | 2) if query.record_type == RecordType::Txt => {
                (Duration::ZERO, code(ResponseCode::SERVFAIL))
            }
            _ => healthy(server, query),
        });
        let checker = checker(&exchange, &["10.0.0.1"]).build().unwrap();
        let error = checker.aliases(&name(NAME)).await.unwrap_err();
        assert_eq!(error, Error::NobodyKnows { name: name(NAME), zone: name("example.com") });
    }
}
