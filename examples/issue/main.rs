//! Obtains one certificate by DNS-01, showing every stage: the main job of perennial from end to end.
//!
//! Without arguments it needs no network: it starts an ACME CA, two authoritative name servers of which one
//! lags some seconds, and a resolver that answers wrongly for the certificate's domain, as the DNS of a
//! cluster does whose own domain that is. With flags it talks to the real world: see `--help`.
#![allow(clippy::print_stdout)] // It is a program.

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use clap::Parser as _;
use perennial::{
    AcmeIssuer, CertificateSpec, Dns01, MemoryStore,
    lifecycle::{Issued, IssuerName, Keeper, Outcome},
    propagation::Report,
};

mod args;
#[path = "../shared/duration.rs"]
mod duration;
mod embedded;
mod failure;
#[path = "../shared/options.rs"]
mod options;
mod progress;
mod scene;
mod summary;
#[path = "../shared/world.rs"]
mod world;

use args::Args;
use failure::Failure;
use progress::Progress;
use scene::Scene;

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // That the terminal is gone is no reason to say more.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let json = args.json;
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                summary::say(&format!("{}\n", failure.to_json()));
            }
            eprintln!("issue: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    check_out(&args.out)?;
    // The embedded world lives as long as this does.
    let (scene, _world) = if args.is_embedded() {
        let (scene, world) = embedded::scene(&args).await?;
        (scene, Some(world))
    } else {
        (Scene::from_args(&args)?, None)
    };
    let progress = Progress::new();
    let reports = Arc::new(Reports::default());
    let spec = spec(&args, &scene)?;
    let keeper = keeper(&args, scene, &progress, &reports)?;
    let issued = issue(&keeper, spec.clone(), &progress).await;
    progress.finish();
    let issued = issued.map_err(|failure| failure.with_reports(&reports.all()))?;
    let files = write(&issued, &args.out)?;
    summary::print(&spec, &issued, &reports.all(), &files, args.json);
    Ok(())
}

/// Whether files can be written there, before a certificate is asked for that could not be kept.
fn check_out(out: &Path) -> Result<(), Failure> {
    let unfit = |reason: &dyn std::fmt::Display| {
        Failure::usage(format!("--out {} cannot be written: {reason}", out.display()))
    };
    let there = out.ancestors().find(|ancestor| ancestor.as_os_str().is_empty() || ancestor.exists());
    let there = there.filter(|there| !there.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !there.is_dir() {
        return Err(unfit(&format!("{} is not a directory", there.display())));
    }
    let probe = there.join(format!(".issue-{}", std::process::id()));
    std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)).map_err(|error| unfit(&error))
}

fn spec(args: &Args, scene: &Scene) -> Result<CertificateSpec, Failure> {
    let spec =
        CertificateSpec::new("issue", &scene.names).map_err(|error| Failure::usage(error.to_string()))?;
    let spec = spec.key_algorithm(args.key);
    Ok(match &args.profile {
        Some(profile) => spec.profile(profile),
        None => spec,
    })
}

fn keeper(args: &Args, scene: Scene, progress: &Progress, reports: &Arc<Reports>) -> Result<Keeper, Failure> {
    let (shown, kept) = (progress.clone(), reports.clone());
    let solver =
        Dns01::new(scene.provider).checker(scene.checker).timeout(args.timeout).on_report(move |report| {
            shown.report(report);
            kept.keep(report);
        });
    let mut issuer =
        AcmeIssuer::builder(scene.directory).http(scene.http).solver(solver).timeout(args.timeout);
    if scene.agreed {
        issuer = issuer.agree_to_terms();
    }
    if let Some(email) = &args.email {
        issuer = issuer.contact(format!("mailto:{email}"));
    }
    if let Some(file) = &args.account {
        issuer = issuer.account_file(file);
    }
    if let Some(common_name) = &args.preferred_chain {
        issuer = issuer.preferred_chain(common_name);
    }
    let issuer = issuer.build().map_err(|error| Failure::usage(error.to_string()))?;
    let shown = progress.clone();
    Ok(Keeper::builder(Arc::new(MemoryStore::new()))
        .issuer(IssuerName::default(), Arc::new(issuer))
        .observer(move |event| shown.event(event))
        .build())
}

/// One pass of the keeper. Ctrl-C or a termination removes what was presented before it ends the program.
async fn issue(keeper: &Keeper, spec: CertificateSpec, progress: &Progress) -> Result<Issued, Failure> {
    let id = spec.id().clone();
    keeper.wish(spec).await?;
    tokio::select! {
        outcome = keeper.step(&id) => {
            if let Outcome::Failed { error, .. } = outcome? {
                return Err(error.into());
            }
        }
        () = interrupted() => {
            progress.note("interrupted: removing what was presented");
            keeper.abandon(&id).await?;
            return Err(Failure::interrupted());
        }
    }
    keeper.current(&id).await?.ok_or_else(Failure::interrupted)
}

async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return,
            _ = terminated.recv() => return,
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn write(issued: &Issued, out: &Path) -> Result<Vec<(&'static str, std::path::PathBuf)>, Failure> {
    issued.pem_set().write_to(out).map_err(perennial::lifecycle::Error::from)?;
    let names = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"];
    Ok(names.into_iter().map(|name| (name, out.join(name))).collect())
}

/// The last report of each name that was watched.
#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

impl Reports {
    fn keep(&self, report: &Report) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|known| known.wanted != report.wanted);
        reports.push(report.clone());
    }

    fn all(&self) -> Vec<Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
