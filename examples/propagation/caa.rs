//! `caa`: may this CA issue for this name?

use perennial::propagation::caa::Question;

use crate::{
    answer::{Answer, say, say_json},
    args::Caa,
    failure::Failure,
    scene::Scene,
};

pub(crate) async fn run(caa: &Caa) -> Result<Answer, Failure> {
    let scene = Scene::for_caa(caa).await?;
    let mut question = Question::new(&caa.name);
    question.wildcard |= caa.wildcard;
    question.issuers.clone_from(&caa.issuer);
    question.account.clone_from(&caa.account);
    question.methods.clone_from(&caa.method);
    let report = scene.checker.caa(&question).await?;
    if caa.world.json {
        say_json(&report, true)?;
    } else {
        say(&report.to_string());
    }
    Ok(Answer::of_caa(&report))
}
