//! Which certificate a handshake is answered with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::ArcSwapOption;
use perennial_acme::challenge::tls_alpn01;
use perennial_core::{Clock, DomainName, SystemClock, Timestamp};
use perennial_issuers::solver::tls_alpn01::ChallengeCertificates;
use perennial_lifecycle::CertificateId;
use rustls::{
    ServerConfig, SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    ServedCertificate,
    follow::Followers,
    slots::Ranked,
    table::{Key, Table},
};

/// Chooses the certificate of each handshake by the name that the client asks for (SNI, RFC 6066 §3), among as
/// many as there are, while they are renewed.
///
/// The name itself comes before a wildcard, which stands for exactly one label (RFC 9525 §6.3). Of several
/// certificates for one name the client gets one whose key it can verify, of those one that has not ended by then, and
/// of those the one that was issued last. A certificate that has ended is served rather than none: the client says what
/// is wrong with it, and [`expired`](Self::expired) tells the operator. Who asks for no name, as those who connect to an address do,
/// gets the [default certificate](CertificateResolverBuilder::default_certificate); who asks for a name that
/// nobody has put here is [answered as chosen](CertificateResolverBuilder::unknown_names).
///
/// A handshake takes no lock and copies nothing. Cloning is cheap; all clones serve the same certificates.
///
/// ```
/// use perennial::rustls::{CertificateResolver, ServedCertificate};
/// # use perennial::core::SecretString;
/// # let key = rcgen::KeyPair::generate()?;
/// # let chain = rcgen::CertificateParams::new(vec!["*.example.com".to_owned()])?.self_signed(&key)?.pem();
/// # let key = SecretString::new(key.serialize_pem());
///
/// let resolver = CertificateResolver::new();
/// resolver.insert("wildcard".parse()?, ServedCertificate::from_pem(&chain, &key)?);
/// assert!(resolver.find(Some("www.example.com"), &[]).is_some());
/// assert!(resolver.find(Some("a.b.example.com"), &[]).is_none());
/// let config = resolver.server_config(&["h2", "http/1.1"]); // for tokio-rustls, hyper, axum, quinn
/// # let _ = config; Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CertificateResolver {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    table: Table<CertifiedKey>,
    default: ArcSwapOption<CertifiedKey>,
    default_id: Option<CertificateId>,
    unknown_names: UnknownNames,
    served: Mutex<BTreeMap<CertificateId, ServedCertificate>>,
    challenges: Option<ChallengeCertificates>,
    clock: Arc<dyn Clock>,
    pub(super) followers: Followers,
}

/// What is answered to clients that ask for a name that no certificate here is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnknownNames {
    /// The default certificate, which such a client refuses with a message about the wrong name; for servers
    /// whose clients do not look at the name.
    Default,
    /// An alert. The default: nobody learns which names are served here, and no client takes a wrong
    /// certificate for an attack.
    #[default]
    Refuse,
}

impl CertificateResolver {
    /// A resolver without certificates, which refuses names that it does not know.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings.
    pub fn builder() -> CertificateResolverBuilder {
        CertificateResolverBuilder::default()
    }

    /// Serves a certificate for its DNS names from now on, in place of the one with the same id.
    ///
    /// At no moment is one of its names without a certificate. The work is in proportion to the names of this
    /// certificate and of the one that it replaces, however many others there are.
    pub fn insert(&self, id: CertificateId, certificate: ServedCertificate) {
        let mut served = self.inner.served();
        let old = served.insert(id.clone(), certificate.clone());
        self.inner.exchange(old.as_ref(), Some(&certificate));
        if self.inner.default_id.as_ref() == Some(&id) {
            self.inner.default.store(Some(certificate.certified_key().clone()));
        }
    }

    /// Serves a certificate no more. Whether there was one.
    pub fn remove(&self, id: &CertificateId) -> bool {
        let mut served = self.inner.served();
        let Some(old) = served.remove(id) else { return false };
        self.inner.exchange(Some(&old), None);
        if self.inner.default_id.as_ref() == Some(id) {
            self.inner.default.store(None);
        }
        true
    }

