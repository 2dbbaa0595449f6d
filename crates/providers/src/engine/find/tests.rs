//! Zones are found, remembered and forgotten.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use perennial_testkit::ManualClock;
use proptest::prelude::*;

use super::*;
use crate::{Capabilities, WriteClass};

/// A vendor that counts how often it is asked, and refuses some names.
#[derive(Default)]
struct Registrar {
    zones: Mutex<Vec<Zone>>,
    refuses: Vec<DomainName>,
    fails: Vec<DomainName>,
    lists: bool,
    answers: bool,
    asked: Mutex<Vec<String>>,
    surveys: std::sync::atomic::AtomicUsize,
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

impl Registrar {
    fn new(zones: &[&str]) -> Self {
        let zones = zones.iter().map(|zone| Zone::new(name(zone)).with_id(format!("id of {zone}"))).collect();
        Self { zones: Mutex::new(zones), ..Self::default() }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Vendor for Registrar {
    fn kind(&self) -> &str {
        "registrar"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord)
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        self.asked.lock().unwrap().push(apex.to_string());
        let provider = "registrar".to_owned();
        if self.refuses.contains(apex) {
            let reason = format!("no look at {apex}");
            return Err(Error::Permission { provider, reason, fault: None });
        }
        if self.fails.contains(apex) {
            return Err(Error::Network { provider, server: "it".into(), reason: "gone".into() });
        }
        Ok(self.zones.lock().unwrap().iter().find(|zone| zone.apex == *apex).cloned())
    }

    async fn zone_with_id(&self, id: &str) -> Result<Option<Zone>, Error> {
        self.asked.lock().unwrap().push(id.to_owned());
        Ok(self.zones.lock().unwrap().iter().find(|zone| zone.id.as_deref() == Some(id)).cloned())
    }

    async fn survey(&self, name: &DomainName) -> Result<Survey, Error> {
        self.surveys.fetch_add(1, Ordering::SeqCst);
        let zones = self.zones.lock().unwrap();
        Ok(match (self.lists, self.answers) {
            (true, _) => Survey::All(zones.clone()),
            (_, true) => Survey::Holder(zone_match::longest(name, zones.iter()).cloned()),
            _ => Survey::Walk,
        })
    }
}

/// Finds zones, with a clock that stands still.
struct Scene {
    clock: ManualClock,
    settings: Settings,
    finder: Finder,
}

impl Scene {
    fn new(settings: Settings) -> Self {
        let clock = ManualClock::new(Timestamp::from_unix(1_800_000_000));
        let settings = settings.clock(Arc::new(clock.clone()));
        Self { clock, settings, finder: Finder::default() }
    }

    async fn find(&self, vendor: &Registrar, at: &str) -> Result<Zone, Error> {
        self.finder.find(vendor, &self.settings, &name(at)).await
    }

