//! `account`, every verb of it, against real Pebble; and what it says when it cannot.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use perennial::{
    acme::{Account, AccountCredentials, AccountKey, Client, NewOrder, Signer as _},
    core::{Clock as _, DomainName, ReqwestClient, SecretString, SystemClock},
    lifecycle::{KeyAlgorithm, PrivateKey},
};
use perennial_testkit::real::{self, CertificateStatus, Pebble, PebbleBuilder, Tool};
use serde_json::Value;

use crate::example;

const MAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// A CA that takes every proof for given, and a directory with the account's file.
struct Scene {
    pebble: Pebble,
    home: tempfile::TempDir,
}

impl Scene {
    async fn new(pebble: PebbleBuilder) -> Self {
        let pebble = pebble.environment("PEBBLE_VA_ALWAYS_VALID", "1").start().await.unwrap();
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("root.pem"), pebble.ca_pem()).unwrap();
        Self { pebble, home }
    }

    async fn with_account() -> Self {
        let scene = Self::new(Pebble::builder()).await;
        scene.done(&["register", "--agree-tos"]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        account(self.home.path(), &[arguments, &["--ca-root", "root.pem", "--json"]].concat(), &[])
    }

    /// Succeeds, and what it prints.
    fn done(&self, arguments: &[&str]) -> Value {
        let directory = self.pebble.directory_url();
        let named: &[&str] = if arguments[0] == "register" { &["--directory", &directory] } else { &[] };
        let output = self.run(&[arguments, named].concat());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Fails with that exit code, and what it says.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn credentials(&self) -> AccountCredentials {
        let text = std::fs::read_to_string(self.path("account.json")).unwrap();
        AccountCredentials::from_json(&SecretString::new(text)).unwrap()
    }

    fn keep(&self, credentials: &AccountCredentials) {
        std::fs::write(self.path("account.json"), credentials.to_json().expose()).unwrap();
    }

    /// The account in this process.
    fn account(&self) -> Account {
        let http = ReqwestClient::builder().root_certificates_pem(self.pebble.ca_pem()).build().unwrap();
        let client = Client::builder(self.pebble.directory_url()).http(Arc::new(http)).build().unwrap();
        client.restore(&self.credentials()).unwrap()
    }

    /// Obtains a certificate and writes it and its key to files. Its serial number is the answer.
    async fn certificate(&self, name: &str) -> String {
        let names: Vec<DomainName> = vec![format!("{name}.example.com").parse().unwrap()];
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let order = self.account().new_order(&NewOrder::new(&names)).await.unwrap();
        for authorization in order.authorizations().await.unwrap() {
            authorization.dns01().unwrap().answer().await.unwrap();
        }
        let deadline = SystemClock::new().now() + std::time::Duration::from_secs(60);
        order.wait_ready(deadline).await.unwrap();
        order.finalize(&key.signing_request(&names, &[]).unwrap()).await.unwrap();
        order.wait_valid(deadline).await.unwrap();
        let chain = order.certificate().await.unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), chain.to_pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.to_pem().expose()).unwrap();
        chain.serial().iter().map(|octet| format!("{octet:02x}")).collect()
    }

    async fn status(&self, serial: &str) -> CertificateStatus {
        self.pebble.certificate_status(serial).await.unwrap()
    }
}

