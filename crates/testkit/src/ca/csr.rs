//! Certificate signing requests: RFC 2986, and what RFC 8555 §7.4 asks of them.

use std::{collections::BTreeSet, net::IpAddr};

use perennial_core::DomainName;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{identifier::Identifier, jwk::Jwk, problem::Problem};

/// A request whose signature is its own key's.
#[derive(Debug)]
pub(super) struct Csr {
    /// The key, as a certificate holds it.
    pub(super) key: Vec<u8>,
    names: BTreeSet<Identifier>,
}

impl Csr {
    pub(super) fn parse(der: &[u8]) -> Result<Self, Problem> {
        let (rest, csr) = X509CertificationRequest::from_der(der)
            .map_err(|error| Problem::bad_csr(format!("the CSR cannot be read: {error}")))?;
        if !rest.is_empty() {
            return Err(Problem::bad_csr("there is something behind the CSR"));
        }
        csr.verify_signature().map_err(|_| {
            Problem::bad_csr("the signature of the CSR is not its own key's, or is of a weak kind")
        })?;
        let info = &csr.certification_request_info;
        check_strength(&info.subject_pki)?;
        let mut names = BTreeSet::new();
        for name in info.subject.iter_common_name() {
            let name = name.as_str().map_err(|_| Problem::bad_csr("the common name is no text"))?;
            // RFC 8738 §6 says nothing of common names; an address may stand there as a name may.
            names.insert(match name.parse() {
                Ok(address) => Identifier::Ip(address),
                Err(_) => parse_name(name)?,
            });
        }
        for extension in csr.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(san) = extension {
                for name in &san.general_names {
                    names.insert(match name {
                        GeneralName::DNSName(name) => parse_name(name)?,
                        GeneralName::IPAddress(octets) => Identifier::Ip(parse_address(octets)?),
                        other => {
                            let detail = format!("{other} is neither a DNS name nor an address");
                            return Err(Problem::bad_csr(detail));
                        }
                    });
                }
            }
        }
        Ok(Self { key: info.subject_pki.raw.to_vec(), names })
    }

    /// RFC 8555 §7.4 and §11.1: exactly the names of the order, and not the account's key.
    pub(super) fn check(&self, ordered: &BTreeSet<Identifier>, account: &Jwk) -> Result<(), Problem> {
        if self.names != *ordered {
            let list = |names: &BTreeSet<Identifier>| {
                names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let detail = format!("the CSR is for {}, the order for {}", list(&self.names), list(ordered));
            return Err(Problem::bad_csr(detail));
        }
        let is_account_key =
            SubjectPublicKeyInfo::from_der(&self.key).is_ok_and(|(_, info)| account.is_in(&info));
        if is_account_key {
            return Err(Problem::bad_csr("the key of the certificate must not be the account's"));
        }
        Ok(())
    }
}

fn parse_name(text: &str) -> Result<Identifier, Problem> {
    DomainName::parse(text).map(Identifier::Dns).map_err(|error| Problem::bad_csr(error.to_string()))
}

fn parse_address(octets: &[u8]) -> Result<IpAddr, Problem> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
    address.map_err(|_| Problem::bad_csr(format!("an address has 4 or 16 octets, not {}", octets.len())))
}

fn check_strength(key: &SubjectPublicKeyInfo<'_>) -> Result<(), Problem> {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048 => {
            Err(Problem::bad_csr(format!("an RSA key of {} bits is too weak", rsa.key_size())))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::bad_csr(format!("the key of the CSR cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    fn names(names: &[&str]) -> BTreeSet<Identifier> {
        names.iter().map(|name| Identifier::Dns(name.parse().unwrap())).collect()
    }

    fn csr(names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_names_must_be_those_of_the_order() {
        let account = Jwk::Okp { x: vec![0; 32] };
        let csr = Csr::parse(&csr(&["example.com", "*.Example.com"])).unwrap();
        assert!(csr.check(&names(&["*.example.com", "example.com"]), &account).is_ok());
        for other in [&["example.com"][..], &["*.example.com", "example.com", "www.example.com"]] {
            assert_eq!(csr.check(&names(other), &account).unwrap_err().kind, "badCSR");
        }
    }

    #[test]
    fn a_signature_by_another_key_is_refused() {
        let mut der = csr(&["example.com"]);
        let last = der.len() - 1;
        der[last] ^= 1;
        assert_eq!(Csr::parse(&der).unwrap_err().kind, "badCSR");
    }

    #[test]
    fn an_address_is_no_name() {
        let account = Jwk::Okp { x: vec![0; 32] };
        let csr = Csr::parse(&csr(&["127.0.0.1", "::1"])).unwrap();
        let addresses = ["127.0.0.1", "::1"].map(|address| Identifier::Ip(address.parse().unwrap()));
        assert!(csr.check(&BTreeSet::from(addresses), &account).is_ok());
        assert_eq!(csr.check(&names(&["example.com"]), &account).unwrap_err().kind, "badCSR");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let mut der = csr(&["example.com"]);
            let at = at.index(der.len());
            der[at] ^= flip;
            let _ = Csr::parse(&der);
            let _ = Csr::parse(&der[..at]);
        }
    }
}
