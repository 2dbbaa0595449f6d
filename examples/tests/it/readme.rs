//! The README's first code block is `wildcard.rs`, and it obtains and keeps a certificate.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use perennial_testkit::World;

use crate::example;

/// The program of the README: everything below the headings of `wildcard.rs`.
fn program() -> String {
    let source = include_str!("../../wildcard.rs");
    let begins = source.find("use perennial::").unwrap();
    source[begins..].trim_end().to_owned()
}

#[test]
fn the_first_code_block_of_the_readme_is_the_program() {
    let readme = include_str!("../../../README.md");
    let (_, block) = readme.split_once("```rust,no_run\n").unwrap();
    let (block, _) = block.split_once("\n```").unwrap();
    assert_eq!(block, program());
}

#[test]
fn it_is_about_twenty_lines() {
    let lines = program().lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 25, "{lines} lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_obtains_a_wildcard_certificate_and_takes_it_up_again() {
    let world = World::builder().zone("example.com").build().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let roots = directory.path().join("roots.pem");
    std::fs::write(&roots, world.ca().https_root_pem()).unwrap();
    let mut orders = Vec::new();
    for _ in 0..2 {
        let mut child = Command::new(example("wildcard"))
            .current_dir(directory.path())
            .env("ACME_DIRECTORY", world.ca().directory_url())
            .env("SSL_CERT_FILE", &roots)
            .env("PERENNIAL_NAMESERVERS", world.resolver().to_string())
            .env("PERENNIAL_AUTHORITATIVE_PORT", world.authoritative_port().to_string())
            .env("PERENNIAL_RFC2136_SERVER", world.primary().to_string())
            .env("PERENNIAL_RFC2136_KEY_NAME", world.tsig().name.as_str())
            .env("PERENNIAL_RFC2136_ALGORITHM", world.tsig().algorithm.to_string())
            .env("PERENNIAL_RFC2136_SECRET", &world.tsig().secret_base64)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let line = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next());
        let line = line.await.unwrap().expect("it ended without a word").unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(line.starts_with("wildcard serves until 2"), "{line}");
        orders.push(world.ca().certificates().len());
    }
    assert_eq!(orders, [1, 1], "the second start takes up what the first one got");
    let current = directory.path().join("certificates/certificates/wildcard/current");
    let chain = std::fs::read(current.join("fullchain.pem")).unwrap();
    let facts = perennial::lifecycle::Facts::from_pem(&chain).unwrap();
    assert_eq!(
        facts.names.iter().map(AsRef::<str>::as_ref).collect::<Vec<_>>(),
        ["*.example.com", "example.com"]
    );
    let owner = "_acme-challenge.example.com";
    assert_eq!(world.zone().txt_values(owner), Vec::<String>::new(), "a challenge record was left");
}
