//! What serves a name, looked at where real servers serve what they should not.

use std::{net::SocketAddr, sync::Arc};

use perennial_core::{DomainName, SecretString};
use perennial_issuers::{Probe, probe::Served};
use perennial_lifecycle::{Certificate, CertificateSpec, Issued, IssuerName, Keeper, MemoryStore, Outcome};
use perennial_testkit::{ManualClock, World, dns::Data};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::{default_provider, sign::any_supported_type},
    server::WebPkiClientVerifier,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{
    pki::{Ca, DAY, clock, named},
    scene::checker,
};

const APP: &str = "app.example.com";

/// A certificate that was renewed once, by a CA below a root.
struct House {
    clock: Arc<ManualClock>,
    keeper: Keeper,
    root: Ca,
}

impl House {
    fn new() -> Self {
        let clock = clock();
        let root = Ca::root(named("Root"));
        let issuer = root.below(named("Middle")).issuer(&clock);
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        let name: IssuerName = "middle".parse().unwrap();
        let keeper = Keeper::builder(store).clock(clock.clone()).issuer(name, Arc::new(issuer)).build();
        Self { clock, keeper, root }
    }

    async fn keep(&self, id: &str, names: &[&str]) -> Issued {
        let spec = CertificateSpec::new(id, names.iter().copied()).unwrap().issuer("middle").unwrap();
        self.keeper.wish(spec).await.unwrap();
        self.issue(id).await
    }

    async fn issue(&self, id: &str) -> Issued {
        let outcome = self.keeper.step(&id.parse().unwrap()).await.unwrap();
        assert!(matches!(outcome, Outcome::Issued { .. }), "{outcome:?}");
        self.certificate(id).await.current().as_deref().cloned().unwrap()
    }

    async fn certificate(&self, id: &str) -> Certificate {
        self.keeper.watch(&id.parse().unwrap()).await.unwrap()
    }

    /// The one before, and the current one.
    async fn renewed(&self, names: &[&str]) -> [Issued; 2] {
        let first = self.keep("site", names).await;
        self.clock.advance(60 * DAY);
        [first, self.issue("site").await]
    }
}

/// What a server shows.
struct Shows {
    chain: String,
    key: SecretString,
    /// Of a certificate that clients have to show, who signs it.
    wants: Option<CertificateDer<'static>>,
}

impl Shows {
    fn all_of(issued: &Issued) -> Self {
        let key = SecretString::new(issued.private_key_pem().expose());
        Self { chain: issued.chain_pem().to_owned(), key, wants: None }
    }

    fn leaf_of(issued: &Issued) -> Self {
        let end = "-----END CERTIFICATE-----\n";
        let leaf = issued.chain_pem().split_inclusive(end).next().unwrap().to_owned();
        Self { chain: leaf, ..Self::all_of(issued) }
    }

    /// Serves until the runtime ends.
    async fn serve(self, at: &str) -> SocketAddr {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes()).unwrap();
        let certified = CertifiedKey::new(chain.unwrap(), any_supported_type(&key).unwrap());
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = match self.wants {
            // With TLS 1.3 a client is done before it is refused.
            Some(anchor) => {
                let mut roots = RootCertStore::empty();
                roots.add(anchor).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
            None => builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth(),
        };
        let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move { acceptor.accept(stream).await.map(drop) });
            }
        });
        address
    }

    /// What is seen of it.
    async fn seen(self, current: &Issued) -> Served {
        let probe = Probe::new().connect_to([self.serve("127.0.0.1:0").await]);
        let report = probe.look(&name(APP), current).await.unwrap();
        assert_eq!(report.is_current(), report.advice.is_empty(), "{report}");
        report.verdict
    }
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

