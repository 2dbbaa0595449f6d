//! Advice as sentences for the operator: what is wrong, and what to do.

use std::fmt;

use super::{Advice, Reach, Sign};
use crate::{report::text::quoted, wire::ExtendedError, zone::list};

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AliasChain { problem } => write!(f, "{problem}: mend the CNAME records"),
            Self::BelowZoneCut { name, cut, parent } => write!(
                f,
                "{name} lies in the zone {cut}, and no server of that has the record: if it was written to \
                 {parent}, which delegates {cut}, nobody sees it; write it to {cut}, or take the NS records of \
                 {cut} out of {parent}"
            ),
            Self::DnssecBogus { resolver, extended_error } => write!(
                f,
                "{resolver} finds the zone's DNSSEC signatures broken{}: a CA has to validate and will see nothing; \
                 sign the zone anew, or mend the DS record in the zone above",
                because(extended_error.as_ref())
            ),
            Self::DnssecIndeterminate { unchecked } if unchecked.is_empty() => f.write_str(
                "DNSSEC is required, and no resolver that validates was heard: give one as vantage point (an \
                 unbound, or a public one), or require less",
            ),
            Self::DnssecIndeterminate { unchecked } => write!(
                f,
                "no resolver that validates was heard, and on the way of the aliases nobody was asked whether these zones \
                 are signed: {}; give a vantage point that validates, or shorten the chain of aliases",
                list(unchecked)
            ),
            Self::DoubledName { name } => write!(
                f,
                "the value is at {name}, where the zone's name stands twice: the control panel or API adds it by \
                 itself; give it the name without the zone, or with a final dot"
            ),
            Self::EgressBlocked { servers } => write!(
                f,
                "not one name server answers ({}): something drops DNS on the way out; let UDP and TCP port 53 \
                 out of this host's network, or ask resolvers only (Policy::RecursiveOnly, \
                 PERENNIAL_NAMESERVERS_ONLY=true)",
                servers.join(", ")
            ),
            Self::Intercepted { servers, sign: Sign::Recursion } => write!(
                f,
                "a resolver answers in the place of {} (AA=0, RA=1): something on the way intercepts port 53 (a \
                 router, a service mesh, a firewall); exempt this host, or ask resolvers over TLS or HTTPS only",
                servers.join(", ")
            ),
            Self::Intercepted { servers, sign: Sign::SameInstance(instance) } => write!(
                f,
                "{} say that they are the same machine, {instance:?}, and have nothing to do with each other: \
                 perhaps something on the way answers for both; compare with a question from another network",
                servers.join(" and ")
            ),
            Self::Ipv6Unreachable { server, reach } => ipv6(f, server, *reach),
            Self::LameServer { server, reason, extended_error } => write!(
                f,
                "{server} is named as a name server of the zone and does not serve it ({reason}){}: remove it from \
                 the delegation, or load the zone there",
                because(extended_error.as_ref())
            ),
            Self::LocalhostServer { server } => write!(
                f,
                "{server} is named as a name server: whoever asks it asks himself, so it serves nobody; correct the \
                 NS records, or the name or alias that led there"
            ),
            Self::MisplacedName { name } => {
                write!(f, "the value is at {name}, and nobody looks there: write it to the right name")
            }
            Self::NameServersDiffer { zone, parent_only, child_only } => {
                write!(f, "the NS records of {zone} differ:")?;
                if !parent_only.is_empty() {
                    write!(f, " only the zone above names {};", list(parent_only))?;
                }
                if !child_only.is_empty() {
                    write!(f, " only the zone itself names {};", list(child_only))?;
                }
                f.write_str(" a CA may ask either, so make them the same")
            }
            Self::Nat64Missing { server, reason } => write!(
                f,
                "{server} cannot be asked: {reason}; give the network's NAT64 prefix (for instance 64:ff9b::/96), \
                 or a resolver that does DNS64"
            ),
            Self::NegativelyCached { resolver, ttl } => {
                write!(f, "{resolver} remembers that there is no such record")?;
                if let Some(ttl) = ttl {
                    write!(f, ", for {ttl} s more")?;
                }
                f.write_str(
                    ": it was asked too early (RFC 2308); a CA that resolves by itself does not mind; wait, flush \
                     its cache, or lower the minimum in the zone's SOA record",
                )
            }
            Self::NoAddress { server } => write!(
                f,
                "{server} is named as a name server and has no address: give it A or AAAA records, or remove it"
            ),
            Self::NotAsked { wait } => write!(
                f,
                "nobody was asked whether the values are there: the policy is to wait for {} and hope; choose \
                 another where name servers or resolvers can be asked",
                crate::duration::text(*wait)
            ),
            Self::NotYet { servers, nowhere_in: None } => write!(
                f,
                "not yet at {}: secondaries take from seconds to minutes; if it stays so, look at the zone \
                 transfer (NOTIFY, SOA serial)",
                servers.join(", ")
            ),
            Self::NotYet { servers, nowhere_in: Some(zone) } => write!(
                f,
                "not yet at {}: no server of the zone {zone} has it; if it stays so, look whether the record was \
                 written at all, and to this zone",
                servers.join(", ")
            ),
            Self::PrivateZone { zone, server } => write!(
                f,
                "{server} is a placeholder: the resolver shows a private zone {zone}; give a public resolver"
            ),
            Self::RateLimited { server, queries } => write!(
                f,
                "{server} stopped to answer after {queries} questions: it may limit the rate of responses; ask \
                 less often, or have this host exempted there"
            ),
            Self::ResolverDead { resolver, error } => write!(
                f,
                "resolver {resolver} does not answer ({error}): it costs time at every look-up; mend it or take it \
                 off the list"
            ),
            Self::ResolverFails { resolver, code, extended_error } => write!(
                f,
                "resolver {resolver} answers {code}{}: look into its log, or ask another one",
                because(extended_error.as_ref())
            ),
            Self::SerialLag { server, serial, newest } => write!(
                f,
                "{server} has version {serial} of the zone and others {newest}, it is {} behind: wait for the zone \
                 transfer; if it stays so, look at NOTIFY and at who may transfer",
                newest.wrapping_sub(*serial)
            ),
            Self::SplitHorizon { claimed, resolver, believed: false } => write!(
                f,
                "resolver {resolver} has a zone {claimed} of its own; it is not believed, nothing need be done \
                 unless the CA uses that resolver too"
            ),
            Self::SplitHorizon { claimed, resolver, believed: true } => write!(
                f,
                "resolver {resolver} answers from a zone {claimed} of its own, which the world does not see, and \
                 only resolvers are asked: give one outside this network (CheckerBuilder::nameservers, \
                 PERENNIAL_NAMESERVERS), or ask the authoritative servers (any policy but recursive-only)"
            ),
            Self::StaleCache { resolver, values, ttl } => write!(
                f,
                "{resolver} remembers other values ({}), for {ttl} s more: a CA that resolves by itself does not \
                 mind; wait, or flush its cache",
                quoted(values)
            ),
            Self::StaleValue { server, values } => write!(
                f,
                "{server} has other values ({}): an old record is cached or was never removed, or the new one was \
                 written to another zone or provider account",
                quoted(values)
            ),
            Self::TcpBlocked { server } => write!(
                f,
                "{server} answers small questions and not this one: large answers come over TCP, and port 53 over \
                 TCP is blocked; open it (RFC 7766)"
            ),
            Self::TcpOnly { servers } => write!(
                f,
                "{} answered over TCP only: datagrams are lost or cut short on the way; let UDP port 53 through",
                servers.join(", ")
            ),
            Self::Unconfirmed => f.write_str(
                "the values were there at last, and the deadline came before that was confirmed: give more time",
            ),
            Self::Unreachable { server, error } => write!(
                f,
                "{server} does not answer ({error}): the CA may not reach it either; mend it, or remove it from \
                 the delegation; if others reach it, let UDP and TCP port 53 out of this host's network"
            ),
            Self::WildcardAlias { name, wildcard, target } => write!(
                f,
                "{name} is an alias of {target} only because of {wildcard}: write the TXT record to {name} itself, \
                 and the wildcard does not count there any more; or write it to {target}, if that is meant"
            ),
            Self::WildcardText { name, wildcard } => write!(
                f,
                "what stands at {name} is made up from {wildcard}: the record itself was not written yet, or to \
                 another zone"
            ),
            Self::ZoneUnknown { name, reason } => write!(
                f,
                "the zone of {name} was not found ({reason}): check the name, and that the resolvers answer"
            ),
        }
    }
}

fn ipv6(f: &mut fmt::Formatter<'_>, server: &str, reach: Reach) -> fmt::Result {
    write!(f, "{server} answers over IPv4 and not over IPv6")?;
    f.write_str(match reach {
        Reach::Everybody => {
            ", while others do: the CA may try that address first; mend it, or remove its AAAA record"
        }
        Reach::ThisHost => {
            ", and no server does from here: this host's IPv6 leads nowhere; mend its routes, or turn it off"
        }
        Reach::Unknown => {
            ": try it from another network; if nobody reaches it, mend it or remove its AAAA record"
        }
    })
}

/// A server's own explanation, as part of a sentence.
fn because(error: Option<&ExtendedError>) -> String {
    error.map(|error| format!(", {error}")).unwrap_or_default()
}
