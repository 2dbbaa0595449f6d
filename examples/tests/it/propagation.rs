//! `propagation`, every verb and every exit code of it, against name servers of our own.

use std::process::{Command, Output};

use perennial_testkit::{
    World,
    dns::{Behaviour, Data, Freshness},
};
use serde_json::Value;

use crate::example;

const NAME: &str = "_acme-challenge.www.example.com";

async fn world() -> World {
    let world = World::builder().zone("example.com").servers(2).build().await.unwrap();
    world.zone().add("www.example.com", Data::A([127, 0, 0, 1].into())).unwrap();
    world
}

fn run(arguments: &[&str]) -> Output {
    Command::new(example("propagation")).args(arguments).output().unwrap()
}

/// The program in that world, while the world goes on.
async fn look(world: &World, arguments: &[&str]) -> Output {
    let (resolver, port) = (world.resolver().to_string(), world.authoritative_port().to_string());
    let mut arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    arguments.extend(["--nameserver".to_owned(), resolver, "--port".to_owned(), port]);
    let run = move || Command::new(example("propagation")).args(&arguments).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}{told}");
    said
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    serde_json::from_str(&text(output, code)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_yes_no_or_that_it_cannot_tell() {
    let world = world().await;
    let check = ["check", NAME, "--value", "token", "--json"];
    assert_eq!(json(&look(&world, &check).await, 1)["verdict"], "not_yet");
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let report = json(&look(&world, &check).await, 0);
    assert_eq!(report["verdict"], "ready");
    assert_eq!(report["stages"][0]["rows"].as_array().unwrap().len(), 2);
    assert!(text(&look(&world, &check[..4]).await, 0).contains("TXT: propagated"));
    let both = [&check[..4], &["--value", "other"]].concat();
    assert!(text(&look(&world, &both).await, 1).contains("\"token\" \"other\""));
    world.servers().iter().for_each(|server| server.set_behaviour(Behaviour::Refuse));
    let report = json(&look(&world, &check).await, 2);
    assert!(report.to_string().contains("REFUSED"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_decides_how_many_must_have_it() {
    let world = world().await;
    world.servers()[1].set_freshness(Freshness::Frozen);
    world.zone().add(NAME, Data::txt("token")).unwrap();
    for (policy, code) in [("all", 1), ("any", 0), ("quorum:1", 0), ("quorum:2", 1), ("strict", 1)] {
        text(&look(&world, &["check", NAME, "--value", "token", "--policy", policy]).await, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_may_have_resolvers_of_its_own() {
    let world = world().await;
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (dead, port) = (silent.local_addr().unwrap().to_string(), world.authoritative_port().to_string());
    let own = ["com", "example.com"].map(|zone| format!("{zone}={}", world.resolver()));
    let check = ["check", NAME, "--value", "token", "--nameserver", &dead, "--port", &port];
    let with_own = [&check[..], &["--nameserver-for", &own[0], "--nameserver-for", &own[1]]].concat();
    let told = text(&run(&with_own), 0);
    assert!(told.contains(&world.resolver().to_string()) && !told.contains(&dead), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_servers_are_asked_instead_of_all() {
    let world = world().await;
    world.servers()[1].set_freshness(Freshness::Frozen);
    world.zone().add(NAME, Data::txt("token")).unwrap();
    for (server, code) in [(0, 0), (1, 1)] {
        let address = world.servers()[server].address().to_string();
        let told = text(&run(&["check", NAME, "--value", "token", "--authoritative", &address]), code);
        assert!(told.contains("the name servers were given") && told.contains(&address), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vantage_points_are_told_and_decide_only_where_they_must() {
    let (world, elsewhere) = (world().await, world().await);
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let other = elsewhere.resolver().to_string();
    let check = ["check", NAME, "--value", "token", "--vantage", &other];
    let told = text(&look(&world, &check).await, 0);
    assert!(told.contains(&format!("missing     {other}")), "{told}");
    text(&look(&world, &[&check[..], &["--vantage-must-agree"]].concat()).await, 1);
    let unsigned = [&check[..4], &["--dnssec", "require"]].concat();
    assert!(text(&look(&world, &unsigned).await, 0).contains("DNSSEC: insecure"));
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_sees_a_record_become_visible_and_tells_each_change() {
    let world = world().await;
    world.servers()[1].set_freshness(Freshness::Frozen);
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let catch_up = async {
        for _ in 0..2 {
            world.servers()[1].wait_for_query(|query| query.name == NAME).await;
            world.servers()[1].clear_queries();
        }
        world.servers()[1].set_freshness(Freshness::Current);
    };
    let watch = ["watch", NAME, "--value", "token", "--deadline", "60s", "--json"];
    let (output, ()) = tokio::join!(look(&world, &watch), catch_up);
    let said = text(&output, 0);
    let verdicts: Vec<Value> =
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["verdict"].take()).collect();
    assert_eq!(verdicts.first().unwrap(), "not_yet");
    assert_eq!(verdicts.last().unwrap(), "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_lines_where_nobody_can_redraw_and_gives_up_at_the_deadline() {
    let world = world().await;
    world.servers()[1].set_freshness(Freshness::Frozen);
    world.zone().add(NAME, Data::txt("token")).unwrap();
    let said = text(&look(&world, &["watch", NAME, "--value", "token", "--deadline", "1s"]).await, 1);
    let of = |server: &str, word: &str| {
        said.lines().any(|line| line.contains(server) && line.contains(word) && line.contains(" s  "))
    };
    assert!(of("ns1.example.com", "ok") && of("ns2.example.com", "missing"), "{said}");
    assert!(said.contains("not yet propagated after ") && said.contains("\n  -> "), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn watch_redraws_a_table_in_place_on_a_terminal() {
    let program = example("propagation");
    let watch = "watch _acme-challenge.app.site.example.com --value token --embedded --grace 1s";
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &format!("{} {watch}", program.display()), "/dev/null"]);
    let Ok(output) = terminal.env("TERM", "xterm").output() else {
        println!("skipped: there is no script(1) to play a terminal");
        return;
    };
    let said = text(&output, 0);
    let (drawn, report) = said.rsplit_once("\u{1b}[").unwrap();
    assert!(drawn.contains("ns2.example.com") && drawn.contains("missing"), "{drawn:?}");
    assert!(report.contains("TXT: propagated, with warnings"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_takes_what_any_server_has_for_wanted() {
    let world = world().await;
    let nothing = text(&look(&world, &["explain", NAME]).await, 1);
    assert!(nothing.contains("No server shows a TXT record at"), "{nothing}");
    assert!(nothing.contains("confirm the zone example.com"), "{nothing}");
    world.servers()[1].set_freshness(Freshness::Frozen);
    world.zone().add(NAME, Data::txt("found")).unwrap();
    let some = text(&look(&world, &["explain", NAME]).await, 1);
    assert!(some.contains("wanted: \"found\"") && some.contains("ns2.example.com"), "{some}");
    world.servers()[1].set_freshness(Freshness::Current);
    let all = text(&look(&world, &["explain", NAME]).await, 0);
    let seen = format!("vantage points\n    ok          {}", world.resolver());
    assert!(all.contains(&seen), "{all}");
    let other = json(&look(&world, &["explain", NAME, "--value", "other", "--json"]).await, 1);
    assert_eq!(other["report"]["verdict"], "not_yet");
    assert!(other["host"]["nat64"].is_array(), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn caa_says_allowed_forbidden_or_that_it_cannot_tell() {
    let world = world().await;
    let data = |value: &str| Data::Caa { flags: 0, tag: "issue".to_owned(), value: value.to_owned() };
    let bound = "ca.example; accounturi=https://ca.example/1; validationmethods=dns-01";
    world.zone().add("example.com", data(bound)).unwrap();
    let known = ["--account", "https://ca.example/1", "--method", "dns-01", "--json"];
    let ask = |issuer: &'static str, more: &[&'static str]| {
        [&["caa", "www.example.com", "--issuer", issuer], more].concat()
    };
    let report = json(&look(&world, &ask("ca.example", &known)).await, 0);
    assert_eq!(report["decision"]["is"], "allowed");
    let other = text(&look(&world, &ask("other.example", &[])).await, 1);
    assert!(other.contains("-> add example.com CAA 0 issue \"other.example\""), "{other}");
    let open = text(&look(&world, &ask("ca.example", &[])).await, 2);
    assert!(open.contains("say which account will be used"), "{open}");
    let resolvers = [&ask("other.example", &[])[..], &["--recursive-only", "--wildcard"]].concat();
    assert!(text(&look(&world, &resolvers).await, 1).contains("*.www.example.com CAA: forbidden"));
}

#[test]
fn the_embedded_world_has_something_to_explain() {
    let name = "_acme-challenge.app.site.example.com";
    let said = text(&run(&["explain", name, "--embedded"]), 1);
    for part in [
        "claims zone app.site.example.com, the servers of example.com know no such delegation",
        "ok          127.0.0.2:",
        "missing     127.0.0.3:",
        "it answers SERVFAIL",
        "  -> ",
    ] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    text(&run(&["watch", name, "--value", "token", "--embedded", "--deadline", "60s", "--grace", "1s"]), 0);
    text(&run(&["caa", "app.site.example.com", "--issuer", "ca.example", "--embedded"]), 0);
    let wild =
        ["caa", "*.app.site.example.com", "--issuer", "ca.example", "--method", "http-01", "--embedded"];
    text(&run(&wild), 1);
    text(&run(&["caa", "app.site.example.com", "--issuer", "other.example", "--embedded"]), 1);
}

#[test]
fn when_nobody_can_be_asked_it_cannot_tell_and_says_why() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap().to_string();
    let output = run(&["check", NAME, "--value", "token", "--nameserver", &server, "--json"]);
    let document = json(&output, 2);
    assert_eq!(document["error"]["exit_code"], 2);
    assert!(document["error"]["message"].as_str().unwrap().contains(&server), "{document}");
}

#[test]
fn wrong_usage_names_the_remedy() {
    for (arguments, remedy) in [
        (["check", NAME].as_slice(), "--value <TEXT>"),
        (&["check", "a..b", "--value", "t"], "a..b"),
        (&["check", NAME, "--value", "t", "--nameserver", "64:ff9b::8.8.8.8:53"], "add brackets"),
        (&["check", NAME, "--value", "t", "--policy", "most"], "quorum:2"),
        (&["check", NAME, "--value", "t", "--nat64", "maybe"], "auto"),
        (&["check", NAME, "--value", "t", "--dnssec", "maybe"], "require"),
        (&["watch", NAME, "--value", "t", "--deadline", "0"], "one second to a week"),
        (&["explain", "_acme-challenge.example.org", "--embedded"], "_acme-challenge.app.site.example.com"),
        (&["check", NAME, "--value", "t", "--nameserver-for", "10.0.0.1"], "example.com=10.0.0.1"),
        (&["caa", "example.com", "--embedded", "--port", "53"], "cannot be used with"),
        (&["wach"], "watch"),
    ] {
        let output = run(arguments);
        text(&output, 64);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(remedy), "{arguments:?}: {said}");
    }
    let help = Command::new(example("propagation")).arg("--help").output().unwrap();
    assert!(text(&help, 0).contains("Exit codes: 0 propagated"));
}
