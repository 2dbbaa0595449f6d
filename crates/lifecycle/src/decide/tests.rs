use super::*;
use crate::{IssueErrorClass, KeyAlgorithm};
use perennial_core::Retry;

const DAY: i64 = 86_400;

fn spec() -> CertificateSpec {
    CertificateSpec::new("a", ["a.example", "*.a.example"]).unwrap()
}

fn facts() -> Facts {
    let (der, _) = crate::facts::tests::certificate(&["a.example", "*.a.example"], 0, 90 * DAY);
    Facts::from_der(&der).unwrap()
}

fn decided(spec: &CertificateSpec, material: Material, failures: Option<&Failures>, now: i64) -> Decision {
    let (facts, issued_for) = (facts(), self::spec());
    let issued_at = Timestamp::from_unix(0);
    let window = None;
    let held =
        Holding { facts: &facts, issued_for: &issued_for, issued_at, material, window, delivery: None };
    decide(spec, Some(held), failures, Timestamp::from_unix(now))
}

/// The answer about a certificate of ninety days, issued at 0, with a window of the CA's.
fn suggested(spec: &CertificateSpec, window: &SuggestedWindow, now: i64) -> Decision {
    // The fingerprint chooses in the window, and each certificate of a test has another one.
    let (facts, issued_for) = (Facts { fingerprint: "8000".to_owned(), ..facts() }, self::spec());
    let (issued_at, material) = (Timestamp::from_unix(0), Material::Whole);
    let held = Holding {
        facts: &facts,
        issued_for: &issued_for,
        issued_at,
        material,
        window: Some(window),
        delivery: None,
    };
    decide(spec, Some(held), None, Timestamp::from_unix(now))
}

fn window(start: i64, end: i64) -> SuggestedWindow {
    let at = Timestamp::from_unix;
    SuggestedWindow { start: at(start), end: at(end), explanation_url: None, ask_at: at(0) }
}

fn renew(why: Reason) -> Decision {
    Decision::Renew { why }
}

#[test]
fn every_reason_is_found_in_the_order_of_cert_manager() {
    let spec = spec();
    let other_names = CertificateSpec::new("a", ["a.example"]).unwrap();
    let other_issuer = spec.clone().issuer("other").unwrap();
    let other_key = spec.clone().key_algorithm(KeyAlgorithm::Ed25519);
    let other_profile = spec.clone().profile("shortlived");
    let other_key_and_profile = other_key.clone().profile("shortlived");
    let other_all = other_key_and_profile.clone().issuer("other").unwrap();
    for (wanted, material, now, why) in [
        (&spec, Material::Missing, 100 * DAY, Reason::MissingData),
        (&spec, Material::Mismatched, 100 * DAY, Reason::InvalidKeyPair),
        (&other_all, Material::Mismatched, 91 * DAY, Reason::InvalidKeyPair),
        (&other_all, Material::Whole, 91 * DAY, Reason::IncorrectIssuer),
        (&other_issuer, Material::Whole, DAY, Reason::IncorrectIssuer),
        (&other_key_and_profile, Material::Whole, 91 * DAY, Reason::SecretMismatch),
        (&other_profile, Material::Whole, 91 * DAY, Reason::RequestChanged),
        (&other_names, Material::Whole, DAY, Reason::RequestChanged),
        (&other_profile, Material::Whole, DAY, Reason::RequestChanged),
        (&other_key, Material::Whole, DAY, Reason::SecretMismatch),
        (&spec, Material::Whole, 91 * DAY, Reason::Expired),
        (&spec, Material::Whole, 61 * DAY, Reason::Renewing),
    ] {
        assert_eq!(decided(wanted, material, None, now), renew(why), "{why:?}");
    }
    assert_eq!(decide(&spec, None, None, Timestamp::from_unix(0)), renew(Reason::DoesNotExist));
}

#[test]
fn the_names_in_the_certificate_count_and_not_those_that_were_asked_for() {
    let (der, _) = crate::facts::tests::certificate(&["a.example"], 0, 90 * DAY);
    let (facts, spec) = (Facts::from_der(&der).unwrap(), spec());
    let issued_at = facts.not_before;
    let material = Material::Whole;
    let held =
        Holding { facts: &facts, issued_for: &spec, issued_at, material, window: None, delivery: None };
    let decision = decide(&spec, Some(held), None, Timestamp::from_unix(DAY));
    assert_eq!(decision, renew(Reason::RequestChanged));
}

#[test]
fn a_good_certificate_is_kept_until_it_is_due_and_not_a_second_longer() {
    let Decision::Keep { until } = decided(&spec(), Material::Whole, None, DAY) else {
        panic!("not kept");
    };
    assert!((51 * DAY..=60 * DAY).contains(&until.unix()), "{until}");
    assert_eq!(decided(&spec(), Material::Whole, None, until.unix() - 1), Decision::Keep { until });
    assert_eq!(decided(&spec(), Material::Whole, None, until.unix()), renew(Reason::Renewing));
}

