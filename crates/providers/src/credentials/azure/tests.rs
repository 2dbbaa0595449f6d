use std::time::Duration;

use perennial_core::Retry;

use super::{
    super::desk::{Desk, header, says, with},
    *,
};

fn builder(desk: &Desk) -> AccessBuilder {
    Access::builder("azure").clock(desk.clock()).http(desk.http()).metadata_http(desk.http())
}

fn tokens() -> Desk {
    Desk::new(|_| says(200, r#"{"token_type": "Bearer", "expires_in": 3599, "access_token": "ey.t0k3n"}"#))
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn error_of(access: Result<Access, Error>) -> Error {
    access.unwrap().token().await.map(drop).unwrap_err()
}

#[tokio::test]
async fn an_application_shows_its_secret() {
    let desk = tokens();
    let access = builder(&desk).client_secret("tenant", "app", "s3cret&".into()).unwrap();
    assert_eq!(access.token().await.unwrap().expose(), "ey.t0k3n");
    assert_eq!(desk.seen(), ["POST https://login.microsoftonline.com/tenant/oauth2/v2.0/token"]);
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("scope", "https://management.azure.com/.default"),
        ("client_secret", "s3cret&"),
    ];
    assert_eq!(desk.last_form(), pairs(&expected));
    assert_eq!(desk.last().headers().get_all("content-type").iter().count(), 1);
    desk.clock.advance(Duration::from_secs(3298));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 1);
    desk.clock.advance(Duration::from_secs(1));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 2);
}

#[tokio::test]
async fn a_sovereign_cloud_has_its_own_endpoints() {
    for (cloud, url, scope) in [
        (Cloud::china(), "https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default"),
        (
            Cloud::us_government(),
            "https://login.microsoftonline.us",
            "https://management.usgovcloudapi.net/.default",
        ),
        (
            Cloud::new("https://adfs.stack.example", "https://management.stack.example"),
            "https://adfs.stack.example",
            "https://management.stack.example/.default",
        ),
    ] {
        let desk = tokens();
        let access = builder(&desk).cloud(cloud).client_secret("t", "app", "s3cret".into()).unwrap();
        access.token().await.unwrap();
        assert_eq!(desk.seen(), [format!("POST {url}/t/oauth2/v2.0/token")]);
        assert!(desk.last_form().contains(&("scope".to_owned(), scope.to_owned())));
    }
}

#[tokio::test]
async fn a_workload_shows_the_token_that_is_in_the_file_now() {
    let desk = tokens();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let variables = [
        ("AZURE_FEDERATED_TOKEN_FILE", file.path().to_str().unwrap()),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_CLIENT_ID", "app"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
    ];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    std::fs::write(file.path(), "ey.new\n").unwrap();
    access.token().await.unwrap();
    assert_eq!(desk.seen(), ["POST https://login.microsoftonline.us/tenant/oauth2/v2.0/token"]);
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("scope", "https://management.azure.com/.default"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", "ey.new"),
    ];
    assert_eq!(desk.last_form(), pairs(&expected));
}

