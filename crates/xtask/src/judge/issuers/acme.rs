//! The ACME issuer at two certificate authorities that validate for themselves, by each way to prove a name.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use perennial::{
    AcmeIssuer, Http01,
    acme::ExternalAccount,
    core::{ReqwestClient, SystemClock},
    issuers::{
        AcmeIssuerBuilder, Solver, TlsAlpn01,
        solver::{
            http01::{self, Http01Listener},
            tls_alpn01::{self, ChallengeCertificates, TlsAlpn01Listener},
        },
    },
    propagation::Checker,
};
use perennial_testkit::{
    World,
    dns::Data,
    real::{Openbao, Pebble},
};

use super::{Case, Outcome, issue, text};
use crate::judge::surroundings::Surroundings;

/// The names under test, and the two.
pub(super) struct Lab {
    pub(super) world: World,
    pub(super) pebble: Pebble,
    openbao: Openbao,
    openbao_directory: String,
    openbao_root: String,
    beside_pebble: Servers,
    beside_openbao: Servers,
}

/// What listens where a certificate authority looks for proofs.
struct Servers {
    http: Http01Listener,
    http_port: u16,
    certificates: ChallengeCertificates,
    _tls: TlsAlpn01Listener,
    tls_port: u16,
}

/// Where a certificate authority is, and whom to trust for it.
struct Authority<'a> {
    directory: String,
    https_root: String,
    root: String,
    servers: &'a Servers,
}

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    vec![
        ("pebble_dns01", Box::pin(async { by_dns(lab, &lab.pebble().await?).await })),
        ("pebble_http01", Box::pin(async { by_http(lab, &lab.pebble().await?, "p-http").await })),
        ("pebble_tls_alpn01", Box::pin(async { by_tls(lab, &lab.pebble().await?, "p-tls").await })),
        ("openbao_acme_dns01", Box::pin(async { by_dns(lab, &lab.openbao()).await })),
        ("openbao_acme_external_account", Box::pin(bound(lab))),
        ("openbao_acme_http01", Box::pin(async { by_http(lab, &lab.openbao(), "o-http").await })),
        ("openbao_acme_tls_alpn01", Box::pin(async { by_tls(lab, &lab.openbao(), "o-tls").await })),
    ]
}

/// The ports of RFC 8555 §8.3 and RFC 8737 §3.
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

impl Lab {
    pub(super) async fn start() -> Result<Self, String> {
        let world = text(World::builder().zone("example.com").servers(1).build().await)?;
        for name in ["p-http", "p-tls", "o-http", "o-tls"] {
            text(world.zone().add(&format!("{name}.example.com"), Data::A(Ipv4Addr::LOCALHOST)))?;
        }
        let pebble = text(Pebble::builder().dns_server(world.resolver()).start().await)?;
        let openbao = text(Openbao::start().await)?;
        let openbao_root = text(openbao.pki("pki").await)?;
        let openbao_directory = text(openbao.acme("pki", world.resolver()).await)?;
        let beside_pebble = Servers::start(pebble.http_port(), pebble.tls_port()).await?;
        let beside_openbao = Servers::start(HTTP, HTTPS).await?;
        Ok(Self { world, pebble, openbao, openbao_directory, openbao_root, beside_pebble, beside_openbao })
    }

    async fn pebble(&self) -> Result<Authority<'_>, String> {
        Ok(Authority {
            directory: self.pebble.directory_url(),
            https_root: self.pebble.ca_pem().to_owned(),
            root: self.pebble_root().await?,
            servers: &self.beside_pebble,
        })
    }

    pub(super) async fn pebble_root(&self) -> Result<String, String> {
        text(self.pebble.issuer_root_pem().await)
    }

    /// An issuer over Pebble as users make one, and the name that it can prove; for a keeper.
    pub(super) fn pebble_issuer(&self) -> Result<(AcmeIssuer, &'static str), String> {
        let servers = &self.beside_pebble;
        let http = ReqwestClient::builder().root_certificates_pem(self.pebble.ca_pem()).build();
        let issuer = AcmeIssuer::builder(self.pebble.directory_url())
            .agree_to_terms()
            .http(Arc::new(text(http)?))
            .solver(servers.http01(&self.world)?);
        Ok((text(issuer.build())?, "p-http.example.com"))
    }

    /// The ports are those that the standards name.
    fn openbao(&self) -> Authority<'_> {
        Authority {
            directory: self.openbao_directory.clone(),
            https_root: self.openbao.ca_pem().to_owned(),
            root: self.openbao_root.clone(),
            servers: &self.beside_openbao,
        }
    }
}

