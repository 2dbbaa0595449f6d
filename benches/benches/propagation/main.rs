//! What does it cost to look whether a record is where the CA will look?
//!
//! - `propagation/cold_…`, `propagation/warm_…`: how many round trips a check takes, one after the other.
//!
//! `cargo bench --bench propagation -- NAME` asks one question alone. See each file's head for what is counted.

mod cold;

type Question = fn() -> Result<(), Box<dyn std::error::Error>>;

const QUESTIONS: [(&str, Question); 1] = [("cold", cold::figures)];

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
