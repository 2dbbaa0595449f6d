//! CAA records, asked about at the zones' own name servers (RFC 8659, RFC 8657).

use perennial_propagation::{
    Policy,
    caa::{Decision, Doubt, Outcome, Question, Report, Said},
    zone::Evidence,
};
use perennial_testkit::dns::{AuthoritativeServer, Behaviour, Data, Freshness, Zone};

use crate::scene::{SPARE, Scene};

const OURS: &str = "ca1.example.net";
const OTHER: &str = "ca2.example.org";

fn publish(zone: &Zone, name: &str, flags: u8, tag: &str, value: &str) {
    zone.add(name, Data::Caa { flags, tag: tag.to_owned(), value: value.to_owned() }).unwrap();
}

fn question(subject: &str) -> Question {
    Question::new(&subject.parse().unwrap()).issuer(OURS)
}

async fn ask(scene: &Scene, question: &Question) -> Report {
    scene.checker().caa(question).await.unwrap()
}

/// The names that were looked at, in order.
fn names(report: &Report) -> Vec<&str> {
    report.levels.iter().map(|level| level.name.as_str()).collect()
}

/// The names that a server was asked about for their CAA records.
fn asked(queries: &[perennial_testkit::dns::Query]) -> Vec<&str> {
    queries.iter().filter(|query| query.kind == "CAA").map(|query| query.name.as_str()).collect()
}

#[tokio::test]
async fn without_any_record_up_to_the_top_level_domain_everybody_may_issue() {
    let scene = Scene::new().await;
    let report = ask(&scene, &question("*.www.example.com")).await;
    assert_eq!(report.decision, Decision::Allowed { record: None }, "{report}");
    assert_eq!(names(&report), ["www.example.com", "example.com", "com"]);
    assert_eq!(report.relevant(), None);
    assert_eq!(report.advice, Vec::<String>::new());
    assert_eq!(asked(&scene.registry.queries()), ["com"]);
    assert_eq!(asked(&scene.resolver.queries()), Vec::<&str>::new(), "resolvers are not asked");
    let desired = |server: &AuthoritativeServer| {
        server.queries().iter().any(|query| query.kind == "CAA" && query.recursion_desired)
    };
    assert!(!scene.servers.iter().any(desired), "authorities are asked without recursion");
}

#[tokio::test]
async fn the_nearest_ancestor_with_records_decides_and_nobody_above_it_is_asked() {
    let scene = Scene::new().await;
    publish(&scene.zone, "example.com", 0, "issue", OTHER);
    publish(&scene.com, "com", 0, "issue", OURS);
    let report = ask(&scene, &question("deep.www.example.com")).await;
    let Decision::Forbidden { record, .. } = &report.decision else { panic!("{report}") };
    assert_eq!((record.domain.as_str(), record.to_string()), ("example.com", format!("0 issue \"{OTHER}\"")));
    assert_eq!(names(&report), ["deep.www.example.com", "www.example.com", "example.com"]);
    assert_eq!(report.relevant().unwrap().name.as_str(), "example.com");
    assert_eq!(asked(&scene.registry.queries()), Vec::<&str>::new());
    let remedy =
        format!("add example.com CAA 0 issue \"{OURS}\" to allow this CA, or use a CA that is allowed");
    assert_eq!(report.advice, [remedy]);
}

#[tokio::test]
async fn the_names_of_a_zone_are_asked_about_at_once_at_every_server() {
    let scene = Scene::new().await;
    let report = ask(&scene, &question("www.example.com")).await;
    for server in &scene.servers {
        let mut asked: Vec<_> = asked(&server.queries()).into_iter().map(str::to_owned).collect();
        asked.sort();
        assert_eq!(asked, ["example.com", "www.example.com"]);
    }
    assert_eq!(report.queries(), 5, "{report}");
}

#[tokio::test]
async fn issuewild_is_for_wildcards_and_parameters_bind_account_and_method() {
    let scene = Scene::new().await;
    publish(&scene.zone, "example.com", 0, "issue", OTHER);
    let bound = format!("{OURS}; accounturi=https://{OURS}/acct/1; validationmethods=dns-01");
    publish(&scene.zone, "example.com", 0, "issuewild", &bound);
    let url = |account: &str| format!("https://{OURS}/acct/{account}");
    let checker = scene.checker();
    for (subject, account, method, allowed) in [
        ("*.example.com", "1", "dns-01", true),
        ("*.example.com", "2", "dns-01", false),
        ("*.example.com", "1", "http-01", false),
        ("example.com", "1", "dns-01", false),
    ] {
        let report = checker.caa(&question(subject).account(url(account)).method(method)).await.unwrap();
        let is_allowed = matches!(report.decision, Decision::Allowed { .. });
        assert_eq!(is_allowed, allowed, "{subject} {account} {method}: {report}");
    }
    let report = checker.caa(&question("*.example.com").method("dns-01")).await.unwrap();
    let doubt = Doubt::AccountUndecided { allowed: url("1") };
    assert_eq!(report.decision, Decision::Inconclusive { doubt }, "{report}");
}

