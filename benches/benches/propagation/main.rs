//! What does it cost to look whether a record is where the CA will look?
//!
//! - `propagation/checks_…`, `propagation/check_…`: many checks at one server, beside `dnsperf` and hickory.
//! - `propagation/cold_…`, `propagation/warm_…`: how many round trips a check takes, one after the other.
//!
//! The servers of the first are real ones on loopback; a question whose servers are not on this machine is passed
//! over, and said to be. `cargo bench --bench propagation -- NAME` asks one question alone. See each file's head
//! for what is counted.

mod cold;
mod throughput;

type Question = fn() -> Result<(), Box<dyn std::error::Error>>;

const QUESTIONS: [(&str, Question); 2] = [("cold", cold::figures), ("throughput", throughput::figures)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What cargo itself adds begins with a dash.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for (name, figures) in QUESTIONS {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            figures()?;
        }
    }
    Ok(())
}
