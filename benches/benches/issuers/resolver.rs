//! Which certificate a handshake gets among a hundred thousand names.
//!
//! There are fifty thousand names, with a wildcard below each: on a thousand certificates, a hundred on one, which is as
//! many as public CAs allow; or on certificates of their own, a name and its wildcard. Names are asked for in random
//! order, so that most of what a look-up touches is in no near cache; of certificates of their own the count of those who
//! hold it, which a look-up has to change, is not either. The peer is a map of strings under a `RwLock`, which is what a
//! program has that does not think about it.
//!
//! - `issuers/resolver_lookup`, `…_wildcard`, `…_miss`: nanoseconds of one look-up. `…_own`, `…_own_wildcard`,
//!   `…_own_miss`: the same for certificates of their own, as are all that follow.
//! - `issuers/resolver_swap`: one renewal. The peer copies a map of all names and exchanges that, as those do who want
//!   no lock; the ratio is a small part of one.
//! - `issuers/swap_under_load`: one look-up while another thread renews a thousand certificates a second, every tenth
//!   for other names. The peer is the same without renewals.
//! - `issuers/swap_stall`: the longest single look-up, in microseconds, meanwhile, and without renewals. A thread that
//!   loses its core for a while is seen in both.

use std::{
    collections::HashMap,
    error::Error,
    hint::black_box,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use perennial::{
    CertificateId,
    rustls::{CertificateResolver, ServedCertificate},
};
use perennial_benches::{Cost, Effort, compare, measure, median, print_comparison};
use perennial_core::SecretString;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use rcgen::{CertificateParams, KeyPair};
use rustls::sign::CertifiedKey;

/// With a wildcard below each.
const NAMES: usize = 50_000;

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    Fleet::new(50)?.look_up("issuers/resolver_lookup")?;
    let fleet = Fleet::new(1)?;
    fleet.look_up("issuers/resolver_lookup_own")?;
    fleet.swap();
    fleet.under_load();
    Ok(())
}

struct Fleet {
    resolver: CertificateResolver,
    /// By the names, and by the wildcards without their asterisk.
    peer: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    ids: Vec<CertificateId>,
    served: Vec<ServedCertificate>,
    /// Numbers of names in random order.
    order: Vec<usize>,
}

/// What a client asks for that is after a certificate.
type Ask = fn(usize) -> String;

impl Fleet {
    /// So many names and their wildcards on one certificate.
    fn new(together: usize) -> Result<Self, Box<dyn Error>> {
        let key = KeyPair::generate()?;
        let pem = SecretString::new(key.serialize_pem());
        let resolver = CertificateResolver::new();
        let (mut peer, mut ids, mut served) = (HashMap::new(), Vec::new(), Vec::new());
        for first in (0..NAMES).step_by(together) {
            let names: Vec<String> = (first..first + together).map(name).collect();
            let wildcards = names.iter().map(|name| format!("*.{name}"));
            let all: Vec<String> = names.iter().cloned().chain(wildcards).collect();
            let chain = CertificateParams::new(all)?.self_signed(&key)?.pem();
            let certificate = ServedCertificate::from_pem(&chain, &pem)?;
            for name in names {
                peer.insert(format!(".{name}"), certificate.certified_key().clone());
                peer.insert(name, certificate.certified_key().clone());
            }
            let id: CertificateId = format!("site-{first}").parse()?;
            resolver.insert(id.clone(), certificate.clone());
            ids.push(id);
            served.push(certificate);
        }
        let mut order: Vec<usize> = (0..NAMES).collect();
        order.shuffle(&mut StdRng::seed_from_u64(7));
        Ok(Self { resolver, peer: RwLock::new(peer), ids, served, order })
    }

    fn look_up(&self, figure: &str) -> Result<(), Box<dyn Error>> {
        let questions: [(&str, Ask, bool); 3] = [
            ("", name, true),
            ("_wildcard", |number| format!("www.{}", name(number)), true),
            ("_miss", |number| format!("www.{number}.elsewhere.example"), false),
        ];
        for (suffix, ask, hits) in questions {
            let names: Vec<String> = self.order.iter().map(|number| ask(*number)).collect();
            for name in &names {
                let found = [self.resolver.find(Some(name), &[]).is_some(), self.peer_finds(name).is_some()];
                if found != [hits, hits] {
                    return Err(format!("{name}: found {found:?}, not {hits}").into());
                }
            }
            let (mut ours, mut theirs) = (names.iter().cycle(), names.iter().cycle());
            let cost = compare(
                EFFORT,
                || drop(black_box(ours.next().and_then(|name| self.resolver.find(Some(name), &[])))),
                || drop(black_box(theirs.next().and_then(|name| self.peer_finds(name)))),
            );
            print_comparison(&format!("{figure}{suffix}"), "RwLock<HashMap>", &cost);
        }
        Ok(())
    }

