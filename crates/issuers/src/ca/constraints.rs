//! For which names a CA may sign (RFC 5280 §4.2.1.10).

use std::net::{IpAddr, Ipv4Addr};

use perennial_core::DomainName;
use perennial_lifecycle::SigningRequest;
use x509_parser::extensions::{GeneralName, NameConstraints};

/// For which names a CA may sign: pure, and asked before anything is signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Constraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

/// Names that a constraint speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    /// Addresses of one kind with their mask.
    Address {
        network: Vec<u8>,
        mask: Vec<u8>,
    },
    /// The first attributes of a subject, as object identifier and value.
    Directory(Vec<(Vec<u64>, String)>),
    Dns(String),
    Email(String),
    Uri(String),
}

/// A name of a request.
enum Name<'a> {
    Address(IpAddr),
    Directory(Vec<(&'static [u64], &'a str)>),
    Dns(&'a DomainName),
    Email(&'a str),
    Uri(&'a str),
}

impl Constraints {
    /// Reads the extension. A kind of name that no spec can ask for constrains nothing here.
    ///
    /// # Errors
    /// What is malformed: the extension is critical, so it may not be passed over.
    pub(super) fn read(extension: &NameConstraints<'_>) -> Result<Self, String> {
        let subtrees = |trees: &Option<Vec<_>>| -> Result<Vec<Subtree>, String> {
            let trees = trees.iter().flatten();
            let read =
                trees.map(|tree: &x509_parser::extensions::GeneralSubtree<'_>| Subtree::read(&tree.base));
            read.filter_map(Result::transpose).collect()
        };
        Ok(Self {
            permitted: subtrees(&extension.permitted_subtrees)?,
            excluded: subtrees(&extension.excluded_subtrees)?,
        })
    }

    /// The first name of a request for which the CA may not sign, and why.
    pub(super) fn check(&self, request: &SigningRequest) -> Result<(), String> {
        names(request).try_for_each(|name| self.check_name(&name))
    }

    fn check_name(&self, name: &Name<'_>) -> Result<(), String> {
        // Whoever verifies must refuse it, wherever URIs are constrained at all (RFC 5280 §4.2.1.10).
        if let Name::Uri(uri) = name
            && host_of(uri).is_none()
            && self.permitted.iter().chain(&self.excluded).any(|subtree| matches!(subtree, Subtree::Uri(_)))
        {
            return Err(format!("{uri} has no host with a name, and URIs are constrained"));
        }
        if let Some(subtree) = self.excluded.iter().find(|subtree| {
            subtree.meets(name) == Some(Cover::Some) || subtree.meets(name) == Some(Cover::All)
        }) {
            return Err(format!("{} is in {}, which is excluded", name.shown(), subtree.shown()));
        }
        let mut of_its_kind =
            self.permitted.iter().filter(|subtree| subtree.meets(name).is_some()).peekable();
        if of_its_kind.peek().is_none() || of_its_kind.any(|subtree| subtree.meets(name) == Some(Cover::All))
        {
            return Ok(());
        }
        Err(format!("{} is in nothing that is permitted", name.shown()))
    }
}

fn names(request: &SigningRequest) -> impl Iterator<Item = Name<'_>> {
    let subject: Vec<_> = request.subject.attributes().collect();
    let subject = (!subject.is_empty()).then_some(Name::Directory(subject));
    let dns = request.names.iter().map(Name::Dns);
    let addresses = request.addresses.iter().copied().map(Name::Address);
    let uris = request.uris.iter().map(|uri| Name::Uri(uri));
    let emails = request.emails.iter().map(|mailbox| Name::Email(mailbox));
    subject.into_iter().chain(dns).chain(addresses).chain(uris).chain(emails)
}

impl Name<'_> {
    fn shown(&self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Directory(attributes) => {
                let values: Vec<_> = attributes.iter().map(|(_, value)| *value).collect();
                format!("the subject {}", values.join(", "))
            }
            Self::Dns(name) => name.to_string(),
            Self::Email(text) | Self::Uri(text) => (*text).to_owned(),
        }
    }
}

/// How much of what a name stands for a subtree covers: a wildcard stands for many names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    All,
    None,
    Some,
}

impl From<bool> for Cover {
    fn from(all: bool) -> Self {
        if all { Self::All } else { Self::None }
    }
}

