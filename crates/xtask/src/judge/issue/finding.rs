//! What is to be found after a run.

use std::{os::unix::fs::PermissionsExt, path::Path};

use perennial_testkit::real::Tool;

use super::{
    Outcome, Setting, ZONE,
    run::{Run, last_lines},
    scene::Scene,
    text,
};
use crate::shell;

/// Success, and a report that programs can read.
pub(super) fn issued(run: &Run) -> Outcome {
    if run.code != Some(0) {
        return Err(run.to_string());
    }
    let documents: Result<Vec<serde_json::Value>, _> =
        serde_json::Deserializer::from_str(&run.stdout).into_iter().collect();
    match documents {
        Ok(documents) if documents.is_empty() => Err("--json printed nothing".to_owned()),
        Ok(_) => Ok(format!("in {:.1} s", run.elapsed.as_secs_f32())),
        Err(error) => Err(format!("--json printed no JSON: {error}: {}", last_lines(&run.stdout, 3))),
    }
}

/// The certificate, read with the eyes of OpenSSL.
pub(super) async fn certificate(scene: &Scene<'_>, run: &Run) -> Outcome {
    let (certificate, chain) = (run.file("cert.pem")?, run.file("chain.pem")?);
    let root = certificate.with_file_name("pebble-root.pem");
    text(std::fs::write(&root, text(scene.pebble.issuer_root_pem().await)?))?;
    let ask = ["x509", "-noout", "-subject", "-ext", "subjectAltName", "-dates", "-in"];
    let said = openssl(scene.setting, &ask, &[&certificate])?;
    for name in [ZONE, "*.example.test"] {
        if !said.contains(&format!("DNS:{name}")) {
            return Err(format!("{name} is not in the certificate: {said}"));
        }
    }
    let verify = ["verify", "-x509_strict", "-CAfile"];
    openssl(scene.setting, &verify, &[&root, Path::new("-untrusted"), &chain, &certificate])?;
    let until = said.lines().find(|line| line.starts_with("notAfter")).unwrap_or_default();
    Ok(format!("{until}, verified to the root"))
}

/// The private key: for its owner's eyes only, and the one that was certified.
pub(super) fn key(setting: &Setting, run: &Run) -> Outcome {
    let (certificate, key) = (run.file("cert.pem")?, run.file("privkey.pem")?);
    let mode = text(std::fs::metadata(&key))?.permissions().mode() & 0o777;
    if mode != 0o600 {
        return Err(format!("privkey.pem has mode {mode:o}, not 600"));
    }
    let of_key = openssl(setting, &["pkey", "-pubout", "-in"], &[&key])?;
    let of_certificate = openssl(setting, &["x509", "-noout", "-pubkey", "-in"], &[&certificate])?;
    if of_key != of_certificate {
        return Err("privkey.pem is not the key of cert.pem".to_owned());
    }
    Ok("mode 600, the certificate's own".to_owned())
}

/// A failure that is told and is no crash.
pub(super) fn refused(run: &Run, mentions: &[&str]) -> Outcome {
    if matches!(run.code, None | Some(0)) {
        return Err(format!("it did not fail as it should: {run}"));
    }
    if run.stderr.contains("panicked at") {
        return Err(format!("it crashed: {run}"));
    }
    let telling = run.stderr.lines().find(|line| {
        let line = line.to_lowercase();
        mentions.iter().any(|word| line.contains(&word.to_lowercase()))
    });
    let telling = telling.ok_or_else(|| format!("the message mentions none of {mentions:?}: {run}"))?;
    Ok(format!("after {:.1} s: {telling}", run.elapsed.as_secs_f32()))
}

/// A run that failed leaves neither a part of a certificate nor a temporary file.
pub(super) fn nothing_written(run: &Run) -> Outcome {
    let directory = run.directory.as_ref().ok_or("it did not run")?.path().join("out");
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let written: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            matches!(name.as_str(), "cert.pem" | "chain.pem" | "fullchain.pem" | "privkey.pem")
                || name.contains("tmp")
        })
        .collect();
    if written.is_empty() { Ok(String::new()) } else { Err(format!("half written: {}", written.join(", "))) }
}

fn openssl(setting: &Setting, arguments: &[&str], files: &[&Path]) -> Outcome {
    let component = text(setting.components.find(Tool::Openssl))?;
    let mut command = component.command();
    command.args(arguments).args(files);
    text(shell::read(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, stdout: &str, stderr: &str) -> Run {
        Run { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned(), ..Run::default() }
    }

    #[test]
    fn a_success_is_only_one_with_a_report_in_json() {
        assert!(issued(&ended(0, "{\"a\": 1}\n{\"b\": 2}\n", "")).is_ok());
        assert!(issued(&ended(1, "{}", "")).is_err());
        assert!(issued(&ended(0, "", "")).is_err());
        assert!(issued(&ended(0, "done", "")).is_err());
        assert!(issued(&Run::default()).is_err());
    }

    #[test]
    fn a_refusal_fails_without_a_crash_and_names_the_matter() {
        assert!(refused(&ended(2, "", "error: a Key-Name is missing"), &["other", "key-name"]).is_ok());
        assert!(refused(&ended(0, "", "a key-name is missing"), &["key-name"]).is_err());
        assert!(refused(&ended(1, "", "error"), &["key-name"]).is_err());
        assert!(refused(&ended(101, "", "thread 'main' panicked at key-name"), &["key-name"]).is_err());
        assert!(refused(&Run::default(), &[""]).is_err());
    }

    #[test]
    fn a_part_of_a_certificate_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let path = out.join("privkey.pem");
        let run = Run { directory: Some(directory), ..Run::default() };
        assert!(nothing_written(&run).is_ok());
        std::fs::create_dir(&out).unwrap();
        assert!(nothing_written(&run).is_ok());
        std::fs::write(path, "").unwrap();
        assert_eq!(nothing_written(&run), Err("half written: privkey.pem".to_owned()));
    }
}
