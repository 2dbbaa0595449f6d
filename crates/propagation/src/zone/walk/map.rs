//! What is known of the tree of zones, and nothing that is not: no question, no time.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use perennial_core::DomainName;

use crate::{probe::Delegation, zone::ZoneServer};

/// A zone by its apex; `None` is the root.
pub(super) type Zone = Option<DomainName>;

#[derive(Debug)]
pub(super) struct Map {
    roots: Vec<DomainName>,
    cuts: HashMap<DomainName, Cut>,
    hosts: HashMap<DomainName, ZoneServer>,
    /// Names at which no zone begins, each with the zone whose servers said so.
    plain: HashSet<(Zone, DomainName)>,
    /// Names that the root does not know, nor anything below them.
    absent: HashSet<DomainName>,
    /// For how many seconds it holds what was told of a zone or host.
    ttls: HashMap<DomainName, u32>,
}

/// A zone cut.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) parent: Zone,
    /// The server that said so.
    pub(super) by: String,
    /// The name servers that the zone above names.
    pub(super) delegated: Vec<DomainName>,
    /// The name servers that the zone itself names, once it was asked.
    pub(super) own: Vec<DomainName>,
}

/// More than any honest way needs; a liar's way ends here.
const MAX_CUTS: usize = 256;
const MAX_HOSTS: usize = 1024;
const MAX_PLAIN: usize = 1024;

impl Map {
    /// Nothing but the root.
    pub(super) fn new(roots: &[ZoneServer]) -> Self {
        Self {
            roots: roots.iter().map(|server| server.name.clone()).collect(),
            cuts: HashMap::new(),
            hosts: roots.iter().map(|server| (server.name.clone(), server.clone())).collect(),
            plain: HashSet::new(),
            absent: HashSet::new(),
            ttls: HashMap::new(),
        }
    }

    /// The deepest known zone that holds a name.
    pub(super) fn zone_of(&self, name: &DomainName) -> Zone {
        upwards(name).find(|name| self.cuts.contains_key(name))
    }

    /// The labels, counted from the root, down to which no zone begins between `zone` and `name`.
    pub(super) fn plain_labels(&self, zone: &Zone, name: &DomainName) -> usize {
        if zone.is_none() && upwards(name).any(|at| self.absent.contains(&at)) {
            return name.labels().count();
        }
        let plain = upwards(name).find(|at| self.plain.contains(&(zone.clone(), at.clone())));
        let apex = zone.as_ref().map_or(0, |zone| zone.labels().count());
        plain.map_or(0, |at| at.labels().count()).max(apex)
    }

    pub(super) fn cut(&self, apex: &DomainName) -> Option<&Cut> {
        self.cuts.get(apex)
    }

    /// All the name servers of a zone: those of the zone above first.
    pub(super) fn servers(&self, zone: &Zone) -> Vec<DomainName> {
        let Some(apex) = zone else { return self.roots.clone() };
        let Some(cut) = self.cuts.get(apex) else { return Vec::new() };
        let mut servers = cut.delegated.clone();
        servers.extend(cut.own.iter().filter(|name| !cut.delegated.contains(name)).cloned());
        servers
    }

    /// What is known of a host: perhaps nothing but its name.
    pub(super) fn host(&self, name: &DomainName) -> ZoneServer {
        self.hosts.get(name).cloned().unwrap_or_else(|| ZoneServer::new(name.clone()))
    }

    pub(super) fn has_address(&self, name: &DomainName) -> bool {
        self.hosts.get(name).is_some_and(|host| !host.is_unresolved())
    }

    /// A zone begins here, by the word of a server of the zone above.
    pub(super) fn learn_cut(&mut self, parent: &Zone, delegation: &Delegation, by: String) {
        if self.cuts.len() >= MAX_CUTS || self.cuts.contains_key(&delegation.cut) {
            return;
        }
        let (parent, delegated) = (parent.clone(), delegation.name_servers.clone());
        self.learn_glue(delegation);
        self.cuts.insert(delegation.cut.clone(), Cut { parent, by, delegated, own: Vec::new() });
    }

    /// The zone's own word on its name servers.
    pub(super) fn learn_own(&mut self, own: &Delegation) {
        self.learn_glue(own);
        if let Some(cut) = self.cuts.get_mut(&own.cut) {
            cut.own = own.name_servers.clone();
        }
    }

    pub(super) fn learn_plain(&mut self, zone: &Zone, name: &DomainName) {
        if self.plain.len() < MAX_PLAIN {
            self.plain.insert((zone.clone(), name.clone()));
        }
    }

    pub(super) fn learn_absent(&mut self, name: &DomainName) {
        if self.absent.len() < MAX_PLAIN {
            self.absent.insert(name.clone());
        }
    }

    pub(super) fn learn_address(&mut self, host: &DomainName, address: IpAddr) {
        if self.hosts.len() < MAX_HOSTS || self.hosts.contains_key(host) {
            self.hosts.entry(host.clone()).or_insert_with(|| ZoneServer::new(host.clone())).add(address);
        }
    }

    /// What was told of this zone or host holds for so many seconds.
    pub(super) fn learn_ttl(&mut self, name: &DomainName, ttl: u32) {
        if self.ttls.len() < MAX_HOSTS || self.ttls.contains_key(name) {
            let least = self.ttls.entry(name.clone()).or_insert(ttl);
            *least = ttl.min(*least);
        }
    }

    /// For how many seconds the zone, its name servers and their addresses hold.
    pub(super) fn ttl(&self, apex: &DomainName) -> u32 {
        let mut names = self.servers(&Some(apex.clone()));
        names.push(apex.clone());
        names.iter().filter_map(|name| self.ttls.get(name)).copied().min().unwrap_or_default()
    }

    fn learn_glue(&mut self, delegation: &Delegation) {
        for (host, address) in &delegation.glue {
            self.learn_address(host, *address);
        }
    }
}

fn upwards(name: &DomainName) -> impl Iterator<Item = DomainName> {
    std::iter::successors(Some(name.clone()), DomainName::parent)
}
