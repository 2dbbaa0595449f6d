//! The keeper over the Vault issuer: what is told, and a Vault that is sealed for a while.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use perennial_core::{Clock as _, SystemClock};
use perennial_issuers::vault::{VaultAuth, VaultIssuer};
use perennial_lifecycle::{EventKind, Keeper, MemoryStore, Outcome, Stage};
use perennial_testkit::{
    ManualClock,
    real::{self, Openbao, Tool},
};

use super::scene::{Mount, mount, spec};

pub(super) type Told = Arc<Mutex<Vec<Stage>>>;

pub(super) fn keeper(issuer: VaultIssuer, clock: Arc<ManualClock>) -> (Keeper, Told) {
    let told = Told::default();
    let seen = told.clone();
    let keeper = Keeper::builder(Arc::new(MemoryStore::new()))
        .clock(clock)
        .issuer("default".parse().unwrap(), Arc::new(issuer))
        .observer(move |event| {
            if let EventKind::Stage { stage } = &event.kind {
                seen.lock().unwrap().push(stage.clone());
            }
        })
        .build();
    (keeper, told)
}

#[tokio::test]
async fn the_number_of_the_request_is_told_and_what_the_server_warns_of() {
    let Some(mount) = mount("told").await else { return };
    let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
    let (keeper, told) = keeper(mount.issuer().await, clock);
    keeper.wish(spec().duration(Duration::from_secs(90 * 86_400))).await.unwrap();
    assert!(matches!(keeper.step(spec().id()).await.unwrap(), Outcome::Issued { .. }));
    let told = told.lock().unwrap();
    let [
        Stage::Signed { serial, request: Some(request) },
        Stage::Warned { message: server },
        Stage::Warned { message: ours },
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!((serial.len() >= 30, request.len()), (true, 36));
    assert!(server.contains("maxTTL is being used"), "{server}");
    assert!(ours.contains("asked for 2160 h, got 72 h"), "{ours}");
}

#[tokio::test]
async fn the_keeper_waits_for_a_sealed_vault_and_issues_when_it_is_unsealed() {
    if real::require(&[Tool::Openbao]).is_none() {
        return;
    }
    let mount = Mount::of(Arc::new(Openbao::start().await.unwrap()), "sealed").await;
    let clock = Arc::new(ManualClock::new(SystemClock::new().now()));
    let issuer = mount.builder().auth(VaultAuth::token(mount.token().await)).clock(clock.clone());
    let issuer = issuer.build().unwrap();
    issuer.look().await.unwrap();
    let (keeper, _) = keeper(issuer, clock.clone());
    keeper.wish(spec()).await.unwrap();
    mount.openbao.seal().await.unwrap();
    let Outcome::Failed { error, until } = keeper.step(spec().id()).await.unwrap() else { panic!() };
    assert!(error.to_string().contains("is sealed; unseal it"), "{error}");
    assert!(until.since(clock.now()) <= Duration::from_secs(3600), "{until}");
    mount.openbao.unseal().await.unwrap();
    clock.set(until);
    assert!(matches!(keeper.step(spec().id()).await.unwrap(), Outcome::Issued { .. }));
}
