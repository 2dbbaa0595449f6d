//! What is printed when it is done.

use std::{io::Write as _, path::PathBuf};

use perennial::{
    CertificateSpec,
    core::Timestamp,
    lifecycle::{
        Issued,
        schedule::{Life, Spread, due},
    },
    propagation::Report,
};

/// The certificate, the files and the propagation reports: for people, or as JSON.
pub(crate) fn print(
    spec: &CertificateSpec,
    issued: &Issued,
    reports: &[Report],
    files: &[(&'static str, PathBuf)],
    json: bool,
) {
    let renews_at =
        due(Life::new(issued.facts(), issued.issued_at()), *spec.renewal_policy(), Spread::of(spec.id()));
    say(&if json {
        format!("{:#}\n", as_json(issued, renews_at, reports, files))
    } else {
        as_text(issued, renews_at, reports, files)
    });
}

/// Puts text on standard output. That nobody reads it any more is no reason to fail: the files are written.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn as_text(
    issued: &Issued,
    renews_at: Timestamp,
    reports: &[Report],
    files: &[(&'static str, PathBuf)],
) -> String {
    let mut lines: Vec<String> =
        reports.iter().map(|report| format!("{}\n", report.to_string().trim_end())).collect();
    let facts = issued.facts();
    let names: Vec<_> = facts.names.iter().map(AsRef::<str>::as_ref).collect();
    lines.push("Certificate".to_owned());
    lines.push(format!("  names      {}", names.join(", ")));
    lines.push(format!("  issuer     {}", facts.issuer));
    lines.push(format!("  serial     {}", facts.serial));
    let days = facts.lifetime().as_secs() / 86_400;
    lines.push(format!("  valid      {} to {} ({days} days)", facts.not_before, facts.not_after));
    lines.push(format!("  renews at  {renews_at}"));
    lines.extend(files.iter().map(|(name, path)| format!("  {name:<14} {}", path.display())));
    lines.push(String::new());
    lines.join("\n")
}

fn as_json(
    issued: &Issued,
    renews_at: Timestamp,
    reports: &[Report],
    files: &[(&'static str, PathBuf)],
) -> serde_json::Value {
    let facts = issued.facts();
    let files: serde_json::Map<_, _> =
        files.iter().map(|(name, path)| ((*name).to_owned(), path.display().to_string().into())).collect();
    serde_json::json!({
        "names": facts.names,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "fingerprint_sha256": facts.fingerprint,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "renews_at": renews_at,
        "files": files,
        "propagation": reports,
    })
}
