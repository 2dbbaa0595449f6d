//! The little internet of the corpus: the root, `test`, and every zone of every case on its servers.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use perennial_testkit::{
    dns::{AuthoritativeServer, Data, Endpoint},
    real::{
        Bind, Dnsdist, DnsdistBuilder, Knot, Nsd, Pdns, Signatures, SignedZone, Unbound, UnboundBuilder,
        ZoneFile,
    },
};

use super::{
    host::{self, HOSTS, Host, PARENTS, Program},
    story::{Served, Signed, Story, Zone},
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
    _others: Others,
}

struct Others {
    _parents: Bind,
    _follow: Bind,
    _knot: Knot,
    _nsd: Nsd,
    _pdns: Pdns,
    _dnsdist: Dnsdist,
    _resolvers: [Unbound; 2],
    _testkit: Vec<AuthoritativeServer>,
}

/// Name servers are asked here, and nowhere else: an NS record has no port.
const DNS_PORT: u16 = 53;

/// A zone as it is served, and what the zone above has to say about it.
struct Rendered<'a> {
    zone: &'a Zone,
    story: &'a Story,
    file: ZoneFile,
    delegation: Vec<String>,
}

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
        let (parents, anchor) = parents(stories, &zones).await?;
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
        let root = parents.socket_addr();
        let main = resolver("main", &zones, root).trust_anchor(&anchor).log_queries();
        let public = resolver("public", &zones, root).trust_anchor(&anchor);
        let (isp, vpc) = (resolver("isp", &zones, root), resolver("vpc", &zones, root));
        Ok(Self {
            lagging,
            main: text(main.start().await)?,
            public: text(public.start().await)?,
            _others: Others {
                _parents: parents,
                _follow: follow,
                _knot: knot,
                _nsd: text(nsd.start().await)?,
                _pdns: text(pdns.start().await)?,
                _resolvers: [text(isp.start().await)?, text(vpc.start().await)?],
                _dnsdist: text(faces(primary).start().await)?,
                _testkit: testkit(&zones).await?,
            },
            bind,
        })
    }
}

/// The zones of a case, the deepest first, because what is above a signed zone tells its key.
async fn render(story: &Story) -> Result<Vec<Rendered<'_>>, String> {
    let mut zones: Vec<&Zone> = story.zones.iter().collect();
    zones.sort_by_key(|zone| std::cmp::Reverse(zone.origin.split('.').count()));
    let mut rendered: Vec<Rendered<'_>> = Vec::new();
    for zone in zones {
        let below = rendered.iter().filter(|it| above(story, it.zone) == Some(zone.origin.as_str()));
        let below: Vec<String> = below.flat_map(|it| it.delegation.clone()).collect();
        let plain = ZoneFile::written(&zone.origin, master_file(zone, &below)?);
        let (file, keys) = sign(plain, zone.signed).await?;
        rendered.push(Rendered { zone, story, file, delegation: [delegation(zone)?, keys].concat() });
    }
    Ok(rendered)
}

/// The closest zone of the same case above this one, if there is one.
fn above<'a>(story: &'a Story, zone: &Zone) -> Option<&'a str> {
    let origins = story.zones.iter().map(|other| other.origin.as_str());
    origins
        .filter(|origin| zone.origin.strip_suffix(origin).is_some_and(|rest| rest.ends_with('.')))
        .max_by_key(|origin| origin.len())
}

fn master_file(zone: &Zone, below: &[String]) -> Result<String, String> {
    let Zone { origin, negative_ttl, .. } = zone;
    let inside = zone.hosts.iter().filter(|served| served.inside);
    let servers: Vec<(String, &Host)> =
        inside.map(|served| Ok((name_of(zone, served)?, known(served)?))).collect::<Result<_, String>>()?;
    let primary = servers.first().map_or("invalid.", |(name, _)| name);
    let mut text = format!(
        "$TTL 60\n$ORIGIN {origin}.\n@ SOA {primary} hostmaster.invalid. 1 3600 600 86400 {negative_ttl}\n"
    );
    for (name, host) in &servers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "@ NS {name}");
        if name.ends_with(&format!(".{origin}.")) {
            host.addresses.iter().for_each(|address| text.push_str(&format!("{}\n", record(name, *address))));
        }
    }
    for line in zone.records.iter().chain(below) {
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

/// What the zone above says of it, without keys.
fn delegation(zone: &Zone) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for served in zone.hosts.iter().filter(|served| served.above) {
        let name = name_of(zone, served)?;
        lines.push(format!("{}. NS {name}", zone.origin));
        if served.in_bailiwick {
            lines.extend(known(served)?.addresses.iter().map(|address| record(&name, *address)));
        }
    }
    Ok(lines)
}

