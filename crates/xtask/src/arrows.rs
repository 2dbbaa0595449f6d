//! `cargo xtask arrows`: who may know whom, and what must never be in a tree.
//!
//! The picture of the crates is only true while somebody compares it with the manifests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    Error,
    metadata::{Kind, Metadata, Package},
    shell,
};

/// One crate of the picture.
struct Row {
    name: &'static str,
    /// The crates of the workspace that it may depend on.
    knows: &'static [&'static str],
    /// The ones that its tests may use besides.
    tests_with: &'static [&'static str],
}

const CORE: &str = "perennial-core";
const ACME: &str = "perennial-acme";
const PROPAGATION: &str = "perennial-propagation";
const PROVIDERS: &str = "perennial-providers";
const LIFECYCLE: &str = "perennial-lifecycle";
const ISSUERS: &str = "perennial-issuers";
const POSTGRES: &str = "perennial-postgres";
const TESTKIT: &str = "perennial-testkit";

/// The picture of docs/architecture.md. Packages that are not published are free: programs, benches, this one.
const PICTURE: &[Row] = &[
    Row { name: CORE, knows: &[], tests_with: &[] },
    Row { name: ACME, knows: &[CORE], tests_with: &[TESTKIT] },
    Row { name: PROPAGATION, knows: &[CORE], tests_with: &[TESTKIT] },
    Row { name: PROVIDERS, knows: &[CORE], tests_with: &[TESTKIT] },
    Row { name: LIFECYCLE, knows: &[CORE], tests_with: &[TESTKIT] },
    Row { name: TESTKIT, knows: &[CORE], tests_with: &[] },
    Row { name: POSTGRES, knows: &[CORE, LIFECYCLE], tests_with: &[TESTKIT] },
    Row { name: ISSUERS, knows: &[CORE, ACME, PROPAGATION, PROVIDERS, LIFECYCLE], tests_with: &[TESTKIT] },
    Row {
        name: "perennial",
        knows: &[CORE, ACME, PROPAGATION, PROVIDERS, LIFECYCLE, ISSUERS, POSTGRES],
        tests_with: &[TESTKIT],
    },
];

/// Cryptography in C with a build of its own: the workspace is pure Rust and ring.
const NEVER: &[&str] = &["aws-lc-rs", "aws-lc-sys", "native-tls", "openssl", "openssl-sys"];

/// What the ACME crate without its default features must do without: who brings an HTTP client and a clock of
/// their own, or a signing request, gets no second one.
const NEVER_IN_BARE_ACME: &[&str] = &["hyper", "rcgen", "reqwest", "tokio"];

/// Compares the picture with the manifests and with the trees that cargo resolves.
pub(crate) fn check() -> Result<(), Error> {
    let metadata = Metadata::read()?;
    let bare = ["tree", "-e", "normal", "-p", ACME, "--no-default-features", "--prefix", "none"];
    let tree = shell::read(shell::cargo(bare))?;
    let wrong = [wrong_arrows(&metadata), forbidden(&metadata), impure(&tree)].concat();
    for violation in &wrong {
        println!("arrows: {violation}");
    }
    if wrong.is_empty() {
        println!(
            "arrows: ok, {} crates",
            metadata.members().filter(|package| package.is_published()).count()
        );
        return Ok(());
    }
    Err(Error::WrongArrows { count: wrong.len() })
}

/// Every dependency between crates of the workspace that the picture does not have.
fn wrong_arrows(metadata: &Metadata) -> Vec<String> {
    let members: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let published = metadata.members().filter(|package| package.is_published());
    published.flat_map(|package| wrong_arrows_of(package, &members)).collect()
}

fn wrong_arrows_of(package: &Package, members: &BTreeSet<&str>) -> Vec<String> {
    let name = package.name.as_str();
    let Some(row) = PICTURE.iter().find(|row| row.name == name) else {
        return vec![format!("{name} is not in the picture: give it a row in crates/xtask/src/arrows.rs")];
    };
    let among_us = package.dependencies.iter().filter(|other| members.contains(other.name.as_str()));
    among_us.filter_map(|other| wrong_arrow(row, &other.name, other.kind)).collect()
}

