//! `check`: one look.

use perennial::propagation::Wanted;

use crate::{
    answer::{Answer, say, say_json},
    args::Check,
    failure::Failure,
    scene::Scene,
};

pub(crate) async fn run(check: &Check) -> Result<Answer, Failure> {
    let scene = Scene::for_record(&check.look, &check.look.vantage, &check.value).await?;
    let wanted = Wanted::new(check.look.name.clone(), check.value.clone());
    let report = scene.checker.check(&wanted).await?;
    if check.look.world.json {
        say_json(&report, true)?;
    } else {
        say(&report.to_string());
    }
    Ok(Answer::of(&report))
}
