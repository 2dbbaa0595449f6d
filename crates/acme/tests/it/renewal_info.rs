//! When does the CA want a certificate renewed, and what does a failure to ask say?

use perennial_acme::{CertificateChain, CertificateId, Error, Misbehaved, Misuse, RenewalInfo};
use perennial_core::Retry;
use serde_json::{Value, json};

use crate::{
    pki::{Authority, Key},
    script::{HOME, Reply, Stage, after, directory, json, lost, names, problem, reply},
};

const ID: &str = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";
const ASK: &str = "GET /renewal-info/aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE";

fn offering(url: &str) -> Value {
    let mut directory = directory();
    directory["renewalInfo"] = json!(url);
    directory
}

fn window() -> Reply {
    let window = json!({ "start": "2027-01-01T00:00:00Z", "end": "2027-01-02T00:00:00Z" });
    json(200, &json!({ "suggestedWindow": window, "explanationURL": "https://ca.test/incident" }))
}

/// Asks a server with that answer.
async fn ask(answer: Reply) -> Result<RenewalInfo, Error> {
    let stage = Stage::new();
    stage.on("GET /dir", json(200, &offering(&format!("{HOME}/renewal-info"))));
    stage.on(ASK, answer);
    let info = stage.client.renewal_info(&ID.parse().unwrap()).await;
    assert_eq!(stage.script.requests(), 2);
    info
}

async fn retry_of(answer: Reply) -> Retry {
    let error = ask(answer).await.unwrap_err();
    assert!(
        error.to_string().starts_with(&format!("no renewal information for certificate {ID}: ")),
        "{error}"
    );
    error.retry()
}

#[tokio::test]
async fn one_unsigned_request_brings_the_window_with_and_without_a_slash_at_the_end() {
    for url in ["https://ca.test/renewal-info", "https://ca.test/renewal-info/"] {
        let stage = Stage::new();
        stage
            .on("GET /dir", json(200, &offering(url)))
            .on(ASK, window().header("retry-after", "21600"))
            .on(ASK, window().header("retry-after", "Sat, 21 Nov 2026 13:00:00 GMT"));
        let id: CertificateId = ID.parse().unwrap();
        let info = stage.client.renewal_info(&id).await.unwrap();
        assert_eq!(info.window.start().to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(info.explanation_url.as_deref(), Some("https://ca.test/incident"));
        assert_eq!(info.retry_at, after(6 * 3600));
        // The directory is known now.
        assert_eq!(stage.client.renewal_info(&id).await.unwrap().retry_at, after(3600));
        assert_eq!(stage.script.requests(), 3);
        assert!(stage.script.seen().iter().all(|seen| seen.protected.is_null()));
    }
}

#[tokio::test]
async fn the_next_question_is_a_minute_to_a_day_away_whatever_the_server_says() {
    for (said, seconds) in [
        ("0", 60),
        ("1", 60),
        ("Sat, 21 Nov 2020 12:00:00 GMT", 60),
        ("86401", 86_400),
        ("99999999999999999999999", 86_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ] {
        let info = ask(window().header("retry-after", said)).await.unwrap();
        assert_eq!(info.retry_at, after(seconds), "{said}");
    }
}

#[tokio::test]
async fn rfc9773_4_3_3_long_term_errors_are_asked_about_again_in_six_hours() {
    let backwards = json!({ "start": "2027-01-02T00:00:00Z", "end": "2027-01-01T00:00:00Z" });
    for answer in [
        window(),
        window().header("retry-after", "-5"),
        window().header("retry-after", "soon"),
        json(200, &json!({ "suggestedWindow": backwards })).header("retry-after", "60"),
        json(200, &json!({})).header("retry-after", "60"),
        reply(200, "<html>").header("retry-after", "60"),
        reply(200, " ".repeat(20_000)).header("retry-after", "60"),
        reply(204, "").header("retry-after", "60"),
        reply(301, "").header("location", "https://evil.test/"),
        problem(404, "malformed"),
        problem(400, "badNonce"),
        problem(429, "rateLimited"),
    ] {
        let shown = format!("{answer:?}");
        assert_eq!(retry_of(answer).await, Retry::At(after(6 * 3600)), "{shown}");
    }
}

#[tokio::test]
async fn rfc9773_4_3_3_temporary_errors_are_asked_about_again_soon() {
    for answer in [lost(), problem(500, "serverInternal"), reply(503, "<html>busy</html>")] {
        let shown = format!("{answer:?}");
        assert_eq!(retry_of(answer).await, Retry::Backoff, "{shown}");
    }
}

#[tokio::test]
async fn a_refusal_that_names_its_moment_is_taken_at_its_word_for_up_to_a_day() {
    let busy = |said: &str| problem(503, "rateLimited").header("retry-after", said);
    assert_eq!(retry_of(busy("120")).await, Retry::At(after(120)));
    assert_eq!(retry_of(busy("604800")).await, Retry::At(after(86_400)));
}

#[tokio::test]
async fn a_ca_without_renewal_information_is_told_from_one_that_fails() {
    let stage = Stage::new();
    stage.on("GET /dir", json(200, &directory()));
    let error = stage.client.renewal_info(&ID.parse().unwrap()).await.unwrap_err();
    assert_eq!(error, Error::Misuse(Misuse::NotOffered { what: "renewalInfo" }));
    assert_eq!(error.retry(), Retry::Never);

    // That the directory cannot be had is a failure like others, and says when to ask again.
    let stage = Stage::new();
    stage.on("GET /dir", lost());
    let error = stage.client.renewal_info(&ID.parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::RenewalInfo(_)), "{error}");
}

#[tokio::test]
async fn a_directory_that_sends_us_elsewhere_for_it_is_refused() {
    let stage = Stage::new();
    stage.on("GET /dir", json(200, &offering("https://evil.test/renewal-info")));
    let error = stage.client.renewal_info(&ID.parse().unwrap()).await.unwrap_err();
    let Error::RenewalInfo(failure) = error else { panic!("{error}") };
    assert!(matches!(failure.cause, Error::Misbehaved(Misbehaved::Url { .. })), "{failure}");
}

#[test]
fn a_chain_is_called_by_its_leaf_s_issuer_key_and_serial_number() {
    let root = Authority::root("Root X");
    let chain = root.leaf(&Key::new(), &names(1)) + &root.pem();
    let chain = CertificateChain::parse(chain.as_bytes()).unwrap();
    let id = chain.id().unwrap();
    assert_eq!(id.serial(), chain.serial());
    assert!(chain.has_issuer_key(id.authority_key_id()));
    assert_eq!(CertificateId::from_der(chain.leaf()), Ok(id));
}
