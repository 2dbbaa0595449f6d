//! The corpus as text: one paragraph a case.
//!
//! ```text
//! # What makes it worth a case.
//! name_of_the_case
//!     zone example.test: bind knot+ nsd- pdns~ lag!, signed
//!         _acme-challenge TXT token
//!     above: example NS elsewhere.host.test.
//!     ask _acme-challenge.example.test token another
//!     resolvers dead main tls:secure
//!     first update example.test: add www.example.test 60 TXT here
//!     at 500ms update example.test: add _acme-challenge.example.test 60 TXT token
//!     watch 10s
//!     not_yet: lame_server stale_value
//!     within 3s
//!     queries 40
//!     says instance
//! ```
//!
//! A zone is served by the hosts of the table in [`host`](super::host), and its NS records name them, above
//! and in the zone itself: with `+` only above, with `-` only in the zone, with `~` nowhere, with `!` in both
//! places although the host does not serve it. With `@` the NS record has a name inside the zone, with glue.
//! `first` is what happens before anything is asked.
//!
//! The question is for `_acme-challenge` in the first zone and the value `token`, the resolver is `main`, and
//! everybody is asked once, unless it says otherwise. Advice with `?` may be missing. `{a*3}` in a line
//! stands for `aaa`.
//!
//! `caa *.www.example.test by ca.test method dns-01 account https://ca.test/1` asks whether a CA may issue instead; what
//! is expected is then `allowed`, `forbidden` or `inconclusive`.

use std::time::Duration;

/// One case: a corner of the internet, a question, and what should be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) name: String,
    pub(super) zones: Vec<Zone>,
    /// Lines for the zone `test`.
    pub(super) above: Vec<String>,
    ask: Option<(String, Vec<String>)>,
    /// Whether a CA may issue, for a name: pairs of words.
    pub(super) caa: Option<(String, Vec<(String, String)>)>,
    pub(super) first: Vec<Event>,
    pub(super) resolvers: Vec<String>,
    /// Settings of the checker, as words: `policy any`.
    pub(super) settings: Vec<String>,
    pub(super) events: Vec<(Duration, Event)>,
    pub(super) watch: Option<Duration>,
    /// A verdict, or `error` and a part of the error's text.
    pub(super) expected: String,
    pub(super) advice: Vec<String>,
    pub(super) within: Option<Duration>,
    pub(super) queries: Option<u32>,
    /// What the report has to have in its text.
    pub(super) says: Vec<String>,
}

/// A zone and who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) origin: String,
    pub(super) hosts: Vec<Served>,
    pub(super) signed: Signed,
    /// The resolvers that ask its hosts with `~`, whatever is delegated.
    pub(super) seen_by: Vec<String>,
    /// In seconds.
    pub(super) negative_ttl: u32,
    pub(super) records: Vec<String>,
}

/// A host's part in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) host: String,
    pub(super) above: bool,
    pub(super) inside: bool,
    pub(super) serves: bool,
    pub(super) in_bailiwick: bool,
}

/// What DNSSEC makes of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    No,
    /// Well, by BIND's tools.
    Well,
    /// By the server itself, where that is Knot.
    ByServer,
    /// Its signatures are over.
    Expired,
    /// The zone above knows another key.
    ByStranger,
    /// The zone above knows a key, and there is no signature.
    Stripped,
}

/// What happens before anything is asked, or while somebody watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Somebody asks the resolver `public` for the record, too early.
    Ask,
    /// The secondary that lags asks its primary.
    Refresh { zone: String },
    /// A dynamic update at the primary.
    Update { zone: String, line: String },
}

impl Story {
    /// The name that is asked about, and the values that are wanted there.
    pub(super) fn question(&self) -> (String, Vec<String>) {
        self.ask.clone().unwrap_or_else(|| {
            let zone = self.zones.first().map_or("test", |zone| zone.origin.as_str());
            (format!("_acme-challenge.{zone}"), vec!["token".to_owned()])
        })
    }
}

/// All stories of a text, or what is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Story>, String> {
    let mut stories: Vec<Story> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        if depth == 0 {
            stories.push(Story { name: words.to_owned(), ..Story::default() });
            continue;
        }
        let story = stories.last_mut().ok_or_else(|| format!("line {}: no case yet", number + 1))?;
        let taken = if depth > STATEMENT { record(story, words) } else { statement(story, words) };
        taken.map_err(|reason| format!("line {}, case {}: {reason}: {words}", number + 1, story.name))?;
    }
    match stories.iter().find(|story| story.expected.is_empty()) {
        Some(story) => Err(format!("case {} expects nothing", story.name)),
        None => Ok(stories),
    }
}

