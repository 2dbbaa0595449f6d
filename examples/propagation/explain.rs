//! `explain`: all that leads to the record, whether it is there or not.

use perennial::propagation::{Report, Wanted};

use crate::{
    answer::{Answer, say, say_json},
    args::Explain,
    failure::Failure,
    scene::Scene,
};

/// What the embedded world has at the name, when no value is given.
const PUBLISHED: &str = "gfj9Xq-the-value-that-a-CA-expects-Rg85nM";
/// No server has this: it brings to light what they have.
const NOBODYS: &str = "(whatever is there)";

pub(crate) async fn run(explain: &Explain) -> Result<Answer, Failure> {
    let look = &explain.look;
    let given = &explain.value;
    let published = if given.is_empty() { vec![PUBLISHED.to_owned()] } else { given.clone() };
    // What the resolvers see is part of the story; they are asked once nothing they remember can do harm.
    let vantage = if look.vantage.is_empty() { &look.world.nameserver } else { &look.vantage };
    let scene = Scene::for_record(look, vantage, &published).await?;
    let mut wanted = given.clone();
    let mut report = None;
    if wanted.is_empty() {
        let first = scene.checker.check(&Wanted::new(look.name.clone(), [NOBODYS.to_owned()])).await?;
        wanted = values(&first);
        report = Some(first).filter(|_| wanted.is_empty());
    }
    let report = match report {
        Some(report) => report,
        None => scene.checker.check(&Wanted::new(look.name.clone(), wanted.clone())).await?,
    };
    let host = scene.checker.connectivity().await;
    if look.world.json {
        say_json(&serde_json::json!({ "host": host, "report": report }), true)?;
        return Ok(Answer::of(&report));
    }
    say(&format!("This host has {host}.\n"));
    if given.is_empty() {
        say(&if wanted.is_empty() {
            format!("No server shows a TXT record at {}.\n", look.name)
        } else {
            "No --value given: what any server has should be at all of them.\n".to_owned()
        });
    }
    say(&format!("\n{report}"));
    Ok(Answer::of(&report))
}

/// What any server has, each value once.
fn values(report: &Report) -> Vec<String> {
    let rows = report.stages.iter().flat_map(|stage| &stage.rows);
    let mut values: Vec<String> =
        rows.filter_map(|row| row.last.as_ref()).flat_map(|last| last.values.clone()).collect();
    values.sort();
    values.dedup();
    values
}
