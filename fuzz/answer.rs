//! A DNS message from anybody: what it is taken for in each of the three places where answers are read.

use perennial_core::DomainName;
use perennial_propagation::{
    Wanted,
    probe::{self, Asked, Finding, Role},
    vantage::{self, Said, Security, View},
    wire::{Answer, Data, ResponseCode},
};

/// A DNS message from anybody.
pub fn dns_answer(bytes: &[u8]) {
    perennial_providers::rfc2136::read_any_answer(bytes);
    let Ok(answer) = Answer::parse(bytes) else { return };
    let name: DomainName = "_acme-challenge.example.com".parse().expect("a name");
    let zone: DomainName = "example.com".parse().expect("a name");
    let wanted = Wanted::new(name.clone(), ["token".to_owned()]);
    for role in [Role::Authority(&zone), Role::Resolver] {
        let finding = probe::interpret(&Asked { name: &name, values: wanted.values(), role }, &answer);
        authority_or_resolver(&answer, role, &name, &zone, &finding);
    }
    // The three questions to a vantage point, all with this answer, and none but the first.
    for (unchecked, delegation) in [(None, None), (Some(&answer), None), (None, Some((&zone, &answer)))] {
        let said = Said { answer: &answer, unchecked, delegation };
        let (view, security) = vantage::interpret(&wanted, &said);
        assert!(view != View::Has || holds_the_value(&answer), "seen without being there");
        assert!(security != Security::Secure || answer.authentic_data, "secure by nobody's word");
        assert!(security != Security::Bogus, "an answer that fails unchecked as well is not bogus");
    }
    let failure = Answer::new(ResponseCode::SERVFAIL);
    let said = Said { answer: &failure, unchecked: Some(&answer), delegation: None };
    let bogus = vantage::interpret(&wanted, &said).1 == Security::Bogus;
    assert_eq!(bogus, answer.code.is_answer());
}

fn authority_or_resolver(
    answer: &Answer,
    role: Role<'_>,
    name: &DomainName,
    zone: &DomainName,
    finding: &Finding,
) {
    let authority = matches!(role, Role::Authority(_));
    match finding {
        Finding::Satisfied { .. } => {
            assert!(holds_the_value(answer), "satisfied without the value");
            assert!(!authority || answer.authoritative, "satisfied without authority");
        }
        Finding::Alias { .. } => assert!(authority && answer.authoritative, "an alias on nobody's word"),
        Finding::Referral(delegation) => {
            let cut = &delegation.cut;
            assert!(cut != zone && cut.is_at_or_below(zone) && name.is_at_or_below(cut), "refers elsewhere");
            assert!(!delegation.name_servers.is_empty() && delegation.name_servers.len() <= 16);
            assert!(delegation.glue.iter().all(|(owner, _)| owner.is_at_or_below(zone)), "foreign glue");
        }
        Finding::Lacking { values, .. } => {
            assert!(
                values.len() <= 50 && !values.iter().flat_map(|value| value.chars()).any(char::is_control)
            );
        }
        _ => {}
    }
}

fn holds_the_value(answer: &Answer) -> bool {
    answer.answers.iter().any(|record| record.data == Data::Txt(b"token".to_vec()))
}
