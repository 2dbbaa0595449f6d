use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use perennial_core::Retry;
use serde_json::Value;

use super::{
    super::desk::{Desk, START, header, says, with},
    *,
};

const KEY: &str = include_str!("../../../tests/vectors/service-account.json");

fn builder(desk: &Desk) -> AccessBuilder {
    Access::builder("google").clock(desk.clock()).http(desk.http()).metadata_http(desk.http())
}

/// Hands out a token for an hour, and says `Metadata-Flavor` to who says it.
fn tokens() -> Desk {
    Desk::new(|request| {
        let mut answer =
            says(200, r#"{"access_token": "ya29.t0k3n", "expires_in": 3599, "token_type": "Bearer"}"#);
        if header(request, "metadata-flavor") == "Google" {
            answer.headers_mut().insert("metadata-flavor", http::HeaderValue::from_static("Google"));
        }
        answer
    })
}

fn refuses(body: &'static str) -> Desk {
    Desk::new(move |_| says(400, body))
}

async fn error_of(access: Result<Access, Error>) -> Error {
    access.unwrap().token().await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_service_account_shows_a_token_that_it_signed_itself() {
    let desk = tokens();
    let access = builder(&desk).service_account(&KEY.into()).unwrap();
    assert_eq!(access.token().await.unwrap().expose(), "ya29.t0k3n");
    assert_eq!(desk.seen(), ["POST https://oauth2.googleapis.com/token"]);
    let form = desk.last_form();
    assert_eq!(form[0], ("grant_type".into(), "urn:ietf:params:oauth:grant-type:jwt-bearer".into()));
    let claims = form[1].1.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        claims,
        serde_json::json!({
            "iss": "fake@fake-project.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/ndev.clouddns.readwrite",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_800_000_000,
            "exp": 1_800_003_600,
        })
    );
    assert_eq!(access.project().await.unwrap().as_deref(), Some("fake-project"));
    desk.clock.advance(Duration::from_secs(3298));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 1);
    desk.clock.advance(Duration::from_secs(1));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 2);
}

#[tokio::test]
async fn a_request_gets_the_token_and_it_is_hidden() {
    let desk = tokens();
    let access = builder(&desk).service_account(&KEY.into()).unwrap();
    let mut request = Request::new(Bytes::new());
    let secrets = access.authorize(&mut request, START).await.unwrap();
    assert_eq!(header(&request, "authorization"), "Bearer ya29.t0k3n");
    assert_eq!(secrets.hide("ya29.t0k3n!"), "[secret]!");
    assert!(!format!("{request:?} {access:?}").contains("t0k3n"));
}

#[tokio::test]
async fn the_metadata_server_is_asked_for_the_account_of_the_machine() {
    let desk = tokens();
    let access = with(&[], |variables| builder(&desk).in_environment(variables)).unwrap();
    assert_eq!(access.token().await.unwrap().expose(), "ya29.t0k3n");
    let url = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(desk.seen(), [format!("GET {url}")]);

    let elsewhere = [("GCE_METADATA_HOST", "169.254.169.254:8080")];
    let access = with(&elsewhere, |variables| builder(&desk).in_environment(variables)).unwrap();
    access.token().await.unwrap();
    assert!(
        desk.seen()[1].starts_with("GET http://169.254.169.254:8080/computeMetadata/v1/"),
        "{:?}",
        desk.seen()
    );
}

