//! The older dialect: the core of the protocol at Pebble 2.4, as CAs spoke it for years.

use perennial_testkit::real::{Pebble, PebbleBuilder};

use super::{Case, certificate, challenge, lab::Lab, order, proof::Proof};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let older = || Pebble::builder().older_dialect();
    let refusing = |percent| -> PebbleBuilder { older().rejected_nonces(percent) };
    vec![
        ("older_http01", Box::pin(challenge::proven(lab, older(), Proof::Http01))),
        ("older_http01_absent", Box::pin(challenge::absent(lab, older(), Proof::Http01, "404"))),
        ("older_http01_wrong", Box::pin(challenge::wrong_http(lab, older()))),
        ("older_dns01", Box::pin(challenge::proven(lab, older(), Proof::Dns01))),
        ("older_dns01_absent", Box::pin(challenge::absent(lab, older(), Proof::Dns01, "TXT"))),
        ("older_nonces_refused_50", Box::pin(order::issued(lab, refusing(50)))),
        ("older_strict", Box::pin(order::issued(lab, older().strict()))),
        ("older_wildcard", Box::pin(order::wildcard(lab, older()))),
        ("older_resumed_by_url", Box::pin(order::resumed_by_url(lab, older()))),
        ("older_chain_length_3", Box::pin(certificate::longer_chain(lab, older()))),
        ("older_alternate_roots_2", Box::pin(certificate::alternate_roots(lab, older()))),
        ("older_not_before_not_after", Box::pin(certificate::validity(lab, older()))),
    ]
}
