//! Advice as sentences for the operator: what is wrong, and what to do.

use std::fmt;

use super::Advice;
use crate::report::text::quoted;

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AliasChain { problem } => write!(f, "{problem}: mend the CNAME records"),
            Self::Intercepted { server } => write!(
                f,
                "{server} is answered for by a resolver: something on the way intercepts port 53 (a router, a \
                 service mesh, a firewall); exempt this host, or ask resolvers over TLS or HTTPS only"
            ),
            Self::LameServer { server, reason } => write!(
                f,
                "{server} is named as a name server of the zone and does not serve it ({reason}): remove it from \
                 the delegation, or load the zone there"
            ),
            Self::Nat64Missing { server, reason } => write!(
                f,
                "{server} cannot be asked: {reason}; give the network's NAT64 prefix (for instance 64:ff9b::/96), \
                 or a resolver that does DNS64"
            ),
            Self::NoAddress { server } => write!(
                f,
                "{server} is named as a name server and has no address: give it A or AAAA records, or remove it"
            ),
            Self::NotYet { servers } => write!(
                f,
                "not yet at {}: secondaries take from seconds to minutes; if it stays so, look at the zone \
                 transfer (NOTIFY, SOA serial)",
                servers.join(", ")
            ),
            Self::PrivateZone { zone, server } => write!(
                f,
                "{server} is a placeholder: the resolver shows a private zone {zone}; give a public resolver"
            ),
            Self::SplitHorizon { claimed, resolver } => write!(
                f,
                "resolver {resolver} has a zone {claimed} of its own; it is not believed, nothing need be done \
                 unless the CA uses that resolver too"
            ),
            Self::StaleValue { server, values } => write!(
                f,
                "{server} has other values ({}): an old record is cached or was never removed, or the new one was \
                 written to another zone or provider account",
                quoted(values)
            ),
            Self::Unreachable { server, error } => write!(
                f,
                "{server} does not answer ({error}): the CA may not reach it either; mend it, or remove it from \
                 the delegation; if others reach it, let UDP and TCP port 53 out of this host's network"
            ),
            Self::ZoneUnknown { name, reason } => write!(
                f,
                "the zone of {name} was not found ({reason}): check the name, and that the resolvers answer"
            ),
        }
    }
}