fn wrong_arrow(row: &Row, other: &str, kind: Option<Kind>) -> Option<String> {
    let name = row.name;
    // A crate's tests may turn on features of what it knows anyway.
    let allowed = row.knows.contains(&other) || (kind == Some(Kind::Dev) && row.tests_with.contains(&other));
    if allowed {
        return None;
    }
    Some(if kind == Some(Kind::Dev) {
        format!("the tests of {name} must not use {other}: move them to a crate that knows both")
    } else if row.tests_with.contains(&other) {
        format!("{name} must not depend on {other} outside its tests: move it to [dev-dependencies]")
    } else {
        let knows = if row.knows.is_empty() { "nobody".to_owned() } else { row.knows.join(", ") };
        format!(
            "{name} must not depend on {other}, it knows {knows}: \
             take what it needs as an argument, or move the meeting of both to {ISSUERS}"
        )
    })
}

/// Every package of [`NEVER`] that a published crate reaches, with the way to it.
fn forbidden(metadata: &Metadata) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let graph = normal_edges(metadata);
    let published = metadata.members().filter(|package| package.is_published());
    published
        .flat_map(|package| {
            let ways = ways_from(&package.id, &graph);
            let found = ways.into_iter().filter(|way| {
                way.last().and_then(|id| names.get(id)).is_some_and(|name| NEVER.contains(name))
            });
            found.collect::<Vec<_>>()
        })
        .map(|way| {
            let way: Vec<&str> = way.iter().filter_map(|id| names.get(id).copied()).collect();
            let last = way.last().copied().unwrap_or_default();
            format!(
                "{last} must not be in the tree: {}; turn off the feature that brings it",
                way.join(" -> ")
            )
        })
        .collect()
}

/// Who needs whom to run: neither tests nor build scripts count, they never reach a user's program.
fn normal_edges(metadata: &Metadata) -> BTreeMap<&str, Vec<&str>> {
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    nodes
        .map(|node| {
            let normal =
                node.deps.iter().filter(|other| other.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            (node.id.as_str(), normal.map(|other| other.pkg.as_str()).collect())
        })
        .collect()
}

/// The shortest way to every package that can be reached.
fn ways_from<'a>(start: &'a str, graph: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<Vec<&'a str>> {
    let mut seen = BTreeSet::from([start]);
    let mut ways = Vec::new();
    let mut waiting = VecDeque::from([vec![start]]);
    while let Some(way) = waiting.pop_front() {
        let next = way.last().and_then(|last| graph.get(last)).into_iter().flatten();
        for &next in next {
            if seen.insert(next) {
                waiting.push_back([way.as_slice(), &[next]].concat());
            }
        }
        ways.push(way);
    }
    ways
}