#[tokio::test]
async fn whoever_is_not_the_metadata_server_of_google_is_not_believed() {
    let desk = Desk::new(|_| says(200, r#"{"access_token": "t0k3n", "expires_in": 3599}"#));
    let error = error_of(builder(&desk).metadata()).await;
    assert!(matches!(error, Error::Misbehaved { .. }), "{error:?}");
    assert!(error.to_string().contains("not Google's metadata server"), "{error}");
}

#[tokio::test]
async fn a_machine_without_an_account_is_told_what_to_do() {
    let error = error_of(builder(&Desk::new(|_| says(404, "not found"))).metadata()).await;
    assert_eq!(
        error.to_string(),
        "google: this machine has no service account \"default\": attach one to it, or give an account's key"
    );
}

#[tokio::test]
async fn refusals_are_explained() {
    for (body, part) in [
        (
            r#"{"error": "invalid_grant", "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}"#,
            "set the clock of this machine right",
        ),
        (r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#, "make another one"),
        (
            r#"{"error": "invalid_grant", "error_description": "Invalid grant: account not found"}"#,
            "the service account was deleted",
        ),
    ] {
        let error = error_of(builder(&refuses(body)).service_account(&KEY.into())).await;
        assert!(matches!(error, Error::Auth { .. }), "{error:?}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_shown_beside_the_other_one() {
    let desk = Desk::new(|_| {
        let mut answer =
            says(400, r#"{"error": "invalid_grant", "error_description": "reasonable timeframe"}"#);
        let date = http::HeaderValue::from_static("Fri, 15 Jan 2027 10:00:00 GMT");
        answer.headers_mut().insert("date", date);
        answer
    });
    let error = error_of(builder(&desk).service_account(&KEY.into())).await;
    assert!(matches!(error, Error::ClockSkew { .. }), "{error:?}");
    assert!(error.to_string().contains("2027-01-15T08:00:00Z here and 2027-01-15T10:00:00Z"), "{error}");
}

#[tokio::test]
async fn a_token_in_an_answer_that_cannot_be_used_is_not_shown() {
    let desk = Desk::new(|_| says(200, r#"{"access_token": "t0k3n", "expires_in": "soon"}"#));
    let text = error_of(builder(&desk).service_account(&KEY.into())).await.to_string();
    assert!(text.contains("holds no token as documented") && !text.contains("t0k3n"), "{text}");
}

#[test]
fn a_file_that_is_no_key_of_a_service_account_is_refused_without_showing_it() {
    let error = |json: &str| {
        let desk = tokens();
        builder(&desk).service_account(&json.into()).map(drop).unwrap_err().to_string()
    };
    assert!(error("s3cret").contains("it is not the JSON of a service account's key"));
    assert!(
        error(r#"{"type": "authorized_user", "refresh_token": "s3cret"}"#).contains("\"authorized_user\"")
    );
    assert!(error(r#"{"type": "service_account", "private_key": "s3cret"}"#).contains("it is not the JSON"));
    let bad = r#"{"type": "service_account", "client_email": "a@b", "private_key": "s3cret"}"#;
    assert!(error(bad).contains("it is not a private key in PEM"));
    for json in ["s3cret", bad] {
        assert!(!error(json).contains("s3cret"));
    }
    let nowhere = [("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")];
    let access = with(&nowhere, |variables| builder(&tokens()).in_environment(variables));
    assert!(access.unwrap_err().to_string().contains("cannot read /nowhere/key.json"));
}

/// STS, IAM and the service that hands out the workload's token, each at its own host.
fn federation() -> Desk {
    Desk::new(|request| match request.uri().host().unwrap() {
        "sts.googleapis.com" => {
            says(200, r#"{"access_token": "federated-t0k3n", "expires_in": 3599, "token_type": "Bearer"}"#)
        }
        "iamcredentials.googleapis.com" => {
            says(200, r#"{"accessToken": "ya29.impersonated", "expireTime": "2027-01-15T08:30:00Z"}"#)
        }
        _ => says(200, r#"{"value": "from-the-runner", "count": 1}"#),
    })
}

fn external(source: &Value, impersonation: bool) -> SecretString {
    let mut json = serde_json::json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": source,
    });
    if impersonation {
        let url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/dns@p.iam.gserviceaccount.com:generateAccessToken";
        json["service_account_impersonation_url"] = url.into();
    }
    json.to_string().into()
}

#[tokio::test]
async fn the_token_of_another_identity_provider_is_exchanged_and_read_anew_each_time() {
    let (desk, file) = (federation(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), "first-t0k3n\n").unwrap();
    let json = external(&serde_json::json!({ "file": file.path() }), false);
    let access = builder(&desk).credentials(&json).unwrap();
    assert_eq!(access.token().await.unwrap().expose(), "federated-t0k3n");
    assert_eq!(desk.seen(), ["POST https://sts.googleapis.com/v1/token"]);
    let form: std::collections::BTreeMap<_, _> = desk.last_form().into_iter().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:token-exchange");
    assert_eq!(form["requested_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    assert_eq!(form["scope"], DNS_SCOPE);
    assert_eq!(form["subject_token"], "first-t0k3n");
    assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert!(form["audience"].starts_with("//iam.googleapis.com/projects/1/"));
    assert_eq!(access.project().await.unwrap(), None);
    std::fs::write(file.path(), "second-t0k3n").unwrap();
    desk.clock.advance(Duration::from_secs(3300));
    access.token().await.unwrap();
    assert!(desk.last_form().contains(&("subject_token".into(), "second-t0k3n".into())));
}

#[tokio::test]
async fn a_federated_workload_acts_as_the_service_account_that_its_configuration_names() {
    let desk = federation();
    let source = serde_json::json!({
        "url": "http://169.254.169.254/metadata/identity?resource=api://x",
        "headers": { "Metadata": "True", "Authorization": "bearer of-the-runner-s3cret" },
        "format": { "type": "json", "subject_token_field_name": "value" },
    });
    let variable = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(variable.path(), external(&source, true).expose()).unwrap();
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", variable.path().to_str().unwrap())];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    assert_eq!(access.token().await.unwrap().expose(), "ya29.impersonated");
    let account = "dns@p.iam.gserviceaccount.com";
    assert_eq!(
        desk.seen(),
        [
            "GET http://169.254.169.254/metadata/identity?resource=api://x".to_owned(),
            "POST https://sts.googleapis.com/v1/token".to_owned(),
            format!(
                "POST https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
            ),
        ]
    );
    let asked = desk.last();
    assert_eq!(header(&asked, "authorization"), "Bearer federated-t0k3n");
    let body: Value = serde_json::from_slice(asked.body()).unwrap();
    assert_eq!(body, serde_json::json!({ "scope": [DNS_SCOPE], "lifetime": "3600s" }));
    // Until 08:30, and it is 08:00: five minutes before the end it is renewed.
    desk.clock.advance(Duration::from_secs(24 * 60));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 3);
    desk.clock.advance(Duration::from_secs(61));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 6);
}

#[tokio::test]
async fn an_account_acts_as_another_one_and_a_refusal_names_the_role() {
    let desk = Desk::new(|request| match request.uri().host().unwrap() {
        "oauth2.googleapis.com" => says(200, r#"{"access_token": "own-t0k3n", "expires_in": 3599}"#),
        _ => says(
            403,
            r#"{"error": {"code": 403, "message": "Permission 'iam.serviceAccounts.getAccessToken' denied", "status": "PERMISSION_DENIED"}}"#,
        ),
    });
    let access = builder(&desk).impersonate("dns@p.iam.gserviceaccount.com").service_account(&KEY.into());
    let error = error_of(access).await;
    let claims = desk.seen();
    assert!(
        claims[1]
            .ends_with("/v1/projects/-/serviceAccounts/dns%40p.iam.gserviceaccount.com:generateAccessToken")
    );
    assert!(
        matches!(error, Error::Permission { .. }) && error.code() == Some("PERMISSION_DENIED"),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("iam.serviceAccountTokenCreator") && !text.contains("own-t0k3n"), "{text}");
}

#[tokio::test]
async fn a_refused_exchange_says_what_to_look_at_and_shows_no_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret-subject-token").unwrap();
    let json = external(&serde_json::json!({ "file": file.path() }), false);
    let refusal = r#"{"error": "invalid_grant", "error_description": "The audience in s3cret-subject-token does not match"}"#;
    let error = error_of(builder(&refuses(refusal)).external_account(&json)).await;
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert!(
        error.to_string().contains("workload identity pool") && !error.to_string().contains("s3cret"),
        "{error}"
    );
    for content in ["", " \n"] {
        std::fs::write(file.path(), content).unwrap();
        let error = error_of(builder(&federation()).external_account(&json)).await;
        assert!(error.to_string().contains("it is empty; look who writes it"), "{error}");
    }
    file.as_file().set_len(65_537).unwrap();
    let error = error_of(builder(&federation()).external_account(&json)).await.to_string();
    let expected = format!("{} has 65537 bytes and may have 65536", file.path().display());
    assert!(error.contains(&expected) && error.ends_with("; look who writes it"), "{error}");
}

#[test]
fn a_configuration_with_a_source_that_is_not_known_is_refused() {
    let error = |source: Value| {
        let access = builder(&federation()).credentials(&external(&source, true));
        access.map(drop).unwrap_err().to_string()
    };
    assert!(error(serde_json::json!({ "environment_id": "aws1" })).contains("neither a `file` nor a `url`"));
    assert!(error(serde_json::json!({ "file": "t", "format": { "type": "json" } })).contains("`format`"));
    assert!(error(serde_json::json!({ "url": "ftp://x.example/t" })).contains("https"));
    assert!(error(serde_json::json!({ "url": "t" })).contains("not a URL"));
    let bent =
        external(&serde_json::json!({ "file": "t" }), true).expose().replace(":generateAccessToken", "/x");
    let error = builder(&federation()).credentials(&bent.into()).map(drop).unwrap_err().to_string();
    assert!(error.contains("generateAccessToken"), "{error}");
}

#[test]
fn who_is_the_same_to_google_has_the_same_fingerprint() {
    let desk = tokens();
    let source = |file: &str| external(&serde_json::json!({ "file": file }), false);
    let all = || {
        [
            builder(&desk).service_account(&KEY.into()).unwrap(),
            builder(&desk).impersonate("dns@p.example").service_account(&KEY.into()).unwrap(),
            builder(&desk).metadata().unwrap(),
            builder(&desk).account("other").metadata().unwrap(),
            builder(&desk).credentials(&source("/one")).unwrap(),
            builder(&desk).credentials(&source("/two")).unwrap(),
        ]
        .map(|access| access.fingerprint().unwrap())
    };
    assert_eq!(all(), all());
    assert_eq!(all().into_iter().collect::<std::collections::HashSet<_>>().len(), all().len());
}

#[tokio::test]
async fn a_key_that_was_exchanged_in_its_file_needs_no_restart() {
    let (desk, file) = (tokens(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(file.path(), KEY).unwrap();
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", file.path().to_str().unwrap())];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    let issuer = || {
        let assertion = desk.last_form().remove(1).1;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["iss"].as_str().unwrap().to_owned()
    };
    for (content, expected) in [
        (KEY.to_owned(), "fake@fake-project.iam.gserviceaccount.com"),
        (KEY.replace("fake@", "newer@"), "newer@fake-project.iam.gserviceaccount.com"),
        // Where there is none just now, the last one is, and not that of the beginning.
        ("half of a k".to_owned(), "newer@fake-project.iam.gserviceaccount.com"),
        (KEY.replace("fake@", "third@"), "third@fake-project.iam.gserviceaccount.com"),
    ] {
        std::fs::write(file.path(), content).unwrap();
        desk.clock.advance(Duration::from_secs(3600));
        access.token().await.unwrap();
        assert_eq!(issuer(), expected);
    }
}

#[tokio::test]
async fn a_key_of_before_that_is_refused_is_told_with_what_is_wrong_with_the_one_in_its_place() {
    let desk = refuses(r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), KEY).unwrap();
    let access = || builder(&desk).credentials_of(Credential::from_file(file.path()).ok().unwrap()).unwrap();
    let text = access().token().await.map(drop).unwrap_err().to_string();
    assert!(text.contains("make another one") && !text.contains("the key of before"), "{text}");
    let access = access();
    std::fs::write(file.path(), r#"{"type": "authorized_user", "refresh_token": "s3cret"}"#).unwrap();
    let text = access.token().await.map(drop).unwrap_err().to_string();
    assert!(text.contains("it is the key of before"), "{text}");
    assert!(text.contains("cannot be used: it is of the type \"authorized_user\""), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
}
