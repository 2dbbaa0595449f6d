//! Every kind of provider has its page, and its row in the table of all.

use std::{fs, path::Path};

use perennial_providers::Registry;

#[test]
fn every_kind_has_a_page_and_a_row() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/providers");
    let table = fs::read_to_string(pages.join("README.md")).unwrap();
    for (kind, _) in Registry::standard().kinds() {
        assert!(pages.join(format!("{kind}.md")).is_file(), "{kind} has no page");
        assert!(table.contains(&format!("\n| [`{kind}`]({kind}.md) | ")), "{kind} has no row");
    }
}
