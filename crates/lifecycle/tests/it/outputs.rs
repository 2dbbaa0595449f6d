//! Every form, read by programs that we have not written: openssl, and keytool of Java.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use perennial_core::SecretString;
use perennial_lifecycle::{
    output::{CertifiedKey, Jks},
    trust::TrustBundle,
};
use perennial_testkit::real::{self, Components, Tool};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const PASSWORD: &str = "correct horse";

/// A leaf below an intermediate, and the root that is trusted.
struct Made {
    key: CertifiedKey,
    anchors: TrustBundle,
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> Made {
    let [root_key, middle_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let key = KeyPair::generate_for(algorithm).unwrap();
    let root = ca("root").self_signed(&root_key).unwrap();
    let middle = ca("middle").signed_by(&middle_key, &Issuer::new(ca("root"), &root_key)).unwrap();
    let mut params = CertificateParams::new(vec!["site.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "site.example");
    let leaf = params.signed_by(&key, &Issuer::new(ca("middle"), &middle_key)).unwrap();
    let private_key = SecretString::new(key.serialize_pem());
    Made {
        key: CertifiedKey::new(&(leaf.pem() + &middle.pem()), &private_key).unwrap(),
        anchors: TrustBundle::from_pem(&root.pem()).unwrap(),
    }
}

/// A directory, and programs that read what lies in it.
struct Desk {
    directory: tempfile::TempDir,
    components: Components,
}

impl Desk {
    fn new(tool: Tool) -> Option<Self> {
        let components = real::require(&[tool])?;
        Some(Self { directory: tempfile::tempdir().unwrap(), components })
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn run(&self, tool: Tool, arguments: &[&str]) -> Output {
        let mut command: Command = self.components.find(tool).unwrap().command();
        // What a program says is looked for in English.
        if tool == Tool::Keytool {
            // It is over before it would be worth to compile it well.
            command.arg("-J-XX:TieredStopAtLevel=1");
        }
        command.args(arguments).current_dir(self.directory.path()).env("LC_ALL", "C").output().unwrap()
    }

    /// What a program says about a file that it takes.
    fn said(&self, tool: Tool, arguments: &[&str]) -> String {
        let output = self.run(tool, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    }

    /// What it says about one that it refuses.
    fn refused(&self, tool: Tool, arguments: &[&str]) -> String {
        let output = self.run(tool, arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A fingerprint as both programs print it.
fn printed(fingerprint: &str) -> String {
    let upper = fingerprint.to_uppercase();
    let pairs: Vec<&str> = (0..upper.len()).step_by(2).map(|at| &upper[at..at + 2]).collect();
    pairs.join(":")
}

#[test]
fn openssl_reads_pem_and_der_and_finds_key_and_certificate_to_belong_together() {
    let Some(desk) = Desk::new(Tool::Openssl) else { return };
    let Made { key, anchors } = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    desk.file("combined.pem", key.combined_pem().expose().as_bytes());
    desk.file("key.der", key.private_key_der().expose());
    desk.file("cert.der", key.chain_der().next().unwrap());
    desk.file("ca.pem", anchors.to_pem().as_bytes());
    desk.file("chain.pem", key.pem_set().chain().as_bytes());
    let public_of = |arguments: &[&str]| {
        let said = desk.said(Tool::Openssl, arguments);
        said[said.find("-----BEGIN PUBLIC KEY").unwrap()..].to_owned()
    };
    let public = public_of(&["pkey", "-in", "combined.pem", "-pubout"]);
    assert_eq!(public_of(&["x509", "-in", "combined.pem", "-noout", "-pubkey"]), public);
    assert_eq!(public_of(&["pkey", "-inform", "DER", "-in", "key.der", "-pubout"]), public);
    assert_eq!(public_of(&["x509", "-inform", "DER", "-in", "cert.der", "-noout", "-pubkey"]), public);
    let fingerprint =
        desk.said(Tool::Openssl, &["x509", "-in", "combined.pem", "-noout", "-fingerprint", "-sha256"]);
    assert!(fingerprint.contains(&printed(&key.facts().fingerprint)), "{fingerprint}");
    let verify = ["verify", "-CAfile", "ca.pem", "-untrusted", "chain.pem", "combined.pem"];
    assert!(desk.said(Tool::Openssl, &verify).contains("combined.pem: OK"));
}

/// All certificates of a key store, leaf first, by their subjects and fingerprints, as keytool lists them.
fn assert_lists_key(listed: &str, key: &CertifiedKey, alias: &str) {
    for part in
        [&format!("Alias name: {alias}"), "Entry type: PrivateKeyEntry", "Certificate chain length: 2"]
    {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    assert!(listed.contains(&printed(&key.facts().fingerprint)), "{listed}");
}

fn assert_lists_anchor(listed: &str, anchors: &TrustBundle) {
    let [anchor] = anchors.anchors() else { panic!("{anchors:?}") };
    for part in [&format!("Alias name: {}", anchor.alias()), "Entry type: trustedCertEntry"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    assert!(listed.contains(&printed(&anchor.fingerprint().to_string())), "{listed}");
}

fn listing<'a>(kind: &'a str, file: &'a str, password: &'a str) -> [&'a str; 8] {
    ["-list", "-v", "-storetype", kind, "-keystore", file, "-storepass", password]
}

/// The key of a store as openssl reads it, after keytool has written it anew as PKCS#12.
fn exported(desk: &Desk, file: &str) -> String {
    let into = "exported.p12";
    let arguments = [
        "-importkeystore",
        "-srckeystore",
        file,
        "-srcstoretype",
        "JKS",
        "-srcstorepass",
        PASSWORD,
        "-destkeystore",
        into,
        "-deststoretype",
        "PKCS12",
        "-deststorepass",
        PASSWORD,
    ];
    desk.said(Tool::Keytool, &arguments);
    let password = format!("pass:{PASSWORD}");
    let said = desk.said(Tool::Openssl, &["pkcs12", "-in", into, "-nodes", "-nocerts", "-passin", &password]);
    desk.file("exported.pem", said.as_bytes());
    desk.said(Tool::Openssl, &["pkey", "-in", "exported.pem", "-pubout"])
}

#[test]
fn keytool_reads_java_key_stores_and_trust_stores_and_gets_the_key_out() {
    let (Some(desk), Some(_)) = (Desk::new(Tool::Keytool), Desk::new(Tool::Openssl)) else { return };
    let Made { key, anchors } = made(&rcgen::PKCS_ECDSA_P384_SHA384);
    let jks = Jks::new(SecretString::new(PASSWORD)).unwrap().alias("Tomcat");
    desk.file("keystore.jks", jks.key_store(&key).unwrap().expose());
    desk.file("truststore.jks", jks.trust_store(&anchors).expose());
    assert_lists_key(&desk.said(Tool::Keytool, &listing("JKS", "keystore.jks", PASSWORD)), &key, "tomcat");
    assert_lists_anchor(&desk.said(Tool::Keytool, &listing("JKS", "truststore.jks", PASSWORD)), &anchors);
    let refused = desk.refused(Tool::Keytool, &listing("JKS", "keystore.jks", "another"));
    assert!(refused.contains("password was incorrect"), "{refused}");
    desk.file("key.pem", key.private_key_pem().expose().as_bytes());
    let public = desk.said(Tool::Openssl, &["pkey", "-in", "key.pem", "-pubout"]);
    assert_eq!(exported(&desk, "keystore.jks"), public);
    // And what keytool writes in this form is read by us.
    let into = [
        "-importkeystore",
        "-srckeystore",
        "keystore.jks",
        "-srcstoretype",
        "JKS",
        "-srcstorepass",
        PASSWORD,
        "-destkeystore",
        "theirs.jks",
        "-deststoretype",
        "JKS",
        "-deststorepass",
        PASSWORD,
    ];
    desk.said(Tool::Keytool, &into);
    let theirs = jks.read_key_store(&read(desk.directory.path(), "theirs.jks")).unwrap();
    assert_eq!(theirs.facts(), key.facts());
    assert!(theirs.private_key_der() == key.private_key_der());
}

fn read(directory: &Path, name: &str) -> Vec<u8> {
    std::fs::read(directory.join(name)).unwrap()
}

#[cfg(feature = "pkcs12")]
mod pkcs12 {
    use perennial_lifecycle::output::{OutputError, Pkcs12, Pkcs12Profile};

    use super::*;

    #[test]
    fn openssl_and_keytool_read_pkcs12_of_both_profiles_and_know_by_which_algorithms_it_is_protected() {
        let (Some(desk), Some(_)) = (Desk::new(Tool::Keytool), Desk::new(Tool::Openssl)) else { return };
        let Made { key, anchors } = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        let password = format!("pass:{PASSWORD}");
        let profiles = [
            (Pkcs12Profile::Legacy, "MAC: sha1, Iteration 10000", "pbeWithSHA1And3-KeyTripleDES-CBC"),
            (Pkcs12Profile::Modern, "MAC: sha256, Iteration 10000", "PBES2, PBKDF2, AES-256-CBC"),
        ];
        for (profile, mac, encryption) in profiles {
            let pkcs12 = Pkcs12::new(SecretString::new(PASSWORD)).unwrap().profile(profile);
            desk.file("keystore.p12", pkcs12.key_store(&key).unwrap().expose());
            desk.file("truststore.p12", pkcs12.trust_store(&anchors).unwrap().expose());
            let info = ["pkcs12", "-info", "-in", "keystore.p12", "-nodes", "-passin", &password];
            let said = desk.said(Tool::Openssl, &info);
            assert!(said.contains(mac) && said.matches(encryption).count() == 2, "{said}");
            assert_eq!(said.matches("BEGIN CERTIFICATE").count(), 2, "{said}");
            let wrong = ["pkcs12", "-info", "-in", "keystore.p12", "-nodes", "-passin", "pass:another"];
            assert!(desk.refused(Tool::Openssl, &wrong).contains("invalid password"));
            let listed = desk.said(Tool::Keytool, &listing("PKCS12", "keystore.p12", PASSWORD));
            assert_lists_key(&listed, &key, "certificate");
            let listed = desk.said(Tool::Keytool, &listing("PKCS12", "truststore.p12", PASSWORD));
            assert_lists_anchor(&listed, &anchors);
        }
    }

    #[test]
    fn what_openssl_writes_is_read_by_us_and_by_nobody_with_another_password() {
        let Some(desk) = Desk::new(Tool::Openssl) else { return };
        let Made { key, .. } = made(&rcgen::PKCS_ECDSA_P256_SHA256);
        desk.file("combined.pem", key.combined_pem().expose().as_bytes());
        let password = format!("pass:{PASSWORD}");
        let export =
            ["pkcs12", "-export", "-in", "combined.pem", "-out", "theirs.p12", "-passout", &password];
        desk.said(Tool::Openssl, &export);
        let bytes = read(desk.directory.path(), "theirs.p12");
        let theirs = Pkcs12::new(SecretString::new(PASSWORD)).unwrap().read_key_store(&bytes).unwrap();
        assert_eq!(theirs.facts(), key.facts());
        let other = Pkcs12::new(SecretString::new("another")).unwrap();
        let refused = other.read_key_store(&bytes).err();
        assert!(matches!(refused, Some(OutputError::WrongPassword { .. })), "{refused:?}");
    }
}
