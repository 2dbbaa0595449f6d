//! What a directory of certificates is after deliveries that succeed and that fail at every call.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    Issued, SecretTemplate,
    durable::{Call, Faults},
    output::tests::{Made, made},
};

/// Fails the call of this number, of those that count.
struct Failing {
    calls: AtomicUsize,
    at: usize,
    fails: fn(Call) -> bool,
    errno: i32,
}

impl Failing {
    fn disk(at: usize, fails: fn(Call) -> bool, errno: i32) -> Disk {
        Disk::with(Arc::new(Self { calls: AtomicUsize::new(0), at, fails, errno }))
    }
}

impl Faults for Failing {
    fn before(&self, call: Call, _: &Path) -> std::io::Result<()> {
        if (self.fails)(call) && self.calls.fetch_add(1, Ordering::SeqCst) == self.at {
            return Err(std::io::Error::from_raw_os_error(self.errno));
        }
        Ok(())
    }
}

const EPERM: i32 = 1;
const ENOSPC: i32 = 28;

fn id() -> CertificateId {
    "site".parse().unwrap()
}

fn shipment(made: &Made, format: OutputFormat) -> Shipment {
    let issued = Issued::made(&made.chain(), &made.key);
    Shipment { id: id(), format, template: SecretTemplate::default(), issued }
}

fn password(text: &str) -> SecretString {
    SecretString::new(text)
}

/// A sink that takes every form that there is.
fn sink(root: &Path) -> FileSink {
    let sink = FileSink::new(root).jks(Jks::new(password("changeit")).unwrap());
    match Pkcs12::new(password("changeit")) {
        Ok(pkcs12) => sink.pkcs12(pkcs12),
        Err(_) => sink,
    }
}

fn formats(sink: &FileSink) -> Vec<OutputFormat> {
    let all = [
        OutputFormat::CombinedPem,
        OutputFormat::Der,
        OutputFormat::Jks,
        OutputFormat::KubernetesSecret,
        OutputFormat::Pem,
        OutputFormat::Pkcs12,
    ];
    all.into_iter().filter(|format| sink.takes(*format)).collect()
}

/// What a server sees in the certificate's directory.
fn seen(sink: &FileSink) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(sink.directory(&id())) else { return BTreeMap::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| !name.starts_with('.'));
    names.map(|name| (name.clone(), fs::read(sink.directory(&id()).join(name)).unwrap())).collect()
}

#[tokio::test]
async fn every_form_lies_there_under_the_names_that_servers_expect() {
    let (directory, made) = (tempfile::tempdir().unwrap(), made());
    let sink = sink(directory.path()).anchors(TrustBundle::from_pem(&made.root).unwrap());
    for format in formats(&sink) {
        sink.deliver(&shipment(&made, format)).await.unwrap();
        assert_eq!(sink.found(&shipment(&made, format)).await.unwrap(), Found::AsDelivered, "{format}");
    }
    let seen = seen(&sink);
    let mut names: Vec<&str> = seen.keys().map(String::as_str).collect();
    names.retain(|name| !name.ends_with(".p12"));
    let wanted = [
        "ca.pem",
        "cert.der",
        "cert.pem",
        "chain.pem",
        "combined.pem",
        "fullchain.pem",
        "key.der",
        "keystore.jks",
        "privkey.pem",
        "secret.json",
        "truststore.jks",
    ];
    assert_eq!(names, wanted);
    assert_eq!(seen["fullchain.pem"], made.chain().as_bytes());
    assert_eq!(seen["privkey.pem"], made.key.expose().as_bytes());
    assert_eq!(seen["ca.pem"], made.root.replace("\r\n", "\n").as_bytes());
    #[cfg(unix)]
    for name in seen.keys() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(sink.directory(&id()).join(name)).unwrap().permissions().mode() & 0o777;
        let is_public = name.starts_with('c') && name != "combined.pem"
            || name.starts_with("truststore")
            || name == "fullchain.pem";
        assert_eq!(mode, if is_public { 0o644 } else { 0o600 }, "{name}");
    }
    // What is trusted no more is not left lying there.
    let without = FileSink::new(directory.path());
    without.deliver(&shipment(&made, OutputFormat::Pem)).await.unwrap();
    assert!(self::seen(&without).contains_key("ca.pem"), "the same is not written once more");
    without.deliver(&shipment(&self::made(), OutputFormat::Pem)).await.unwrap();
    assert!(!self::seen(&without).contains_key("ca.pem"));
}

