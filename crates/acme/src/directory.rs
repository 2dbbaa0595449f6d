//! The directory (RFC 8555 §7.1.1): where everything else of a server is.

use std::collections::BTreeMap;

use perennial_core::DomainName;

use crate::{
    AutoRenewalPolicy, Misbehaved, Url,
    challenge::dns_persist01::{AccountHashPrefix, issuer_domain_names},
    json::{Json, Kept, Object},
    text::printable,
};

/// The URL of Google Trust Services' production directory. Accounts are tied to a project of Google Cloud
/// (`ExternalAccount`).
pub const GOOGLE_TRUST_SERVICES: &str = "https://dv.acme-v02.api.pki.goog/directory";
/// The URL of Google Trust Services' staging directory: the same without trust, with keys of its own for accounts.
pub const GOOGLE_TRUST_SERVICES_STAGING: &str = "https://dv.acme-v02.test-api.pki.goog/directory";
/// The URL of Let's Encrypt's production directory.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The URL of Let's Encrypt's staging directory: the same without trust, and with generous limits. Try there
/// first.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// The URL of ZeroSSL's directory; it has no staging. Accounts are tied to a customer (`ExternalAccount`).
pub const ZEROSSL: &str = "https://acme.zerossl.com/v2/DV90";

/// The URL of the directory of a [step-ca](https://github.com/smallstep/certificates): that of the server, and the name of
/// its provisioner.
///
/// ```
/// use perennial_acme::directory;
///
/// assert_eq!(directory::step_ca("https://ca.internal:9000", "acme"), "https://ca.internal:9000/acme/acme/directory");
/// ```
#[must_use]
pub fn step_ca(server: &str, provisioner: &str) -> String {
    format!("{}/acme/{provisioner}/directory", server.trim_end_matches('/'))
}

/// What a server offers, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Directory {
    /// Where fresh nonces come from.
    pub new_nonce: Url,
    /// Where accounts are made and found.
    pub new_account: Url,
    /// Where orders are made.
    pub new_order: Url,
    /// Where a name is authorized ahead of any order; few servers have it.
    pub new_authz: Option<Url>,
    /// Where certificates are revoked.
    pub revoke_cert: Option<Url>,
    /// Where account keys are changed.
    pub key_change: Option<Url>,
    /// Where renewal information (RFC 9773) is found.
    pub renewal_info: Option<Url>,
    /// About the server.
    pub meta: Meta,
    fields: Kept,
}

/// What a directory says about its server. All of it is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The terms of service that a new account agrees to.
    pub terms_of_service: Option<String>,
    /// The CA's website.
    pub website: Option<String>,
    /// The names by which CAA records (RFC 8659) may allow this CA.
    pub caa_identities: Vec<String>,
    /// Whether a new account has to be bound to one outside of ACME (RFC 8555 §7.3.4).
    pub external_account_required: bool,
    /// The certificate profiles that an order may ask for, each with its description.
    pub profiles: BTreeMap<String, String>,
    /// Whether an authorization may count for the names below (RFC 9444 §4.4); `None` when the server does
    /// not say, which means neither yes nor no.
    pub subdomain_auth_allowed: Option<bool>,
    /// How the server renews certificates by itself (STAR, RFC 8739 §3.2); `None` when it does not.
    pub auto_renewal: Option<AutoRenewalPolicy>,
    /// Whether a request that finalizes an order for an onion service has to bring the service's CAA records
    /// (RFC 9799 §6.4.1).
    pub in_band_onion_caa_required: bool,
    /// The names of the CA for records of dns-persist-01 (draft-ietf-acme-dns-persist-02), at most ten.
    pub issuer_domain_names: Vec<DomainName>,
    /// What hashed accounts begin with in records of dns-persist-01 (draft-ietf-acme-dns-persist-02).
    pub account_hash_prefix: Option<AccountHashPrefix>,
}

impl Directory {
    /// Reads a directory.
    ///
    /// # Errors
    /// [`Misbehaved`] when it is no JSON object, or lacks `newNonce`, `newAccount` or `newOrder`.
    /// DIVERGES: `revokeCert` and `keyChange` are optional here; there are servers without them, and most
    /// programs never miss them.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        let fields = Object::parse("directory", body)?;
        Ok(Self {
            new_nonce: fields.required_url("newNonce")?,
            new_account: fields.required_url("newAccount")?,
            new_order: fields.required_url("newOrder")?,
            new_authz: fields.url("newAuthz"),
            revoke_cert: fields.url("revokeCert"),
            key_change: fields.url("keyChange"),
            renewal_info: fields.url("renewalInfo"),
            meta: fields
                .object("directory's meta", "meta")
                .map(|meta| Meta::read(&meta))
                .transpose()?
                .unwrap_or_default(),
            fields: Kept::whole(body),
        })
    }

    /// Any field as JSON text, also one that this library does not know.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        self.fields.raw(name)
    }

    /// All URLs that requests go to.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Url> {
        let required = [&self.new_nonce, &self.new_account, &self.new_order];
        let optional = [&self.new_authz, &self.revoke_cert, &self.key_change, &self.renewal_info];
        required.into_iter().chain(optional.into_iter().flatten())
    }
}

