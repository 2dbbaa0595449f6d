//! Other programs: started in the workspace's root, with an error that names them.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use crate::Error;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The cargo that runs this program.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Any other program.
pub(crate) fn program<I: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = I>,
) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Runs a program that speaks to the user itself.
pub(crate) fn run(mut command: Command) -> Result<(), Error> {
    let line = line(&command);
    println!("$ {line}");
    let status = command.status().map_err(|reason| not_started(&command, reason))?;
    if status.success() { Ok(()) } else { Err(Error::Command { line, status, output: String::new() }) }
}

/// Runs a program and takes what it prints; when it fails, the error has all of that.
pub(crate) fn read(command: Command) -> Result<String, Error> {
    let line = line(&command);
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Command { line, status: output.status, output: said(&output) })
}

/// Runs a program whatever comes of it.
pub(crate) fn output(mut command: Command) -> Result<Output, Error> {
    command.output().map_err(|reason| not_started(&command, reason))
}

/// What a program said on both its outputs.
pub(crate) fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).trim_end().to_owned()
}

/// Measures how long steps take, for whoever waits for them.
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the user is told how long a step took; nothing is decided by it"
    )]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "see `start`")]
    pub(crate) fn read(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The command line, the programs of the toolchain by their bare names.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = [program].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy);
    words.collect::<Vec<_>>().join(" ")
}

fn not_started(command: &Command, reason: std::io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), reason }
}
