//! Finding the zone of a name: see [`Vendor`].

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use perennial_core::{DomainName, Timestamp};

use super::{Settings, Survey, Vendor};
use crate::{Error, Zone, zone_match};

/// What was found, and what was not.
#[derive(Default)]
pub(super) struct Finder {
    known: Mutex<Known>,
}

impl Finder {
    /// The zone that holds the name.
    pub(super) async fn find(
        &self,
        vendor: &dyn Vendor,
        settings: &Settings,
        name: &DomainName,
    ) -> Result<Zone, Error> {
        if settings.has_zone() {
            return self.given(vendor, settings, name).await;
        }
        let now = settings.now();
        if let Recalled::Zone(zone) = self.known().recall(name, now) {
            return Ok(zone);
        }
        let walked = self.known().is_walked(now);
        let survey = if walked { Survey::Walk } else { survey(vendor, name).await? };
        match survey {
            Survey::All(zones) => {
                let found = zone_match::longest(name, &zones).cloned();
                let tried = zones.iter().map(|zone| zone.apex.clone()).collect();
                self.known().learn_all(zones, now);
                match found {
                    Some(zone) => Ok(zone),
                    None => Err(none_of(vendor, name, tried, "the credential sees no zone above it").await),
                }
            }
            Survey::Holder(Some(zone)) if name.is_at_or_below(&zone.apex) => {
                self.known().learn_holder(name, &zone, now);
                Ok(zone)
            }
            Survey::Holder(Some(_)) => Err(Error::Misbehaved {
                provider: vendor.kind().to_owned(),
                server: vendor.account(),
                // Its name is whatever the vendor sent, and may be what was shown to him.
                reason: format!("it says that {name} is in a zone that is not above it"),
                fault: None,
            }),
            Survey::Holder(None) => {
                let reason = "the vendor says that no zone of this account holds it";
                Err(no_zone(vendor, name, zone_match::candidates(name).collect(), reason))
            }
            Survey::Walk => {
                self.known().walk_until = Some(now + KNOWN_FOR);
                self.walk(vendor, settings, name).await
            }
        }
    }

    /// Forgets a zone that turned out not to be there.
    pub(super) fn forget(&self, apex: &DomainName) {
        self.known().forget(apex);
    }

    /// The zone that the operator named.
    async fn given(
        &self,
        vendor: &dyn Vendor,
        settings: &Settings,
        name: &DomainName,
    ) -> Result<Zone, Error> {
        const OUTSIDE: &str = "it is not in the zone that was given by `zone` or `zone-id`";
        if let Some(zone) = settings.given_apex()
            && !name.is_at_or_below(zone)
        {
            return Err(no_zone(vendor, name, vec![zone.clone()], OUTSIDE));
        }
        let known = match (settings.given_apex(), settings.given_id()) {
            (Some(apex), Some(id)) => Some(Zone::new(apex.clone()).with_id(id)),
            (Some(apex), None) if vendor.zones_have_no_id() => Some(Zone::new(apex.clone())),
            _ => self.known().given.clone(),
        };
        let zone = match known {
            Some(zone) => zone,
            None => {
                let found = match (settings.given_apex(), settings.given_id()) {
                    (Some(apex), _) => vendor.zone_named(apex).await?,
                    (None, id) => vendor.zone_with_id(id.unwrap_or_default()).await?,
                };
                let zone = found.ok_or_else(|| {
                    let tried = settings.given_apex().cloned().into_iter().collect();
                    let reason = "the zone that was given by `zone` or `zone-id` is not in this account";
                    no_zone(vendor, name, tried, reason)
                })?;
                self.known().given = Some(zone.clone());
                zone
            }
        };
        if name.is_at_or_below(&zone.apex) {
            Ok(zone)
        } else {
            Err(none_of(vendor, name, vec![zone.apex], OUTSIDE).await)
        }
    }

