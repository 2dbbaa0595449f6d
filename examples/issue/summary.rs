//! What is printed when it is done.

use std::path::PathBuf;

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
    if json {
        println!("{:#}", as_json(issued, renews_at, reports, files));
        return;
    }
    for report in reports {
        println!("{}\n", report.to_string().trim_end());
    }
    let facts = issued.facts();
    let names: Vec<_> = facts.names.iter().map(AsRef::<str>::as_ref).collect();
    println!("Certificate");
    println!("  names      {}", names.join(", "));
    println!("  issuer     {}", facts.issuer);
    println!("  serial     {}", facts.serial);
    println!(
        "  valid      {} to {} ({} days)",
        facts.not_before,
        facts.not_after,
        facts.lifetime().as_secs() / 86_400
    );
    println!("  renews at  {renews_at}");
    for (name, path) in files {
        println!("  {:<14} {}", name, path.display());
    }
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
