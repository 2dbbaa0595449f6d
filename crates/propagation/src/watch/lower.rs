//! The search for a zone further down that a zone's own servers serve too.
//!
//! They answer for it with authority, without a referral (RFC 1034 §4.3.2), and whoever else serves it would
//! never be asked. Negative answers give it away by their SOA record (RFC 2308 §3); positive ones need not, so
//! one of the servers is asked for the name servers of the name itself.

use std::time::Duration;

use perennial_core::DomainName;

use super::{Ticket, ZONE_REFRESH};
use crate::{
    probe::{Below, Delegation, below},
    transport::{Endpoint, Reply, TransportError},
};

#[derive(Debug, Default)]
pub(super) struct Lower {
    search: Search,
    zone: Option<Delegation>,
    /// When somebody told what is so.
    told_at: Option<Duration>,
    /// Who was asked since it was last in doubt.
    asked: Vec<Endpoint>,
}

#[derive(Debug, Default)]
enum Search {
    #[default]
    Idle,
    Due(Inquiry),
    Flight(Ticket, Inquiry),
}

/// Whom to ask for the name servers of which name.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    pub(super) whom: Endpoint,
    pub(super) name: DomainName,
}

/// The most servers that are asked, one after the other, until one tells.
const MOST_ASKED: usize = 3;

impl Lower {
    /// The zone, where there is one.
    pub(super) const fn zone(&self) -> Option<&Delegation> {
        self.zone.as_ref()
    }

