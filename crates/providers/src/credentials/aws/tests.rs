use std::time::Duration;

use perennial_core::Retry;
use perennial_testkit::ManualClock;

use super::{
    super::desk::{Desk, START, header, says, with},
    *,
};

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// IMDSv2: no question without a token. The credentials bear the number of their issue, and last an hour.
fn machine(role: &'static str) -> Desk {
    let issued = std::sync::atomic::AtomicU32::new(0);
    let clock = ManualClock::new(START);
    let time = clock.clone();
    let mut desk = Desk::new(move |request| {
        let path = request.uri().path();
        if request.method() == "PUT" && path == "/latest/api/token" {
            return match header(request, "x-aws-ec2-metadata-token-ttl-seconds") {
                "" => says(400, "<html>Bad Request</html>"),
                _ => says(200, "t0k3n"),
            };
        }
        if header(request, "x-aws-ec2-metadata-token") != "t0k3n" {
            return says(401, "<html>Unauthorized</html>");
        }
        match path.strip_prefix(ROLES) {
            Some("") if role.is_empty() => says(404, "<html>Not Found</html>"),
            Some("") => says(200, role),
            Some(name) if name == role => {
                let number = issued.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                let until = Clock::now(&time) + Duration::from_secs(3600);
                says(200, keys(number, until))
            }
            _ => says(404, "<html>Not Found</html>"),
        }
    });
    desk.clock = clock;
    desk
}

fn keys(number: u32, until: Timestamp) -> String {
    format!(
        r#"{{"Code": "Success", "LastUpdated": "2027-01-15T07:00:00Z", "Type": "AWS-HMAC",
            "AccessKeyId": "ASIA{number}", "SecretAccessKey": "s3cret", "Token": "s3ssion", "Expiration": "{until}"}}"#
    )
}

fn builder(desk: &Desk) -> AccessBuilder {
    Access::builder("route53").clock(desk.clock()).http(desk.http()).metadata_http(desk.http())
}

async fn key_id(access: &Access) -> String {
    access.credentials().await.unwrap().access_key_id
}

