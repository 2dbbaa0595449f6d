//! What was found, weighed: will the CA see it, and if not, what is to be done?

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use super::{
    Advice, Answer, Content, Observation, RedirectFault,
    observation::{Found, Phase},
};

/// All that one look has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// What the key authorization is.
    pub expected: String,
    /// A row for each address of the name, or why there is none.
    pub rows: Result<Vec<Observation>, String>,
    /// Where this machine shows the answer itself. It is looked at when no address gave it.
    pub local: Vec<Observation>,
    /// What a place elsewhere has seen, if there is one, or why it could not look.
    pub outside: Option<Result<Answer, String>>,
}

#[cfg(test)]
impl Evidence {
    pub(crate) fn of_nothing() -> Self {
        Self { expected: String::new(), rows: Ok(Vec::new()), local: Vec::new(), outside: None }
    }
}

/// Whether the CA will see the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::exhaustive_enums)] // Three answers are all there are: no, not known, yes.
pub enum Verdict {
    /// It will not: something else was seen, or nothing listens.
    Fail,
    /// It cannot be told from here.
    Inconclusive,
    /// It will.
    Pass,
}

/// The verdict, and what to do about it.
#[must_use]
pub fn diagnose(evidence: &Evidence) -> (Verdict, Vec<Advice>) {
    let rows = match &evidence.rows {
        Ok(rows) => rows.as_slice(),
        Err(reason) => {
            return without_addresses(
                evidence,
                Advice::Unresolved { reason: reason.clone() },
                Verdict::Inconclusive,
            );
        }
    };
    if rows.is_empty() {
        return without_addresses(evidence, Advice::NoAddress, Verdict::Fail);
    }
    let mut advice = Vec::new();
    let seen_locally = evidence.local.iter().any(|one| one.found.is_right());
    let outside = evidence.outside.as_ref().and_then(|outside| outside.as_ref().ok());
    let (right, wrong): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.found.is_right());
    for row in &wrong {
        add(&mut advice, cause(row, evidence, seen_locally));
    }
    if let Some(split) = split(&right, &wrong) {
        add(&mut advice, split);
    }
    let verdict = if wrong.is_empty() {
        Verdict::Pass
    } else if wrong.iter().any(|row| row.found.is_wrong()) {
        // Who answers wrongly may do so to us alone, if somebody else was answered rightly.
        if outside.is_some_and(Answer::is_right) { Verdict::Inconclusive } else { Verdict::Fail }
    } else {
        match outside {
            Some(outside) if outside.is_right() => Verdict::Pass,
            Some(outside) => {
                add(&mut advice, cause_of_answer(outside, &evidence.expected));
                Verdict::Fail
            }
            None => unconnected(&right, &wrong, seen_locally),
        }
    };
    if let Some(Err(reason)) = &evidence.outside {
        add(&mut advice, Advice::NoVantage { reason: reason.clone() });
    }
    (verdict, advice)
}

fn without_addresses(evidence: &Evidence, advice: Advice, verdict: Verdict) -> (Verdict, Vec<Advice>) {
    let seen = evidence.outside.as_ref().is_some_and(|it| it.as_ref().is_ok_and(Answer::is_right));
    (if seen { Verdict::Pass } else { verdict }, vec![advice])
}

/// Where nobody answered wrongly, and some not at all.
fn unconnected(right: &[&Observation], wrong: &[&Observation], seen_locally: bool) -> Verdict {
    let right_of = |family: bool| right.iter().any(|row| row.address.is_ipv6() == family);
    let silent_of = |family: bool| wrong.iter().any(|row| row.address.is_ipv6() == family);
    if !right.is_empty() {
        // CAs that reach nobody by the one protocol try the other (RFC 8305); which of two addresses of the same
        // they take is theirs to choose.
        let torn = [true, false].into_iter().any(|family| right_of(family) && silent_of(family));
        return if torn { Verdict::Inconclusive } else { Verdict::Pass };
    }
    let told_otherwise = wrong.iter().any(|row| match row.found {
        Found::Broken { .. } => true,
        Found::Refused => !seen_locally,
        _ => false,
    });
    if told_otherwise { Verdict::Fail } else { Verdict::Inconclusive }
}

