//! A set of trust anchors, in an order that does not change by itself.

use std::collections::BTreeSet;

use perennial_core::Timestamp;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{Anchor, AnchorFault, Fingerprint, TrustError};
use crate::{IssuedChain, output};

/// A set of trust anchors: what is handed out as `ca.pem`, `ca.crt` or a trust store. None is in it twice, and each keeps
/// its place.
///
/// [`output::Pkcs12`] and [`output::Jks`] make trust stores of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    anchors: Vec<Anchor>,
}

impl TrustBundle {
    /// Reads the certificates of a PEM text; what comes twice is taken once.
    ///
    /// # Errors
    /// [`TrustError`] when there is none, one is malformed, or there are more than 1024: the largest public set has some
    /// 150.
    pub fn from_pem(pem: &str) -> Result<Self, TrustError> {
        let ders = CertificateDer::pem_slice_iter(pem.as_bytes()).take(MOST + 1).enumerate();
        let ders: Result<Vec<_>, _> = ders
            .map(|(index, der)| {
                der.map_err(|error| TrustError::Malformed { index, reason: error.to_string() })
            })
            .collect();
        Self::from_der(ders?.iter().map(AsRef::as_ref))
    }

    /// The same of certificates in DER.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn from_der<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, TrustError> {
        let mut anchors = Vec::new();
        for (index, der) in ders.into_iter().enumerate() {
            if index >= MOST {
                return Err(TrustError::TooMany { most: MOST });
            }
            anchors.push(Anchor::from_der(index, der)?);
        }
        Self::of(anchors)
    }

    fn of(mut anchors: Vec<Anchor>) -> Result<Self, TrustError> {
        let mut seen = BTreeSet::new();
        anchors.retain(|anchor| seen.insert(anchor.fingerprint()));
        if anchors.is_empty() { Err(TrustError::Empty) } else { Ok(Self { anchors }) }
    }

    /// Those in it, in their order.
    #[must_use]
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Their fingerprints, in their order.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        self.anchors.iter().map(Anchor::fingerprint)
    }

    /// Whether one is in it.
    #[must_use]
    pub fn contains(&self, fingerprint: Fingerprint) -> bool {
        self.fingerprints().any(|found| found == fingerprint)
    }

    /// The bundle itself if all of these are in it: for one that came over a way that is not trusted, and fingerprints
    /// that came over another.
    ///
    /// # Errors
    /// [`TrustError::NotPinned`] names the first that is not in it.
    pub fn pinned(self, pins: impl IntoIterator<Item = Fingerprint>) -> Result<Self, TrustError> {
        match pins.into_iter().find(|pin| !self.contains(*pin)) {
            None => Ok(self),
            Some(pin) => {
                let found: Vec<String> =
                    self.fingerprints().take(SHOWN).map(|found| found.to_string()).collect();
                Err(TrustError::NotPinned { pin, found: found.join(", ") })
            }
        }
    }

    /// What relying parties will not like about those in it, in their order.
    #[must_use]
    pub fn faults(&self, now: Timestamp) -> Vec<AnchorFault> {
        self.anchors.iter().filter_map(|anchor| anchor.fault(now)).collect()
    }

    /// What to hand out while `next` follows this bundle: all of `next` at once, and of the old ones those that are not
    /// in it while a certificate of them still serves, or until they have ended.
    ///
    /// `serving` are the chains that serve, [`IssuedChain`]s of every certificate in reach: for one that is forgotten its
    /// anchor may go too soon. It is called again with what it returned whenever one of them changed, and an old anchor
    /// goes when nobody needs it any more. One that has to go at once is taken out by [`without`](Self::without).
    ///
    /// Old ones keep their places, and new ones come behind them: files change as little as they can.
    #[must_use]
    pub fn succeeded_by(&self, next: &Self, serving: &[IssuedChain], now: Timestamp) -> Self {
        let stays = |anchor: &&Anchor| {
            next.contains(anchor.fingerprint())
                || anchor.not_after() > now && serving.iter().any(|chain| anchor.vouches_for(chain))
        };
        let mut anchors: Vec<Anchor> = self.anchors.iter().filter(stays).cloned().collect();
        anchors.extend(next.anchors.iter().filter(|anchor| !self.contains(anchor.fingerprint())).cloned());
        Self { anchors }
    }

    /// All but one: it was compromised, say.
    ///
    /// # Errors
    /// [`TrustError::Empty`] when none is left: then it is for a person to say what is trusted instead.
    pub fn without(&self, fingerprint: Fingerprint) -> Result<Self, TrustError> {
        let left = self.anchors.iter().filter(|anchor| anchor.fingerprint() != fingerprint);
        Self::of(left.cloned().collect())
    }

    /// As PEM, one after the other: what OpenSSL's `CAfile`, Go, Python and curl read.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.anchors.iter().map(|anchor| output::encode_pem("CERTIFICATE", anchor.der())).collect()
    }
}