    /// Whether somebody is to be asked, or is being asked.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.search, Search::Due(_) | Search::Flight(..))
    }

    /// Whether somebody has told what is so.
    pub(super) const fn is_told(&self) -> bool {
        self.told_at.is_some()
    }

    /// Whether there may be such a zone and this server may know it.
    pub(super) fn may_ask(&self, whom: &Endpoint) -> bool {
        let enough = self.asked.len() >= MOST_ASKED || self.asked.contains(whom);
        self.zone.is_none() && !self.is_open() && !enough
    }

    pub(super) fn ask(&mut self, whom: Endpoint, name: DomainName) {
        self.search = Search::Due(Inquiry { whom, name });
    }

    /// What was told will not do any more, unless it is that there is such a zone.
    pub(super) fn doubt(&mut self) {
        self.asked.clear();
        if self.zone.is_none() {
            self.told_at = None;
        }
    }

    /// When a zone that was found should be asked about once more.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let known = self.zone.is_some() && !self.is_open();
        self.told_at.filter(|_| known).map(|at| at.saturating_add(ZONE_REFRESH))
    }

    pub(super) fn next_inquiry(&mut self, ticket: Ticket) -> Option<Inquiry> {
        let Search::Due(inquiry) = &self.search else { return None };
        let inquiry = inquiry.clone();
        self.search = Search::Flight(ticket, inquiry.clone());
        Some(inquiry)
    }

    /// Takes the answer of a server of the zone `apex`, if it is to the question that was asked here; whether
    /// it makes a difference.
    pub(super) fn answered(
        &mut self,
        ticket: Ticket,
        answer: &Result<Reply, TransportError>,
        apex: &DomainName,
        now: Duration,
    ) -> Option<bool> {
        let Inquiry { whom, name } = match &self.search {
            Search::Flight(flight, inquiry) if *flight == ticket => inquiry.clone(),
            _ => return None,
        };
        self.search = Search::Idle;
        if !self.asked.contains(&whom) {
            self.asked.push(whom.clone());
        }
        let told = answer.as_ref().ok().and_then(|reply| below(apex, &name, &reply.answer));
        let zone = match told {
            Some(Below::Zone(delegation)) => Some(delegation),
            Some(Below::Nothing) => None,
            // The way leads upwards, so the name's length bounds it.
            Some(Below::ZoneAt(begin)) => {
                self.ask(whom, begin);
                return Some(false);
            }
            // A zone that was found is there until somebody says that it is not.
            None if self.zone.is_some() => self.zone.clone(),
            None => return Some(false),
        };
        self.told_at = Some(now);
        let news = self.zone != zone;
        self.zone = zone;
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transport::Transport,
        wire::{Answer, Data, Record, ResponseCode},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn server(last: u8) -> Endpoint {
        Endpoint::Udp(([192, 0, 2, last], 53).into())
    }

    fn says(answers: Vec<Record>, authorities: Vec<Record>) -> Result<Reply, TransportError> {
        let mut answer = Answer::new(ResponseCode::NOERROR);
        (answer.authoritative, answer.answers, answer.authorities) = (true, answers, authorities);
        Ok(Reply::new(answer, Transport::Udp, SECOND))
    }

    fn record(owner: &str, data: Data) -> Record {
        Record { owner: Some(name(owner)), ttl: 1, data }
    }

    fn soa(owner: &str) -> Record {
        record(owner, Data::Soa { serial: 1, minimum: 60 })
    }

    fn ns(owner: &str) -> Record {
        record(owner, Data::Ns(name("third.example.net")))
    }

    /// Asks, and hands in the answer; where it was asked and whether that made a difference.
    fn told(lower: &mut Lower, ticket: u64, said: Result<Reply, TransportError>) -> (String, bool) {
        let inquiry = lower.next_inquiry(Ticket(ticket)).unwrap();
        let news = lower.answered(Ticket(ticket), &said, &name("example.com"), SECOND).unwrap();
        (inquiry.name.to_string(), news)
    }

    #[test]
    fn a_zone_whose_begin_is_told_is_asked_about_there() {
        let mut lower = Lower::default();
        lower.ask(server(1), name("b.a.example.com"));
        assert_eq!(
            told(&mut lower, 1, says(vec![], vec![soa("a.example.com")])),
            ("b.a.example.com".into(), false)
        );
        assert!(lower.is_open() && lower.zone().is_none());
        let all = says(vec![ns("a.example.com")], vec![]);
        assert_eq!(told(&mut lower, 2, all), ("a.example.com".into(), true));
        assert_eq!(lower.zone().unwrap().cut, name("a.example.com"));
        assert_eq!(lower.next_look(), Some(SECOND + ZONE_REFRESH));
    }

    #[test]
    fn a_few_servers_are_asked_until_one_tells() {
        let mut lower = Lower::default();
        for last in 1..=3 {
            assert!(lower.may_ask(&server(last)));
            lower.ask(server(last), name("a.example.com"));
            assert!(!told(&mut lower, last.into(), Err(TransportError::Timeout)).1);
            assert!(!lower.may_ask(&server(last)) && !lower.is_told(), "not twice");
        }
        assert!(!lower.may_ask(&server(4)), "nor any number of them");
        lower.doubt();
        assert!(lower.may_ask(&server(1)));
        lower.ask(server(1), name("a.example.com"));
        assert!(!told(&mut lower, 4, says(vec![], vec![soa("example.com")])).1);
        assert!(lower.is_told() && lower.zone().is_none());
        assert!(lower.may_ask(&server(2)), "one who says something else may be asked");
    }

    #[test]
    fn a_zone_that_was_found_stays_until_somebody_says_that_it_is_gone() {
        let mut lower = Lower::default();
        lower.ask(server(1), name("a.example.com"));
        assert!(told(&mut lower, 1, says(vec![ns("a.example.com")], vec![])).1);
        lower.doubt();
        assert!(!lower.may_ask(&server(1)));
        lower.ask(server(1), name("a.example.com"));
        assert!(!told(&mut lower, 2, Err(TransportError::Timeout)).1);
        assert!(lower.zone().is_some());
        lower.ask(server(1), name("a.example.com"));
        assert!(told(&mut lower, 3, says(vec![], vec![soa("example.com")])).1);
        assert!(lower.zone().is_none());
    }

    #[test]
    fn an_answer_to_another_question_is_left_alone() {
        let mut lower = Lower::default();
        let nothing = says(vec![], vec![]);
        assert_eq!(lower.answered(Ticket(1), &nothing, &name("example.com"), SECOND), None);
        lower.ask(server(1), name("a.example.com"));
        assert_eq!(lower.answered(Ticket(1), &nothing, &name("example.com"), SECOND), None);
        lower.next_inquiry(Ticket(1)).unwrap();
        assert_eq!(lower.answered(Ticket(2), &nothing, &name("example.com"), SECOND), None);
        assert!(lower.is_open());
    }
}
