//! Each stage as it happens: bars on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use perennial::{
    lifecycle::{Event, EventKind, Stage},
    propagation::{Report, report::State},
};

/// Shows what happens, on standard error. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Progress {
    inner: Arc<Inner>,
}

struct Inner {
    bars: Option<MultiProgress>,
    /// How far the whole issuance is.
    steps: Option<ProgressBar>,
    started: Instant,
    propagation: Mutex<Propagation>,
}

/// How the wait for propagation was shown last.
#[derive(Default)]
struct Propagation {
    bars: Vec<(String, ProgressBar)>,
    last_line: String,
}

impl Progress {
    #[expect(clippy::disallowed_methods, reason = "a person wants to see how long it takes")]
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr().is_terminal().then(MultiProgress::new);
        let steps = bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(STEPS));
            style(&bar, "  {elapsed:>4} [{bar:20}] step {pos} of {len}: {msg}");
            bar
        });
        let propagation = Mutex::default();
        Self { inner: Arc::new(Inner { bars, steps, started: Instant::now(), propagation }) }
    }

    /// A line of its own.
    #[expect(clippy::disallowed_methods, reason = "a person wants to see how long it takes")]
    pub(crate) fn note(&self, text: &str) {
        let line = format!("[{:7.2}s] {text}", self.inner.started.elapsed().as_secs_f64());
        match &self.inner.bars {
            // That the terminal is gone is no reason to stop issuing.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// A stage of the issuance.
    pub(crate) fn event(&self, event: &Event) {
        if let (Some(bar), Some((step, next))) = (&self.inner.steps, step(&event.kind)) {
            bar.set_position(step);
            bar.set_message(next);
        }
        match &event.kind {
            EventKind::Issuing { why, .. } => self.note(&format!("issuing: {why}")),
            EventKind::Stage { stage } => self.note(&stage.to_string()),
            EventKind::Issued { renews_at, .. } => {
                self.note(&format!("verified and stored; renews at {renews_at}"))
            }
            // A failure is the last word of the program.
            _ => {}
        }
    }

    /// How many addresses have the record by now.
    pub(crate) fn report(&self, report: &Report) {
        let rows = || report.stages.iter().flat_map(|stage| &stage.rows);
        let (seen, all) = (rows().filter(|row| row.state == State::Satisfied).count(), rows().count());
        let mut shown = self.inner.propagation.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bars) = &self.inner.bars {
            let bar = shown.bar(bars, report.wanted.name().as_str());
            bar.set_length(all as u64);
            bar.set_position(seen as u64);
            return;
        }
        let text = format!("propagation: {seen} of {all} addresses have {}", report.wanted.name());
        if shown.last_line != text {
            shown.last_line.clone_from(&text);
            drop(shown);
            self.note(&text);
        }
    }

    /// Takes the bars off the screen.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.inner.steps {
            bar.finish_and_clear();
        }
        let mut shown = self.inner.propagation.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, bar) in shown.bars.drain(..) {
            bar.finish_and_clear();
        }
    }
}

impl Propagation {
    fn bar(&mut self, bars: &MultiProgress, name: &str) -> ProgressBar {
        if let Some((_, bar)) = self.bars.iter().find(|(known, _)| known == name) {
            return bar.clone();
        }
        let bar = bars.insert(0, ProgressBar::new(0).with_message(name.to_owned()));
        style(&bar, "{spinner} {elapsed:>4} [{bar:20}] {pos} of {len} addresses have {msg}");
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bars.push((name.to_owned(), bar.clone()));
        bar
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // A template is text in this file: one that does not parse leaves the default, which shows as much.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

/// From the account to the store.
const STEPS: u64 = 9;

/// Which step is done, and what comes next.
fn step(kind: &EventKind) -> Option<(u64, &'static str)> {
    Some(match kind {
        EventKind::Issuing { .. } => (0, "account"),
        EventKind::Stage { stage } => match stage {
            Stage::AccountReady { .. } => (1, "order"),
            Stage::OrderCreated { .. } => (2, "proofs"),
            Stage::ChallengePresented { .. } => (3, "propagation"),
            Stage::Propagated { .. } => (4, "telling the CA"),
            Stage::ChallengeAnswered { .. } => (5, "validation by the CA"),
            Stage::Validated => (6, "signing request"),
            Stage::Finalized => (7, "certificate"),
            Stage::Downloaded => (8, "verification"),
            _ => return None,
        },
        EventKind::Issued { .. } => (STEPS, "done"),
        _ => return None,
    })
}