    async fn walk(&self, vendor: &dyn Vendor, settings: &Settings, name: &DomainName) -> Result<Zone, Error> {
        let mut tried = Vec::new();
        let mut refused: Vec<(DomainName, Error)> = Vec::new();
        for candidate in zone_match::candidates(name) {
            let recalled = self.known().look(&candidate, settings.now());
            let found = match recalled {
                Recalled::Zone(zone) => Some(zone),
                Recalled::Nothing => match vendor.zone_named(&candidate).await {
                    Ok(found) => {
                        self.known().learn(&candidate, found.clone(), settings.now());
                        found
                    }
                    Err(error) if is_of_candidate(&error) => {
                        refused.push((candidate.clone(), error));
                        None
                    }
                    Err(error) => return Err(error),
                },
                Recalled::None => None,
            };
            tried.push(candidate);
            if let Some(zone) = found {
                return Ok(zone);
            }
        }
        Err(not_found(vendor, name, tried, refused))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whole between any two statements.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn survey(vendor: &dyn Vendor, name: &DomainName) -> Result<Survey, Error> {
    match vendor.survey(name).await {
        Err(Error::Permission { .. }) => Ok(Survey::Walk),
        other => other,
    }
}

/// Whether an error is about the name that was tried, and says nothing of the others.
const fn is_of_candidate(error: &Error) -> bool {
    matches!(error, Error::InvalidRequest { .. } | Error::Permission { .. })
}

/// What was refused comes first: where every candidate was, a permission is missing and no zone.
fn not_found(
    vendor: &dyn Vendor,
    name: &DomainName,
    tried: Vec<DomainName>,
    refused: Vec<(DomainName, Error)>,
) -> Error {
    // Not those of the top-level name, which nobody's account has.
    let all = refused.len() + 1 >= tried.len();
    let permission = refused.iter().find(|(_, error)| matches!(error, Error::Permission { .. }));
    match permission {
        Some((_, error)) if all => error.clone(),
        _ => {
            let said = refused.first().map_or_else(String::new, |(candidate, error)| {
                format!("; it could not be asked about {candidate}: {error}")
            });
            no_zone(vendor, name, tried, &format!("none of them is a zone of this account{said}"))
        }
    }
}

/// What the vendor calls its zones may be what was shown to him.
async fn none_of(vendor: &dyn Vendor, name: &DomainName, zones: Vec<DomainName>, reason: &str) -> Error {
    let most = zones.into_iter().take(MOST_NAMED).collect();
    no_zone(vendor, name, vendor.shown(most).await, reason)
}

fn no_zone(vendor: &dyn Vendor, name: &DomainName, mut tried: Vec<DomainName>, reason: &str) -> Error {
    tried.truncate(MOST_NAMED);
    Error::ZoneNotFound {
        provider: vendor.kind().to_owned(),
        name: name.clone(),
        tried,
        reason: reason.to_owned(),
    }
}

/// An account may have thousands of zones; an error names no more than this.
const MOST_NAMED: usize = 20;

/// How long a zone is known: zones are made and deleted by hand.
const KNOWN_FOR: Duration = Duration::from_secs(300);
/// How long it is known that there is none: somebody may just be making it.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// More than any account's names come in between; a hostile or endless stream of names costs no more.
const MOST_KNOWN: usize = 10_000;

/// What is known of zones. Pure: the moment comes in.
#[derive(Default)]
struct Known {
    /// By apex: the zone, or that there is none; and until when it is known.
    entries: HashMap<DomainName, (Option<Zone>, Timestamp)>,
    /// Until when the entries are all zones there are.
    complete_until: Option<Timestamp>,
    /// Until when it is known that the vendor's survey says nothing.
    walk_until: Option<Timestamp>,
    /// The zone that the operator named, as the vendor knows it.
    given: Option<Zone>,
}

#[derive(Debug, PartialEq)]
enum Recalled {
    Zone(Zone),
    /// That there is none.
    None,
    /// It is not known.
    Nothing,
}

impl Known {
    fn look(&self, apex: &DomainName, now: Timestamp) -> Recalled {
        match self.entries.get(apex) {
            Some((Some(zone), until)) if *until > now => Recalled::Zone(zone.clone()),
            Some((None, until)) if *until > now => Recalled::None,
            _ if self.complete_until.is_some_and(|until| until > now) => Recalled::None,
            _ => Recalled::Nothing,
        }
    }

    /// The nearest zone, if everything nearer is known not to be one.
    fn recall(&self, name: &DomainName, now: Timestamp) -> Recalled {
        for candidate in zone_match::candidates(name) {
            match self.look(&candidate, now) {
                Recalled::None => {}
                found @ Recalled::Zone(_) => return found,
                // An unknown name may be a zone made a moment ago.
                Recalled::Nothing => return Recalled::Nothing,
            }
        }
        Recalled::None
    }

    fn is_walked(&self, now: Timestamp) -> bool {
        self.walk_until.is_some_and(|until| until > now)
    }

    fn learn(&mut self, apex: &DomainName, zone: Option<Zone>, now: Timestamp) {
        if self.entries.len() >= MOST_KNOWN {
            self.entries.retain(|_, (_, until)| *until > now);
        }
        if self.entries.len() >= MOST_KNOWN {
            self.entries.clear();
        }
        let lasts = if zone.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
        self.entries.insert(apex.clone(), (zone, now + lasts));
    }

    fn learn_all(&mut self, zones: Vec<Zone>, now: Timestamp) {
        self.entries.clear();
        self.complete_until = (zones.len() <= MOST_KNOWN).then(|| now + UNKNOWN_FOR);
        // Of two with one apex the first counts, as everywhere.
        for zone in zones.into_iter().rev() {
            self.entries.insert(zone.apex.clone(), (Some(zone), now + UNKNOWN_FOR));
        }
    }

    /// The nearest zone is this one: nothing between is one.
    fn learn_holder(&mut self, name: &DomainName, zone: &Zone, now: Timestamp) {
        for candidate in zone_match::candidates(name) {
            if candidate == zone.apex {
                self.learn(&candidate, Some(zone.clone()), now);
                return;
            }
            self.learn(&candidate, None, now);
        }
    }

    fn forget(&mut self, apex: &DomainName) {
        self.entries.remove(apex);
        self.complete_until = None;
        if self.given.as_ref().is_some_and(|zone| zone.apex == *apex) {
            self.given = None;
        }
    }
}

#[cfg(test)]
mod tests;
