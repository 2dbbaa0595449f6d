//! What answers say about a zone cut: RFC 1034 §4.2, RFC 2308 §2 and §5.

use std::net::IpAddr;

use perennial_core::DomainName;

use super::{Evidence, ZoneServer};
use crate::{
    probe::Delegation,
    wire::{Answer, Data, Record, ResponseCode},
};

/// The name to ask a resolver about instead of `name`: its parent, and above all labels that begin with an
/// underscore (RFC 8552), wherever they stand, so that neither `name` nor an empty name on the way to it is ever
/// sent. `None` at a top-level name.
pub(crate) fn start(name: &DomainName) -> Option<DomainName> {
    let upwards = std::iter::successors(Some(name.clone()), DomainName::parent);
    let highest = upwards.filter(|at| at.as_str().starts_with('_')).last();
    highest.as_ref().unwrap_or(name).parent()
}

/// Whether one of the labels begins with an underscore.
pub(crate) fn has_underscore(name: &DomainName) -> bool {
    name.labels().any(|label| label.starts_with('_'))
}

/// Those names at or above `start` at which the zone, and the zone above it, may begin: all of them, or of a very
/// long name those nearest to the root, where most zones are. Shortest last.
pub(crate) fn candidates(start: &DomainName) -> Vec<DomainName> {
    let upwards = std::iter::successors(Some(start.clone()), DomainName::parent).collect::<Vec<_>>();
    let skipped = upwards.len().saturating_sub(MAX_CANDIDATES);
    upwards.into_iter().skip(skipped).collect()
}

/// What is asked about before anybody has said where the zone begins: questions, not round trips.
const MAX_CANDIDATES: usize = 8;

/// Where a zone begins, by a resolver's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Apex(DomainName),
    Root,
    /// The answer does not say: ask about the name above.
    Silent,
}

/// Reads an answer to `asked` SOA or NS. The record asked for stands in the answer section at an apex; everywhere
/// else the SOA record stands in the authority section of a negative answer (RFC 2308 §3).
pub(crate) fn claim(asked: &DomainName, answer: &Answer) -> Claim {
    // Behind an alias the SOA is that of the alias's target, whatever its name looks like.
    let aliased = answer.answers.iter().any(|record| matches!(record.data, Data::Cname(_)));
    if aliased || !answer.code.is_answer() {
        return Claim::Silent;
    }
    if !Answer::name_servers(&answer.answers, asked).is_empty() {
        return Claim::Apex(asked.clone());
    }
    let mut records = answer.answers.iter().chain(&answer.authorities);
    let soa = records.find(|record| matches!(record.data, Data::Soa { .. }));
    match soa.map(|record| &record.owner) {
        Some(None) => Claim::Root,
        Some(Some(owner)) if asked.is_at_or_below(owner) => Claim::Apex(owner.clone()),
        Some(Some(_)) | None => Claim::Silent,
    }
}

/// Whether a resolver's answer is a "no" that nothing speaks for: RFC 2308 §2 wants an SOA record beside it. Boxes in
/// between deny like that what they do not understand or do not like.
pub(crate) fn is_hollow(answer: &Answer) -> bool {
    let soa = |record: &Record| matches!(record.data, Data::Soa { .. });
    answer.answers.is_empty() && !answer.authorities.iter().any(soa)
}

/// What a server of `parent` says about a zone `claimed` further down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Testimony {
    /// The zone exists.
    Delegated(Delegation),
    /// Another cut lies between: ask there.
    Between(Delegation),
    /// With authority: there is no such zone.
    Denied(ResponseCode),
    /// Nothing that counts, and why.
    Useless(String),
}

/// Reads a server's answer to `claimed` NS, asked without recursion.
pub(crate) fn testimony(parent: &DomainName, claimed: &DomainName, answer: &Answer) -> Testimony {
    if !answer.code.is_answer() {
        return Testimony::Useless(format!("it answers {}", answer.code));
    }
    let read = |section, cut| Delegation::read(section, &answer.additionals, cut, Some(parent));
    // A referral has the NS records in the authority section; a server of both zones answers for the child.
    let own = if answer.authoritative { read(&answer.answers, claimed) } else { None };
    if let Some(delegation) = own.or_else(|| read(&answer.authorities, claimed)) {
        return Testimony::Delegated(delegation);
    }
    let between = answer.authorities.iter().find_map(|record| match (&record.data, &record.owner) {
        (Data::Ns(_), Some(owner)) => {
            let inside = owner != parent && owner.is_at_or_below(parent) && claimed.is_at_or_below(owner);
            inside.then_some(owner)
        }
        _ => None,
    });
    if let Some(delegation) = between.and_then(|cut| read(&answer.authorities, cut)) {
        return Testimony::Between(delegation);
    }
    if answer.authoritative {
        Testimony::Denied(answer.code)
    } else {
        Testimony::Useless("it answers without authority (AA=0)".to_owned())
    }
}