#[tokio::test]
async fn a_machine_is_asked_for_its_identity_and_writes_numbers_as_texts() {
    let desk = Desk::new(|request| match header(request, "metadata") {
        "true" => {
            says(200, r#"{"access_token": "ey.t0k3n", "expires_in": "86399", "expires_on": "1800086399"}"#)
        }
        _ => says(
            400,
            r#"{"error": "invalid_request", "error_description": "Required metadata header not specified"}"#,
        ),
    });
    let access = builder(&desk).managed_identity(Some("app".into())).unwrap();
    assert_eq!(access.token().await.unwrap().expose(), "ey.t0k3n");
    assert_eq!(
        desk.seen(),
        ["GET http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
          &resource=https%3A%2F%2Fmanagement.azure.com%2F&client_id=app"]
    );
    desk.clock.advance(Duration::from_secs(86_000));
    access.token().await.unwrap();
    assert_eq!(desk.seen().len(), 1);
}

#[tokio::test]
async fn an_app_is_asked_for_its_identity_with_the_platforms_header() {
    let desk = tokens();
    let variables =
        [("IDENTITY_ENDPOINT", "http://localhost:42356/msi/token"), ("IDENTITY_HEADER", "h3ader")];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    access.token().await.unwrap();
    assert_eq!(header(&desk.last(), "x-identity-header"), "h3ader");
    assert_eq!(
        desk.seen(),
        [
            "GET http://localhost:42356/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fmanagement.azure.com%2F"
        ]
    );
}

#[tokio::test]
async fn refusals_are_explained_and_show_no_secret() {
    for (description, part) in [
        ("AADSTS7000215: Invalid client secret provided, s3cret.", "give the secret's value, not its id"),
        ("AADSTS7000222: The provided client secret keys are expired.", "the secret has ended"),
        (
            "AADSTS700016: Application with identifier 'app' was not found",
            "look at the tenant and the client id",
        ),
        ("AADSTS90002: Tenant 'tenant' not found.", "look at the tenant and the client id"),
        ("AADSTS700213: No matching federated identity record found", "look at its federated credentials"),
    ] {
        let body =
            serde_json::json!({ "error": "invalid_client", "error_description": description }).to_string();
        let desk = Desk::new(move |_| says(401, body.clone()));
        let error = error_of(builder(&desk).client_secret("tenant", "app", "s3cret".into())).await;
        assert!(matches!(error, Error::Auth { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains("s3cret"), "{text}");
        assert_eq!(error.retry(), Retry::Never);
    }
}

#[tokio::test]
async fn a_machine_without_an_identity_is_told_what_to_do() {
    let body = r#"{"error": "invalid_request", "error_description": "Identity not found"}"#;
    let error = error_of(builder(&Desk::new(move |_| says(400, body))).managed_identity(None)).await;
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
    assert!(error.to_string().contains("assign one to it"), "{error}");
}

#[test]
fn the_environment_is_read_in_the_order_of_azures_own_libraries() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "token").unwrap();
    let file = file.path().to_str().unwrap();
    let ids = [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "app")];
    let secret = [("AZURE_CLIENT_SECRET", "s3cret")];
    let workload = [("AZURE_FEDERATED_TOKEN_FILE", file)];
    let app = [("IDENTITY_ENDPOINT", "http://localhost:1/"), ("IDENTITY_HEADER", "h3ader")];
    let cases: [(Vec<(&str, &str)>, &str); 5] = [
        ([&ids[..], &secret[..], &workload[..], &app[..]].concat(), "application app"),
        ([&ids[..], &workload[..], &app[..]].concat(), "workload identity app"),
        ([&ids[..], &app[..]].concat(), "managed identity app"),
        (ids.to_vec(), "managed identity app"),
        (vec![], "the managed identity of the machine"),
    ];
    for (variables, expected) in cases {
        let access = with(&variables, |variables| builder(&tokens()).in_environment(variables)).unwrap();
        let debug = format!("{access:?}");
        assert!(debug.contains(expected) && !debug.contains("s3cret"), "{debug}");
    }
    let error = with(&secret, |variables| builder(&tokens()).in_environment(variables)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "azure needs the option `AZURE_TENANT_ID`: AZURE_CLIENT_SECRET is set, and goes with it"
    );
}

#[test]
fn who_is_the_same_to_azure_has_the_same_fingerprint() {
    let desk = tokens();
    let all = || {
        [
            builder(&desk).client_secret("tenant", "app", "one".into()).unwrap(),
            builder(&desk).client_secret("tenant", "app", "two".into()).unwrap(),
            builder(&desk).client_secret("other", "app", "one".into()).unwrap(),
            builder(&desk).workload_identity("tenant", "app", "ey.t0k3n".into()).unwrap(),
            builder(&desk).managed_identity(None).unwrap(),
            builder(&desk).managed_identity(Some("app".to_owned())).unwrap(),
        ]
        .map(|access| access.fingerprint().unwrap())
    };
    assert_eq!(all(), all());
    assert_eq!(all().into_iter().collect::<std::collections::HashSet<_>>().len(), all().len());
}
