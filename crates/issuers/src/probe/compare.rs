//! What is served, held against what should be.

use std::{collections::BTreeSet, fmt};

use perennial_core::{DomainName, Timestamp};
use perennial_lifecycle::{Facts, FactsError, Issued};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::Serialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{
    handshake::{Handshake, NoHandshake},
    solver::http01::shown,
};

/// What serves a name at one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Served {
    /// The current certificate, without all that stands between it and its root: clients that have not seen the missing
    /// ones elsewhere refuse it.
    ChainIncomplete {
        /// The subjects of those that are missing, without control characters.
        missing: Vec<String>,
    },
    /// The current certificate.
    Current,
    /// A certificate for the name, which is none of ours: a load balancer or proxy in between has its own.
    Other {
        /// Who signed it, without control characters.
        issuer: String,
        /// Its serial number in lower-case hex.
        serial: String,
        /// The last moment it is valid.
        not_after: Timestamp,
    },
    /// One for the same names, or of the same key, that came before the current one.
    Stale {
        /// Who signed it, without control characters: if that was never one of ours, see [`Other`](Self::Other).
        issuer: String,
        /// Its serial number in lower-case hex.
        serial: String,
        /// The last moment it is valid.
        not_after: Timestamp,
        /// Since when its successor could have been served.
        since: Timestamp,
    },
    /// Bytes that are no certificate.
    Unreadable {
        /// Where reading stopped.
        reason: String,
    },
    /// Nobody has shown any.
    Unreachable(NoHandshake),
    /// A certificate for other names, such as the default one of a server that does not know this name.
    WrongName {
        /// Who signed it, without control characters.
        issuer: String,
        /// The first of its names.
        names: Vec<String>,
    },
}

/// What should be served.
pub(super) struct Expected {
    facts: Facts,
    since: Timestamp,
    leaf: CertificateDer<'static>,
    /// The certificates between the leaf and its root, by what tells them from others.
    between: Vec<Link>,
}

/// A certificate of a CA, whoever has signed it: of one that is cross-signed either will do.
#[derive(PartialEq, Eq)]
struct Link {
    subject: Vec<u8>,
    public_key: Vec<u8>,
    /// Fit to be shown.
    name: String,
}

impl Link {
    /// `None` for what is no certificate, and for one that is signed by itself: a root need not be sent.
    fn below_a_root(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        (certificate.subject() != certificate.issuer()).then(|| Self {
            subject: certificate.subject().as_raw().to_vec(),
            public_key: certificate.public_key().raw.to_vec(),
            name: shown(&certificate.subject().to_string(), MOST_OF_A_TEXT),
        })
    }
}

impl Expected {
    pub(super) fn of(current: &Issued) -> Result<Self, FactsError> {
        let chain = CertificateDer::pem_slice_iter(current.chain_pem().as_bytes());
        let chain: Result<Vec<_>, _> = chain.collect();
        let chain = chain.map_err(|error| FactsError::Malformed { reason: error.to_string() })?;
        Self::new(chain, current.issued_at())
    }

    fn new(chain: Vec<CertificateDer<'static>>, since: Timestamp) -> Result<Self, FactsError> {
        let mut chain = chain.into_iter();
        let leaf = chain.next().ok_or(FactsError::NoCertificate)?;
        let between = chain.filter_map(|der| Link::below_a_root(&der)).collect();
        Ok(Self { facts: Facts::from_der(&leaf)?, since, leaf, between })
    }

    pub(super) fn is_for(&self, name: &DomainName) -> bool {
        covers(&self.facts.names, name)
    }

    /// Whether it came after this one, and in its place.
    fn succeeds(&self, served: &Facts) -> bool {
        let same = served.names == self.facts.names
            || served.public_key_fingerprint == self.facts.public_key_fingerprint;
        // Some CAs round to the day.
        same && served.not_before <= self.facts.not_before
    }
}