/// Whether a server of `apex`, asked for the SOA record of a name below it, says that the name lies in the zone
/// itself: no cut lies between. `None` when it says nothing that counts.
pub(crate) fn is_inside(apex: &DomainName, answer: &Answer) -> Option<bool> {
    if !answer.code.is_answer() {
        return None;
    }
    let delegated = |record: &Record| matches!((&record.data, &record.owner), (Data::Ns(_), Some(owner)) if owner != apex);
    if !answer.authoritative {
        return answer.authorities.iter().any(delegated).then_some(false);
    }
    let soa = answer.answers.iter().chain(&answer.authorities);
    soa.filter(|record| matches!(record.data, Data::Soa { .. }))
        .find_map(|record| Some(record.owner.as_ref()? == apex))
}

/// The name servers to ask for a confirmed zone, from what the parent says and what the resolver says.
///
/// Normally the union: a CA's resolver may use either set. But a resolver whose name servers share not one
/// name with the parent's, or whose addresses share not one with the glue, looks at another horizon, and what
/// it says would never be asked by a CA.
pub(crate) fn merge(parent: &Delegation, resolver: &[ZoneServer]) -> (Vec<ZoneServer>, Vec<Evidence>) {
    let mut evidence = Vec::new();
    let parent_only: Vec<DomainName> =
        parent.name_servers.iter().filter(|name| find(resolver, name).is_none()).cloned().collect();
    let resolver_only: Vec<DomainName> = resolver
        .iter()
        .map(|server| &server.name)
        .filter(|name| !parent.name_servers.contains(name))
        .cloned()
        .collect();
    let disjoint = parent_only.len() == parent.name_servers.len();
    let mut servers: Vec<ZoneServer> = Vec::new();
    for name in &parent.name_servers {
        let glue: Vec<IpAddr> =
            parent.glue.iter().filter(|(owner, _)| owner == name).map(|(_, address)| *address).collect();
        let (server, difference) = merge_addresses(name, &glue, find(resolver, name));
        servers.push(server);
        evidence.extend(difference);
    }
    if !disjoint {
        servers.extend(resolver.iter().filter(|server| resolver_only.contains(&server.name)).cloned());
    }
    let agree = parent_only.is_empty() && resolver_only.is_empty();
    if !agree && !resolver.is_empty() {
        let apex = parent.cut.clone();
        evidence.push(Evidence::NameServersDiffer { apex, parent_only, resolver_only });
    }
    (servers, evidence)
}

fn find<'a>(servers: &'a [ZoneServer], name: &DomainName) -> Option<&'a ZoneServer> {
    servers.iter().find(|server| server.name == *name)
}

