//! Manifests of `kubernetes.io/tls` secrets, for `kubectl apply -f`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use perennial_core::SecretBytes;
use serde::Serialize;

use super::{CertifiedKey, OutputError};
use crate::{OutputFormat, SecretTemplate, trust::TrustBundle};

/// How a certificate becomes a manifest of a `kubernetes.io/tls` secret: JSON, which `kubectl` reads as it reads YAML.
///
/// | key | holds |
/// |---|---|
/// | `tls.crt` | the chain, leaf first |
/// | `tls.key` | the private key, PKCS#8 |
/// | `ca.crt` | the trust anchors, where any are known |
/// | `tls-combined.pem` | key and chain in one, [if wished for](Self::combined_pem) |
/// | `key.der` | the private key in DER, [if wished for](Self::der) |
///
/// The last two are what cert-manager calls additional output formats.
#[derive(Clone, Debug)]
pub struct SecretManifest {
    name: String,
    namespace: Option<String>,
    template: SecretTemplate,
    combined: bool,
    der: bool,
}

impl SecretManifest {
    /// A secret of this name.
    ///
    /// # Errors
    /// [`OutputError::ObjectName`] when no object of a cluster can be called so.
    pub fn new(name: impl Into<String>) -> Result<Self, OutputError> {
        let name = name.into();
        if !name.split('.').all(is_label) || name.len() > LONGEST_NAME {
            return Err(OutputError::ObjectName { what: "name", name, most: LONGEST_NAME });
        }
        Ok(Self { name, namespace: None, template: SecretTemplate::default(), combined: false, der: false })
    }

    /// In which namespace. Default: whichever `kubectl` is told.
    ///
    /// # Errors
    /// [`OutputError::ObjectName`] when no namespace can be called so.
    pub fn namespace(self, namespace: impl Into<String>) -> Result<Self, OutputError> {
        let namespace = namespace.into();
        if !is_label(&namespace) || namespace.len() > LONGEST_LABEL {
            let what = "namespace";
            return Err(OutputError::ObjectName { what, name: namespace, most: LONGEST_LABEL });
        }
        Ok(Self { namespace: Some(namespace), ..self })
    }

    /// With these labels and annotations. Default: none.
    #[must_use]
    pub fn template(self, template: SecretTemplate) -> Self {
        Self { template, ..self }
    }

    /// With `tls-combined.pem`, too.
    #[must_use]
    pub fn combined_pem(self) -> Self {
        Self { combined: true, ..self }
    }

    /// With `key.der`, too.
    #[must_use]
    pub fn der(self) -> Self {
        Self { der: true, ..self }
    }

    /// The manifest, a secret as a whole.
    ///
    /// # Errors
    /// [`OutputError::Unwritable`], which nothing is known to lead to.
    pub fn to_json(
        &self,
        key: &CertifiedKey,
        anchors: Option<&TrustBundle>,
    ) -> Result<SecretBytes, OutputError> {
        let mut data = BTreeMap::new();
        data.insert("tls.crt", STANDARD.encode(key.chain_pem()));
        data.insert("tls.key", STANDARD.encode(key.private_key_pem().expose()));
        if let Some(anchors) = anchors {
            data.insert("ca.crt", STANDARD.encode(anchors.to_pem()));
        }
        if self.combined {
            data.insert("tls-combined.pem", STANDARD.encode(key.combined_pem().expose()));
        }
        if self.der {
            data.insert("key.der", STANDARD.encode(key.private_key_der().expose()));
        }
        let metadata = Metadata {
            name: &self.name,
            namespace: self.namespace.as_deref(),
            labels: &self.template.labels,
            annotations: &self.template.annotations,
        };
        let secret =
            Secret { api_version: "v1", kind: "Secret", metadata, r#type: "kubernetes.io/tls", data };
        serde_json::to_vec_pretty(&secret).map(SecretBytes::new).map_err(|error| OutputError::Unwritable {
            format: OutputFormat::KubernetesSecret,
            reason: error.to_string(),
        })
    }
}

/// RFC 1123 §2.1, in lower case.
fn is_label(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(fits) && text.ends_with(fits) && text.chars().all(|c| fits(c) || c == '-')
}

const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Secret<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    r#type: &'static str,
    data: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::certified_key::tests::made;
    use serde_json::{Value, json};

    /// The bytes behind a key of `data`, which is base64 with padding and without line breaks.
    fn data(secret: &Value, key: &str) -> String {
        String::from_utf8(STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_manifest_has_the_shape_that_the_api_server_takes() {
        let made = made();
        let (key, anchors) = (made.certified(), TrustBundle::from_pem(&made.root).unwrap());
        let template = SecretTemplate::default().label("team", "shop").annotation("note", "a: \"b\"\n# c");
        let manifest = SecretManifest::new("site.tls").unwrap().namespace("web").unwrap().template(template);
        let json = manifest.to_json(&key, Some(&anchors)).unwrap();
        let secret: Value = serde_json::from_slice(json.expose()).unwrap();
        // The Secret of the core API v1 has no other keys but `stringData` and `immutable`.
        let mut keys: Vec<&String> = secret.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["apiVersion", "data", "kind", "metadata", "type"]);
        assert_eq!((&secret["apiVersion"], &secret["kind"]), (&json!("v1"), &json!("Secret")));
        assert_eq!(secret["type"], "kubernetes.io/tls");
        let metadata = json!({
            "name": "site.tls", "namespace": "web",
            "labels": {"team": "shop"}, "annotations": {"note": "a: \"b\"\n# c"},
        });
        assert_eq!(secret["metadata"], metadata);
        assert_eq!(secret["data"].as_object().unwrap().len(), 3);
        assert_eq!(data(&secret, "tls.crt"), made.chain());
        assert_eq!(data(&secret, "tls.key"), made.key.expose());
        assert_eq!(data(&secret, "ca.crt"), made.root.replace("\r\n", "\n"));
    }

    #[test]
    fn what_is_not_wished_for_is_not_there_and_what_is_is() {
        let key = made().certified();
        let plain = SecretManifest::new("a").unwrap();
        let secret: Value = serde_json::from_slice(plain.to_json(&key, None).unwrap().expose()).unwrap();
        assert_eq!(secret["metadata"], json!({"name": "a"}));
        assert_eq!(secret["data"].as_object().unwrap().len(), 2);
        let full = plain.combined_pem().der().to_json(&key, None).unwrap();
        let secret: Value = serde_json::from_slice(full.expose()).unwrap();
        assert_eq!(data(&secret, "tls-combined.pem"), key.combined_pem().expose());
        let der = STANDARD.decode(secret["data"]["key.der"].as_str().unwrap()).unwrap();
        assert_eq!(der, key.private_key_der().expose());
    }

    #[test]
    fn names_that_no_object_can_have_are_refused_before_kubectl_does() {
        let long = "a".repeat(254);
        for name in ["", "a_b", "-a", "a-", "a..b", "a.", "A", long.as_str()] {
            assert!(SecretManifest::new(name).is_err(), "{name}");
        }
        let plain = SecretManifest::new("a.b-c").unwrap();
        assert!(plain.clone().namespace("a.b").is_err());
        assert!(plain.namespace("a-b").is_ok());
    }
}
