//! Packages of the machine's own distribution, unpacked into a directory.
//!
//! apt keeps its lists and its cache below a directory of ours, so that it needs no right to the machine's and
//! changes nothing there; what it trusts are the machine's own keys.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, shell};

/// The Debian suites to take the newest Pebble from, the newest first.
pub(super) const NEWER_SUITES: [&str; 2] = ["sid", "trixie"];

/// The Debian suite that has Pebble 2.4.
pub(super) const OLDER_SUITE: &str = "bookworm";

/// An apt of our own.
pub(super) struct Apt {
    options: Vec<String>,
}

/// A directory that packages were unpacked into.
pub(super) struct Unpacked {
    root: PathBuf,
    /// Package and version.
    packages: Vec<(String, String)>,
}

impl Apt {
    /// The packages that the machine's own sources list, or `None` without apt.
    pub(super) fn of_this_machine(home: &Path) -> Option<Self> {
        Self::new(&home.join("apt"), None)
    }

    /// The packages of [`NEWER_SUITES`] and [`OLDER_SUITE`] on the mirror that the machine itself uses; `None`
    /// where that is no Debian mirror.
    pub(super) fn of_other_suites(home: &Path) -> Option<Self> {
        let release = std::fs::read_to_string("/etc/os-release").ok()?;
        let codename = codename_of_debian(&release)?;
        let mirror = source_files().iter().find_map(|text| mirror_of(text, codename))?;
        let home = home.join("apt-suites");
        let parts = home.join("sources");
        std::fs::create_dir_all(&parts).ok()?;
        std::fs::write(parts.join("suites.sources"), mirror.other_sources()).ok()?;
        Self::new(&home, Some(&parts))
    }

    fn new(home: &Path, sources: Option<&Path>) -> Option<Self> {
        for directory in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(home.join(directory)).ok()?;
        }
        let mut settings = vec![
            format!("Dir::State::lists={}", home.join("lists").display()),
            format!("Dir::Cache={}", home.join("cache").display()),
            // apt's own user may not be allowed into our directory.
            "APT::Sandbox::User=root".to_owned(),
            // Neither translations nor icons.
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ];
        if let Some(parts) = sources {
            settings.push("Dir::Etc::sourcelist=/dev/null".to_owned());
            settings.push(format!("Dir::Etc::sourceparts={}", parts.display()));
        }
        let options = settings.into_iter().flat_map(|setting| ["-o".to_owned(), setting]).collect();
        let apt = Self { options };
        // A source that cannot be reached is no reason to stop: what is needed may come from the others.
        shell::output(apt.get(["update", "--quiet"])).ok()?;
        Some(apt)
    }

    /// These packages and what they need that is not installed.
    pub(super) fn with_dependencies(&self, packages: &[String]) -> Result<Vec<String>, Error> {
        let mut command = self.get(["install", "--simulate", "--no-install-recommends"]);
        command.args(packages);
        Ok(to_be_installed(&shell::read(command)?))
    }

    /// Downloads packages, checks them against the signed lists and unpacks them into one directory, which
    /// appears when all is in it.
    pub(super) fn unpack(&self, packages: &[String], directory: &Path) -> Result<Unpacked, Error> {
        let unusable = |error: std::io::Error| Error::file(directory, error);
        let parent = directory.parent().unwrap_or(directory);
        let scratch = tempfile::tempdir_in(parent).map_err(unusable)?;
        let mut download = self.get(["download"]);
        download.args(packages).current_dir(scratch.path());
        shell::read(download)?;
        let root = scratch.path().join("root");
        let mut versions = Vec::new();
        for entry in std::fs::read_dir(scratch.path()).map_err(unusable)?.flatten() {
            let archive = entry.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                let field = |name| {
                    shell::read(shell::program("dpkg-deb", ["-f".as_ref(), archive.as_os_str(), name]))
                };
                versions.push((field("Package".as_ref())?, field("Version".as_ref())?));
                shell::read(shell::program(
                    "dpkg-deb",
                    ["-x".as_ref(), archive.as_os_str(), root.as_os_str()],
                ))?;
            }
        }
        bring_home(&root.join(JAVA), JAVA_DEPTH).map_err(unusable)?;
        if directory.exists() {
            std::fs::remove_dir_all(directory).map_err(unusable)?;
        }
        std::fs::rename(&root, directory).map_err(unusable)?;
        let packages =
            versions.into_iter().map(|(name, version)| (name.trim().into(), version.trim().into()));
        Ok(Unpacked { root: directory.to_owned(), packages: packages.collect() })
    }

    fn get<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = shell::program("apt-get", &self.options);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
        command
    }
}

/// Lets the links of a Java runtime to its settings in `/etc` lead to those that were unpacked with it. `depth` is how
/// many directories one may lie below the first.
fn bring_home(directory: &Path, depth: usize) -> std::io::Result<()> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        match std::fs::read_link(&path) {
            Ok(target) => {
                let Ok(below) = target.strip_prefix("/etc") else { continue };
                // From `ROOT/usr/lib/jvm/…` it is as many steps up to the root as directories lie between.
                let up: PathBuf =
                    std::iter::repeat_n("..", JAVA.split('/').count() + (JAVA_DEPTH - depth)).collect();
                std::fs::remove_file(&path)?;
                std::os::unix::fs::symlink(up.join("etc").join(below), &path)?;
            }
            Err(_) if path.is_dir() && depth > 0 => bring_home(&path, depth - 1)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Where Java runtimes lie, and how deep below it their last setting does.
const JAVA: &str = "usr/lib/jvm";
const JAVA_DEPTH: usize = 5;

impl Unpacked {
    /// An executable file.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        // A PostgreSQL server lies below a directory named for its version, and so does a Java runtime.
        let places = ["usr/lib/postgresql", "usr/lib/jvm"].map(|place| self.root.join(place));
        let versions = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten().flatten();
        ["usr/bin", "usr/sbin", "bin", "sbin"]
            .iter()
            .map(|directory| self.root.join(directory))
            .chain(versions.map(|version| version.path().join("bin")))
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())
    }

    /// The directories of shared libraries, one for the machine's architecture in each place.
    pub(super) fn libraries(&self) -> Vec<PathBuf> {
        let places = ["usr/lib", "lib"].map(|place| self.root.join(place));
        let entries = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten().flatten();
        let named_for_machine =
            entries.filter(|entry| entry.file_name().to_string_lossy().contains("-linux-gnu"));
        named_for_machine.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// The version of one of the packages.
    pub(super) fn version_of(&self, package: &str) -> Option<String> {
        self.packages.iter().find(|(name, _)| name == package).map(|(_, version)| version.clone())
    }
}

