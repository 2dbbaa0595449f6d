//! Vantage points that have, lack, remember and refuse.

use super::*;
use crate::wire::Record;
use perennial_core::DomainName;
use proptest::prelude::*;

const NAME: &str = "_acme-challenge.example.com";

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn wanted() -> Wanted {
    Wanted::new(name(NAME), ["token".to_owned()])
}

fn record(owner: &str, ttl: u32, data: Data) -> Record {
    Record { owner: Some(name(owner)), ttl, data }
}

fn txt(ttl: u32, text: &str) -> Record {
    record(NAME, ttl, Data::Txt(text.as_bytes().to_vec()))
}

fn answer(answers: Vec<Record>) -> Answer {
    let mut answer = Answer::new(ResponseCode::NOERROR);
    answer.answers = answers;
    answer
}

fn absent(ttl: u32, minimum: u32) -> Answer {
    let mut answer = Answer::new(ResponseCode::NXDOMAIN);
    answer.authorities = vec![record("example.com", ttl, Data::Soa { serial: 1, minimum })];
    answer
}

fn failing(extended: Option<u16>) -> Answer {
    let mut answer = Answer::new(ResponseCode::SERVFAIL);
    answer.extended_error = extended.map(|code| ExtendedError { code, text: String::new() });
    answer
}

fn view(answer: &Answer) -> View {
    interpret(&wanted(), &Said { answer, unchecked: None, delegation: None }).0
}

fn security(answer: &Answer, unchecked: Option<&Answer>, delegation: Option<&Answer>) -> Security {
    let zone = name("example.com");
    let delegation = delegation.map(|answer| (&zone, answer));
    interpret(&wanted(), &Said { answer, unchecked, delegation }).1
}

#[test]
fn a_vantage_point_has_the_values_lacks_them_or_holds_on_to_others() {
    assert_eq!(view(&answer(vec![txt(60, "old"), txt(60, "token")])), View::Has);
    let absence = |ttl| Some(Absence { zone: Some(name("example.com")), ttl });
    assert_eq!(view(&absent(40, 900)), View::Lacking { absence: absence(40) });
    assert_eq!(view(&absent(4000, 900)), View::Lacking { absence: absence(900) }, "the minimum caps it");
    assert_eq!(view(&answer(vec![])), View::Lacking { absence: None });
    let stale = |ttl| View::Stale { values: vec!["old".into()], ttl };
    assert_eq!(view(&answer(vec![txt(30, "old")])), stale(30));
    let aliased = vec![
        record(NAME, 9, Data::Cname(name("a.example"))),
        record("a.example", 30, Data::Txt(b"old".to_vec())),
    ];
    assert_eq!(view(&answer(aliased)), stale(9), "the alias is looked up again before the text");
    for code in [ResponseCode::REFUSED, ResponseCode::SERVFAIL] {
        assert_eq!(view(&Answer::new(code)), View::Failing { code });
    }
}

#[test]
fn a_validated_answer_is_secure_and_one_without_a_key_above_is_insecure() {
    let mut secure = answer(vec![txt(60, "token")]);
    assert_eq!(security(&secure, None, None), Security::Indeterminate);
    let no_key = |above: Option<&str>| {
        let mut no_key = answer(vec![]);
        let data = Data::Soa { serial: 1, minimum: 60 };
        no_key.authorities = vec![Record { owner: above.map(name), ttl: 60, data }];
        no_key
    };
    for (above, expected) in [
        (Some("com"), Security::Insecure),
        (None, Security::Insecure),
        (Some("example.com"), Security::Indeterminate),
        (Some("other.example"), Security::Indeterminate),
    ] {
        assert_eq!(security(&secure, None, Some(&no_key(above))), expected, "{above:?}");
    }
    let denied = Answer { code: ResponseCode::NXDOMAIN, ..no_key(Some("com")) };
    assert_eq!(security(&secure, None, Some(&denied)), Security::Indeterminate, "the zone exists");
    assert_eq!(security(&secure, None, Some(&answer(vec![]))), Security::Indeterminate, "whose word is it?");
    let key = record("example.com", 60, Data::Ds { key_tag: 1, algorithm: 13 });
    let signed = answer(vec![key]);
    assert_eq!(security(&secure, None, Some(&signed)), Security::Indeterminate, "signed, and nobody looked");
    assert_eq!(security(&secure, None, Some(&failing(None))), Security::Indeterminate);
    assert_eq!(FollowUp::to(&secure), Some(FollowUp::Delegation));
    secure.authentic_data = true;
    assert_eq!(security(&secure, None, None), Security::Secure);
    assert_eq!(FollowUp::to(&secure), None);
}