impl Served {
    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        matches!(self, Self::Current)
    }

    pub(super) fn read(seen: Result<Handshake, NoHandshake>, name: &DomainName, expected: &Expected) -> Self {
        let Handshake { chain, .. } = match seen {
            Ok(handshake) => handshake,
            Err(why) => return Self::Unreachable(why),
        };
        let leaf: &[u8] = chain.first().map(AsRef::as_ref).unwrap_or_default();
        if *leaf == *expected.leaf {
            let sent: Vec<Link> = chain.iter().filter_map(|der| Link::below_a_root(der)).collect();
            let is_sent = |link: &&Link| {
                sent.iter().any(|one| one.subject == link.subject && one.public_key == link.public_key)
            };
            let missing: Vec<String> =
                expected.between.iter().filter(|link| !is_sent(link)).map(|link| link.name.clone()).collect();
            return if missing.is_empty() { Self::Current } else { Self::ChainIncomplete { missing } };
        }
        let facts = match Facts::from_der(leaf) {
            Ok(facts) => facts,
            Err(error) => return Self::Unreadable { reason: shown(&error.to_string(), MOST_OF_A_TEXT) },
        };
        let Facts { issuer, serial, not_after, .. } = facts.clone();
        // One of the same key that has not all names yet is the one before.
        if expected.succeeds(&facts) {
            let issuer = shown(&issuer, MOST_OF_A_TEXT);
            Self::Stale { issuer, serial, not_after, since: expected.since }
        } else if !covers(&facts.names, name) {
            let names = facts.names.iter().take(MOST_NAMES).map(ToString::to_string).collect();
            Self::WrongName { issuer: shown(&issuer, MOST_OF_A_TEXT), names }
        } else {
            Self::Other { issuer: shown(&issuer, MOST_OF_A_TEXT), serial, not_after }
        }
    }

    /// How bad it is: of several addresses the worst is the verdict. What cannot be reached from here may be well; who
    /// breaks off each handshake serves nobody.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Unreachable(NoHandshake::Broken { .. }) => 7,
            Self::Unreachable(_) => 0,
            Self::Current => 1,
            Self::ChainIncomplete { .. } => 2,
            Self::Stale { .. } => 3,
            Self::Other { .. } => 4,
            Self::WrongName { .. } => 5,
            Self::Unreadable { .. } => 6,
        }
    }

    /// What to do where this is served.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::ChainIncomplete { .. } => {
                "have the server send the whole chain: give it fullchain.pem instead of cert.pem"
            }
            Self::Current => return None,
            Self::Other { .. } => {
                "somebody in between serves a certificate of its own: see whether a load balancer, a CDN or another ACME \
                 client ends TLS there, and give it this certificate or have it pass connections on"
            }
            Self::Stale { .. } => {
                "the server has not taken the new certificate up: have it read its files again, and give the sink a \
                 reload hook (CommandHook, SignalHook, HttpHook) so that it does so each time"
            }
            Self::Unreachable(NoHandshake::Broken { .. }) => {
                "see that the server there speaks TLS, knows the name, and has the key that belongs to its certificate"
            }
            Self::Unreachable(NoHandshake::NoRoute { .. } | NoHandshake::Unreachable { .. }) => {
                "look from a machine that has a way to it"
            }
            Self::Unreachable(_) => {
                "see that the server runs and its port is open, or remove the address record that leads there"
            }
            Self::Unreadable { .. } => "see what answers there: it is no certificate that clients could read",
            Self::WrongName { .. } => {
                "the server there does not know the name and shows its default certificate: add the name to its \
                 configuration, or correct the address record that leads there"
            }
        })
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChainIncomplete { missing } => {
                write!(f, "the current certificate, without {}", missing.join(", "))
            }
            Self::Current => f.write_str("the current certificate"),
            Self::Other { issuer, serial, not_after } => {
                write!(f, "another certificate, issued by {issuer}, serial {serial}, until {not_after}")
            }
            Self::Stale { issuer, serial, not_after, since } => write!(
                f,
                "an old certificate, issued by {issuer}, serial {serial}, until {not_after}, whose successor is there \
                 since {since}"
            ),
            Self::Unreachable(why) => why.fmt(f),
            Self::Unreadable { reason } => write!(f, "no certificate: {reason}"),
            Self::WrongName { issuer, names } if names.is_empty() => {
                write!(f, "a certificate without names, issued by {issuer}")
            }
            Self::WrongName { issuer, names } => {
                write!(f, "a certificate for {}, issued by {issuer}", names.join(", "))
            }
        }
    }
}

/// Whether a certificate for these names is for this one: a wildcard stands for one label (RFC 9525 §6.3).
fn covers(names: &BTreeSet<DomainName>, name: &DomainName) -> bool {
    let parent = name.parent();
    let is_below = |known: &&DomainName| known.is_wildcard() && Some(known.base()) == parent;
    names.contains(name) || names.iter().any(|known| is_below(&known))
}

