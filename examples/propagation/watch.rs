//! `watch`: until the values are visible, or the time is over.

use std::io::IsTerminal as _;

use perennial::propagation::{Error, Report, Wanted};

use crate::{
    answer::{Answer, say, say_json},
    args::Watch,
    failure::Failure,
    scene::Scene,
    table::{Lines, Table},
};

/// Who shows what happens.
enum View {
    /// One object, on one line, for each change.
    Json,
    /// A line for each address that changes: for logs.
    Lines(Lines),
    /// A table that redraws in place: for people.
    Table(Table),
}

pub(crate) async fn run(watch: &Watch) -> Result<Answer, Failure> {
    let scene = Scene::for_record(&watch.look, &watch.look.vantage, &watch.value).await?;
    let wanted = Wanted::new(watch.look.name.clone(), watch.value.clone());
    let mut view = match (watch.look.world.json, std::io::stdout().is_terminal()) {
        (true, _) => View::Json,
        (false, true) => View::Table(Table::new(&wanted)),
        (false, false) => View::Lines(Lines::default()),
    };
    let mut failure = None;
    let mut show = |report: &Report| {
        if let Err(error) = view.show(report) {
            failure.get_or_insert(error);
        }
    };
    let report = match scene.checker.watch(&wanted, watch.deadline, &mut show).await {
        Ok(propagated) => propagated.into_report(),
        Err(Error::NotPropagated(report)) => *report,
        Err(error) => return Err(error.into()),
    };
    view.finish(&report);
    failure.map_or_else(|| Ok(Answer::of(&report)), Err)
}

impl View {
    fn show(&mut self, report: &Report) -> Result<(), Failure> {
        match self {
            Self::Json => return say_json(report, false),
            Self::Lines(lines) => lines.changes(report).iter().for_each(|line| say(&format!("{line}\n"))),
            Self::Table(table) => table.show(report),
        }
        Ok(())
    }

    /// What it came to. In JSON the last object has it; the table gives way to the whole report.
    fn finish(self, report: &Report) {
        match self {
            Self::Json => {}
            Self::Lines(_) => {
                let (name, seconds) = (report.wanted.name(), report.elapsed.as_secs_f64());
                say(&format!("{name}: {} after {seconds:.1} s\n", report.verdict));
                report.advice.iter().for_each(|advice| say(&format!("  -> {advice}\n")));
            }
            Self::Table(table) => {
                table.clear();
                say(&report.to_string());
            }
        }
    }
}