const MOST: usize = 1_024;
/// As many fit into a message.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    use crate::output::tests::{ca, made};
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair};

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_unix(NOW)
    }

    fn bundle(pems: &[&str]) -> TrustBundle {
        TrustBundle::from_pem(&pems.concat()).unwrap()
    }

    fn ending(name: &str, seconds: i64) -> String {
        let mut params = ca(name);
        params.not_after = ::time::OffsetDateTime::from_unix_timestamp(NOW + seconds).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn what_comes_twice_is_taken_once_and_keeps_its_place() {
        let (one, two) = (made().root, made().root);
        let both = bundle(&[&one, &two, &one]);
        assert_eq!(both, bundle(&[&one, &two]));
        assert_eq!(both.to_pem(), (one + &two).replace("\r\n", "\n"));
        assert_eq!(TrustBundle::from_pem("nothing"), Err(TrustError::Empty));
    }

    #[test]
    fn an_old_anchor_stays_while_a_certificate_of_it_serves_and_not_longer() {
        let (old, new) = (made(), made());
        let before = bundle(&[&old.root]);
        let next = bundle(&[&new.root]);
        let chain = |pem: String| IssuedChain::from_pem(pem).unwrap();
        let (of_old, of_new) = (chain(old.chain()), chain(new.chain()));
        let both = bundle(&[&old.root, &new.root]);
        // The new one is handed out before anything is issued under it.
        let handed_out = before.succeeded_by(&next, std::slice::from_ref(&of_old), now());
        assert_eq!(handed_out, both);
        assert_eq!(handed_out.succeeded_by(&next, &[of_new.clone(), of_old.clone()], now()), both);
        assert_eq!(handed_out.succeeded_by(&next, std::slice::from_ref(&of_new), now()), next);
        // A chain that brings its root along hangs on it, too; a leaf whose intermediate is not there hangs on nothing.
        let whole = chain(old.chain() + &old.root);
        assert_eq!(handed_out.succeeded_by(&next, &[whole], now()), both);
        // One that is told to go goes at once.
        let told = handed_out.without(before.anchors()[0].fingerprint()).unwrap();
        assert_eq!(told, next);
        assert_eq!(told.without(next.anchors()[0].fingerprint()), Err(TrustError::Empty));
    }

    #[test]
    fn an_anchor_that_has_ended_goes_whatever_serves() {
        let key = KeyPair::generate().unwrap();
        let mut params = ca("old");
        params.not_after = ::time::OffsetDateTime::from_unix_timestamp(NOW + 10).unwrap();
        let old = params.self_signed(&key).unwrap().pem();
        let leaf = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &rcgen::Issuer::new(params, &key)).unwrap();
        let serving = [IssuedChain::from_pem(leaf.pem()).unwrap()];
        let (before, next) = (bundle(&[&old]), bundle(&[&made().root]));
        assert_eq!(before.succeeded_by(&next, &serving, now()).anchors().len(), 2);
        assert_eq!(before.succeeded_by(&next, &serving, Timestamp::from_unix(NOW + 10)), next);
    }

    #[test]
    fn a_bundle_without_what_was_pinned_is_refused_and_what_it_has_is_named() {
        let (one, two) = (bundle(&[&made().root]), bundle(&[&made().root]));
        let pin = one.anchors()[0].fingerprint();
        assert_eq!(one.clone().pinned([pin]), Ok(one));
        let found = two.anchors()[0].fingerprint().to_string();
        assert_eq!(two.pinned([pin]), Err(TrustError::NotPinned { pin, found }));
    }

    #[test]
    fn what_has_ended_and_what_is_no_ca_is_named() {
        let leaf = made().leaf;
        let all = bundle(&[&ending("fine", 1), &ending("ended", 0), &leaf]);
        let [_, ended, leaf] = all.anchors() else { panic!("{all:?}") };
        let (subject, fingerprint) = ("CN=ended".to_owned(), ended.fingerprint());
        let expired = AnchorFault::Expired { subject, fingerprint, not_after: now() };
        let no_ca = AnchorFault::NoCa { subject: leaf.subject().to_owned(), fingerprint: leaf.fingerprint() };
        assert_eq!(all.faults(now()), [expired, no_ca]);
    }

    proptest! {
        #[test]
        fn no_change_of_a_byte_panics(at in any::<usize>(), byte in any::<u8>()) {
            static ROOT: OnceLock<String> = OnceLock::new();
            let mut bytes = ROOT.get_or_init(|| made().root).clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let text = String::from_utf8_lossy(&bytes);
            let _ = TrustBundle::from_pem(&text);
            let _ = TrustBundle::from_der([bytes.as_slice()]);
        }
    }
}