#[tokio::test]
async fn the_generation_before_is_kept_and_gone_back_to_and_a_keeper_leaves_it_so() {
    let (directory, old, new, newest) = (tempfile::tempdir().unwrap(), made(), made(), made());
    let sink = sink(directory.path());
    let pem = |made: &Made| shipment(made, OutputFormat::Pem);
    sink.deliver(&pem(&old)).await.unwrap();
    assert!(!sink.roll_back(&id(), OutputFormat::Pem).await.unwrap(), "there is none before the first");
    let before = seen(&sink);
    sink.deliver(&pem(&new)).await.unwrap();
    // A crash may deliver the same once more.
    sink.deliver(&pem(&new)).await.unwrap();
    let after = seen(&sink);
    assert!(before != after);
    assert!(sink.roll_back(&id(), OutputFormat::Pem).await.unwrap());
    assert!(seen(&sink) == before);
    assert_eq!(sink.found(&pem(&new)).await.unwrap(), Found::AsDelivered);
    assert_eq!(sink.found(&pem(&old)).await.unwrap(), Found::Overwritten);
    assert!(sink.roll_back(&id(), OutputFormat::Pem).await.unwrap());
    assert!(seen(&sink) == after);
    sink.roll_back(&id(), OutputFormat::Pem).await.unwrap();
    sink.deliver(&pem(&newest)).await.unwrap();
    assert_eq!(seen(&sink)["fullchain.pem"], newest.chain().as_bytes());
    let home = sink.directory(&id()).join(".pem");
    assert_eq!(fs::read_dir(home).unwrap().count(), 4, "two generations and two links");
}

#[tokio::test]
async fn whatever_call_fails_the_old_or_the_new_lies_there_whole_and_nothing_half_beside() {
    let (old, new) = (made(), made());
    let counts = |call: Call| !matches!(call, Call::Remove);
    for format in [OutputFormat::Pem, OutputFormat::Jks] {
        for is_first in [true, false] {
            let mut failed = 0;
            for at in 0.. {
                let directory = tempfile::tempdir().unwrap();
                let root = directory.path().join("out");
                let sound = sink(&root).on(Failing::disk(0, |_| false, 0));
                if !is_first {
                    sound.deliver(&shipment(&old, format)).await.unwrap();
                }
                let before = seen(&sound);
                let failing = sink(&root).on(Failing::disk(at, counts, ENOSPC));
                let result = failing.deliver(&shipment(&new, format)).await;
                let after = seen(&sound);
                let is_new = sound.found(&shipment(&new, format)).await.unwrap() == Found::AsDelivered;
                assert!(after == before || is_new, "{format} {is_first} {at}: {:?}", after.keys());
                let Err(error) = result else { break };
                failed += 1;
                assert!(error.message.contains("out"), "{error}");
                assert!(error.message.contains("No space left on device"), "{error}");
                let home = fs::read_dir(root.join("site").join(form::home(format)));
                for entry in home.into_iter().flatten() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    assert!(!durable::is_temporary(&name), "{format} {at}: {name}");
                }
                sound.deliver(&shipment(&new, format)).await.unwrap();
                assert_eq!(sound.found(&shipment(&new, format)).await.unwrap(), Found::AsDelivered);
            }
            assert!(failed > 12, "{format}: {failed}");
        }
    }
}

