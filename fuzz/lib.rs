//! What each fuzz target does with bytes, apart from the fuzzer: a plain test replays the corpora through it.
//!
//! `cargo test --no-default-features` replays; README.md tells how to hunt.

mod acme;
pub use acme::{
    acme_account, acme_authorization, acme_directory, acme_dns_persist, acme_flow, acme_header, acme_jws,
    acme_order, acme_problem, acme_renewal_info,
};

mod answer;
pub use answer::dns_answer;

mod keystore;
pub use keystore::{keystore_jks, keystore_pkcs12, private_key};

mod provider;
pub use provider::{provider_answer, provider_json, tsig_key_file, txt_quoting, update_answer};

mod store;
pub use store::{store_index_log, store_record};

mod walk;
pub use walk::zone_walk;

mod watch;
pub use watch::watch_engine;

use std::net::{Ipv4Addr, Ipv6Addr};

use perennial_core::{DomainName, Timestamp};
use perennial_propagation::{NameServer, caa, nat64};

/// Every target: its name and what it does.
pub const TARGETS: [(&str, fn(&[u8])); 30] = [
    ("acme_account", acme_account),
    ("acme_authorization", acme_authorization),
    ("acme_directory", acme_directory),
    ("acme_dns_persist", acme_dns_persist),
    ("acme_flow", acme_flow),
    ("acme_header", acme_header),
    ("acme_jws", acme_jws),
    ("acme_order", acme_order),
    ("acme_problem", acme_problem),
    ("acme_renewal_info", acme_renewal_info),
    ("caa_value", caa_value),
    ("certificate_chain", certificate_chain),
    ("dns_answer", dns_answer),
    ("domain_name", domain_name),
    ("keystore_jks", keystore_jks),
    ("keystore_pkcs12", keystore_pkcs12),
    ("lifecycle_record", lifecycle_record),
    ("nameserver", nameserver),
    ("nat64_address", nat64_address),
    ("private_key", private_key),
    ("provider_answer", provider_answer),
    ("provider_json", provider_json),
    ("spec_json", spec_json),
    ("store_index_log", store_index_log),
    ("store_record", store_record),
    ("tsig_key_file", tsig_key_file),
    ("txt_quoting", txt_quoting),
    ("update_answer", update_answer),
    ("watch_engine", watch_engine),
    ("zone_walk", zone_walk),
];

/// The data of CAA records (RFC 8659 §4.1: flags, the length of the tag, the tag, the value), one a line.
pub fn caa_value(bytes: &[u8]) {
    let domain: DomainName = "example.com".parse().expect("a name");
    let read = |line: &[u8]| {
        let (flags, rest) = line.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (tag, value) = rest.split_at_checked(usize::from(*length))?;
        let tag = String::from_utf8_lossy(tag);
        let record = caa::Record::read(domain.clone(), flags & 128 != 0, &tag, value);
        assert!(!record.to_string().chars().any(char::is_control), "a control character is shown");
        if let caa::Authorization::Issuer { domain, parameters } = caa::Authorization::read(value) {
            let mut again = domain.clone();
            parameters.iter().for_each(|p| again.push_str(&format!(";{}={}", p.tag, p.value)));
            let same = caa::Authorization::Issuer { domain, parameters };
            assert_eq!(caa::Authorization::read(again.as_bytes()), same, "an issuer does not come back");
        }
        Some(record)
    };
    let records: Vec<caa::Record> = bytes.split(|octet| *octet == b'\n').filter_map(read).collect();
    for name in ["example.com", "*.example.com"] {
        let nobody = caa::Question::new(&name.parse().expect("a name"));
        let somebody = nobody.clone().issuer("ca.example").account("https://ca.example/1").method("dns-01");
        for question in [nobody, somebody] {
            let decision = caa::judge(&question, &records);
            assert!(!decision.to_string().chars().any(char::is_control), "a control character is shown");
            match decision {
                caa::Decision::Forbidden { record, .. } => assert!(records.contains(&record)),
                caa::Decision::Allowed { record: Some(record) } => assert!(records.contains(&record)),
                caa::Decision::Allowed { record: None } | caa::Decision::Inconclusive { .. } => {}
            }
        }
    }
}

