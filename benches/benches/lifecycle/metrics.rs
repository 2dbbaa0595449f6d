//! What does it cost to show a million certificates to Prometheus?
//!
//! Records of a million certificates with ids of twenty characters are noted, in the order of their ids, as a walk
//! through a store does. Then the metrics are encoded: with aggregates alone, and with a series for each
//! certificate that is unhealthy, of which there are a thousand. With a series for everything, a hundred thousand
//! certificates are the most that is done by itself.
//!
//! - `lifecycle/metrics_bytes`: bytes a certificate between scrapes, counted by the allocator.
//! - `lifecycle/scrape_1m`, `lifecycle/scrape_unhealthy_1m`: milliseconds of the processor, the mean of a few in a row, and
//!   the size of the text.
//! - `lifecycle/scrape_every_100k`: the same for seven hundred thousand series.
//!
//! Whether a scrape shows as many certificates as it is meant to is checked: one that takes all for unhealthy, or none,
//! measures something else.

use std::{error::Error, hint::black_box};

use perennial_benches::measure;
use perennial_core::Timestamp;
use perennial_lifecycle::{
    CertificateSpec, Facts, Record,
    metrics::{Detail, Metrics},
};
use perennial_testkit::ManualClock;
use stats_alloc::Region;

const MILLION: u32 = 1_000_000;
/// So many records lie between two whose certificate has ended.
const UNHEALTHY: u32 = 1_000;

pub(crate) fn figures(facts: &Facts) -> Result<(), Box<dyn Error>> {
    let nothing = Region::new(crate::ALLOCATOR);
    let metrics = metrics(Detail::None, facts, MILLION)?;
    let kept = nothing.change();
    #[expect(clippy::cast_precision_loss, reason = "fewer bytes than an `f64` has exact integers")]
    let bytes = (kept.bytes_allocated - kept.bytes_deallocated) as f64 / f64::from(MILLION);
    print("metrics_bytes", bytes, "bytes", 0);
    scrape("scrape_1m", &metrics, 0)?;
    drop(metrics);
    scrape("scrape_unhealthy_1m", &self::metrics(Detail::Unhealthy, facts, MILLION)?, MILLION / UNHEALTHY)?;
    scrape("scrape_every_100k", &self::metrics(Detail::Every, facts, MILLION / 10)?, MILLION / 10)
}

fn scrape(name: &str, metrics: &Metrics, shown: u32) -> Result<(), Box<dyn Error>> {
    let mut text = metrics.text();
    let ends = text.lines().filter(|line| line.starts_with(END)).count();
    if ends != usize::try_from(shown)? {
        return Err(format!("{name} shows {ends} certificates instead of {shown}").into());
    }
    let cost = measure(EXECUTIONS, &mut || text = black_box(metrics.text()));
    print(name, cost.cpu / 1e6, "ms", text.len());
    Ok(())
}

/// Of each certificate that is shown there is one such series.
const END: &str = "certmanager_certificate_expiration_timestamp_seconds{";
/// The last of them takes a second or so.
const EXECUTIONS: u32 = 5;

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(name: &str, value: f64, unit: &str, text: usize) {
    let text = if text == 0 { String::new() } else { format!(" text={text}") };
    println!("figure lifecycle/{name} {value:.1} {unit}{text}");
}

fn metrics(detail: Detail, facts: &Facts, certificates: u32) -> Result<Metrics, Box<dyn Error>> {
    let now = facts.not_before + facts.lifetime() / 3;
    let metrics = Metrics::builder().clock(std::sync::Arc::new(ManualClock::new(now))).detail(detail).build();
    let [mut good, mut ended] = [record(facts)?, record(facts)?];
    if let Some(current) = &mut ended.current {
        current.facts.not_after = Timestamp::from_unix(now.unix() - 1);
    }
    for number in 0..certificates {
        let record = if number % UNHEALTHY == 0 { &mut ended } else { &mut good };
        record.spec = CertificateSpec::new(&format!("customer-{number:07}-web"), NAMES)?;
        metrics.note(record);
    }
    Ok(metrics)
}

const NAMES: [&str; 2] = ["shop.example", "*.shop.example"];

/// A record with a certificate, as a store would read it.
fn record(facts: &Facts) -> Result<Record, Box<dyn Error>> {
    let mut record = Record::new(CertificateSpec::new("shop", NAMES)?);
    let current = serde_json::json!({
        "generation": 1,
        "issued_for": record.spec,
        "facts": facts,
        "issued_at": facts.not_before,
    });
    record.current = Some(serde_json::from_value(current)?);
    Ok(record)
}
