//! A signing request (RFC 2986), read again: whoever signs vouches for what is in it.

use std::{collections::BTreeSet, net::IpAddr};

use perennial_core::DomainName;
use perennial_lifecycle::SigningRequest;
use rcgen::{PublicKeyData as _, SubjectPublicKeyInfo};
use x509_parser::prelude::*;

use crate::Error;

/// The key in a request, after a look at the whole of it: that whoever made it has the key, that it is the key of
/// which the request speaks, and that it names nothing else than the request does.
///
/// # Errors
/// [`Error::Request`] with what is wrong with it.
pub(crate) fn read(request: &SigningRequest) -> Result<SubjectPublicKeyInfo, Error> {
    inspect(request)
        .map_err(|reason| Error::Request { certificate: request.certificate.clone(), reason: shown(&reason) })
}

fn inspect(request: &SigningRequest) -> Result<SubjectPublicKeyInfo, String> {
    let (rest, csr) = X509CertificationRequest::from_der(&request.csr_der)
        .map_err(|error| format!("it is no PKCS#10 request: {error}"))?;
    if !rest.is_empty() {
        return Err("bytes follow it".to_owned());
    }
    let info = &csr.certification_request_info;
    if info.subject_pki.raw != request.public_key_der {
        return Err("it is for another key than the one asked for".to_owned());
    }
    csr.verify_signature().map_err(|error| format!("it is not signed with its own key: {error}"))?;
    if names_of(&csr)? != names_in(request) {
        return Err("it has other names than were asked for".to_owned());
    }
    if !same_subject(&info.subject, request) {
        return Err(format!("its subject is {}, which was not asked for", info.subject));
    }
    let key = SubjectPublicKeyInfo::from_der(&request.public_key_der)
        .map_err(|error| format!("its key is of a kind that cannot be certified here: {error}"))?;
    if key.subject_public_key_info() != request.public_key_der {
        return Err("its key is written in a form that cannot be kept".to_owned());
    }
    Ok(key)
}

/// A name as requests write it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Address(IpAddr),
    Dns(DomainName),
    Email(String),
    Uri(String),
}

fn names_in(request: &SigningRequest) -> BTreeSet<Name> {
    let dns = request.names.iter().cloned().map(Name::Dns);
    dns.chain(request.addresses.iter().copied().map(Name::Address))
        .chain(request.uris.iter().cloned().map(Name::Uri))
        .chain(request.emails.iter().cloned().map(Name::Email))
        .collect()
}

/// The names in the bytes. Other extensions than subjectAltName are not asked for in this way.
fn names_of(csr: &X509CertificationRequest<'_>) -> Result<BTreeSet<Name>, String> {
    let mut names = BTreeSet::new();
    for extension in csr.requested_extensions().into_iter().flatten() {
        let ParsedExtension::SubjectAlternativeName(alternatives) = extension else {
            return Err("it asks for an extension beside its names".to_owned());
        };
        for name in &alternatives.general_names {
            names.insert(
                name_of(name).ok_or_else(|| format!("it has the name {name}, which cannot be signed"))?,
            );
        }
    }
    Ok(names)
}

fn name_of(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(name) => DomainName::parse(name).ok().map(Name::Dns),
        GeneralName::IPAddress(octets) => {
            let four = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            four.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(Name::Address)
        }
        GeneralName::RFC822Name(mailbox) => Some(Name::Email((*mailbox).to_owned())),
        GeneralName::URI(uri) => Some(Name::Uri((*uri).to_owned())),
        _ => None,
    }
}

fn same_subject(found: &X509Name<'_>, request: &SigningRequest) -> bool {
    let mut wanted = request.subject.attributes();
    let all_wanted = found.iter_attributes().all(|attribute| {
        wanted.next().is_some_and(|(oid, value)| {
            let same_kind = attribute.attr_type().iter().is_some_and(|it| it.eq(oid.iter().copied()));
            same_kind && attribute.as_str().is_ok_and(|it| it == value)
        })
    });
    all_wanted && wanted.next().is_none()
}

/// Bytes of a request end up on terminals.
fn shown(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_core::Retry;
    use perennial_lifecycle::{CertificateSpec, IssueErrorClass, KeyAlgorithm, PrivateKey, Subject};
    use proptest::prelude::*;

    fn request() -> SigningRequest {
        let names = ["a.example", "192.0.2.1", "spiffe://prod/web", "ops@a.example"];
        let mut subject = Subject::named("a");
        subject.country = Some("CH".to_owned());
        let spec = CertificateSpec::new("a", names).unwrap().subject(subject);
        SigningRequest::of(&spec, &PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap()).unwrap()
    }

    fn signed_part(der: &[u8]) -> Vec<u8> {
        X509CertificationRequest::from_der(der).unwrap().1.certification_request_info.raw.to_vec()
    }

    fn refused(change: impl FnOnce(&mut SigningRequest)) -> String {
        let mut request = request();
        change(&mut request);
        let error = read(&request).unwrap_err();
        assert_eq!((error.class(), error.retry()), (IssueErrorClass::Policy, Retry::Never), "{error}");
        error.to_string()
    }

    #[test]
    fn a_request_of_every_kind_of_key_gives_its_key() {
        for algorithm in KeyAlgorithm::ALL.into_iter().filter(|it| *it != KeyAlgorithm::Rsa4096) {
            let key = PrivateKey::generate(algorithm).unwrap();
            let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
            let request = SigningRequest::of(&spec, &key).unwrap();
            let read = read(&request).unwrap_or_else(|error| panic!("{algorithm}: {error}"));
            assert_eq!(read.subject_public_key_info(), key.public_key_der(), "{algorithm}");
        }
        read(&request()).unwrap();
    }

    #[test]
    fn a_request_that_says_other_things_than_it_is_said_to_is_refused_with_what_differs() {
        let other = request();
        for (said, says) in [
            (refused(|request| request.public_key_der = other.public_key_der.clone()), "another key"),
            (refused(|request| request.csr_der.push(0)), "bytes follow"),
            (refused(|request| request.csr_der.clear()), "PKCS#10"),
            (refused(|request| *request.csr_der.last_mut().unwrap() ^= 1), "own key"),
            (refused(|request| request.names.clear()), "other names"),
            (refused(|request| request.uris.clear()), "other names"),
            (refused(|request| request.subject = Subject::named("b")), "subject"),
            (refused(|request| request.subject = Subject::named("a")), "subject"),
        ] {
            assert!(said.contains(says) && said.contains("certificate a"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut request = request();
            request.csr_der = bytes.clone();
            let _ = read(&request);
            request.public_key_der = bytes;
            let _ = read(&request);
        }

        #[test]
        fn a_changed_byte_never_panics_and_what_passes_is_what_was_signed(at in 0usize..2_000, bit in 0u8..8) {
            let mut request = request();
            let signed = signed_part(&request.csr_der);
            let at = at % request.csr_der.len();
            request.csr_der[at] ^= 1 << bit;
            // Some bits beside the signature say nothing, such as how many of the last byte are unused.
            prop_assert!(read(&request).is_err() || signed_part(&request.csr_der) == signed);
        }
    }
}