impl Servers {
    async fn start(http_port: u16, tls_port: u16) -> Result<Self, String> {
        let here = |port| -> [SocketAddr; 2] {
            [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
        };
        let http = text(Http01Listener::bind(here(http_port)).await)?;
        let certificates = ChallengeCertificates::new();
        let tls = text(TlsAlpn01Listener::bind(here(tls_port), &certificates).await)?;
        Ok(Self { http, http_port, certificates, _tls: tls, tls_port })
    }

    /// The solver with a look of its own.
    fn http01(&self, world: &World) -> Result<Http01, String> {
        let check = http01::SelfCheck::new().checker(checker(world)?).ports(self.http_port, self.tls_port);
        Ok(Http01::new(self.http.responder()).self_check(check))
    }

    /// The same.
    fn tls_alpn01(&self, world: &World) -> Result<TlsAlpn01, String> {
        let check = tls_alpn01::SelfCheck::new().checker(checker(world)?).port(self.tls_port);
        Ok(TlsAlpn01::new(self.certificates.clone()).self_check(check))
    }
}

pub(super) fn checker(world: &World) -> Result<Checker, String> {
    let checker = Checker::builder()
        .nameservers([text(world.resolver().to_string().parse())?])
        .authoritative_port(world.authoritative_port());
    text(checker.build())
}

impl Authority<'_> {
    fn issuer(&self, solver: impl Solver + 'static) -> Result<AcmeIssuerBuilder, String> {
        let http = ReqwestClient::builder().root_certificates_pem(&self.https_root).build();
        let issuer = AcmeIssuer::builder(&self.directory).agree_to_terms().http(Arc::new(text(http)?));
        Ok(issuer.solver(solver))
    }

    async fn issues(&self, issuer: AcmeIssuerBuilder, name: &str) -> Outcome {
        let issued = text(issue(&text(issuer.build())?, &[&format!("{name}.example.com")]).await)?;
        issued.verified(&self.root)
    }
}

/// The name and its wildcard, by dynamic updates of the zone.
async fn by_dns(lab: &Lab, authority: &Authority<'_>) -> Outcome {
    let surroundings = Surroundings::new(&lab.world, &authority.directory, &authority.https_root);
    let issuer = surroundings.issuer(Arc::new(SystemClock::new()))?;
    let issued = text(issue(&issuer, &["app.example.com", "*.app.example.com"]).await)?;
    let left = lab.world.zone().txt_values("_acme-challenge.app.example.com");
    if !left.is_empty() {
        return Err(format!("records were left: {left:?}"));
    }
    issued.verified(&authority.root)
}

/// By the listener, once the solver itself has seen the answer there.
async fn by_http(lab: &Lab, authority: &Authority<'_>, name: &str) -> Outcome {
    let issuer = authority.issuer(authority.servers.http01(&lab.world)?)?;
    authority.issues(issuer, name).await
}

/// By the listener that serves nothing but proofs, once the solver itself has seen them there.
async fn by_tls(lab: &Lab, authority: &Authority<'_>, name: &str) -> Outcome {
    let issuer = authority.issuer(authority.servers.tls_alpn01(&lab.world)?)?;
    authority.issues(issuer, name).await
}

/// An account for those alone whom the certificate authority knows already (RFC 8555 §7.3.4).
async fn bound(lab: &Lab) -> Outcome {
    let root = text(lab.openbao.pki("bound").await)?;
    let directory = text(lab.openbao.acme("bound", lab.world.resolver()).await)?;
    let (key_id, mac_key) = text(lab.openbao.acme_external_account("bound").await)?;
    let authority = Authority { directory, root, ..lab.openbao() };
    let issuer = || authority.issuer(authority.servers.http01(&lab.world)?);
    match authority.issues(issuer()?, "o-http").await {
        Err(said) if said.contains("binds accounts to customers") => {}
        other => return Err(format!("a stranger was not refused as such: {other:?}")),
    }
    let customer = text(ExternalAccount::new(key_id, &mac_key.as_str().into()))?;
    authority.issues(issuer()?.external_account(customer), "o-http").await
}