/// Why one address did not give the answer.
fn cause(row: &Observation, evidence: &Evidence, seen_locally: bool) -> Advice {
    let address = row.address;
    match &row.found {
        Found::Answered(answer) => cause_of_answer(answer, &evidence.expected),
        Found::Redirected { fault: RedirectFault::Loop | RedirectFault::TooMany, to } => {
            Advice::RedirectLoop { to: to.clone() }
        }
        Found::Redirected { to, fault } => Advice::Redirected { to: to.clone(), fault: fault.to_string() },
        Found::NoRoute { reason } | Found::Unreachable { reason } => {
            Advice::NoRoute { address, reason: reason.clone() }
        }
        Found::Broken { reason } => Advice::NoHttp { address, reason: reason.clone() },
        _ if seen_locally => Advice::Hairpin { address },
        Found::Refused => Advice::Closed { address },
        Found::Silent { during: Phase::Connecting } => Advice::Filtered { address },
        Found::Silent { during: Phase::Answering } => {
            Advice::NoHttp { address, reason: "no answer in time".to_owned() }
        }
    }
}

fn cause_of_answer(answer: &Answer, expected: &str) -> Advice {
    let Answer { status, content, body, signs } = answer;
    match content {
        Content::OtherKeyAuthorization => {
            Advice::Intercepted { expected: both_parts(expected), got: both_parts(body), by: signs.clone() }
        }
        Content::Html if matches!(status, 401 | 403 | 406 | 429 | 503) || is_shield(signs) => {
            Advice::Shielded { status: *status, by: signs.clone() }
        }
        _ if *status == 200 => Advice::WrongContent { got: shortened(body), expected: shortened(expected) },
        _ => Advice::WrongStatus { status: *status },
    }
}

/// Whether one of those stands before the server that answer in its place.
fn is_shield(signs: &[String]) -> bool {
    const SHIELDS: [&str; 7] =
        ["cloudflare", "akamai", "sucuri", "imperva", "cf-ray", "x-amz-cf-id", "x-azure-ref"];
    signs.iter().any(|sign| SHIELDS.iter().any(|shield| sign.to_ascii_lowercase().contains(shield)))
}

/// A key authorization, of which the token is often the same and the thumbprint another's: the beginning of both.
fn both_parts(key_authorization: &str) -> String {
    let (token, thumbprint) = key_authorization.split_once('.').unwrap_or((key_authorization, ""));
    let start = |part: &str| part.chars().take(MOST_OF_A_PART).collect::<String>();
    format!("{}….{}… (truncated)", start(token), start(thumbprint))
}

const MOST_OF_A_PART: usize = 10;

/// As much as a message has room for.
fn shortened(text: &str) -> String {
    super::answer::shown(text, MOST_OF_A_KEY_AUTHORIZATION)
}

/// Of a key authorization this much tells it from any other.
const MOST_OF_A_KEY_AUTHORIZATION: usize = 24;

/// Whether the name's addresses lead to different servers, which IPv6 records that were forgotten often do.
fn split(right: &[&Observation], wrong: &[&Observation]) -> Option<Advice> {
    let elsewhere: Vec<IpAddr> =
        wrong.iter().filter(|row| row.found.is_wrong()).map(|row| row.address).collect();
    (!right.is_empty() && !elsewhere.is_empty())
        .then(|| Advice::Elsewhere { right: right.iter().map(|row| row.address).collect(), elsewhere })
}

