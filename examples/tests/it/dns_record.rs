//! `dns_record`, every verb of it, against a name server of the embedded world and against a vendor's fake.

use std::{
    path::Path,
    process::{Command, Output},
};

use perennial_testkit::{
    World,
    vendor::{AwsKey, DigitalOcean, Fault, Route53, VendorServer, When},
};
use serde_json::{Value, json};

use crate::example;

const NAME: &str = "_acme-challenge.www.example.com";
const TOKEN: &str = "t0k3n-of-the-account";

/// A provider, and where the receipts go.
struct Scene {
    home: tempfile::TempDir,
    provider: Vec<String>,
    /// What nobody may see.
    secret: String,
}

impl Scene {
    fn new(kind: &str, options: &[(&str, &str)]) -> Self {
        let mut provider = vec!["--provider".to_owned(), kind.to_owned()];
        for (key, value) in options {
            provider.extend(["--provider-option".to_owned(), format!("{key}={value}")]);
        }
        let secret = options.iter().find(|(key, _)| ["secret", "secret-access-key", "token"].contains(key));
        let secret = secret.map(|(_, value)| (*value).to_owned()).unwrap();
        Self { home: tempfile::tempdir().unwrap(), provider, secret }
    }

    fn of_world(world: &World) -> Self {
        let (server, tsig) = (world.primary().to_string(), world.tsig());
        let options = [
            ("server", server.as_str()),
            ("key-name", tsig.name.as_str()),
            ("algorithm", &tsig.algorithm.to_string()),
            ("secret", &tsig.secret_base64),
        ];
        Self::new("rfc2136", &options)
    }

    fn of_digitalocean(fake: &VendorServer, token: &str) -> Self {
        Self::new("digitalocean", &[("token", token), ("base-url", &fake.base_url())])
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let provider = self.provider.iter().map(String::as_str);
        run(self.home.path(), &arguments.iter().copied().chain(provider).collect::<Vec<_>>())
    }