/// What `cargo tree --prefix none` lists and [`NEVER_IN_BARE_ACME`] forbids.
fn impure(tree: &str) -> Vec<String> {
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let found = NEVER_IN_BARE_ACME.iter().filter(|name| names.contains(*name));
    found
        .map(|name| {
            format!("{ACME} without default features must not need {name}: put it behind a default feature")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Two members, `perennial-acme` and `perennial-core`, as they should be; and one package from outside.
    fn picture() -> Value {
        let edge = |to: &str, kind: Value| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] });
        json!({
            "target_directory": "/target",
            "workspace_members": ["acme", "core", "propagation", "testkit", "benches"],
            "packages": [
                package("acme", "perennial-acme", &[(CORE, Value::Null), (TESTKIT, json!("dev"))]),
                package("core", "perennial-core", &[]),
                package("propagation", "perennial-propagation", &[(CORE, Value::Null)]),
                package("testkit", "perennial-testkit", &[(CORE, Value::Null)]),
                json!({ "id": "benches", "name": "benches", "publish": [], "targets": [], "dependencies": [
                    { "name": "perennial-acme", "kind": null }, { "name": "perennial-propagation", "kind": null },
                ] }),
                package("http", "some-http", &[]),
                package("ssl", "openssl-sys", &[]),
            ],
            "resolve": { "nodes": [
                { "id": "acme", "deps": [edge("core", Value::Null), edge("http", Value::Null)] },
                { "id": "core", "deps": [] },
                { "id": "http", "deps": [edge("ssl", json!("dev")), edge("ssl", json!("build"))] },
                { "id": "ssl", "deps": [] },
            ] },
        })
    }

    fn package(id: &str, name: &str, dependencies: &[(&str, Value)]) -> Value {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        json!({ "id": id, "name": name, "publish": null, "targets": [], "dependencies": dependencies })
    }

    fn violations(picture: Value) -> Vec<String> {
        let metadata = serde_json::from_value(picture).unwrap();
        [wrong_arrows(&metadata), forbidden(&metadata)].concat()
    }

    /// The picture with one more dependency of a package.
    fn with(package: usize, name: &str, kind: Value) -> Vec<String> {
        let mut picture = picture();
        let dependencies = picture["packages"][package]["dependencies"].as_array_mut().unwrap();
        dependencies.push(json!({ "name": name, "kind": kind }));
        violations(picture)
    }

    #[test]
    fn the_picture_as_it_should_be_has_no_wrong_arrow() {
        assert_eq!(violations(picture()), [""; 0]);
    }

    #[test]
    fn siblings_must_not_know_each_other() {
        let [wrong] = &with(0, "perennial-propagation", Value::Null)[..] else {
            panic!("one arrow is wrong")
        };
        assert!(wrong.starts_with(
            "perennial-acme must not depend on perennial-propagation, it knows perennial-core:"
        ));
    }

    #[test]
    fn core_knows_nobody_not_even_in_tests() {
        assert!(with(1, ACME, Value::Null)[0].contains("it knows nobody"));
        assert!(with(1, TESTKIT, json!("dev"))[0].starts_with("the tests of perennial-core must not use"));
    }

    #[test]
    fn a_build_script_is_no_way_around_the_picture() {
        assert_eq!(with(0, "perennial-propagation", json!("build")).len(), 1);
    }

    #[test]
    fn the_testkit_belongs_to_tests_and_must_not_know_what_it_judges() {
        assert!(with(2, TESTKIT, Value::Null)[0].ends_with("move it to [dev-dependencies]"));
        assert!(with(3, ACME, json!("dev"))[0].starts_with("the tests of perennial-testkit must not use"));
    }

    #[test]
    fn a_crate_that_the_picture_does_not_have_is_named() {
        let mut picture = picture();
        picture["packages"][2]["name"] = json!("perennial-surprise");
        assert!(violations(picture)[0].starts_with("perennial-surprise is not in the picture"));
    }

    #[test]
    fn a_forbidden_package_is_named_with_the_way_to_it() {
        let mut picture = picture();
        picture["resolve"]["nodes"][2]["deps"][0]["dep_kinds"][0]["kind"] = Value::Null;
        assert_eq!(
            violations(picture),
            ["openssl-sys must not be in the tree: perennial-acme -> some-http -> openssl-sys; \
              turn off the feature that brings it"]
        );
    }

    #[test]
    fn bare_acme_must_not_need_a_runtime() {
        assert_eq!(impure("perennial-acme v0.1.0 (/x)\nhttp v1.3.1\ntokio-macros v2.0.0\n"), [""; 0]);
        let wrong = impure("perennial-acme v0.1.0 (/x)\ntokio v1.45.0 (*)\n");
        assert!(matches!(&wrong[..], [one] if one.contains("must not need tokio")), "{wrong:?}");
    }
}
