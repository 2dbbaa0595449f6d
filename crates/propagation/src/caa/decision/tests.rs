use super::*;
use proptest::prelude::*;

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

/// Records as a zone file has them: `flags tag value`, one a line.
fn set(domain: &str, lines: &str) -> Vec<Record> {
    let read = |line: &str| {
        let mut words = line.trim().splitn(3, ' ');
        let (flags, tag, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        Record::read(name(domain), flags == "128", tag, value.trim_matches('"').as_bytes())
    };
    lines.lines().map(read).collect()
}

fn question(subject: &str, issuer: &str) -> Question {
    Question::new(&name(subject)).issuer(issuer)
}

/// `+` allowed, `-` forbidden, `?` inconclusive.
fn word(decision: &Decision) -> char {
    match decision {
        Decision::Allowed { .. } => '+',
        Decision::Forbidden { .. } => '-',
        Decision::Inconclusive { .. } => '?',
    }
}

/// What the set says to ca1.example.net and ca2.example.org for the name, then for its wildcard.
fn said(domain: &str, lines: &str) -> String {
    let records = set(domain, lines);
    let ask = |subject: &str, issuer| word(&judge(&question(subject, issuer), &records));
    let wildcard = format!("*.{domain}");
    let both = |subject: &str| [ask(subject, "ca1.example.net"), ask(subject, "ca2.example.org")];
    [both(domain), both(&wildcard)].map(|two| two.iter().collect::<String>()).join(" ")
}

#[test]
fn rfc8659_4_2_issue() {
    let two = "0 issue \"ca1.example.net\"\n0 issue \"ca2.example.org\"";
    assert_eq!(said("certs.example.com", two), "++ ++");
    assert_eq!(
        word(&judge(&question("certs.example.com", "ca3.example"), &set("certs.example.com", two))),
        '-'
    );
    assert_eq!(said("nocerts.example.com", "0 issue \";\""), "-- --");
    assert_eq!(said("malformed.example.com", "0 issue \"%%%%%\""), "-- --");
    assert_eq!(said("account.example.com", "0 issue \"ca1.example.net; account=230123\""), "+- +-");
    // Authorizations are additive.
    assert_eq!(said("certs.example.com", "0 issue \";\"\n0 issue \"ca1.example.net\""), "+- +-");
}

#[test]
fn rfc8659_4_3_issuewild() {
    let wild = "0 issue \"ca1.example.net\"\n0 issuewild \"ca2.example.org\"";
    assert_eq!(said("wild.example.com", wild), "+- -+");
    assert_eq!(said("wild2.example.com", "0 issue \"ca1.example.net\""), "+- +-");
    let wild3 = "0 issuewild \"ca2.example.org\"\n0 issue \";\"";
    assert_eq!(said("wild3.example.com", wild3), "-- -+");
    assert_eq!(said("wild3.example.com", "0 issuewild \"ca2.example.org\""), "++ -+");
}

#[test]
fn rfc8659_4_4_iodef_restricts_nothing() {
    assert_eq!(said("report.example.com", "0 iodef \"mailto:security@example.com\""), "++ ++");
    let report = "0 issue \"ca1.example.net\"\n0 iodef \"https://iodef.example.com/\"";
    assert_eq!(said("report.example.com", report), "+- +-");
    assert_eq!(said("report.example.com", "128 iodef \"mailto:security@example.com\""), "++ ++");
}

#[test]
fn rfc8659_4_5_what_is_critical_and_not_known_to_every_ca_is_a_doubt() {
    let tbs = "0 issue \"ca1.example.net\"\n128 tbs \"Unknown\"";
    assert_eq!(said("new.example.com", tbs), "?- ?-");
    let decision = judge(&question("new.example.com", "ca1.example.net"), &set("new.example.com", tbs));
    let Decision::Inconclusive { doubt: Doubt::Critical { record } } = decision else { panic!("{decision}") };
    assert_eq!(record.tag, "tbs");
    assert_eq!(said("new.example.com", "128 contactemail \"a@example.com\""), "?? ??");
    assert_eq!(said("new.example.com", "0 tbs \"Unknown\"\n0 issuemail \";\""), "++ ++");
    assert_eq!(said("new.example.com", "128 issue \"ca1.example.net\"\n128 issuewild \";\""), "+- --");
}

/// What the set says to two accounts of example.net by dns-01, then by http-01.
fn bound(lines: &str) -> String {
    let records = set("example.com", lines);
    let ask = |account: &str, method| {
        let url = format!("https://example.net/account/{account}");
        word(&judge(&question("example.com", "example.net").account(url).method(method), &records))
    };
    ["dns-01", "http-01"].map(|method| format!("{}{}", ask("1234", method), ask("2345", method))).join(" ")
}

#[test]
fn rfc8657_examples() {
    let accounts = "0 issue \"example.net; accounturi=https://example.net/account/1234\"\n\
                    0 issue \"example.net; accounturi=https://example.net/account/2345\"";
    assert_eq!(bound(accounts), "++ ++");
    assert_eq!(bound(accounts.lines().next().unwrap()), "+- +-");
    assert_eq!(bound("0 issue \"example.net; validationmethods=dns-01,xyz-01\""), "++ --");
    let apart = "0 issue \"example.net; validationmethods=dns-01\"\n\
                 0 issue \"example.net; validationmethods=xyz-01\"";
    assert_eq!(bound(apart), "++ --");
    let bind = |account, method| {
        let account = format!("accounturi=https://example.net/account/{account}");
        format!("0 issue \"example.net; {account}; validationmethods={method}\"")
    };
    let each = format!("{}\n{}", bind("1234", "dns-01"), bind("2345", "http-01"));
    assert_eq!(bound(&each), "+- -+");
}

fn refusal(question: &Question, lines: &str) -> Refusal {
    match judge(question, &set("example.com", lines)) {
        Decision::Forbidden { refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn what_nobody_can_satisfy_forbids_and_says_why() {
    let question = question("example.com", "ca.example").account("https://ca.example/1").method("dns-01");
    for (value, expected) in [
        ("accounturi=https://ca.example/1; accounturi=https://ca.example/1", Refusal::AccountRepeated),
        ("accounturi=", Refusal::Account { allowed: String::new() }),
        ("validationmethods=dns-01; ValidationMethods=dns-01", Refusal::MethodsRepeated),
        ("validationmethods=", Refusal::Method { allowed: vec![] }),
        ("validationmethods=dns-01,", Refusal::MethodsMalformed),
        ("validationmethods=dns_01", Refusal::MethodsMalformed),
        ("validationmethods=http-01", Refusal::Method { allowed: vec!["http-01".into()] }),
    ] {
        assert_eq!(refusal(&question, &format!("0 issue \"ca.example; {value}\"")), expected, "{value}");
    }
    assert_eq!(refusal(&question, "0 issue \";\""), Refusal::Nobody);
    assert_eq!(
        refusal(&question, "0 issue \"ca.example; a\""),
        Refusal::Malformed { fault: Malformed::Parameter }
    );
}

#[test]
fn the_record_that_comes_nearest_is_the_one_that_is_named() {
    let question = question("example.com", "ca.example").method("dns-01");
    let near = "0 issue \";\"\n0 issue \"other.example\"\n0 issue \"ca.example; validationmethods=http-01\"";
    assert_eq!(refusal(&question, near), Refusal::Method { allowed: vec!["http-01".into()] });
    let far = "0 issue \";\"\n0 issue \"other.example\"";
    assert_eq!(refusal(&question, far), Refusal::Issuer { allowed: "other.example".into() });
}

fn doubt(question: &Question, lines: &str) -> Doubt {
    match judge(question, &set("example.com", lines)) {
        Decision::Inconclusive { doubt } => doubt,
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_not_known_yet_is_a_doubt_and_never_a_no() {
    let asked = question("example.com", "ca.example");
    let account = "0 issue \"ca.example; accounturi=https://ca.example/1\"";
    assert_eq!(doubt(&asked, account), Doubt::AccountUndecided { allowed: "https://ca.example/1".into() });
    let method = "0 issue \"ca.example; validationmethods=dns-01\"";
    assert_eq!(doubt(&asked, method), Doubt::MethodUndecided { allowed: vec!["dns-01".into()] });
    let nameless = Question::new(&name("example.com")).account("https://ca.example/2").method("dns-01");
    assert_eq!(doubt(&nameless, method), Doubt::IssuerUnknown { allowed: "ca.example".into() });
    // But what refuses does so whoever the issuer is.
    assert_eq!(refusal(&nameless, account), Refusal::Account { allowed: "https://ca.example/1".into() });
    assert_eq!(refusal(&nameless, "0 issue \";\""), Refusal::Nobody);
    assert_eq!(
        refusal(&asked, "0 issue \"ca.example; accounturi=https://ca.example/1; validationmethods=\""),
        Refusal::Method { allowed: vec![] }
    );
    let open = format!("0 issue \"other.example\"\n{method}");
    assert!(matches!(doubt(&asked, &open), Doubt::MethodUndecided { .. }));
}

#[test]
fn issuers_and_methods_are_compared_without_regard_to_case_and_accounts_with() {
    let question = question("example.com", "CA.Example").account("https://ca.example/A").method("DNS-01");
    let records = set("example.com", "0 issue \"ca.exAMple; validationmethods=dns-01\"");
    assert_eq!(word(&judge(&question, &records)), '+');
    let lines = "0 issue \"ca.example; accounturi=https://ca.example/a\"";
    assert!(matches!(refusal(&question, lines), Refusal::Account { .. }));
    let any = question.issuer("second.example");
    assert_eq!(word(&judge(&any, &set("example.com", "0 issue \"second.example\""))), '+');
}

#[test]
fn rfc8659_3_the_climb_goes_up_to_the_top_level_domain() {
    let asked = |text: &str| climb(&name(text)).map(|name| name.to_string()).collect::<Vec<_>>();
    assert_eq!(asked("X.Y.Z"), ["x.y.z", "y.z", "z"]);
    assert_eq!(asked("*.b.c"), ["b.c", "c"]);
    assert_eq!(asked("z"), ["z"]);
}

/// A name and what its servers say: `e` nothing, `f` a failure, `+` allowed, `-` forbidden.
fn level(text: &str, outcomes: &str) -> (DomainName, Vec<Outcome>) {
    let outcome = |letter| match letter {
        'e' => Outcome::Empty,
        'f' => Outcome::Failed { reason: "nobody answers".into() },
        '+' => Outcome::Records { records: set(text, "0 issue \"ca.example\"") },
        '-' => Outcome::Records { records: set(text, "0 issue \"other.example\"") },
        other => panic!("{other:?} is no outcome"),
    };
    (name(text), outcomes.chars().map(outcome).collect())
}

#[test]
fn the_first_name_with_records_decides_unless_servers_contradict_each_other() {
    for (outcomes, decided) in [
        (["e", "e", "e"], '+'), // RFC 8659 §3: X.Y.Z without records at any level
        (["e", "-", "e"], '-'), // A.B.C with records at B.C only
        (["+", "-", "e"], '+'),
        (["-", "+", "e"], '-'),
        (["e", "e", "-"], '-'),
        (["f", "-", "e"], '?'),
        (["e", "f", "+"], '?'),
        (["+", "f", "f"], '+'),
        (["+-", "e", "e"], '?'),
        (["++", "e", "e"], '+'),
        (["e-", "e", "e"], '?'),
        (["e-", "-", "e"], '-'), // behind or not, the answer is the same
        (["e-", "+", "e"], '?'),
        (["+f", "e", "e"], '?'),
        (["-f", "e", "e"], '?'),
        (["ef", "-", "e"], '?'),
        (["", "e", "e"], '?'),
    ] {
        let names = ["www.example.com", "example.com", "com"];
        let levels: Vec<_> = names.iter().zip(outcomes).map(|(name, said)| level(name, said)).collect();
        let decision = decide(&question("www.example.com", "ca.example"), &levels);
        assert_eq!(word(&decision), decided, "{outcomes:?}: {decision}");
    }
    let levels = [level("www.example.com", "e-"), level("example.com", "+")];
    let decision = decide(&question("www.example.com", "ca.example"), &levels);
    let doubt = Doubt::Disagreement { name: name("www.example.com") };
    assert_eq!(decision, Decision::Inconclusive { doubt });
}

fn any_record() -> impl Strategy<Value = Record> {
    let tag = prop::sample::select(vec!["issue", "issuewild", "iodef", "tbs", "contactemail"]);
    let value = prop::sample::select(vec![
        "",
        ";",
        "%",
        "ca.example",
        "other.example",
        "ca.example; accounturi=u",
        "ca.example; accounturi=v",
        "ca.example; validationmethods=dns-01",
        "ca.example; validationmethods=http-01",
        "ca.example; accounturi=u; validationmethods=dns-01",
    ]);
    (any::<bool>(), tag, value)
        .prop_map(|(critical, tag, value)| Record::read(name("example.com"), critical, tag, value.as_bytes()))
}

fn any_set() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec(any_record(), 0..6)
}

fn any_question() -> impl Strategy<Value = Question> {
    let issuer = prop::option::of(Just("ca.example".to_owned()));
    let account = prop::option::of(prop::sample::select(vec!["u", "w"]));
    let method = prop::option::of(prop::sample::select(vec!["dns-01", "tls-alpn-01"]));
    (any::<bool>(), issuer, account, method).prop_map(|(wildcard, issuer, account, method)| Question {
        wildcard,
        issuers: issuer.into_iter().collect(),
        account: account.map(str::to_owned),
        methods: method.into_iter().map(str::to_owned).collect(),
        ..Question::new(&name("example.com"))
    })
}

proptest! {
    #[test]
    fn another_authorization_never_takes_a_permission_back(
        asked in any_question(),
        records in any_set(),
        more in any_record(),
    ) {
        // A first issuewild replaces what issue says, and a critical stranger is a doubt about everything.
        let fresh = !matches!(more.property, Property::Issuewild { .. }) && !more.is_critical_and_unusual();
        let restricted = matches!(judge(&asked, &records), Decision::Allowed { record: Some(_) });
        if fresh && restricted {
            let together: Vec<Record> = records.iter().cloned().chain([more]).collect();
            prop_assert_eq!(word(&judge(&asked, &together)), '+');
        }
    }

    #[test]
    fn the_order_of_records_does_not_matter(asked in any_question(), records in any_set()) {
        let turned: Vec<Record> = records.iter().rev().cloned().collect();
        prop_assert_eq!(word(&judge(&asked, &records)), word(&judge(&asked, &turned)));
    }

    #[test]
    fn only_a_record_that_was_seen_forbids(asked in any_question(), records in any_set()) {
        if let Decision::Forbidden { record, .. } = judge(&asked, &records) {
            prop_assert!(records.contains(&record));
        }
    }

    #[test]
    fn to_know_more_never_turns_a_no_or_a_yes(asked in any_question(), records in any_set()) {
        let before = word(&judge(&asked, &records));
        let mut known = asked;
        known.issuers = vec!["ca.example".to_owned()];
        known.account.get_or_insert_with(|| "u".to_owned());
        if known.methods.is_empty() {
            known.methods.push("dns-01".to_owned());
        }
        let after = word(&judge(&known, &records));
        prop_assert!(before == '?' || before == after, "{} became {}", before, after);
    }
}
