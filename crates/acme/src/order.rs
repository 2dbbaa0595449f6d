//! Orders (RFC 8555 §7.1.3, §7.4): a request for a certificate and how far it has come.

use std::collections::{BTreeMap, BTreeSet};

use perennial_core::{DomainName, Timestamp};

use crate::{
    AutoRenewal, AutoRenewalFault, CertificateId, Identifier, Meta, Misbehaved, Misuse, Problem, Url,
    challenge::onion_csr01::{is_onion, service_key},
    json::{Object, ObjectWriter},
    open_enum::open_enum,
    text::printable,
};

open_enum! {
    /// How far an order has come (RFC 8555 §7.1.6).
    pub enum OrderStatus {
        /// Its renewals were ended (RFC 8739 §3.1.2).
        Canceled => "canceled",
        /// It failed for good.
        Invalid => "invalid",
        /// Authorizations are missing.
        Pending => "pending",
        /// The certificate is being made.
        Processing => "processing",
        /// All authorizations are there: it can be finalized.
        Ready => "ready",
        /// The certificate is there.
        Valid => "valid",
    }
}

/// A request for a certificate.
///
/// ```
/// use perennial_acme::NewOrder;
/// use perennial_core::DomainName;
///
/// let names: Vec<DomainName> = vec!["example.com".parse()?, "*.example.com".parse()?];
/// let order = NewOrder::new(&names).profile("shortlived");
/// assert_eq!(
///     order.to_json(),
///     r#"{"identifiers":[{"type":"dns","value":"example.com"},{"type":"dns","value":"*.example.com"}],"profile":"shortlived"}"#
/// );
/// # Ok::<(), perennial_core::DomainNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a request does nothing until it is sent"]
pub struct NewOrder {
    identifiers: Vec<Identifier>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    profile: Option<String>,
    replaces: Option<Replaced>,
    ancestors: BTreeMap<DomainName, DomainName>,
    auto_renewal: Option<AutoRenewal>,
}

/// A certificate that a new one takes the place of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Replaced {
    certificate_id: CertificateId,
    /// The URL of a directory.
    issued_by: String,
}

