//! The older dialect: the core of the protocol at Pebble 2.4, as CAs spoke it for years.

use std::net::{IpAddr, Ipv4Addr};

use perennial_acme::{Algorithm, MacAlgorithm};
use perennial_core::KeyAlgorithm;
use perennial_testkit::real::{Pebble, PebbleBuilder};

use super::{Case, account, certificate, challenge, lab::Lab, order, proof::Proof, revocation, walk};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let older = || Pebble::builder().older_dialect();
    let refusing = |percent| -> PebbleBuilder { older().rejected_nonces(percent) };
    vec![
        ("older_http01", Box::pin(challenge::proven(lab, older(), Proof::Http01))),
        ("older_http01_absent", Box::pin(challenge::absent(lab, older(), Proof::Http01, "404"))),
        ("older_http01_wrong", Box::pin(challenge::wrong_http(lab, older()))),
        ("older_tls_alpn01", Box::pin(challenge::proven(lab, older(), Proof::TlsAlpn01))),
        ("older_tls_alpn01_wrong", Box::pin(challenge::wrong_tls(lab, older()))),
        ("older_ip_http01", Box::pin(challenge::proven_address(lab, older(), LOCALHOST, Proof::Http01))),
        (
            "older_ip_tls_alpn01",
            Box::pin(challenge::proven_address(lab, older(), LOCALHOST, Proof::TlsAlpn01)),
        ),
        ("older_dns01", Box::pin(challenge::proven(lab, older(), Proof::Dns01))),
        ("older_dns01_absent", Box::pin(challenge::absent(lab, older(), Proof::Dns01, "TXT"))),
        ("older_nonces_refused_50", Box::pin(order::issued(lab, refusing(50)))),
        ("older_strict", Box::pin(order::issued(lab, older().strict()))),
        ("older_walk", Box::pin(walk::straight(lab, older()))),
        ("older_wildcard", Box::pin(order::wildcard(lab, older()))),
        ("older_finalize_with_location", Box::pin(order::finalized(lab, older(), 1))),
        ("older_authorization_given_up", Box::pin(order::given_up(lab, older()))),
        ("older_resumed_by_url", Box::pin(order::resumed_by_url(lab, older()))),
        ("older_chain_length_3", Box::pin(certificate::longer_chain(lab, older()))),
        ("older_alternate_roots_2", Box::pin(certificate::alternate_roots(lab, older()))),
        ("older_account_rs256", Box::pin(account::key_of(lab, older(), Algorithm::Rs256))),
        ("older_account_verbs", Box::pin(account::verbs(lab, older()))),
        ("older_account_orders", Box::pin(account::orders(lab, older()))),
        ("older_account_key_change", Box::pin(account::key_change(lab, older()))),
        ("older_eab_hs256", Box::pin(account::bound(lab, older(), MacAlgorithm::Hs256))),
        ("older_leaf_rsa2048", Box::pin(certificate::leaf_key(lab, older(), KeyAlgorithm::Rsa2048))),
        ("older_revoke_by_account", Box::pin(revocation::by_account(lab, older()))),
        ("older_revoke_by_key", Box::pin(revocation::by_key(lab, older(), KeyAlgorithm::EcdsaP256))),
        ("older_not_before_not_after", Box::pin(certificate::validity(lab, older()))),
    ]
}
