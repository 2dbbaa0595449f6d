//! Whether a spec can work: each fault names its field.

use std::{collections::BTreeMap, time::Duration};

use perennial_core::DomainName;

use super::{CertificateSpec, SpecError, Usage};
use crate::{MaintenanceWindow, RenewalPolicy};

pub(super) fn check(spec: &CertificateSpec) -> Result<(), SpecError> {
    let id = || spec.id.clone();
    match spec.names_in_all() {
        0 => return Err(SpecError::NoNames { id: id() }),
        1..=MOST_NAMES => {}
        count => return Err(SpecError::TooManyNames { id: id(), count }),
    }
    if let Some(name) = spec.names.iter().find(|name| !name.is_host_name()) {
        return Err(SpecError::NotHostName { id: id(), name: name.clone() });
    }
    spec.renewal
        .validate()
        .and_then(|()| spec.maintenance.iter().try_for_each(MaintenanceWindow::validate))
        .map_err(|reason| SpecError::Renewal { id: id(), reason })?;
    fields(spec).map_err(|(field, reason)| SpecError::Field { id: id(), field, reason })
}

type Fault = (&'static str, String);

fn fields(spec: &CertificateSpec) -> Result<(), Fault> {
    spec.uris.iter().try_for_each(|uri| check_uri(uri)).map_err(|reason| ("uris", reason))?;
    spec.emails.iter().try_for_each(|mailbox| check_email(mailbox)).map_err(|reason| ("emails", reason))?;
    spec.subject.check()?;
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
const MOST_LABELS: usize = 64;
/// Kubernetes' limit for values of labels, and so for whoever follows it.
const LONGEST_LABEL: usize = 63;
/// A record stays small: an index of a million must fit in memory.
const LONGEST_ANNOTATION: usize = 1_024;
/// What browsers and proxies take.
const LONGEST_URI: usize = 2_048;
/// Less leaves no time for a retry, and every machine's clock would have to be right.
const SHORTEST_DURATION: Duration = Duration::from_secs(3_600);
const LONGEST_DURATION: Duration = Duration::from_secs(36_525 * 86_400);