    /// What is served under an id.
    #[must_use]
    pub fn served(&self, id: &CertificateId) -> Option<ServedCertificate> {
        self.inner.served().get(id).cloned()
    }

    /// The ids of all that is served.
    #[must_use]
    pub fn ids(&self) -> Vec<CertificateId> {
        self.inner.served().keys().cloned().collect()
    }

    /// Which certificates are served though they have ended, and since when.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Vec<(CertificateId, Timestamp)> {
        let served = self.inner.served();
        let ended = |(id, served): (&CertificateId, &ServedCertificate)| {
            let not_after = served.facts().not_after;
            (not_after < now).then(|| (id.clone(), not_after))
        };
        served.iter().filter_map(ended).collect()
    }

    /// The certificate for a client that asks for this name, and can verify these signatures.
    ///
    /// Any text will do for a name: what is none has no certificate.
    #[must_use]
    pub fn find(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        match server_name {
            Some(name) => self.inner.named(name, schemes).or_else(|| match self.inner.unknown_names {
                UnknownNames::Default => self.inner.default(),
                UnknownNames::Refuse => None,
            }),
            None => self.inner.default(),
        }
    }

    /// A configuration for servers: these certificates, TLS 1.2 and 1.3 over *ring*, no certificates of clients,
    /// and these protocols above (ALPN, RFC 7301), the one that is liked best first. Where
    /// [challenges](CertificateResolverBuilder::challenges) are answered, theirs comes last, and a server that names
    /// no other refuses clients that offer some: name `http/1.1`, if that is what it speaks.
    #[must_use]
    pub fn server_config(&self, protocols: &[&str]) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider);
        #[expect(clippy::expect_used, reason = "it fails for providers that have no suite for a version")]
        let builder = builder.with_safe_default_protocol_versions().expect("ring has both versions");
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        if self.inner.challenges.is_some() {
            config.alpn_protocols.push(tls_alpn01::PROTOCOL.to_vec());
        }
        config
    }
}

impl Default for CertificateResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.inner.served().len();
        f.debug_struct("CertificateResolver").field("certificates", &count).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(challenges) = &self.inner.challenges
            && ChallengeCertificates::are_asked(&hello)
        {
            return challenges.find(hello.server_name()?);
        }
        self.find(hello.server_name(), hello.signature_schemes())
    }
}

impl Inner {
    fn named(&self, name: &str, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut buffer = [0; LONGEST_NAME];
        let name = lower_case(name.strip_suffix('.').unwrap_or(name), &mut buffer)?;
        let exact = Key { is_wildcard: false, name };
        let below = name.split_once('.').map(|(_, name)| Key { is_wildcard: true, name });
        // A name that has one certificate, as nearly all have, needs no clock.
        let choose = |several: &[Ranked<_>]| best(several, schemes, self.clock.now());
        self.table.find([exact].into_iter().chain(below), choose)
    }

    fn default(&self) -> Option<Arc<CertifiedKey>> {
        self.default.load_full()
    }