impl Subtree {
    fn read(base: &GeneralName<'_>) -> Result<Option<Self>, String> {
        Ok(Some(match base {
            GeneralName::DNSName(text) => Self::Dns(text.to_ascii_lowercase()),
            GeneralName::RFC822Name(text) => Self::Email((*text).to_owned()),
            GeneralName::URI(text) => Self::Uri(text.to_ascii_lowercase()),
            GeneralName::IPAddress(octets) if matches!(octets.len(), 8 | 32) => {
                let (network, mask) = octets.split_at(octets.len() / 2);
                Self::Address { network: network.to_vec(), mask: mask.to_vec() }
            }
            GeneralName::DirectoryName(name) => Self::Directory(
                name.iter_attributes()
                    .map(|attribute| {
                        let oid = attribute.attr_type().iter().map(Iterator::collect);
                        Some((oid?, attribute.as_str().ok()?.to_lowercase()))
                    })
                    .collect::<Option<_>>()
                    .ok_or("its nameConstraints hold a directory name that cannot be read")?,
            ),
            GeneralName::IPAddress(_) | GeneralName::Invalid(..) => {
                return Err("its nameConstraints hold a name that cannot be read".to_owned());
            }
            _ => return Ok(None),
        }))
    }

    /// Whether a name lies in it; `None` for one of another kind.
    fn meets(&self, name: &Name<'_>) -> Option<Cover> {
        match (self, name) {
            (Self::Dns(base), Name::Dns(name)) => Some(dns_meets(base, name.as_str())),
            (Self::Address { network, mask }, Name::Address(address)) => {
                address_meets(network, mask, *address)
            }
            (Self::Email(base), Name::Email(mailbox)) => Some(email_meets(base, mailbox).into()),
            (Self::Uri(base), Name::Uri(uri)) => {
                Some(host_of(uri).is_some_and(|host| host_meets(base, &host)).into())
            }
            (Self::Directory(base), Name::Directory(subject)) => {
                let meets = base.len() <= subject.len()
                    && base.iter().zip(subject).all(|((oid, value), (its_oid, its_value))| {
                        oid == its_oid && *value == its_value.to_lowercase()
                    });
                Some(meets.into())
            }
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Address { network, mask } => format!("{network:?} with the mask {mask:?}"),
            Self::Directory(attributes) => {
                let values: Vec<_> = attributes.iter().map(|(_, value)| value.as_str()).collect();
                values.join(", ")
            }
            Self::Dns(base) | Self::Email(base) | Self::Uri(base) => {
                base.chars().take(80).filter(|c| !c.is_control()).collect()
            }
        }
    }
}

/// A name and all below it; with a dot in front, which many CAs write, those below it alone. A wildcard stands for all
/// names with one label in its place.
fn dns_meets(base: &str, name: &str) -> Cover {
    let below = |base: &str, name: &str| name.strip_suffix(base).is_some_and(|rest| rest.ends_with('.'));
    let (bare, only_below) = (base.trim_start_matches('.'), base.starts_with('.'));
    let Some(parent) = name.strip_prefix("*.") else {
        return (bare.is_empty() || below(bare, name) || (!only_below && name == bare)).into();
    };
    if bare.is_empty() || parent == bare || below(bare, parent) {
        return Cover::All;
    }
    let one_label = bare.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.'));
    if !only_below && one_label.is_some_and(|label| !label.is_empty() && !label.contains('.')) {
        return Cover::Some;
    }
    Cover::None
}

fn address_meets(network: &[u8], mask: &[u8], address: IpAddr) -> Option<Cover> {
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if octets.len() != network.len() {
        return None;
    }
    let masked = octets.iter().zip(mask).zip(network);
    Some(masked.into_iter().all(|((octet, mask), network)| octet & mask == network & mask).into())
}

/// A mailbox, all mailboxes of a host, or, with a dot in front, those of all hosts below it.
fn email_meets(base: &str, mailbox: &str) -> bool {
    let Some((local, host)) = mailbox.rsplit_once('@') else { return false };
    match base.rsplit_once('@') {
        Some((base_local, base_host)) => base_local == local && base_host.eq_ignore_ascii_case(host),
        None => host_meets(&base.to_ascii_lowercase(), &host.to_ascii_lowercase()),
    }
}

/// A host, or, with a dot in front, all below it.
fn host_meets(base: &str, host: &str) -> bool {
    if base.starts_with('.') { host.len() > base.len() && host.ends_with(base) } else { host == base }
}