/// Where packages come from, and whose signature the lists bear.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

impl Mirror {
    fn other_sources(&self) -> String {
        let suites = [NEWER_SUITES.as_slice(), &[OLDER_SUITE]].concat().join(" ");
        let mut text = format!("Types: deb\nURIs: {}\nSuites: {suites}\nComponents: main\n", self.uri);
        if let Some(keyring) = &self.signed_by {
            let _ = writeln!(text, "Signed-By: {keyring}");
        }
        text
    }
}

fn source_files() -> Vec<String> {
    let parts = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = parts.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "list" || kind == "sources"));
    paths.sort();
    paths.push("/etc/apt/sources.list".into());
    paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

/// The release's name, where the system is Debian itself: a derivative's mirror has no Debian suites.
fn codename_of_debian(os_release: &str) -> Option<&str> {
    let value = |key| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|it| it.trim_matches('"'))
    };
    if value("ID")? == "debian" { value("VERSION_CODENAME") } else { None }
}

/// The mirror of a suite, from a file of sources in either format (sources.list(5)).
fn mirror_of(text: &str, suite: &str) -> Option<Mirror> {
    mirror_of_stanzas(text, suite).or_else(|| text.lines().find_map(|line| mirror_of_line(line, suite)))
}

fn mirror_of_stanzas(text: &str, suite: &str) -> Option<Mirror> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).find_map(|stanza| {
        let field = |name: &str| {
            stanza.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let enabled = !field("Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
        let matches = field("Types")?.split_whitespace().any(|kind| kind == "deb")
            && field("Suites")?.split_whitespace().any(|own| own == suite);
        let uri = field("URIs")?.split_whitespace().next()?.to_owned();
        // A key may also stand in the file itself; then the machine's trusted ones must do.
        let signed_by = field("Signed-By").filter(|value| value.starts_with('/')).map(str::to_owned);
        (enabled && matches).then_some(Mirror { uri, signed_by })
    })
}

fn mirror_of_line(line: &str, suite: &str) -> Option<Mirror> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let uri = words.next().filter(|uri| !uri.starts_with("cdrom:"))?.to_owned();
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    (words.next() == Some(suite)).then(|| Mirror { uri, signed_by: signed_by.map(str::to_owned) })
}

/// What `apt-get install --simulate` would install.
fn to_be_installed(simulation: &str) -> Vec<String> {
    let lines = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(uri: &str, signed_by: Option<&str>) -> Option<Mirror> {
        Some(Mirror { uri: uri.to_owned(), signed_by: signed_by.map(str::to_owned) })
    }

    #[test]
    fn the_mirror_is_read_from_stanzas() {
        let text = "# ours\nTypes: deb\nURIs: http://security.example/d\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian\n\
                    Suites: bookworm bookworm-updates\nSigned-By: /usr/share/keyrings/d.gpg\n";
        assert_eq!(
            mirror_of(text, "bookworm"),
            mirror("http://mirror.example/debian", Some("/usr/share/keyrings/d.gpg"))
        );
        assert_eq!(mirror_of(text, "trixie"), None);
        assert_eq!(
            mirror_of(&format!("Enabled: no\n{}", text.rsplit("\n\n").next().unwrap()), "bookworm"),
            None
        );
    }

    #[test]
    fn the_mirror_is_read_from_lines() {
        let text = "deb cdrom:[Debian 12]/ bookworm main\n\
                    #deb http://off.example/debian bookworm main\n\
                    deb http://mirror.example/debian bookworm main contrib\n\
                    deb [arch=amd64 signed-by=/k.gpg] https://other.example/debian trixie main\n";
        assert_eq!(mirror_of(text, "bookworm"), mirror("http://mirror.example/debian", None));
        assert_eq!(mirror_of(text, "trixie"), mirror("https://other.example/debian", Some("/k.gpg")));
    }

    #[test]
    fn other_suites_are_asked_for_under_the_same_signature() {
        let mirror = mirror("http://mirror.example/debian", Some("/k.gpg")).unwrap();
        assert_eq!(
            mirror.other_sources(),
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: sid trixie bookworm\nComponents: main\nSigned-By: /k.gpg\n"
        );
    }

    #[test]
    fn a_derivative_is_not_debian() {
        assert_eq!(codename_of_debian("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(codename_of_debian("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), None);
    }

    #[test]
    fn a_simulation_tells_what_is_not_installed_yet() {
        let simulation = "Reading package lists...\nInst libuv1 (1.44.2-1 Debian:12.15 [amd64])\n\
                          Inst bind9 [1:9.18.1] (1:9.18.49 Debian [amd64])\nConf libuv1 (1.44.2-1 Debian:12.15 [amd64])\n";
        assert_eq!(to_be_installed(simulation), ["libuv1", "bind9"]);
    }
}
