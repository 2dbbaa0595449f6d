//! The little internet that the example brings along, seen as the real one would be.

use std::sync::Arc;

use perennial::{
    core::{ReqwestClient, SecretString},
    providers::{Options, Registry},
};
use perennial_testkit::World;

use crate::{
    args::Args,
    failure::Failure,
    scene::Scene,
    world::{self, BEHIND, DOMAIN},
};

/// The scene, and the world that it is in: a CA that asks both authoritative servers is there, too.
pub(crate) async fn scene(args: &Args) -> Result<(Scene, World), Failure> {
    let broken = |error: &dyn std::fmt::Display| Failure::local(format!("the embedded world: {error}"));
    let world = world::builder().build().await.map_err(|error| broken(&error))?;
    if !args.json {
        eprintln!("No --directory given: this is a little internet of our own.");
        eprintln!("  CA          {}", world.ca().directory_url());
        world::described(&world, &["", BEHIND]).iter().for_each(|line| eprintln!("{line}"));
        eprintln!();
    }
    let tsig = world.tsig();
    let options = Options::new()
        .with("server", world.primary().to_string())
        .with("key-name", tsig.name.to_string())
        .with("algorithm", tsig.algorithm.to_string())
        .with("secret", SecretString::new(tsig.secret_base64.as_str()));
    let http = ReqwestClient::builder().root_certificates_pem(world.ca().https_root_pem()).build();
    let scene = Scene {
        directory: world.ca().directory_url().to_string(),
        agreed: true,
        http: Arc::new(http.map_err(|error| broken(&error))?),
        provider: Registry::standard().create("rfc2136", &options)?,
        checker: world::checker(&world).build().map_err(|error| broken(&error))?,
        names: vec![format!("*.{DOMAIN}"), DOMAIN.to_owned()],
    };
    Ok((scene, world))
}
