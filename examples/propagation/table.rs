//! One row an address: redrawn in place on a terminal, a line for each change elsewhere.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use perennial::propagation::{
    Report, Wanted,
    report::{Row, State},
};

/// The rows of a report that are on the screen.
pub(crate) struct Table {
    screen: MultiProgress,
    head: ProgressBar,
    rows: Vec<(String, State, ProgressBar)>,
}

impl Table {
    pub(crate) fn new(wanted: &Wanted) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let head = screen.add(ProgressBar::new_spinner().with_prefix(wanted.name().to_string()));
        style(&head, "{spinner} {prefix}: {wide_msg} {elapsed:>5}");
        head.set_message("looking for the zone");
        head.enable_steady_tick(Duration::from_millis(100));
        Self { screen, head, rows: Vec::new() }
    }

    pub(crate) fn show(&mut self, report: &Report) {
        self.head.set_message(report.verdict.to_string());
        for row in report.stages.iter().flat_map(|stage| &stage.rows) {
            let key = row.endpoint.to_string();
            let at = self.rows.iter().position(|(known, _, _)| *known == key);
            let at = at.unwrap_or_else(|| {
                let bar = self.screen.add(ProgressBar::new_spinner().with_prefix(place(row)));
                style(&bar, "  {prefix:<44} {wide_msg} {elapsed:>5}");
                bar.enable_steady_tick(Duration::from_secs(1));
                self.rows.push((key, row.state.clone(), bar));
                self.rows.len() - 1
            });
            let Some((_, state, bar)) = self.rows.get_mut(at) else { continue };
            if *state != row.state {
                *state = row.state.clone();
                // The last column says since when it is so.
                bar.reset_elapsed();
            }
            bar.set_message(format!("{} ({}×)", said(row), row.queries));
        }
    }

    /// Takes it off the screen.
    pub(crate) fn clear(self) {
        self.rows.iter().for_each(|(_, _, bar)| bar.finish_and_clear());
        self.head.finish_and_clear();
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // A template is text in this file: one that does not parse leaves the default, which shows as much.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// The rows of a report that were printed.
#[derive(Default)]
pub(crate) struct Lines {
    printed: Vec<(String, String)>,
}

impl Lines {
    /// A line for each address that says something else than before.
    pub(crate) fn changes(&mut self, report: &Report) -> Vec<String> {
        let mut lines = Vec::new();
        let rows = report.stages.iter().flat_map(|stage| &stage.rows);
        for row in rows.filter(|row| row.state != State::Waiting) {
            let (key, text) = (row.endpoint.to_string(), said(row));
            let known = self.printed.iter_mut().find(|(known, _)| *known == key);
            match known {
                Some((_, before)) if *before == text => continue,
                Some((_, before)) => before.clone_from(&text),
                None => self.printed.push((key, text.clone())),
            }
            lines.push(format!("{:>7.1} s  {}: {text}", report.elapsed.as_secs_f64(), place(row)));
        }
        lines
    }
}

/// Whose address it is, and how it is reached.
fn place(row: &Row) -> String {
    let endpoint = row.endpoint.to_string();
    let whose = row.servers.iter().filter(|server| **server != endpoint).cloned().collect::<Vec<_>>();
    let via = row.nat64.map_or_else(String::new, |nat64| format!(" via NAT64 of {}", nat64.v4));
    if whose.is_empty() {
        format!("{endpoint}{via}")
    } else {
        format!("{} {endpoint}{via}", whose.join(", "))
    }
}

/// What it amounts to, and what it said last.
fn said(row: &Row) -> String {
    let state = match &row.state {
        State::Alias { target } => format!("an alias of {target}"),
        State::Lacking => "missing".to_owned(),
        State::Lame { reason } => format!("lame: {reason}"),
        State::NotAsked { reason } => format!("not asked: {reason}"),
        State::Referral { cut } => format!("refers to {cut}"),
        State::Satisfied => "ok".to_owned(),
        State::Unreachable { error } => format!("unreachable: {error}"),
        State::Waiting => "waiting".to_owned(),
        other => format!("{other:?}"),
    };
    match &row.last {
        Some(last) => format!("{state} [{last}]"),
        None => state,
    }
}
