//! PostgreSQL, the database server.

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{Component, Components, Error, Tool, launch, port::Port};
use crate::ChildGuard;

/// A running PostgreSQL with an empty cluster of its own; stopped when dropped.
///
/// It listens on a Unix socket, where it believes everybody, and on 127.0.0.1, where it wants a password
/// (SCRAM-SHA-256, RFC 7677). Nothing is synced to the disk: a test's data need not survive the machine.
///
/// PostgreSQL refuses to run as root; there it is started as the user `postgres`, or else `nobody`.
#[derive(Debug)]
pub struct Postgres {
    server: Option<ChildGuard>,
    program: Program,
    port: Port,
    password: String,
    socket: String,
    tls: bool,
    settings: Vec<String>,
    directory: TempDir,
}

impl Postgres {
    /// Begins to describe a server.
    #[must_use]
    pub const fn builder() -> PostgresBuilder {
        PostgresBuilder { tls: None, settings: Vec::new() }
    }

    /// How a client reaches it over the Unix socket, as keys and values.
    #[must_use]
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// How a client reaches it over TCP, as a URL with the password in it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgresql://{USER}:{}@{}/{USER}", self.password, self.socket_addr())
    }

    /// Where it listens over TCP.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(ADDRESS, self.port.number())
    }

    /// The password of its only account, `postgres`, another one for every server.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The end of what it has logged since it was started last.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.as_ref().map(ChildGuard::log_tail).unwrap_or_default()
    }

    /// Ends it, and every connection with it, as a server that is restarted for an update does. The data stay.
    ///
    /// # Errors
    /// [`Error::Control`] with what `pg_ctl` says.
    pub async fn stop(&mut self) -> Result<(), Error> {
        launch::control(self.stop_command("fast")).await?;
        self.server = None;
        Ok(())
    }

    /// Ends it at once, as a crash does: at its next start it has to recover what was committed from its log.
    ///
    /// # Errors
    /// As [`stop`](Self::stop).
    pub async fn crash(&mut self) -> Result<(), Error> {
        launch::control(self.stop_command("immediate")).await?;
        self.server = None;
        Ok(())
    }

    /// Starts it again after [`stop`](Self::stop) or [`crash`](Self::crash), on the same addresses.
    ///
    /// # Errors
    /// [`Error::PortsTaken`] when somebody else has its port now; otherwise what its log says.
    pub async fn start(&mut self) -> Result<(), Error> {
        if self.launch().await? {
            return Ok(());
        }
        Err(Error::PortsTaken { program: "postgres", attempts: 1, log: self.log() })
    }

    /// `false`: its port is taken.
    async fn launch(&mut self) -> Result<bool, Error> {
        let home = self.directory.path();
        let mut command = self.program.command("postgres", home);
        command.arg("-D").arg(home.join("data")).arg("-k").arg(home);
        let mut settings = vec![
            format!("listen_addresses={ADDRESS}"),
            format!("port={}", self.port.number()),
            format!("hba_file={}", home.join("hba.conf").display()),
            // What a test needs of a database is neither safe from a power cut nor large.
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "shared_buffers=16MB".to_owned(),
            "autovacuum=off".to_owned(),
        ];
        if self.tls {
            settings.push("ssl=on".to_owned());
            settings.push(format!("ssl_cert_file={}", home.join(CERTIFICATE).display()));
            settings.push(format!("ssl_key_file={}", home.join(KEY).display()));
        }
        // The last one of a name counts.
        settings.extend(self.settings.iter().cloned());
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let socket = home.join(format!(".s.PGSQL.{}", self.port.number()));
        let server = self.server.insert(ChildGuard::spawn(command, home.join("log"))?);
        launch::becomes_ready(server, || async { answers(&socket).await.unwrap_or(false) }).await
    }

    fn stop_command(&self, how: &str) -> Command {
        let home = self.directory.path();
        let mut command = self.program.command("pg_ctl", home);
        command.arg("stop").arg("-D").arg(home.join("data")).args(["-m", how, "-t", "10"]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            // A server that is killed leaves shared memory behind until the machine is restarted; after this
            // there is none, and what the guard kills is gone already.
            let _ = self.stop_command("immediate").stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// Describes a PostgreSQL; see [`Postgres::builder`].
#[derive(Clone, Debug)]
pub struct PostgresBuilder {
    tls: Option<Identity>,
    settings: Vec<String>,
}

/// A certificate and its key; the key is not for `Debug`.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl PostgresBuilder {
    /// Lets clients use TLS, with this certificate and its key; by default it has none to offer.
    #[must_use]
    pub fn tls(mut self, certificate_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        self.tls = Some(Identity { certificate: certificate_pem.into(), key: key_pem.into() });
        self
    }

    /// Sets something as its configuration file does (PostgreSQL manual §20), instead of what suits a test.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Makes a cluster, starts the server and waits until it answers.
    ///
    /// # Errors
    /// [`Error::Missing`] without PostgreSQL; otherwise what `initdb` or its log says.
    pub async fn start(self) -> Result<Postgres, Error> {
        let directory = launch::directory()?;
        let program = Program::find(&Components::locate(), directory.path())?;
        let password = format!("{:032x}", rand::random::<u128>());
        self.prepare(&program, &password, directory.path()).await?;
        let port = Port::free(ADDRESS)?;
        let (tls, settings, socket) = (self.tls.is_some(), self.settings, String::new());
        let mut postgres =
            Postgres { server: None, program, port, password, socket, tls, settings, directory };
        for _ in 0..launch::ATTEMPTS {
            if postgres.launch().await? {
                let home = postgres.directory.path().display();
                postgres.socket =
                    format!("host='{home}' port={} user={USER} dbname={USER}", postgres.port.number());
                return Ok(postgres);
            }
            postgres.port = Port::free(ADDRESS)?;
        }
        Err(Error::PortsTaken { program: "postgres", attempts: launch::ATTEMPTS, log: postgres.log() })
    }

    async fn prepare(&self, program: &Program, password: &str, home: &Path) -> Result<(), Error> {
        program.give(home, 0o700)?;
        let mut files = vec![("password", password), ("hba.conf", HBA)];
        if let Some(Identity { certificate, key }) = &self.tls {
            files.extend([(CERTIFICATE, certificate.as_str()), (KEY, key.as_str())]);
        }
        for (name, text) in files {
            launch::write(&home.join(name), text)?;
            program.give(&home.join(name), 0o600)?;
        }
        let mut command = program.command("initdb", home);
        command.arg("-D").arg(home.join("data")).arg("--pwfile").arg(home.join("password"));
        command.args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        launch::control(command).await
    }
}

/// The account that a cluster begins with, and its database.
const USER: &str = "postgres";

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const CERTIFICATE: &str = "server.crt";
const KEY: &str = "server.key";

/// Who may come in how (PostgreSQL manual §21.1).
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// The programs of one PostgreSQL installation, and who runs them.
#[derive(Debug)]
struct Program {
    component: Component,
    binaries: PathBuf,
    runs_as: RunsAs,
}

/// Who runs a server that refuses to be run by root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunsAs {
    /// Another account: user and group.
    Account(u32, u32),
    /// We, who are not root.
    Ourselves,
}

