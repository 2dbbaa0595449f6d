//! dns-01: RFC 8555 §8.4, asked of several servers at once.

use std::net::SocketAddr;

use http::StatusCode;
use tokio::task::JoinSet;

use crate::{
    ca::problem::Problem,
    dns::{TextsFault, texts_at},
};

/// Asks all servers. Every one that answers must show the text, as a CA that looks from several places
/// wants it; one that is down is passed over, as a CA's resolver does, if another is up.
pub(super) async fn look(servers: &[SocketAddr], owner: &str, expected: &str) -> Result<(), Problem> {
    let mut asked = JoinSet::new();
    for server in servers {
        let (server, owner) = (*server, owner.to_owned());
        asked.spawn(async move { texts_at(server, &owner).await });
    }
    let answers = asked.join_all().await;
    judge(&answers, owner, expected)
}

fn judge(answers: &[Result<Vec<String>, TextsFault>], owner: &str, expected: &str) -> Result<(), Problem> {
    let problem = |detail: String| Err(Problem::new("dns", StatusCode::BAD_REQUEST, detail));
    let mut seen = false;
    for answer in answers {
        match answer {
            Ok(texts) if texts.iter().any(|text| text == expected) => seen = true,
            Ok(texts) if texts.is_empty() => {
                return Err(Problem::unauthorized(format!("there is no TXT record at {owner}")));
            }
            Ok(texts) => {
                let detail = format!("none of the {} TXT records at {owner} is the right one", texts.len());
                return Err(Problem::unauthorized(detail));
            }
            Err(fault @ TextsFault::Absent { .. }) => return problem(fault.to_string()),
            Err(_) => {}
        }
    }
    if seen {
        return Ok(());
    }
    let fault = answers.iter().find_map(|answer| answer.as_ref().err());
    problem(fault.map_or_else(|| "this CA was not told which servers to ask".into(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(answers: &[Result<Vec<String>, TextsFault>]) -> Option<&'static str> {
        judge(answers, "o", "right").err().map(|problem| problem.kind)
    }

    #[test]
    fn all_servers_that_answer_must_agree() {
        let server = "127.0.0.1:53".parse().unwrap();
        let right = || Ok(vec!["wrong".into(), "right".into()]);
        let dead = || Err(TextsFault::NoAnswer { name: "o".into(), server });
        let absent = || Err(TextsFault::Absent { name: "o".into(), server });
        assert_eq!(kind(&[right(), right()]), None);
        assert_eq!(kind(&[right(), dead()]), None);
        assert_eq!(kind(&[dead(), dead()]), Some("dns"));
        assert_eq!(kind(&[right(), absent()]), Some("dns"));
        assert_eq!(kind(&[right(), Ok(vec![])]), Some("unauthorized"));
        assert_eq!(kind(&[right(), Ok(vec!["wrong".into()])]), Some("unauthorized"));
        assert_eq!(kind(&[]), Some("dns"));
    }
}
