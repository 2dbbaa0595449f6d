//! A web server whose certificate is renewed while requests run, and none fails.
//!
//! ```sh
//! cargo run --release --example https_server
//! ```
//!
//! starts a CA on loopback, and a web server (axum over rustls) that proves its name to it in its own handshakes, by
//! tls-alpn-01. Clients that trust that CA alone ask for a page again and again, each time over a new connection, and
//! one over a connection that stays open. The certificate is renewed as soon as each of them has seen it. After some
//! renewals the program says how many requests were answered by which certificate, and ends: with 1 if any failed.

#![allow(clippy::print_stdout)] // It is a program.

mod clients;
mod server;

use std::{process::ExitCode, sync::Arc};

use clap::Parser;
use perennial::{
    AcmeIssuer, CertificateSpec, Manager, MemoryStore, TlsAlpn01,
    core::ReqwestClient,
    issuers::solver::tls_alpn01::{ChallengeCertificates, SelfCheck},
    rustls::CertificateResolver,
};
use perennial_testkit::{CertificateAuthority, World};
use tokio::net::TcpListener;

/// A web server whose certificate is renewed while requests run.
#[derive(Parser)]
struct Args {
    /// How often the certificate is renewed before the program ends
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    renewals: u32,
    /// How many clients ask at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
}

const NAME: &str = "www.example.com";

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("https_server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every request was answered.
async fn run(args: &Args) -> Result<bool, Box<dyn std::error::Error>> {
    let socket = TcpListener::bind("127.0.0.1:0").await?; // in the world outside: [::]:443
    let address = socket.local_addr()?;
    let world = world(address).await?;

    // What a program that serves needs: one table for proofs, one resolver for certificates.
    let challenges = ChallengeCertificates::new();
    let resolver = CertificateResolver::builder().challenges(challenges.clone()).build();
    let app = axum::Router::new().route("/", axum::routing::get(|| async { clients::PAGE }));
    let server = server::serve(socket, Arc::new(resolver.server_config(&["http/1.1"])), app);
    let _server = tokio::spawn(server);

    // In the world outside it looks at the addresses of the name, as it comes.
    let check = SelfCheck::new().connect_to([address]);
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build()?;
    let issuer = AcmeIssuer::builder(world.ca().directory_url())
        .http(Arc::new(http))
        .agree_to_terms()
        .solver(TlsAlpn01::new(challenges).self_check(check))
        .build()?;
    let manager = Manager::builder(MemoryStore::new()).issuer("embedded", issuer)?.build();
    let certificate = manager.keep(CertificateSpec::new("www", [NAME])?).await?;
    resolver.follow(&certificate);

    let mut serving = certificate.ready().await?;
    while resolver.served(certificate.id()).is_none() {
        tokio::task::yield_now().await;
    }
    eprintln!("https://{NAME} at {address} serves {}", serving.facts().serial);
    let clients = clients::start(args.clients, address, NAME, world.ca().issuer_root_pem())?;
    for _ in 0..args.renewals {
        clients.until_served_by(&serving.facts().serial).await;
        // Of itself it would be renewed in two months. This is at once, and the old one is revoked afterwards.
        manager.keeper().replace_compromised(certificate.id()).await?;
        serving = certificate.changed(&serving).await?;
        eprintln!("renewed: {}", serving.facts().serial);
    }
    clients.until_served_by(&serving.facts().serial).await;
    let told = clients.end().await;
    manager.shut_down().await;

    for (serial, answered) in &told.answered {
        println!("{answered} requests answered under certificate {serial}");
    }
    println!("{} requests on a connection that stayed open", told.on_the_open_connection);
    println!("{} renewals, {} requests, {} failed", args.renewals, told.requests(), told.failures.len());
    told.failures.iter().take(10).for_each(|failure| eprintln!("failed: {failure}"));
    Ok(told.failures.is_empty())
}

/// A CA that looks for the proof at this address, whatever the name's is.
async fn world(address: std::net::SocketAddr) -> Result<World, perennial_testkit::Error> {
    let authority = CertificateAuthority::builder().validate_tls_at(address);
    World::builder().zone("example.com").authority(authority).build().await
}
