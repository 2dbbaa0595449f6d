//! The zones of the corpus as text (RFC 1035 §5), with what is said of them above, signed where they should
//! be.

use std::{fmt::Write, net::IpAddr};

use perennial_testkit::real::{Signatures, SignedZone, ZoneFile};

use super::{
    host::{self, HOSTS, Host, PARENTS},
    story::{Served, Signed, Story, Zone},
    text,
};

/// A zone as it is served, and what the zone above has to say about it.
pub(super) struct Rendered<'a> {
    pub(super) zone: &'a Zone,
    story: &'a Story,
    pub(super) file: ZoneFile,
    pub(super) delegation: Vec<String>,
}

/// The zones of a case, the deepest first, because what is above a signed zone tells its key.
pub(super) async fn render(story: &Story) -> Result<Vec<Rendered<'_>>, String> {
    let mut zones: Vec<&Zone> = story.zones.iter().collect();
    zones.sort_by_key(|zone| std::cmp::Reverse(zone.origin.split('.').count()));
    let mut rendered: Vec<Rendered<'_>> = Vec::new();
    for zone in zones {
        let below = rendered.iter().filter(|it| above(story, it.zone) == Some(zone.origin.as_str()));
        let below: Vec<String> = below.flat_map(|it| it.delegation.clone()).collect();
        let plain = ZoneFile::written(&zone.origin, master_file(zone, &below)?);
        let (file, keys) = sign(plain, zone.signed).await?;
        rendered.push(Rendered { zone, story, file, delegation: [delegation(zone)?, keys].concat() });
    }
    Ok(rendered)
}

/// The closest zone of the same case above this one, if there is one.
fn above<'a>(story: &'a Story, zone: &Zone) -> Option<&'a str> {
    let origins = story.zones.iter().map(|other| other.origin.as_str());
    origins
        .filter(|origin| zone.origin.strip_suffix(origin).is_some_and(|rest| rest.ends_with('.')))
        .max_by_key(|origin| origin.len())
}

fn master_file(zone: &Zone, below: &[String]) -> Result<String, String> {
    let Zone { origin, negative_ttl, .. } = zone;
    let inside = zone.hosts.iter().filter(|served| served.inside);
    let servers: Vec<(String, &Host)> =
        inside.map(|served| Ok((name_of(zone, served)?, known(served)?))).collect::<Result<_, String>>()?;
    let primary = servers.first().map_or("invalid.", |(name, _)| name);
    let mut text = format!(
        "$TTL 60\n$ORIGIN {origin}.\n@ SOA {primary} hostmaster.invalid. 1 3600 600 86400 {negative_ttl}\n"
    );
    for (name, host) in &servers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "@ NS {name}");
        if name.ends_with(&format!(".{origin}.")) {
            host.addresses.iter().for_each(|address| text.push_str(&format!("{}\n", record(name, *address))));
        }
    }
    for line in zone.records.iter().chain(below) {
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

/// What the zone above says of it, without keys.
fn delegation(zone: &Zone) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for served in zone.hosts.iter().filter(|served| served.above) {
        let name = name_of(zone, served)?;
        lines.push(format!("{}. NS {name}", zone.origin));
        if served.in_bailiwick {
            lines.extend(known(served)?.addresses.iter().map(|address| record(&name, *address)));
        }
    }
    Ok(lines)
}

async fn sign(zone: ZoneFile, how: Signed) -> Result<(ZoneFile, Vec<String>), String> {
    let signatures = match how {
        Signed::No | Signed::ByServer => return Ok((zone, Vec::new())),
        Signed::Expired => Signatures::Expired,
        Signed::ByStranger | Signed::Stripped | Signed::Well => Signatures::Valid,
    };
    let signed = text(SignedZone::sign(&zone, PARENTS, signatures).await)?;
    Ok(match how {
        Signed::Stripped => (zone, signed.delegation_signers().to_vec()),
        Signed::ByStranger => {
            let stranger = text(SignedZone::sign(&zone, PARENTS, signatures).await)?;
            (signed.zone().clone(), stranger.delegation_signers().to_vec())
        }
        _ => (signed.zone().clone(), signed.delegation_signers().to_vec()),
    })
}

