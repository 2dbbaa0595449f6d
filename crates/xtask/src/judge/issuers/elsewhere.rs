//! Proofs that stand elsewhere than one would think: with another replica, in another zone, and for good.
//!
//! ```text
//!   the replica that orders --- PostgreSQL --- the replica that Pebble asks
//!
//!   app.site.test, a zone that takes no updates --- CNAME ---> app.acme.test, one that does
//!                  (BIND, behind unbound)
//! ```

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use perennial::{
    AcmeIssuer, Dns01, DnsPersist01, Http01, MemoryStore,
    acme::challenge::dns_persist01::Draft,
    core::{ReqwestClient, SecretString},
    issuers::{
        AcmeIssuerBuilder, Solver,
        solver::http01::{Http01Listener, Http01Shared, SelfCheck},
    },
    lifecycle::Store,
    postgres::PostgresStore,
    propagation::Checker,
    providers::rfc2136::{Algorithm, Rfc2136, TsigKey},
};
use perennial_testkit::{
    dns::Data,
    real::{Bind, Pebble, Postgres, Unbound, ZoneFile},
};

use super::{Case, Issued, Outcome, acme, issue, issue_over, refused, text};

pub(super) fn cases(lab: &acme::Lab) -> Vec<Case<'_>> {
    vec![
        ("pebble_http01_other_replica", Box::pin(by_another_replica(lab))),
        ("pebble_dns01_delegated", Box::pin(by_delegation())),
        ("pebble_dns_persist01", Box::pin(by_a_record_that_stays())),
    ]
}

/// Where the replica listens that is asked. The one that orders listens nowhere.
const ASKED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const REPLICATED: &str = "p-replica.example.com";

/// One replica orders, and the CA asks another, which has nothing in common with it but the database.
async fn by_another_replica(lab: &acme::Lab) -> Outcome {
    let server = text(Postgres::builder().start().await)?;
    let replica = || async {
        let store: Arc<dyn Store> = Arc::new(text(PostgresStore::builder(server.socket()).connect().await)?);
        Ok::<_, String>(Http01Shared::new(store))
    };
    let (orders, asked) = (replica().await?, replica().await?);
    text(lab.world.zone().add(REPLICATED, Data::A(ASKED)))?;
    let listener = text(Http01Listener::bind([(ASKED, lab.pebble.http_port()).into()]).await)?;
    let _shown = listener.share(asked);
    let ports = (lab.pebble.http_port(), lab.pebble.tls_port());
    let check = SelfCheck::new().checker(acme::checker(&lab.world)?).ports(ports.0, ports.1);
    let solver = Http01::new(orders).self_check(check);
    let issuer = text(at_pebble(&lab.pebble)?.solver(solver).build())?;
    verified(&text(issue(&issuer, &[REPLICATED]).await)?, &lab.pebble).await
}

/// The name and its wildcard, whose zone nobody can change, where their alias leads.
async fn by_delegation() -> Outcome {
    let zones = Zones::start().await?;
    let issuer = zones.issuer(Dns01::new(zones.provider()?).checker(zones.checker()?))?;
    let issued = text(issue(&issuer, &["app.site.test", "*.app.site.test"]).await)?;
    let left = text(zones.primary.txt_values("app.acme.test").await)?;
    if !left.is_empty() {
        return Err(format!("records were left: {left:?}"));
    }
    match (text(zones.primary.serial("site.test").await)?, text(zones.primary.serial("acme.test").await)?) {
        (1, changed) if changed > 1 => verified(&issued, &zones.pebble).await,
        serials => Err(format!("the zones have the serials {serials:?}")),
    }
}

/// Whoever has no access is told what to set; whoever has sets it, once.
async fn by_a_record_that_stays() -> Outcome {
    const NAMES: [&str; 2] = ["shop.acme.test", "*.shop.acme.test"];
    const AT: &str = "_validation-persist.shop.acme.test";
    let zones = Zones::start().await?;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let looks = DnsPersist01::new(Draft::V01).checker(zones.checker()?);
    let sets = looks.clone().provider(zones.provider()?);
    let (looks, sets) = (zones.issuer(looks)?, zones.issuer(sets)?);
    refused(issue_over(&store, "first", &looks, &NAMES).await, AT)?;
    let issued = text(issue_over(&store, "second", &sets, &NAMES).await)?;
    let there = text(zones.primary.txt_values(AT).await)?;
    text(issue_over(&store, "third", &looks, &NAMES).await)?;
    match text(zones.primary.txt_values(AT).await)? {
        stays if stays == there && stays.len() == 1 => verified(&issued, &zones.pebble).await,
        stays => Err(format!("{there:?} was there, then {stays:?}")),
    }
}

/// A root, and below it a zone that takes no updates and one that does, on one server; and who resolves and issues there.
struct Zones {
    primary: Bind,
    resolver: Unbound,
    pebble: Pebble,
}

pub(super) const PRIMARY: Ipv4Addr = Ipv4Addr::new(127, 0, 53, 1);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 53, 2);
const DNS_PORT: u16 = 53;

impl Zones {
    async fn start() -> Result<Self, String> {
        let served = |origin: &str| ZoneFile::new(origin).name_server(&format!("ns1.{origin}"), PRIMARY);
        let top = served("test").delegation("site.test", "ns1.site.test", PRIMARY).delegation(
            "acme.test",
            "ns1.acme.test",
            PRIMARY,
        );
        let root =
            ZoneFile::new(".").name_server("ns1.test", PRIMARY).delegation("test", "ns1.test", PRIMARY);
        let site = served("site.test").record("_acme-challenge.app CNAME app.acme.test.");
        let primary = Bind::builder().address(PRIMARY).port(DNS_PORT).zone(served("acme.test"));
        let primary = text(primary.fixed_zone(root).fixed_zone(top).fixed_zone(site).start().await)?;
        let resolver = Unbound::builder().address(RESOLVER).port(DNS_PORT);
        let resolver = text(resolver.stub_zone(".", [primary.socket_addr()]).start().await)?;
        let pebble = text(Pebble::builder().dns_server(resolver.socket_addr()).start().await)?;
        Ok(Self { primary, resolver, pebble })
    }

    fn provider(&self) -> Result<Arc<Rfc2136>, String> {
        let tsig = self.primary.tsig();
        let secret = SecretString::new(tsig.secret_base64.as_str());
        let key = text(TsigKey::new(&tsig.name, Algorithm::HmacSha256, &secret))?;
        let server = text(self.primary.socket_addr().to_string().parse())?;
        Ok(Arc::new(Rfc2136::builder(server).key(key).build()))
    }

    fn checker(&self) -> Result<Checker, String> {
        let resolver: SocketAddr = self.resolver.socket_addr();
        text(Checker::builder().nameservers([text(resolver.to_string().parse())?]).build())
    }

    fn issuer(&self, solver: impl Solver + 'static) -> Result<AcmeIssuer, String> {
        text(at_pebble(&self.pebble)?.solver(solver).build())
    }
}

fn at_pebble(pebble: &Pebble) -> Result<AcmeIssuerBuilder, String> {
    let http = ReqwestClient::builder().root_certificates_pem(pebble.ca_pem()).build();
    Ok(AcmeIssuer::builder(pebble.directory_url()).agree_to_terms().http(Arc::new(text(http)?)))
}

/// That it is what was asked for, and that nobody owes anything for it.
async fn verified(issued: &Issued, pebble: &Pebble) -> Outcome {
    let debts = issued.journal.debts().await;
    if !debts.is_empty() {
        return Err(format!("{} debts are left", debts.len()));
    }
    issued.verified(&text(pebble.issuer_root_pem().await)?)
}
