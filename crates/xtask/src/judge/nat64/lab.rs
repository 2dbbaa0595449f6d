//! The networks of `judge nat64`, and who is in them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    process::Command,
};

use perennial_testkit::{
    ChildGuard,
    real::{Bind, Component, Missing, Nsd, Tool, Unbound, ZoneFile},
};
use tempfile::TempDir;

use super::{Setting, text};
use crate::{
    judge::namespace::{Namespace, ip},
    shell,
};

/// The networks; everything in them stops when this is dropped.
pub(super) struct Lab {
    pub(super) gateway: Namespace,
    translators: Vec<Translator>,
    _far: Namespace,
    _servers: (Bind, [Nsd; 4], Unbound),
    _resolvers: Vec<Unbound>,
}

/// tayga, with a prefix.
struct Translator {
    prefix: &'static str,
    guard: ChildGuard,
    _directory: TempDir,
}

/// The IPv4 addresses of name servers, by what they are to a translator (RFC 6052 §3.1, RFC 6890).
pub(super) const GLOBAL: Ipv4Addr = Ipv4Addr::new(45, 53, 53, 53);
const DOCUMENTATION: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
const SHARED: Ipv4Addr = Ipv4Addr::new(100, 64, 53, 53);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 53, 53, 53);
/// A name server that has IPv6 by itself.
const SIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x53, 0, 0, 0, 0, 0x53);
/// A resolver that has IPv4 only.
pub(super) const FAR_RESOLVER: Ipv4Addr = Ipv4Addr::new(45, 53, 53, 54);

/// The prefixes that are translated: the well-known one (RFC 6052 §2.1), and one of the network's own for
/// each length (§2.2).
pub(super) const PREFIXES: [&str; 7] = [
    "64:ff9b::/96",
    "2001:db8:64::/96",
    "3fff:64:64:64::/64",
    "3fff:56:56:5600::/56",
    "3fff:48:48::/48",
    "3fff:40:4000::/40",
    "3fff:32::/32",
];

const DNS_PORT: u16 = 53;

/// Where the resolver answers that makes addresses with that prefix; without one, that which makes none.
pub(super) fn resolver(prefix: Option<&str>) -> SocketAddr {
    let number = PREFIXES.iter().position(|other| Some(*other) == prefix).map_or(0x10, |at| 0x11 + at);
    let last = u16::try_from(number).unwrap_or_default();
    SocketAddr::new(Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, last).into(), DNS_PORT)
}

impl Lab {
    pub(super) async fn start(setting: &Setting) -> Result<Self, String> {
        let tayga = text(setting.components.find(Tool::Tayga))?;
        let (gateway, far) = (Namespace::new().await?, Namespace::new().await?);
        lay(&gateway, &far)?;
        let translators: Result<Vec<_>, String> = (0..)
            .zip(PREFIXES)
            .map(|(number, prefix)| Translator::start(tayga, &gateway, number, prefix))
            .collect();
        let servers = far.block_on(async || {
            let servers = servers().await?;
            let resolver = Unbound::builder().address(FAR_RESOLVER).port(DNS_PORT);
            let resolver = resolver.stub_zone(".", [SocketAddr::new(GLOBAL.into(), DNS_PORT)]);
            Ok((servers.0, servers.1, text(resolver.start().await)?))
        })?;
        let resolvers = gateway.block_on(async || {
            let mut started = Vec::new();
            for prefix in [None].into_iter().chain(PREFIXES.map(Some)) {
                let address = resolver(prefix).ip();
                let builder = Unbound::builder().address(address).port(DNS_PORT);
                let builder = builder.stub_zone(".", [SocketAddr::new(GLOBAL.into(), DNS_PORT)]);
                let builder = prefix.into_iter().fold(builder, |builder, prefix| builder.dns64(prefix));
                started.push(text(builder.start().await)?);
            }
            Ok(started)
        })?;
        Ok(Self { gateway, translators: translators?, _far: far, _servers: servers, _resolvers: resolvers })
    }

    /// Lets the translator of a prefix die.
    pub(super) fn kill(&mut self, prefix: &str) {
        self.translators.retain(|translator| translator.prefix != prefix);
    }

    /// A translator that has ended by itself, with what it said.
    pub(super) fn dead_translator(&mut self) -> Option<String> {
        let mut translators = self.translators.iter_mut();
        translators.find_map(|it| {
            it.guard
                .exited()
                .map(|status| format!("tayga for {}: {status}: {}", it.prefix, it.guard.log_tail()))
        })
    }
}

/// Lines, addresses and routes: this host has IPv6 only, the far one is behind the gateway.
fn lay(gateway: &Namespace, far: &Namespace) -> Result<(), String> {
    ip(&format!("link add near type veth peer name near netns {}", gateway.pid()))?;
    gateway.ip(&format!("link add far type veth peer name far netns {}", far.pid()))?;
    // nodad: nobody else is on these lines whose address it could be (RFC 4862 §5.4).
    ip("addr add 2001:db8:6::2/64 dev near nodad")?;
    ip("link set near up")?;
    gateway.ip("addr add 2001:db8:6::1/64 dev near nodad")?;
    for prefix in [None].into_iter().chain(PREFIXES.map(Some)) {
        gateway.ip(&format!("addr add {}/64 dev near nodad", resolver(prefix).ip()))?;
    }
    for v4 in [GLOBAL, DOCUMENTATION, SHARED, PRIVATE] {
        let [a, b, c, _] = v4.octets();
        gateway.ip(&format!("addr add {a}.{b}.{c}.1/24 dev far"))?;
        far.ip(&format!("addr add {v4}/24 dev far"))?;
    }
    far.ip(&format!("addr add {FAR_RESOLVER}/24 dev far"))?;
    gateway.ip("addr add 2001:db8:53::1/64 dev far nodad")?;
    far.ip(&format!("addr add {SIX}/64 dev far nodad"))?;
    gateway.ip("link set near up")?;
    gateway.ip("link set far up")?;
    far.ip("link set far up")?;
    ip("-6 route add default via 2001:db8:6::1")?;
    far.ip("-6 route add default via 2001:db8:53::1")?;
    let [a, b, c, _] = GLOBAL.octets();
    far.ip(&format!("route add 192.168.0.0/16 via {a}.{b}.{c}.1"))?;
    gateway.forward()
}