/// The root and `test`, signed.
pub(super) async fn parents(stories: &[Story], zones: &[Rendered<'_>]) -> Result<[SignedZone; 2], String> {
    let name = "a.parents.test.";
    let head = format!("$TTL 60\n@ SOA {name} hostmaster.invalid. 1 3600 600 86400 1\n@ NS {name}\n");
    let mut lines = format!("$ORIGIN test.\n{head}a.parents A {PARENTS}\n");
    for host in HOSTS {
        for address in host.addresses {
            let _ = writeln!(lines, "{}", record(&host.domain(), *address));
        }
    }
    let top = zones.iter().filter(|it| above(it.story, it.zone).is_none());
    let delegations = top.flat_map(|it| &it.delegation);
    for line in delegations.chain(stories.iter().flat_map(|story| &story.above)) {
        let _ = writeln!(lines, "{line}");
    }
    let test = ZoneFile::written("test", lines);
    let test = text(SignedZone::sign(&test, PARENTS, Signatures::Valid).await)?;
    let keys = test.delegation_signers().join("\n");
    let root = format!("$ORIGIN .\n{head}test. NS {name}\n{name} A {PARENTS}\n{keys}\n");
    let root = text(SignedZone::sign(&ZoneFile::written(".", root), PARENTS, Signatures::Valid).await)?;
    Ok([root, test])
}

pub(super) fn known(served: &Served) -> Result<&'static Host, String> {
    host::host(&served.host).ok_or_else(|| format!("there is no host {:?}", served.host))
}

pub(super) fn name_of(zone: &Zone, served: &Served) -> Result<String, String> {
    let host = known(served)?;
    let inside = || format!("ns-{}.{}.", host.name.replace('_', "-"), zone.origin);
    Ok(if served.in_bailiwick { inside() } else { host.domain() })
}

fn record(name: &str, address: IpAddr) -> String {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    format!("{name} {kind} {address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(text: &str) -> Story {
        super::super::story::read(text).unwrap().remove(0)
    }

    #[test]
    fn a_zone_and_the_zone_above_name_the_servers_that_they_should() {
        let story = story(
            "case
    zone example.test: bind knot+ nsd- pdns~ lag! bind@
        www A 127.0.0.1
    ready",
        );
        let zone = &story.zones[0];
        assert_eq!(
            master_file(zone, &["sub.example.test. NS bind.host.test.".to_owned()]).unwrap(),
            "$TTL 60\n\
             $ORIGIN example.test.\n\
             @ SOA bind.host.test. hostmaster.invalid. 1 3600 600 86400 1\n\
             @ NS bind.host.test.\n\
             @ NS nsd.host.test.\n\
             @ NS lag.host.test.\n\
             @ NS ns-bind.example.test.\n\
             ns-bind.example.test. A 127.0.1.1\n\
             www A 127.0.0.1\n\
             sub.example.test. NS bind.host.test.\n"
        );
        assert_eq!(
            delegation(zone).unwrap(),
            [
                "example.test. NS bind.host.test.",
                "example.test. NS knot.host.test.",
                "example.test. NS lag.host.test.",
                "example.test. NS ns-bind.example.test.",
                "ns-bind.example.test. A 127.0.1.1",
            ]
        );
    }

    #[test]
    fn a_zone_is_delegated_by_the_closest_one_of_its_case() {
        let story = story(
            "case
    zone a.test: bind
    zone b.a.test: bind
    zone c.b.a.test: bind
    zone cb.a.test: bind
    ready",
        );
        let found: Vec<Option<&str>> = story.zones.iter().map(|zone| above(&story, zone)).collect();
        assert_eq!(found, [None, Some("a.test"), Some("b.a.test"), Some("a.test")]);
    }
}
