//! Where clients find the certificate of whoever signed, and whether it has taken something back: authority
//! information access (RFC 5280 §4.2.2.1) and CRL distribution points (§4.2.1.13).

use rcgen::{CrlDistributionPoint, CustomExtension};
use yasna::{Tag, models::ObjectIdentifier};

/// What a certificate says about where its issuer publishes what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Urls {
    pub(crate) ca_issuers: Vec<String>,
    pub(crate) ocsp: Vec<String>,
    pub(crate) crl: Vec<String>,
}

impl Urls {
    /// The first that cannot be written into a certificate: a URL is ASCII, and has a scheme.
    pub(crate) fn fault(&self) -> Option<&String> {
        let fits = |url: &&String| {
            let scheme =
                url.split_once("://").filter(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
            scheme.is_some() && url.len() <= LONGEST && url.chars().all(|c| c.is_ascii_graphic())
        };
        self.ca_issuers.iter().chain(&self.ocsp).chain(&self.crl).find(|url| !fits(url))
    }

    /// One point for all: they are the same list.
    pub(super) fn distribution_points(&self) -> Vec<CrlDistributionPoint> {
        let point = (!self.crl.is_empty()).then(|| CrlDistributionPoint { uris: self.crl.clone() });
        point.into_iter().collect()
    }

    pub(super) fn authority_information(&self) -> Option<CustomExtension> {
        let ocsp = self.ocsp.iter().map(|url| (OCSP, url));
        let mut accesses = ocsp.chain(self.ca_issuers.iter().map(|url| (CA_ISSUERS, url))).peekable();
        accesses.peek()?;
        let content = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for (method, url) in accesses {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&ObjectIdentifier::from_slice(method));
                        let uri = Tag::context(6);
                        writer.next().write_tagged_implicit(uri, |writer| writer.write_ia5_string(url));
                    });
                }
            });
        });
        Some(CustomExtension::from_oid_content(AUTHORITY_INFORMATION_ACCESS, content))
    }
}

const AUTHORITY_INFORMATION_ACCESS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1];
const CA_ISSUERS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 2];
/// What browsers and proxies take.
const LONGEST: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_is_found() {
        let urls = |url: &str| Urls { crl: vec![url.to_owned()], ..Urls::default() };
        assert_eq!(urls("http://ca.example/ca.crl").fault(), None);
        for wrong in ["ca.example/ca.crl", "http://", "http://ca.example/\u{fc}", "http://a b", ""] {
            assert_eq!(urls(wrong).fault().map(String::as_str), Some(wrong));
        }
    }
}
