//! Where a connection string leads, and whether private keys may go there.

use std::net::IpAddr;

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use crate::{Error, fault};

/// A connection string that was understood and may be followed.
#[derive(Debug)]
pub(crate) struct Target {
    /// What the driver is told; the `sslmode` is decided.
    pub(crate) config: Config,
    /// What errors call the database: hosts and name, neither user nor password.
    pub(crate) name: String,
}

/// Whether private keys may cross a network in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plaintext {
    Allowed,
    Refused,
}

/// Whether the user named the roots to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Roots {
    Given,
    OfTheSystem,
}

impl Target {
    pub(crate) fn parse(connection: &str, plaintext: Plaintext, roots: Roots) -> Result<Self, Error> {
        let mut config: Config = connection
            .parse()
            .map_err(|error| Error::ConnectionString { reason: fault::of_connection_string(&error) })?;
        let hosts = hosts(&config);
        if hosts.is_empty() {
            return Err(Error::ConnectionString {
                reason: "it names no host: give one, or the directory of a Unix socket".to_owned(),
            });
        }
        let mode = ssl_mode(config.get_ssl_mode(), &hosts, plaintext, roots)?;
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name("perennial");
        }
        let name = name(&config, &hosts);
        Ok(Self { config, name })
    }
}

/// One server that a connection string names.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    name: String,
    reach: Reach,
}

#[derive(Debug, PartialEq, Eq)]
enum Reach {
    Loopback,
    Network,
    Socket,
}

fn hosts(config: &Config) -> Vec<Server> {
    let (hosts, addresses) = (config.get_hosts(), config.get_hostaddrs());
    let servers = (0..hosts.len().max(addresses.len())).map(|number| {
        // An address decides where the bytes go; the name beside it is only what the certificate must bear.
        let (host, address) = (hosts.get(number), addresses.get(number));
        let name = match (host, address) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            #[cfg(unix)]
            (Some(Host::Unix(directory)), None) => directory.display().to_string(),
            (_, address) => address.map(ToString::to_string).unwrap_or_default(),
        };
        let reach = match (host, address) {
            (_, Some(address)) => reach_of(*address),
            #[cfg(unix)]
            (Some(Host::Unix(_)), None) => Reach::Socket,
            _ if name.eq_ignore_ascii_case("localhost") => Reach::Loopback,
            _ => name.parse().map_or(Reach::Network, reach_of),
        };
        Server { name, reach }
    });
    servers.collect()
}

const fn reach_of(address: IpAddr) -> Reach {
    if address.to_canonical().is_loopback() { Reach::Loopback } else { Reach::Network }
}

/// What `sslmode` means here.
///
/// DIVERGES: libpq's `prefer`, its default, falls back to clear text when the server has no TLS, and so
/// whenever somebody on the way says so. Here clear text never leaves the machine unless it was allowed; and
/// on the machine itself `prefer` does without TLS, because the certificate that a distribution makes for
/// every PostgreSQL is one that nobody can verify.
fn ssl_mode(
    asked: SslMode,
    servers: &[Server],
    plaintext: Plaintext,
    roots: Roots,
) -> Result<SslMode, Error> {
    // PostgreSQL has no TLS over Unix sockets (libpq ignores the mode there too).
    if servers.iter().all(|server| server.reach == Reach::Socket) {
        return Ok(SslMode::Disable);
    }
    if asked == SslMode::Require {
        return Ok(SslMode::Require);
    }
    match servers.iter().find(|server| server.reach == Reach::Network) {
        Some(server) if plaintext == Plaintext::Refused => {
            Err(Error::Plaintext { host: server.name.clone() })
        }
        None if roots == Roots::OfTheSystem => Ok(SslMode::Disable),
        _ => Ok(asked),
    }
}

/// `postgresql://db.example:5432/certificates`.
fn name(config: &Config, servers: &[Server]) -> String {
    let ports = config.get_ports();
    let hosts: Vec<String> = servers
        .iter()
        .enumerate()
        .map(|(number, server)| {
            let port = ports.get(number).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT);
            if server.name.contains(':') {
                format!("[{}]:{port}", server.name)
            } else {
                format!("{}:{port}", server.name)
            }
        })
        .collect();
    let database = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default();
    format!("postgresql://{}/{database}", hosts.join(","))
}

