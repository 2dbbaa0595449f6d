use super::*;
use proptest::prelude::*;

#[test]
fn repeated_names_count_once_and_order_is_kept() {
    let spec = CertificateSpec::new("a", ["b.example", "a.example", "B.example."]).unwrap();
    let names: Vec<_> = spec.names().iter().map(DomainName::as_str).collect();
    assert_eq!(names, ["b.example", "a.example"]);
}

#[test]
fn identifiers_cannot_leave_their_directory() {
    for text in ["", ".", "..", "../x", "a/b", "A", "-a", "a\0", &"a".repeat(65)] {
        assert!(matches!(text.parse::<CertificateId>(), Err(SpecError::Id { .. })), "{text:?}");
    }
    assert!("a-1_b.example".parse::<CertificateId>().is_ok());
}

#[test]
fn each_fault_names_the_certificate_and_the_field() {
    let none: [&str; 0] = [];
    assert!(matches!(CertificateSpec::new("a", none), Err(SpecError::NoNames { .. })));
    let underscore = CertificateSpec::new("a", ["_x.example"]).unwrap_err().to_string();
    assert!(underscore.contains("_x.example"), "{underscore}");
    let many: Vec<_> = (0..101).map(|i| format!("h{i}.example")).collect();
    assert!(matches!(CertificateSpec::new("a", &many), Err(SpecError::TooManyNames { count: 101, .. })));
    for error in [
        CertificateSpec::new("a", none).unwrap_err(),
        CertificateSpec::new("a", ["_x.example"]).unwrap_err(),
        CertificateSpec::new("a", &many).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("certificate a: names: "), "{error}");
        assert_eq!(error.field(), Some("names"));
    }
}

#[test]
fn the_renewal_policy_does_not_make_another_certificate() {
    let spec = CertificateSpec::new("a", ["a.example", "b.example"]).unwrap();
    let moved = spec.clone().renewal(RenewalPolicy::Percentage(50));
    let reordered = CertificateSpec::new("a", ["b.example", "a.example"]).unwrap();
    assert!(spec.asks_same_certificate(&moved) && spec.asks_same_certificate(&reordered));
    assert!(!spec.asks_same_certificate(&spec.clone().key_algorithm(KeyAlgorithm::Ed25519)));
    assert!(!spec.asks_same_certificate(&spec.clone().profile("shortlived")));
    assert!(!spec.asks_same_certificate(&spec.clone().issuer("other").unwrap()));
    assert!(!spec.asks_same_certificate(&CertificateSpec::new("a", ["a.example"]).unwrap()));
}