#[tokio::test]
async fn an_owner_that_cannot_be_given_to_is_said_and_the_old_certificate_stays() {
    let (directory, old, new) = (tempfile::tempdir().unwrap(), made(), made());
    let plain = FileSink::new(directory.path());
    plain.deliver(&shipment(&old, OutputFormat::Pem)).await.unwrap();
    let before = seen(&plain);
    let gives = |call| call == Call::Give;
    let given = plain.clone().owner("4711").on(Failing::disk(2, gives, EPERM));
    let error = given.deliver(&shipment(&new, OutputFormat::Pem)).await.unwrap_err();
    assert!(error.message.starts_with("cannot change the owner or group of "), "{error}");
    assert!(error.message.contains("privkey.pem") && error.message.contains("not permitted"), "{error}");
    let nobody = plain.clone().group("no-such-group");
    let error = nobody.deliver(&shipment(&new, OutputFormat::Pem)).await.unwrap_err();
    assert_eq!(error.message, "this machine has no group \"no-such-group\": make it, or name another");
    assert!(error.retry().is_worthwhile());
    assert!(seen(&plain) == before);
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_before_anything_is_written() {
    let (directory, made, other) = (tempfile::tempdir().unwrap(), made(), made());
    let sink = sink(directory.path());
    for format in formats(&sink) {
        let issued = Issued::made(&made.chain(), &other.key);
        let error = sink.deliver(&Shipment { issued, ..shipment(&made, format) }).await.unwrap_err();
        assert!(error.message.contains("does not belong to the certificate"), "{error}");
        assert!(!error.message.contains("PRIVATE"), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_place_that_cannot_be_a_directory_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = sink(&file).deliver(&shipment(&made(), OutputFormat::Pem)).await.unwrap_err();
    assert!(error.message.contains("file") && error.message.contains("directory"), "{error}");
}

#[tokio::test]
async fn a_store_under_another_password_is_delivered_once_more_and_not_taken_over() {
    let (directory, made) = (tempfile::tempdir().unwrap(), made());
    let sink = sink(directory.path());
    let other = FileSink::new(directory.path()).jks(Jks::new(password("Tr0ub4dor")).unwrap());
    let jks = shipment(&made, OutputFormat::Jks);
    sink.deliver(&jks).await.unwrap();
    assert_eq!(other.found(&jks).await.unwrap(), Found::Overwritten);
    let error = other.stored(&id(), OutputFormat::Jks).await.err().unwrap();
    assert!(error.message.contains("the password does not open this JKS file"), "{error}");
    assert!(!error.message.contains("Tr0ub"), "{error}");
    other.deliver(&jks).await.unwrap();
    assert_eq!(other.found(&jks).await.unwrap(), Found::AsDelivered);
    fs::remove_file(directory.path().join("site/keystore.jks")).unwrap();
    assert_eq!(other.found(&jks).await.unwrap(), Found::Gone);
}

#[tokio::test]
async fn what_lies_there_in_a_form_that_can_be_read_is_what_was_delivered() {
    let (directory, made) = (tempfile::tempdir().unwrap(), made());
    let sink = sink(directory.path());
    for format in formats(&sink) {
        assert!(sink.stored(&id(), format).await.unwrap().is_none(), "{format}");
        sink.deliver(&shipment(&made, format)).await.unwrap();
        let stored = sink.stored(&id(), format).await.unwrap();
        let is_read = !matches!(format, OutputFormat::Der | OutputFormat::KubernetesSecret);
        let Some(deposit) = stored.filter(|_| is_read) else {
            assert!(!is_read, "{format}");
            continue;
        };
        let key = CertifiedKey::new(&deposit.chain_pem, &deposit.private_key_pem).unwrap();
        assert!(key.is_same(&made.certified()), "{format}");
    }
}

#[tokio::test]
async fn a_key_in_the_form_of_openssl_is_taken_over_as_pkcs8_wherever_it_stands() {
    let (directory, made) = (tempfile::tempdir().unwrap(), made());
    let sink = sink(directory.path());
    let pkcs8 = made.certified().private_key_der().expose()[26..].to_vec();
    let sec1 = &pkcs8[pkcs8.iter().position(|byte| *byte == 0x30).unwrap()..];
    let key = encode_pem("EC PARAMETERS", &[0x06, 0]) + &encode_pem("EC PRIVATE KEY", sec1);
    let site = directory.path().join("site");
    fs::create_dir(&site).unwrap();
    for combined in
        [key.clone() + &made.chain(), made.chain() + &key, format!("{}{key}{}", made.leaf, made.intermediate)]
    {
        fs::write(site.join("combined.pem"), combined).unwrap();
        let deposit = sink.stored(&id(), OutputFormat::CombinedPem).await.unwrap().unwrap();
        let found = CertifiedKey::new(&deposit.chain_pem, &deposit.private_key_pem).unwrap();
        assert!(found.is_same(&made.certified()));
        assert!(found.private_key_pem().expose().starts_with("-----BEGIN PRIVATE KEY-----"));
    }
    for nothing in [made.chain(), "-----BEGIN CERTIFICATE-----\n".to_owned()] {
        fs::write(site.join("combined.pem"), nothing).unwrap();
        assert!(sink.stored(&id(), OutputFormat::CombinedPem).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn plain_files_make_room_and_what_else_lies_there_stays() {
    let (directory, old, new) = (tempfile::tempdir().unwrap(), made(), made());
    let sink = sink(directory.path());
    old.certified().pem_set().write_to(sink.directory(&id())).unwrap();
    fs::write(sink.directory(&id()).join("README"), "certbot's").unwrap();
    sink.deliver(&shipment(&new, OutputFormat::Pem)).await.unwrap();
    let seen = seen(&sink);
    assert_eq!(seen["fullchain.pem"], new.chain().as_bytes());
    assert_eq!(seen["README"], b"certbot's");
}