#[tokio::test]
async fn an_alias_is_followed_to_its_targets_own_servers_and_not_up_from_there() {
    let mut scene = Scene::new().await;
    let other = Zone::new("other.com").unwrap();
    other.add_name_server("ns.other.com", &[SPARE]).unwrap();
    publish(&other, "with.other.com", 0, "issue", OTHER);
    publish(&other, "other.com", 0, "issue", OTHER);
    let server = scene.start_spare(&other);
    scene.com.delegate("other.com", "ns.other.com", &[SPARE]).unwrap();
    for label in ["with", "without"] {
        let target = format!("{label}.other.com").parse().unwrap();
        scene.zone.add(&format!("{label}.example.com"), Data::Cname(target)).unwrap();
    }
    let report = ask(&scene, &question("with.example.com")).await;
    let Decision::Forbidden { record, .. } = &report.decision else { panic!("{report}") };
    assert_eq!(record.domain.as_str(), "with.other.com");
    server.clear_queries();
    let report = ask(&scene, &question("without.example.com")).await;
    assert_eq!(report.decision, Decision::Allowed { record: None }, "{report}");
    assert_eq!(asked(&server.queries()), ["without.other.com"]);
    assert_eq!(names(&report), ["without.example.com", "example.com", "com"]);
}

#[tokio::test]
async fn a_delegated_name_is_asked_about_in_its_own_zone() {
    let mut scene = Scene::new().await;
    let child = Zone::new("app.example.com").unwrap();
    child.add_name_server("ns.app.example.com", &[SPARE]).unwrap();
    publish(&child, "app.example.com", 0, "issue", OTHER);
    let _server = scene.start_spare(&child);
    scene.zone.delegate("app.example.com", "ns.app.example.com", &[SPARE]).unwrap();
    let report = ask(&scene, &question("app.example.com")).await;
    assert!(matches!(report.decision, Decision::Forbidden { .. }), "{report}");
    assert_eq!(names(&report), ["app.example.com"]);
}

#[tokio::test]
async fn the_zone_that_a_resolver_makes_up_hides_no_record() {
    let lie = Zone::new("app.site.example.com").unwrap();
    lie.add_name_server("ns.dns.app.site.example.com", &[[127, 0, 0, 10].into()]).unwrap();
    let scene = Scene::with(move |resolver| resolver.lie(&lie)).await;
    publish(&scene.zone, "app.site.example.com", 0, "issue", OTHER);
    let report = ask(&scene, &question("*.app.site.example.com")).await;
    assert!(matches!(report.decision, Decision::Forbidden { .. }), "{report}");
    let zone = report.levels[0].steps[0].zone.as_ref().unwrap();
    assert!(
        zone.evidence.iter().any(|evidence| matches!(evidence, Evidence::SplitHorizon { .. })),
        "{report}"
    );
}

#[tokio::test]
async fn servers_that_contradict_each_other_are_a_doubt_where_it_matters() {
    let scene = Scene::new().await;
    scene.servers[1].set_freshness(Freshness::Frozen);
    publish(&scene.zone, "example.com", 0, "issue", OTHER);
    let report = ask(&scene, &question("example.com")).await;
    let name = "example.com".parse().unwrap();
    assert_eq!(report.decision, Decision::Inconclusive { doubt: Doubt::Disagreement { name } }, "{report}");
    assert!(report.advice[0].contains("zone transfer"), "{report}");
    let theirs = Question::new(&"example.com".parse().unwrap()).issuer(OTHER);
    let report = ask(&scene, &theirs).await;
    assert!(matches!(report.decision, Decision::Allowed { .. }), "either way they may: {report}");
}

#[tokio::test]
async fn one_server_that_is_dead_or_broken_does_not_matter_and_all_of_them_do() {
    for behaviour in [Behaviour::Dead, Behaviour::ServerFailure, Behaviour::Lame, Behaviour::Refuse] {
        let scene = Scene::new().await;
        publish(&scene.zone, "www.example.com", 0, "issue", OTHER);
        let (checker, asked) = (scene.checker(), question("www.example.com"));
        // The zone is known: what follows is about CAA questions alone.
        checker.caa(&asked).await.unwrap();
        scene.servers[0].set_behaviour(behaviour);
        let report = checker.caa(&asked).await.unwrap();
        assert!(matches!(report.decision, Decision::Forbidden { .. }), "{behaviour:?}: {report}");
        // A dead server is not waited for, unless it is found dead meanwhile.
        let waited_for = report.levels[0].steps[0].rows[0].said != Said::Silent;
        assert!(waited_for || behaviour == Behaviour::Dead, "{report}");
        scene.servers[1].set_behaviour(behaviour);
        let report = checker.caa(&asked).await.unwrap();
        let Decision::Inconclusive { doubt: Doubt::LookupFailed { name, .. } } = &report.decision else {
            panic!("{behaviour:?}: {report}")
        };
        assert_eq!(name.as_str(), "www.example.com");
        let rows = &report.levels[0].steps[0].rows;
        let told = |said: &Said| match behaviour {
            Behaviour::Dead => matches!(said, Said::Unreachable { .. }),
            _ => matches!(said, Said::Lame { .. }),
        };
        assert!(rows.len() == 2 && rows.iter().all(|row| told(&row.said)), "{behaviour:?}: {report}");
    }
}

