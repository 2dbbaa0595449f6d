//! Zones as text: the master file format (RFC 1035 §5).

use std::{fmt::Write, net::IpAddr};

/// What an authoritative server serves: a zone in the master file format.
///
/// Times to live are a minute, so that nothing is looked at twice by chance but also nothing is worth caching
/// for long; a negative answer is good for a second (RFC 2308 §5), because tests ask before they write.
///
/// ```
/// use perennial_testkit::real::ZoneFile;
///
/// let zone = ZoneFile::new("example.test")
///     .name_server("ns1.example.test", [127, 0, 0, 2])
///     .record("www A 127.0.0.1");
/// assert!(zone.render().contains("ns1.example.test. A 127.0.0.2"));
/// ```
#[derive(Clone, Debug)]
pub struct ZoneFile {
    origin: String,
    name_servers: Vec<(String, IpAddr)>,
    records: Vec<String>,
    negative_ttl: u32,
    written: Option<String>,
}

impl ZoneFile {
    /// An empty zone; `.` is the root.
    #[must_use]
    pub fn new(origin: &str) -> Self {
        Self {
            origin: absolute(origin),
            name_servers: Vec::new(),
            records: Vec::new(),
            negative_ttl: 1,
            written: None,
        }
    }

    /// A zone whose whole master file is written already, by another program for instance; what is told of it
    /// besides is passed over.
    #[must_use]
    pub fn written(origin: &str, text: impl Into<String>) -> Self {
        Self { written: Some(text.into()), ..Self::new(origin) }
    }

    /// How long a "no" from this zone may be believed, in seconds (SOA MINIMUM, RFC 2308 §4); 1 by default.
    #[must_use]
    pub const fn negative_ttl(mut self, seconds: u32) -> Self {
        self.negative_ttl = seconds;
        self
    }

    /// One more name server (NS) and its address. The first is the primary (SOA MNAME).
    #[must_use]
    pub fn name_server(mut self, name: &str, address: impl Into<IpAddr>) -> Self {
        self.name_servers.push((absolute(name), address.into()));
        self
    }

    /// Hands a name below this zone over to a name server, with glue.
    #[must_use]
    pub fn delegation(self, child: &str, name_server: &str, address: impl Into<IpAddr>) -> Self {
        let (child, name_server) = (absolute(child), absolute(name_server));
        let glue = address_record(&name_server, address.into());
        self.record(format!("{child} NS {name_server}")).record(glue)
    }

    /// One more line of the master file, relative to the zone: `www A 127.0.0.1`.
    #[must_use]
    pub fn record(mut self, line: impl Into<String>) -> Self {
        self.records.push(line.into());
        self
    }

    /// The zone's name, with the dot at its end.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The text of the file.
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(text) = &self.written {
            return text.clone();
        }
        let primary = self.name_servers.first().map_or("localhost.", |(name, _)| name);
        // Refresh and retry only matter to secondaries that take no NOTIFY; those are asked to refresh.
        let mut text = format!(
            "$TTL 60\n$ORIGIN {}\n@ SOA {primary} hostmaster.invalid. 1 3600 600 86400 {}\n",
            self.origin, self.negative_ttl
        );
        for (name, address) in &self.name_servers {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "@ NS {name}");
            if in_zone(name, &self.origin) {
                let _ = writeln!(text, "{}", address_record(name, *address));
            }
        }
        for record in &self.records {
            let _ = writeln!(text, "{record}");
        }
        text
    }

    /// The same with a name server at `address`, if none was named.
    pub(super) fn served_at(self, address: IpAddr) -> Self {
        if !self.name_servers.is_empty() {
            return self;
        }
        let name = format!("ns1.{}", self.origin.trim_start_matches('.'));
        self.name_server(&name, address)
    }
}

impl From<&str> for ZoneFile {
    fn from(origin: &str) -> Self {
        Self::new(origin)
    }
}

/// A name with the dot at its end.
pub(super) fn absolute(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

fn address_record(name: &str, address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{name} A {address}"),
        IpAddr::V6(address) => format!("{name} AAAA {address}"),
    }
}

fn in_zone(name: &str, origin: &str) -> bool {
    origin == "." || name == origin || name.ends_with(&format!(".{origin}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_master_file() {
        let zone = ZoneFile::new("example.test")
            .name_server("ns1.example.test.", [127, 0, 0, 2])
            .name_server("ns.elsewhere.test", [127, 0, 0, 3])
            .delegation("sub.example.test", "ns.sub.example.test", [127, 0, 0, 4])
            .record("www A 127.0.0.1");
        assert_eq!(
            zone.render(),
            "$TTL 60\n\
             $ORIGIN example.test.\n\
             @ SOA ns1.example.test. hostmaster.invalid. 1 3600 600 86400 1\n\
             @ NS ns1.example.test.\n\
             ns1.example.test. A 127.0.0.2\n\
             @ NS ns.elsewhere.test.\n\
             sub.example.test. NS ns.sub.example.test.\n\
             ns.sub.example.test. A 127.0.0.4\n\
             www A 127.0.0.1\n"
        );
    }

    #[test]
    fn a_zone_may_be_written_already_and_its_absences_may_last() {
        let zone = ZoneFile::written("example.test", "@ SOA a b 1 2 3 4 5\n").record("www A 127.0.0.1");
        assert_eq!(zone.render(), "@ SOA a b 1 2 3 4 5\n");
        let zone = ZoneFile::new("example.test").negative_ttl(300).render();
        assert!(zone.contains(" 86400 300\n"), "{zone}");
    }

    #[test]
    fn a_zone_without_name_servers_gets_one_where_it_is_served() {
        let address = [127, 0, 0, 9].into();
        let root = ZoneFile::new(".").served_at(address).render();
        assert!(root.contains("$ORIGIN .\n") && root.contains("@ NS ns1.\nns1. A 127.0.0.9\n"), "{root}");
        let zone = ZoneFile::from("example.test").served_at(address).render();
        assert!(zone.contains("@ NS ns1.example.test.\nns1.example.test. A 127.0.0.9\n"), "{zone}");
    }
}
