//! The name servers of the operating system's configuration: resolv.conf(5).

use crate::NameServer;

/// Where the file is on every system that has one.
pub(crate) const PATH: &str = "/etc/resolv.conf";

/// The `nameserver` lines, in order. All else is ignored, `search` and `ndots` above all: the names that are
/// asked here are complete, and appending a cluster's own domain to them is how wrong answers begin.
///
/// `interface_index` tells the number of an interface by its name, for link-local servers (`fe80::1%eth0`).
/// A line that cannot be understood is skipped, as the C library does.
pub(crate) fn parse(text: &str, interface_index: impl Fn(&str) -> Option<u32>) -> Vec<NameServer> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some("nameserver"), Some(address)) = (words.next(), words.next()) else { continue };
        let numbered = match address.split_once('%') {
            Some((v6, zone)) if !zone.bytes().all(|byte| byte.is_ascii_digit()) => {
                match interface_index(zone) {
                    Some(index) => format!("{v6}%{index}"),
                    None => continue,
                }
            }
            _ => address.to_owned(),
        };
        // Only addresses stand in this file; a name would send us in a circle.
        let parsed = numbered.parse::<NameServer>().ok().filter(|server| server.socket_address().is_some());
        if let Some(server) = parsed
            && !servers.contains(&server)
        {
            servers.push(server);
        }
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_are_read_and_all_else_is_ignored() {
        let text = "# a comment\nsearch cluster.local\nnameserver 10.96.0.10\n  nameserver\t2001:db8::1  # own\n\
                    nameserver 10.96.0.10\noptions ndots:5\nnameserver fe80::1%eth0\nnameserver fe80::2%gone\n\
                    nameserver dns.example\nnameserver\n;nameserver 192.0.2.9\nnameservers 192.0.2.8\n";
        let servers = parse(text, |name| (name == "eth0").then_some(2));
        let texts: Vec<String> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.96.0.10", "2001:db8::1", "fe80::1%2"]);
    }

    #[test]
    fn an_empty_file_names_nobody() {
        assert_eq!(parse("", |_| None), Vec::new());
    }
}