#[tokio::test]
async fn a_critical_stranger_and_a_malformed_value_arrive_as_they_are() {
    let scene = Scene::new().await;
    publish(&scene.zone, "www.example.com", 128, "tbs", "Unknown");
    publish(&scene.zone, "www.example.com", 0, "issue", OURS);
    let report = ask(&scene, &question("www.example.com")).await;
    let Decision::Inconclusive { doubt: Doubt::Critical { record } } = &report.decision else {
        panic!("{report}")
    };
    assert_eq!(record.tag, "tbs");
    publish(&scene.zone, "example.com", 0, "issue", "%%%%%");
    let report = ask(&scene, &question("example.com")).await;
    assert!(report.decision.to_string().contains("it allows nobody, since"), "{report}");
    assert!(report.advice[0].starts_with("mend or remove that record"), "{report}");
}

#[tokio::test]
async fn where_only_resolvers_may_be_asked_they_are() {
    let scene = Scene::new().await;
    publish(&scene.zone, "example.com", 0, "issue", OTHER);
    let target = "alias.example.com";
    scene.zone.add(target, Data::Cname("example.com".parse().unwrap())).unwrap();
    let checker = scene.builder().policy(Policy::RecursiveOnly).build().unwrap();
    for subject in ["www.example.com", target] {
        let report = checker.caa(&question(subject)).await.unwrap();
        assert!(matches!(report.decision, Decision::Forbidden { .. }), "{report}");
        assert_eq!(report.levels[0].steps[0].zone, None);
    }
    let mut heard = scene.resolver.queries();
    heard.truncate(3);
    assert_eq!(asked(&heard).len(), 3, "all names are asked about at once");
    assert!(heard.iter().all(|query| query.recursion_desired));
    scene.servers.iter().for_each(|server| server.set_behaviour(Behaviour::ServerFailure));
    let report = checker.caa(&question("www.example.com")).await.unwrap();
    assert!(matches!(report.decision, Decision::Inconclusive { .. }), "{report}");
}

#[tokio::test]
async fn a_report_is_text_for_people_and_json_for_machines() {
    let scene = Scene::new().await;
    publish(&scene.zone, "example.com", 0, "issue", OTHER);
    publish(&scene.zone, "example.com", 0, "iodef", "mailto:security@example.com");
    let report = ask(&scene, &question("*.www.example.com").method("dns-01")).await;
    let text = report.to_string();
    let resolver = scene.resolver.address();
    let (one, two) = (scene.servers[0].address(), scene.servers[1].address());
    let set = format!("0 iodef \"mailto:security@example.com\", 0 issue \"{OTHER}\"");
    let registry = scene.registry.address();
    let seconds = format!("{:.1}", report.elapsed.as_secs_f64());
    let expected = format!(
        "*.www.example.com CAA: forbidden: example.com has 0 issue \"{OTHER}\": it allows {OTHER} \
         (4 questions in {seconds} s)\n  \
         issuer: {OURS}, by dns-01\n  \
         www.example.com\n    \
         no CAA records\n    \
         zone example.com, name servers ns1.example.com, ns2.example.com\n      \
         resolver {resolver} places the name in zone example.com\n      \
         the servers of com ({registry}) confirm the zone example.com\n      \
         {one} (ns1.example.com): none\n      \
         {two} (ns2.example.com): none\n  \
         example.com\n    \
         example.com CAA 0 iodef \"mailto:security@example.com\"\n    \
         example.com CAA 0 issue \"{OTHER}\"\n      \
         {one} (ns1.example.com): {set}\n      \
         {two} (ns2.example.com): {set}\n  \
         -> add example.com CAA 0 issuewild \"{OURS}\" to allow this CA, or use a CA that is allowed\n"
    );
    assert_eq!(text, expected);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["decision"]["is"], "forbidden");
    assert_eq!(json["decision"]["refusal"]["issuer"]["allowed"], OTHER);
    assert_eq!(json["decision"]["record"]["property"]["kind"], "issue");
    assert_eq!(json["levels"][1]["name"], "example.com");
    assert_eq!(json["question"]["wildcard"], true);
    assert!(matches!(report.levels[0].outcomes[..], [Outcome::Empty]));
}
