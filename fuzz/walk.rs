//! The walk from the root (RFC 1034 §5.3.3) among servers that answer anything at all, in any order.
//!
//! Bytes become operations: what a server answers to a question that is under way, when, and which one. Once they are
//! used up nobody answers any more. Whatever happens, the walk ends within its bounds: they are asserted here, from
//! outside.

use std::{net::IpAddr, time::Duration};

use arbitrary::{Result as Fed, Unstructured};
use perennial_core::DomainName;
use perennial_propagation::{
    transport::TransportError,
    wire::{Answer, Data, Record, RecordType, ResponseCode},
    zone::{
        MAX_ADDRESSES, ZoneServer,
        walk::{Question, Walk},
    },
};

/// A walk, whatever it meets.
pub fn zone_walk(bytes: &[u8]) {
    let mut feed = Unstructured::new(bytes);
    let target: DomainName = TARGET.parse().expect("a name");
    let mut walk = Walk::to(target.clone(), &roots(), feed.arbitrary().unwrap_or_default());
    let mut under_way: Vec<Question> = Vec::new();
    let (mut now, mut asked) = (Duration::ZERO, 0);
    let end = loop {
        while let Some(question) = walk.poll_question() {
            assert!(!question.query.recursion_desired);
            asked += 1;
            under_way.push(question);
        }
        if let Some(end) = walk.poll_end() {
            break end.clone();
        }
        let timeout = walk.poll_timeout().expect("a walk that goes on has a timer");
        assert!(timeout > now, "a timer that has run off");
        match answer(&mut feed, &mut under_way) {
            Ok(Some((question, answer, late))) => {
                now = (now + late).min(timeout);
                walk.handle_answer(now, question.ticket, &answer);
                // An answer that comes a second time changes nothing.
                walk.handle_answer(now, question.ticket, &answer);
            }
            Ok(None) | Err(_) => {
                now = timeout;
                walk.handle_timeout(now);
            }
        }
    };
    assert!(asked <= 200, "{asked} questions");
    assert!(now <= Duration::from_secs(10), "{now:?}");
    assert!(walk.poll_question().is_none() && walk.poll_timeout().is_none(), "it is over");
    if let Ok(zone) = end {
        assert!(target.is_at_or_below(&zone.apex), "{} does not hold the name", zone.apex);
        assert!(zone.servers.len() <= 16);
        let few = |server: &ZoneServer| server.v4.len() <= MAX_ADDRESSES && server.v6.len() <= MAX_ADDRESSES;
        assert!(zone.servers.iter().all(few));
        assert!(zone.servers.iter().any(|server| !server.is_unresolved()));
    }
}

const TARGET: &str = "www.sub.example.com";

fn roots() -> Vec<ZoneServer> {
    ["a.root.test", "b.root.test"]
        .into_iter()
        .zip([1_u8, 2])
        .map(|(name, last)| {
            let mut server = ZoneServer::new(name.parse().expect("a name"));
            server.add(IpAddr::from([192, 0, 2, last]));
            server
        })
        .collect()
}

/// One of the questions under way, what comes back, and how much later.
#[allow(clippy::type_complexity)]
fn answer(
    feed: &mut Unstructured<'_>,
    under_way: &mut Vec<Question>,
) -> Fed<Option<(Question, Result<Answer, TransportError>, Duration)>> {
    if under_way.is_empty() || feed.is_empty() {
        return Ok(None);
    }
    let index = feed.choose_index(under_way.len())?;
    let question = under_way.remove(index);
    let late = Duration::from_millis(feed.int_in_range(0..=400)?);
    let answer = match feed.int_in_range(0..=7_u8)? {
        0 => Err(TransportError::Timeout),
        1 => Err(TransportError::Unreachable { reason: "no way".to_owned() }),
        2 | 3 => Ok(referral(feed, &question)?),
        _ => Ok(anything(feed, &question)?),
    };
    Ok(Some((question, answer, late)))
}

/// Further down the way, as an honest server would send us, to more or less honest servers.
fn referral(feed: &mut Unstructured<'_>, question: &Question) -> Fed<Answer> {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    for _ in 0..feed.int_in_range(1..=3)? {
        let host = name(feed, question)?;
        answer.authorities.push(record(question.query.name.clone(), Data::Ns(host.clone())));
        if feed.ratio(3, 4)? {
            answer.additionals.push(record(host, address(feed)?));
        }
    }
    Ok(answer)
}

fn anything(feed: &mut Unstructured<'_>, question: &Question) -> Fed<Answer> {
    let code = *feed.choose(&[
        ResponseCode::NOERROR,
        ResponseCode::NOERROR,
        ResponseCode::NXDOMAIN,
        ResponseCode::SERVFAIL,
        ResponseCode::REFUSED,
    ])?;
    let mut answer = Answer::new(code);
    answer.authoritative = feed.ratio(2, 3)?;
    answer.recursion_available = feed.arbitrary()?;
    for section in [&mut answer.answers, &mut answer.authorities, &mut answer.additionals] {
        for _ in 0..feed.int_in_range(0..=4)? {
            let owner = if feed.arbitrary()? { question.query.name.clone() } else { name(feed, question)? };
            let data = match feed.int_in_range(0..=5_u8)? {
                0 => Data::Cname(name(feed, question)?),
                1 | 2 => Data::Ns(name(feed, question)?),
                3 => Data::Soa { serial: 1, minimum: 60 },
                _ if question.query.record_type == RecordType::Ns => Data::Ns(name(feed, question)?),
                _ => address(feed)?,
            };
            section.push(record(owner, data));
        }
    }
    Ok(answer)
}

fn name(feed: &mut Unstructured<'_>, question: &Question) -> Fed<DomainName> {
    const POOL: [&str; 12] = [
        "com",
        "example.com",
        "sub.example.com",
        TARGET,
        "deep.www.sub.example.com",
        "ns1.example.com",
        "ns2.sub.example.com",
        "net",
        "hoster.net",
        "ns.hoster.net",
        "ns.other.test",
        "a.root.test",
    ];
    let known: DomainName = feed.choose(&POOL)?.parse().expect("a name");
    Ok(match feed.int_in_range(0..=7_u8)? {
        0 => question.query.name.clone(),
        1 => question.query.name.parent().unwrap_or(known),
        2 => {
            let label = format!("x{}", feed.int_in_range(0..=99_u8)?);
            question.query.name.child(&label).unwrap_or(known)
        }
        _ => known,
    })
}

fn address(feed: &mut Unstructured<'_>) -> Fed<Data> {
    let last: u8 = feed.arbitrary()?;
    Ok(if feed.ratio(1, 4)? {
        Data::Aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()].into())
    } else {
        Data::A([192, 0, 2, last].into())
    })
}

fn record(owner: DomainName, data: Data) -> Record {
    Record { owner: Some(owner), ttl: 300, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_of_worlds_that_nobody_thought_of_end_within_the_bounds() {
        // SplitMix64: the same worlds each time.
        let mut state = 1_u64;
        for length in (0..3000).map(|index| index % 1500) {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed >> 56) as u8
            })
            .take(length)
            .collect();
            zone_walk(&bytes);
        }
    }
}
