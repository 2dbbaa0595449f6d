//! Cloudflare: a record is created; its identifier is looked for, and it is deleted.
//!
//! By hand: the same three requests, with bodies of [`serde_json::json!`], and answers read into a `Value`.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use http::Request;
use perennial_benches::Comparison;
use perennial_core::{Clock, HttpClient, SystemClock};
use perennial_providers::cloudflare::Cloudflare;
use perennial_testkit::{SkippingClock, vendor};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    NAME, VALUE, ZONE,
    change::{self, Step},
    tape::Tape,
};

const TOKEN: &str = "t0k3n";
const BASE: &str = "https://api.cloudflare.com/client/v4";

pub(crate) fn tape() -> Arc<Tape> {
    Tape::of(vendor::Cloudflare::new(TOKEN))
}

/// A provider that knows the zone.
pub(crate) fn provider(tape: &Arc<Tape>) -> Result<Cloudflare, Box<dyn Error>> {
    let clock = Arc::new(SkippingClock::new(SystemClock::new().now()));
    let builder = Cloudflare::builder(TOKEN).base_url(BASE).zone(ZONE.parse()?).zone_id(tape.zone_id());
    Ok(builder.clock(clock).http(tape.clone()).build()?)
}

pub(crate) fn compared(runtime: &Runtime) -> Result<Comparison, Box<dyn Error>> {
    let (tape, peers) = (tape(), tape());
    let provider = provider(&tape)?;
    change::record(runtime, &provider, &tape)?;
    change::record(runtime, &self::provider(&peers)?, &peers)?;
    let path = format!("{BASE}/zones/{}/dns_records", peers.zone_id());
    change::compared(runtime, &provider, |step| by_hand(step, &*peers, &path))
}

async fn by_hand(step: Step, http: &dyn HttpClient, path: &str) -> Option<String> {
    let content = format!("\"{VALUE}\"");
    match step {
        Step::Add => {
            let body = json!({ "type": "TXT", "name": NAME, "content": content, "ttl": 60 });
            let created = exchange(http, "POST", path, body.to_string()).await?;
            Some(created.get("result")?.get("id")?.as_str()?.to_owned())
        }
        Step::Remove => {
            let list = exchange(http, "GET", &format!("{path}?type=TXT&name={NAME}"), String::new()).await?;
            let mut records = list.get("result")?.as_array()?.iter();
            let ours = records.find(|record| record.get("content") == Some(&content.clone().into()))?;
            let id = ours.get("id")?.as_str()?;
            exchange(http, "DELETE", &format!("{path}/{id}"), String::new()).await?;
            Some(id.to_owned())
        }
    }
}

async fn exchange(http: &dyn HttpClient, method: &str, url: &str, body: String) -> Option<Value> {
    let request =
        Request::builder().method(method).uri(url).header("authorization", format!("Bearer {TOKEN}"));
    let request = request.header("content-type", "application/json").body(Bytes::from(body)).ok()?;
    serde_json::from_slice(http.send(request).await.ok()?.body()).ok()
}
