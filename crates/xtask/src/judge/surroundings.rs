//! The world around a program that keeps a certificate, and its issuer there.

use std::{net::SocketAddr, sync::Arc};

use perennial::{
    AcmeIssuer, Dns01,
    core::{Clock, ReqwestClient, SecretString},
    propagation::Checker,
    providers::rfc2136::{Algorithm, Rfc2136, TsigKey},
};
use perennial_testkit::World;
use serde::{Deserialize, Serialize};

/// Where the certificate authority is, and where the DNS; in a form for another process. There is a secret in
/// it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Surroundings {
    directory_url: String,
    https_root_pem: String,
    resolver: SocketAddr,
    authoritative_port: u16,
    primary: SocketAddr,
    tsig_name: String,
    tsig_secret: String,
}

impl Surroundings {
    /// The DNS of that world, and a certificate authority that looks there.
    pub(super) fn new(world: &World, directory_url: &str, https_root_pem: &str) -> Self {
        Self {
            directory_url: directory_url.to_owned(),
            https_root_pem: https_root_pem.to_owned(),
            resolver: world.resolver(),
            authoritative_port: world.authoritative_port(),
            primary: world.primary(),
            tsig_name: world.tsig().name.to_string(),
            tsig_secret: world.tsig().secret_base64.clone(),
        }
    }

    /// An issuer as users make one: ACME, and dns-01 by dynamic updates.
    pub(super) fn issuer(&self, clock: Arc<dyn Clock>) -> Result<AcmeIssuer, String> {
        let secret = SecretString::new(self.tsig_secret.as_str());
        let key = text(TsigKey::new(&self.tsig_name, Algorithm::HmacSha256, &secret))?;
        let server = text(self.primary.to_string().parse())?;
        let provider = Rfc2136::builder(server).key(key).clock(clock.clone()).build();
        let checker = Checker::builder()
            .nameservers([text(self.resolver.to_string().parse())?])
            .authoritative_port(self.authoritative_port)
            .build();
        let http = ReqwestClient::builder().root_certificates_pem(&self.https_root_pem).build();
        let issuer = AcmeIssuer::builder(&self.directory_url)
            .agree_to_terms()
            .clock(clock)
            .http(Arc::new(text(http)?))
            .solver(Dns01::new(Arc::new(provider)).checker(text(checker)?));
        text(issuer.build())
    }
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