impl Program {
    /// `home` is a directory that we have just made, and so bears our user's number.
    fn find(components: &Components, home: &Path) -> Result<Self, Error> {
        let component = components.find(Tool::Postgres)?.clone();
        let fault = |path: &Path, error: &io::Error| launch::file(path, error);
        // What is on the `PATH` may be a link to one of several installations.
        let path = component.path.canonicalize().map_err(|error| fault(&component.path, &error))?;
        let binaries = path.parent().unwrap_or(&path).to_owned();
        let we = fs::metadata(home).map_err(|error| fault(home, &error))?.uid();
        if we != 0 {
            return Ok(Self { component, binaries, runs_as: RunsAs::Ourselves });
        }
        let accounts = fs::read_to_string(ACCOUNTS).map_err(|error| fault(Path::new(ACCOUNTS), &error))?;
        let (user, group) =
            [USER, "nobody"].iter().find_map(|name| account(&accounts, name)).unwrap_or(NOBODY);
        let runs_as = RunsAs::Account(user, group);
        if open_to_all(&binaries) {
            return Ok(Self { component, binaries, runs_as });
        }
        let (component, binaries) =
            linked_below(component, &binaries, home).map_err(|error| fault(&path, &error))?;
        Ok(Self { component, binaries, runs_as })
    }

    fn command(&self, program: &str, home: &Path) -> Command {
        let component = Component { path: self.binaries.join(program), ..self.component.clone() };
        let mut command = component.command();
        if let RunsAs::Account(user, group) = self.runs_as {
            command.uid(user).gid(group);
        }
        // A language of the machine's would translate what the log is searched for.
        command.current_dir(home).env("LC_ALL", "C");
        command
    }

    /// Lets the server have a file of ours to itself.
    fn give(&self, path: &Path, mode: u32) -> Result<(), Error> {
        let given = fs::set_permissions(path, fs::Permissions::from_mode(mode)).and_then(|()| {
            let RunsAs::Account(user, group) = self.runs_as else { return Ok(()) };
            chown(path, Some(user), Some(group))
        });
        Ok(given.map_err(|error| launch::file(path, &error))?)
    }
}

/// Whether every account comes to a directory: somebody's home is often closed.
fn open_to_all(directory: &Path) -> bool {
    directory.ancestors().all(|part| fs::metadata(part).is_ok_and(|part| part.mode() & 0o001 != 0))
}

