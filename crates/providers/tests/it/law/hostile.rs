//! Answers that are none, and refusals.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use perennial_core::Retry;
use perennial_providers::Error;
use perennial_testkit::vendor::{Fault, Refusal, Reply, Service, TxtStore, VendorServer, When};
use tracing::{
    Event, Id, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};

use super::{Case, NAME, Outcome, add, apply, name, remove, zone};

/// The error of a write that goes wrong, however often it is tried.
async fn error_of(case: &Case<'_>, fault: impl Fn() -> Fault) -> Result<Error, String> {
    let provider = case.client();
    let zone = zone(&*provider).await?;
    case.fake.clear_faults();
    for _ in 0..30 {
        case.fake.fault(When::Any, fault());
    }
    match provider.apply(&zone, &[add("v")]).await {
        Ok(_) => Err("it was taken for success".to_owned()),
        Err(error) => Ok(error),
    }
}

fn says(error: &Error, part: &str) -> Outcome {
    let text = error.to_string();
    if text.contains(part) { Ok(()) } else { Err(format!("it does not say {part:?}: {text}")) }
}

pub(super) async fn takes_no_web_page_for_an_answer(case: &Case<'_>) -> Outcome {
    let error = error_of(case, || Fault::Html).await?;
    says(&error, "web page")?;
    says(&error, "Sign in")
}

/// Credentials are for one host.
pub(super) async fn follows_no_redirect(case: &Case<'_>) -> Outcome {
    let elsewhere = VendorServer::start(Nobody, &[]).await.map_err(|error| error.to_string())?;
    let error = error_of(case, || Fault::Redirect(format!("{}/steal", elsewhere.base_url()))).await?;
    says(&error, "redirects")?;
    says(&error, &elsewhere.base_url())?;
    match elsewhere.exchanges().as_slice() {
        [] => Ok(()),
        asked => Err(format!("the redirect was followed: {asked:?}")),
    }
}

pub(super) async fn reads_no_endless_body(case: &Case<'_>) -> Outcome {
    let error = error_of(case, || Fault::Huge(5 << 20)).await?;
    match error {
        Error::Misbehaved { .. } => says(&error, "4194304 bytes"),
        error => Err(format!("not a misbehaviour: {error}")),
    }
}

/// 14: which permission is missing, and never the secret: not in the text, not in `Debug`; the log is looked at after every law.
pub(super) async fn explains_a_refusal_and_keeps_the_secret(case: &Case<'_>) -> Outcome {
    let unauthorized = error_of(case, || Fault::Unauthorized).await?;
    if !matches!(unauthorized, Error::Auth { .. }) || unauthorized.retry() != Retry::Never {
        return Err(format!("not a matter of the credential: {unauthorized}"));
    }
    case.fake.clear_faults();
    let forbidden = error_of(case, || Fault::Forbidden).await?;
    if !matches!(forbidden, Error::Permission { .. }) || forbidden.retry() != Retry::Never {
        return Err(format!("not a matter of permission: {forbidden}"));
    }
    says(&forbidden, "it needs")?;
    case.fake.clear_faults();
    let busy = error_of(case, || Fault::Trouble(None)).await;
    let told = format!("{unauthorized} {unauthorized:?} {forbidden} {forbidden:?} {busy:?}");
    case.keeps_secrets("an error", &told)?;
    case.expect("refusals", NAME, &[])
}

pub(super) async fn says_that_the_clocks_differ(case: &Case<'_>) -> Outcome {
    let error = error_of(case, || Fault::WrongTime(3600)).await?;
    says(&error, "the clocks differ")
}

