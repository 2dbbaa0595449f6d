//! Signed zones (DNSSEC, RFC 4033 to 4035), by BIND's own tools: well signed, or long ago.

use std::{net::IpAddr, path::Path};

use super::{Components, Error, Tool, ZoneFile, launch};

/// A zone with signatures and the key that made them.
///
/// One key does everything (a "combined signing key"), ECDSA P-256. The zone is as it was signed: whoever
/// serves it must not change it.
#[derive(Clone, Debug)]
pub struct SignedZone {
    zone: ZoneFile,
    key: String,
    delegation_signers: Vec<String>,
}

/// Of when the signatures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signatures {
    /// Over since yesterday: resolvers forgive an hour or two, for clocks differ.
    Expired,
    /// From an hour ago to tomorrow.
    Valid,
}

impl SignedZone {
    /// Makes a key and signs the zone with it. A zone without name servers gets one at `address`.
    ///
    /// # Errors
    /// [`Error::Missing`] without BIND's tools, [`Error::Control`] with what they say.
    pub async fn sign(
        zone: &ZoneFile,
        address: impl Into<IpAddr>,
        signatures: Signatures,
    ) -> Result<Self, Error> {
        let components = Components::locate();
        let directory = launch::directory()?;
        let home = directory.path();
        let origin = zone.origin();
        launch::write(&home.join("zone"), &zone.clone().served_at(address.into()).render())?;
        let mut keygen = components.find(Tool::DnssecKeygen)?.command();
        keygen.args(["-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K"]).arg(home).arg(origin);
        launch::control(keygen).await?;
        let [from, until] = match signatures {
            Signatures::Expired => ["now-172800", "now-86400"],
            Signatures::Valid => ["now-3600", "now+86400"],
        };
        let mut signzone = components.find(Tool::DnssecSignzone)?.command();
        // -P: it would find out that signatures which are over prove nothing, and refuse.
        signzone.args(["-q", "-S", "-z", "-P", "-s", from, "-e", until, "-o", origin, "-f"]);
        signzone.arg(home.join("signed")).arg("-K").arg(home).arg("-d").arg(home).arg(home.join("zone"));
        launch::control(signzone).await?;
        let key = records(&home.join(file_of(home, |name| name.ends_with(".key"))?))?;
        let signers = records(&home.join(file_of(home, |name| name.starts_with("dsset-"))?))?;
        Ok(Self {
            zone: ZoneFile::written(origin, read(&home.join("signed"))?),
            key: key.into_iter().next().unwrap_or_default(),
            delegation_signers: signers,
        })
    }

    /// The zone with its signatures.
    #[must_use]
    pub const fn zone(&self) -> &ZoneFile {
        &self.zone
    }

    /// Its key, a DNSKEY record as a line of a master file: what a resolver trusts
    /// ([`trust_anchor`](super::UnboundBuilder::trust_anchor)) that is to begin here.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The DS records that the zone above should have, as lines of a master file.
    #[must_use]
    pub fn delegation_signers(&self) -> &[String] {
        &self.delegation_signers
    }
}

/// The name of the one file in the directory that the tools have made and named themselves.
fn file_of(home: &Path, wanted: impl Fn(&str) -> bool) -> Result<String, Error> {
    let entries = std::fs::read_dir(home).map_err(|error| launch::file(home, &error))?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let missing = || std::io::Error::other("the key or its digest is missing");
    Ok(names.find(|name| wanted(name)).ok_or_else(|| launch::file(home, &missing()))?)
}

/// The lines of a file without its comments.
fn records(path: &Path) -> Result<Vec<String>, Error> {
    let text = read(path)?;
    Ok(text.lines().filter(|line| !line.starts_with(';') && !line.is_empty()).map(str::to_owned).collect())
}

fn read(path: &Path) -> Result<String, Error> {
    Ok(std::fs::read_to_string(path).map_err(|error| launch::file(path, &error))?)
}
