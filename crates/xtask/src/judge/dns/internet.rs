//! The little internet of the corpus: the root, `test`, and every zone of every case on its servers.

use std::net::{IpAddr, SocketAddr};

use perennial_testkit::{
    dns::{AuthoritativeServer, Data, Endpoint},
    real::{Bind, Dnsdist, DnsdistBuilder, Knot, Nsd, Pdns, Unbound, UnboundBuilder},
};

use super::{
    host::{self, HOSTS, Host, PARENTS, Program},
    render::{Rendered, known, name_of, parents, render},
    story::{Signed, Story},
    text,
};

/// All servers; they stop when this is dropped.
pub(super) struct Internet {
    /// The primary, which takes updates.
    pub(super) bind: Bind,
    pub(super) lagging: Bind,
    /// The resolver that notes what it is asked.
    pub(super) main: Unbound,
    /// The resolver that somebody may have asked too early.
    pub(super) public: Unbound,
    /// The resolver that is asked over TLS and HTTPS too.
    pub(super) secure: Unbound,
    /// What stands before others, that one's HTTPS included.
    pub(super) dnsdist: Dnsdist,
    _others: Others,
}

struct Others {
    _parents: Bind,
    _follow: Bind,
    _knot: Knot,
    _nsd: Nsd,
    _pdns: Pdns,
    _resolvers: [Unbound; 2],
    _testkit: Vec<AuthoritativeServer>,
}

/// Name servers are asked here, and nowhere else: an NS record has no port.
const DNS_PORT: u16 = 53;
/// RFC 7858 §3.1.
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;

impl Internet {
    pub(super) async fn start(stories: &[Story]) -> Result<Self, String> {
        let mut zones = Vec::new();
        for story in stories {
            zones.extend(render(story).await?);
        }
        // Knot first: only it knows the keys that it makes.
        let knot = knot(&zones).await?;
        for rendered in zones.iter_mut().filter(|it| it.zone.signed == Signed::ByServer) {
            rendered.delegation.extend(text(knot.delegation_signers(&rendered.zone.origin).await)?);
        }
        let [root, test] = parents(stories, &zones).await?;
        let parents = Bind::builder().address(PARENTS).port(DNS_PORT);
        let parents = parents.fixed_zone(root.zone().clone()).fixed_zone(test.zone().clone());
        let parents = text(parents.start().await)?;
        let bind = bind(&zones).await?;
        let primary = bind.socket_addr();
        let follow = secondary(&zones, |program| matches!(program, Program::Secondary), primary);
        let lagging =
            secondary(&zones, |program| matches!(program, Program::Lagging | Program::Flapping), primary);
        let (follow, lagging) = (follow.await?, lagging.await?);
        let nsd = on(&zones, |program| matches!(program, Program::Nsd))
            .fold(Nsd::builder().address(address_of("nsd")).port(DNS_PORT), |builder, it| {
                builder.zone(it.file.clone())
            });
        let pdns = on(&zones, |program| matches!(program, Program::Pdns))
            .fold(Pdns::builder().address(address_of("pdns")).port(DNS_PORT), |builder, it| {
                builder.zone(it.file.clone())
            });
        let (root, anchor) = (parents.socket_addr(), root.key());
        let main = resolver("main", &zones, root).trust_anchor(anchor).log_queries();
        let public = resolver("public", &zones, root).trust_anchor(anchor);
        let (isp, vpc) = (resolver("isp", &zones, root), resolver("vpc", &zones, root));
        let secure = resolver("secure", &zones, root).trust_anchor(anchor).log_queries().tls(TLS_PORT);
        Ok(Self {
            lagging,
            main: text(main.start().await)?,
            public: text(public.start().await)?,
            secure: text(secure.start().await)?,
            dnsdist: text(faces(primary).start().await)?,
            _others: Others {
                _parents: parents,
                _follow: follow,
                _knot: knot,
                _nsd: text(nsd.start().await)?,
                _pdns: text(pdns.start().await)?,
                _resolvers: [text(isp.start().await)?, text(vpc.start().await)?],
                _testkit: testkit(&zones).await?,
            },
            bind,
        })
    }
}

async fn bind(zones: &[Rendered<'_>]) -> Result<Bind, String> {
    let served = |it: &&Rendered<'_>| {
        it.zone
            .hosts
            .iter()
            .any(|served| served.serves && host::host(&served.host).is_some_and(Host::needs_bind))
    };
    let builder = Bind::builder().address(host::BIND).port(DNS_PORT);
    let builder = builder.notify(SocketAddr::new(address_of("follow"), DNS_PORT));
    let builder = zones.iter().filter(served).fold(builder, |builder, it| match it.zone.signed {
        Signed::No => builder.zone(it.file.clone()),
        _ => builder.fixed_zone(it.file.clone()),
    });
    text(builder.start().await)
}

