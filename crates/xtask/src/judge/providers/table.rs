//! What the tests say, as a table: provider × laws × document × real server.

use std::collections::BTreeMap;

use crate::judge::Outcome;

/// How the tests of each provider went.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<String, Row>,
    /// The vendors' documents that are not here.
    missing: Vec<String>,
}

#[derive(Debug, Default)]
struct Row {
    columns: BTreeMap<Column, Vec<Test>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Laws,
    Document,
    RealServer,
    Rest,
}

#[derive(Debug)]
struct Test {
    name: String,
    passed: bool,
}

impl Table {
    /// Reads what `cargo test` prints.
    pub(super) fn read(said: &str) -> Self {
        let mut table = Self::default();
        for line in said.lines() {
            if let Some((_, path)) = line.split_once("missing: the vendor's document ") {
                let path = path.split(';').next().unwrap_or_default();
                table.missing.push(path.rsplit('/').next().unwrap_or_default().to_owned());
            }
            let Some((path, verdict)) = line.strip_prefix("test ").and_then(|test| test.split_once(" ... "))
            else {
                continue;
            };
            let Some((module, name)) = path.split_once("::") else { continue };
            let Some(provider) = provider_of(module) else { continue };
            let row = table.rows.entry(provider.to_owned()).or_default();
            let test = Test { name: path.to_owned(), passed: verdict == "ok" };
            row.columns.entry(column(module, name)).or_default().push(test);
        }
        table
    }

    /// A line a provider, in the order of their names.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, Outcome)> {
        self.rows.iter().map(|(provider, row)| {
            let failed: Vec<_> = row.failed().map(|test| test.name.as_str()).collect();
            let cells = [
                format!("laws {}", row.cell(Column::Laws)),
                format!("document {}", self.document(provider, row)),
                format!("real server {}", row.cell(Column::RealServer)),
                format!("{} more", row.columns.get(&Column::Rest).map_or(0, Vec::len)),
            ];
            let line = cells.join(" · ");
            let outcome =
                if failed.is_empty() { Ok(line) } else { Err(format!("{line}: {}", failed.join(", "))) };
            (provider.as_str(), outcome)
        })
    }

    /// How many tests failed.
    pub(super) fn failed(&self) -> usize {
        self.rows.values().map(|row| row.failed().count()).sum()
    }

    /// A document that is not here was not judged by, though the test passed.
    fn document(&self, provider: &str, row: &Row) -> &'static str {
        // Tencent's document is called by its vendor, and not by the service.
        let file = if provider == "dnspod" { "tencent-dnspod" } else { provider };
        let is_missing = self.missing.iter().any(|missing| missing.starts_with(file));
        match row.cell(Column::Document) {
            "pass" if is_missing => "missing",
            cell => cell,
        }
    }
}

impl Row {
    fn failed(&self) -> impl Iterator<Item = &Test> {
        self.columns.values().flatten().filter(|test| !test.passed)
    }

    fn cell(&self, column: Column) -> &'static str {
        match self.columns.get(&column) {
            None => "–",
            Some(tests) if tests.iter().all(|test| test.passed) => "pass",
            Some(_) => "fail",
        }
    }
}

/// Whose a module of tests is; `None` for what is no provider's.
fn provider_of(module: &str) -> Option<&str> {
    match module {
        "bind" | "knot" | "primary" | "wire" => Some("rfc2136"),
        "broken" | "documented" | "law" | "mangled" | "pages" | "signatures" => None,
        "moto" => Some("route53"),
        "pdns" => Some("powerdns"),
        "hook" => Some("httpreq, webhook"),
        module => Some(module),
    }
}

fn column(module: &str, name: &str) -> Column {
    match module {
        "bind" | "knot" | "moto" | "pdns" => Column::RealServer,
        _ if name.contains("real") => Column::RealServer,
        _ if name.contains("law") => Column::Laws,
        _ if name.contains("as_documented") => Column::Document,
        _ => Column::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "running 10 tests
test hetzner::every_law_is_kept ... ok
missing: the vendor's document /specs/linode-dns.json; set PERENNIAL_SPECS
test hetzner::what_is_sent_and_answered_is_as_documented ... ok
missing: the vendor's document /specs/tencent-dnspod-20210323-api.json; set PERENNIAL_SPECS
test dnspod::what_is_sent_and_answered_is_as_documented ... ok
test linode::every_law_is_kept ... FAILED
test linode::what_is_sent_and_answered_is_as_documented ... ok
test knot::each_refusal_is_explained ... ok
test primary::every_law_is_kept_over_udp_and_tcp ... ok
test broken::deletes_the_set ... ok
test moto::siblings_stay ... ok
test pdns::siblings_stay ... ok
test powerdns::every_law_is_kept ... ok
test signatures::of_aws ... ok
";

    #[test]
    fn each_provider_has_a_line_and_a_failure_is_named() {
        let table = Table::read(SAID);
        let rows: Vec<_> = table.rows().collect();
        assert_eq!(
            rows,
            [
                ("dnspod", Ok("laws – · document missing · real server – · 0 more".to_owned())),
                ("hetzner", Ok("laws pass · document pass · real server – · 0 more".to_owned())),
                (
                    "linode",
                    Err("laws fail · document missing · real server – · 0 more: linode::every_law_is_kept"
                        .to_owned())
                ),
                ("powerdns", Ok("laws pass · document – · real server pass · 0 more".to_owned())),
                ("rfc2136", Ok("laws pass · document – · real server pass · 0 more".to_owned())),
                ("route53", Ok("laws – · document – · real server pass · 0 more".to_owned())),
            ]
        );
        assert_eq!(table.failed(), 1);
    }
}
