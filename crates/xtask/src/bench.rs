//! `cargo xtask bench`: the figures, and nothing but the figures.

use crate::{Error, metadata::Metadata, shell};

/// Runs benches, all without a name, and prints the lines that begin with `figure`.
pub(crate) fn run(names: &[String]) -> Result<(), Error> {
    let metadata = Metadata::read_members()?;
    let known = metadata.targets("bench");
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::NoSuch { what: "bench", name: name.clone(), known: known.join(", ") });
    }
    let names = if names.is_empty() { known } else { names.iter().map(String::as_str).collect() };
    names.into_iter().try_for_each(figures)
}

/// Runs those of the benches that there are: do they still run, and what do they print?
pub(crate) fn smoke(names: &[&str]) -> Result<(), Error> {
    let metadata = Metadata::read_members()?;
    let known = metadata.targets("bench");
    names.iter().copied().filter(|name| known.contains(name)).try_for_each(figures)
}

fn figures(name: &str) -> Result<(), Error> {
    let printed = shell::read(shell::cargo(["bench", "-p", "perennial-benches", "--bench", name]))?;
    for figure in printed.lines().filter(|line| line.starts_with("figure ")) {
        println!("{figure}");
    }
    Ok(())
}
