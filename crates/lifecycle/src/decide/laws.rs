//! What holds of every decision, whatever the certificate, the policy and the clock.

use super::*;
use crate::{CertificateId, Delivered, Found, IssueErrorClass, MaintenanceWindow, OutputFormat};
use perennial_core::Retry;
use proptest::prelude::*;
use std::collections::BTreeSet;

const DAY: i64 = 86_400;
/// Lives of six days and of forty-five among them.
const LIVES: [i64; 8] = [3_600, DAY, 6 * DAY, 160 * 3_600, 10 * DAY, 45 * DAY, 90 * DAY, 398 * DAY];

/// A certificate without its bytes: laws need thousands.
fn facts(from: i64, to: i64, fingerprint: u16) -> Facts {
    Facts {
        not_before: Timestamp::from_unix(from),
        not_after: Timestamp::from_unix(to),
        names: BTreeSet::from(["a.example".parse().unwrap()]),
        addresses: BTreeSet::new(),
        uris: BTreeSet::new(),
        emails: BTreeSet::new(),
        other_names: Vec::new(),
        issuer: "CN=CA".to_owned(),
        serial: "01".to_owned(),
        fingerprint: format!("{fingerprint:04x}"),
        public_key_fingerprint: String::new(),
        is_ca: false,
    }
}

fn spec(id: u32, policy: RenewalPolicy) -> CertificateSpec {
    CertificateSpec::new(&format!("host-{id}"), ["a.example"]).unwrap().renewal(policy)
}

fn policy() -> impl Strategy<Value = RenewalPolicy> {
    prop_oneof![
        Just(RenewalPolicy::Automatic),
        (0u64..800 * 86_400).prop_map(|seconds| RenewalPolicy::Before(Duration::from_secs(seconds))),
        any::<u8>().prop_map(RenewalPolicy::Percentage),
    ]
}

/// Any policy that lets a certificate end belongs to another law.
fn renewing() -> impl Strategy<Value = (CertificateSpec, RenewalPolicy)> {
    (any::<u32>(), policy()).prop_map(|(id, policy)| (spec(id, policy), policy))
}

fn life() -> impl Strategy<Value = i64> {
    prop_oneof![proptest::sample::select(&LIVES), 1i64..500 * DAY]
}

fn window(from: i64) -> impl Strategy<Value = Option<SuggestedWindow>> {
    let moment = move || (-400 * DAY..800 * DAY).prop_map(move |after| Timestamp::from_unix(from + after));
    proptest::option::of((moment(), moment()).prop_map(|(start, end)| SuggestedWindow {
        start,
        end,
        explanation_url: None,
        ask_at: start,
    }))
}

fn ask(
    spec: &CertificateSpec,
    facts: &Facts,
    window: Option<&SuggestedWindow>,
    issued_at: i64,
    now: i64,
) -> Decision {
    let issued_at = Timestamp::from_unix(issued_at);
    let held =
        Holding { facts, issued_for: spec, issued_at, material: Material::Whole, window, delivery: None };
    decide(spec, Some(held), None, Timestamp::from_unix(now))
}

const BEGIN: i64 = 1_800_000_000;

/// What was delivered some day, with an output or without.
fn delivered() -> impl Strategy<Value = Delivered> {
    let of = prop_oneof![Just("0007".to_owned()), Just("other".to_owned())];
    (of, any::<bool>(), any::<i64>(), any::<u32>()).prop_map(|(fingerprint, output, at, overwritten)| {
        let plain = spec(1, RenewalPolicy::Automatic);
        let with_output = plain.clone().output("web".parse().unwrap(), OutputFormat::Pem);
        let delivered_for = if output { with_output } else { plain };
        Delivered { fingerprint, delivered_for, at: Timestamp::from_unix(at), overwritten }
    })
}

fn found() -> impl Strategy<Value = Found> {
    proptest::sample::select(&[Found::AsDelivered, Found::Gone, Found::Overwritten])
}

/// No windows, some that are rare, and some that are often open.
fn maintenance() -> impl Strategy<Value = Vec<MaintenanceWindow>> {
    #[cfg(feature = "maintenance")]
    let crons: &[&str] = &["0 2 * * 6", "0 0 29 2 *", "* * * * *"];
    #[cfg(not(feature = "maintenance"))]
    let crons: &[&str] = &[];
    let windows: Vec<MaintenanceWindow> =
        crons.iter().map(|cron| MaintenanceWindow::new(cron, Duration::from_secs(7_200)).unwrap()).collect();
    let most = windows.len();
    proptest::sample::subsequence(windows, 0..=most)
}

