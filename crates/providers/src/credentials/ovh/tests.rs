use std::time::Duration;

use super::{
    super::desk::{Desk, START, header, says},
    *,
};

fn builder(desk: &Desk) -> AccessBuilder {
    Access::builder("ovh", Region::Europe).clock(desk.clock()).http(desk.http())
}

async fn signed(access: &Access, now: Timestamp) -> Request<Bytes> {
    let mut request = Request::get("https://eu.api.ovh.com/1.0/domain/zone").body(Bytes::new()).unwrap();
    let secrets = access.authorize(&mut request, now).await.unwrap();
    for secret in ["s3cret", "c0nsumer", "t0k3n"] {
        assert!(!secrets.hide(secret).contains(secret) || !format!("{request:?}").contains(secret));
    }
    request
}

#[tokio::test]
async fn requests_are_signed_with_the_other_sides_time() {
    let desk = Desk::new(|_| says(200, "1800000100"));
    let access = builder(&desk).consumer_key("app", "s3cret".into(), "c0nsumer".into()).unwrap();
    let request = signed(&access, START + Duration::from_secs(7)).await;
    assert_eq!(header(&request, "x-ovh-timestamp"), "1800000107");
    assert_eq!(header(&request, "x-ovh-application"), "app");
    assert_eq!(header(&request, "x-ovh-consumer"), "c0nsumer");
    assert_eq!(desk.seen(), ["GET https://eu.api.ovh.com/1.0/auth/time"]);
    signed(&access, START).await;
    assert_eq!(desk.seen().len(), 1);
    desk.clock.advance(Duration::from_secs(3600));
    signed(&access, START).await;
    assert_eq!(desk.seen().len(), 2);
}

#[tokio::test]
async fn the_time_is_asked_for_again_when_a_signature_was_refused() {
    let desk = Desk::new(|_| says(200, "1800000100"));
    let access = builder(&desk).consumer_key("app", "s3cret".into(), "c0nsumer".into()).unwrap();
    signed(&access, START).await;
    desk.clock.advance(Duration::from_secs(60));
    assert!(access.refused());
    signed(&access, START).await;
    assert_eq!(desk.seen().len(), 2);
}

#[tokio::test]
async fn a_service_account_gets_a_token() {
    let desk =
        Desk::new(|_| says(200, r#"{"access_token": "t0k3n", "token_type": "Bearer", "expires_in": 3599}"#));
    let access = builder(&desk).service_account("id", "s3cret".into()).unwrap();
    let request = signed(&access, START).await;
    assert_eq!(header(&request, "authorization"), "Bearer t0k3n");
    assert_eq!(desk.seen(), ["POST https://www.ovh.com/auth/oauth2/token"]);
    let form = desk.last_form();
    let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let grant = ("grant_type", "client_credentials");
    assert_eq!(form, [grant, ("client_id", "id"), ("client_secret", "s3cret"), ("scope", "all")]);
}

#[tokio::test]
async fn a_wrong_secret_is_told_without_it() {
    let desk =
        Desk::new(|_| says(401, r#"{"error": "invalid_client", "error_description": "Invalid s3cret"}"#));
    let access = builder(&desk).service_account("id", "s3cret".into()).unwrap();
    let mut request = Request::new(Bytes::new());
    let error = access.authorize(&mut request, START).await.err().unwrap();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("the region of the account") && !text.contains("s3cret"), "{text}");
    assert!(!format!("{access:?}").contains("s3cret"));
}

#[tokio::test]
async fn an_answer_that_is_no_time_is_told_without_secrets() {
    let desk = Desk::new(|_| says(200, r#"{"for": "s3cret", "by": "c0nsumer"}"#));
    let access = builder(&desk).consumer_key("app", "s3cret".into(), "c0nsumer".into()).unwrap();
    let mut request = Request::new(Bytes::new());
    let error = access.authorize(&mut request, START).await.err().unwrap();
    let told = format!("{error} {error:?}");
    assert!(told.contains("/auth/time"), "{told}");
    assert!(!told.contains("s3cret") && !told.contains("c0nsumer"), "{told}");
}

#[test]
fn who_is_the_same_to_ovhcloud_has_the_same_fingerprint() {
    let desk = Desk::new(|_| says(200, "1800000100"));
    let key = |secret: &str, consumer: &str| {
        builder(&desk).consumer_key("app", secret.into(), consumer.into()).unwrap()
    };
    let all = || {
        [
            key("s3cret", "c0nsumer"),
            key("other", "c0nsumer"),
            key("s3cret", "other"),
            builder(&desk).service_account("app", "s3cret".into()).unwrap(),
        ]
        .map(|access| access.fingerprint().unwrap())
    };
    assert_eq!(all(), all());
    assert_eq!(all().into_iter().collect::<std::collections::HashSet<_>>().len(), all().len());
}