    /// Serves one certificate in place of another: the names of the new one first, so that none is without.
    fn exchange(&self, old: Option<&ServedCertificate>, new: Option<&ServedCertificate>) {
        let names = |it: Option<&ServedCertificate>| {
            it.map(|it| it.facts().names.clone()).into_iter().flatten().collect::<BTreeSet<_>>()
        };
        let (before, after) = (names(old), names(new));
        for name in &after {
            let Some(new) = new else { continue };
            let (rank, ends) = (new.facts().not_before.unix(), new.facts().not_after.unix());
            let ranked = Ranked { rank, ends, value: new.certified_key().clone() };
            match old.filter(|_| before.contains(name)) {
                Some(old) => self.table.replace(key(name), old.certified_key(), ranked),
                None => self.table.insert(key(name), ranked),
            }
        }
        for name in before.difference(&after) {
            if let Some(old) = old {
                self.table.remove(key(name), old.certified_key());
            }
        }
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<CertificateId, ServedCertificate>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of several, the latest first: the first that the client can verify and that has not ended, or has, where all have.
/// When it can verify none, it gets one all the same: rustls then says that there is no signature scheme in common,
/// which is what is wrong.
fn best(
    several: &[Ranked<CertifiedKey>],
    schemes: &[SignatureScheme],
    now: Timestamp,
) -> Option<Arc<CertifiedKey>> {
    let verifiable = || several.iter().filter(|it| it.value.key.choose_scheme(schemes).is_some());
    let lasts = |it: &&Ranked<_>| now.unix() <= it.ends;
    let chosen = verifiable().find(lasts).or_else(|| verifiable().next());
    let chosen = chosen.or_else(|| several.iter().find(lasts)).or_else(|| several.first());
    chosen.map(|it| it.value.clone())
}

/// What a name lies under.
fn key(name: &DomainName) -> Key<'_> {
    let below = name.as_str().strip_prefix("*.");
    Key { is_wildcard: below.is_some(), name: below.unwrap_or(name.as_str()) }
}

/// The name in lower case, in the buffer where it is not so already; `None` for what is too long for a name.
fn lower_case<'a>(name: &'a str, buffer: &'a mut [u8; LONGEST_NAME]) -> Option<&'a str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    if !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(name);
    }
    let buffer = buffer.get_mut(..name.len())?;
    buffer.copy_from_slice(name.as_bytes());
    buffer.make_ascii_lowercase();
    std::str::from_utf8(buffer).ok()
}

/// RFC 1035 §2.3.4, as text without the final dot.
const LONGEST_NAME: usize = 253;

/// Settings of a [`CertificateResolver`].
#[derive(Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct CertificateResolverBuilder {
    default_certificate: Option<CertificateId>,
    unknown_names: UnknownNames,
    challenges: Option<ChallengeCertificates>,
    clock: Option<Arc<dyn Clock>>,
}

impl CertificateResolverBuilder {
    /// What CAs are shown that look for the proof of a name (tls-alpn-01, RFC 8737), beside the certificates that all
    /// others get: what a [`TlsAlpn01`](crate::TlsAlpn01) presents there. Default: CAs are clients like others.
    ///
    /// CAs are told by the one protocol that they offer, so [`server_config`](CertificateResolver::server_config)
    /// takes that in. The connection of one ends after the handshake.
    pub fn challenges(mut self, certificates: ChallengeCertificates) -> Self {
        self.challenges = Some(certificates);
        self
    }

    /// Whose time counts where a name has several certificates, of which some may have ended. Default: the operating
    /// system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Which certificate is for those who ask for no name. Default: none, and they are refused. It may come later.
    pub fn default_certificate(mut self, id: CertificateId) -> Self {
        self.default_certificate = Some(id);
        self
    }

    /// What is answered to those who ask for a name that is not served here. Default: they are refused.
    pub const fn unknown_names(mut self, answer: UnknownNames) -> Self {
        self.unknown_names = answer;
        self
    }

    /// Makes the resolver, without certificates yet.
    #[must_use]
    pub fn build(self) -> CertificateResolver {
        let inner = Inner {
            table: Table::new(),
            default: ArcSwapOption::empty(),
            default_id: self.default_certificate,
            unknown_names: self.unknown_names,
            served: Mutex::default(),
            challenges: self.challenges,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock::new())),
            followers: Followers::default(),
        };
        CertificateResolver { inner: Arc::new(inner) }
    }
}

