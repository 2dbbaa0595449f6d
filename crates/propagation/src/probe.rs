//! What one server's answer means: RFC 1034 §4.3.2, RFC 2308 §2, RFC 8499 §7 ("lame delegation").

use std::{fmt, net::IpAddr};

use perennial_core::DomainName;
use serde::Serialize;

use crate::{
    wire::{Answer, Data, Record, ResponseCode, printable},
    zone::ZoneServer,
};

/// What was asked, and of whom: the other half of an [`interpret`]ation.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs)] // The three facts that give an answer its meaning.
pub struct Asked<'a> {
    /// The name whose TXT records were asked for.
    pub name: &'a DomainName,
    /// The values that should be among them.
    pub values: &'a [String],
    /// In which role the server was asked.
    pub role: Role<'a>,
}

/// In which role a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // RFC 1034 §4.3.1 knows these two.
pub enum Role<'a> {
    /// As the authority of this zone.
    Authority(&'a DomainName),
    /// As a resolver, which follows aliases and delegations itself.
    Resolver,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The name is an alias: the CA follows it (RFC 8555 §8.4 with RFC 1034 §3.6.2).
    Alias {
        /// The name that it stands for.
        target: DomainName,
    },
    /// Answered with authority, and a wanted value is missing.
    Lacking {
        /// The values that are there.
        values: Vec<String>,
        /// The zone's serial number at this server, if it told.
        serial: Option<u32>,
    },
    /// The server does not do its office.
    Lame(Lameness),
    /// The name lies in a zone further down.
    Referral(Delegation),
    /// Every wanted value is there.
    Satisfied {
        /// All the values that are there.
        values: Vec<String>,
    },
}

/// Why a server is of no use for a zone that it is said to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lameness {
    /// It answers with this code instead of an answer.
    Code(ResponseCode),
    /// It answers without authority (AA=0), and offers no recursion.
    NotAuthoritative,
    /// It answers without authority and offers recursion: a resolver, perhaps one that intercepts port 53.
    Resolver,
    /// It sends us back up, to the root or the parent.
    UpwardReferral,
}

impl fmt::Display for Lameness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "it answers {code}"),
            Self::NotAuthoritative => f.write_str("it answers without authority (AA=0)"),
            Self::Resolver => {
                f.write_str("it answers as a resolver (AA=0, RA=1), not as the zone's authority")
            }
            Self::UpwardReferral => f.write_str("it does not serve the zone and refers upwards"),
        }
    }
}

/// A zone cut, as the side above describes it (RFC 1034 §4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delegation {
    /// The zone that begins here.
    pub cut: DomainName,
    /// Its name servers, as the parent knows them.
    pub name_servers: Vec<DomainName>,
    /// Their addresses, where the message brought them.
    pub glue: Vec<(DomainName, IpAddr)>,
}

impl Delegation {
    /// The delegation of `cut` in this section, if it is there.
    ///
    /// Glue counts for names at or below `bailiwick`, the zone of whoever answers (`None` is the root): for others
    /// the server has no say (RFC 2181 §5.4.1).
    pub(crate) fn read(
        section: &[Record],
        additionals: &[Record],
        cut: &DomainName,
        bailiwick: Option<&DomainName>,
    ) -> Option<Self> {
        let name_servers: Vec<_> =
            Answer::name_servers(section, cut).into_iter().take(MAX_NAME_SERVERS).cloned().collect();
        if name_servers.is_empty() {
            return None;
        }
        let mut glue = Vec::new();
        for record in additionals {
            let Some(owner) = &record.owner else { continue };
            let address = match record.data {
                Data::A(v4) => IpAddr::V4(v4),
                Data::Aaaa(v6) => IpAddr::V6(v6),
                _ => continue,
            };
            let ours = bailiwick.is_none_or(|zone| owner.is_at_or_below(zone));
            let told = name_servers.contains(owner) && ours;
            if told && glue.len() < MAX_GLUE && !glue.contains(&(owner.clone(), address)) {
                glue.push((owner.clone(), address));
            }
        }
        Some(Self { cut: cut.clone(), name_servers, glue })
    }

    /// Adds a name server, unless it is there.
    pub(crate) fn add(&mut self, server: &ZoneServer) {
        if !self.name_servers.contains(&server.name) {
            self.name_servers.push(server.name.clone());
            let v4 = server.v4.iter().map(|v4| IpAddr::V4(*v4));
            let all = v4.chain(server.v6.iter().map(|v6| IpAddr::V6(*v6)));
            self.glue.extend(all.map(|address| (server.name.clone(), address)));
        }
    }