/// The same installation below `home`, where the other account comes to it: one that was unpacked below
/// root's closed home can be run by nobody else where it lies. It finds its other files from where it is.
fn linked_below(component: Component, binaries: &Path, home: &Path) -> io::Result<(Component, PathBuf)> {
    let unpacked = binaries.ancestors().find(|part| part.ends_with("usr")).and_then(Path::parent);
    let Some(root) = unpacked.filter(|_| !component.libraries.is_empty()) else {
        return Ok((component, binaries.to_owned()));
    };
    let there = |path: &Path| home.join("program").join(path.strip_prefix(root).unwrap_or(path));
    for part in ["usr/lib/postgresql", "usr/share/postgresql"] {
        link_tree(&root.join(part), &there(&root.join(part)), true)?;
    }
    for libraries in &component.libraries {
        link_tree(libraries, &there(libraries), false)?;
    }
    let libraries: Vec<PathBuf> = component.libraries.iter().map(|path| there(path)).collect();
    let moved = Component::new(there(&component.path), component.version);
    Ok((moved.with_libraries(libraries), there(binaries)))
}

/// Links files, or copies them where `to` lies on another file system; with what is below if it is `deep`.
fn link_tree(from: &Path, to: &Path, deep: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            fs::hard_link(entry.path(), &target).or_else(|_| fs::copy(entry.path(), &target).map(drop))?;
        } else if deep && kind.is_dir() {
            link_tree(&entry.path(), &target, deep)?;
        }
    }
    Ok(())
}

const ACCOUNTS: &str = "/etc/passwd";

/// What Debian and most others number the user who owns nothing.
const NOBODY: (u32, u32) = (65534, 65534);

/// User and group of an account (passwd(5)).
fn account(accounts: &str, name: &str) -> Option<(u32, u32)> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (user, group) = (fields.next()? == name).then(|| (fields.nth(1), fields.next()))?;
        Some((user?.parse().ok()?, group?.parse().ok()?))
    })
}

/// Whether a server begins a session (PostgreSQL manual §55.2.1): one that is still starting refuses.
async fn answers(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut parameters = String::new();
    let _ = write!(parameters, "user\0{USER}\0database\0{USER}\0\0");
    let length = u32::try_from(parameters.len()).unwrap_or(u32::MAX).saturating_add(8);
    stream.write_all(&[&length.to_be_bytes()[..], &PROTOCOL, parameters.as_bytes()].concat()).await?;
    loop {
        match stream.read_u8().await? {
            b'Z' => return Ok(true),
            b'E' => return Ok(false),
            _ => {
                let length = u64::from(stream.read_u32().await?).saturating_sub(4);
                tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
            }
        }
    }
}

/// Version 3.0 of the protocol.
const PROTOCOL: [u8; 4] = [0, 3, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::require;

    async fn answers_at(postgres: &Postgres) -> bool {
        let socket = postgres.directory.path().join(format!(".s.PGSQL.{}", postgres.port.number()));
        answers(&socket).await.unwrap_or(false)
    }

    #[tokio::test]
    async fn a_server_answers_is_stopped_and_answers_again_at_the_same_place() {
        let Some(_) = require(&[Tool::Postgres]) else { return };
        let mut postgres = Postgres::builder().start().await.unwrap();
        let place = postgres.socket_addr();
        assert!(answers_at(&postgres).await);
        postgres.stop().await.unwrap();
        assert!(!answers_at(&postgres).await);
        postgres.start().await.unwrap();
        assert!(answers_at(&postgres).await);
        assert_eq!(postgres.socket_addr(), place);
    }

    #[tokio::test]
    async fn a_server_that_crashed_recovers_at_the_same_place() {
        let Some(_) = require(&[Tool::Postgres]) else { return };
        let mut postgres = Postgres::builder().setting("log_min_messages", "log").start().await.unwrap();
        let place = postgres.socket_addr();
        postgres.crash().await.unwrap();
        assert!(!answers_at(&postgres).await);
        postgres.start().await.unwrap();
        assert!(answers_at(&postgres).await);
        assert_eq!(postgres.socket_addr(), place);
        assert!(postgres.log().contains("not properly shut down"), "{}", postgres.log());
    }

    #[tokio::test]
    async fn a_dropped_server_leaves_neither_process_nor_directory() {
        let Some(_) = require(&[Tool::Postgres]) else { return };
        let postgres = Postgres::builder().start().await.unwrap();
        let home = postgres.directory.path().to_owned();
        let pid = postgres.server.as_ref().unwrap().pid();
        drop(postgres);
        assert!(!home.exists());
        let asked = Command::new("sh").args(["-c", "kill -0 \"$0\" 2>/dev/null", &pid.to_string()]).status();
        assert!(!asked.unwrap().success());
    }

    #[test]
    fn a_directory_below_a_closed_one_is_not_open_to_all() {
        let closed = tempfile::tempdir().unwrap();
        let below = closed.path().join("bin");
        fs::create_dir(&below).unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!open_to_all(&below));
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&below, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open_to_all(&below));
    }

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:,:/var:/bin/sh\n";
        assert_eq!(account(accounts, "postgres"), Some((101, 104)));
        assert_eq!(account(accounts, "nobody"), None);
        assert_eq!(account("postgres:x:many", "postgres"), None);
    }
}