    async fn apex(&self, vendor: &Registrar, at: &str) -> String {
        self.find(vendor, at)
            .await
            .map(|zone| zone.apex.to_string())
            .unwrap_or_else(|error| error.to_string())
    }
}

#[tokio::test]
async fn the_nearest_zone_is_found_and_known_for_a_while() {
    let vendor = Registrar::new(&["example.com", "a.example.com"]);
    let scene = Scene::new(Settings::new());
    assert_eq!(scene.apex(&vendor, "x.a.example.com").await, "a.example.com");
    assert_eq!(vendor.asked(), ["x.a.example.com", "a.example.com"]);
    assert_eq!(scene.apex(&vendor, "x.a.example.com").await, "a.example.com");
    assert_eq!(scene.apex(&vendor, "x.b.example.com").await, "example.com");
    assert_eq!(vendor.asked(), ["x.b.example.com", "b.example.com", "example.com"]);
    // Another name of a known zone: only what lies between is asked.
    assert_eq!(scene.apex(&vendor, "y.b.example.com").await, "example.com");
    assert_eq!(vendor.asked(), ["y.b.example.com"]);
    scene.clock.advance(UNKNOWN_FOR);
    assert_eq!(scene.apex(&vendor, "x.b.example.com").await, "example.com");
    assert_eq!(vendor.asked(), ["x.b.example.com", "b.example.com"]);
    assert_eq!(vendor.surveys.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_candidate_that_is_refused_is_not_the_zone_and_is_told_if_there_is_none() {
    let vendor = Registrar {
        refuses: vec![name("x.example.com"), name("example.net"), name("x.example.net")],
        ..Registrar::new(&["example.com"])
    };
    let scene = Scene::new(Settings::new());
    assert_eq!(scene.apex(&vendor, "x.example.com").await, "example.com");
    let error = scene.find(&vendor, "x.example.net").await.unwrap_err();
    assert!(
        matches!(&error, Error::Permission { reason, .. } if reason.contains("x.example.net")),
        "{error}"
    );
    let error = scene.find(&vendor, "y.x.b.example.net").await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{text}");
    assert!(
        text.contains("tried y.x.b.example.net, x.b.example.net, b.example.net, example.net, net"),
        "{text}"
    );
    assert!(text.contains("could not be asked about example.net"), "{text}");
}

#[tokio::test]
async fn a_candidate_that_could_not_be_asked_ends_the_search() {
    let vendor = Registrar { fails: vec![name("a.example.com")], ..Registrar::new(&["example.com"]) };
    let error = Scene::new(Settings::new()).find(&vendor, "x.a.example.com").await.unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
}

#[tokio::test]
async fn a_list_of_all_zones_answers_for_every_name() {
    let vendor = Registrar { lists: true, ..Registrar::new(&["example.com", "a.example.com"]) };
    let scene = Scene::new(Settings::new());
    assert_eq!(scene.apex(&vendor, "x.a.example.com").await, "a.example.com");
    for other in ["x.example.com", "y.z.example.com", "a.example.com"] {
        assert!(scene.find(&vendor, other).await.is_ok());
    }
    assert_eq!((vendor.asked().len(), vendor.surveys.load(Ordering::SeqCst)), (0, 1));
    // A name that is in none of them may be in one that was made a moment ago.
    let error = scene.find(&vendor, "x.example.net").await.unwrap_err();
    assert!(error.to_string().contains("tried example.com, a.example.com"), "{error}");
    vendor.zones.lock().unwrap().push(Zone::new(name("example.net")));
    assert_eq!(scene.apex(&vendor, "x.example.net").await, "example.net");
    assert_eq!(vendor.surveys.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_vendors_own_answer_counts_unless_it_is_nonsense() {
    let vendor = Registrar { answers: true, ..Registrar::new(&["example.com"]) };
    let scene = Scene::new(Settings::new());
    assert_eq!(scene.apex(&vendor, "x.a.example.com").await, "example.com");
    assert_eq!(scene.apex(&vendor, "a.example.com").await, "example.com");
    assert_eq!((vendor.asked().len(), vendor.surveys.load(Ordering::SeqCst)), (0, 1));
    let error = scene.find(&vendor, "x.example.net").await.unwrap_err();
    assert!(matches!(error, Error::ZoneNotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_zone_that_was_given_is_the_only_one() {
    let vendor = Registrar::new(&["example.com", "a.example.com"]);
    let both = Scene::new(Settings::new().zone(name("example.com")).zone_id("z1"));
    assert_eq!(both.find(&vendor, "x.a.example.com").await.unwrap().to_string(), "example.com (z1)");
    assert_eq!(vendor.asked(), [""; 0]);
    for settings in [Settings::new().zone(name("example.com")), Settings::new().zone_id("id of example.com")]
    {
        let scene = Scene::new(settings);
        for _ in 0..2 {
            let zone = scene.find(&vendor, "x.a.example.com").await.unwrap();
            assert_eq!(zone.to_string(), "example.com (id of example.com)");
        }
        assert_eq!(vendor.asked().len(), 1);
        let error = scene.find(&vendor, "x.example.net").await.unwrap_err();
        assert!(error.to_string().contains("was given by `zone`"), "{error}");
    }
}

#[tokio::test]
async fn what_is_gone_is_forgotten() {
    let vendor = Registrar::new(&["example.com"]);
    let scene = Scene::new(Settings::new());
    assert_eq!(scene.apex(&vendor, "a.example.com").await, "example.com");
    *vendor.zones.lock().unwrap() = vec![Zone::new(name("example.com")).with_id("new")];
    scene.finder.forget(&name("example.com"));
    assert_eq!(scene.find(&vendor, "a.example.com").await.unwrap().id.as_deref(), Some("new"));
}

proptest! {
    #[test]
    fn whatever_was_learnt_in_whatever_order_is_remembered_right(
        learnt in proptest::collection::vec((0..6_usize, any::<bool>()), 0..20),
        asked in 0..6_usize,
    ) {
        let names = ["a.b.c.example", "b.c.example", "c.example", "d.c.example", "example", "x.b.c.example"];
        let now = Timestamp::from_unix(0);
        let mut known = Known::default();
        let mut truth = HashMap::new();
        for (place, is_zone) in learnt {
            let zone = is_zone.then(|| Zone::new(name(names[place])));
            known.learn(&name(names[place]), zone, now);
            truth.insert(name(names[place]), is_zone);
        }
        let expected = zone_match::candidates(&name(names[asked]))
            .find_map(|candidate| match truth.get(&candidate) {
                Some(true) => Some(Recalled::Zone(Zone::new(candidate))),
                Some(false) => None,
                None => Some(Recalled::Nothing),
            })
            .unwrap_or(Recalled::None);
        prop_assert_eq!(known.recall(&name(names[asked]), now), expected);
    }
}

/// A vendor that names a zone of its own choice for whatever it is asked.
struct Elsewhere;

#[async_trait]
impl Vendor for Elsewhere {
    fn kind(&self) -> &str {
        "elsewhere"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord)
    }

    async fn zone_named(&self, _: &DomainName) -> Result<Option<Zone>, Error> {
        Ok(None)
    }

    async fn zone_with_id(&self, _: &str) -> Result<Option<Zone>, Error> {
        Ok(None)
    }

    async fn survey(&self, _: &DomainName) -> Result<Survey, Error> {
        Ok(Survey::Holder(Some(Zone::new(name("what-was-shown-to-it.example")))))
    }
}

#[tokio::test]
async fn a_zone_that_is_not_above_the_name_is_refused_and_what_it_is_called_shown_to_nobody() {
    let scene = Scene::new(Settings::new());
    let at = name("_acme-challenge.example.com");
    let error = scene.finder.find(&Elsewhere, &scene.settings, &at).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Misbehaved { .. }) && text.contains(at.as_str()), "{text}");
    assert!(!text.contains("what-was-shown"), "{text}");
}