    /// Whether it names the same servers, in whatever order.
    pub(crate) fn has_servers_of(&self, other: &Self) -> bool {
        let all =
            |one: &Self, other: &Self| one.name_servers.iter().all(|name| other.name_servers.contains(name));
        all(self, other) && all(other, self)
    }
}

/// The most name servers of one zone that are looked at: the root and the largest registries have 13.
pub(crate) const MAX_NAME_SERVERS: usize = 16;
/// Two addresses of each family for each of them.
const MAX_GLUE: usize = 4 * MAX_NAME_SERVERS;

/// Says what an answer means. Never fails: whatever a server sends, it is a finding about that server.
#[must_use]
pub fn interpret(asked: &Asked<'_>, answer: &Answer) -> Finding {
    if !answer.code.is_answer() {
        return overlong_chain(asked, answer).unwrap_or(Finding::Lame(Lameness::Code(answer.code)));
    }
    match asked.role {
        Role::Resolver => {
            let end = end_of_chain(asked.name, &answer.answers);
            judge(end, asked.values, answer)
        }
        Role::Authority(zone) => interpret_authority(asked, zone, answer),
    }
}

/// A server that follows aliases itself, through its own zones, gives up when they lead too far or in a circle
/// (BIND after eleven), and says SERVFAIL beside the aliases. The first of them is told with authority all the
/// same, and whether there are too many is for us to find out.
fn overlong_chain(asked: &Asked<'_>, answer: &Answer) -> Option<Finding> {
    let authority = matches!(asked.role, Role::Authority(_)) && answer.authoritative;
    let target = alias(asked.name, &answer.answers)?;
    let gave_up = authority && answer.code == ResponseCode::SERVFAIL;
    gave_up.then(|| Finding::Alias { target: target.clone() })
}

fn interpret_authority(asked: &Asked<'_>, zone: &DomainName, answer: &Answer) -> Finding {
    let own = answer.answers.iter().any(|record| record.owner.as_ref() == Some(asked.name));
    // Some servers set AA on a referral; the empty answer and the NS records below the zone give it away. Beside
    // records of the name they are those of a zone further down that the server serves too.
    if (!own || answer.authoritative)
        && let Some(cut) = cut_below(zone, asked.name, answer)
    {
        let delegation = Delegation::read(&answer.authorities, &answer.additionals, cut, Some(zone));
        return delegation.map_or(Finding::Lame(Lameness::NotAuthoritative), Finding::Referral);
    }
    if !answer.authoritative {
        let refers = answer.authorities.iter().any(|record| matches!(record.data, Data::Ns(_)));
        return Finding::Lame(if answer.recursion_available {
            Lameness::Resolver
        } else if refers && answer.answers.is_empty() {
            Lameness::UpwardReferral
        } else {
            Lameness::NotAuthoritative
        });
    }
    // One step only: the server speaks for this zone, and whether it speaks for the target's too, or serves
    // an old copy of it, is for the target's own servers to say.
    if let Some(target) = alias(asked.name, &answer.answers) {
        return Finding::Alias { target: target.clone() };
    }
    judge(asked.name, asked.values, answer)
}

/// Where the zone begins for which a server speaks that is asked about `name` as the authority of `zone`: that
/// zone, or one further down that it serves too. `None` when the answer does not tell: a positive one need not
/// (RFC 1034 §4.3.2), and beside an alias stands what belongs to its target.
pub(crate) fn speaks_for<'a>(
    zone: &DomainName,
    name: &DomainName,
    answer: &'a Answer,
) -> Option<&'a DomainName> {
    if !answer.code.is_answer() || !answer.authoritative || alias(name, &answer.answers).is_some() {
        return None;
    }
    let told = |record: &'a Record| match &record.data {
        Data::Ns(_) | Data::Soa { .. } => record.owner.as_ref(),
        _ => None,
    };
    let between = |owner: &&DomainName| owner.is_at_or_below(zone) && name.is_at_or_below(owner);
    answer.answers.iter().chain(&answer.authorities).filter_map(told).find(between)
}

/// What a server of a zone says about zone cuts between it and a name below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Below {
    /// The name lies in the zone itself.
    Nothing,
    /// A zone begins there, with these name servers.
    Zone(Delegation),
    /// A zone begins at this name, which is not the one that was asked about.
    ZoneAt(DomainName),
}

