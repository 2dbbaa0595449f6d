//! The little internet that the example brings along.

use std::{sync::Arc, time::Duration};

use perennial::{
    core::{ReqwestClient, SecretString},
    propagation::Checker,
    providers::{Options, Registry},
};
use perennial_testkit::World;

use crate::{args::Args, failure::Failure, scene::Scene};

/// The domain of the certificate, and of the cluster whose resolver we are stuck with.
const DOMAIN: &str = "app.site.example.com";

/// Long enough to watch the checker wait, short enough to watch.
const LAG: Duration = Duration::from_secs(3);

/// A zone on two authoritative servers, the second of which sees each change seconds later; a resolver that
/// claims `app.site.example.com` for itself and denies everything in it; a CA that asks both servers.
pub(crate) async fn scene(args: &Args) -> Result<(Scene, World), Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::local(format!("the embedded world: {error}"));
    let world = World::builder().zone("example.com").servers(2).lag(1, LAG).liar(DOMAIN).build().await;
    let world = world.map_err(|error| broken(&error))?;
    if !args.json {
        eprintln!("No --directory given: this is a little internet of our own.");
        eprintln!("  CA          {}", world.ca().directory_url());
        for (number, server) in world.servers().iter().enumerate() {
            let lag = if number == 1 { format!(", {} s behind", LAG.as_secs()) } else { String::new() };
            eprintln!("  name server {} for example.com{lag}", server.address());
        }
        eprintln!(
            "  resolver    {}, which claims {DOMAIN} for itself, as in-cluster DNS does",
            world.resolver()
        );
        eprintln!();
    }
    let tsig = world.tsig();
    let options = Options::new()
        .with("server", world.primary().to_string())
        .with("key-name", tsig.name.to_string())
        .with("algorithm", tsig.algorithm.to_string())
        .with("secret", SecretString::new(tsig.secret_base64.as_str()));
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build();
    let resolver = world.resolver().to_string().parse().map_err(|error| broken(&error))?;
    let checker =
        Checker::builder().nameservers(vec![resolver]).authoritative_port(world.authoritative_port()).build();
    let scene = Scene {
        directory: world.ca().directory_url().to_string(),
        agreed: true,
        http: Arc::new(http.map_err(|error| broken(&error))?),
        provider: Registry::standard().create("rfc2136", &options)?,
        checker: checker.map_err(|error| broken(&error))?,
        names: vec![format!("*.{DOMAIN}"), DOMAIN.to_owned()],
    };
    Ok((scene, world))
}
