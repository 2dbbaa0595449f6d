//! Answers that no OpenBao gives, or not when a test wants them; and time, which a test moves.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{Clock as _, HttpClient, HttpError};
use perennial_issuers::vault::{VaultAuth, VaultIssuer};
use perennial_lifecycle::{IssueErrorClass, IssuedChain, Issuer as _, Revocation};
use proptest::prelude::*;

use super::scene::{journal, spec};
use super::script::{LOGIN, RENEW, SIGN, Script, builder, clock, entered, failure, issuer, refused};

#[tokio::test]
async fn many_who_come_at_once_share_one_login_and_its_failure() {
    let script = Script::new(|path, _| match path {
        LOGIN => refused(400, "invalid role or secret ID"),
        _ => refused(500, "nobody comes so far"),
    });
    let issuer = issuer(&script, &clock());
    let all = futures_util::future::join_all((0..20).map(|_| failure(&issuer))).await;
    assert!(all.iter().all(|error| error.class == IssueErrorClass::Auth), "{all:?}");
    assert_eq!(script.count(LOGIN), 1);
    failure(&issuer).await;
    assert_eq!(script.count(LOGIN), 2);
}

#[tokio::test]
async fn a_token_is_renewed_at_two_thirds_and_replaced_before_it_ends() {
    let script = Script::new(|path, _| match path {
        LOGIN | RENEW => entered(900),
        _ => refused(500, "busy"),
    });
    let clock = clock();
    let issuer = issuer(&script, &clock);
    let start = clock.now();
    for (seconds, logins, renewals) in
        [(0, 1, 0), (599, 1, 0), (600, 1, 1), (1_199, 1, 1), (1_200, 1, 2), (2_010, 2, 2)]
    {
        clock.set(start + Duration::from_secs(seconds));
        failure(&issuer).await;
        assert_eq!((script.count(LOGIN), script.count(RENEW)), (logins, renewals), "after {seconds} s");
    }
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_token_in_use_until_its_last_tenth() {
    let script = Script::new(|path, _| match path {
        LOGIN => entered(900),
        RENEW => refused(403, "permission denied"),
        _ => refused(500, "busy"),
    });
    let clock = clock();
    let issuer = issuer(&script, &clock);
    let start = clock.now();
    for (seconds, logins, renewals) in [(0, 1, 0), (600, 1, 1), (610, 1, 1), (640, 1, 2), (810, 2, 2)] {
        clock.set(start + Duration::from_secs(seconds));
        failure(&issuer).await;
        assert_eq!((script.count(LOGIN), script.count(RENEW)), (logins, renewals), "after {seconds} s");
    }
}

#[tokio::test]
async fn a_denial_costs_one_more_login_and_a_second_one_is_told() {
    let script = Script::new(|path, count| match (path, count) {
        (LOGIN, _) => entered(900),
        // The first certificate is denied nothing.
        (_, 0) => refused(500, "busy"),
        _ => refused(403, "permission denied"),
    });
    let issuer = issuer(&script, &clock());
    failure(&issuer).await;
    let error = failure(&issuer).await;
    assert_eq!(error.class, IssueErrorClass::Auth);
    assert_eq!((script.count(LOGIN), script.count(SIGN)), (2, 3));
    assert!(error.message.contains("https://v.example/v1/pki/sign/web") && error.message.contains("policy"));
}

#[tokio::test]
async fn a_new_token_that_is_denied_costs_no_second_login() {
    let script = Script::new(|path, _| match path {
        LOGIN => entered(900),
        _ => refused(403, "permission denied"),
    });
    failure(&issuer(&script, &clock())).await;
    assert_eq!((script.count(LOGIN), script.count(SIGN)), (1, 1));
}

#[tokio::test]
async fn a_server_that_repeats_our_secrets_does_not_make_us_show_them() {
    let script = Script::new(|path, _| match path {
        LOGIN => entered(900),
        _ => refused(400, "no s.token please"),
    });
    let error = failure(&issuer(&script, &clock())).await;
    assert!(error.message.contains("no [secret] please"), "{error}");
    let script = Script::new(|_, _| refused(400, "bad secret-of-web of role-of-web"));
    let error = failure(&issuer(&script, &clock())).await;
    assert!(error.message.contains("bad [secret] of [secret]"), "{error}");
}

#[tokio::test]
async fn a_health_that_is_no_readiness_is_told_with_its_reason() {
    for (status, body, says) in [
        (503, r#"{"initialized":true,"sealed":true}"#, "is sealed"),
        (503, "<html>no server is available</html>", "in trouble (503)"),
        (501, "{}", "not initialized"),
        (472, "{}", "disasters"),
        (418, "", "418"),
    ] {
        let script = Script::new(move |path, _| match path {
            "sys/health" => (status, body.to_owned()),
            _ => entered(900),
        });
        let error = issuer(&script, &clock()).look().await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(script.count(LOGIN), 0);
    }
    for status in [200, 429, 473] {
        let script = Script::new(move |path, _| match path {
            "sys/health" => (status, String::new()),
            _ => entered(900),
        });
        issuer(&script, &clock()).look().await.unwrap();
        assert_eq!(script.count(LOGIN), 1);
    }
}

#[tokio::test]
async fn health_is_asked_for_without_a_namespace_and_without_a_token() {
    let script = Script::new(|path, _| match path {
        "sys/health" => (200, String::new()),
        _ => entered(900),
    });
    let auth = VaultAuth::app_role("role-of-web", "secret-of-web");
    let issuer = builder(&script, &clock(), auth).namespace("team").build().unwrap();
    for _ in 0..2 {
        issuer.look().await.unwrap();
    }
    let health = script.last("sys/health");
    assert!(["x-vault-namespace", "x-vault-token"].iter().all(|name| !health.headers().contains_key(*name)));
    assert_eq!((script.count("sys/health"), script.count(LOGIN)), (2, 1));
}

#[tokio::test]
async fn a_vault_that_is_well_and_lets_us_not_in_is_not_ready() {
    let script = Script::new(|path, _| match path {
        "sys/health" => (200, String::new()),
        _ => refused(400, "invalid role or secret ID"),
    });
    let error = issuer(&script, &clock()).ready().await.unwrap_err();
    assert_eq!(error.class, IssueErrorClass::Auth, "{error}");
}

struct Silence;

#[async_trait]
impl HttpClient for Silence {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_whether_it_is_ready_hears_within_ten_seconds_that_it_is_not() {
    let builder = VaultIssuer::builder("https://v.example").path(SIGN).auth(VaultAuth::token("t"));
    let issuer = builder.http(Arc::new(Silence)).build().unwrap();
    let look = tokio::time::timeout(Duration::from_secs(11), issuer.ready()).await.unwrap();
    assert_eq!(look.unwrap_err().class, IssueErrorClass::Transient);
}

#[tokio::test]
async fn a_vault_that_never_answers_is_given_up() {
    let builder = VaultIssuer::builder("https://v.example").path(SIGN).auth(VaultAuth::token("t"));
    let issuer = builder.http(Arc::new(Silence)).timeout(Duration::from_millis(10)).build().unwrap();
    let error = failure(&issuer).await;
    assert_eq!((error.class, error.is_the_issuers()), (IssueErrorClass::Transient, true));
    let made = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
    let revocation = Revocation::new(IssuedChain::from_pem(made.cert.pem()).unwrap(), None);
    let error = issuer.revoke(&revocation, &journal(&spec()).await).await.unwrap_err();
    assert_eq!((error.class, error.is_the_issuers()), (IssueErrorClass::Transient, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_comes_back_is_an_error_and_no_panic(
        status in 100u16..1000,
        body in proptest::collection::vec(any::<u8>(), 0..200),
        certificate in ".{0,80}",
        shape in 0u8..4,
    ) {
        let body = match shape {
            0 => String::from_utf8_lossy(&body).into_owned(),
            1 => serde_json::json!({ "data": { "certificate": certificate } }).to_string(),
            2 => {
                let pem = format!("-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----");
                serde_json::json!({ "data": { "certificate": pem, "ca_chain": [certificate] } }).to_string()
            }
            _ => serde_json::json!({ "errors": [certificate], "request_id": certificate }).to_string(),
        };
        let status = if shape == 0 || shape == 3 { status } else { 200 };
        let script = Script::new(move |path, _| match path {
            LOGIN => entered(900),
            _ => (status, body.clone()),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(failure(&issuer(&script, &clock())));
        prop_assert!(!error.message.contains("s.token") || certificate.contains("s.token"));
        prop_assert!(!error.message.chars().any(|letter| letter.is_control() && letter != '\n'));
    }
}
