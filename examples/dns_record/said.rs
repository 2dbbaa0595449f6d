//! What is printed.

use std::io::Write as _;

use serde::Serialize;

use crate::failure::Failure;

/// Puts text on standard output. That nobody reads it any more is no reason to fail: it is done.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Puts an object on standard output.
pub(crate) fn say_json(object: &impl Serialize) -> Result<(), Failure> {
    say(&format!("{}\n", to_json(object)?));
    Ok(())
}

pub(crate) fn to_json(object: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(object).map_err(|error| Failure::local(error.to_string()))
}

/// Columns, as wide as what is in them.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    });
    lines.collect()
}