/// The columns that a statement is indented; records of a zone are more.
const STATEMENT: usize = 4;

fn record(story: &mut Story, words: &str) -> Result<(), String> {
    let zone = story.zones.last_mut().ok_or("a record before its zone")?;
    zone.records.extend(expand(words)?);
    Ok(())
}

fn statement(story: &mut Story, words: &str) -> Result<(), String> {
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    match verb.trim_end_matches(':') {
        "zone" => story.zones.push(zone(rest)?),
        "above" => story.above.push(repeat(rest)?),
        "ask" => {
            let mut words = rest.split(' ').map(repeat).collect::<Result<Vec<_>, _>>()?.into_iter();
            let name = words.next().ok_or("no name")?;
            let values: Vec<String> = words.collect();
            story.ask = Some((name, if values.is_empty() { vec!["token".to_owned()] } else { values }));
        }
        "caa" => {
            let mut words = rest.split(' ').map(str::to_owned);
            let name = words.next().ok_or("no name")?;
            let mut pairs = Vec::new();
            while let Some(kind) = words.next() {
                pairs.push((kind, words.next().ok_or("a word without its value")?));
            }
            story.caa = Some((name, pairs));
        }
        "first" => story.first.push(event(rest)?),
        "resolvers" => story.resolvers = rest.split(' ').map(str::to_owned).collect(),
        "with" => story.settings.push(rest.to_owned()),
        "at" => {
            let (at, rest) = rest.split_once(' ').ok_or("no event")?;
            story.events.push((duration(at)?, event(rest)?));
        }
        "watch" => story.watch = Some(duration(rest)?),
        "within" => story.within = Some(duration(rest)?),
        "says" => story.says.push(rest.to_owned()),
        "queries" => story.queries = Some(rest.parse().map_err(|_| "no number")?),
        "error" => story.expected = format!("error {rest}"),
        verdict
        @ ("allowed" | "forbidden" | "inconclusive" | "ready" | "ready_with_warnings" | "not_yet") => {
            verdict.clone_into(&mut story.expected);
            story.advice = rest.split_whitespace().map(str::to_owned).collect();
        }
        _ => return Err("what is that?".to_owned()),
    }
    Ok(())
}

fn zone(text: &str) -> Result<Zone, String> {
    let (origin, rest) = text.split_once(": ").ok_or("a zone is `zone NAME: HOSTS`")?;
    let mut parts = rest.split(", ");
    let hosts = parts.next().unwrap_or_default().split_whitespace().map(served).collect();
    let mut zone = Zone {
        origin: repeat(origin)?,
        hosts,
        signed: Signed::No,
        seen_by: Vec::new(),
        negative_ttl: 1,
        records: Vec::new(),
    };
    for part in parts {
        match part.split(' ').collect::<Vec<_>>()[..] {
            ["signed"] => zone.signed = Signed::Well,
            ["signed", "by", "server"] => zone.signed = Signed::ByServer,
            ["signed", "by", "stranger"] => zone.signed = Signed::ByStranger,
            ["expired"] => zone.signed = Signed::Expired,
            ["stripped"] => zone.signed = Signed::Stripped,
            ["seen", "by", ref resolvers @ ..] => {
                zone.seen_by = resolvers.iter().map(|name| (*name).to_owned()).collect();
            }
            ["negative", seconds] => zone.negative_ttl = seconds.parse().map_err(|_| "no number")?,
            _ => return Err(format!("what is {part:?}?")),
        }
    }
    Ok(zone)
}

fn served(word: &str) -> Served {
    let host = word.trim_end_matches(|mark| "+-~!@".contains(mark)).to_owned();
    let marked = |mark| word.contains(mark);
    Served {
        host,
        above: !marked('-') && !marked('~'),
        inside: !marked('+') && !marked('~'),
        serves: !marked('!'),
        in_bailiwick: marked('@'),
    }
}

fn event(text: &str) -> Result<Event, String> {
    Ok(match text.split_once(' ').unwrap_or((text, "")) {
        ("ask", "") => Event::Ask,
        ("refresh", zone) => Event::Refresh { zone: zone.to_owned() },
        ("update", update) => {
            let (zone, line) = update.split_once(": ").ok_or("an update is `update ZONE: LINE`")?;
            Event::Update { zone: zone.to_owned(), line: format!("update {line}") }
        }
        _ => return Err("no such event".to_owned()),
    })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |_| "a time is `500ms` or `3s`".to_owned();
    match text.strip_suffix("ms") {
        Some(number) => number.parse().map(Duration::from_millis).map_err(wrong),
        None => text.trim_end_matches('s').parse().map(Duration::from_secs).map_err(wrong),
    }
}