proptest! {
    #[test]
    fn nothing_is_renewed_before_it_begins_or_left_until_it_has_ended(
        (spec, _) in renewing(), life in life(), fingerprint in any::<u16>(), window in window(BEGIN),
        maintenance in maintenance(),
    ) {
        let facts = facts(BEGIN, BEGIN + life, fingerprint);
        let ask = |now| ask(&spec, &facts, window.as_ref(), BEGIN, now);
        let renew = Decision::Renew { why: Reason::Renewing };
        prop_assert_ne!(ask(BEGIN - 1), renew);
        prop_assert_eq!(ask(BEGIN + life), renew);
        prop_assert_eq!(ask(BEGIN + life * 19 / 20 + 1), renew);
        let spec = spec.maintenance(maintenance);
        let ask = |now| self::ask(&spec, &facts, window.as_ref(), BEGIN, now);
        prop_assert_ne!(ask(BEGIN - 1), renew);
        prop_assert_eq!(ask(BEGIN + life * 19 / 20 + 1), renew, "whatever the windows");
    }

    #[test]
    fn what_is_kept_is_kept_until_the_moment_that_was_told_and_then_renewed(
        (spec, _) in renewing(), life in life(), fingerprint in any::<u16>(), window in window(BEGIN),
        at in 0i64..500 * DAY,
    ) {
        let facts = facts(BEGIN, BEGIN + life, fingerprint);
        let ask = |now| ask(&spec, &facts, window.as_ref(), BEGIN, now);
        if let Decision::Keep { until } = ask(BEGIN + at) {
            prop_assert!(until.unix() > BEGIN + at);
            prop_assert_eq!(ask(until.unix() - 1), Decision::Keep { until });
            prop_assert_eq!(ask(until.unix()), Decision::Renew { why: Reason::Renewing });
        }
    }

    #[test]
    fn once_it_is_due_it_stays_due(
        (spec, _) in renewing(), life in life(), fingerprint in any::<u16>(), window in window(BEGIN),
        earlier in -DAY..500 * DAY, later in 0i64..500 * DAY,
    ) {
        let facts = facts(BEGIN, BEGIN + life, fingerprint);
        let ask = |now| ask(&spec, &facts, window.as_ref(), BEGIN, now);
        let due = |decision| !matches!(decision, Decision::Keep { .. });
        prop_assert!(!due(ask(BEGIN + earlier)) || due(ask(BEGIN + earlier + later)));
    }

    #[test]
    fn no_policy_and_no_life_make_a_renewal_loop(
        (spec, _) in renewing(), life in 4i64..500 * DAY, dated_back in 0i64..10 * DAY,
    ) {
        // An issuer that always shortens and dates back: how many certificates does a year take?
        let (mut now, mut renewals) = (BEGIN, 0i64);
        let left = (life - dated_back).max(1);
        while now < BEGIN + 365 * DAY && renewals < 100 {
            let facts = facts(now - dated_back, now + left, 7);
            match ask(&spec, &facts, None, now, now) {
                Decision::Keep { until } => now = until.unix(),
                _ => now += 1,
            }
            renewals += 1;
        }
        // At least a quarter of what was left lies between two.
        prop_assert!(now - BEGIN >= renewals * (left / 4), "{renewals} in {}", now - BEGIN);
    }

    #[test]
    fn a_ca_whose_windows_lie_in_the_past_gets_one_certificate_an_hour_at_most(
        (spec, _) in renewing(), life in DAY..500 * DAY, fingerprint in any::<u16>(),
    ) {
        let facts = facts(BEGIN, BEGIN + life, fingerprint);
        let at = Timestamp::from_unix;
        let past = SuggestedWindow { start: at(0), end: at(9), explanation_url: None, ask_at: at(9) };
        prop_assert_eq!(ask(&spec, &facts, Some(&past), BEGIN, BEGIN), Decision::Keep { until: at(BEGIN + 3_600) });
    }

    #[test]
    fn no_values_panic_and_every_wait_ends_later(
        dates in any::<(i64, i64, i64, i64)>(), window in any::<Option<(i64, i64)>>(), policy in policy(),
        failures in any::<Option<(u32, i64, i64, Option<i64>)>>(), patience in any::<Option<u64>>(),
        material in proptest::sample::select(&[Material::Whole, Material::Missing, Material::Mismatched]),
        delivered in proptest::option::of(delivered()), found in found(), maintenance in maintenance(),
    ) {
        let at = Timestamp::from_unix;
        let (facts, now) = (facts(dates.0, dates.1, 7), at(dates.3));
        let window = window.map(|(start, end)| {
            SuggestedWindow { start: at(start), end: at(end), explanation_url: None, ask_at: at(0) }
        });
        let failures = failures.map(|(count, last, retry, first)| Failures {
            count,
            streak: count,
            first_at: first.map(at),
            issuers_since: None,
            last_at: at(last),
            retry_at: at(retry),
            class: IssueErrorClass::Policy,
            message: String::new(),
            retry: Retry::Never,
        });
        let mut spec = spec(1, policy);
        if let Some(patience) = patience {
            spec = spec.give_up_after(Duration::from_secs(patience));
        }
        spec = spec.maintenance(maintenance);
        let issued_at = at(dates.2);
        let mut held = Holding {
            facts: &facts, issued_for: &spec, issued_at, material, window: window.as_ref(), delivery: None,
        };
        let undelivered = Some(held);
        held.delivery = Some(Delivery { delivered: delivered.as_ref(), found });
        for holding in [None, undelivered, Some(held)] {
            match decide(&spec, holding, failures.as_ref(), now) {
                Decision::Keep { until } | Decision::Wait { until, .. } => prop_assert!(until > now),
                Decision::GiveUp { .. } | Decision::Redeliver { .. } | Decision::Renew { .. } => {}
            }
        }
    }
}

#[test]
fn certificates_of_six_and_of_forty_five_days_live_through_an_outage_of_half_of_what_is_left() {
    for life in [160 * 3_600, 45 * DAY, 64 * DAY, 90 * DAY] {
        for id in 0..200u16 {
            let spec = spec(id.into(), RenewalPolicy::Automatic);
            let facts = facts(BEGIN, BEGIN + life, id);
            let Decision::Keep { until } = ask(&spec, &facts, None, BEGIN, BEGIN) else { panic!("not kept") };
            let left = BEGIN + life - until.unix();
            assert!(left >= life / 3, "{life}: {left}");
            assert!(until.unix() - BEGIN >= life * 2 / 5, "{life}: {until}");
        }
    }
    let ids: BTreeSet<CertificateId> =
        (0..200).map(|id| spec(id, RenewalPolicy::Never).id().clone()).collect();
    assert_eq!(ids.len(), 200);
}
