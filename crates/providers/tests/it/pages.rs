//! Every kind of provider has its page, all built alike, and its row in the table of all.

use std::{fs, path::Path};

use perennial_providers::Registry;

/// What a page says, in this order.
const HEADINGS: [&str; 6] = ["Credentials", "Options", "Quirks", "Limits", "Verified against", "Sources"];

#[test]
fn every_kind_has_a_page_and_a_row() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers");
    let table = fs::read_to_string(pages.join("README.md")).unwrap();
    for (kind, factory) in Registry::standard().kinds() {
        let page = fs::read_to_string(pages.join(format!("{kind}.md")));
        let page = page.unwrap_or_else(|error| panic!("{kind} has no page: {error}"));
        assert!(page.starts_with(&format!("# `{kind}`: ")), "{kind}'s page has another title");
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, HEADINGS, "on {kind}'s page");
        let options = page.split("\n## ").find(|part| part.starts_with("Options\n")).unwrap_or_default();
        for option in factory.options().iter().map(|option| option.name) {
            assert!(options.contains(&format!("`{option}`")), "{kind}'s page does not tell of `{option}`");
        }
        // Which version of the interface it is, and when that ends: "no end is announced" counts.
        let beginning = page.split("\n## ").next().unwrap_or_default();
        assert!(beginning.contains("announced"), "{kind}'s page says nothing of the interface's end");
        assert!(table.contains(&format!("\n| [`{kind}`]({kind}.md) | ")), "{kind} has no row");
    }
}