fn failed(at: i64) -> Failures {
    Failures {
        count: 1,
        streak: 1,
        first_at: Some(Timestamp::from_unix(at)),
        issuers_since: None,
        last_at: Timestamp::from_unix(at),
        retry_at: Timestamp::from_unix(at + 60),
        class: IssueErrorClass::Transient,
        message: "the CA was busy".into(),
        retry: Retry::Backoff,
    }
}

#[test]
fn a_failure_that_a_wrong_clock_dated_in_the_future_holds_nothing_back() {
    let future = failed(5_000 * DAY);
    assert_eq!(decided(&spec(), Material::Whole, Some(&future), 61 * DAY), renew(Reason::Renewing));
    let skewed = failed(61 * DAY + 30);
    let waits = Decision::Wait { until: skewed.retry_at, why: Reason::Renewing };
    assert_eq!(decided(&spec(), Material::Whole, Some(&skewed), 61 * DAY), waits);
}

#[test]
fn a_failure_holds_the_next_attempt_back_and_nothing_else() {
    let failures = failed(61 * DAY);
    let waits = Decision::Wait { until: failures.retry_at, why: Reason::Renewing };
    assert_eq!(decided(&spec(), Material::Whole, Some(&failures), 61 * DAY + 59), waits);
    assert_eq!(decided(&spec(), Material::Whole, Some(&failures), 61 * DAY + 60), renew(Reason::Renewing));
    assert!(matches!(decided(&spec(), Material::Whole, Some(&failures), DAY), Decision::Keep { .. }));
}

#[test]
fn the_wish_of_the_ca_goes_before_the_policy_and_the_last_twentieth_before_both() {
    let Decision::Keep { until } = suggested(&spec(), &window(70 * DAY, 72 * DAY), DAY) else {
        panic!("not kept");
    };
    assert!((70 * DAY..72 * DAY).contains(&until.unix()), "{until}");
    assert_eq!(suggested(&spec(), &window(70 * DAY, 72 * DAY), until.unix()), renew(Reason::Renewing));
    // It has revoked, or is about to.
    assert_eq!(suggested(&spec(), &window(DAY, 2 * DAY), 3 * DAY), renew(Reason::Renewing));
    // It has forgotten us.
    let latest = Timestamp::from_unix(90 * DAY * 19 / 20);
    assert_eq!(suggested(&spec(), &window(700 * DAY, 720 * DAY), DAY), Decision::Keep { until: latest });
    // It makes no sense.
    assert_eq!(
        suggested(&spec(), &window(72 * DAY, 70 * DAY), DAY),
        decided(&spec(), Material::Whole, None, DAY)
    );
}

#[cfg(feature = "maintenance")]
#[test]
fn what_the_ca_wishes_waits_for_a_maintenance_window_and_not_beyond_the_last_twentieth() {
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    // 1970 began on a Thursday: Saturday the 3rd, and every seventh day after it.
    let saturdays = crate::MaintenanceWindow::new("0 2 * * 6", hours(2)).unwrap();
    let spec = spec().maintenance([saturdays]);
    let saturday = |weeks: i64| Timestamp::from_unix((2 + 7 * weeks) * DAY + 2 * 3_600);
    // It is to be renewed between the 70th and the 71st day, and the 72nd is a Saturday.
    let asked = window(70 * DAY, 71 * DAY);
    let until = saturday(10);
    assert_eq!(suggested(&spec, &asked, 60 * DAY), Decision::Keep { until });
    assert_eq!(suggested(&spec, &asked, until.unix() - 1), Decision::Keep { until });
    assert_eq!(suggested(&spec, &asked, until.unix()), renew(Reason::Renewing));
    // One that the CA is about to revoke waits for the next Saturday all the same.
    let revoked = window(DAY, 2 * DAY);
    assert_eq!(suggested(&spec, &revoked, 4 * DAY), Decision::Keep { until: saturday(1) });
    // No window follows in time, and the last one before is over: the last twentieth does not wait.
    let latest = Timestamp::from_unix(90 * DAY * 19 / 20);
    assert_eq!(suggested(&spec, &window(85 * DAY, 86 * DAY), 84 * DAY), Decision::Keep { until: latest });
    assert_eq!(suggested(&spec, &window(700 * DAY, 720 * DAY), 84 * DAY), Decision::Keep { until: latest });
    assert_eq!(suggested(&spec, &asked, latest.unix()), renew(Reason::Renewing));
}