async fn sign(zone: ZoneFile, how: Signed) -> Result<(ZoneFile, Vec<String>), String> {
    let signatures = match how {
        Signed::No | Signed::ByServer => return Ok((zone, Vec::new())),
        Signed::Expired => Signatures::Expired,
        Signed::ByStranger | Signed::Stripped | Signed::Well => Signatures::Valid,
    };
    let signed = text(SignedZone::sign(&zone, PARENTS, signatures).await)?;
    Ok(match how {
        Signed::Stripped => (zone, signed.delegation_signers().to_vec()),
        Signed::ByStranger => {
            let stranger = text(SignedZone::sign(&zone, PARENTS, signatures).await)?;
            (signed.zone().clone(), stranger.delegation_signers().to_vec())
        }
        _ => (signed.zone().clone(), signed.delegation_signers().to_vec()),
    })
}

/// The root and `test`, signed, on one server; and the key to trust.
async fn parents(stories: &[Story], zones: &[Rendered<'_>]) -> Result<(Bind, String), String> {
    let name = "a.parents.test.";
    let head = format!("$TTL 60\n@ SOA {name} hostmaster.invalid. 1 3600 600 86400 1\n@ NS {name}\n");
    let mut lines = format!("$ORIGIN test.\n{head}a.parents A {PARENTS}\n");
    for host in HOSTS {
        for address in host.addresses {
            let _ = writeln!(lines, "{}", record(&host.domain(), *address));
        }
    }
    let top = zones.iter().filter(|it| above(it.story, it.zone).is_none());
    let delegations = top.flat_map(|it| &it.delegation);
    for line in delegations.chain(stories.iter().flat_map(|story| &story.above)) {
        let _ = writeln!(lines, "{line}");
    }
    let test = ZoneFile::written("test", lines);
    let test = text(SignedZone::sign(&test, PARENTS, Signatures::Valid).await)?;
    let keys = test.delegation_signers().join("\n");
    let root = format!("$ORIGIN .\n{head}test. NS {name}\n{name} A {PARENTS}\n{keys}\n");
    let root = text(SignedZone::sign(&ZoneFile::written(".", root), PARENTS, Signatures::Valid).await)?;
    let bind = Bind::builder().address(PARENTS).port(DNS_PORT);
    let bind = bind.fixed_zone(root.zone().clone()).fixed_zone(test.zone().clone()).start().await;
    Ok((text(bind)?, root.key().to_owned()))
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
        .backend("isp", SocketAddr::new(host::ISP, DNS_PORT));
    for host in HOSTS {
        for address in host.addresses {
            builder = match &host.program {
                Program::Dnsdist(rules) => rules
                    .iter()
                    .fold(builder.face(*address), |builder, (when, what)| builder.rule(*address, when, what)),
                // Only the questions for the record itself: nobody else asks them, so they strictly take turns.
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

fn known(served: &Served) -> Result<&'static Host, String> {
    host::host(&served.host).ok_or_else(|| format!("there is no host {:?}", served.host))
}

fn name_of(zone: &Zone, served: &Served) -> Result<String, String> {
    let host = known(served)?;
    let inside = || format!("ns-{}.{}.", host.name.replace('_', "-"), zone.origin);
    Ok(if served.in_bailiwick { inside() } else { host.domain() })
}

fn address_of(name: &str) -> IpAddr {
    host::host(name).and_then(|host| host.addresses.first()).copied().unwrap_or(PARENTS)
}

fn record(name: &str, address: IpAddr) -> String {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    format!("{name} {kind} {address}")
}
