//! Which files a form consists of, and whether what lies there is what it should be.

use std::collections::BTreeSet;

use perennial_core::SecretBytes;

use crate::{
    CertificateId, OutputFormat, SecretTemplate,
    output::{CertifiedKey, Jks, OutputError, Pkcs12, SecretManifest},
    trust::TrustBundle,
};

/// What a sink knows of forms.
#[derive(Clone, Default)]
pub(super) struct Forms {
    pub(super) anchors: Option<TrustBundle>,
    pub(super) jks: Option<Jks>,
    pub(super) namespace: Option<String>,
    pub(super) pkcs12: Option<Pkcs12>,
}

/// One file of a form.
pub(super) struct FormFile {
    pub(super) name: &'static str,
    pub(super) content: SecretBytes,
    /// Whether a key is in it.
    pub(super) is_private: bool,
}

impl FormFile {
    fn private(name: &'static str, content: impl Into<SecretBytes>) -> Self {
        Self { name, content: content.into(), is_private: true }
    }

    fn public(name: &'static str, content: impl Into<Vec<u8>>) -> Self {
        Self { name, content: SecretBytes::new(content), is_private: false }
    }
}

impl Forms {
    pub(super) fn take(&self, format: OutputFormat) -> bool {
        match format {
            OutputFormat::CombinedPem
            | OutputFormat::Der
            | OutputFormat::KubernetesSecret
            | OutputFormat::Pem => true,
            OutputFormat::Jks => self.jks.is_some(),
            OutputFormat::Pkcs12 => self.pkcs12.is_some(),
        }
    }

    /// The files of a form, the one with the key first; `None` for a form that the sink does not take.
    pub(super) fn files(
        &self,
        (id, format): (&CertificateId, OutputFormat),
        template: &SecretTemplate,
        key: &CertifiedKey,
    ) -> Result<Option<Vec<FormFile>>, OutputError> {
        let anchors = self.anchors_of(key)?;
        let mut files = Vec::new();
        match format {
            OutputFormat::CombinedPem => {
                files.push(FormFile::private(COMBINED, key.combined_pem().expose().as_bytes().to_vec()));
            }
            OutputFormat::Der => {
                files.push(FormFile::private(KEY_DER, key.private_key_der().clone()));
                files.push(FormFile::public(CERT_DER, key.chain_der().next().unwrap_or_default()));
            }
            OutputFormat::Jks => {
                let Some(jks) = &self.jks else { return Ok(None) };
                files.push(FormFile::private(KEYSTORE_JKS, jks.key_store(key)?));
                files.extend(
                    anchors.map(|it| FormFile::public(TRUSTSTORE_JKS, jks.trust_store(&it).expose())),
                );
            }
            OutputFormat::KubernetesSecret => {
                let manifest = SecretManifest::new(id.as_str())?.template(template.clone());
                let manifest = match &self.namespace {
                    Some(namespace) => manifest.namespace(namespace)?,
                    None => manifest,
                };
                files.push(FormFile::private(SECRET, manifest.to_json(key, anchors.as_ref())?));
            }
            OutputFormat::Pem => {
                let set = key.pem_set();
                files.push(FormFile::private(PRIVKEY, set.private_key().expose().as_bytes().to_vec()));
                files.push(FormFile::public(CHAIN, set.chain()));
                files.push(FormFile::public(CERT, set.certificate()));
                files.push(FormFile::public(FULLCHAIN, set.fullchain()));
                files.extend(anchors.map(|it| FormFile::public(CA, it.to_pem())));
            }
            OutputFormat::Pkcs12 => {
                let Some(pkcs12) = &self.pkcs12 else { return Ok(None) };
                files.push(FormFile::private(KEYSTORE_P12, pkcs12.key_store(key)?));
                if let Some(anchors) = anchors {
                    files.push(FormFile::public(TRUSTSTORE_P12, pkcs12.trust_store(&anchors)?.expose()));
                }
            }
        }
        Ok(Some(files))
    }

    /// What is trusted: what was said, or else the chain's own root, if it has one.
    fn anchors_of(&self, key: &CertifiedKey) -> Result<Option<TrustBundle>, OutputError> {
        let own = || key.root_der().map(|root| TrustBundle::from_der([root])).transpose();
        Ok(match &self.anchors {
            Some(anchors) => Some(anchors.clone()),
            None => own()?,
        })
    }

    /// Whether a file that was found is what it should be. Stores have fresh salts each time, so they are opened.
    pub(super) fn is_same(&self, found: &[u8], wanted: &FormFile) -> bool {
        let wanted_bytes = wanted.content.expose();
        if found == wanted_bytes {
            return true;
        }
        let same_key = |found: Result<CertifiedKey, _>, wanted: Result<CertifiedKey, OutputError>| {
            found.is_ok_and(|found| wanted.is_ok_and(|wanted| found.is_same(&wanted)))
        };
        match (wanted.name, &self.pkcs12, &self.jks) {
            (KEYSTORE_P12, Some(it), _) => {
                same_key(it.read_key_store(found), it.read_key_store(wanted_bytes))
            }
            (KEYSTORE_JKS, _, Some(it)) => {
                same_key(it.read_key_store(found), it.read_key_store(wanted_bytes))
            }
            (TRUSTSTORE_P12, Some(it), _) => {
                same_trust(it.read_trust_store(found), it.read_trust_store(wanted_bytes))
            }
            _ => false,
        }
    }
}

fn same_trust(found: Result<TrustBundle, OutputError>, wanted: Result<TrustBundle, OutputError>) -> bool {
    let set = |bundle: TrustBundle| bundle.fingerprints().collect::<BTreeSet<_>>();
    found.map(set).ok() == wanted.map(set).ok()
}

/// All names that a form can have: those that it has no more are taken away.
pub(super) const fn names(format: OutputFormat) -> &'static [&'static str] {
    match format {
        OutputFormat::CombinedPem => &[COMBINED],
        OutputFormat::Der => &[KEY_DER, CERT_DER],
        OutputFormat::Jks => &[KEYSTORE_JKS, TRUSTSTORE_JKS],
        OutputFormat::KubernetesSecret => &[SECRET],
        OutputFormat::Pem => &[PRIVKEY, CHAIN, CERT, FULLCHAIN, CA],
        OutputFormat::Pkcs12 => &[KEYSTORE_P12, TRUSTSTORE_P12],
    }
}

/// Where the generations of a form lie.
pub(super) const fn home(format: OutputFormat) -> &'static str {
    match format {
        OutputFormat::CombinedPem => ".combined",
        OutputFormat::Der => ".der",
        OutputFormat::Jks => ".jks",
        OutputFormat::KubernetesSecret => ".kubernetes",
        OutputFormat::Pem => ".pem",
        OutputFormat::Pkcs12 => ".pkcs12",
    }
}

pub(super) const COMBINED: &str = "combined.pem";
pub(super) const KEYSTORE_JKS: &str = "keystore.jks";
pub(super) const KEYSTORE_P12: &str = "keystore.p12";
pub(super) const PRIVKEY: &str = "privkey.pem";
pub(super) const FULLCHAIN: &str = "fullchain.pem";
const CA: &str = "ca.pem";
const CERT: &str = "cert.pem";
const CERT_DER: &str = "cert.der";
const CHAIN: &str = "chain.pem";
const KEY_DER: &str = "key.der";
const SECRET: &str = "secret.json";
const TRUSTSTORE_JKS: &str = "truststore.jks";
const TRUSTSTORE_P12: &str = "truststore.p12";
