//! The four PEM files that servers read: `cert.pem`, `chain.pem`, `fullchain.pem` and `privkey.pem` (RFC 7468).

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use perennial_core::SecretString;

use crate::{
    StoreError,
    durable::{self, Disk, Mode, io_error},
};

/// A certificate as the four PEM files that servers read, under the names that certbot made common.
///
/// | file | holds | readable by |
/// |---|---|---|
/// | `cert.pem` | the leaf | everybody |
/// | `chain.pem` | the intermediates | everybody |
/// | `fullchain.pem` | the leaf, then the intermediates | everybody |
/// | `privkey.pem` | the private key, PKCS#8 | the owner alone (0600) |
#[derive(Clone)]
pub struct PemSet {
    certificate: String,
    chain: String,
    fullchain: String,
    private_key: SecretString,
}

impl PemSet {
    /// Splits a PEM chain, leaf first, after its leaf.
    #[must_use]
    pub fn new(fullchain: &str, private_key: SecretString) -> Self {
        let (certificate, chain) = split_leaf(fullchain);
        Self {
            certificate: certificate.to_owned(),
            chain: chain.to_owned(),
            fullchain: fullchain.to_owned(),
            private_key,
        }
    }

    /// The leaf alone.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The intermediates.
    #[must_use]
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The leaf and the intermediates.
    #[must_use]
    pub fn fullchain(&self) -> &str {
        &self.fullchain
    }

    /// The private key.
    #[must_use]
    pub const fn private_key(&self) -> &SecretString {
        &self.private_key
    }

    /// Writes the four files.
    ///
    /// A directory that does not exist yet appears whole or not at all. In one that exists, each file is
    /// replaced atomically, the key first; a server that must never see a new key beside an old certificate
    /// reads the file store's `current` link instead, which flips all four at once.
    ///
    /// # Errors
    /// [`StoreError::Io`] with the file and the operating system's reason.
    pub fn write_to(&self, directory: impl AsRef<Path>) -> Result<(), StoreError> {
        let (disk, directory) = (Disk::default(), directory.as_ref());
        if directory.exists() {
            return self.write_files(directory);
        }
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            disk.create_directory(parent)?;
        }
        let temporary = durable::temporary_beside(directory);
        let written =
            disk.create_directory(&temporary).and_then(|()| self.write_files(&temporary)).and_then(|()| {
                fs::rename(&temporary, directory).map_err(|error| io_error("create", directory, &error))
            });
        if written.is_err() {
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        disk.sync_directory(parent).map_err(|error| io_error("make durable", directory, &error))
    }

    pub(crate) fn write_files(&self, directory: &Path) -> Result<(), StoreError> {
        let (disk, key) = (Disk::default(), self.private_key.expose().as_bytes());
        disk.replace(&directory.join("privkey.pem"), key, Mode::Private)?;
        write_chain(&disk, directory, &self.fullchain)
    }
}

/// The three public files of a PEM chain.
pub(crate) fn write_chain(disk: &Disk, directory: &Path, fullchain: &str) -> Result<(), StoreError> {
    let (certificate, chain) = split_leaf(fullchain);
    for (name, content) in [("chain.pem", chain), ("cert.pem", certificate), ("fullchain.pem", fullchain)] {
        disk.replace(&directory.join(name), content.as_bytes(), Mode::Public)?;
    }
    Ok(())
}

/// The leaf and the rest of a PEM chain; the rest begins at the next `BEGIN`.
fn split_leaf(fullchain: &str) -> (&str, &str) {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    let second = fullchain.match_indices(BEGIN).nth(1).map_or(fullchain.len(), |(at, _)| at);
    fullchain.split_at(second)
}

/// One PEM section with lines of 64 characters (RFC 7468 §2).
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const REST: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

    fn set() -> PemSet {
        PemSet::new(&format!("{LEAF}{REST}"), SecretString::new("key"))
    }

    #[test]
    fn the_chain_is_split_after_its_leaf() {
        assert_eq!((set().certificate(), set().chain()), (LEAF, REST));
        let alone = PemSet::new(LEAF, SecretString::new("key"));
        assert_eq!((alone.certificate(), alone.chain()), (LEAF, ""));
    }

    #[test]
    fn a_new_directory_holds_four_files_and_an_old_one_keeps_its_others() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("a/out");
        set().write_to(&out).unwrap();
        fs::write(out.join("mine.txt"), "mine").unwrap();
        set().write_to(&out).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["cert.pem", "chain.pem", "fullchain.pem", "mine.txt", "privkey.pem"]);
        assert_eq!(fs::read_to_string(out.join("fullchain.pem")).unwrap(), format!("{LEAF}{REST}"));
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_cannot_appear_leaves_nothing_beside() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        std::os::unix::fs::symlink("nowhere", &out).unwrap();
        let error = set().write_to(&out).unwrap_err();
        assert!(error.to_string().contains("/out"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "a key was left beside");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_the_key_and_everybody_the_certificate() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        set().write_to(&out).unwrap();
        let mode = |name: &str| fs::metadata(out.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("privkey.pem"), mode("cert.pem")), (0o600, 0o644));
    }
}