#[test]
fn a_failure_that_becomes_an_answer_unchecked_is_bogus_unless_it_has_another_reason() {
    let there = answer(vec![txt(60, "token")]);
    assert_eq!(FollowUp::to(&failing(None)), Some(FollowUp::Unchecked));
    assert_eq!(security(&failing(None), None, None), Security::Indeterminate);
    assert_eq!(security(&failing(None), Some(&failing(None)), None), Security::Indeterminate);
    for (extended, expected) in [
        (None, Security::Bogus),
        (Some(6), Security::Bogus),
        (Some(7), Security::Bogus),
        (Some(13), Security::Bogus),
        (Some(22), Security::Indeterminate),
        (Some(23), Security::Indeterminate),
        (Some(27), Security::Bogus),
    ] {
        assert_eq!(security(&failing(extended), Some(&there), None), expected, "EDE {extended:?}");
    }
    let refused = Answer::new(ResponseCode::REFUSED);
    assert_eq!(security(&refused, Some(&there), None), Security::Indeterminate);
    assert_eq!(FollowUp::to(&refused), None);
}

#[test]
fn of_many_words_the_worst_news_counts_and_then_the_surest() {
    use Security::{Bogus, Indeterminate, Insecure, Secure};
    for (words, expected) in [
        (vec![], Indeterminate),
        (vec![Indeterminate, Insecure], Insecure),
        (vec![Secure, Insecure, Indeterminate], Secure),
        (vec![Secure, Bogus, Secure], Bogus),
    ] {
        assert_eq!(Security::of_all(words.clone()), expected, "{words:?}");
    }
}

fn witness(view: View) -> Witness {
    let endpoint = Endpoint::Udp(([192, 0, 2, 53], 53).into());
    let (security, server) = (Security::Indeterminate, "192.0.2.53".to_owned());
    Witness { server, endpoint, nat64: None, view, security, extended_error: None }
}

#[test]
fn those_who_answer_must_agree_where_agreement_is_required() {
    let dead = witness(View::Unreachable { error: TransportError::Timeout });
    let lacking = witness(View::Lacking { absence: None });
    let has = witness(View::Has);
    assert!(Agreement::Reported.is_met(std::slice::from_ref(&lacking)));
    for (witnesses, met) in [
        (vec![], false),
        (vec![has.clone()], true),
        (vec![has.clone(), dead.clone()], true),
        (vec![dead], false),
        (vec![has, lacking], false),
    ] {
        assert_eq!(Agreement::Required.is_met(&witnesses), met, "{witnesses:?}");
    }
}

#[test]
fn nobody_is_asked_again_before_it_can_help() {
    let absence = Some(Absence { zone: None, ttl: 40 });
    assert_eq!(witness(View::Lacking { absence }).useful_after(), Duration::from_secs(41));
    assert_eq!(witness(View::Lacking { absence: None }).useful_after(), Duration::from_secs(1));
    let stale = View::Stale { values: vec![], ttl: 7 };
    assert_eq!(witness(stale).useful_after(), Duration::from_secs(8));
    assert_eq!(witness(View::Failing { code: ResponseCode::SERVFAIL }).useful_after(), AGAIN);
}

#[test]
fn settings_read_back_from_their_words() {
    for setting in [Dnssec::Off, Dnssec::Warn, Dnssec::Require] {
        assert_eq!(setting.to_string().parse(), Ok(setting));
    }
    for setting in [Agreement::Reported, Agreement::Required] {
        assert_eq!(setting.to_string().parse(), Ok(setting));
    }
    assert_eq!("maybe".parse::<Dnssec>().unwrap_err().to_string(), "use off, warn or require");
}

proptest! {
    #[test]
    fn no_octets_panic_and_none_but_the_values_are_taken_for_them(
        octets in proptest::collection::vec(any::<u8>(), 12..200),
    ) {
        if let Ok(answer) = Answer::parse(&octets) {
            let wanted = wanted();
            let delegation = Some((wanted.name(), &answer));
            let said = Said { answer: &answer, unchecked: Some(&answer), delegation };
            let (view, _) = interpret(&wanted, &said);
            let there = answer.answers.iter().any(|record| record.data == Data::Txt(b"token".to_vec()));
            prop_assert!(there || view != View::Has);
        }
    }
}