/// What the vendor answers, cut, damaged or with something missing: no panic, and nothing of somebody else's is
/// lost by it.
pub(super) async fn survives_whatever_is_left_of_an_answer(case: &Case<'_>) -> Outcome {
    case.plant();
    apply(&*case.client(), "adding", &[add("v")]).await?;
    apply(&*case.client(), "removing", &[remove("v")]).await?;
    let mut left: Vec<(u16, Vec<u8>)> = Vec::new();
    for exchange in case.fake.exchanges().iter().filter(|it| !it.answer.is_empty()) {
        let status = exchange.status.map_or(200, |status| status.as_u16());
        left.extend(damaged(&exchange.answer).into_iter().map(|body| (status, body)));
    }
    left.extend(
        [b"".as_slice(), b"null", b"[]", b"{}", b"\"", b"\xff\xfe", b"1e999"].map(|it| (200, it.to_vec())),
    );
    left.push((200, b"[".repeat(100_000)));
    left.sort();
    left.dedup();
    for (status, body) in left {
        // The first request is one for zones, the next ones read and write.
        for nth in 0..3 {
            case.fake.clear_faults();
            for _ in 0..nth {
                case.fake.fault(When::Any, Fault::Slow(std::time::Duration::ZERO));
            }
            case.fake.fault(When::Any, Fault::Answer(Reply::of(status, "application/json", body.clone())));
            let provider = case.client();
            if let Ok(zone) = provider.zone(&name(NAME)).await {
                let _ = provider.apply(&zone, &[add("v")]).await;
                let _ = provider.apply(&zone, &[remove("v")]).await;
                let _ = provider.values(&zone, &name(NAME)).await;
            }
            let shown: String = String::from_utf8_lossy(&body).chars().take(300).collect();
            case.is_untouched().map_err(|what| format!("{what} after {status} {shown}"))?;
        }
    }
    case.fake.clear_faults();
    apply(&*case.client(), "cleaning up", &[remove("v")]).await?;
    case.expect("cleaning up", NAME, &[])
}

/// The beginning, the beginning with one octet damaged, and each value of a JSON document as null, or missing.
fn damaged(body: &[u8]) -> Vec<Vec<u8>> {
    let mut left = Vec::new();
    for part in 1..4 {
        let mut cut = body.get(..body.len() * part / 4).unwrap_or_default().to_vec();
        left.push(cut.clone());
        if let Some(last) = cut.last_mut() {
            *last ^= 0x15;
        }
        left.push([&cut, body.get(cut.len()..).unwrap_or_default()].concat());
    }
    let Ok(whole) = serde_json::from_slice::<serde_json::Value>(body) else { return left };
    let mut paths = Vec::new();
    paths_of(&whole, String::new(), &mut paths);
    for path in paths {
        let mut other = whole.clone();
        // A list that is empty is no damage: it says that there is nothing.
        if let Some(value) = other.pointer_mut(&path) {
            *value = serde_json::Value::Null;
            left.push(other.to_string().into_bytes());
        }
        let mut other = whole.clone();
        if let Some(value) = other.pointer_mut(&path) {
            *value = serde_json::json!({ "unexpected": [1] });
            left.push(other.to_string().into_bytes());
        }
    }
    left
}

/// The JSON pointers (RFC 6901) of all values in a document.
fn paths_of(value: &serde_json::Value, here: String, paths: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                paths_of(item, format!("{here}/{index}"), paths);
            }
        }
        serde_json::Value::Object(members) => {
            for (key, member) in members {
                paths_of(member, format!("{here}/{key}"), paths);
            }
        }
        _ => {}
    }
    paths.push(here);
}

/// Answers nothing, and remembers who asked.
pub(super) struct Nobody;

impl Service for Nobody {
    fn answer(&self, _: &http::Request<bytes::Bytes>, _: &mut TxtStore) -> http::Response<bytes::Bytes> {
        Reply::empty(204)
    }

    fn refusal(&self, _: Refusal) -> http::Response<bytes::Bytes> {
        Reply::empty(403)
    }
}

/// Everything that is logged, as one text.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<String>>);

impl Log {
    pub(super) fn text(&self) -> String {
        self.0.lock().map(|log| log.clone()).unwrap_or_default()
    }
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if let Ok(mut log) = self.0.lock() {
            let _ = write!(log, "{field}={value:?} ");
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
