//! What one attempt takes, and from which buckets.

use std::{collections::BTreeSet, fmt, time::Duration};

use perennial_core::DomainName;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::{Limit, Line};
use crate::{CertificateSpec, IssuerName};

/// Whose bucket: what two attempts share has one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BudgetKey {
    /// Orders of one account at a CA.
    Account(IssuerName),
    /// Certificates for names below one registered domain, of all accounts.
    Domain(IssuerName, String),
    /// Certificates for exactly these names, of all accounts: a digest of them.
    ExactSet(IssuerName, String),
    /// Proofs of one name that failed.
    FailedValidations(IssuerName, String),
    /// Everything that we do, whoever it is asked of: the pace of a fleet.
    Fleet,
    /// Everything that is asked of one issuer: what its operator wishes.
    Issuer(IssuerName),
    /// Certificates that are wanted at first sight ([`Keeper::on_demand`](crate::Keeper::on_demand)).
    OnDemand,
    /// Requests to one DNS provider.
    Provider(String),
    /// What one line has taken of a bucket that both lines share.
    Share(Line, Box<Self>),
    /// Full at the moment until which somebody of this line waits for a token of that bucket.
    Waiting(Line, Box<Self>),
}

impl BudgetKey {
    /// All that attempts for a certificate may take from, and what they share with everybody; but for DNS providers,
    /// which only an issuer knows.
    pub(crate) fn of(spec: &CertificateSpec) -> BTreeSet<Self> {
        let any = Some(Limit::pace(Duration::from_secs(1)));
        let limits = Limits {
            account: any,
            domain: any,
            exact_set: any,
            failed_validations: any,
            issuer: any,
            ..Limits::default()
        };
        let of_issuers = spec.issuers().flat_map(|issuer| {
            let demands = limits.demands(&spec.clone().by(issuer.clone()), Purpose::First);
            demands.into_iter().map(|demand| demand.key)
        });
        of_issuers.chain([Self::Fleet, Self::OnDemand]).collect()
    }
}

impl fmt::Display for BudgetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(issuer) => write!(f, "orders of the account at {issuer}"),
            Self::Domain(issuer, domain) => write!(f, "certificates of {issuer} for {domain}"),
            Self::ExactSet(issuer, _) => write!(f, "certificates of {issuer} for the same names"),
            Self::FailedValidations(issuer, name) => write!(f, "failed proofs of {name} at {issuer}"),
            Self::Fleet => f.write_str("the pace of the fleet"),
            Self::Issuer(issuer) => write!(f, "requests to {issuer}"),
            Self::OnDemand => f.write_str("certificates that are wanted at first sight"),
            Self::Provider(provider) => write!(f, "requests to the DNS provider {provider}"),
            Self::Share(line, of) => write!(f, "{line}' share of the {of}"),
            Self::Waiting(line, of) => write!(f, "{line} that wait for the {of}"),
        }
    }
}

/// One token that an attempt takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs)] // Which bucket, how large, and when it is spent.
pub struct Demand {
    /// From which bucket.
    pub key: BudgetKey,
    /// How large that is.
    pub limit: Limit,
    /// When it is spent.
    pub charge: Charge,
    /// In which line it waits, where first issuances and renewals take from one bucket.
    pub line: Option<Line>,
}

impl Demand {
    /// A token that is spent by the attempt itself.
    #[must_use]
    pub const fn always(key: BudgetKey, limit: Limit) -> Self {
        Self { key, limit, charge: Charge::Always, line: None }
    }

    /// Waits in the line of those who want the same, while somebody of the other line waits too.
    #[must_use]
    pub const fn in_line(mut self, line: Line) -> Self {
        self.line = Some(line);
        self
    }
}

/// When a token is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // In any case, or only sometimes.
pub enum Charge {
    /// By the attempt itself.
    Always,
    /// Only by a proof that fails; else it is given back ([`Budgets::succeeded`](super::Budgets::succeeded)).
    OnFailure,
}

/// What an issuer says that it has counted enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// Orders of the account.
    Account,
    /// Certificates for a registered domain, which the message names.
    Domain,
    /// Certificates for exactly these names.
    ExactSet,
    /// Failed proofs of a name, which the message names.
    FailedValidations,
}

impl Counted {
    /// Whether it is this bucket that a message is about.
    pub(crate) fn is_of(self, key: &BudgetKey, message: &str) -> bool {
        match (self, key) {
            (Self::Account, BudgetKey::Account(_)) | (Self::ExactSet, BudgetKey::ExactSet(..)) => true,
            (Self::Domain, BudgetKey::Domain(_, name))
            | (Self::FailedValidations, BudgetKey::FailedValidations(_, name)) => {
                // `shop.example` is not meant where `b.shop.example` is named.
                let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
                message.split(|c| !is_part(c)).any(|word| word.trim_end_matches('.') == name)
            }
            _ => false,
        }
    }
}