/// The host of a URI in lower case, if it has one that is a name: an address is none (RFC 5280 §4.2.1.10).
fn host_of(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let is_address = |host: &str| host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    let host = host.split(':').next().filter(|host| !host.is_empty() && !is_address(host))?;
    Some(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_lifecycle::{CertificateSpec, KeyAlgorithm, PrivateKey, Subject};
    use proptest::prelude::*;
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    fn request(name: &str) -> SigningRequest {
        let spec = CertificateSpec::new("a", [name]).unwrap();
        SigningRequest::of(&spec, &PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap()
    }

    fn permits(base: &GeneralName<'_>, name: &str) -> bool {
        let permitted = vec![Subtree::read(base).unwrap().unwrap()];
        Constraints { permitted, excluded: Vec::new() }.check(&request(name)).is_ok()
    }

    fn excludes(base: &GeneralName<'_>, name: &str) -> bool {
        let excluded = vec![Subtree::read(base).unwrap().unwrap()];
        Constraints { permitted: Vec::new(), excluded }.check(&request(name)).is_err()
    }

    #[test]
    fn a_name_and_those_below_it_are_in_its_subtree() {
        let base = GeneralName::DNSName("Example.com");
        for (name, within) in [
            ("example.com", true),
            ("www.example.com", true),
            ("*.example.com", true),
            ("*.www.example.com", true),
            ("badexample.com", false),
            ("example.org", false),
            ("*.com", false),
        ] {
            assert_eq!(permits(&base, name), within, "{name}");
        }
        let below = GeneralName::DNSName(".example.com");
        assert!(permits(&below, "www.example.com") && permits(&below, "*.example.com"));
        assert!(!permits(&below, "example.com"));
        assert!(permits(&base, "192.0.2.1"), "a constraint of names says nothing of addresses");
    }

    #[test]
    fn a_wildcard_that_stands_for_an_excluded_name_too_is_refused() {
        let base = GeneralName::DNSName("www.example.com");
        assert!(excludes(&base, "*.example.com") && excludes(&base, "www.example.com"));
        assert!(excludes(&base, "*.www.example.com") && excludes(&base, "a.www.example.com"));
        assert!(!excludes(&base, "example.com") && !excludes(&base, "*.com"));
        assert!(!permits(&base, "*.example.com"), "it stands for others, too");
    }

    #[test]
    fn addresses_mailboxes_and_uris_have_rules_of_their_own() {
        let net = GeneralName::IPAddress(&[192, 0, 2, 0, 255, 255, 255, 0]);
        assert!(permits(&net, "192.0.2.77") && !permits(&net, "192.0.3.1"));
        assert!(permits(&net, "2001:db8::1"), "of the other family nothing is said");
        let host = GeneralName::RFC822Name("example.com");
        assert!(permits(&host, "ops@example.com") && !permits(&host, "ops@mail.example.com"));
        let hosts = GeneralName::RFC822Name(".example.com");
        assert!(permits(&hosts, "ops@mail.example.com") && !permits(&hosts, "ops@example.com"));
        let one = GeneralName::RFC822Name("ops@example.com");
        assert!(permits(&one, "ops@example.com") && !permits(&one, "dev@example.com"));
        let domain = GeneralName::URI("prod");
        assert!(permits(&domain, "spiffe://prod/web") && !permits(&domain, "spiffe://test/web"));
        assert!(permits(&GeneralName::URI("Prod"), "spiffe://PROD/web"));
        let below = GeneralName::URI(".example.com");
        assert!(permits(&below, "https://user@a.example.com:443/x"));
        for elsewhere in [
            "https://example.com",
            "https://.example.com",
            "https://a.example.com@b.example",
            "https://b.example/.example.com",
            "https://b.example?.example.com",
            "https://b.example#.example.com",
        ] {
            assert!(!permits(&below, elsewhere), "{elsewhere}");
            assert!(!excludes(&below, elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_uri_without_a_host_by_name_is_refused_wherever_uris_are_constrained() {
        let (domain, names) = (GeneralName::URI("prod"), GeneralName::DNSName("prod"));
        for uri in
            ["urn:uuid:1", "https:///x", "https://:443/", "https://192.0.2.1:443/x", "https://[2001:db8::1]/"]
        {
            assert!(!permits(&domain, uri) && excludes(&domain, uri), "{uri}");
            assert!(permits(&names, uri) && !excludes(&names, uri), "{uri}");
        }
    }

    #[test]
    fn what_a_ca_writes_into_its_constraints_moves_no_cursor() {
        let base = format!("example.com\u{1b}[2J\n{}", "x".repeat(500));
        let shown = Subtree::Uri(base).shown();
        assert_eq!((shown.chars().any(char::is_control), shown.len()), (false, 78), "{shown}");
    }

    #[test]
    fn letters_are_told_apart_by_their_case_in_front_of_an_at_alone() {
        let one = GeneralName::RFC822Name("ops@Example.com");
        assert!(permits(&one, "ops@example.com") && !permits(&one, "Ops@example.com"));
        assert!(permits(&GeneralName::RFC822Name("Example.com"), "Ops@example.com"));
        assert!(permits(&GeneralName::RFC822Name("example.com"), "Ops@EXAMPLE.com"));
    }

    #[test]
    fn of_a_network_the_bits_within_its_mask_count_and_one_of_another_length_cannot_be_read() {
        let net = GeneralName::IPAddress(&[192, 0, 2, 5, 255, 255, 255, 0]);
        assert!(permits(&net, "192.0.2.77") && !permits(&net, "192.0.3.5"));
        let mut octets = [0; 32];
        octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        octets[16..20].fill(255);
        let net = GeneralName::IPAddress(&octets);
        assert!(permits(&net, "2001:db8::1") && !permits(&net, "2001:db9::1"));
        assert!(excludes(&net, "2001:db8::1") && !excludes(&net, "192.0.2.1"));
        for octets in [&[192, 0, 2, 0][..], &[0; 9], &[0; 16], &[]] {
            assert!(Subtree::read(&GeneralName::IPAddress(octets)).is_err(), "{octets:?}");
        }
        assert!(
            Subtree::read(&GeneralName::Invalid(x509_parser::der_parser::asn1_rs::Tag(2), &[0xff])).is_err()
        );
    }

    #[test]
    fn the_empty_name_is_that_of_all_and_one_with_a_dot_is_not_met_by_a_wildcard_beside_it() {
        for name in ["example.com", "*.example.com"] {
            let all = GeneralName::DNSName("");
            assert!(permits(&all, name) && excludes(&all, name), "{name}");
        }
        let below = GeneralName::DNSName(".www.example.com");
        assert!(!excludes(&below, "*.example.com") && excludes(&below, "*.www.example.com"));
    }

    #[test]
    fn a_subject_has_to_begin_as_the_constraint_says() {
        let base = Subtree::Directory(vec![(vec![2, 5, 4, 10], "example".to_owned())]);
        let constraints = Constraints { permitted: vec![base], excluded: Vec::new() };
        let mut request = request("a.example");
        assert!(constraints.check(&request).is_ok(), "no subject, no constraint");
        request.subject = Subject::named("a");
        let refused = constraints.check(&request).unwrap_err();
        assert!(refused.contains("subject a"), "{refused}");
        request.subject.organization = Some("Example".to_owned());
        assert!(constraints.check(&request).is_ok());
    }

    #[test]
    fn a_subject_is_compared_attribute_by_attribute_whatever_the_case() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "EXAMPLE");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Web");
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let (_, made) = X509Certificate::from_der(made.der()).unwrap();
        let base = GeneralName::DirectoryName(made.subject().clone());
        let excluded = vec![Subtree::read(&base).unwrap().unwrap()];
        let constraints = Constraints { permitted: Vec::new(), excluded };
        let is_excluded = |organization: &str, common_name: Option<&str>| {
            let mut request = request("a.example");
            request.subject = common_name.map_or_else(Subject::default, Subject::named);
            request.subject.organization = Some(organization.to_owned());
            constraints.check(&request).is_err()
        };
        assert!(is_excluded("Example", Some("web")));
        assert!(!is_excluded("Example", None), "it is shorter");
        assert!(!is_excluded("Other", Some("web")));
        let mut unit = request("a.example");
        unit.subject.organizational_unit = Some("Example".to_owned());
        unit.subject.common_name = Some("web".to_owned());
        assert!(constraints.check(&unit).is_ok(), "a unit is no organization");
    }

    proptest! {
        #[test]
        fn what_is_permitted_whole_is_excluded_whole(
            base in "\\.?[a-c]{1,2}(\\.[a-c]{1,2}){0,2}", name in "(\\*\\.)?[a-c]{1,2}(\\.[a-c]{1,2}){0,3}",
        ) {
            if dns_meets(&base, &name) == Cover::All {
                let host = name.replace('*', "x");
                prop_assert_eq!(dns_meets(&base, &host), Cover::All);
            }
            let _ = (host_of(&name), email_meets(&base, &name), host_meets(&base, &name));
        }
    }
}