impl NewOrder {
    /// A request for these names. One that comes twice is asked for once.
    pub fn new<I>(identifiers: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<Identifier>,
    {
        let mut seen = BTreeSet::new();
        let identifiers = identifiers.into_iter().map(Into::into);
        Self {
            identifiers: identifiers.filter(|identifier| seen.insert(identifier.clone())).collect(),
            not_before: None,
            not_after: None,
            profile: None,
            replaces: None,
            ancestors: BTreeMap::new(),
            auto_renewal: None,
        }
    }

    /// When the certificate should begin and end to be valid. Default: the CA decides; most refuse anything
    /// else.
    pub const fn validity(mut self, not_before: Option<Timestamp>, not_after: Option<Timestamp>) -> Self {
        self.not_before = not_before;
        self.not_after = not_after;
        self
    }

    /// Which of the directory's [`profiles`](crate::Meta::profiles) the certificate should follow. Default:
    /// the CA decides.
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// The certificate that this one will replace, by its ARI identifier (RFC 9773 §4.1, §5), and the URL of the
    /// directory of the CA that issued it.
    ///
    /// CAs exempt such a renewal from their rate limits. It is a hint: it goes only to the CA that issued the
    /// certificate, and only if that offers renewal information, and an order that is refused because of it is
    /// asked for again without. So it can always be given.
    pub fn replaces(mut self, certificate_id: &CertificateId, issued_by: impl Into<String>) -> Self {
        self.replaces =
            Some(Replaced { certificate_id: certificate_id.clone(), issued_by: issued_by.into() });
        self
    }

    /// Says that `ancestor`, which is above `name`, can be proven, too, so that the CA may be content with
    /// that (RFC 9444 §4.3); repeatable. Default: each name is proven itself.
    ///
    /// ```
    /// use perennial_acme::NewOrder;
    /// use perennial_core::DomainName;
    ///
    /// let name: DomainName = "a.b.example.com".parse()?;
    /// let order = NewOrder::new([&name]).ancestor(&name, "example.com".parse()?);
    /// assert_eq!(
    ///     order.to_json(),
    ///     r#"{"identifiers":[{"ancestorDomain":"example.com","type":"dns","value":"a.b.example.com"}]}"#
    /// );
    /// # Ok::<(), perennial_core::DomainNameError>(())
    /// ```
    pub fn ancestor(mut self, name: &DomainName, ancestor: DomainName) -> Self {
        self.ancestors.insert(name.clone(), ancestor);
        self
    }

    /// Asks for short-term certificates that the CA renews by itself (STAR, RFC 8739). An order with it has
    /// no [`validity`](Self::validity). Default: one certificate.
    pub fn auto_renewal(mut self, renewal: AutoRenewal) -> Self {
        self.auto_renewal = Some(renewal);
        self
    }

    /// That what the order asks for beyond RFC 8555 makes sense, and that the server may have it.
    pub(crate) fn check_extensions(&self, meta: &Meta) -> Result<(), Misuse> {
        if !self.ancestors.is_empty() && meta.subdomain_auth_allowed == Some(false) {
            return Err(Misuse::NotOffered { what: "the authorization of subdomains" });
        }
        for (name, ancestor) in &self.ancestors {
            let above = name != ancestor && name.is_at_or_below(ancestor) && !ancestor.is_wildcard();
            if !above || !self.identifiers.iter().any(|identifier| identifier.dns() == Some(name)) {
                let (name, ancestor) = (name.to_string(), ancestor.to_string());
                return Err(Misuse::NoAncestor { name, ancestor });
            }
        }
        for name in self.identifiers.iter().filter_map(Identifier::dns).filter(|name| is_onion(name)) {
            service_key(name).map_err(|fault| Misuse::OnionName { name: name.to_string(), fault })?;
        }
        if let Some(renewal) = &self.auto_renewal {
            if self.not_before.or(self.not_after).is_some() {
                return Err(AutoRenewalFault::FixedValidity.into());
            }
            renewal.check(meta.auto_renewal.as_ref())?;
        }
        Ok(())
    }

    fn write_identifier(&self, json: &mut String, identifier: &Identifier) {
        let mut object = ObjectWriter::open(json);
        if let Some(ancestor) = identifier.dns().and_then(|name| self.ancestors.get(name)) {
            object.text("ancestorDomain", ancestor.as_str());
        }
        let (kind, value) = identifier.to_words();
        object.text("type", kind);
        object.text("value", &value);
        object.close();
    }

    /// The names.
    #[must_use]
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    /// The identifier of the certificate that it replaces.
    pub(crate) fn replaced(&self) -> Option<&CertificateId> {
        self.replaces.as_ref().map(|replaced| &replaced.certificate_id)
    }

    /// Whether the certificate that it replaces is of the CA with that directory.
    pub(crate) fn replaces_one_of(&self, directory: &Url) -> bool {
        self.replaces.as_ref().is_some_and(|replaced| replaced.issued_by == directory.as_str())
    }

    pub(crate) fn asked_profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The payload.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.payload(self.replaced())
    }

    /// The payload, as if it replaced that.
    pub(crate) fn payload(&self, replaced: Option<&CertificateId>) -> String {
        let mut json = String::with_capacity(USUAL_BYTES + USUAL_BYTES_A_NAME * self.identifiers.len());
        let mut order = ObjectWriter::open(&mut json);
        if let Some(renewal) = &self.auto_renewal {
            order.member("auto-renewal").push_str(&renewal.to_json().to_string());
        }
        self.write_identifiers(order.member("identifiers"));
        if let Some(moment) = self.not_after {
            order.text("notAfter", &moment.to_string());
        }
        if let Some(moment) = self.not_before {
            order.text("notBefore", &moment.to_string());
        }
        if let Some(profile) = &self.profile {
            order.text("profile", profile);
        }
        if let Some(replaced) = replaced {
            order.text("replaces", &replaced.to_string());
        }
        order.close();
        json
    }

    fn write_identifiers(&self, json: &mut String) {
        json.push('[');
        for (index, identifier) in self.identifiers.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            self.write_identifier(json, identifier);
        }
        json.push(']');
    }
}

/// Room for what is asked for beside the names, and for each name: what is larger grows.
const USUAL_BYTES: usize = 160;
const USUAL_BYTES_A_NAME: usize = 64;

