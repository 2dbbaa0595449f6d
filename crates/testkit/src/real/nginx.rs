//! nginx, which stands before web servers: as a load balancer, a proxy, or one that answers in their place.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{Component, Components, Error, Tool, certificate, launch};
use crate::ChildGuard;

/// A running nginx; stopped when dropped.
///
/// ```no_run
/// use perennial_testkit::real::Nginx;
///
/// # async fn test() -> Result<(), perennial_testkit::real::Error> {
/// let (front, behind) = (([127, 0, 0, 1], 8080).into(), ([127, 0, 0, 1], 8081).into());
/// let nginx = Nginx::builder().pass_through(front, behind).start().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Nginx {
    guard: ChildGuard,
    _directory: TempDir,
}

impl Nginx {
    /// Begins to describe one that listens nowhere.
    #[must_use]
    pub const fn builder() -> NginxBuilder {
        NginxBuilder { servers: Vec::new(), streams: Vec::new() }
    }

    /// The end of what it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log_tail()
    }
}

/// Describes an nginx; see [`Nginx::builder`].
#[derive(Clone, Debug)]
pub struct NginxBuilder {
    servers: Vec<Server>,
    /// Where a connection comes in, and where it goes.
    streams: Vec<(SocketAddr, SocketAddr)>,
}

/// A server that speaks HTTP.
#[derive(Clone, Debug)]
struct Server {
    listens: SocketAddr,
    is_secure: bool,
    directives: String,
}

impl NginxBuilder {
    /// Passes connections on as they are: a load balancer in TCP mode.
    #[must_use]
    pub fn pass_through(mut self, listens: SocketAddr, to: SocketAddr) -> Self {
        self.streams.push((listens, to));
        self
    }

    /// Speaks HTTP, and does what these directives say, as they stand in a `server` block of its configuration.
    #[must_use]
    pub fn server(mut self, listens: SocketAddr, directives: impl Into<String>) -> Self {
        self.servers.push(Server { listens, is_secure: false, directives: directives.into() });
        self
    }

    /// The same over TLS, with a certificate that nobody trusts.
    #[must_use]
    pub fn secure_server(mut self, listens: SocketAddr, directives: impl Into<String>) -> Self {
        self.servers.push(Server { listens, is_secure: true, directives: directives.into() });
        self
    }

    /// Starts it and waits until it takes connections at all its addresses.
    ///
    /// # Errors
    /// [`Error::Missing`] without nginx; otherwise what its log says.
    pub async fn start(self) -> Result<Nginx, Error> {
        let components = Components::locate();
        let mut nginx = self.spawn(components.find(Tool::Nginx)?)?;
        let all: Vec<SocketAddr> =
            self.servers.iter().map(|it| it.listens).chain(self.streams.iter().map(|it| it.0)).collect();
        let probe = || async {
            for address in &all {
                if TcpStream::connect(address).await.is_err() {
                    return false;
                }
            }
            true
        };
        if launch::becomes_ready(&mut nginx.guard, probe).await? {
            return Ok(nginx);
        }
        // The ports are the caller's choice.
        Err(Error::PortsTaken { program: "nginx", attempts: 1, log: nginx.log() })
    }

    fn spawn(&self, component: &Component) -> Result<Nginx, Error> {
        let directory = launch::directory()?;
        let home = directory.path();
        certificate::make(home, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        launch::write(&home.join("nginx.conf"), &self.configuration(home, component))?;
        let mut command = component.command();
        command.args(["-e", "stderr", "-p"]).arg(home).arg("-c").arg(home.join("nginx.conf"));
        let guard = ChildGuard::spawn(command, home.join("log"))?;
        Ok(Nginx { guard, _directory: directory })
    }

    fn configuration(&self, home: &Path, component: &Component) -> String {
        let modules =
            component.path.parent().and_then(Path::parent).unwrap_or(home).join("lib/nginx/modules");
        let (modules, home) = (modules.display(), home.display());
        // One process: what is ended with it is all there is.
        let mut text = format!(
            "load_module {modules}/ngx_stream_module.so;
daemon off;
master_process off;
pid {home}/pid;
error_log stderr warn;
events {{ worker_connections 256; }}
stream {{
"
        );
        for (listens, to) in &self.streams {
            let _ = writeln!(text, "    server {{ listen {listens}; proxy_pass {to}; }}");
        }
        let _ = write!(
            text,
            "}}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
"
        );
        for Server { listens, is_secure, directives } in &self.servers {
            let secure = if *is_secure {
                format!(" ssl; ssl_certificate {home}/tls.pem; ssl_certificate_key {home}/tls.key")
            } else {
                String::new()
            };
            let _ = writeln!(text, "    server {{ listen {listens}{secure}; {directives} }}");
        }
        text + "}\n"
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::real::{port::Port, require};

    async fn said(at: SocketAddr) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_and_passes_through() {
        let Some(_) = require(&[Tool::Nginx]) else { return };
        let ports = [0, 1].map(|_| Port::free(Ipv4Addr::LOCALHOST.into()).unwrap());
        let [front, behind] = [&ports[0], &ports[1]].map(|port| (Ipv4Addr::LOCALHOST, port.number()).into());
        let builder = Nginx::builder().pass_through(front, behind).server(behind, "return 418 hello;");
        let nginx = builder.start().await.unwrap();
        for at in [front, behind] {
            let answer = said(at).await;
            assert!(answer.starts_with("HTTP/1.1 418") && answer.ends_with("hello"), "{answer}");
        }
        drop(nginx);
        assert!(TcpStream::connect(front).await.is_err());
    }
}