impl fmt::Debug for CertificateResolverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { default_certificate, unknown_names, challenges, .. } = self;
        f.debug_struct("CertificateResolverBuilder")
            .field("default_certificate", default_certificate)
            .field("unknown_names", unknown_names)
            .field("challenges", challenges)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rustls::testing::{at, served, served_ed25519, served_until};
    use perennial_testkit::ManualClock;
    use proptest::prelude::*;
    use std::sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    };

    fn id(text: &str) -> CertificateId {
        text.parse().unwrap()
    }

    /// Under which of these a name is served.
    fn found<'a>(
        resolver: &CertificateResolver,
        name: Option<&str>,
        of: &[(&'a str, &ServedCertificate)],
    ) -> Option<&'a str> {
        let found = resolver.find(name, &[])?;
        of.iter().find(|(_, known)| Arc::ptr_eq(known.certified_key(), &found)).map(|(label, _)| *label)
    }

    #[test]
    fn a_name_is_found_in_any_case_and_a_wildcard_stands_for_one_label() {
        let resolver = CertificateResolver::new();
        let (exact, wildcard) = (served(&["www.a.example"], 0), served(&["*.a.example", "a.example"], 0));
        resolver.insert(id("exact"), exact.clone());
        resolver.insert(id("wildcard"), wildcard.clone());
        let of = [("exact", &exact), ("wildcard", &wildcard)];
        for (name, expected) in [
            ("www.a.example", Some("exact")),
            ("WWW.A.Example", Some("exact")),
            ("www.a.example.", Some("exact")),
            ("mail.a.example", Some("wildcard")),
            ("MAIL.A.EXAMPLE", Some("wildcard")),
            ("a.example", Some("wildcard")),
            ("b.www.a.example", None),
            ("example", None),
            ("", None),
            (".", None),
            (".a.example", Some("wildcard")),
            ("192.0.2.1", None),
        ] {
            assert_eq!(found(&resolver, Some(name), &of), expected, "{name}");
        }
        assert_eq!(found(&resolver, None, &of), None);
    }

    #[test]
    fn the_default_certificate_is_for_those_who_name_nobody_and_where_chosen_for_unknown_names() {
        let (first, other) = (served(&["a.example"], 0), served(&["b.example"], 0));
        let of = [("first", &first), ("other", &other)];
        for (answer, expected) in [(UnknownNames::Refuse, None), (UnknownNames::Default, Some("first"))] {
            let resolver =
                CertificateResolver::builder().default_certificate(id("first")).unknown_names(answer).build();
            assert_eq!(found(&resolver, None, &of), None, "it may come later");
            resolver.insert(id("other"), other.clone());
            assert_eq!(found(&resolver, None, &of), None);
            resolver.insert(id("first"), first.clone());
            assert_eq!(found(&resolver, None, &of), Some("first"));
            assert_eq!(found(&resolver, Some("c.example"), &of), expected);
            assert_eq!(found(&resolver, Some("b.example"), &of), Some("other"));
            assert!(resolver.remove(&id("first")));
            assert_eq!(found(&resolver, None, &of), None);
        }
    }

    #[test]
    fn a_renewal_takes_the_place_of_the_old_one_under_its_names_and_no_others() {
        let resolver = CertificateResolver::builder().default_certificate(id("site")).build();
        let old = served(&["a.example", "b.example"], 0);
        let same = served(&["a.example", "b.example"], 10);
        let other = served(&["b.example", "*.c.example"], 20);
        let of = [("old", &old), ("same", &same), ("other", &other)];
        let all = |resolver: &CertificateResolver| {
            [Some("a.example"), Some("b.example"), Some("x.c.example"), None]
                .map(|name| found(resolver, name, &of))
        };
        resolver.insert(id("site"), old.clone());
        assert_eq!(all(&resolver), [Some("old"), Some("old"), None, Some("old")]);
        resolver.insert(id("site"), same.clone());
        assert_eq!(all(&resolver), [Some("same"), Some("same"), None, Some("same")]);
        resolver.insert(id("site"), other.clone());
        assert_eq!(all(&resolver), [None, Some("other"), Some("other"), Some("other")]);
        assert_eq!(resolver.served(&id("site")).unwrap().facts(), other.facts());
        assert!(resolver.remove(&id("site")));
        assert!(!resolver.remove(&id("site")));
        assert_eq!(all(&resolver), [None; 4]);
        assert_eq!(resolver.inner.table.len(), 0);
    }

    #[test]
    fn of_two_certificates_for_a_name_the_later_one_serves_and_the_other_when_it_is_gone() {
        let resolver = CertificateResolver::new();
        let (placeholder, real) = (served(&["a.example"], 10), served(&["a.example"], 20));
        let of = [("placeholder", &placeholder), ("real", &real)];
        resolver.insert(id("real"), real.clone());
        resolver.insert(id("placeholder"), placeholder.clone());
        assert_eq!(found(&resolver, Some("a.example"), &of), Some("real"));
        resolver.remove(&id("real"));
        assert_eq!(found(&resolver, Some("a.example"), &of), Some("placeholder"));
    }

    #[test]
    fn of_two_certificates_for_a_name_a_client_gets_one_that_it_can_verify() {
        let resolver = CertificateResolver::new();
        let (plain, modern) = (served(&["a.example"], 10), served_ed25519(&["a.example"], 20));
        resolver.insert(id("plain"), plain.clone());
        resolver.insert(id("modern"), modern.clone());
        let find = |schemes: &[SignatureScheme]| resolver.find(Some("a.example"), schemes).unwrap();
        let (ecdsa, ed25519) = (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519);
        assert!(Arc::ptr_eq(&find(&[ecdsa, ed25519]), modern.certified_key()));
        assert!(Arc::ptr_eq(&find(&[ed25519]), modern.certified_key()));
        assert!(Arc::ptr_eq(&find(&[ecdsa]), plain.certified_key()));
        assert!(Arc::ptr_eq(&find(&[SignatureScheme::RSA_PSS_SHA256]), modern.certified_key()));
    }

    #[test]
    fn a_later_certificate_that_has_ended_leaves_the_handshakes_to_one_that_lasts() {
        let clock = Arc::new(ManualClock::new(at(150)));
        let resolver = CertificateResolver::builder().clock(clock.clone()).build();
        let (long, short) = (served_until(&["a.example"], 0, 1_000), served_until(&["a.example"], 100, 200));
        let of = [("long", &long), ("short", &short)];
        resolver.insert(id("long"), long.clone());
        resolver.insert(id("short"), short.clone());
        for (now, expected) in
            [(150, "short"), (200, "short"), (201, "long"), (1_000, "long"), (1_001, "short")]
        {
            clock.set(at(now));
            assert_eq!(found(&resolver, Some("a.example"), &of), Some(expected), "{now}");
        }
        // One that the client cannot verify is no better for lasting longer.
        let modern = served_ed25519(&["a.example"], 0);
        resolver.insert(id("long"), modern);
        clock.set(at(500));
        let ecdsa = resolver.find(Some("a.example"), &[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        assert!(Arc::ptr_eq(&ecdsa, short.certified_key()));
    }

    #[test]
    fn what_has_ended_is_served_and_told() {
        let resolver = CertificateResolver::new();
        let certificate = served(&["a.example"], 0);
        resolver.insert(id("a"), certificate.clone());
        assert_eq!(resolver.expired(at(1_000)), []);
        assert_eq!(resolver.expired(at(1_001)), [(id("a"), at(1_000))]);
        assert_eq!(found(&resolver, Some("a.example"), &[("a", &certificate)]), Some("a"));
        assert_eq!(resolver.ids(), [id("a")]);
    }

    #[test]
    fn no_handshake_finds_a_name_without_a_certificate_while_it_is_renewed() {
        let resolver = CertificateResolver::new();
        let kept = [served(&["a.example", "b.example"], 0), served(&["a.example", "*.b.example"], 10)];
        resolver.insert(id("a"), kept[0].clone());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        assert!(resolver.find(Some("a.example"), &[]).is_some());
                    }
                });
            }
            for round in 0..5_000 {
                resolver.insert(id("a"), kept[round % 2].clone());
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    static SERVED: LazyLock<ServedCertificate> = LazyLock::new(|| served(&["*.a.example"], 0));

    proptest! {
        #[test]
        fn no_name_panics(name in ".{0,300}") {
            let resolver = CertificateResolver::new();
            resolver.insert(id("a"), SERVED.clone());
            let _ = resolver.find(Some(&name), &[]);
            let _ = resolver.find(Some(&format!("{name}.A.example")), &[]);
        }
    }
}
