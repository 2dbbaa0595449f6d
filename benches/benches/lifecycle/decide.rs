//! What does it cost to decide about one certificate?
//!
//! A certificate of ninety days with two names, with a window of the CA's and without, kept and due: the mean of
//! the four. The peer is the least that could be done: one comparison of `now` with a moment that is known.

use std::{error::Error, hint::black_box, time::Duration};

use perennial_benches::{Effort, compare, print_comparison};
use perennial_lifecycle::{CertificateSpec, Facts, Holding, Material, SuggestedWindow, decide};

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    let spec = CertificateSpec::new("shop", ["shop.example", "*.shop.example"])?;
    let facts = facts()?;
    let (issued_at, day) = (facts.not_before, Duration::from_secs(86_400));
    let (start, end) = (issued_at + 58 * day, issued_at + 60 * day);
    let window = SuggestedWindow { start, end, explanation_url: None, ask_at: issued_at };
    let held = |window| Holding {
        facts: &facts,
        issued_for: &spec,
        issued_at,
        material: Material::Whole,
        window,
        delivery: None,
    };
    let (plain, suggested) = (held(None), held(Some(&window)));
    let cases = [plain, suggested].map(|held| [10, 70].map(|days| (held, issued_at + days * day)));
    let (mut ours, mut peer) = (cases.iter().flatten().cycle(), cases.iter().flatten().cycle());
    let comparison = compare(
        Effort { rounds: 101, executions: 10_000 },
        || {
            if let Some((held, now)) = ours.next() {
                black_box(decide(black_box(&spec), Some(*held), None, *now));
            }
        },
        || {
            if let Some((held, now)) = peer.next() {
                black_box(black_box(held.facts.not_after) > *now);
            }
        },
    );
    print_comparison("lifecycle/decide", "comparison", &comparison);
    Ok(())
}

/// A certificate of ninety days for the names of the spec.
pub(crate) fn facts() -> Result<Facts, Box<dyn Error>> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(["shop.example", "*.shop.example"].map(str::to_owned))?;
    params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 4, 1);
    Ok(Facts::from_der(params.self_signed(&key)?.der())?)
}