fn account(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut program = Command::new(example("account"));
    program.args(arguments).current_dir(home).env_remove("ACME_EAB_KEY").envs(variables.iter().copied());
    program.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_registered_shown_updated_and_given_up() {
    let Some(_) = real::require(&[Tool::Pebble]) else { return };
    let scene = Scene::new(Pebble::builder()).await;
    let terms = scene.refused(65, &["register", "--directory", &scene.pebble.directory_url()]);
    assert!(terms.contains("--agree-tos"), "{terms}");
    let made = scene.done(&["register", "--agree-tos", "--email", "one@example.com"]);
    #[cfg(unix)]
    assert_eq!(mode(&scene.path("account.json")), 0o600);
    assert!(!scene.path("account.json.key").exists());
    assert_eq!(made["contact"], serde_json::json!(["mailto:one@example.com"]));
    let shown = scene.done(&["show"]);
    assert_eq!((&shown["account"], &shown["status"]), (&made["account"], &"valid".into()));
    scene.done(&["update", "--email", "two@example.com", "--email", "three@example.com"]);
    let contact = serde_json::json!(["mailto:two@example.com", "mailto:three@example.com"]);
    assert_eq!(scene.done(&["show"])["contact"], contact);
    scene.refused(64, &["register", "--agree-tos", "--directory", &scene.pebble.directory_url()]);
    assert_eq!(scene.done(&["deactivate"])["status"], "deactivated");
    let gone = scene.refused(77, &["show"]);
    assert!(gone.contains("deactivated"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_whose_answer_was_lost_finds_its_account_again() {
    let Some(_) = real::require(&[Tool::Pebble]) else { return };
    let scene = Scene::with_account().await;
    let (url, key) = (scene.credentials().account_url().to_owned(), scene.credentials().key().to_pkcs8_pem());
    std::fs::remove_file(scene.path("account.json")).unwrap();
    std::fs::write(scene.path("account.json.key"), key.expose()).unwrap();
    assert_eq!(scene.done(&["register", "--agree-tos"])["account"], url.as_str());
    assert!(!scene.path("account.json.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_rolled_and_the_account_stays() {
    let Some(_) = real::require(&[Tool::Pebble]) else { return };
    let scene = Scene::with_account().await;
    let before = scene.done(&["show"]);
    for kind in ["es384", "rs256", "es256"] {
        let after = scene.done(&["roll-key", "--key-type", kind]);
        assert_eq!(after["account"], before["account"]);
        assert_eq!(after["key_type"].as_str().unwrap().to_lowercase(), kind);
        assert_ne!(after["thumbprint"], before["thumbprint"]);
        assert_eq!(scene.done(&["show"])["thumbprint"], after["thumbprint"]);
    }
    // Pebble takes no EdDSA: the old key stays in use.
    let refused = scene.refused(77, &["roll-key", "--key-type", "eddsa"]);
    assert!(refused.contains("badSignatureAlgorithm"), "{refused}");
    assert_eq!(scene.done(&["show"])["key_type"], "ES256");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_change_that_was_interrupted_is_settled_on_either_side_of_it() {
    let Some(_) = real::require(&[Tool::Pebble]) else { return };
    let scene = Scene::with_account().await;
    let new_key = Arc::new(AccountKey::generate().unwrap());
    let new_thumbprint = new_key.jwk().thumbprint();
    let pending = scene.credentials().with_pending_key(new_key).unwrap();
    let account = scene.account();

    scene.keep(&pending); // and the process ends before the request is sent
    assert_ne!(scene.done(&["show"])["thumbprint"], new_thumbprint.as_str());

    account.change_key(&pending).await.unwrap(); // and the process ends before the answer is kept
    assert_eq!(scene.done(&["roll-key"])["thumbprint"], new_thumbprint.as_str());
    assert!(scene.credentials().pending_key().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_revoked_by_the_account_and_by_their_own_key() {
    let Some(_) = real::require(&[Tool::Pebble]) else { return };
    let scene = Scene::with_account().await;
    let (one, two) = (scene.certificate("one").await, scene.certificate("two").await);
    scene.done(&["revoke", "one.pem", "--reason", "superseded"]);
    assert_eq!(scene.status(&one).await, CertificateStatus::Revoked { reason: Some(4) });
    assert_eq!(scene.status(&two).await, CertificateStatus::Valid);
    scene.done(&["revoke", "two.pem", "--key", "two.key"]);
    assert_eq!(scene.status(&two).await, CertificateStatus::Revoked { reason: None });
    // Once more is no failure: it is what was wanted.
    scene.done(&["revoke", "one.pem"]);
    let orders = scene.done(&["orders"]);
    assert_eq!(orders["orders"].as_array().unwrap().len(), 2, "{orders}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_with_a_key_that_no_process_list_shows() {
    let Some(_) = real::require(&[Tool::Pebble]) else { return };
    let scene = Scene::new(Pebble::builder().external_account("kid-1", MAC_KEY)).await;
    let directory = scene.pebble.directory_url();
    let register = ["register", "--agree-tos", "--directory", &directory, "--ca-root", "root.pem"];
    let unbound = scene.refused(64, &register[..4]);
    assert!(unbound.contains("--eab-kid"), "{unbound}");
    let shown = scene.refused(64, &[&register[..4], &["--eab-kid", "kid-1", "--eab-key", MAC_KEY]].concat());
    assert!(shown.contains("@FILE") && !shown.contains(MAC_KEY), "{shown}");
    std::fs::write(scene.path("wrong"), "bm90LXRoZS1rZXktb2YtdGhlLWN1c3RvbWVyLWF0LWFsbA").unwrap();
    std::fs::write(scene.path("right"), MAC_KEY).unwrap();
    scene.refused(77, &[&register[..4], &["--eab-kid", "kid-1", "--eab-key", "@wrong"]].concat());
    scene.done(&["register", "--agree-tos", "--eab-kid", "kid-1", "--eab-key", "@right"]);
    let other = [&register[..], &["--account", "other.json", "--eab-kid", "kid-1"]].concat();
    let output = account(scene.home.path(), &other, &[("ACME_EAB_KEY", MAC_KEY)]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_it_cannot_use_is_refused_before_anything_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("broken.json"), "{\"version\":1,\"key\":\"secret\"}").unwrap();
    for (code, arguments, named) in [
        (64, ["show"].as_slice(), "there is no account in account.json"),
        (64, &["register"], "--directory"),
        (64, &["register", "--directory", "http://ca.example/dir"], "https"),
        (64, &["register", "--directory", "https://ca.example/dir", "--eab-key", "@file"], "--eab-kid"),
        (64, &["update"], "--email"),
        (64, &["roll-key", "--key-type", "dsa"], "es256, es384, eddsa or rs256"),
        (78, &["show", "--account", "broken.json"], "broken.json"),
    ] {
        let output = account(home.path(), arguments, &[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(named) && !said.contains("secret"), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}