/// A record, or several by one word: `chain 3` are three aliases one after the other, `values 9` the value
/// `token` and eight others.
fn expand(line: &str) -> Result<Vec<String>, String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| "no number".to_owned());
    if let Some(length) = line.strip_prefix("chain ") {
        let length = number(length)?;
        let link = |at: usize| if at == 0 { "_acme-challenge".to_owned() } else { format!("link{at}") };
        let aliases = (0..length).map(|at| format!("{} CNAME {}", link(at), link(at + 1)));
        return Ok(aliases.chain([format!("{} TXT token", link(length))]).collect());
    }
    if let Some(count) = line.strip_prefix("values ") {
        // As long as a key authorization's digest (RFC 8555 §8.4).
        let other = |at| format!("_acme-challenge TXT {at:0>43}");
        return Ok((1..number(count)?).map(other).chain(["_acme-challenge TXT token".to_owned()]).collect());
    }
    Ok(vec![repeat(line)?])
}

/// With `{a*3}` written out.
fn repeat(line: &str) -> Result<String, String> {
    let Some((before, rest)) = line.split_once('{') else { return Ok(line.to_owned()) };
    let (inside, after) = rest.split_once('}').ok_or("a brace is not closed")?;
    let (text, times) = inside.split_once('*').ok_or("a repetition is `{a*3}`")?;
    let times: usize = times.parse().map_err(|_| "no number")?;
    Ok(format!("{before}{}{}", text.repeat(times), repeat(after)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_a_case() {
        let text = "
# A reason.
lag
    zone lag.test: bind knot+ nsd- pdns~ lag! bind@, signed, seen by vpc isp, negative 300
        _acme-challenge TXT \"{ab*2}\"
        chain 2
    above: x NS y.
    ask a.lag.test one two
    resolvers dead main
    with policy any
    caa *.lag.test by ca.test method dns-01
    first refresh lag.test
    at 500ms update lag.test: add a 60 TXT b
    at 1s refresh lag.test
    watch 10s
    not_yet: stale_value lame_server
    within 3s
    queries 12
    says serial 1
short
    ready
";
        let stories = read(text).unwrap();
        let [lag, short] = &stories[..] else { panic!("{stories:?}") };
        let zone = &lag.zones[0];
        let marks: Vec<_> = zone.hosts.iter().map(|it| (it.above, it.inside, it.serves)).collect();
        let (yes, no) = (true, false);
        assert_eq!(
            marks,
            [(yes, yes, yes), (yes, no, yes), (no, yes, yes), (no, no, yes), (yes, yes, no), (yes, yes, yes)]
        );
        assert!(zone.hosts[5].in_bailiwick && zone.hosts[5].host == "bind");
        assert_eq!((zone.signed, zone.negative_ttl), (Signed::Well, 300));
        assert_eq!(zone.seen_by, ["vpc", "isp"]);
        assert_eq!(
            zone.records,
            [
                "_acme-challenge TXT \"abab\"",
                "_acme-challenge CNAME link1",
                "link1 CNAME link2",
                "link2 TXT token"
            ]
        );
        assert_eq!(lag.question(), ("a.lag.test".into(), vec!["one".into(), "two".into()]));
        assert_eq!((lag.events.len(), lag.first.len()), (2, 1));
        let (name, pairs) = lag.caa.as_ref().unwrap();
        assert_eq!((name.as_str(), pairs[1].1.as_str(), pairs.len()), ("*.lag.test", "dns-01", 2));
        assert_eq!((lag.expected.as_str(), lag.advice.len()), ("not_yet", 2));
        assert_eq!((lag.watch, lag.queries), (Some(Duration::from_secs(10)), Some(12)));
        assert_eq!(lag.says, ["serial 1"]);
        assert_eq!(short.question().0, "_acme-challenge.test");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, said) in [
            ("    ready", "line 1: no case yet"),
            ("one\n    wonder", "line 2, case one: what is that?: wonder"),
            ("one\n    zone x.test", "a zone is `zone NAME: HOSTS`"),
            ("one\n        a TXT b", "a record before its zone"),
            ("one\n    zone x.test: bind, odd", "what is \"odd\"?"),
            ("one\n    watch soon", "a time is `500ms` or `3s`"),
            ("one", "case one expects nothing"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