fn error_of(credentials: Result<sigv4::Credentials, Error>) -> Error {
    credentials.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_machines_role_is_asked_for_with_a_token_and_renewed_before_its_end() {
    let desk = machine("dns-role");
    let access = builder(&desk).instance().unwrap();
    let credentials = access.credentials().await.unwrap();
    assert_eq!(credentials.access_key_id, "ASIA1");
    assert_eq!(credentials.secret_access_key.expose(), "s3cret");
    assert!(credentials.session_token.is_some_and(|token| token.expose() == "s3ssion"));
    assert_eq!(
        desk.seen(),
        [
            "PUT http://169.254.169.254/latest/api/token",
            "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/",
            "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/dns-role",
        ]
    );
    desk.clock.advance(Duration::from_secs(3299));
    assert_eq!(key_id(&access).await, "ASIA1");
    desk.clock.advance(Duration::from_secs(1));
    assert_eq!(key_id(&access).await, "ASIA2");
}

#[tokio::test]
async fn a_machine_without_a_role_is_told_what_to_do() {
    let access = builder(&machine("")).instance().unwrap();
    let error = error_of(access.credentials().await);
    assert_eq!(
        error.to_string(),
        "route53: this machine has no role: attach an instance profile to it, or give a key"
    );
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn what_the_machine_says_in_place_of_a_key_is_told_and_a_key_is_never_shown() {
    let answer = |body: &'static str| {
        Desk::new(move |request| match request.uri().path() {
            ROLES => says(200, "role"),
            path if path.starts_with(ROLES) => says(200, body),
            _ => says(200, "t0k3n"),
        })
    };
    let desk = answer(r#"{"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}"#);
    let text = error_of(builder(&desk).instance().unwrap().credentials().await).to_string();
    assert!(text.contains("AssumeRoleUnauthorizedAccess: EC2 cannot assume the role"), "{text}");
    let desk = answer(r#"{"AccessKeyId": "ASIA1", "SecretAccessKey": "s3cret", "Token": 7}"#);
    let text = error_of(builder(&desk).instance().unwrap().credentials().await).to_string();
    assert!(text.contains("not as documented") && !text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn a_containers_role_is_asked_for_with_the_token_that_is_in_the_file_now() {
    let desk = Desk::new(|_| says(200, keys(1, START + Duration::from_secs(3600))));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first").unwrap();
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap()),
    ];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    for token in ["second", "third"] {
        std::fs::write(file.path(), token).unwrap();
        key_id(&access).await;
        assert_eq!(header(&desk.last(), "authorization"), token);
        desk.clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(desk.seen()[0], "GET http://169.254.170.23/v1/credentials");

    let variables = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1?id=2")];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    key_id(&access).await;
    assert_eq!(desk.seen().last().unwrap(), "GET http://169.254.170.2/v2/credentials/1?id=2");
    assert_eq!(header(&desk.last(), "authorization"), "");
}

fn session(action: &str) -> String {
    format!(
        r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
          <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/dns/perennial</Arn></AssumedRoleUser>
          <Credentials><AccessKeyId>ASIASESSION</AccessKeyId><SecretAccessKey>s3cret/2</SecretAccessKey>
            <SessionToken>s3ssion//==</SessionToken><Expiration>2027-01-15T09:00:00Z</Expiration></Credentials>
        </{action}Result><ResponseMetadata><RequestId>r1</RequestId></ResponseMetadata></{action}Response>"#
    )
}

fn fixed(desk: &Desk) -> Arc<Access> {
    Arc::new(builder(desk).fixed("AKIABASE".into(), "s3cret".into(), None))
}

const ARN: &str = "arn:aws:iam::123456789012:role/dns";

#[tokio::test]
async fn a_role_is_taken_on_with_a_signed_request_and_an_external_id() {
    let desk = Desk::new(|_| says(200, session("AssumeRole")));
    let role = Role::new(ARN).with_external_id("ext").with_session_name("me");
    let access = builder(&desk).region("eu-central-1").assume(fixed(&desk), role).unwrap();
    let credentials = access.credentials().await.unwrap();
    assert_eq!(credentials.access_key_id, "ASIASESSION");
    assert_eq!(credentials.secret_access_key.expose(), "s3cret/2");
    assert!(credentials.session_token.is_some_and(|token| token.expose() == "s3ssion//=="));
    let request = desk.last();
    assert_eq!(request.uri(), "https://sts.eu-central-1.amazonaws.com/");
    let signed = "AWS4-HMAC-SHA256 Credential=AKIABASE/20270115/eu-central-1/sts/aws4_request, ";
    assert!(header(&request, "authorization").starts_with(signed));
    let expected = [
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", ARN),
        ("RoleSessionName", "me"),
        ("DurationSeconds", "3600"),
        ("ExternalId", "ext"),
    ];
    assert_eq!(desk.last_form(), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_role_may_lead_to_another_role() {
    let desk = Desk::new(|_| says(200, session("AssumeRole")));
    let first = Arc::new(builder(&desk).assume(fixed(&desk), Role::new(ARN)).unwrap());
    let second = builder(&desk).assume(first, Role::new("arn:aws:iam::210987654321:role/dns")).unwrap();
    key_id(&second).await;
    assert_eq!(desk.seen().len(), 2);
    assert!(header(&desk.last(), "authorization").contains("Credential=ASIASESSION/"));
    assert_eq!(header(&desk.last(), "x-amz-security-token"), "s3ssion//==");
}

#[tokio::test]
async fn a_web_identity_is_shown_as_it_is_in_the_file_now_and_nothing_is_signed() {
    let desk = Desk::new(|_| says(200, session("AssumeRoleWithWebIdentity")));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.path().to_str().unwrap()),
        ("AWS_ROLE_ARN", ARN),
        ("AWS_ROLE_SESSION_NAME", "pod"),
        ("AWS_REGION", "cn-north-1"),
    ];
    let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
    std::fs::write(file.path(), "ey.new.token\n").unwrap();
    assert_eq!(key_id(&access).await, "ASIASESSION");
    assert_eq!(desk.last().uri(), "https://sts.cn-north-1.amazonaws.com.cn/");
    assert_eq!(header(&desk.last(), "authorization"), "");
    let form = desk.last_form();
    assert!(form.contains(&("WebIdentityToken".into(), "ey.new.token".into())), "{form:?}");
    assert!(form.contains(&("RoleSessionName".into(), "pod".into())), "{form:?}");
}

#[tokio::test]
async fn a_role_that_may_not_be_taken_on_is_told_in_awss_words_and_without_secrets() {
    let desk = Desk::new(|_| {
        says(
            403,
            r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
               <Code>AccessDenied</Code><Message>User: arn:aws:iam::1:user/x with s3cret is not authorized to
               perform: sts:AssumeRole on resource: arn:aws:iam::123456789012:role/dns</Message></Error>
               <RequestId>r-7</RequestId></ErrorResponse>"#,
        )
    });
    let access = builder(&desk).assume(fixed(&desk), Role::new(ARN)).unwrap();
    let error = error_of(access.credentials().await);
    assert!(matches!(error, Error::Permission { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("is not authorized to perform: sts:AssumeRole"), "{text}");
    assert!(text.contains("r-7") && text.contains("AccessDenied"), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn a_token_that_has_ended_is_a_matter_of_credentials() {
    let desk = Desk::new(|_| {
        says(
            400,
            "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code>\
             <Message>Token expired</Message></Error></ErrorResponse>",
        )
    });
    let access = builder(&desk).web_identity(Role::new(ARN), "t0k3n".into()).unwrap();
    let error = error_of(access.credentials().await);
    assert!(matches!(error, Error::Auth { .. }) && error.to_string().contains("Token expired"), "{error}");
}

#[test]
fn the_environment_is_read_in_the_order_of_awss_own_libraries() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "token").unwrap();
    let file = file.path().to_str().unwrap();
    let key = [("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", file), ("AWS_ROLE_ARN", ARN)];
    let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2")];
    let cases: [(Vec<(&str, &str)>, &str); 5] = [
        ([&key[..], &web[..], &container[..]].concat(), "\"key\""),
        ([&web[..], &container[..]].concat(), "with a web identity"),
        (container.to_vec(), "\"container\""),
        (vec![], "\"instance\""),
        (vec![("AWS_ACCESS_KEY_ID", "")], "\"instance\""),
    ];
    for (variables, expected) in cases {
        let desk = Desk::new(|_| says(500, ""));
        let access = with(&variables, |variables| builder(&desk).in_environment(variables)).unwrap();
        let debug = format!("{access:?}");
        assert!(debug.contains(expected) && !debug.contains("s3cret"), "{debug}");
    }
}

#[test]
fn what_is_missing_in_the_environment_is_called_by_its_name() {
    let missing = |variables: &[(&str, &str)]| {
        let desk = Desk::new(|_| says(500, ""));
        with(variables, |variables| builder(&desk).in_environment(variables)).unwrap_err().to_string()
    };
    assert_eq!(
        missing(&[("AWS_ACCESS_KEY_ID", "AKIA")]),
        "route53 needs the option `AWS_SECRET_ACCESS_KEY`: AWS_ACCESS_KEY_ID is set, and goes with it"
    );
    assert!(
        missing(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"), ("AWS_ROLE_ARN", ARN)])
            .contains("cannot read the secret file /nowhere/token")
    );
    assert!(missing(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "nonsense")]).contains("it is not a URL"));
    assert!(
        missing(&[("AWS_EC2_METADATA_DISABLED", "true")]).contains("no credentials are in the environment")
    );
}

#[tokio::test]
async fn a_session_that_is_refused_is_renewed_once() {
    let desk = machine("dns-role");
    let access = Arc::new(builder(&desk).instance().unwrap());
    let signer = Signer::new(access.clone(), "us-east-1", "route53");
    assert_eq!(key_id(&access).await, "ASIA1");
    assert!(!signer.refused());
    desk.clock.advance(Duration::from_secs(120));
    assert!(signer.refused());
    assert_eq!(key_id(&access).await, "ASIA2");
}

#[tokio::test]
async fn a_line_break_in_a_key_id_is_told_without_the_key() {
    let desk = Desk::new(|_| says(500, ""));
    let access = builder(&desk).fixed("AKIA\n".into(), "s3cret".into(), Some("t0k3n".into()));
    let signer = Signer::new(Arc::new(access), "us-east-1", "route53");
    let mut request = http::Request::new(Bytes::new());
    let text = signer.authorize(&mut request, START).await.err().unwrap().to_string();
    assert!(text.contains("line break") && !text.contains("s3cret") && !text.contains("t0k3n"), "{text}");
}

#[test]
fn who_is_the_same_to_aws_has_the_same_fingerprint() {
    let desk = machine("dns-role");
    let fixed = |secret: &str, token: Option<&str>| {
        builder(&desk).fixed("AKIA".into(), secret.into(), token.map(Credential::from))
    };
    let assumed = |arn: &str| builder(&desk).assume(Arc::new(fixed("one", None)), Role::new(arn)).unwrap();
    let identity = |arn: &str| builder(&desk).web_identity(Role::new(arn), "ey.t0k3n".into()).unwrap();
    let elsewhere = builder(&desk).instance_url("http://[fd00:ec2::254]").instance().unwrap();
    let all = || {
        [
            fixed("one", None),
            fixed("two", None),
            fixed("one", Some("session")),
            assumed("arn:a"),
            assumed("arn:b"),
            identity("arn:a"),
            identity("arn:b"),
            builder(&desk).instance().unwrap(),
        ]
    };
    let prints = all().map(|access| access.fingerprint().unwrap());
    assert_eq!(prints, all().map(|access| access.fingerprint().unwrap()));
    let apart: std::collections::HashSet<_> = prints.into_iter().chain(elsewhere.fingerprint()).collect();
    assert_eq!(apart.len(), prints.len() + 1);
}