/// A downloaded chain, the facts of its leaf and its name at the CA; a request for a certificate.
pub fn certificate_chain(bytes: &[u8]) {
    if let Ok(chain) = perennial_acme::CertificateChain::parse(bytes) {
        let names = [perennial_acme::Identifier::Dns("example.com".parse().expect("a name"))];
        let expected =
            perennial_acme::Expected { public_key: &[], identifiers: &names, now: Timestamp::from_unix(0) };
        assert!(chain.verify(&expected).is_err(), "verified without its key");
    }
    if let Ok(id) = perennial_acme::CertificateId::from_der(bytes) {
        assert_eq!(id.to_string().parse(), Ok(id), "a certificate identifier does not come back");
    }
    let _ = perennial_acme::CertificationRequest::parse(bytes);
    let _ = perennial_acme::CertificationRequest::from_pem(bytes);
    let _ = perennial_lifecycle::Facts::from_pem(bytes);
    let _ = perennial_lifecycle::Facts::from_der(bytes);
}

/// A name from a command line or a server.
pub fn domain_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = DomainName::parse(text) {
        assert_eq!(DomainName::parse(name.as_str()), Ok(name.clone()));
        assert!(name.as_str().len() <= 253);
    }
    let _ = text.parse::<Timestamp>();
    let _ = perennial_acme::retry_after::parse(
        text,
        Timestamp::from_unix(0),
        std::time::Duration::ZERO..=std::time::Duration::from_secs(3600),
    );
    assert_eq!(perennial_providers::txt::unquote(&perennial_providers::txt::quote(text)), text);
    let _ = perennial_providers::txt::unquote(text);
    let _ = text.parse::<perennial_providers::rfc2136::Server>();
    let _ = text.parse::<perennial_providers::rfc2136::Algorithm>();
}

/// A record of a store.
pub fn lifecycle_record(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<perennial_lifecycle::Record>(bytes) else { return };
    let again = serde_json::to_vec(&record).expect("a record has a JSON form");
    assert_eq!(serde_json::from_slice::<perennial_lifecycle::Record>(&again).expect("its own form"), record);
}

/// A name server as a person writes it.
pub fn nameserver(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(server) = text.parse::<NameServer>() {
        assert_eq!(server.to_string().parse::<NameServer>(), Ok(server));
    }
}

/// A NAT64 prefix and an address in it; a setting; and the addresses in which a resolver shows the prefix.
pub fn nat64_address(bytes: &[u8]) {
    let shown: Vec<Ipv6Addr> =
        bytes.chunks_exact(16).filter_map(|octets| Some(<[u8; 16]>::try_from(octets).ok()?.into())).collect();
    for prefix in nat64::discover::prefixes(&shown) {
        assert_eq!(prefix.to_string().parse(), Ok(prefix), "a discovered prefix that cannot be written down");
        let [v4, _] = nat64::discover::WELL_KNOWN_ADDRESSES;
        assert_eq!(prefix.extract(prefix.embed(v4)), Some(v4));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = text.parse::<nat64::Nat64>();
    let Some((prefix, address)) = text.split_once(' ') else { return };
    let Ok(prefix) = prefix.parse::<nat64::Prefix>() else { return };
    if let Ok(address) = address.parse::<Ipv4Addr>()
        && let Ok(synthesized) = prefix.synthesize(address)
    {
        assert_eq!(prefix.extract(synthesized), Some(address));
    }
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        let _ = prefix.extract(address);
        let _ = nat64::discover::prefixes(&[address]);
    }
}

/// The spec of a certificate as a program's configuration has it.
pub fn spec_json(bytes: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<perennial_lifecycle::CertificateSpec>(bytes) else { return };
    if let Err(error) = spec.validate() {
        assert!(!error.to_string().chars().any(char::is_control), "a control character is shown");
    }
    let again = serde_json::to_vec(&spec).expect("a spec has a JSON form");
    let again: perennial_lifecycle::CertificateSpec = serde_json::from_slice(&again).expect("its own form");
    assert_eq!(again, spec, "a spec does not come back");
    assert!(again.asks_same_certificate(&spec) && again.asks_same_delivery(&spec));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corpus_is_replayed_and_none_is_empty() {
        let corpora = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for (name, target) in TARGETS {
            let mut replayed = 0;
            for entry in std::fs::read_dir(corpora.join(name)).expect(name) {
                target(&std::fs::read(entry.expect(name).path()).expect(name));
                replayed += 1;
            }
            assert!(replayed > 0, "the corpus of {name} is empty");
        }
    }

    #[test]
    fn the_seeds_of_answers_to_updates_get_past_the_signature() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/update_answer");
        for name in ["signed_soa", "signed_txt", "signed_update", "soa", "txt"] {
            let seed = std::fs::read(seeds.join(name)).expect(name);
            assert_eq!(perennial_providers::rfc2136::read_any_answer(&seed), 1, "{name} is not believed");
        }
    }

    #[test]
    fn every_target_has_its_file() {
        let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
        for (name, _) in TARGETS {
            assert!(files.join(format!("{name}.rs")).exists(), "{name}");
        }
    }
}