/// The table of §2 of what makes another certificate, another delivery, or neither.
#[test]
fn what_is_in_the_certificate_makes_another_and_what_is_around_it_another_delivery() {
    let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
    let day = Duration::from_secs(86_400);
    let window = serde_json::from_str(r#"{"cron":"0 2 * * 6","open_for":{"secs":3600,"nanos":0}}"#).unwrap();
    for changed in [
        CertificateSpec::new("a", ["a.example", "192.0.2.1"]).unwrap(),
        CertificateSpec::new("a", ["a.example", "spiffe://prod/web"]).unwrap(),
        CertificateSpec::new("a", ["a.example", "ops@a.example"]).unwrap(),
        spec.clone().subject(Subject::named("a.example")),
        spec.clone().usages([Usage::ClientAuth]),
        spec.clone().ca(),
    ] {
        assert!(!spec.asks_same_certificate(&changed), "{changed:?}");
        assert!(spec.asks_same_delivery(&changed), "{changed:?}");
    }
    for changed in [
        spec.clone().output("gateway".parse().unwrap(), OutputFormat::Pkcs12),
        spec.clone().label("team", "shop"),
        spec.clone().secret_template(SecretTemplate::default().annotation("owner", "shop")),
    ] {
        assert!(spec.asks_same_certificate(&changed), "{changed:?}");
        assert!(!spec.asks_same_delivery(&changed), "{changed:?}");
    }
    for changed in [
        spec.clone().key_rotation(KeyRotation::Never),
        spec.clone().give_up_after(day),
        spec.clone().renewal(RenewalPolicy::Never),
        spec.clone().fallback_issuer("other").unwrap(),
        spec.clone().maintenance([window]),
    ] {
        assert!(spec.asks_same_certificate(&changed) && spec.asks_same_delivery(&changed), "{changed:?}");
    }
    let other = [spec.clone().key_algorithm(KeyAlgorithm::Ed25519), spec.clone().issuer("other").unwrap()];
    assert!(other.iter().all(|other| !spec.asks_same_certificate(other) && spec.asks_same_delivery(other)));
    // A duration counts where both have one: an issuer's own choice is no change.
    let (one, other) = (spec.clone().duration(day), spec.clone().duration(2 * day));
    assert!(spec.asks_same_certificate(&one) && !one.asks_same_certificate(&other));
}

#[test]
fn names_are_sorted_by_their_form() {
    let names = ["a.example", "2001:db8::1", "192.0.2.1", "urn:uuid:7", "ops@a.example", "2001:db8:0::1"];
    let spec = CertificateSpec::new("a", names).unwrap();
    assert_eq!((spec.names().len(), spec.addresses().len()), (1, 2));
    assert_eq!((spec.uris().len(), spec.emails().len()), (1, 1));
    assert!(CertificateSpec::new("a", ["192.0.2.1"]).is_ok());
}

#[test]
fn each_field_that_cannot_work_is_named() {
    let spec = CertificateSpec::new("a", ["a.example"]).unwrap();
    let (hour, sink) =
        (Duration::from_secs(3_600), |number: usize| format!("sink-{number}").parse().unwrap());
    let crowded = (0..17).fold(spec.clone(), |spec, number| spec.output(sink(number), OutputFormat::Der));
    let long = "x".repeat(65);
    let closed = serde_json::from_str(r#"{"cron":"0 2 * * 6","open_for":{"secs":1,"nanos":0}}"#).unwrap();
    let fallbacks = |count: usize| {
        let one_more = |spec: CertificateSpec, number| spec.fallback_issuer(&format!("ca-{number}")).unwrap();
        (0..count).fold(spec.clone(), one_more)
    };
    assert!(fallbacks(8).give_up_after(Duration::from_secs(60)).validate().is_ok());
    for (wrong, field) in [
        (spec.clone().subject(Subject::named(long.as_str())), "subject.common_name"),
        (spec.clone().subject(Subject::named("a\nb")), "subject.common_name"),
        (
            spec.clone().subject(Subject { country: Some("D1".into()), ..Subject::default() }),
            "subject.country",
        ),
        (spec.clone().duration(Duration::from_secs(59)), "duration"),
        (spec.clone().duration(hour).renewal(RenewalPolicy::Before(hour)), "duration"),
        (spec.clone().usages([Usage::CertSign]), "usages"),
        (spec.clone().ca().usages([Usage::CrlSign]), "usages"),
        (spec.clone().profile(""), "profile"),
        (spec.clone().renewal(RenewalPolicy::Percentage(0)), "renewal"),
        (spec.clone().maintenance([closed]), "maintenance"),
        (spec.clone().fallback_issuer("default").unwrap(), "fallback_issuers"),
        (spec.clone().fallback_issuer("b").unwrap().fallback_issuer("b").unwrap(), "fallback_issuers"),
        (fallbacks(9), "fallback_issuers"),
        (spec.clone().give_up_after(Duration::ZERO), "patience"),
        (spec.clone().give_up_after(Duration::MAX), "patience"),
        (crowded, "outputs"),
        (spec.clone().label("a", long.as_str()), "labels"),
        (spec.clone().secret_template(SecretTemplate::default().label("", "b")), "secret_template.labels"),
        (
            spec.clone().secret_template(SecretTemplate::default().annotation("a", "\u{1b}[2J")),
            "secret_template.annotations",
        ),
    ] {
        let error = wrong.validate().unwrap_err();
        assert!(matches!(error, SpecError::Field { field: found, .. } if found == field), "{field}: {error}");
        assert!(error.to_string().starts_with(&format!("certificate a: {field}: ")), "{error}");
        assert_eq!(error.field(), Some(field));
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
    for (name, field) in [
        ("spiffe:", "uris"),
        ("1a:b", "uris"),
        ("a:b c", "uris"),
        ("@a.example", "emails"),
        ("a..b@a.example", "emails"),
        ("a@*.a.example", "emails"),
    ] {
        let error = CertificateSpec::new("a", [name]).unwrap_err();
        assert!(matches!(error, SpecError::Field { field: found, .. } if found == field), "{name}: {error}");
    }
    assert!(spec.ca().usages([Usage::CertSign, Usage::CrlSign]).validate().is_ok());
}

#[test]
fn a_record_that_knows_no_newer_fields_is_read() {
    let old = r#"{"id":"a","names":["a.example"],"issuer":"default","key_algorithm":"ec256","renewal":"automatic"}"#;
    let spec = serde_json::from_str::<CertificateSpec>(old).unwrap();
    assert_eq!(spec, CertificateSpec::new("a", ["a.example"]).unwrap());
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_taken_comes_back(name in "\\PC{0,40}", json in "\\PC{0,80}") {
        if let Ok(spec) = CertificateSpec::new("a", [&name]) {
            let text = serde_json::to_string(&spec).unwrap();
            prop_assert_eq!(serde_json::from_str::<CertificateSpec>(&text).unwrap(), spec);
        }
        let _ = serde_json::from_str::<CertificateSpec>(&json).map(|spec| spec.validate());
    }
}

#[test]
fn serde_round_trips_and_refuses_unknown_fields() {
    let spec = CertificateSpec::new("a", ["*.a.example"]).unwrap().issuer("ca").unwrap();
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<CertificateSpec>(&text).unwrap(), spec);
    let repeated = text.replacen("[\"*.a.example\"]", "[\"*.a.example\",\"*.A.example\"]", 1);
    assert_eq!(serde_json::from_str::<CertificateSpec>(&repeated).unwrap(), spec);
    let typo = text.replacen("\"names\"", "\"nmaes\"", 1);
    assert!(serde_json::from_str::<CertificateSpec>(&typo).is_err());
}