/// What a server says about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrderState {
    /// How far it has come.
    pub status: OrderStatus,
    /// Until when the server keeps it.
    pub expires: Option<Timestamp>,
    /// The names; wildcards as they were asked for.
    pub identifiers: Vec<Identifier>,
    /// What has to be authorized. Not one for each name, nor in their order (RFC 8555 §7.1.3).
    pub authorizations: Vec<Url>,
    /// Where the certificate signing request goes.
    pub finalize: Url,
    /// Where the certificate is, once the order is valid.
    pub certificate: Option<Url>,
    /// Why the order failed, if the server says it here; some say it in the challenges only.
    pub error: Option<Problem>,
    /// The profile that the server follows.
    pub profile: Option<String>,
    /// The certificate that it replaces. Some servers show it in the first answer only.
    pub replaces: Option<String>,
    /// How the server renews the certificate by itself (RFC 8739), which may be less than was asked for.
    pub auto_renewal: Option<AutoRenewal>,
    /// Where the certificate of the moment is (RFC 8739): an order with auto-renewal has it instead of
    /// `certificate`.
    pub star_certificate: Option<Url>,
    /// When the server wants to be asked again: `Retry-After`, within a second and an hour.
    pub retry_at: Option<Timestamp>,
}

impl OrderState {
    /// Reads an order object.
    ///
    /// # Errors
    /// [`Misbehaved`] when a required field is missing, or there are more than 1000 names, or more than 8
    /// authorizations for each name, or the certificate of a valid order is at a URL that is none.
    pub fn parse(body: &[u8]) -> Result<Self, Misbehaved> {
        let order = Object::parse("order", body)?;
        let text = |field| order.text(field).map(|text| printable(text, 300));
        let names = order.required_list("identifiers", MAX_NAMES)?;
        let most = names.len().max(1) * MAX_AUTHORIZATIONS_A_NAME;
        let urls = order.required_list("authorizations", most)?.iter();
        let status = OrderStatus::from(order.required_text("status")?);
        // Before the certificate is there, a garbled URL of it is as good as none.
        let due = |field| match order.text(field) {
            Some(text) if status == OrderStatus::Valid => {
                Url::parse(text).map(Some).map_err(|fault| Misbehaved::url(text, fault))
            }
            _ => Ok(order.url(field)),
        };
        Ok(Self {
            expires: order.moment("expires"),
            identifiers: names.iter().filter_map(Identifier::read).collect(),
            authorizations: urls
                .map(|url| url.as_text().ok_or_else(|| order.lacks("authorizations", "an array of URLs")))
                .map(|url| url.and_then(|url| Url::parse(url).map_err(|fault| Misbehaved::url(url, fault))))
                .collect::<Result<_, _>>()?,
            finalize: order.required_url("finalize")?,
            certificate: due("certificate")?,
            error: Problem::inner(order.value("error")),
            profile: text("profile"),
            replaces: text("replaces"),
            auto_renewal: order
                .object("order's auto-renewal", "auto-renewal")
                .and_then(|renewal| AutoRenewal::read(&renewal)),
            star_certificate: due("star-certificate")?,
            status,
            retry_at: None,
        })
    }

    /// Whether the order is for exactly these names.
    pub(crate) fn is_for(&self, identifiers: &[Identifier]) -> bool {
        // Servers keep the order most often.
        self.identifiers == identifiers
            || self.identifiers.iter().collect::<BTreeSet<_>>() == identifiers.iter().collect()
    }

    /// Whether an authorization for `identifier` has a place in the order: it is for one of the names, or for a
    /// domain that one of them is below (RFC 9444).
    pub(crate) fn needs(&self, identifier: &Identifier) -> bool {
        self.identifiers.iter().any(|own| own.is_proven_by(identifier))
    }
}

