//! Whatever is wrong with an issuer when a certificate falls due: it is said, and the old one goes on serving.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock as _, SystemClock};
use perennial_issuers::{CaIssuer, CaSource, Http01, VaultAuth, VaultIssuer, solver::http01::Webroot};
use perennial_lifecycle::{
    CertificateId, CertificateSpec, FileSink, IssueError, IssuedChain, Issuer, Journal, Keeper, MemoryStore,
    Outcome, OutputFormat, SigningRequest,
};
use perennial_testkit::{ManualClock, World};

use crate::pki::{Ca, named};

/// An issuer in the place of which another is put.
struct Changing(Mutex<Arc<dyn Issuer>>);

#[async_trait]
impl Issuer for Changing {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        let now = self.0.lock().unwrap().clone();
        now.issue(request, journal).await
    }

    async fn ready(&self) -> Result<(), IssueError> {
        let now = self.0.lock().unwrap().clone();
        now.ready().await
    }
}

/// Those that cannot issue, each with what has to be said.
async fn unfit(
    clock: &Arc<ManualClock>,
    scratch: &Path,
    world: &World,
) -> Vec<(Arc<dyn Issuer>, &'static str)> {
    let ca = |chain: &str, key: &str| -> Arc<dyn Issuer> {
        let source = CaSource::files(scratch.join(chain), scratch.join(key));
        Arc::new(CaIssuer::builder(source).clock(clock.clone()).build().unwrap())
    };
    let (one, other) = (Ca::root(named("One")), Ca::root(named("Other")));
    let mut late = named("Late");
    late.not_after = late.not_before + Duration::from_secs(86_400);
    let late = Ca::root(late);
    for (name, content) in [
        ("one.pem", one.chain.as_str()),
        ("one.key", one.key_pem().expose()),
        ("other.key", other.key_pem().expose()),
        ("late.pem", late.chain.as_str()),
        ("late.key", late.key_pem().expose()),
        ("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
    ] {
        std::fs::write(scratch.join(name), content).unwrap();
    }
    let webroot = Http01::new(Webroot::new(scratch.join("no-such-root")));
    let by_files = crate::scene::builder(world).solver(webroot).build().unwrap();
    let nobody =
        VaultIssuer::builder("https://127.0.0.1:1").path("pki/sign/web").auth(VaultAuth::token("s.x"));
    vec![
        (ca("gone.pem", "one.key"), "gone.pem"),
        (ca("one.pem", "other.key"), "the key is not that of the CA CN=One"),
        (ca("one.pem", "locked.key"), "encrypted"),
        (ca("late.pem", "late.key"), "ended at"),
        (Arc::new(by_files), "no-such-root"),
        (Arc::new(nobody.build().unwrap()), "127.0.0.1:1"),
    ]
}

/// One more attempt, once the issuer has rested from those that failed.
async fn tried(keeper: &Keeper, id: &CertificateId, clock: &ManualClock) -> Outcome {
    keeper.retry(id).await.unwrap();
    loop {
        match keeper.step(id).await.unwrap() {
            Outcome::Waiting { until, .. } => clock.set(until),
            outcome => return outcome,
        }
    }
}

#[tokio::test]
async fn whatever_is_wrong_is_said_and_the_old_certificate_serves_on() {
    let scratch = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
    let good: Arc<dyn Issuer> = Arc::new(Ca::root(named("Good")).issuer(&clock));
    let issuer = Arc::new(Changing(Mutex::new(good.clone())));
    let keeper = Keeper::builder(Arc::new(MemoryStore::with_clock(clock.clone())))
        .clock(clock.clone())
        .issuer("default".parse().unwrap(), issuer.clone())
        .sink("web".parse().unwrap(), Arc::new(FileSink::new(scratch.path().join("sink"))))
        .build();
    let spec = CertificateSpec::new("site", ["app.site.example.com"]).unwrap();
    let spec = spec.output("web".parse().unwrap(), OutputFormat::Pem);
    let id = spec.id().clone();
    keeper.wish(spec).await.unwrap();
    let Outcome::Issued { until } = keeper.step(&id).await.unwrap() else { panic!("not issued") };
    let served = || std::fs::read_to_string(scratch.path().join("sink/site/fullchain.pem")).unwrap();
    let (serial, file) = (keeper.current(&id).await.unwrap().unwrap().facts().serial.clone(), served());
    clock.set(until);
    let world = crate::scene::world().await;
    for (unfit, says) in unfit(&clock, scratch.path(), &world).await {
        *issuer.0.lock().unwrap() = unfit;
        let outcome = tried(&keeper, &id, &clock).await;
        let (Outcome::Failed { error, .. } | Outcome::GivenUp { error, .. }) = &outcome else {
            panic!("{says}: {outcome:?}");
        };
        assert!(error.to_string().contains(says), "{says}: {error}");
        assert_eq!(keeper.current(&id).await.unwrap().unwrap().facts().serial, serial, "{says}");
        assert_eq!(served(), file, "{says}");
    }
    *issuer.0.lock().unwrap() = good;
    assert!(matches!(tried(&keeper, &id, &clock).await, Outcome::Issued { .. }));
    assert_ne!(served(), file);
}
