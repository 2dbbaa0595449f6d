//! What do certificates cost that are made, and those that are served?
//!
//! - `issuers/ca_certificates_per_second`: how many certificates the CA issuer signs on one core, at least 3 000; and its
//!   processor's time beside that of rcgen alone, at most 1.2 of it.
//! - `issuers/resolver_…`, `issuers/swap_…`: which certificate a handshake gets among a hundred thousand names, and
//!   what renewals cost those who look.
//!
//! `cargo bench --bench issuers -- NAME` asks one question alone. See each file's head for what is counted.

mod ca;
mod resolver;

type Question = fn() -> Result<(), Box<dyn std::error::Error>>;

const QUESTIONS: [(&str, Question); 2] = [("ca", ca::figures), ("resolver", resolver::figures)];

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
