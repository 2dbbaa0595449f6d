//! How many round trips does a check take, one after the other?
//!
//! Three the first time, one when the zone is known. The servers are the testkit's, on loopback, and each question
//! is sent late by the round trip that is asked about; the resolver answers as one whose cache is warm. What is
//! printed is the wall time of the median round at each distance, and how many round trips it grows by when
//! everybody moves away, the worst of two: what does not grow is this machine's own time, its timers' for the most
//! part.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use perennial_benches::{median, usage};
use perennial_propagation::{
    Checker, Exchange, NameServer, Wanted,
    transport::{Endpoint, Network, Reply, TransportError},
    wire::Query,
};
use perennial_testkit::dns::{AuthoritativeServer, Data, RecursiveServer, Zone};

use crate::laboratory::say;

const DISTANCES: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(300)];
const ROUNDS: usize = 5;
const NAME: &str = "_acme-challenge.www.example.com";

pub(crate) fn figures() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let world = World::new().await?;
        let (mut cold, mut warm) = (Vec::new(), Vec::new());
        for distance in DISTANCES {
            let (mut first, mut next) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let checker = world.checker(distance)?;
                first.push(check(&checker).await?.as_secs_f64() * 1e3);
                next.push(check(&checker).await?.as_secs_f64() * 1e3);
            }
            let (first, next) = (median(first), median(next));
            let millis = distance.as_secs_f64() * 1e3;
            say(&format!("figure propagation/cold_at_{millis}ms {first:.0} ms"));
            say(&format!("figure propagation/warm_at_{millis}ms {next:.0} ms"));
            cold.push((millis, first));
            warm.push((millis, next));
        }
        say(&format!("figure propagation/cold_rtt {:.2} round trips most=3", round_trips(&cold)));
        say(&format!("figure propagation/warm_rtt {:.2} round trips most=1", round_trips(&warm)));
        Ok(())
    })
}

async fn check(checker: &Checker) -> Result<Duration, Box<dyn std::error::Error>> {
    let wanted = Wanted::new(NAME.parse()?, ["token".to_owned()]);
    let start = usage();
    let report = checker.check(&wanted).await?;
    let took = usage().since(start).wall;
    if report.verdict.is_ready() { Ok(took) } else { Err(report.to_string().into()) }
}

/// `com` on one server, `example.com` on two, a resolver that knows where `com` is.
struct World {
    resolver: RecursiveServer,
    servers: Vec<AuthoritativeServer>,
}

impl World {
    async fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let addresses = [2, 3, 4].map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        let [one, two, registry] = addresses;
        let (com, zone) = (Zone::new("com")?, Zone::new("example.com")?);
        com.add_name_server("gtld.com", &[registry])?;
        for (host, address) in [("ns1.example.com", one), ("ns2.example.com", two)] {
            zone.add_name_server(host, &[address])?;
            com.delegate("example.com", host, &[address])?;
        }
        zone.add("www.example.com", Data::A(Ipv4Addr::LOCALHOST))?;
        zone.add(NAME, Data::txt("token"))?;
        let endpoints = perennial_testkit::dns::Endpoint::bind_set(&addresses).await?;
        let serve = |(zone, endpoint)| AuthoritativeServer::builder().zone(zone).start(endpoint);
        let servers: Vec<_> = [&zone, &zone, &com].into_iter().zip(endpoints).map(serve).collect();
        let top: Vec<_> = servers.last().map(AuthoritativeServer::address).into_iter().collect();
        let resolver = RecursiveServer::builder().hint(".", &top)?;
        let resolver = resolver.start(perennial_testkit::dns::Endpoint::bind("127.0.0.1:0").await?);
        Ok(Self { resolver, servers })
    }

    /// A checker that knows nothing yet, so far away from everybody.
    fn checker(&self, distance: Duration) -> Result<Checker, Box<dyn std::error::Error>> {
        let port = self.servers.first().map_or(53, |server| server.address().port());
        let builder = Checker::builder()
            .nameservers([NameServer::at(self.resolver.address())])
            .authoritative_port(port)
            .exchange(Arc::new(Distant { network: Network::new(), distance }));
        Ok(builder.build()?)
    }
}

struct Distant {
    network: Network,
    distance: Duration,
}

#[async_trait]
impl Exchange for Distant {
    async fn exchange(&self, server: &Endpoint, query: &Query) -> Result<Reply, TransportError> {
        tokio::time::sleep(self.distance).await;
        self.network.exchange(server, query).await
    }
}

/// By how many times the distance the time grows from one distance to the next, at most.
fn round_trips(times: &[(f64, f64)]) -> f64 {
    let growth = times.windows(2).filter_map(|pair| match pair {
        [(near, sooner), (far, later)] => Some((later - sooner) / (far - near)),
        _ => None,
    });
    growth.fold(0.0, f64::max)
}
