//! Roles that sign, and answer as no OpenBao does, or not when a test wants it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{Clock as _, Retry};
use perennial_lifecycle::{
    CertificateSpec, IssueErrorClass, IssuedChain, Issuer as _, KeyAlgorithm, PrivateKey, Revocation, Stage,
};
use perennial_testkit::ManualClock;
use rcgen::{CertificateSigningRequestParams, SerialNumber};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    keeping::keeper,
    scene::{issue, journal, request, spec},
    script::{LOGIN, SIGN, Script, body, clock, entered, failure, issuer, path, respond},
};
use crate::pki::{Ca, NOW, count, named};

/// What a role whose certificates live three days says of a request that it has signed.
fn signed(ca: &Ca, request: &Request<Bytes>) -> Value {
    let csr = body(request)["csr"].as_str().unwrap().to_owned();
    let mut csr = CertificateSigningRequestParams::from_pem(&csr).unwrap();
    csr.params.not_before = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
    csr.params.not_after = csr.params.not_before + Duration::from_secs(72 * 3_600);
    // DER puts a zero before it.
    csr.params.serial_number = Some(SerialNumber::from_slice(&[0x8a, 0x00, 0x01]));
    let issuer = rcgen::Issuer::from_params(&ca.params, &ca.key);
    json!({ "certificate": csr.signed_by(&issuer).unwrap().pem() })
}

/// A Vault whose role signs; a test adds to its answer.
fn role(add: impl Fn(&Ca, Value) -> Value + Send + Sync + 'static) -> Arc<Script> {
    let ca = Ca::root(named("Root")).below(named("Middle"));
    Script::reading(move |request, _| {
        respond(match path(request) {
            LOGIN => entered(900),
            SIGN => (200, add(&ca, signed(&ca, request)).to_string()),
            _ => (200, "{}".to_owned()),
        })
    })
}

/// One that answers as most do.
fn usual() -> Arc<Script> {
    role(|ca, mut data| {
        data["ca_chain"] = json!([ca.chain]);
        json!({ "request_id": "r9", "data": data })
    })
}

#[tokio::test]
async fn those_above_are_found_in_either_field_and_without_them_there_is_no_chain() {
    for (field, found) in [("issuing_ca", true), ("ca_chain", true), ("chain", false)] {
        let script = role(move |ca, mut data| {
            data[field] = if field == "ca_chain" { json!([ca.chain]) } else { json!(ca.chain) };
            json!({ "request_id": "r9", "data": data })
        });
        match issue(&issuer(&script, &clock()), &spec()).await {
            Ok(chain) => assert_eq!((count(chain.pem()), found), (2, true)),
            Err(error) => {
                assert!(!found && error.message.contains("(request r9)"), "{field}: {error}");
                assert_eq!(error.class, IssueErrorClass::Contract);
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_for_other_names_or_another_key_is_told_with_the_number_of_its_request() {
    let issuer = issuer(&usual(), &clock());
    let mut names = request(&CertificateSpec::new("web", ["other.example.com"]).unwrap());
    names.names = spec().names().to_vec();
    let mut key = request(&spec());
    key.public_key_der = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap().public_key_der();
    for (request, says) in [(names, "other.example.com"), (key, "key")] {
        let error = issuer.issue(&request, &journal(&spec()).await).await.unwrap_err();
        assert!(error.message.contains(says) && error.message.contains("(request r9)"), "{error}");
        assert_eq!((error.class, error.retry()), (IssueErrorClass::Contract, Retry::Backoff));
    }
}

#[tokio::test]
async fn an_answer_without_a_certificate_is_told_whether_it_has_a_number_or_none() {
    for (answer, says) in [
        (json!({ "request_id": "r9" }), "no certificate (request r9)"),
        (json!({ "request_id": "" }), "no certificate (request without a number)"),
    ] {
        let error = failure(&issuer(&role(move |_, _| answer.clone()), &clock())).await;
        assert!(error.message.contains(says), "{error}");
        assert_eq!(error.class, IssueErrorClass::Contract);
    }
}

/// What the keeper is told of one issuance.
async fn told(script: &Arc<Script>, clock: Arc<ManualClock>) -> Vec<Stage> {
    let (keeper, told) = keeper(issuer(script, &clock), clock);
    keeper.wish(spec().duration(Duration::from_secs(90 * 86_400))).await.unwrap();
    keeper.step(spec().id()).await.unwrap();
    std::mem::take(&mut *told.lock().unwrap())
}

#[tokio::test]
async fn warnings_are_told_without_what_is_usual_or_secret_or_moves_a_cursor() {
    let script = role(|ca, mut data| {
        data["ca_chain"] = json!([ca.chain]);
        let usual = "the common_name field was provided but the role is set with \"use_csr_common_name\" set \
                     to true";
        json!({ "request_id": "r\u{7}9", "data": data, "warnings": [usual, "s.token is\n\u{1b}old"] })
    });
    let told = told(&script, clock()).await;
    let [Stage::Signed { request, .. }, Stage::Warned { message: server }, Stage::Warned { message: ours }] =
        told.as_slice()
    else {
        panic!("{told:?}");
    };
    assert_eq!((request.as_deref(), server.as_str()), (Some("r9"), "[secret] is old"));
    assert!(ours.starts_with("asked for 2160 h, got 72 h"), "{ours}");
}

/// A Vault that answers a request to sign with a status and one header, and no words.
fn heads(status: u16, name: &'static str, value: &'static str) -> Arc<Script> {
    Script::reading(move |request, _| match path(request) {
        LOGIN => respond(entered(900)),
        _ => Response::builder().status(status).header(name, value).body(Bytes::from("{}")).unwrap(),
    })
}

#[tokio::test]
async fn a_quota_is_told_with_the_moment_that_its_answer_names() {
    let (script, clock) = (heads(429, "retry-after", "7"), clock());
    let until = clock.now() + Duration::from_secs(7);
    let error = failure(&issuer(&script, &clock)).await;
    assert_eq!((error.retry(), error.is_limit()), (Retry::At(until), true), "{error}");
    let told = told(&script, clock).await;
    let [Stage::RateLimited { until: Some(told), limit }] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*told, limit.as_str()), (until, "status 429"));
}

#[tokio::test]
async fn a_standby_that_sends_elsewhere_is_told_with_the_place() {
    let error = failure(&issuer(&heads(307, "location", "https://active.example/v1/x"), &clock())).await;
    assert!(error.message.contains("\"https://active.example/v1/x\""), "{error}");
    assert_eq!((error.class, error.retry()), (IssueErrorClass::Transient, Retry::Backoff));
}

#[tokio::test]
async fn what_a_role_leaves_out_is_refused_before_anybody_logs_in() {
    let script = usual();
    let error = issue(&issuer(&script, &clock()), &spec().ca()).await.unwrap_err();
    assert_eq!((error.class, script.count(LOGIN)), (IssueErrorClass::Policy, 0));
}

#[tokio::test]
async fn a_certificate_is_revoked_at_its_mount_by_its_number_as_vault_writes_it() {
    let script = usual();
    let issuer = issuer(&script, &clock());
    let chain = issue(&issuer, &spec()).await.unwrap();
    assert_eq!(chain.facts().serial, "008a0001");
    let chain = IssuedChain::from_pem(chain.pem()).unwrap();
    issuer.revoke(&Revocation::new(chain, None), &journal(&spec()).await).await.unwrap();
    assert_eq!(body(&script.last("pki/revoke")), json!({ "serial_number": "8a:00:01" }));
}