/// The port that IANA gave PostgreSQL.
const DEFAULT_PORT: u16 = 5432;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(connection: &str) -> Result<Target, Error> {
        Target::parse(connection, Plaintext::Refused, Roots::OfTheSystem)
    }

    fn mode(connection: &str, plaintext: Plaintext, roots: Roots) -> Option<SslMode> {
        Target::parse(connection, plaintext, roots).ok().map(|target| target.config.get_ssl_mode())
    }

    #[test]
    fn clear_text_leaves_the_machine_only_when_it_is_allowed() {
        for connection in [
            "postgresql://db.example/x",
            "postgresql://db.example/x?sslmode=prefer",
            "postgresql://db.example/x?sslmode=disable",
            "host=10.0.0.7",
            "host=localhost hostaddr=192.0.2.1",
            "host=localhost,db.example",
            "host=/run/postgresql,db.example",
            "host=::ffff:192.0.2.1",
        ] {
            let refused = parse(connection).unwrap_err();
            assert!(matches!(refused, Error::Plaintext { .. }), "{connection}: {refused}");
            assert!(mode(connection, Plaintext::Allowed, Roots::OfTheSystem).is_some(), "{connection}");
        }
    }

    #[test]
    fn the_host_that_would_get_clear_text_is_named_with_the_remedy() {
        let error = parse("host=localhost,db.example user=me password=hunter2").unwrap_err();
        assert_eq!(error, Error::Plaintext { host: "db.example".to_owned() });
        assert!(error.to_string().contains("sslmode=require"), "{error}");
    }

    #[test]
    fn tls_is_used_where_it_is_asked_for_and_not_where_nobody_could_verify_it() {
        use Roots::{Given, OfTheSystem};
        let refused = Plaintext::Refused;
        for (connection, roots, wanted) in [
            ("postgresql://db.example/x?sslmode=require", OfTheSystem, SslMode::Require),
            ("postgresql://localhost/x?sslmode=require", OfTheSystem, SslMode::Require),
            ("postgresql://localhost/x", OfTheSystem, SslMode::Disable),
            ("host=127.0.0.1", OfTheSystem, SslMode::Disable),
            ("host=::1", OfTheSystem, SslMode::Disable),
            ("host=db.example hostaddr=127.0.0.1", OfTheSystem, SslMode::Disable),
            ("postgresql://localhost/x", Given, SslMode::Prefer),
        ] {
            assert_eq!(mode(connection, refused, roots), Some(wanted), "{connection}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_needs_no_tls_even_where_it_is_asked_for() {
        for connection in ["host=/run/postgresql sslmode=require", "postgresql://%2Frun%2Fpostgresql/x"] {
            assert_eq!(
                mode(connection, Plaintext::Refused, Roots::Given),
                Some(SslMode::Disable),
                "{connection}"
            );
        }
    }

    #[test]
    fn the_name_tells_where_and_not_who() {
        for (connection, name) in [
            ("postgresql://me:hunter2@localhost/certificates", "postgresql://localhost:5432/certificates"),
            ("host=::1 port=1 user=me password=hunter2", "postgresql://[::1]:1/me"),
            ("host=localhost,127.0.0.2 port=1,2 dbname=x", "postgresql://localhost:1,127.0.0.2:2/x"),
        ] {
            assert_eq!(parse(connection).unwrap().name, name);
        }
    }

    #[test]
    fn a_string_without_a_host_is_refused_with_the_remedy() {
        let error = parse("user=me password=hunter2").unwrap_err();
        assert!(error.to_string().contains("names no host"), "{error}");
    }

    #[test]
    fn an_option_that_is_not_understood_is_named() {
        let error = parse("host=localhost sslrootcert=/ca.pem").unwrap_err().to_string();
        assert!(error.contains("sslrootcert") && error.contains("root_certificates_pem"), "{error}");
        let error = parse("host=localhost sslmode=verify-full").unwrap_err().to_string();
        assert!(error.contains("sslmode") && error.contains("require"), "{error}");
    }

    proptest! {
        #[test]
        fn a_password_that_breaks_the_string_is_not_shown(
            before in "[ a-z=&?@:/'%\\\\]{0,6}",
            after in "[ a-z=&?@:/'%\\\\]{0,6}",
        ) {
            const SECRET: &str = "Hunter2Secret";
            let password = format!("{before}{SECRET}{after}");
            for connection in [
                format!("postgresql://me:{password}@localhost/x"),
                format!("postgresql://me@localhost/x?password={password}"),
                format!("host=localhost user=me password={password}"),
                format!("host=localhost user=me password='{password}'"),
            ] {
                if let Err(error) = parse(&connection) {
                    let said = format!("{error} {error:?}");
                    // The host and the name of the database are told: there it is the string that is wrong.
                    let misplaced = matches!(error, Error::Plaintext { .. });
                    prop_assert!(misplaced || !said.contains(SECRET), "{}: {}", connection, said);
                }
            }
        }
    }
}