impl Meta {
    fn read(meta: &Object<'_>) -> Result<Self, Misbehaved> {
        let text = |field| meta.text(field).map(|text| printable(text, 300));
        let profiles = meta.object("directory's profiles", "profiles");
        let profiles = profiles.iter().flat_map(Object::iter).take(MAX_PROFILES);
        Ok(Self {
            terms_of_service: text("termsOfService"),
            website: text("website"),
            caa_identities: meta
                .list("caaIdentities", MAX_IDENTITIES)?
                .iter()
                .filter_map(Json::as_text)
                .map(|name| printable(name, 253))
                .collect(),
            external_account_required: meta.flag("externalAccountRequired").unwrap_or(false),
            subdomain_auth_allowed: meta.flag("subdomainAuthAllowed"),
            auto_renewal: meta
                .object("directory's auto-renewal", "auto-renewal")
                .and_then(|policy| AutoRenewalPolicy::read(&policy)),
            // RFC 9799 has one name for it in §6.4.1, and another in its registry (§7.3).
            in_band_onion_caa_required: ["inBandOnionCAARequired", "onionCAARequired"]
                .iter()
                .any(|field| meta.flag(field).unwrap_or(false)),
            issuer_domain_names: meta
                .value("issuerDomainNames")
                .and_then(issuer_domain_names)
                .unwrap_or_default(),
            account_hash_prefix: meta.text("accountHashPrefix").and_then(AccountHashPrefix::parse),
            profiles: profiles
                .map(|(name, value)| (name.to_owned(), printable(value.as_text().unwrap_or_default(), 300)))
                .collect(),
        })
    }
}

/// CAs have a handful of names and profiles.
const MAX_IDENTITIES: usize = 100;
const MAX_PROFILES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = r#"{
  "newNonce": "https://example.com/acme/new-nonce",
  "newAccount": "https://example.com/acme/new-account",
  "newOrder": "https://example.com/acme/new-order",
  "newAuthz": "https://example.com/acme/new-authz",
  "revokeCert": "https://example.com/acme/revoke-cert",
  "keyChange": "https://example.com/acme/key-change",
  "meta": {
    "termsOfService": "https://example.com/acme/terms/2017-5-30",
    "website": "https://www.example.com/",
    "caaIdentities": ["example.com"],
    "externalAccountRequired": false
  }
}"#;

    #[test]
    fn rfc8555_7_1_1_directory() {
        let directory = Directory::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(directory.new_order.as_str(), "https://example.com/acme/new-order");
        assert_eq!(directory.renewal_info, None);
        assert_eq!(directory.meta.caa_identities, ["example.com"]);
        assert_eq!(
            directory.meta.terms_of_service.as_deref(),
            Some("https://example.com/acme/terms/2017-5-30")
        );
        assert!(!directory.meta.external_account_required);
    }

    #[test]
    fn a_missing_url_is_named() {
        let error = Directory::parse(br#"{"newNonce":"https://a.example/n","newAccount":7}"#).unwrap_err();
        assert_eq!(
            error,
            Misbehaved::Field { resource: "directory", field: "newAccount", expected: "a URL" }
        );
    }

    #[test]
    fn fields_of_the_future_are_kept_and_garbled_optional_ones_are_not_fatal() {
        let text = SAMPLE
            .replace(
                r#""website": "https://www.example.com/""#,
                r#""website": 5, "profiles": {"short": "6 d"}"#,
            )
            .replace(r#""meta": {"#, r#""newBlockchain": {"x": 1}, "meta": {"#);
        let directory = Directory::parse(text.as_bytes()).unwrap();
        assert_eq!(directory.field("newBlockchain").as_deref(), Some(r#"{"x":1}"#));
        assert_eq!(directory.meta.website, None);
        assert_eq!(directory.meta.profiles.get("short").map(String::as_str), Some("6 d"));
    }

    #[test]
    fn what_extensions_say_of_the_server_is_read_and_garbled_it_is_as_good_as_absent() {
        let meta = |text: &str| {
            let text = SAMPLE.replace(r#""externalAccountRequired": false"#, text);
            Directory::parse(text.as_bytes()).unwrap().meta
        };
        let full = meta(
            r#""subdomainAuthAllowed": true, "issuerDomainNames": ["authority.example"],
               "auto-renewal": {"min-lifetime": 86400, "max-duration": 31536000, "allow-certificate-get": true},
               "accountHashPrefix": "https://ca.example/account-hash/""#,
        );
        assert_eq!(full.subdomain_auth_allowed, Some(true));
        assert!(full.auto_renewal.unwrap().allow_certificate_get);
        assert_eq!(full.issuer_domain_names.len(), 1);
        assert!(!full.in_band_onion_caa_required);
        assert!(meta(r#""inBandOnionCAARequired": true"#).in_band_onion_caa_required);
        assert!(meta(r#""onionCAARequired": true"#).in_band_onion_caa_required);
        assert_eq!(full.account_hash_prefix.unwrap().as_str(), "https://ca.example/account-hash/");
        let garbled = meta(
            r#""subdomainAuthAllowed": "yes", "issuerDomainNames": ["CA.example"], "auto-renewal": {},
               "accountHashPrefix": "ca;""#,
        );
        assert_eq!(garbled, Meta { external_account_required: false, ..meta(r#""x": 1"#) });
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Directory::parse(&body);
        }
    }
}