/// Adds what was not said yet: two addresses of one load balancer have one cause.
fn add(advice: &mut Vec<Advice>, one: Advice) {
    let mut said = BTreeMap::new();
    for known in advice.iter() {
        said.insert(known.to_string(), ());
    }
    if !said.contains_key(&one.to_string()) {
        advice.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    const EXPECTED: &str =
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    const OTHER: &str =
        "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.AAAA6WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";
    const V4: &str = "192.0.2.7";
    const V6: &str = "2001:db8::7";

    fn answer(status: u16, header: Option<(&str, &str)>, body: &str) -> Answer {
        let pair = |(name, value): (&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        let headers = HeaderMap::from_iter(header.map(pair));
        Answer::read(status, &headers, body.as_bytes(), EXPECTED)
    }

    fn said(status: u16, body: &str) -> Found {
        Found::Answered(answer(status, None, body))
    }

    fn right() -> Found {
        said(200, EXPECTED)
    }

    fn at(address: &str, found: Found) -> Observation {
        Observation::new((address.parse::<IpAddr>().unwrap(), 80).into(), found)
    }

    fn rows(rows: Vec<Observation>) -> Evidence {
        Evidence { expected: EXPECTED.to_owned(), rows: Ok(rows), ..Evidence::of_nothing() }
    }

    fn silent() -> Found {
        Found::Silent { during: Phase::Connecting }
    }

    /// The verdict, and the words of the advice.
    fn found(evidence: &Evidence) -> (Verdict, Vec<&'static str>) {
        let (verdict, advice) = diagnose(evidence);
        (verdict, advice.iter().map(Advice::code).collect())
    }

    #[test]
    fn each_story_has_its_verdict_and_its_advice() {
        let loopback = || vec![at("127.0.0.1", right())];
        let page = |status, header| Found::Answered(answer(status, header, "<html>no</html>"));
        let redirected = |fault| Found::Redirected { to: "https://a.example/".to_owned(), fault };
        let locally = |found| Evidence { local: loopback(), ..rows(vec![at(V4, found)]) };
        let outside = |found, seen| Evidence { outside: Some(seen), ..rows(vec![at(V4, found)]) };
        let seen = || Ok(answer(200, None, EXPECTED));
        use Verdict::{Fail, Inconclusive, Pass};
        #[rustfmt::skip] // A table.
        let table: Vec<(&str, Evidence, Verdict, Vec<&str>)> = vec![
            ("all is well", rows(vec![at(V6, right()), at(V4, right())]), Pass, vec![]),
            ("not found", rows(vec![at(V4, said(404, "404 page not found"))]), Fail, vec!["wrong_status"]),
            ("a page for everything", rows(vec![at(V4, said(200, "hello"))]), Fail, vec!["wrong_content"]),
            ("right body, wrong status", rows(vec![at(V4, said(201, EXPECTED))]), Fail, vec!["wrong_status"]),
            ("interception", rows(vec![at(V4, said(200, OTHER))]), Fail, vec!["intercepted"]),
            ("interception by two addresses", rows(vec![at(V4, said(200, OTHER)), at(V6, said(200, OTHER))]),
             Fail, vec!["intercepted"]),
            ("a WAF", rows(vec![at(V4, page(403, None))]), Fail, vec!["shielded"]),
            ("a CDN", rows(vec![at(V4, page(200, Some(("cf-ray", "8f"))))]), Fail, vec!["shielded"]),
            ("an error page", rows(vec![at(V4, page(404, None))]), Fail, vec!["wrong_status"]),
            ("loop", rows(vec![at(V4, redirected(RedirectFault::Loop))]), Fail, vec!["redirect_loop"]),
            ("too many", rows(vec![at(V4, redirected(RedirectFault::TooMany))]), Fail, vec!["redirect_loop"]),
            ("other port", rows(vec![at(V4, redirected(RedirectFault::Port(8443)))]), Fail, vec!["redirected"]),
            ("port closed", rows(vec![at(V4, Found::Refused)]), Fail, vec!["closed"]),
            ("no HTTP", rows(vec![at(V4, Found::Broken { reason: "TLS".to_owned() })]), Fail, vec!["no_http"]),
            ("silence", rows(vec![at(V4, silent())]), Inconclusive, vec!["filtered"]),
            ("no route", rows(vec![at(V6, Found::NoRoute { reason: "x".to_owned() })]), Inconclusive, vec!["no_route"]),
            ("hairpin, silent", locally(silent()), Inconclusive, vec!["hairpin"]),
            ("hairpin, refused", locally(Found::Refused), Inconclusive, vec!["hairpin"]),
            ("wrong answer though right locally", locally(said(404, "")), Fail, vec!["wrong_status"]),
            ("hairpin, seen from outside", outside(silent(), seen()), Pass, vec!["filtered"]),
            ("closed for all", outside(silent(), Ok(answer(502, None, ""))), Fail, vec!["filtered", "wrong_status"]),
            ("wrong for us alone", outside(said(404, ""), seen()), Inconclusive, vec!["wrong_status"]),
            ("nobody outside", outside(silent(), Err("x".to_owned())), Inconclusive, vec!["filtered", "no_vantage"]),
            ("IPv6 leads elsewhere", rows(vec![at(V6, said(404, "")), at(V4, right())]),
             Fail, vec!["wrong_status", "elsewhere"]),
            ("IPv6 is dead", rows(vec![at(V6, silent()), at(V4, right())]), Pass, vec!["filtered"]),
            ("one of two is dead", rows(vec![at(V4, right()), at("192.0.2.8", Found::Refused)]),
             Inconclusive, vec!["closed"]),
            ("no address", rows(vec![]), Fail, vec!["no_address"]),
        ];
        for (story, evidence, verdict, advice) in table {
            assert_eq!(found(&evidence), (verdict, advice), "{story}");
        }
        let unresolved = Evidence { rows: Err("SERVFAIL".to_owned()), ..rows(vec![]) };
        assert_eq!(found(&unresolved), (Inconclusive, vec!["unresolved"]));
        let seen_outside = Evidence { outside: Some(seen()), ..unresolved };
        assert_eq!(found(&seen_outside), (Pass, vec!["unresolved"]));
    }

    #[test]
    fn an_interceptor_is_shown_with_what_was_expected_and_what_came_both_cut_short() {
        let (_, advice) = diagnose(&rows(vec![at(V4, said(200, OTHER))]));
        let said = advice[0].to_string();
        let both = "expected \"evaGxfADs6….9jg46WB3rR… (truncated)\" but got \"evaGxfADs6….AAAA6WB3rR… (truncated)\"";
        for part in [both, "TCP", "/.well-known/acme-challenge/"] {
            assert!(said.contains(part), "{said}");
        }
    }

    fn founds() -> impl Strategy<Value = Found> {
        (0u8..9, ".{0,30}").prop_map(|(kind, text)| match kind {
            0 => right(),
            1 => said(404, &text),
            2 => said(200, OTHER),
            3 => Found::Refused,
            4 => silent(),
            5 => Found::NoRoute { reason: text },
            6 => Found::Broken { reason: text },
            7 => Found::Redirected { to: text, fault: RedirectFault::Loop },
            _ => Found::Unreachable { reason: text },
        })
    }

    proptest! {
        #[test]
        fn only_what_was_seen_passes_and_whoever_does_not_pass_is_told_why(
            here in proptest::collection::vec((any::<bool>(), founds()), 0..4),
            local in proptest::option::of(founds()),
        ) {
            let address = |v6: bool| if v6 { V6 } else { V4 };
            let evidence = Evidence {
                local: local.into_iter().map(|found| at("127.0.0.1", found)).collect(),
                ..rows(here.into_iter().map(|(v6, found)| at(address(v6), found)).collect())
            };
            let (verdict, advice) = diagnose(&evidence);
            let founds: Vec<bool> = evidence.rows.iter().flatten().map(|row| row.found.is_right()).collect();
            prop_assert!(verdict != Verdict::Pass || founds.contains(&true));
            prop_assert!(verdict == Verdict::Pass || !advice.is_empty());
            prop_assert!(advice.is_empty() == (!founds.is_empty() && !founds.contains(&false)));
        }
    }
}
