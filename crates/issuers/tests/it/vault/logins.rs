//! What is sent to be let in, what is made of the answer, and tokens that somebody else has made.

use std::{path::Path, sync::Arc, time::Duration};

use perennial_core::Clock as _;
use perennial_issuers::vault::{VaultAuth, VaultSecret};
use perennial_lifecycle::IssueErrorClass::{Auth, Contract, Local, Transient};
use serde_json::json;

use super::script::{
    LOGIN, LOOK, RENEW, SIGN, Script, body, builder, clock, entered, failure, issuer, path, refused, respond,
    token,
};

const UNWRAP: &str = "sys/wrapping/unwrap";

/// Lets in whoever comes by a way of its own, and is busy with all else.
fn open() -> Arc<Script> {
    Script::new(|path, _| if path.ends_with("/login") { entered(900) } else { refused(500, "busy") })
}

/// What is known of a token that somebody else has made.
fn known(seconds: u64) -> (u16, String) {
    (200, format!(r#"{{"data":{{"ttl":{seconds},"renewable":true}}}}"#))
}

#[tokio::test]
async fn each_way_has_a_door_and_words_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwt");
    std::fs::write(&file, "a.service.account\n").unwrap();
    let kubernetes = VaultAuth::kubernetes("web").jwt_file(&file);
    let account = json!({ "role": "web", "jwt": "a.service.account" });
    for (auth, door, words) in [
        (VaultAuth::app_role("r", "s"), LOGIN, json!({ "role_id": "r", "secret_id": "s" })),
        (VaultAuth::certificate(), "auth/cert/login", json!({})),
        (VaultAuth::certificate().certificate_role("web"), "auth/cert/login", json!({ "name": "web" })),
        (VaultAuth::certificate().mount("/team/tls/"), "auth/team/tls/login", json!({})),
        (kubernetes.clone(), "auth/kubernetes/login", account.clone()),
        (kubernetes.certificate_role("other").mount("prod"), "auth/prod/login", account),
    ] {
        let script = open();
        let issuer = builder(&script, &clock(), auth).namespace("/team/web/").build().unwrap();
        assert!(failure(&issuer).await.message.contains("busy"));
        let (login, sign) = (script.last(door), script.last(SIGN));
        assert_eq!(body(&login), words, "{door}");
        for request in [&login, &sign] {
            assert_eq!(request.method(), http::Method::POST);
            assert_eq!(request.headers()["content-type"], "application/json");
            assert_eq!(request.headers()["x-vault-namespace"], "team/web");
        }
        assert!(!login.headers().contains_key("x-vault-token"));
        assert_eq!(token(&sign), "s.token");
        assert!(sign.headers()["x-vault-token"].is_sensitive(), "no log of headers may show it");
    }
}

#[tokio::test]
async fn secrets_come_from_variables_and_from_where_a_cluster_puts_them() {
    let script = Script::new(|_, _| refused(500, "busy"));
    let by = |auth| builder(&script, &clock(), auth).build().unwrap();
    // One that is set everywhere.
    failure(&by(VaultAuth::token(VaultSecret::env("PATH")))).await;
    assert_eq!(token(&script.last(LOOK)), std::env::var("PATH").unwrap().trim());

    let nobodys = "PERENNIAL_NOBODY_SETS_THIS";
    let mut missing = vec![(VaultAuth::token(VaultSecret::env(nobodys)), nobodys)];
    let account = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    if !Path::new(account).exists() {
        missing.push((VaultAuth::kubernetes("web"), account));
    }
    for (auth, says) in missing {
        let error = failure(&by(auth)).await;
        assert!(error.message.contains(says), "{error}");
        assert_eq!(error.class, Local);
    }
    assert_eq!(script.count(SIGN), 0);
}

#[tokio::test]
async fn whatever_status_refuses_a_login_it_is_ours_unless_the_server_is_away() {
    for (status, text, class, says) in [
        (400, "invalid role name \"web\"", Auth, "see role and secret identifier"),
        (400, "unknown role: web", Auth, "see role and secret identifier"),
        (403, "permission denied", Auth, "see role and secret identifier"),
        (500, "claim \"aud\" not found", Auth, "see role and secret identifier"),
        (404, "no handler for route", Local, "see that the mount"),
        (429, "quota exceeded", Transient, "larger quota"),
        (502, "bad gateway", Transient, "in trouble (502)"),
        (503, "Vault is sealed", Transient, "unseal it"),
    ] {
        let script = Script::new(move |_, _| refused(status, text));
        let error = failure(&issuer(&script, &clock())).await;
        assert!(error.message.contains(says) && error.message.contains("/v1/auth/"), "{error}");
        assert_eq!(error.class, class, "{error}");
    }
}

#[tokio::test]
async fn a_login_that_gives_no_token_is_told_as_one() {
    for auth in [json!(null), json!({ "client_token": "", "mfa_requirement": { "mfa_request_id": "7" } })] {
        let answer = json!({ "auth": auth }).to_string();
        let script = Script::new(move |_, _| (200, answer.clone()));
        let error = failure(&issuer(&script, &clock())).await;
        assert!(error.message.contains("second factor"), "{error}");
        assert_eq!((error.class, script.count(SIGN)), (Auth, 0));
    }
}

#[tokio::test]
async fn the_token_of_a_service_account_is_not_shown_when_the_server_repeats_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwt");
    std::fs::write(&file, "a.service.account").unwrap();
    let script = Script::new(|_, _| refused(400, "a.service.account is not of this cluster"));
    let auth = VaultAuth::kubernetes("web").jwt_file(&file);
    let error = failure(&builder(&script, &clock(), auth).build().unwrap()).await;
    assert!(error.message.contains("[secret] is not of this cluster"), "{error}");
}

