//! What do certificates cost that are made, and those that are served?
//!
//! - `issuers/resolver_…`, `issuers/swap_…`: which certificate a handshake gets among a hundred thousand names, and
//!   what renewals cost those who look.
//!
//! `cargo bench --bench issuers -- NAME` asks one question alone. See each file's head for what is counted.

mod resolver;

type Question = fn() -> Result<(), Box<dyn std::error::Error>>;

const QUESTIONS: [(&str, Question); 1] = [("resolver", resolver::figures)];

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