#[tokio::test]
async fn what_a_server_shows_is_told_for_what_it_is() {
    let house = House::new();
    let [old, current] = house.renewed(&[APP]).await;
    assert_eq!(Shows::all_of(&current).seen(&current).await, Served::Current);
    let served = Shows::all_of(&old).seen(&current).await;
    let (serial, not_after) = (old.facts().serial.clone(), old.facts().not_after);
    let issuer = "CN=Middle".to_owned();
    assert_eq!(served, Served::Stale { issuer, serial, not_after, since: current.issued_at() });
    let served = Shows::leaf_of(&current).seen(&current).await;
    assert_eq!(served, Served::ChainIncomplete { missing: vec!["CN=Middle".to_owned()] });

    let other = house.keep("other", &["www.example.com", APP]).await;
    let served = Shows::all_of(&other).seen(&current).await;
    assert!(matches!(&served, Served::Other { serial, .. } if *serial == other.facts().serial), "{served:?}");
    let default = house.keep("default", &["default.example.com"]).await;
    let served = Shows::all_of(&default).seen(&current).await;
    let names = vec!["default.example.com".to_owned()];
    assert_eq!(served, Served::WrongName { issuer: "CN=Middle".to_owned(), names });
}

#[tokio::test]
async fn a_server_without_the_key_is_found_out_and_one_that_wants_to_know_its_clients_is_seen() {
    let house = House::new();
    let [old, current] = house.renewed(&[APP]).await;
    let key = SecretString::new(old.private_key_pem().expose());
    let served = Shows { key, ..Shows::all_of(&current) }.seen(&current).await;
    let Served::Unreachable(why) = &served else { panic!("{served:?}") };
    assert!(why.to_string().contains("does not hold the key"), "{why}");
    let anchor = CertificateDer::from_pem_slice(house.root.chain.as_bytes()).unwrap();
    let picky = Shows { wants: Some(anchor), ..Shows::all_of(&current) };
    assert_eq!(picky.seen(&current).await, Served::Current);
}

#[tokio::test]
async fn each_address_has_a_row_and_the_worst_of_them_is_the_verdict() {
    let house = House::new();
    let [old, current] = house.renewed(&[APP, "*.example.com"]).await;
    let port = Shows::all_of(&current).serve("127.0.0.1:0").await.port();
    Shows::all_of(&old).serve(&format!("127.0.0.2:{port}")).await;
    let world = World::builder().zone("example.com").build().await.unwrap();
    let probe = Probe::new().checker(checker(&world)).port(port);
    let certificate = house.certificate("site").await;

    let nowhere = probe.certificate(&certificate).await.unwrap();
    assert!(nowhere[0].to_string().contains("no address"), "{}", nowhere[0]);
    assert!(matches!(nowhere[0].verdict, Served::Unreachable(_)));

    world.zone().add(APP, Data::A([127, 0, 0, 1].into())).unwrap();
    world.zone().add(APP, Data::A([127, 0, 0, 3].into())).unwrap();
    let reports = probe.certificate(&certificate).await.unwrap();
    assert_eq!(reports.len(), 1, "a wildcard is no host");
    assert!(reports[0].is_current() && reports[0].rows.len() == 2, "{}", reports[0]);
    assert!(reports[0].advice[0].starts_with("127.0.0.3: "), "{}", reports[0]);

    world.zone().add(APP, Data::A([127, 0, 0, 2].into())).unwrap();
    let report = probe.certificate(&certificate).await.unwrap().remove(0);
    assert!(matches!(report.verdict, Served::Stale { .. }), "{report}");
    let said = report.to_string();
    assert!(said.starts_with("app.example.com does not serve the current certificate"), "{said}");
    assert!(said.contains("127.0.0.1: the current certificate\n"), "{said}");
    assert!(said.contains("-> 127.0.0.2: the server has not taken the new certificate up"), "{said}");
    let json = serde_json::to_value(&report).unwrap();
    let shown = json["rows"].as_array().unwrap().iter().map(|row| &row["served"]).collect::<Vec<_>>();
    assert!(shown.contains(&&serde_json::json!("current")), "{json}");
    assert_eq!(json["verdict"]["stale"]["serial"], old.facts().serial.as_str());
    // Any host that a wildcard stands for can be looked at, and no other name.
    let host = Probe::new().connect_to([([127, 0, 0, 1], port).into()]);
    assert!(host.look(&name("x.example.com"), &current).await.unwrap().is_current());
    for other in ["*.example.com", "b.x.example.com", "example.org"] {
        let error = host.look(&name(other), &current).await.unwrap_err().to_string();
        assert!(error.contains(other) && error.contains("probe a host that it is for"), "{error}");
    }
}