/// Reads an answer to `asked` NS from a server of `zone`; `None` when it says nothing that counts.
pub(crate) fn below(zone: &DomainName, asked: &DomainName, answer: &Answer) -> Option<Below> {
    if !answer.code.is_answer() {
        return None;
    }
    let read = |section, cut| Delegation::read(section, &answer.additionals, cut, Some(zone));
    let referred = cut_below(zone, asked, answer).and_then(|cut| read(&answer.authorities, cut));
    let own = || if answer.authoritative { read(&answer.answers, asked) } else { None };
    if let Some(delegation) = referred.or_else(own) {
        return Some(Below::Zone(delegation));
    }
    let begins = speaks_for(zone, asked, answer)?;
    Some(if begins == zone || begins == asked { Below::Nothing } else { Below::ZoneAt(begins.clone()) })
}

/// The zone cut strictly below `zone`, at or above `name`, that the authority section shows.
fn cut_below<'a>(zone: &DomainName, name: &DomainName, answer: &'a Answer) -> Option<&'a DomainName> {
    answer.authorities.iter().find_map(|record| match (&record.data, &record.owner) {
        (Data::Ns(_), Some(owner)) => {
            let deeper = owner != zone && owner.is_at_or_below(zone) && name.is_at_or_below(owner);
            deeper.then_some(owner)
        }
        _ => None,
    })
}

fn alias<'a>(name: &DomainName, answers: &'a [Record]) -> Option<&'a DomainName> {
    answers.iter().find_map(|record| match &record.data {
        Data::Cname(target) if record.owner.as_ref() == Some(name) => Some(target),
        _ => None,
    })
}

/// Where the aliases in a resolver's answer lead; a loop ends where the bound is.
pub(crate) fn end_of_chain<'a>(name: &'a DomainName, answers: &'a [Record]) -> &'a DomainName {
    let mut end = name;
    for _ in 0..MAX_CHAIN {
        match alias(end, answers) {
            Some(target) => end = target,
            None => break,
        }
    }
    end
}

/// The most aliases that are followed, one after the other. Resolvers stop at 8 (Unbound: 11, BIND: 16).
pub(crate) const MAX_CHAIN: usize = 16;

fn values_at<'a>(name: &DomainName, answers: &'a [Record]) -> Vec<&'a [u8]> {
    let at = |record: &'a Record| match &record.data {
        Data::Txt(text) if record.owner.as_ref() == Some(name) => Some(text.as_slice()),
        _ => None,
    };
    answers.iter().filter_map(at).collect()
}

fn judge(name: &DomainName, wanted: &[String], answer: &Answer) -> Finding {
    // A name that does not exist has no records, whatever stands beside the denial.
    let exists = answer.code == ResponseCode::NOERROR;
    let found = if exists { values_at(name, &answer.answers) } else { Vec::new() };
    let serial = answer.serial();
    let satisfied = exists && wanted.iter().all(|value| found.contains(&value.as_bytes()));
    let values = found.into_iter().take(MAX_VALUES).map(printable).collect();
    if satisfied { Finding::Satisfied { values } } else { Finding::Lacking { values, serial } }
}

