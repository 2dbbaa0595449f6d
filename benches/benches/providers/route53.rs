//! Route 53: a set is created; it is read, and deleted as it was read.
//!
//! By hand: the same three requests with the same signatures, which are the work; bodies of one `format!`, and
//! answers in which one element is looked for.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use http::Request;
use perennial_benches::Comparison;
use perennial_core::{Clock, HttpClient, SystemClock};
use perennial_providers::{
    credentials::aws::Access,
    route53::{KIND, Route53},
    signature::sigv4::{Credentials, Scope, sign},
};
use perennial_testkit::{
    SkippingClock,
    vendor::{self, AwsKey},
};
use tokio::runtime::Runtime;

use crate::{
    NAME, VALUE, ZONE,
    change::{self, Step},
    tape::Tape,
};

const KEY_ID: &str = "AKIDFAKEFORTESTS0001";
const KEY: &str = "fake/secret+for=tests-only";
const BASE: &str = "https://route53.amazonaws.com";

pub(crate) fn tape() -> Arc<Tape> {
    Tape::of(vendor::Route53::new(AwsKey::new(KEY_ID, KEY)))
}

/// A provider that knows the zone.
pub(crate) fn provider(tape: &Arc<Tape>) -> Result<Route53, Box<dyn Error>> {
    let clock = Arc::new(SkippingClock::new(SystemClock::new().now()));
    let access = Access::builder(KIND).fixed(KEY_ID.into(), KEY.into(), None);
    let builder = Route53::builder(access).base_url(BASE).zone(ZONE.parse()?).zone_id(&tape.zone_id());
    Ok(builder.clock(clock).http(tape.clone()).build()?)
}

pub(crate) fn compared(runtime: &Runtime) -> Result<Comparison, Box<dyn Error>> {
    let (tape, peers) = (tape(), tape());
    let provider = provider(&tape)?;
    change::record(runtime, &provider, &tape)?;
    change::record(runtime, &self::provider(&peers)?, &peers)?;
    let path = format!("{BASE}/2013-04-01/hostedzone/{}/rrset", peers.zone_id());
    change::compared(runtime, &provider, |step| by_hand(step, &*peers, &path))
}

async fn by_hand(step: Step, http: &dyn HttpClient, path: &str) -> Option<String> {
    if step == Step::Add {
        return change(http, path, "CREATE", "60").await;
    }
    let query = format!("{path}?name={NAME}.&type=TXT&maxitems=1");
    let sets = exchange(http, "GET", &query, String::new()).await?;
    change(http, path, "DELETE", element(&sets, "TTL")?).await
}

async fn change(http: &dyn HttpClient, path: &str, action: &str, ttl: &str) -> Option<String> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ChangeResourceRecordSetsRequest \
         xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change><Action>{action}</Action>\
         <ResourceRecordSet><Name>{NAME}.</Name><Type>TXT</Type><TTL>{ttl}</TTL><ResourceRecords><ResourceRecord>\
         <Value>\"{VALUE}\"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes>\
         </ChangeBatch></ChangeResourceRecordSetsRequest>"
    );
    let done = exchange(http, "POST", &format!("{path}/"), body).await?;
    element(&done, "Id").map(str::to_owned)
}

async fn exchange(http: &dyn HttpClient, method: &str, url: &str, body: String) -> Option<String> {
    let request = Request::builder().method(method).uri(url).header("content-type", "text/xml");
    let mut request = request.body(Bytes::from(body)).ok()?;
    let scope = Scope { region: "us-east-1", service: "route53" };
    sign(&mut request, &Credentials::new(KEY_ID, KEY), &scope, SystemClock::new().now()).ok()?;
    let answer = http.send(request).await.ok()?;
    String::from_utf8(answer.into_body().to_vec()).ok()
}

fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    after.split_once("</").map(|(content, _)| content)
}
