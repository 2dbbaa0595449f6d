//! Whether a spec can work: each fault names its field.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use perennial_core::DomainName;

use super::{CertificateSpec, SpecError, Usage};
use crate::{MaintenanceWindow, RenewalPolicy};

pub(super) fn check(spec: &CertificateSpec) -> Result<(), SpecError> {
    let id = || spec.id.clone();
    match spec.names_in_all() {
        0 if spec.is_ca && !spec.subject.is_empty() => {}
        0 => return Err(SpecError::NoNames { id: id() }),
        1..=MOST_NAMES => {}
        count => return Err(SpecError::TooManyNames { id: id(), count }),
    }
    if let Some(name) = spec.names.iter().find(|name| !name.is_host_name()) {
        return Err(SpecError::NotHostName { id: id(), name: name.clone() });
    }
    fields(spec).map_err(|(field, reason)| SpecError::Field { id: id(), field, reason })
}

type Fault = (&'static str, String);

fn fields(spec: &CertificateSpec) -> Result<(), Fault> {
    spec.uris.iter().try_for_each(|uri| check_uri(uri)).map_err(|reason| ("uris", reason))?;
    spec.emails.iter().try_for_each(|mailbox| check_email(mailbox)).map_err(|reason| ("emails", reason))?;
    spec.subject.check()?;
    spec.renewal.validate().map_err(|reason| ("renewal", reason))?;
    let windows = spec.maintenance.iter().try_for_each(MaintenanceWindow::validate);
    windows.map_err(|reason| ("maintenance", reason))?;
    check_fallbacks(spec).map_err(|reason| ("fallback_issuers", reason))?;
    check_patience(spec).map_err(|reason| ("patience", reason))?;
    check_duration(spec).map_err(|reason| ("duration", reason))?;
    check_usages(spec).map_err(|reason| ("usages", reason))?;
    if let Some(profile) = &spec.profile {
        check_text(profile, LONGEST_LABEL).map_err(|reason| ("profile", reason))?;
    }
    if spec.outputs.len() > MOST_OUTPUTS {
        let reason = format!("there are {}, {MOST_OUTPUTS} is the most", spec.outputs.len());
        return Err(("outputs", reason));
    }
    check_map(&spec.labels, LONGEST_LABEL).map_err(|reason| ("labels", reason))?;
    check_map(&spec.secret_template.labels, LONGEST_LABEL)
        .map_err(|reason| ("secret_template.labels", reason))?;
    check_map(&spec.secret_template.annotations, LONGEST_ANNOTATION)
        .map_err(|reason| ("secret_template.annotations", reason))
}

/// RFC 5280 §4.2.1.6: absolute, in ASCII, with a scheme and something behind it.
fn check_uri(uri: &str) -> Result<(), String> {
    let (scheme, rest) = uri.split_once(':').unwrap_or_default();
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let rest_fits = !rest.is_empty() && uri.chars().all(|c| c.is_ascii_graphic());
    if scheme_fits && rest_fits && uri.len() <= LONGEST_URI {
        return Ok(());
    }
    Err(format!("{:?} is no absolute URI in ASCII: write it like spiffe://prod/web", cut(uri)))
}

/// RFC 5280 §4.2.1.6: a mailbox of RFC 5321 §4.1.2, here without quotes.
fn check_email(mailbox: &str) -> Result<(), String> {
    let (local, host) = mailbox.rsplit_once('@').unwrap_or_default();
    let local_fits = (1..=64).contains(&local.len())
        && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom));
    let host_fits = DomainName::parse(host).is_ok_and(|host| host.is_host_name() && !host.is_wildcard());
    if local_fits && host_fits {
        return Ok(());
    }
    Err(format!("{:?} is no mailbox: write it like ops@example.com", cut(mailbox)))
}

/// RFC 5322 §3.2.3.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
}

/// Each is asked in its turn, so one that is named twice would be asked twice.
fn check_fallbacks(spec: &CertificateSpec) -> Result<(), String> {
    let count = spec.fallback_issuers.len();
    if count > MOST_FALLBACKS {
        return Err(format!("there are {count}, {MOST_FALLBACKS} is the most"));
    }
    let mut seen = BTreeSet::new();
    match spec.issuers().find(|issuer| !seen.insert(*issuer)) {
        Some(twice) => Err(format!("{twice} is named twice, the first issuer counts too: name it once")),
        None => Ok(()),
    }
}

fn check_patience(spec: &CertificateSpec) -> Result<(), String> {
    match spec.patience {
        Some(patience) if patience < SHORTEST_PATIENCE || patience > LONGEST_DURATION => {
            let seconds = patience.as_secs();
            Err(format!("{seconds}s: use a minute to a hundred years, or none to go on for ever"))
        }
        _ => Ok(()),
    }
}

fn check_duration(spec: &CertificateSpec) -> Result<(), String> {
    let Some(duration) = spec.duration else { return Ok(()) };
    let seconds = duration.as_secs();
    if duration < SHORTEST_DURATION || duration > LONGEST_DURATION {
        return Err(format!("{seconds}s: use an hour to a hundred years"));
    }
    match spec.renewal {
        RenewalPolicy::Before(before) if before >= duration => Err(format!(
            "{seconds}s is not longer than the renewal before the end, {}s: renew later, or ask for more",
            before.as_secs()
        )),
        _ => Ok(()),
    }
}

/// RFC 5280 §4.2.1.3: who may sign certificates is a CA, and a CA that says what its key is for says that.
fn check_usages(spec: &CertificateSpec) -> Result<(), String> {
    let signs = spec.usages.contains(&Usage::CertSign);
    if signs && !spec.is_ca {
        return Err("\"cert sign\" is for CAs: set is_ca, or leave it out".to_owned());
    }
    if spec.is_ca && !spec.usages.is_empty() && !signs {
        return Err("a CA needs \"cert sign\": add it, or leave all usages to the issuer".to_owned());
    }
    Ok(())
}

fn check_map(map: &BTreeMap<String, String>, longest: usize) -> Result<(), String> {
    if map.len() > MOST_LABELS {
        return Err(format!("there are {}, {MOST_LABELS} is the most", map.len()));
    }
    for (key, value) in map {
        check_text(key, LONGEST_ANNOTATION)?;
        if !value.is_empty() {
            check_text(value, longest).map_err(|reason| format!("{:?}: {reason}", cut(key)))?;
        }
    }
    Ok(())
}

fn check_text(text: &str, longest: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > longest {
        return Err(format!("{:?} has {} bytes: use 1 to {longest}", cut(text), text.len()));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!("{:?} holds the control character {control:?}: remove it", cut(text))),
        None => Ok(()),
    }
}

/// For error messages: what is wrong may be megabytes.
fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// What Let's Encrypt and most public CAs allow in one certificate.
pub(super) const MOST_NAMES: usize = 100;
const MOST_OUTPUTS: usize = 16;
/// More CAs than anybody has accounts with; each failover takes hours.
const MOST_FALLBACKS: usize = 8;
const MOST_LABELS: usize = 64;
/// Kubernetes' limit for values of labels, and so for whoever follows it.
const LONGEST_LABEL: usize = 63;
/// A record stays small: an index of a million must fit in memory.
const LONGEST_ANNOTATION: usize = 1_024;
/// What browsers and proxies take.
const LONGEST_URI: usize = 2_048;
/// The first retry comes after a minute.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(60);
/// Less leaves no time for a retry, and every machine's clock would have to be right.
const SHORTEST_DURATION: Duration = Duration::from_secs(3_600);
const LONGEST_DURATION: Duration = Duration::from_secs(36_525 * 86_400);