/// The most values that a report keeps of one server; the comparison has seen all.
const MAX_VALUES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn record(owner: &str, data: Data) -> Record {
        Record { owner: Some(name(owner)), ttl: 60, data }
    }

    fn txt(owner: &str, text: &str) -> Record {
        record(owner, Data::Txt(text.as_bytes().to_vec()))
    }

    fn ns(owner: &str, server: &str) -> Record {
        record(owner, Data::Ns(name(server)))
    }

    fn authoritative(code: ResponseCode, answers: Vec<Record>) -> Answer {
        let mut answer = Answer::new(code);
        answer.authoritative = true;
        answer.answers = answers;
        answer.authorities = vec![record("example.com", Data::Soa { serial: 7, minimum: 60 })];
        answer
    }

    const NAME: &str = "_acme-challenge.www.example.com";

    fn finding(answer: &Answer) -> Finding {
        let values = ["one".to_owned(), "two".to_owned()];
        let (name, zone) = (name(NAME), name("example.com"));
        interpret(&Asked { name: &name, values: &values, role: Role::Authority(&zone) }, answer)
    }

    fn resolved(answer: &Answer) -> Finding {
        let values = ["one".to_owned()];
        interpret(&Asked { name: &name(NAME), values: &values, role: Role::Resolver }, answer)
    }

    #[test]
    fn a_superset_of_the_wanted_values_satisfies() {
        let answers = vec![txt(NAME, "old"), txt(NAME, "two"), txt(NAME, "one")];
        let values = ["old", "two", "one"].map(str::to_owned).to_vec();
        assert_eq!(finding(&authoritative(ResponseCode::NOERROR, answers)), Finding::Satisfied { values });
    }

    #[test]
    fn one_of_two_values_is_not_enough() {
        let answer =
            authoritative(ResponseCode::NOERROR, vec![txt(NAME, "one"), txt("www.example.com", "two")]);
        assert_eq!(finding(&answer), Finding::Lacking { values: vec!["one".into()], serial: Some(7) });
    }

    #[test]
    fn records_beside_no_such_name_are_no_proof() {
        let answer = authoritative(ResponseCode::NXDOMAIN, vec![txt(NAME, "one"), txt(NAME, "two")]);
        assert_eq!(finding(&answer), Finding::Lacking { values: vec![], serial: Some(7) });
        let expected = Finding::Lacking { values: vec![], serial: Some(7) };
        assert_eq!(resolved(&answer), expected);
    }

    #[test]
    fn no_such_name_and_no_data_are_pending_with_the_serial() {
        for code in [ResponseCode::NXDOMAIN, ResponseCode::NOERROR] {
            let finding = finding(&authoritative(code, vec![]));
            assert_eq!(finding, Finding::Lacking { values: vec![], serial: Some(7) });
        }
    }

    #[test]
    fn an_alias_is_followed_one_step_even_when_the_server_went_further() {
        let answers = vec![
            record(NAME, Data::Cname(name("x.acme.example"))),
            txt("x.acme.example", "one"),
            txt("x.acme.example", "two"),
        ];
        let answer = authoritative(ResponseCode::NOERROR, answers);
        assert_eq!(finding(&answer), Finding::Alias { target: name("x.acme.example") });
    }

    #[test]
    fn an_alias_counts_although_the_server_gave_up_on_the_chain_behind_it() {
        let chain = vec![
            record(NAME, Data::Cname(name("l1.example.com"))),
            record("l1.example.com", Data::Cname(name(NAME))),
        ];
        let mut answer = authoritative(ResponseCode::SERVFAIL, chain);
        assert_eq!(finding(&answer), Finding::Alias { target: name("l1.example.com") });
        let failure = Finding::Lame(Lameness::Code(ResponseCode::SERVFAIL));
        assert_eq!(resolved(&answer), failure, "a resolver follows them itself, and failed");
        answer.authoritative = false;
        assert_eq!(finding(&answer), failure);
        let refused = authoritative(ResponseCode::REFUSED, answer.answers);
        assert_eq!(finding(&refused), Finding::Lame(Lameness::Code(ResponseCode::REFUSED)));
    }

    #[test]
    fn a_referral_leads_to_a_deeper_zone_with_glue_of_its_own_bailiwick() {
        let mut answer = Answer::new(ResponseCode::NOERROR);
        answer.authorities =
            vec![ns("www.example.com", "ns.www.example.com"), ns("www.example.com", "ns.example.net")];
        answer.additionals = vec![
            record("ns.www.example.com", Data::A([192, 0, 2, 1].into())),
            record("ns.example.net", Data::A([192, 0, 2, 66].into())),
            record("bank.example.com", Data::A([192, 0, 2, 66].into())),
        ];
        let expected = Finding::Referral(Delegation {
            cut: name("www.example.com"),
            name_servers: vec![name("ns.www.example.com"), name("ns.example.net")],
            glue: vec![(name("ns.www.example.com"), [192, 0, 2, 1].into())],
        });
        assert_eq!(finding(&answer), expected);
        answer.authoritative = true;
        assert_eq!(finding(&answer), expected, "AA on a referral is a known bug of servers");
    }

    #[test]
    fn name_servers_of_a_lower_zone_beside_a_record_tell_who_else_has_to_have_it() {
        for own in [txt(NAME, "one"), record(NAME, Data::Cname(name("x.acme.example")))] {
            let mut answer = authoritative(ResponseCode::NOERROR, vec![own]);
            answer.authorities = vec![ns(NAME, "ns1.example.com"), ns(NAME, "third.example.net")];
            answer.additionals = vec![record("ns1.example.com", Data::A([192, 0, 2, 1].into()))];
            let expected = Finding::Referral(Delegation {
                cut: name(NAME),
                name_servers: vec![name("ns1.example.com"), name("third.example.net")],
                glue: vec![(name("ns1.example.com"), [192, 0, 2, 1].into())],
            });
            assert_eq!(finding(&answer), expected);
            answer.authoritative = false;
            assert_eq!(finding(&answer), Finding::Lame(Lameness::NotAuthoritative), "a cache has them too");
        }
    }

    #[test]
    fn an_answer_tells_for_which_zone_the_server_speaks() {
        let zone = name("example.com");
        let told = |answer: &Answer| speaks_for(&zone, &name(NAME), answer).map(ToString::to_string);
        let mut answer = authoritative(ResponseCode::NXDOMAIN, vec![]);
        assert_eq!(told(&answer).as_deref(), Some("example.com"));
        answer.authorities = vec![record("www.example.com", Data::Soa { serial: 7, minimum: 60 })];
        assert_eq!(told(&answer).as_deref(), Some("www.example.com"), "that of a zone below");
        answer.authoritative = false;
        assert_eq!(told(&answer), None);
        let mut answer = authoritative(ResponseCode::NOERROR, vec![txt(NAME, "one")]);
        answer.authorities = vec![ns("example.com", "ns1.example.com")];
        assert_eq!(told(&answer).as_deref(), Some("example.com"));
        answer.authorities = vec![];
        assert_eq!(told(&answer), None, "a positive answer need not tell");
        for owner in ["example.net", "com", "mail.example.com"] {
            answer.authorities = vec![record(owner, Data::Soa { serial: 7, minimum: 60 })];
            assert_eq!(told(&answer), None, "{owner} is not between");
        }
        let alias = record(NAME, Data::Cname(name("none.example.com")));
        let answer = authoritative(ResponseCode::NXDOMAIN, vec![alias]);
        assert_eq!(told(&answer), None, "that is the zone of the alias's target");
        assert_eq!(told(&authoritative(ResponseCode::REFUSED, vec![])), None);
    }

    #[test]
    fn asked_for_name_servers_a_server_shows_the_cut_or_denies_it() {
        let zone = name("example.com");
        let told = |answer: &Answer| below(&zone, &name(NAME), answer);
        let servers = || vec![ns(NAME, "ns1.example.com")];
        let cut = Delegation { cut: name(NAME), name_servers: vec![name("ns1.example.com")], glue: vec![] };
        let mut own = authoritative(ResponseCode::NOERROR, servers());
        assert_eq!(told(&own), Some(Below::Zone(cut.clone())), "the lower zone's own");
        own.authoritative = false;
        assert_eq!(told(&own), None, "a cache's");
        let mut referral = Answer::new(ResponseCode::NOERROR);
        referral.authorities = servers();
        assert_eq!(told(&referral), Some(Below::Zone(cut)));
        assert_eq!(told(&authoritative(ResponseCode::NXDOMAIN, vec![])), Some(Below::Nothing));
        let mut between = authoritative(ResponseCode::NOERROR, vec![]);
        between.authorities = vec![record("www.example.com", Data::Soa { serial: 7, minimum: 60 })];
        assert_eq!(told(&between), Some(Below::ZoneAt(name("www.example.com"))));
        between.authorities = vec![record(NAME, Data::Soa { serial: 7, minimum: 60 })];
        assert_eq!(told(&between), Some(Below::Nothing), "a zone without name servers leads nowhere");
        assert_eq!(told(&Answer::new(ResponseCode::SERVFAIL)), None);
    }

    #[test]
    fn each_lameness_has_its_own_word() {
        for code in [ResponseCode::REFUSED, ResponseCode::SERVFAIL, ResponseCode(23)] {
            assert_eq!(finding(&Answer::new(code)), Finding::Lame(Lameness::Code(code)));
        }
        let mut answer = Answer::new(ResponseCode::NOERROR);
        answer.answers = vec![txt(NAME, "one"), txt(NAME, "two")];
        assert_eq!(finding(&answer), Finding::Lame(Lameness::NotAuthoritative));
        answer.recursion_available = true;
        assert_eq!(finding(&answer), Finding::Lame(Lameness::Resolver));
        let mut upward = Answer::new(ResponseCode::NOERROR);
        for (owner, server) in [("com", "a.gtld.example"), ("example.com", "ns.example.com")] {
            upward.authorities = vec![ns(owner, server)];
            assert_eq!(finding(&upward), Finding::Lame(Lameness::UpwardReferral));
        }
    }

    #[test]
    fn a_resolver_follows_aliases_itself() {
        let mut answer = Answer::new(ResponseCode::NOERROR);
        answer.answers = vec![
            txt("b.example", "one"),
            record(NAME, Data::Cname(name("a.example"))),
            record("a.example", Data::Cname(name("b.example"))),
        ];
        assert_eq!(resolved(&answer), Finding::Satisfied { values: vec!["one".into()] });
        answer.answers[0] = record("b.example", Data::Cname(name("a.example")));
        assert_eq!(resolved(&answer), Finding::Lacking { values: vec![], serial: None });
        let refused = Answer::new(ResponseCode::REFUSED);
        assert_eq!(resolved(&refused), Finding::Lame(Lameness::Code(ResponseCode::REFUSED)));
    }
}