async fn secondary(
    zones: &[Rendered<'_>],
    program: fn(&Program) -> bool,
    primary: SocketAddr,
) -> Result<Bind, String> {
    let address = HOSTS.iter().find(|host| program(&host.program)).and_then(|host| host.addresses.first());
    let builder = Bind::builder().address(address.copied().unwrap_or(host::LAGGING)).port(DNS_PORT);
    let builder = on(zones, program).fold(builder, |builder, it| builder.zone(it.zone.origin.as_str()));
    text(builder.secondary_of(primary).start().await)
}

async fn knot(zones: &[Rendered<'_>]) -> Result<Knot, String> {
    let builder = Knot::builder().address(address_of("knot")).port(DNS_PORT);
    let builder = on(zones, |program| matches!(program, Program::Knot)).fold(builder, |builder, it| match it
        .zone
        .signed
    {
        Signed::ByServer => builder.signed(it.file.clone()),
        _ => builder.zone(it.file.clone()),
    });
    text(builder.start().await)
}

/// One dnsdist with all its faces.
fn faces(bind: SocketAddr) -> DnsdistBuilder {
    let all = "AllRule()";
    let mut builder = Dnsdist::builder()
        .port(DNS_PORT)
        .backend("", bind)
        .backend("machines", bind)
        .backend("machines", SocketAddr::new(host::LAGGING, DNS_PORT))
        .backend("isp", SocketAddr::new(host::ISP, DNS_PORT))
        .backend("secure", SocketAddr::new(host::SECURE, DNS_PORT))
        .https(SocketAddr::new(host::SECURE, HTTPS_PORT), "secure");
    for host in HOSTS {
        for address in host.addresses {
            builder = match &host.program {
                Program::Dnsdist(rules) => rules
                    .iter()
                    .fold(builder.face(*address), |builder, (when, what)| builder.rule(*address, when, what)),
                // Only the questions for the record itself: nobody else asks them, so turns are strict.
                Program::Flapping => {
                    builder.rule(*address, "QTypeRule(DNSQType.TXT)", "PoolAction('machines')")
                }
                Program::Intercepted => {
                    let recursion = "LuaAction(function(dq) dq.dh:setRD(true) return DNSAction.None end)";
                    builder.rule(*address, all, recursion).rule(*address, all, "PoolAction('isp')")
                }
                Program::SilentSix if address.is_ipv6() => builder.rule(*address, all, "DropAction()"),
                Program::SilentSix => builder.face(*address),
                _ => builder,
            };
        }
    }
    builder
}

/// Servers of the testkit: their zones have nothing but TXT records.
async fn testkit(zones: &[Rendered<'_>]) -> Result<Vec<AuthoritativeServer>, String> {
    let mut servers = Vec::new();
    for host in HOSTS {
        let (Program::Testkit(behaviour), [address]) = (&host.program, host.addresses) else { continue };
        let mut server = AuthoritativeServer::builder().behaviour(*behaviour);
        let served = |it: &&Rendered<'_>| it.zone.hosts.iter().any(|served| served.host == host.name);
        for it in zones.iter().filter(served) {
            let zone = text(perennial_testkit::dns::Zone::new(&it.zone.origin))?;
            for served in it.zone.hosts.iter().filter(|served| served.inside) {
                text(zone.add_name_server(&name_of(it.zone, served)?, known(served)?.addresses))?;
            }
            for line in &it.zone.records {
                let (name, value) = line.split_once(" TXT ").ok_or("the testkit's zones have TXT only")?;
                text(zone.add(&format!("{name}.{}", it.zone.origin), Data::txt(value)))?;
            }
            server = server.zone(&zone);
        }
        let endpoint = text(Endpoint::bind(&SocketAddr::new(*address, DNS_PORT).to_string()).await)?;
        servers.push(server.start(endpoint));
    }
    Ok(servers)
}

fn resolver(name: &str, zones: &[Rendered<'_>], root: SocketAddr) -> UnboundBuilder {
    let address = host::resolver(name).unwrap_or(host::MAIN);
    let minute = std::time::Duration::from_secs(60);
    let builder = Unbound::builder().address(address).port(DNS_PORT).stub_zone(".", [root]).cache(minute);
    let seen = zones.iter().filter(|it| it.zone.seen_by.iter().any(|resolver| resolver == name));
    seen.fold(builder, |builder, it| {
        let private = it.zone.hosts.iter().filter(|served| !served.above && !served.inside);
        let hosts = private.filter_map(|served| host::host(&served.host));
        let addresses = hosts.flat_map(|host| host.addresses.iter());
        builder.stub_zone(&it.zone.origin, addresses.map(|address| SocketAddr::new(*address, DNS_PORT)))
    })
}

/// The zones on hosts of a kind.
fn on<'a>(
    zones: &'a [Rendered<'a>],
    program: fn(&Program) -> bool,
) -> impl Iterator<Item = &'a Rendered<'a>> {
    zones.iter().filter(move |it| {
        let served = it.zone.hosts.iter().filter(|served| served.serves);
        served.filter_map(|served| host::host(&served.host)).any(|host| program(&host.program))
    })
}

fn address_of(name: &str) -> IpAddr {
    host::host(name).and_then(|host| host.addresses.first()).copied().unwrap_or(PARENTS)
}
