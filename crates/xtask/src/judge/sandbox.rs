//! A network of one's own (network_namespaces(7)), and mounts of one's own (mount_namespaces(7)).

use std::net::IpAddr;

use perennial_testkit::real::{Components, Tool};

use crate::{Error, shell};

/// Runs this program again inside a network and a mount namespace, with these arguments.
///
/// As root, or else as nobody in particular who is root inside (user_namespaces(7)).
pub(super) fn enter<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
    let ways: [&[&str]; 2] = [&["--net", "--mount"], &["--user", "--map-root-user", "--net", "--mount"]];
    let works = |way: &&&[&str]| {
        let try_it = shell::program("unshare", way.iter().copied().chain(["true"]));
        shell::output(try_it).is_ok_and(|output| output.status.success())
    };
    let way = ways.iter().find(works).ok_or_else(|| {
        Error::missing(
            "network namespaces",
            "this process may not make one: run it as root with CAP_SYS_ADMIN, or allow unprivileged user namespaces",
        )
    })?;
    let this = std::env::current_exe()
        .map_err(|reason| Error::Start { program: "the running program itself".to_owned(), reason })?;
    let mut command = shell::program("unshare", *way);
    command.arg("--").arg(this).args(arguments);
    shell::run(command)
}

/// Turns the loopback interface on and gives it addresses: BIND only listens on those that it bears.
pub(super) fn furnish(addresses: &[IpAddr]) -> Result<(), Error> {
    ip(&["link", "set", "lo", "up"])?;
    addresses.iter().try_for_each(|address| {
        let length = if address.is_ipv4() { 32 } else { 128 };
        // nodad: nobody else is on the loopback interface whose address it could be (RFC 4862 §5.4).
        let more: &[&str] = if address.is_ipv4() { &[] } else { &["nodad"] };
        ip(&[&["addr", "add", &format!("{address}/{length}"), "dev", "lo"], more].concat())
    })
}

fn ip(arguments: &[&str]) -> Result<(), Error> {
    let components = Components::locate();
    let ip = components.find(Tool::Ip).map_err(|missing| Error::Missing(vec![missing]))?;
    let mut command = ip.command();
    command.args(arguments);
    shell::read(command).map(drop)
}