    fn peer_finds(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let peer = self.peer.read().unwrap_or_else(PoisonError::into_inner);
        peer.get(name).or_else(|| peer.get(name.get(name.find('.')?..)?)).cloned()
    }

    fn swap(&self) {
        let map =
            arc_swap::ArcSwap::from_pointee(self.peer.read().unwrap_or_else(PoisonError::into_inner).clone());
        let (mut ours, mut theirs) = (self.order.iter().cycle(), self.order.iter().cycle());
        let cost = compare(
            Effort { rounds: 5, executions: 20 },
            || ours.next().into_iter().for_each(|number| self.renew(*number)),
            || {
                if let Some(number) = theirs.next() {
                    let mut copy = HashMap::clone(&map.load());
                    let (name, certified) = (name(*number), self.served[*number].certified_key());
                    copy.insert(format!(".{name}"), certified.clone());
                    copy.insert(name, certified.clone());
                    map.store(Arc::new(copy));
                }
            },
        );
        print_comparison("issuers/resolver_swap", "ArcSwap<HashMap>", &cost);
    }

    fn renew(&self, number: usize) {
        self.resolver.insert(self.ids[number].clone(), self.served[number].clone());
    }

    /// Takes a certificate away, and serves it again: as costly as a renewal for other names.
    fn rename(&self, number: usize) {
        self.resolver.remove(&self.ids[number]);
        self.renew(number);
    }

    fn under_load(&self) {
        let names: Vec<String> = self.order.iter().map(|number| name(*number)).collect();
        let (swapping, done, swaps) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU32::new(0));
        let rounds = std::thread::scope(|scope| {
            scope.spawn(|| {
                for (turn, number) in self.order.iter().cycle().enumerate() {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    if swapping.load(Ordering::Relaxed) {
                        if turn % 10 == 0 {
                            self.rename(*number)
                        } else {
                            self.renew(*number)
                        }
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                    pause();
                }
            });
            let mut names = names.iter().cycle();
            let mut look =
                || drop(black_box(names.next().and_then(|name| self.resolver.find(Some(name), &[]))));
            let mut rounds = Vec::new();
            for _ in 0..LOADED_ROUNDS {
                let round = [false, true].map(|swap| {
                    swapping.store(swap, Ordering::Relaxed);
                    let cost = measure(LOADED, &mut look);
                    let longest = (0..LOADED).map(|_| measure(1, &mut look).wall).fold(0.0, f64::max);
                    (cost, longest)
                });
                rounds.push(round);
            }
            done.store(true, Ordering::Relaxed);
            rounds
        });
        print_load(&rounds, swaps.load(Ordering::Relaxed));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print_load(rounds: &[[(Cost, f64); 2]], swaps: u32) {
    let of = |get: fn(&[(Cost, f64); 2]) -> f64| median(rounds.iter().map(get).collect());
    let (cost, ratio) =
        (of(|[_, (with, _)]| with.cpu), of(|[(without, _), (with, _)]| with.cpu / without.cpu));
    println!("figure issuers/swap_under_load {cost:.0} ns peer=no_swaps ratio={ratio:.3} swaps={swaps}");
    let (without, with) = (of(|[(_, longest), _]| *longest) / 1e3, of(|[_, (_, longest)]| *longest) / 1e3);
    println!("figure issuers/swap_stall {with:.1} us peer=no_swaps ratio={:.3}", with / without);
}

fn name(number: usize) -> String {
    format!("site-{number}.customers.example")
}

#[expect(clippy::disallowed_methods, reason = "a thousand a second is what is asked for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

const EFFORT: Effort = Effort { rounds: 21, executions: 50_000 };
const LOADED_ROUNDS: usize = 11;
/// A tenth of a second, in which a hundred are renewed.
const LOADED: u32 = 400_000;