#[test]
fn what_is_never_renewed_is_kept_to_its_end_and_then_given_up() {
    let never = spec().renewal(RenewalPolicy::Never);
    let ended = Decision::GiveUp { why: GivenUp::RenewalDisabled };
    let until = Timestamp::from_unix(90 * DAY + 1);
    assert_eq!(decided(&never, Material::Whole, None, 90 * DAY), Decision::Keep { until });
    assert_eq!(decided(&never, Material::Whole, None, 90 * DAY + 1), ended);
    assert_eq!(suggested(&never, &window(DAY, 2 * DAY), 3 * DAY), Decision::Keep { until });
    // What it lacks for another reason than age, it gets.
    assert_eq!(decided(&never, Material::Missing, None, DAY), renew(Reason::MissingData));
    assert_eq!(decide(&never, None, None, Timestamp::from_unix(0)), renew(Reason::DoesNotExist));
}

#[test]
fn patience_begins_with_the_first_failure_and_not_before_the_end_of_what_serves() {
    let patient = spec().give_up_after(Duration::from_secs(10 * 86_400));
    let gone = Decision::GiveUp { why: GivenUp::OutOfPatience };
    let failures = Failures { first_at: Some(Timestamp::from_unix(0)), ..failed(9 * DAY) };
    assert_eq!(
        decide(&patient, None, Some(&failures), Timestamp::from_unix(10 * DAY)),
        renew(Reason::DoesNotExist)
    );
    assert_eq!(decide(&patient, None, Some(&failures), Timestamp::from_unix(10 * DAY + 1)), gone);
    assert_eq!(
        decide(&spec(), None, Some(&failures), Timestamp::from_unix(99 * DAY)),
        renew(Reason::DoesNotExist)
    );
    // An old record does not know when it began.
    let unknown = Failures { first_at: None, ..failed(30 * DAY) };
    assert_eq!(
        decide(&patient, None, Some(&unknown), Timestamp::from_unix(40 * DAY)),
        renew(Reason::DoesNotExist)
    );
    assert_eq!(decided(&patient, Material::Whole, Some(&failures), 89 * DAY), renew(Reason::Renewing));
    assert_eq!(decided(&patient, Material::Whole, Some(&failures), 100 * DAY), renew(Reason::Expired));
    assert_eq!(decided(&patient, Material::Whole, Some(&failures), 100 * DAY + 1), gone);
}

#[cfg(feature = "maintenance")]
#[test]
fn maintenance_windows_hold_a_renewal_back_and_no_other_reason() {
    use crate::MaintenanceWindow;

    // 1970-03-01 is day 59, a Sunday.
    let sundays = MaintenanceWindow::new("0 2 * * 0", Duration::from_secs(3_600)).unwrap();
    let spec = spec().maintenance([sundays]);
    let Decision::Keep { until } = decided(&spec, Material::Whole, None, 61 * DAY) else {
        panic!("not kept");
    };
    assert_eq!(until.to_string(), "1970-03-08T02:00:00Z");
    assert_eq!(decided(&spec, Material::Whole, None, until.unix() + 60), renew(Reason::Renewing));
    assert_eq!(decided(&spec, Material::Missing, None, 61 * DAY), renew(Reason::MissingData));
    // In the last twentieth nothing holds it back.
    assert_eq!(decided(&spec, Material::Whole, None, 86 * DAY), renew(Reason::Renewing));
}

#[test]
fn what_serves_is_delivered_again_while_no_new_one_is_to_be_had() {
    use crate::{Delivered, Found, OutputFormat, Redelivery};

    let spec = spec().output("gateway".parse().unwrap(), OutputFormat::Pem);
    let (facts, issued_at) = (facts(), Timestamp::from_unix(0));
    let decided = |material, delivered: Option<&Delivered>, found, failures, now| {
        let delivery = Some(Delivery { delivered, found });
        let held = Holding { facts: &facts, issued_for: &spec, issued_at, material, window: None, delivery };
        decide(&spec, Some(held), failures, Timestamp::from_unix(now))
    };
    let again = |why| Decision::Redeliver { why };
    let (whole, here) = (Material::Whole, Found::AsDelivered);
    assert_eq!(decided(whole, None, here, None, DAY), again(Redelivery::NotYet));
    assert_eq!(decided(whole, None, here, None, 61 * DAY), renew(Reason::Renewing));
    let (failures, ended) = (failed(61 * DAY), failed(91 * DAY));
    assert_eq!(decided(whole, None, here, Some(&failures), 61 * DAY), again(Redelivery::NotYet));
    assert!(matches!(decided(whole, None, here, Some(&ended), 91 * DAY), Decision::Wait { .. }));
    assert_eq!(decided(Material::Missing, None, here, None, DAY), renew(Reason::MissingData));
    let (fingerprint, delivered_for) = (facts.fingerprint.clone(), spec.clone());
    let delivered = Delivered { fingerprint, delivered_for, at: Timestamp::from_unix(DAY), overwritten: 1 };
    assert!(matches!(decided(whole, Some(&delivered), here, None, DAY), Decision::Keep { .. }));
    let until = Timestamp::from_unix(DAY + 3_600);
    assert_eq!(decided(whole, Some(&delivered), Found::Overwritten, None, DAY), Decision::Keep { until });
}