const MOST_OF_A_TEXT: usize = 160;
/// As many as a line has room for.
const MOST_NAMES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use std::sync::LazyLock;

    /// A CA below a root.
    struct Middle {
        der: CertificateDer<'static>,
        crossed: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }

    static MIDDLE: LazyLock<Middle> = LazyLock::new(|| {
        let root = |name| Issuer::new(authority(name), KeyPair::generate().unwrap());
        let key = KeyPair::generate().unwrap();
        let [der, crossed] = ["root", "old root"]
            .map(|name| authority("middle").signed_by(&key, &root(name)).unwrap().der().clone());
        Middle { der, crossed, issuer: Issuer::new(authority("middle"), key) }
    });

    fn leaf_of(names: &[&str], from: i64, key: &KeyPair) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = time::OffsetDateTime::from_unix_timestamp(from).unwrap();
        params.not_after = time::OffsetDateTime::from_unix_timestamp(from + 1_000).unwrap();
        params.signed_by(key, &MIDDLE.issuer).unwrap().der().clone()
    }

    fn leaf(names: &[&str], from: i64) -> CertificateDer<'static> {
        leaf_of(names, from, &KeyPair::generate().unwrap())
    }

    fn served(chain: &[&CertificateDer<'static>], expected: &Expected) -> Served {
        let chain = chain.iter().map(|der| (*der).clone()).collect();
        Served::read(Ok(Handshake { chain, protocol: None }), &name("a.example"), expected)
    }

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    const SINCE: Timestamp = Timestamp::from_unix(50_000);

    #[test]
    fn the_current_certificate_needs_all_between_it_and_its_root_and_no_more() {
        let current = leaf(&["a.example"], 50_000);
        let expected = Expected::new(vec![current.clone(), MIDDLE.der.clone()], SINCE).unwrap();
        assert_eq!(served(&[&current, &MIDDLE.der], &expected), Served::Current);
        assert_eq!(served(&[&current, &MIDDLE.crossed], &expected), Served::Current, "cross-signed");
        let missing = vec!["CN=middle".to_owned()];
        assert_eq!(served(&[&current], &expected), Served::ChainIncomplete { missing });
        let alone = Expected::new(vec![current.clone()], SINCE).unwrap();
        assert_eq!(served(&[&current, &MIDDLE.der], &alone), Served::Current);
    }

    #[test]
    fn a_root_need_not_be_sent_and_a_ca_of_the_same_name_or_key_is_not_the_one_in_between() {
        let current = leaf(&["a.example"], 50_000);
        let root = authority("root").self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        let with_root = vec![current.clone(), MIDDLE.der.clone(), root.clone()];
        let expected = Expected::new(with_root, SINCE).unwrap();
        for sent in [&[&current, &MIDDLE.der][..], &[&current, &MIDDLE.der, &root]] {
            assert_eq!(served(sent, &expected), Served::Current);
        }
        let above = Issuer::new(authority("root"), KeyPair::generate().unwrap());
        let another_key = authority("middle").signed_by(&KeyPair::generate().unwrap(), &above).unwrap();
        let another_name = authority("other").signed_by(MIDDLE.issuer.key(), &above).unwrap();
        for other in [another_key, another_name] {
            let served = served(&[&current, other.der()], &expected);
            assert!(matches!(served, Served::ChainIncomplete { .. }), "{served:?}");
        }
    }

    #[test]
    fn an_address_that_breaks_every_handshake_is_the_worst_and_one_that_is_not_reached_is_none() {
        let broken = Served::Unreachable(NoHandshake::Broken { reason: "no TLS".to_owned() });
        let refused = Served::Unreachable(NoHandshake::Refused);
        let unreadable = Served::Unreadable { reason: "no certificate".to_owned() };
        assert!(refused.rank() < Served::Current.rank() && unreadable.rank() < broken.rank());
    }

    #[test]
    fn what_came_before_is_stale_and_what_never_was_ours_is_other() {
        let key = KeyPair::generate().unwrap();
        let names = ["*.example", "a.example"];
        let current = leaf_of(&names, 50_000, &key);
        let expected = Expected::new(vec![current], SINCE).unwrap();
        let old = leaf(&names, 49_000);
        let serial = Facts::from_der(&old).unwrap().serial;
        let not_after = Timestamp::from_unix(50_000);
        let issuer = "CN=middle".to_owned();
        assert_eq!(served(&[&old], &expected), Served::Stale { issuer, serial, not_after, since: SINCE });
        let fewer = leaf_of(&["a.example"], 49_000, &key);
        assert!(matches!(served(&[&fewer], &expected), Served::Stale { .. }), "the key tells");
        for other in [leaf(&["a.example"], 49_000), leaf(&names, 51_000), leaf(&["*.example"], 49_000)] {
            let served = served(&[&other], &expected);
            assert!(matches!(&served, Served::Other { issuer, .. } if issuer == "CN=middle"), "{served:?}");
        }
        let wrong = served(&[&leaf(&["b.example", "*.a.example"], 49_000)], &expected);
        let names = ["*.a.example", "b.example"].map(str::to_owned).to_vec();
        assert_eq!(wrong, Served::WrongName { issuer: "CN=middle".to_owned(), names });
        assert!(matches!(served(&[&CertificateDer::from(vec![7])], &expected), Served::Unreadable { .. }));
        assert!(matches!(served(&[], &expected), Served::Unreadable { .. }));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let names = BTreeSet::from([name("*.a.example"), name("c.example")]);
        for (text, expected) in
            [("b.a.example", true), ("a.example", false), ("x.b.a.example", false), ("c.example", true)]
        {
            assert_eq!(covers(&names, &name(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..2000, byte: u8) {
            let (current, expected) = &*MADE;
            let _ = served(&[&CertificateDer::from(bytes)], expected);
            let mut changed = current.to_vec();
            let at = at % changed.len();
            changed[at] = byte;
            let _ = served(&[&CertificateDer::from(changed.clone()), &CertificateDer::from(changed)], expected);
        }
    }

    static MADE: LazyLock<(CertificateDer<'static>, Expected)> = LazyLock::new(|| {
        let current = leaf(&["a.example"], 50_000);
        let expected = Expected::new(vec![current.clone(), MIDDLE.der.clone()], SINCE).unwrap();
        (current, expected)
    });
}