#[tokio::test]
async fn an_envelope_is_opened_with_its_own_token_and_what_was_in_it_is_used_again() {
    let script = Script::new(|path, count| match (path, count) {
        (UNWRAP, 0) => (200, r#"{"data":{"secret_id":"from-the-envelope"}}"#.to_owned()),
        (LOGIN, _) => entered(900),
        (SIGN, 0 | 2) => refused(500, "busy"),
        _ => refused(403, "permission denied"),
    });
    let auth = VaultAuth::app_role_wrapped("role-of-web", "s.envelope");
    let issuer = builder(&script, &clock(), auth).build().unwrap();
    for logins in [1, 2] {
        assert!(failure(&issuer).await.message.contains("busy"));
        assert_eq!((script.count(UNWRAP), script.count(LOGIN)), (1, logins));
        let words = json!({ "role_id": "role-of-web", "secret_id": "from-the-envelope" });
        assert_eq!(body(&script.last(LOGIN)), words);
    }
    assert_eq!(token(&script.last(UNWRAP)), "s.envelope");
}

#[tokio::test]
async fn an_envelope_that_does_not_open_or_is_empty_lets_nobody_in() {
    for (status, body, class, says) in [
        (400, r#"{"errors":["wrapping token is not valid or does not exist"]}"#, Auth, "opens once"),
        (403, r#"{"errors":["permission denied"]}"#, Auth, "opens once"),
        (204, "", Contract, "no secret_id"),
    ] {
        let script = Script::new(move |_, _| (status, body.to_owned()));
        let auth = VaultAuth::app_role_wrapped("role-of-web", "s.envelope");
        let error = failure(&builder(&script, &clock(), auth).build().unwrap()).await;
        assert!(error.message.contains(says), "{error}");
        assert_eq!((error.class, script.count(LOGIN)), (class, 0));
    }
}

#[tokio::test]
async fn a_refusal_of_the_token_before_costs_those_who_share_one_login() {
    let script = Script::reading(|request, count| {
        respond(match path(request) {
            LOGIN => {
                let auth = json!({ "client_token": format!("s.{count}"), "lease_duration": 900 });
                (200, json!({ "auth": auth }).to_string())
            }
            _ if count > 0 && token(request) == "s.0" => refused(403, "permission denied"),
            _ => refused(500, "busy"),
        })
    });
    let issuer = issuer(&script, &clock());
    failure(&issuer).await;
    let all = futures_util::future::join_all((0..4).map(|_| failure(&issuer))).await;
    assert!(all.iter().all(|error| error.message.contains("busy")), "{all:?}");
    assert_eq!((script.count(LOGIN), script.count(SIGN)), (2, 9));
}

#[tokio::test]
async fn a_file_with_a_token_is_followed_and_while_it_is_away_the_token_from_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s.first").unwrap();
    let script = Script::new(|path, _| if path == LOOK { known(900) } else { refused(500, "busy") });
    let auth = VaultAuth::token(VaultSecret::file(&file));
    let issuer = builder(&script, &clock(), auth).build().unwrap();
    for (there, looks, used) in [
        (Some("s.first"), 1, "s.first"),
        (Some("s.first\n"), 1, "s.first"),
        (Some("s.other"), 2, "s.other"),
        (Some(""), 2, "s.other"),
        (None, 2, "s.other"),
    ] {
        match there {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        failure(&issuer).await;
        assert_eq!((script.count(LOOK), token(&script.last(SIGN))), (looks, used), "{there:?}");
    }
}

#[tokio::test]
async fn a_token_that_was_replaced_during_a_request_costs_that_request_one_more() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s.first").unwrap();
    let agent = file.clone();
    let script = Script::reading(move |request, count| {
        respond(match (path(request), count) {
            (LOOK, _) => known(900),
            (_, 1) => {
                std::fs::write(&agent, "s.other").unwrap();
                refused(403, "permission denied")
            }
            _ => refused(500, "busy"),
        })
    });
    let auth = VaultAuth::token(VaultSecret::file(&file));
    let issuer = builder(&script, &clock(), auth).build().unwrap();
    failure(&issuer).await;
    assert!(failure(&issuer).await.message.contains("busy"));
    assert_eq!((script.count(SIGN), token(&script.last(SIGN))), (3, "s.other"));
}

#[tokio::test]
async fn a_token_that_cannot_change_is_not_tried_twice() {
    let script = Script::new(|path, count| match (path, count) {
        (LOOK, _) => known(900),
        (_, 0) => refused(500, "busy"),
        _ => refused(403, "permission denied"),
    });
    let issuer = builder(&script, &clock(), VaultAuth::token("s.fixed")).build().unwrap();
    failure(&issuer).await;
    assert_eq!(failure(&issuer).await.class, Auth);
    assert_eq!((script.count(LOOK), script.count(SIGN)), (1, 2));
}

#[tokio::test]
async fn a_token_of_somebody_else_is_renewed_with_itself_and_lasts_as_the_renewal_says() {
    let script = Script::new(|path, _| match path {
        LOOK => known(900),
        RENEW => (200, json!({ "auth": { "client_token": "s.given", "lease_duration": 0 } }).to_string()),
        _ => refused(500, "busy"),
    });
    let clock = clock();
    let start = clock.now();
    let issuer = builder(&script, &clock, VaultAuth::token("s.given")).build().unwrap();
    for (seconds, looks, renewals) in [(0, 1, 0), (599, 1, 0), (600, 1, 1), (9_000, 1, 1)] {
        clock.set(start + Duration::from_secs(seconds));
        failure(&issuer).await;
        assert_eq!((script.count(LOOK), script.count(RENEW)), (looks, renewals), "after {seconds} s");
    }
    assert_eq!(token(&script.last(RENEW)), "s.given");
}

#[tokio::test]
async fn a_token_that_may_not_look_at_itself_is_used_and_one_that_nobody_can_ask_about_is_not() {
    for (look, class, signs) in
        [(refused(403, "permission denied"), Transient, 1), (refused(503, "Vault is sealed"), Transient, 0)]
    {
        let script =
            Script::new(move |path, _| if path == LOOK { look.clone() } else { refused(500, "busy") });
        let clock = clock();
        let issuer = builder(&script, &clock, VaultAuth::token("s.given")).build().unwrap();
        assert_eq!(failure(&issuer).await.class, class);
        assert_eq!((script.count(LOOK), script.count(SIGN)), (1, signs));
        // What is not known to end is taken to last, and its end is told by a refusal.
        clock.advance(Duration::from_secs(365 * 86_400));
        failure(&issuer).await;
        assert_eq!((script.count(LOOK), script.count(SIGN)), (2 - signs, 2 * signs));
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_ours_to_mend() {
    let script = open();
    let issuer = builder(&script, &clock(), VaultAuth::token("s.first\ns.other")).build().unwrap();
    let error = failure(&issuer).await;
    assert_eq!((error.class, error.retry(), script.count(LOOK)), (Local, perennial_core::Retry::Never, 0));
    assert!(error.message.contains("no header can carry") && !error.message.contains("s.other"), "{error}");
}
