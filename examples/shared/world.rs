//! The little internet that examples bring along: what a cluster sees whose own domain is the certificate's.

use std::time::Duration;

use perennial::propagation::{Checker, CheckerBuilder, NameServer};
use perennial_testkit::{World, WorldBuilder};

/// The domain of the certificate, and of the cluster whose resolver we are stuck with.
pub(crate) const DOMAIN: &str = "app.site.example.com";

/// Long enough to watch the checker wait, short enough to watch.
const LAG: Duration = Duration::from_secs(3);
/// The same for people.
pub(crate) const BEHIND: &str = ", 3 s behind";

/// `example.com` on two authoritative servers, the second of which sees each change seconds later, and a
/// resolver that claims [`DOMAIN`] for itself and denies everything in it.
pub(crate) fn builder() -> WorldBuilder {
    World::builder().zone("example.com").servers(2).lag(1, LAG).liar(DOMAIN)
}

/// Who is there, a line each, and what ails the servers.
pub(crate) fn described(world: &World, ailments: &[&str]) -> Vec<String> {
    let ailing = ailments.iter().copied().chain(std::iter::repeat(""));
    let servers = world.servers().iter().zip(ailing);
    let mut lines: Vec<String> = servers
        .map(|(server, ailment)| format!("  name server {} for example.com{ailment}", server.address()))
        .collect();
    let resolver = world.resolver();
    lines.push(format!("  resolver    {resolver}, which claims {DOMAIN} for itself, as in-cluster DNS does"));
    lines
}

/// A checker that lives there.
pub(crate) fn checker(world: &World) -> CheckerBuilder {
    Checker::builder()
        .nameservers([NameServer::at(world.resolver())])
        .authoritative_port(world.authoritative_port())
}