/// What an attempt is for: CAs count renewals otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // The three that CAs tell apart.
pub enum Purpose {
    /// A certificate for names that had none.
    First,
    /// Another one for exactly the same names.
    Renewal,
    /// The same, in the window that the CA suggested, and naming the one that it replaces (RFC 9773 §5).
    SuggestedRenewal,
}

impl Purpose {
    /// In which line it waits.
    #[must_use]
    pub const fn line(self) -> Line {
        match self {
            Self::First => Line::First,
            Self::Renewal | Self::SuggestedRenewal => Line::Renewal,
        }
    }
}

/// The limits of one issuer. Without any, nothing is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// New orders of an account.
    pub account: Option<Limit>,
    /// Certificates for a registered domain.
    pub domain: Option<Limit>,
    /// Certificates for exactly the same names.
    pub exact_set: Option<Limit>,
    /// Failed proofs of a name.
    pub failed_validations: Option<Limit>,
    /// All that is asked of it, renewals too.
    pub issuer: Option<Limit>,
    /// Whether renewals count for neither account nor domain.
    pub exempts_renewals: bool,
    /// Whether renewals that it suggested count for nothing at all.
    pub exempts_suggested_renewals: bool,
    /// Another issuer of ours at the same CA, which counts certificates of both together: the budgets of domains
    /// and exact sets are that one's. None by default; two issuers differ in their solvers, say.
    pub same_ca_as: Option<IssuerName>,
}

impl Limits {
    /// Let's Encrypt's, as its page on rate limits of August 2026 has them
    /// (<https://letsencrypt.org/docs/rate-limits/>): 300 orders of an account in three hours, 50 certificates
    /// for a registered domain and 5 for exactly the same names in seven days, 5 failed proofs of a name in an
    /// hour. Renewals count for neither account nor domain; those that it suggested count for nothing.
    #[must_use]
    pub fn lets_encrypt() -> Self {
        let (hour, week) = (Duration::from_secs(3_600), Duration::from_secs(7 * 86_400));
        Self {
            account: Some(Limit::new(300, 3 * hour)),
            domain: Some(Limit::new(50, week)),
            exact_set: Some(Limit::new(5, week)),
            failed_validations: Some(Limit::new(5, hour)),
            issuer: None,
            exempts_renewals: true,
            exempts_suggested_renewals: true,
            same_ca_as: None,
        }
    }

    /// With a pace for all that is asked of the issuer.
    #[must_use]
    pub const fn issuer(mut self, limit: Limit) -> Self {
        self.issuer = Some(limit);
        self
    }

    /// Counts domains and exact sets together with another issuer at the same CA
    /// ([`same_ca_as`](Self::same_ca_as)).
    #[must_use]
    pub fn counted_with(mut self, issuer: IssuerName) -> Self {
        self.same_ca_as = Some(issuer);
        self
    }

    /// What an attempt for this certificate takes.
    #[must_use]
    pub fn demands(&self, spec: &CertificateSpec, purpose: Purpose) -> Vec<Demand> {
        let issuer = || spec.issuer_name().clone();
        let mut demands = Vec::new();
        let ca = || self.same_ca_as.clone().unwrap_or_else(issuer);
        let mut add = |limit: Option<Limit>, key: &dyn Fn() -> BudgetKey| {
            demands.extend(limit.map(|limit| Demand::always(key(), limit)));
        };
        add(self.issuer, &|| BudgetKey::Issuer(issuer()));
        if purpose == Purpose::SuggestedRenewal && self.exempts_suggested_renewals {
            return in_line(demands, purpose);
        }
        if purpose == Purpose::First || !self.exempts_renewals {
            add(self.account, &|| BudgetKey::Account(issuer()));
            for domain in registered_domains(spec) {
                add(self.domain, &|| BudgetKey::Domain(ca(), domain.clone()));
            }
        }
        demands = in_line(demands, purpose);
        // Nobody else waits for these.
        demands.extend(
            self.exact_set.map(|limit| Demand::always(BudgetKey::ExactSet(ca(), digest_of(spec)), limit)),
        );
        let bases: BTreeSet<DomainName> = spec.names().iter().map(DomainName::base).collect();
        demands.extend(self.failed_validations.into_iter().flat_map(|limit| {
            let of = |name: DomainName| BudgetKey::FailedValidations(issuer(), name.to_string());
            bases.iter().map(move |name| Demand {
                charge: Charge::OnFailure,
                ..Demand::always(of(name.clone()), limit)
            })
        }));
        demands
    }
}

