//! A private PKI for tests: CAs as somebody else made them, and requests to sign.

use std::{process::Command, sync::Arc, time::Duration};

use perennial_core::{Clock as _, SecretString, Timestamp};
use perennial_issuers::{CaIssuer, CaIssuerBuilder, CaSource};
use perennial_lifecycle::{
    CertificateSpec, IssueError, IssuedChain, Issuer, Journal, KeyAlgorithm, PrivateKey, SigningRequest,
};
use perennial_testkit::{
    ManualClock,
    real::{Components, Tool},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_unix(NOW)))
}

/// A CA that somebody else has made.
pub(crate) struct Ca {
    pub(crate) params: CertificateParams,
    pub(crate) key: KeyPair,
    /// Its certificate and those above it.
    pub(crate) chain: String,
}

/// A CA that has ten years to go.
pub(crate) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from_unix_timestamp(NOW).unwrap() - YEAR;
    params.not_after = OffsetDateTime::from_unix_timestamp(NOW).unwrap() + 10 * YEAR;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

impl Ca {
    pub(crate) fn root(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        Self { params, key, chain }
    }

    pub(crate) fn below(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = rcgen::Issuer::from_params(&self.params, &self.key);
        let chain = params.signed_by(&key, &issuer).unwrap().pem() + &self.chain;
        Self { params, key, chain }
    }

    pub(crate) fn key_pem(&self) -> SecretString {
        SecretString::new(self.key.serialize_pem())
    }

    pub(crate) fn source(&self) -> CaSource {
        CaSource::pem(self.chain.as_str(), self.key_pem())
    }

    pub(crate) fn builder(&self, clock: &Arc<ManualClock>) -> CaIssuerBuilder {
        CaIssuer::builder(self.source()).clock(clock.clone())
    }

    pub(crate) fn issuer(&self, clock: &Arc<ManualClock>) -> CaIssuer {
        self.builder(clock).build().unwrap()
    }

    /// What is the matter with it, said when it is made.
    pub(crate) fn fault(&self) -> String {
        self.builder(&clock()).build().err().unwrap().to_string()
    }
}

pub(crate) fn spec(name: &str) -> CertificateSpec {
    CertificateSpec::new("leaf", [name]).unwrap()
}

/// What an issuer makes of a spec, with a new key.
pub(crate) async fn issue(issuer: &dyn Issuer, spec: &CertificateSpec) -> Result<IssuedChain, IssueError> {
    let key = PrivateKey::generate(spec.key()).unwrap();
    let mut request = SigningRequest::of(spec, &key).unwrap();
    if issuer.needs_key() {
        request = request.with_key(key);
    }
    let journal = Journal::in_memory(spec.clone(), clock()).await.unwrap();
    issuer.issue(&request, &journal).await
}

pub(crate) fn count(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

/// Somebody else's eyes, where they are there.
pub(crate) struct Openssl {
    components: Components,
    directory: tempfile::TempDir,
}

impl Openssl {
    pub(crate) fn required() -> Option<Self> {
        let components = perennial_testkit::real::require(&[Tool::Openssl])?;
        Some(Self { components, directory: tempfile::tempdir().unwrap() })
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What it says, with success.
    fn run(&self, arrange: impl FnOnce(&mut Command)) -> Result<String, String> {
        let mut command = self.components.find(Tool::Openssl).unwrap().command();
        arrange(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(said + &String::from_utf8_lossy(&output.stderr)) }
    }

    /// Verifies a chain at a moment, strictly, under some roots.
    pub(crate) fn verify(&self, roots: &str, chain: &str, clock: &ManualClock) -> Result<String, String> {
        let (roots, chain) = (self.file("roots.pem", roots), self.file("chain.pem", chain));
        self.run(|command| {
            command.args(["verify", "-x509_strict", "-attime", &clock.now().unix().to_string(), "-CAfile"]);
            command.arg(roots).arg("-untrusted").arg(&chain).arg(&chain);
        })
    }

    /// The same, with a look at the list of what was revoked.
    pub(crate) fn verify_unrevoked(
        &self,
        roots: &str,
        chain: &str,
        list: &[u8],
        clock: &ManualClock,
    ) -> Result<String, String> {
        let (roots, chain, list) =
            (self.file("roots.pem", roots), self.file("chain.pem", chain), self.file("list.crl", list));
        self.run(|command| {
            command.args(["verify", "-crl_check", "-attime", &clock.now().unix().to_string(), "-CAfile"]);
            command.arg(roots).arg("-CRLfile").arg(list).arg("-untrusted").arg(&chain).arg(&chain);
        })
    }

    /// A key in the form that was usual before PKCS#8.
    pub(crate) fn traditional(&self, key: &str) -> String {
        let key = self.file("key.pem", key);
        self.run(|command| {
            command.args(["pkey", "-traditional", "-in"]).arg(key);
        })
        .unwrap()
    }

    /// A certificate as text.
    pub(crate) fn text(&self, chain: &str) -> String {
        let chain = self.file("chain.pem", chain);
        self.run(|command| {
            command.args(["x509", "-noout", "-text", "-in"]).arg(chain);
        })
        .unwrap()
    }
}

/// Roots as PEM.
pub(crate) async fn anchors(issuer: &CaIssuer) -> String {
    let anchors = issuer.trust_anchors().await.unwrap();
    let encode = |der: &[u8]| {
        let encoded = data_encoding::BASE64.encode(der);
        let lines: Vec<_> =
            encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    anchors.iter().map(|anchor| encode(anchor)).collect()
}