    /// Succeeds, and what it prints and says.
    fn done(&self, arguments: &[&str]) -> (Value, String) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        (serde_json::from_slice(&output.stdout).unwrap_or_default(), said(&output))
    }

    /// Fails with that exit code, and what it says.
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(!said(&output).contains(&self.secret), "{}", said(&output));
        said(&output)
    }
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(example("dns_record")).args(arguments).current_dir(home).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_added_listed_and_removed_by_its_receipt_at_a_name_server() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let scene = Scene::of_world(&world);
    let (made, said) = scene.done(&["add", NAME, "-one", "--ttl", "2m", "--receipt", "one.json", "--json"]);
    assert_eq!((&made["outcome"], &made["in_sync"]), (&json!("made"), &Value::Null));
    assert!(said.contains(r#"added "-one" at _acme-challenge.www.example.com in example.com"#), "{said}");
    let kept = std::fs::read(scene.home.path().join("one.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), made["receipt"]);

    let (receipt, _) = scene.done(&["add", NAME, "two"]);
    assert_eq!((&receipt["provider"], &receipt["value"]), (&json!("rfc2136"), &json!("two")));
    let (listed, _) = scene.done(&["list", NAME, "--json"]);
    assert_eq!((&listed["zone"]["apex"], &listed["name"]), (&json!("example.com"), &json!(NAME)));
    let records = json!([{ "value": "-one", "ttl": 120 }, { "value": "two", "ttl": 120 }]);
    assert_eq!(listed["records"], records, "the set has the time to live that it was made with");

    let (_, again) = scene.done(&["add", NAME, "two"]);
    assert!(again.contains("nothing to do: there was \"two\" at"), "{again}");
    let (_, paid) = scene.done(&["remove", "--receipt", "one.json"]);
    assert!(paid.contains("removed \"-one\" at") && paid.contains("one.json is paid"), "{paid}");
    assert_eq!(world.zone().txt_values(NAME), ["two"]);
    assert_eq!(std::fs::read_dir(scene.home.path()).unwrap().count(), 0);
    let (_, gone) = scene.done(&["remove", NAME, "absent"]);
    assert!(gone.contains("nothing to do: there was no \"absent\" at"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendors_refusal_says_its_code_and_the_remedy_and_leaves_no_receipt() {
    let fake = VendorServer::start(DigitalOcean::new(TOKEN), &["example.com"]).await.unwrap();
    fake.store().add("example.com", NAME, "somebody else's", 300);
    let wrong = Scene::of_digitalocean(&fake, "not-it");
    let refused = wrong.refused(77, &["add", NAME, "v", "--receipt", "v.json"]);
    assert!(refused.contains("digitalocean:") && refused.contains("HTTP 401"), "{refused}");
    assert_eq!(std::fs::read_dir(wrong.home.path()).unwrap().count(), 0);

    let scene = Scene::of_digitalocean(&fake, TOKEN);
    let (receipt, _) = scene.done(&["add", NAME, "v"]);
    assert!(receipt["record_id"].is_string(), "{receipt}");
    let (_, again) = scene.done(&["add", NAME, "v"]);
    assert!(again.contains("nothing to do"), "{again}");
    let listed = scene.run(&["list", NAME]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("\"somebody else's\"  300 s") && listed.contains("zone  example.com"),
        "{listed}"
    );
    scene.done(&["remove", NAME, "v"]);
    assert_eq!(fake.store().values(NAME), ["somebody else's"]);
    scene.refused(66, &["list", "www.example.org"]);

    fake.fault(When::Write, Fault::Forbidden);
    let refused = scene.refused(77, &["add", NAME, "w", "--receipt", "w.json"]);
    assert!(refused.contains("HTTP 403") && !scene.home.path().join("w.json").exists(), "{refused}");

    for _ in 0..4 {
        fake.fault(When::Write, Fault::Trouble(None));
    }
    let output = scene.run(&["add", NAME, "w", "--receipt", "w.json", "--json"]);
    let failure: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &failure["error"];
    assert_eq!((&error["exit_code"], &error["retry"]), (&json!(69), &json!("later")), "{failure}");
    assert_eq!((&error["status"], &error["code"]), (&json!(503), &json!("service_unavailable")), "{failure}");
    assert!(scene.home.path().join("w.json").exists(), "nobody knows whether the record is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_until_the_vendor_says_that_its_servers_have_it() {
    let fake = VendorServer::start(Route53::new(AwsKey::new("AKIDEXAMPLE", TOKEN)), &["example.com"]);
    let fake = fake.await.unwrap();
    let options =
        [("access-key-id", "AKIDEXAMPLE"), ("secret-access-key", TOKEN), ("base-url", &fake.base_url())];
    let scene = Scene::new("route53", &options);
    let (made, said) = scene.done(&["add", NAME, "v", "--wait", "--json"]);
    assert_eq!(made["in_sync"], true, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside_of_its_rails() {
    let fake = VendorServer::start(DigitalOcean::new(TOKEN), &["example.com"]).await.unwrap();
    let scene = Scene::of_digitalocean(&fake, TOKEN);
    let label = scene.refused(65, &["add", "www.example.com", "v", "--allow-prefix", "_acme-challenge"]);
    assert!(label.contains("_acme-challenge"), "{label}");
    let zone = scene.refused(65, &["add", NAME, "v", "--allow-zone", "example.net", "--receipt", "v.json"]);
    assert!(zone.contains("example.net"), "{zone}");
    assert_eq!(std::fs::read_dir(scene.home.path()).unwrap().count(), 0);
    assert!(fake.store().values(NAME).is_empty());
}

#[test]
fn it_tells_which_providers_there_are_and_what_they_take() {
    let home = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| {
        let output = run(home.path(), arguments);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let kinds = printed(&["providers"]);
    assert!(kinds.lines().count() > 30 && kinds.contains("\nroute53 "), "{kinds}");
    let options = printed(&["providers", "cloudflare"]);
    assert!(options.contains("zone-id") && options.contains("secret"), "{options}");
    let schema: Value = serde_json::from_str(&printed(&["schema", "cloudflare"])).unwrap();
    assert_eq!(schema["properties"]["token"]["writeOnly"], true);
    for (arguments, named) in [
        (["list", NAME].as_slice(), "--provider is missing"),
        (&["schema", "cloudflair"], "there is no DNS provider `cloudflair`"),
        (&["providers", "cloudflair"], "there is no DNS provider `cloudflair`"),
        (&["remove", NAME], "<VALUE>"),
        (&["remove", "--receipt", "nothing.json"], "nothing.json"),
        (&["list", NAME, "--provider", "cloudflare", "--provider-option", "s3cret"], "KEY=VALUE"),
    ] {
        let output = run(home.path(), arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(named) && !said(&output).contains("s3cret"), "{}", said(&output));
    }
}
