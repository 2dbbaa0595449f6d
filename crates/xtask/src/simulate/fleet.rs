//! Which certificates there are: lifetimes from six days to a year, a few certificates a domain.

use std::time::Duration;

use perennial_lifecycle::{
    CertificateSpec, IssuerName, RenewalPolicy,
    budget::{Limit, Limits},
    schedule,
};

use super::{
    certificate::Certificate,
    random::{Random, mix},
    trouble::{BEGIN, DAY, HOUR},
};

/// A CA. Each class of certificates has a first and a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ca {
    Public = 0,
    OtherPublic = 1,
    Private = 2,
    OtherPrivate = 3,
}

impl Ca {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::OtherPublic => "other-public",
            Self::Private => "private",
            Self::OtherPrivate => "other-private",
        }
    }
}

/// A kind of certificates.
pub(super) struct Class {
    /// How many of a thousand.
    share: u64,
    /// The first choice, and who steps in.
    pub(super) cas: [Ca; 2],
    policy: RenewalPolicy,
    /// Whether the first CA suggests when to renew.
    pub(super) is_suggested: bool,
    /// Whether names are proven over DNS.
    pub(super) has_provider: bool,
    life: fn(i64) -> i64,
}

impl Class {
    /// How long a certificate lives that is issued at this moment, in seconds.
    pub(super) fn life(&self, at: i64) -> i64 {
        (self.life)(at)
    }

    /// How long one serves on average before it is replaced, in seconds.
    fn cycle(&self, at: i64) -> f64 {
        if self.is_suggested {
            let (from, to) = suggested(0, self.life(at));
            return seconds(i64::midpoint(from, to));
        }
        let life = Duration::from_secs(self.life(at).unsigned_abs());
        schedule::cycle(life, self.policy).map_or(f64::INFINITY, |cycle| cycle.as_secs_f64())
    }
}

const CLASSES: [Class; 6] = [
    Class {
        share: 40,
        cas: [Ca::Public, Ca::OtherPublic],
        policy: RenewalPolicy::Automatic,
        is_suggested: true,
        has_provider: false,
        life: |_| 160 * HOUR,
    },
    Class {
        share: 150,
        cas: [Ca::Public, Ca::OtherPublic],
        policy: RenewalPolicy::Automatic,
        is_suggested: true,
        has_provider: true,
        life: |_| 45 * DAY,
    },
    Class {
        share: 500,
        cas: [Ca::Public, Ca::OtherPublic],
        policy: RenewalPolicy::Automatic,
        is_suggested: true,
        has_provider: true,
        life: classic,
    },
    Class {
        share: 110,
        cas: [Ca::OtherPublic, Ca::Public],
        policy: RenewalPolicy::Automatic,
        is_suggested: false,
        has_provider: true,
        life: |_| 90 * DAY,
    },
    Class {
        share: 120,
        cas: [Ca::Private, Ca::OtherPrivate],
        policy: RenewalPolicy::Percentage(33),
        is_suggested: false,
        has_provider: true,
        life: |_| 200 * DAY,
    },
    Class {
        share: 80,
        cas: [Ca::Private, Ca::OtherPrivate],
        policy: RenewalPolicy::Before(Duration::from_secs(30 * 86_400)),
        is_suggested: false,
        has_provider: false,
        life: |_| 365 * DAY,
    },
];

/// Ninety days, then 64, then 45: what Let's Encrypt has announced for its classic profile.
const fn classic(at: i64) -> i64 {
    const SIXTY_FOUR: i64 = 1_802_217_600; // 2027-02-10
    const FORTY_FIVE: i64 = 1_834_272_000; // 2028-02-16
    match at {
        ..SIXTY_FOUR => 90 * DAY,
        SIXTY_FOUR..FORTY_FIVE => 64 * DAY,
        _ => 45 * DAY,
    }
}

/// The fleet at its beginning, and what can be said of each of its members by its index.
pub(super) struct Fleet {
    seed: u64,
    pub(super) certificates: Vec<Certificate>,
    /// How many may be renewed a minute.
    pub(super) pace: Limit,
    limits: [Limits; 4],
    issuers: [IssuerName; 4],
}

impl Fleet {
    pub(super) fn new(count: u32, span: Duration, seed: u64) -> Self {
        let cas = [Ca::Public, Ca::OtherPublic, Ca::Private, Ca::OtherPrivate];
        #[expect(clippy::expect_used, reason = "names of our own making")]
        let issuers = cas.map(|ca| ca.name().parse().expect("letters and hyphens"));
        let (pace, limits) = (pace(count, span), limits(count));
        let mut fleet = Self { seed, certificates: Vec::new(), pace, limits, issuers };
        fleet.certificates = (0..count).map(|index| fleet.newborn(index)).collect();
        fleet
    }