/// Public CAs stop at 100 names, or at 250; a thousand leaves room for private ones.
const MAX_NAMES: usize = 1000;
/// RFC 8555 §7.1.3 allows more authorizations than names, and we fetch each: a server must not choose how many
/// requests an order of one name costs us. CAs have one for each.
const MAX_AUTHORIZATIONS_A_NAME: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = r#"{
  "status": "valid",
  "expires": "2016-01-20T14:09:07.99Z",

  "identifiers": [
    { "type": "dns", "value": "www.example.org" },
    { "type": "dns", "value": "example.org" }
  ],

  "notBefore": "2016-01-01T00:00:00Z",
  "notAfter": "2016-01-08T00:00:00Z",

  "authorizations": [
    "https://example.com/acme/authz/PAniVnsZcis",
    "https://example.com/acme/authz/r4HqLzrSrpI"
  ],

  "finalize": "https://example.com/acme/order/TOlocE8rfgo/finalize",

  "certificate": "https://example.com/acme/cert/mAt3xBGaobw"
}"#;

    #[test]
    fn rfc8555_7_1_3_order() {
        let order = OrderState::parse(SAMPLE.as_bytes()).unwrap();
        assert_eq!(order.status, OrderStatus::Valid);
        assert_eq!(order.expires.unwrap().to_string(), "2016-01-20T14:09:07Z");
        assert_eq!(order.identifiers.len(), 2);
        assert_eq!(order.authorizations.len(), 2);
        assert_eq!(order.certificate.unwrap().as_str(), "https://example.com/acme/cert/mAt3xBGaobw");
        assert_eq!(order.error, None);
    }

    #[test]
    fn a_status_of_the_future_is_kept_and_a_missing_one_is_named() {
        let text = SAMPLE.replace(r#""valid""#, r#""awaiting-notary""#);
        let order = OrderState::parse(text.as_bytes()).unwrap();
        assert_eq!(order.status, OrderStatus::Unknown("awaiting-notary".into()));
        let text = SAMPLE.replace("\"status\"", "\"state\"");
        let error = OrderState::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error, Misbehaved::Field { resource: "order", field: "status", expected: "a text" });
    }

    #[test]
    fn a_bad_url_of_the_certificate_is_told_as_such_once_the_certificate_is_there() {
        for field in ["certificate", "star-certificate"] {
            let text = SAMPLE.replace("\"certificate\": \"https", &format!("\"{field}\": \"gopher"));
            let pending = OrderState::parse(text.replace("valid", "pending").as_bytes()).unwrap();
            assert_eq!((pending.certificate, pending.star_certificate), (None, None));
            let url = "gopher://example.com/acme/cert/mAt3xBGaobw";
            let bad = Misbehaved::url(url, crate::UrlFault::Malformed);
            assert_eq!(OrderState::parse(text.as_bytes()), Err(bad));
        }
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let many = vec![r#""https://example.com/a""#; 1001].join(",");
        let text = SAMPLE.replace(r#""https://example.com/acme/authz/PAniVnsZcis""#, &many);
        assert!(matches!(OrderState::parse(text.as_bytes()), Err(Misbehaved::TooMany { count: 1002, .. })));
    }

    #[test]
    fn authorizations_are_no_more_than_the_names_account_for() {
        let many = |count| vec![r#""https://example.com/a""#; count].join(",");
        let parse = |count| {
            let (start, end) = (r#""https://example.com/acme/authz/PAniVnsZcis","#, many(count) + ",");
            OrderState::parse(SAMPLE.replace(start, &end).as_bytes())
        };
        assert_eq!(parse(15).unwrap().authorizations.len(), 16);
        assert!(matches!(parse(16), Err(Misbehaved::TooMany { count: 17, limit: 16, .. })));
    }

    #[test]
    fn a_name_asked_for_twice_is_asked_for_once_and_the_order_of_names_does_not_matter() {
        let names = ["www.example.org", "example.org", "WWW.example.org"]
            .map(|name| DomainName::parse(name).unwrap());
        let request = NewOrder::new(&names);
        assert_eq!(request.identifiers().len(), 2);
        let order = OrderState::parse(SAMPLE.as_bytes()).unwrap();
        let turned: Vec<_> = request.identifiers().iter().rev().cloned().collect();
        assert!(order.is_for(&turned));
        assert!(!order.is_for(turned.get(..1).unwrap()));
    }

    #[test]
    fn rfc9444_4_3_an_ancestor_is_above_its_name_and_the_name_is_in_the_order() {
        let name = |text: &str| text.parse::<DomainName>().unwrap();
        let check = |of: &str, ancestor: &str, offered| {
            let order = NewOrder::new([name("a.b.example.org"), name("*.example.org")]);
            let meta = Meta { subdomain_auth_allowed: offered, ..Meta::default() };
            order.ancestor(&name(of), name(ancestor)).check_extensions(&meta)
        };
        assert_eq!(check("a.b.example.org", "example.org", Some(true)), Ok(()));
        assert_eq!(check("a.b.example.org", "b.example.org", None), Ok(()));
        assert_eq!(check("*.example.org", "example.org", None), Ok(()));
        for (of, ancestor) in [
            ("a.b.example.org", "a.b.example.org"),
            ("a.b.example.org", "c.example.org"),
            ("a.b.example.org", "ample.org"),
            ("a.b.example.org", "*.example.org"),
            ("c.b.example.org", "example.org"),
        ] {
            let refused = Misuse::NoAncestor { name: of.to_owned(), ancestor: ancestor.to_owned() };
            assert_eq!(check(of, ancestor, None), Err(refused));
        }
        let what = "the authorization of subdomains";
        assert_eq!(check("a.b.example.org", "example.org", Some(false)), Err(Misuse::NotOffered { what }));
    }

    #[test]
    fn rfc9799_2_a_name_that_is_no_onion_service_s_is_not_asked_for() {
        let check = |text: &str| {
            NewOrder::new([text.parse::<DomainName>().unwrap()]).check_extensions(&Meta::default())
        };
        let address = "bbcweb3hytmzhn5d532owbu6oqadra5z3ar726vq5kgwwn6aucdccrad.onion";
        assert_eq!(check(&format!("*.{address}")), Ok(()));
        assert_eq!(check("onion.example.org"), Ok(()));
        let error = check("facebookcorewwwi.onion").unwrap_err();
        assert_eq!(
            error.to_string(),
            "facebookcorewwwi.onion is no name of an onion service: its address has 16 characters, one of \
             version 3 has 56"
        );
    }

    #[test]
    fn an_echo_with_members_that_were_not_asked_for_is_the_same_order() {
        let text = SAMPLE.replace(
            r#""value": "example.org" }"#,
            r#""value": "example.org", "ancestorDomain": "org", "x": {} }"#,
        );
        let order = OrderState::parse(text.as_bytes()).unwrap();
        let names = ["www.example.org", "example.org"].map(|name| DomainName::parse(name).unwrap());
        assert!(order.is_for(NewOrder::new(&names).identifiers()));
    }

    #[test]
    fn a_name_that_the_order_does_not_have_needs_no_authorization() {
        let dns = |name: &str| Identifier::from(DomainName::parse(name).unwrap());
        let text = SAMPLE.replace("www.example.org", "*.www.example.org");
        let order = OrderState::parse(text.as_bytes()).unwrap();
        assert!(order.needs(&dns("www.example.org")) && order.needs(&dns("example.org")));
        assert!(!order.needs(&dns("mail.example.org")) && !order.needs(&dns("a.www.example.org")));
        assert!(!order.needs(&"192.0.2.7".parse::<std::net::IpAddr>().unwrap().into()));
    }

    #[test]
    fn all_that_can_be_asked_for_has_its_place() {
        let name = |text: &str| text.parse::<DomainName>().unwrap();
        let moment = |text: &str| text.parse::<Timestamp>().unwrap();
        let renewal =
            AutoRenewal::new(moment("2026-12-31T00:00:00Z"), std::time::Duration::from_secs(345_600));
        let id: CertificateId = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE".parse().unwrap();
        let order = NewOrder::new([name("a.example.org"), name("example.org")])
            .ancestor(&name("a.example.org"), name("example.org"))
            .validity(Some(moment("2026-11-21T00:00:00Z")), Some(moment("2026-11-28T00:00:00Z")))
            .profile("short \"lived\"")
            .replaces(&id, "https://ca.example/directory")
            .auto_renewal(renewal);
        let text = concat!(
            r#"{"auto-renewal":{"end-date":"2026-12-31T00:00:00Z","lifetime":345600},"#,
            r#""identifiers":[{"ancestorDomain":"example.org","type":"dns","value":"a.example.org"},"#,
            r#"{"type":"dns","value":"example.org"}],"notAfter":"2026-11-28T00:00:00Z","#,
            r#""notBefore":"2026-11-21T00:00:00Z","profile":"short \"lived\"","#,
            r#""replaces":"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"}"#
        );
        assert_eq!(order.to_json(), text);
        let bare = order.payload(None);
        assert_eq!(bare, text.replace(r#","replaces":"aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE""#, ""));
    }

    proptest! {
        #[test]
        fn the_payload_is_what_serde_json_would_write(
            identifiers in proptest::collection::vec((any::<String>(), any::<String>()), 0..4),
            profile in any::<String>(),
        ) {
            let identifiers = identifiers.into_iter().map(|(kind, value)| Identifier::other(kind, value));
            let order = NewOrder::new(identifiers).profile(&*profile);
            let identifiers: Vec<_> = order.identifiers().iter().map(Identifier::to_json).collect();
            let payload = serde_json::json!({ "identifiers": identifiers, "profile": profile });
            prop_assert_eq!(order.to_json(), payload.to_string());
        }

        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = OrderState::parse(&body);
        }

        #[test]
        fn no_field_of_another_kind_panics(
            field in "status|expires|identifiers|authorizations|finalize|certificate",
            value in r#"null|7|"x"|\[\]|\{\}|\[1\]|\[\{"type":1\}\]|\{"type":\[\]\}"#,
        ) {
            let text = SAMPLE.replacen(&format!("\"{field}\":"), &format!("\"{field}\":{value},\"was\":"), 1);
            let _ = OrderState::parse(text.as_bytes());
        }
    }
}