/// The root, `test` and its zones, each at the address that it is named for.
async fn servers() -> Result<(Bind, [Nsd; 4]), String> {
    let root = "a.root.test";
    let global = IpAddr::V4(GLOBAL);
    let zone = |name: &str, server: &str, address: IpAddr| ZoneFile::new(name).name_server(server, address);
    let token = "_acme-challenge TXT token";
    let mut test = zone("test", root, global);
    let mut children: Vec<(IpAddr, ZoneFile)> = Vec::new();
    for (name, address) in [
        ("global.test", global),
        ("documentation.test", DOCUMENTATION.into()),
        ("shared.test", SHARED.into()),
        ("private.test", PRIVATE.into()),
    ] {
        let server = format!("ns.{name}");
        test = test.delegation(name, &server, address);
        children.push((address, zone(name, &server, address).record(token)));
    }
    // Two addresses of one server; two servers of which one is out of reach; more than a datagram holds.
    let dual = zone("dual.test", "ns.dual.test", global).record(format!("ns AAAA {SIX}")).record(token);
    test = test.delegation("dual.test", "ns.dual.test", global).record(format!("ns.dual.test. AAAA {SIX}"));
    let mixed =
        zone("mixed.test", "ns1.mixed.test", global).name_server("ns2.mixed.test", PRIVATE).record(token);
    test = test.delegation("mixed.test", "ns1.mixed.test", global);
    test = test.delegation("mixed.test", "ns2.mixed.test", PRIVATE);
    let others = (1..50).map(|at| format!("_acme-challenge TXT {at:0>43}"));
    let large = zone("large.test", "ns.large.test", global).record(token);
    let large = others.fold(large, |zone, line| zone.record(line));
    test = test.delegation("large.test", "ns.large.test", global);
    let top = ZoneFile::new(".").name_server(root, global).delegation("test", root, global);
    let top = top.delegation("ipv4only.arpa", root, global);
    let only = zone("ipv4only.arpa", root, global).record("@ A 192.0.0.170").record("@ A 192.0.0.171");
    children.extend([(global, dual.clone()), (SIX.into(), dual), (global, mixed.clone())]);
    children.extend([
        (PRIVATE.into(), mixed),
        (global, large),
        (global, top),
        (global, only),
        (global, test),
    ]);
    let at = |address: IpAddr| children.iter().filter(move |(other, _)| *other == address);
    let bind = Bind::builder().address(global).port(DNS_PORT);
    let bind = at(global).fold(bind, |builder, (_, zone)| builder.zone(zone.clone()));
    let nsd = |address: IpAddr| {
        let builder = Nsd::builder().address(address).port(DNS_PORT);
        at(address).fold(builder, |builder, (_, zone)| builder.zone(zone.clone())).start()
    };
    let documentation = text(nsd(DOCUMENTATION.into()).await)?;
    let (shared, private) = (text(nsd(SHARED.into()).await)?, text(nsd(PRIVATE.into()).await)?);
    Ok((text(bind.start().await)?, [documentation, shared, private, text(nsd(SIX.into()).await)?]))
}

impl Translator {
    fn start(
        tayga: &Component,
        gateway: &Namespace,
        number: u8,
        prefix: &'static str,
    ) -> Result<Self, String> {
        let directory = text(TempDir::with_prefix("perennial-judge-"))?;
        let home = directory.path();
        let device = format!("nat64-{number}");
        let configuration = home.join("tayga.conf");
        let data = home.display();
        text(fs::write(
            &configuration,
            format!(
                "tun-device {device}
ipv4-addr 192.168.{number}.1
ipv6-addr 2001:db8:6:ff::{number:x}
prefix {prefix}
dynamic-pool 192.168.{number}.0/24
data-dir {data}
"
            ),
        ))?;
        gateway.ip(&format!("tuntap add dev {device} mode tun"))?;
        gateway.ip(&format!("link set {device} up"))?;
        gateway.ip(&format!("route add 192.168.{number}.0/24 dev {device}"))?;
        gateway.ip(&format!("-6 route add {prefix} dev {device}"))?;
        let guard = gateway.within(|| {
            let mut command = tayga.command();
            command.arg("--nodetach").arg("-c").arg(&configuration);
            text(ChildGuard::spawn(command, home.join("log")))
        })?;
        Ok(Self { prefix, guard, _directory: directory })
    }
}

/// The device file that tayga needs. A container may come without it, and with the right to make it.
pub(super) fn tun_device() -> Result<(), Missing> {
    let device = Path::new(TUN);
    if !device.exists() {
        // Where one of the two fails the device cannot be opened either, which is told.
        let _ = fs::create_dir_all("/dev/net");
        let mut command = Command::new("mknod");
        command.arg(device).args(["c", "10", "200"]);
        let _ = shell::output(command);
    }
    let opened = fs::OpenOptions::new().read(true).write(true).open(device);
    opened.map(drop).map_err(|error| {
        let how =
            format!("{error}; run it as root, on a kernel with CONFIG_TUN (in a container: --device {TUN})");
        Missing::new(TUN, how)
    })
}

const TUN: &str = "/dev/net/tun";