    /// Most have a certificate of some age; a few are wished for in the course of time.
    fn newborn(&self, index: u32) -> Certificate {
        let mut random = Random::new(self.seed, 1_000 + u64::from(index));
        if random.per_mille(20) {
            return Certificate::wished(BEGIN + random.between(0, 360 * DAY));
        }
        let class = self.class(index);
        let life = class.life(BEGIN);
        // As old as one of a fleet is that has always been renewed in time.
        #[expect(clippy::cast_possible_truncation, reason = "seconds of a year")]
        let oldest = class.cycle(BEGIN) as i64;
        let from = BEGIN - random.between(0, oldest);
        Certificate::issued(from, from + life, class.cas[0], random.next())
    }

    /// What happens by chance.
    pub(super) const fn fate(&self) -> Random {
        Random::new(self.seed, 999)
    }

    pub(super) fn class(&self, index: u32) -> &'static Class {
        let mut place = self.draw(index, 1) % 1_000;
        for class in &CLASSES {
            if place < class.share {
                return class;
            }
            place -= class.share;
        }
        &CLASSES[0]
    }

    /// Its registered domain. One in ten belongs to a customer with a hundred.
    pub(super) fn zone(&self, index: u32) -> u32 {
        if self.draw(index, 2).is_multiple_of(10) { index / 1_000 } else { 1_000_000 + index / 5 }
    }

    pub(super) fn provider(&self, index: u32) -> u8 {
        let provider = mix(u64::from(self.zone(index)) ^ self.seed) % 8;
        if self.class(index).has_provider { u8::try_from(provider).unwrap_or(0) } else { 0 }
    }

    /// When its domain leaves without a word, if it does: one in a thousand.
    pub(super) fn leaves_at(&self, index: u32) -> i64 {
        if !self.draw(index, 3).is_multiple_of(1_000) {
            return i64::MAX;
        }
        BEGIN + i64::try_from(self.draw(index, 4) % (600 * 86_400)).unwrap_or(0)
    }

    /// What it should be, by one of its CAs.
    pub(super) fn spec(&self, index: u32, ca: Ca) -> CertificateSpec {
        use std::fmt::Write as _;
        let (mut id, mut name) = (String::new(), String::new());
        // Writing to a String cannot fail.
        let _ = write!(id, "c{index}").and_then(|()| write!(name, "c{index}.z{}.example", self.zone(index)));
        let spec = CertificateSpec::new(&id, [&name]).and_then(|spec| spec.issuer(ca.name()));
        #[expect(clippy::expect_used, reason = "letters, digits and dots")]
        spec.expect("a spec of our own making").renewal(self.class(index).policy)
    }

    pub(super) const fn issuer(&self, ca: Ca) -> &IssuerName {
        let [public, other_public, private, other_private] = &self.issuers;
        match ca {
            Ca::Public => public,
            Ca::OtherPublic => other_public,
            Ca::Private => private,
            Ca::OtherPrivate => other_private,
        }
    }

    pub(super) const fn limits(&self, ca: Ca) -> &Limits {
        let [public, other_public, private, other_private] = &self.limits;
        match ca {
            Ca::Public => public,
            Ca::OtherPublic => other_public,
            Ca::Private => private,
            Ca::OtherPrivate => other_private,
        }
    }

    fn draw(&self, index: u32, purpose: u64) -> u64 {
        mix(mix(u64::from(index)) ^ mix(self.seed ^ (purpose << 32)))
    }
}

/// Twice the renewals that a quiet minute has, on average over the years.
fn pace(count: u32, span: Duration) -> Limit {
    let days = i64::try_from(span.as_secs()).unwrap_or(0) / DAY;
    let moments: Vec<i64> =
        (FIRST_CYCLE / DAY..days.max(FIRST_CYCLE / DAY + 1)).map(|day| BEGIN + day * DAY).collect();
    let per_second: f64 = CLASSES
        .iter()
        .map(|class| {
            #[expect(clippy::cast_precision_loss, reason = "a share of a thousand")]
            let members = f64::from(count) * class.share as f64 / 1_000.0;
            moments.iter().map(|at| members / class.cycle(*at)).sum::<f64>()
        })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "days")]
    let every = moments.len() as f64 / per_second;
    Limit::twice_the_mean(Duration::from_secs_f64(every))
}

/// The window that a CA suggests: a twentieth of the life around the moment that clients would choose.
pub(super) const fn suggested(begins: i64, life: i64) -> (i64, i64) {
    let middle = if life <= 10 * DAY { life / 2 } else { life * 2 / 3 };
    (begins + middle - life / 40, begins + middle + life / 40)
}

/// Let's Encrypt's limits, with as many orders an account as such a fleet would have to be granted; and private
/// CAs that wish not to be overrun.
fn limits(count: u32) -> [Limits; 4] {
    let hour = Duration::from_secs(3_600);
    let mut public = Limits::lets_encrypt();
    public.account = Some(Limit::new((count / 200).max(300), 3 * hour));
    let private = Limits::default().issuer(Limit::new((count / 200).max(300), hour));
    [public.clone(), public, private.clone(), private]
}

/// After this the fleet has been renewed by its own rules, and shows how flat they are.
pub(super) const FIRST_CYCLE: i64 = 90 * DAY;

#[expect(clippy::cast_precision_loss, reason = "seconds of a year")]
const fn seconds(seconds: i64) -> f64 {
    seconds as f64
}