fn in_line(demands: Vec<Demand>, purpose: Purpose) -> Vec<Demand> {
    demands.into_iter().map(|demand| demand.in_line(purpose.line())).collect()
}

/// The registered domains of its names, by the Public Suffix List with its private part, as CAs count: `a.co.uk`
/// of `www.a.co.uk`, `a.github.io` of itself. An IP address counts as itself.
fn registered_domains(spec: &CertificateSpec) -> BTreeSet<String> {
    let domains = spec.names().iter().map(|name| {
        let base = name.base();
        // A public suffix itself has none: it is one customer's all the same.
        psl::domain_str(base.as_str()).unwrap_or(base.as_str()).to_owned()
    });
    domains.chain(spec.addresses().iter().map(ToString::to_string)).collect()
}

/// What a certificate shares with others that must not crowd it out: the first of its registered domains.
pub(crate) fn zone(spec: &CertificateSpec) -> String {
    let first = registered_domains(spec).into_iter().next();
    let other = || spec.uris().first().or_else(|| spec.emails().first()).cloned();
    first.or_else(other).unwrap_or_default()
}

/// A digest of the set of names, whatever their order.
fn digest_of(spec: &CertificateSpec) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let names = spec.name_set().into_iter().map(|name| name.to_string());
    for name in names.chain(spec.addresses().iter().map(ToString::to_string)) {
        context.update(name.as_bytes());
        context.update(b"\n");
    }
    context.finish().as_ref().iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        use fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str], purpose: Purpose) -> Vec<String> {
        let spec = CertificateSpec::new("a", names).unwrap().issuer("le").unwrap();
        let pace = Limit::pace(Duration::from_secs(1));
        let demands = Limits::lets_encrypt().issuer(pace).demands(&spec, purpose);
        demands.iter().map(|demand| demand.key.to_string()).collect()
    }

    #[test]
    fn a_first_certificate_counts_everywhere_a_renewal_less_and_a_suggested_one_nowhere() {
        let names = ["*.shop.co.uk", "shop.co.uk", "www.other.github.io"];
        assert_eq!(
            keys(&names, Purpose::First),
            [
                "requests to le",
                "orders of the account at le",
                "certificates of le for other.github.io",
                "certificates of le for shop.co.uk",
                "certificates of le for the same names",
                "failed proofs of shop.co.uk at le",
                "failed proofs of www.other.github.io at le",
            ]
        );
        assert_eq!(keys(&["a.example"], Purpose::Renewal).len(), 3);
        assert_eq!(keys(&["a.example"], Purpose::SuggestedRenewal), ["requests to le"]);
    }

    #[test]
    fn the_same_names_in_another_order_are_the_same_set() {
        let digest = |names: &[&str]| digest_of(&CertificateSpec::new("a", names).unwrap());
        assert_eq!(digest(&["a.example", "b.example"]), digest(&["b.example", "A.example"]));
        assert_ne!(digest(&["a.example", "b.example"]), digest(&["a.example"]));
        assert_ne!(digest(&["a.example"]), digest(&["a.example", "192.0.2.1"]));
    }

    #[test]
    fn two_issuers_at_one_ca_count_its_domains_together_and_their_accounts_apart() {
        let limits = Limits::lets_encrypt().counted_with("le".parse().unwrap());
        let spec = CertificateSpec::new("a", ["a.shop.example"]).unwrap().issuer("le-dns").unwrap();
        let keys: Vec<_> =
            limits.demands(&spec, Purpose::First).into_iter().map(|it| it.key.to_string()).collect();
        assert_eq!(keys[0], "orders of the account at le-dns");
        assert_eq!(keys[1], "certificates of le for shop.example");
        assert_eq!(keys[2], "certificates of le for the same names");
        assert_eq!(keys[3], "failed proofs of a.shop.example at le-dns");
    }

    #[test]
    fn a_limit_is_about_the_domain_that_the_message_names() {
        let of = |domain: &str| BudgetKey::Domain(IssuerName::default(), domain.to_owned());
        let message = "too many certificates (50) already issued for \"b.example\" in the last 168h0m0s";
        assert!(Counted::Domain.is_of(&of("b.example"), message));
        assert!(!Counted::Domain.is_of(&of("example"), message));
        assert!(!Counted::Domain.is_of(&of("a.b.example"), message));
        assert!(!Counted::Account.is_of(&of("b.example"), message));
    }

    #[test]
    fn an_issuer_without_limits_counts_nothing() {
        let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
        assert_eq!(Limits::default().demands(&spec, Purpose::First), []);
    }
}