/// One name server's addresses; glue wins where the two disagree wholly within a family.
fn merge_addresses(
    name: &DomainName,
    glue: &[IpAddr],
    resolved: Option<&ZoneServer>,
) -> (ZoneServer, Option<Evidence>) {
    let mut server = ZoneServer::new(name.clone());
    glue.iter().for_each(|address| server.add(*address));
    let Some(resolved) = resolved else { return (server, None) };
    let v4: Vec<IpAddr> = resolved.v4.iter().map(|v4| (*v4).into()).collect();
    let v6: Vec<IpAddr> = resolved.v6.iter().map(|v6| (*v6).into()).collect();
    let mut disputed = Vec::new();
    for family in [v4, v6] {
        let same_family =
            |address: &&IpAddr| family.first().is_some_and(|f| f.is_ipv4() == address.is_ipv4());
        let told: Vec<&IpAddr> = glue.iter().filter(same_family).collect();
        if told.is_empty() || told.iter().any(|address| family.contains(address)) {
            family.into_iter().for_each(|address| server.add(address));
        } else {
            disputed.extend(family);
        }
    }
    let difference = (!disputed.is_empty()).then(|| Evidence::AddressesDiffer {
        server: name.clone(),
        parent: glue.to_vec(),
        resolver: disputed,
    });
    (server, difference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn soa(owner: Option<&str>) -> Record {
        Record { owner: owner.map(name), ttl: 1, data: Data::Soa { serial: 1, minimum: 60 } }
    }

    fn ns(owner: &str, server: &str) -> Record {
        Record { owner: Some(name(owner)), ttl: 1, data: Data::Ns(name(server)) }
    }

    fn server(host: &str, addresses: &[&str]) -> ZoneServer {
        let mut server = ZoneServer::new(name(host));
        addresses.iter().for_each(|address| server.add(address.parse().unwrap()));
        server
    }

    #[test]
    fn the_challenge_label_and_its_kin_are_never_asked_about() {
        for (challenge, asked) in [
            ("_acme-challenge.www.example.com", Some("www.example.com")),
            ("_ujmmovf2vn55tgye._acme-challenge.example.com", Some("example.com")),
            ("_validation-persist.example.com", Some("example.com")),
            ("abc.acme.example", Some("acme.example")),
            ("token.sub._acme.example.net", Some("example.net")),
            ("_acme-challenge.www._tcp.sub.example.net", Some("sub.example.net")),
            ("example", None),
            ("_acme-challenge._tcp", None),
        ] {
            assert_eq!(start(&name(challenge)), asked.map(name), "{challenge}");
        }
    }

    #[test]
    fn the_apex_stands_in_the_answer_or_the_authority_section() {
        let asked = name("www.example.com");
        for code in [ResponseCode::NOERROR, ResponseCode::NXDOMAIN] {
            let mut answer = Answer::new(code);
            answer.authorities = vec![soa(Some("example.com"))];
            assert_eq!(claim(&asked, &answer), Claim::Apex(name("example.com")));
        }
        let mut apex = Answer::new(ResponseCode::NOERROR);
        apex.answers = vec![soa(Some("www.example.com"))];
        assert_eq!(claim(&asked, &apex), Claim::Apex(asked.clone()));
        apex.answers = vec![soa(None)];
        assert_eq!(claim(&asked, &apex), Claim::Root);
        apex.answers = vec![ns("www.example.com", "ns.example.com")];
        assert_eq!(claim(&asked, &apex), Claim::Apex(asked.clone()));
        assert_eq!(claim(&name("example.com"), &apex), Claim::Silent, "somebody else's name servers");
    }

    #[test]
    fn the_candidates_are_the_names_above_and_never_many() {
        let shown = |start: &str| {
            candidates(&name(start)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("www.example.com"), "www.example.com example.com com");
        assert_eq!(
            shown("a.b.c.d.e.f.g.h.i.j"),
            "c.d.e.f.g.h.i.j d.e.f.g.h.i.j e.f.g.h.i.j f.g.h.i.j g.h.i.j h.i.j i.j j"
        );
    }

    #[test]
    fn answers_that_do_not_say_are_passed_over() {
        let asked = name("www.example.com");
        assert_eq!(claim(&asked, &Answer::new(ResponseCode::NOERROR)), Claim::Silent);
        let mut answer = Answer::new(ResponseCode::SERVFAIL);
        answer.authorities = vec![soa(Some("example.com"))];
        assert_eq!(claim(&asked, &answer), Claim::Silent);
        answer.code = ResponseCode::NOERROR;
        answer.answers =
            vec![Record { owner: Some(asked.clone()), ttl: 1, data: Data::Cname(name("cdn.example")) }];
        assert_eq!(claim(&asked, &answer), Claim::Silent);
        let mut foreign = Answer::new(ResponseCode::NOERROR);
        foreign.authorities = vec![soa(Some("cdn.example"))];
        assert_eq!(claim(&asked, &foreign), Claim::Silent);
    }

    #[test]
    fn a_no_without_an_soa_record_is_hollow() {
        for code in [ResponseCode::NOERROR, ResponseCode::NXDOMAIN] {
            let mut answer = Answer::new(code);
            assert!(is_hollow(&answer));
            answer.authorities = vec![ns("com", "a.gtld.example")];
            assert!(is_hollow(&answer));
            answer.authorities = vec![soa(None)];
            assert!(!is_hollow(&answer));
        }
        let mut answer = Answer::new(ResponseCode::NOERROR);
        answer.answers = vec![ns("com", "a.gtld.example")];
        assert!(!is_hollow(&answer));
    }

    fn hear(answer: &Answer) -> Testimony {
        testimony(&name("example.com"), &name("app.site.example.com"), answer)
    }

    #[test]
    fn a_referral_or_an_answer_of_both_zones_confirms() {
        let records = vec![ns("app.site.example.com", "ns1.example.net")];
        let mut referral = Answer::new(ResponseCode::NOERROR);
        referral.authorities = records.clone();
        let mut both = Answer::new(ResponseCode::NOERROR);
        both.authoritative = true;
        both.answers = records;
        for answer in [referral, both.clone()] {
            let Testimony::Delegated(delegation) = hear(&answer) else { panic!("{answer:?}") };
            assert_eq!(delegation.name_servers, [name("ns1.example.net")]);
        }
        both.authoritative = false;
        assert!(matches!(hear(&both), Testimony::Useless(_)), "a resolver's copy confirms nothing");
    }

    #[test]
    fn an_authoritative_no_denies() {
        for code in [ResponseCode::NOERROR, ResponseCode::NXDOMAIN] {
            let mut answer = Answer::new(code);
            answer.authorities = vec![soa(Some("example.com"))];
            assert!(matches!(hear(&answer), Testimony::Useless(_)));
            answer.authoritative = true;
            assert_eq!(hear(&answer), Testimony::Denied(code));
        }
        assert!(matches!(hear(&Answer::new(ResponseCode::REFUSED)), Testimony::Useless(_)));
    }

    #[test]
    fn a_cut_between_is_where_to_ask_next() {
        let mut answer = Answer::new(ResponseCode::NOERROR);
        answer.authorities = vec![ns("site.example.com", "ns.site.example.com")];
        let Testimony::Between(delegation) = hear(&answer) else { panic!("{answer:?}") };
        assert_eq!(delegation.cut, name("site.example.com"));
        answer.authorities = vec![ns("com", "a.gtld.example")];
        assert!(matches!(hear(&answer), Testimony::Useless(_)), "upwards leads nowhere");
    }

    #[test]
    fn a_zones_own_servers_say_whether_a_name_lies_in_it() {
        let ask = |authoritative, records: Vec<Record>| {
            let mut answer = Answer::new(ResponseCode::NXDOMAIN);
            (answer.authoritative, answer.authorities) = (authoritative, records);
            is_inside(&name("example.com"), &answer)
        };
        assert_eq!(ask(true, vec![soa(Some("example.com"))]), Some(true));
        assert_eq!(ask(true, vec![soa(Some("sub.example.com"))]), Some(false), "it serves that zone too");
        assert_eq!(ask(false, vec![ns("sub.example.com", "ns.example.com")]), Some(false));
        assert_eq!(ask(false, vec![ns("example.com", "ns.example.com")]), None);
        assert_eq!(ask(false, vec![soa(Some("example.com"))]), None, "a resolver's copy proves nothing");
        assert_eq!(is_inside(&name("example.com"), &Answer::new(ResponseCode::REFUSED)), None);
    }

    fn delegation(servers: &[&str], glue: &[(&str, &str)]) -> Delegation {
        let mut answer = Answer::new(ResponseCode::NOERROR);
        answer.authorities = servers.iter().map(|server| ns("example.com", server)).collect();
        answer.additionals = glue
            .iter()
            .map(|(owner, v4)| Record {
                owner: Some(name(owner)),
                ttl: 1,
                data: Data::A(v4.parse().unwrap()),
            })
            .collect();
        let (cut, parent) = (name("example.com"), name("com"));
        Delegation::read(&answer.authorities, &answer.additionals, &cut, Some(&parent)).unwrap()
    }

    #[test]
    fn name_servers_of_parent_and_child_are_united_and_the_mismatch_is_noted() {
        let parent = delegation(&["a.example.com", "b.example.com"], &[("a.example.com", "192.0.2.1")]);
        let resolver =
            [server("a.example.com", &["192.0.2.1", "2001:db8::1"]), server("c.example.com", &["192.0.2.3"])];
        let (servers, evidence) = merge(&parent, &resolver);
        assert_eq!(servers, [resolver[0].clone(), server("b.example.com", &[]), resolver[1].clone()]);
        assert_eq!(
            evidence,
            [Evidence::NameServersDiffer {
                apex: name("example.com"),
                parent_only: vec![name("b.example.com")],
                resolver_only: vec![name("c.example.com")],
            }]
        );
    }

    #[test]
    fn another_horizons_name_servers_and_addresses_are_not_asked() {
        let parent = delegation(&["a.example.com"], &[("a.example.com", "192.0.2.1")]);
        let (servers, evidence) = merge(&parent, &[server("internal.example.com", &["10.0.0.1"])]);
        assert_eq!(servers, [server("a.example.com", &["192.0.2.1"])]);
        assert!(matches!(evidence.as_slice(), [Evidence::NameServersDiffer { .. }]));
        let (servers, evidence) = merge(&parent, &[server("a.example.com", &["10.0.0.1", "2001:db8::1"])]);
        assert_eq!(servers, [server("a.example.com", &["192.0.2.1", "2001:db8::1"])]);
        assert!(matches!(evidence.as_slice(), [Evidence::AddressesDiffer { .. }]));
    }

    #[test]
    fn agreement_leaves_no_evidence() {
        let parent = delegation(&["a.example.com"], &[]);
        let resolver = [server("a.example.com", &["192.0.2.1"])];
        assert_eq!(merge(&parent, &resolver), (resolver.to_vec(), vec![]));
    }
}
