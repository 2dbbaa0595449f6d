//! DNS providers: what they read from vendors, files and programs.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{Clock, DomainName, HttpClient, HttpError, Timestamp};
use perennial_providers::{
    Change, DnsProvider, Options, Pending, Receipt, Registry, TxtRecord, Zone, acme_dns::AcmeDns,
    akamai::Akamai, alidns::AliDns, azure::AzureDns, bunny::Bunny, cloudflare::Cloudflare, credentials,
    desec::Desec, digitalocean::DigitalOcean, dnsimple::Dnsimple, dnspod::Dnspod, duckdns::DuckDns,
    gandi::Gandi, godaddy::GoDaddy, google::GoogleCloudDns, hetzner::Hetzner, httpreq::HttpReq,
    infoblox::Infoblox, inwx::Inwx, ionos::Ionos, linode::Linode, namecheap::Namecheap, netcup::Netcup,
    ns1::Ns1, ovh::Ovh, porkbun::Porkbun, powerdns::PowerDns, rfc2136, route53::Route53, scaleway::Scaleway,
    signature::eg1, txt, vultr::Vultr, webhook::Webhook,
};
use tokio::runtime::{Builder, Runtime};

/// What nobody may be shown.
const SECRET: &str = "t0p-s3cret-0f-the-account";

/// Answers of a vendor: the first byte says whose they are, the second one their status, the rest is their bodies
/// with zero bytes between them, of which the last is repeated.
pub fn provider_answer(bytes: &[u8]) {
    let [vendor, status, bodies @ ..] = bytes else { return };
    let make = PROVIDERS[usize::from(*vendor) % PROVIDERS.len()];
    let means = Means { http: Arc::new(Answers::new(*status, bodies)), clock: Arc::new(Skipping::default()) };
    let provider = make(means);
    static RUNTIME: LazyLock<Mutex<Runtime>> =
        LazyLock::new(|| Mutex::new(Builder::new_current_thread().build().expect("a runtime")));
    let runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    runtime.block_on(use_all(&*provider));
}

/// Every method, whatever became of the one before.
async fn use_all(provider: &dyn DnsProvider) {
    let kind = provider.kind();
    let name: DomainName = "_acme-challenge.www.example.com".parse().expect("a name");
    let found = provider.zone(&name).await;
    shown(kind, &found);
    let zone = found.unwrap_or_else(|_| Zone::new("example.com".parse().expect("a name")).with_id("1"));
    assert!(name.is_at_or_below(&zone.apex), "{zone} is not the zone of {name}");
    let changes = [Change::add(name.clone(), "v"), Change::remove(name.clone(), "w")];
    let applied = provider.apply(&zone, &changes).await;
    shown(kind, &applied);
    if let Ok(applied) = applied {
        assert!(applied.receipts.len() == 1 && [0, 2].contains(&applied.outcomes.len()), "{applied:?}");
        for pending in applied.pending {
            shown(kind, &provider.in_sync(&pending).await);
        }
    }
    shown(kind, &provider.values(&zone, &name).await);
    shown(kind, &provider.records(&zone, &name).await);
    shown(kind, &provider.in_sync(&Pending::new(provider.kind(), &zone, "1")).await);
}

/// No error shows the secret, where there is one that could come back, nor what a terminal would obey.
fn shown<T>(kind: &str, result: &Result<T, perennial_providers::Error>) {
    let Err(error) = result else { return };
    let text = format!("{error} {error:?}");
    let has_none = ["acme-dns", "google"].contains(&kind);
    assert!(has_none || !text.contains(SECRET), "the secret is shown: {text}");
    assert!(!error.to_string().chars().any(char::is_control), "a control character is shown: {text:?}");
}

/// The same answers to all who ask; after many of them none.
struct Answers {
    status: u8,
    bodies: Vec<Bytes>,
    asked: Mutex<usize>,
}

const STATUSES: [u16; 16] = [200, 201, 202, 204, 301, 400, 401, 403, 404, 409, 412, 422, 429, 500, 503, 200];

/// Lists have an end.
const MOST: usize = 200;

impl Answers {
    fn new(status: u8, bodies: &[u8]) -> Self {
        let bodies = bodies.split(|byte| *byte == 0).map(Bytes::copy_from_slice).collect();
        Self { status, bodies, asked: Mutex::default() }
    }
}

#[async_trait]
impl HttpClient for Answers {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        *asked += 1;
        let body = self.bodies.get(*asked - 1).or(self.bodies.last()).filter(|_| *asked < MOST);
        let Some(body) = body else { return Err(HttpError::Timeout { url: request.uri().to_string() }) };
        let mut response = Response::new(body.clone());
        // The first answer has the status; what comes after is well, half of the time.
        let status =
            if *asked > 1 && self.status >= 128 { 200 } else { STATUSES[usize::from(self.status) % 16] };
        *response.status_mut() = status.try_into().expect("a status");
        let header = http::HeaderValue::from_static("Google");
        response.headers_mut().insert("metadata-flavor", header);
        if self.status % 32 >= 16 {
            response.headers_mut().insert("retry-after", http::HeaderValue::from_static("7"));
        }
        Ok(response)
    }
}

/// A clock that never waits.
#[derive(Default)]
struct Skipping(AtomicI64);

#[async_trait]
impl Clock for Skipping {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(1_800_000_000 + self.0.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).saturating_add(1);
        self.0.fetch_add(seconds.min(1 << 32), Ordering::Relaxed);
    }
}

struct Means {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
}

type Make = fn(Means) -> Arc<dyn DnsProvider>;

/// Builders differ in how they begin and not in how they end.
macro_rules! over {
    ($($make:expr),+ $(,)?) => {
        &[$(|means: Means| -> Arc<dyn DnsProvider> {
            let begun: fn(&Means) -> _ = $make;
            let builder = begun(&means).clock(means.clock.clone()).http(means.http.clone());
            Arc::new(builder.build().expect("a provider"))
        }),+]
    };
}

const PROVIDERS: &[Make] = over![
    |_| AcmeDns::builder("https://acme-dns.example", accounts()),
    |_| Akamai::builder("akab-x.luna.akamaiapis.net", eg1::Credentials::new(SECRET, SECRET, SECRET)),
    |_| AliDns::builder(SECRET, SECRET),
    |means| AzureDns::builder(azure(means), "00000000-0000-0000-0000-000000000000"),
    |_| Bunny::builder(SECRET),
    |_| Cloudflare::builder(SECRET),
    |_| Desec::builder(SECRET),
    |_| DigitalOcean::builder(SECRET),
    |_| Dnsimple::builder(SECRET),
    |_| Dnspod::builder(SECRET, SECRET),
    |_| DuckDns::builder(SECRET),
    |_| Gandi::builder(SECRET),
    |_| GoDaddy::builder(SECRET),
    |means| GoogleCloudDns::builder(google(means)),
    |_| Hetzner::builder(SECRET),
    |_| HttpReq::builder("https://hook.example").credentials("acme", SECRET),
    |_| Infoblox::builder("https://grid.example/wapi/v2.12", "acme", SECRET),
    |_| Inwx::builder("acme", SECRET),
    |_| Ionos::builder(SECRET),
    |_| Linode::builder(SECRET),
    |_| Namecheap::builder("acme", SECRET, Ipv4Addr::LOCALHOST),
    |_| Netcup::builder("12345", SECRET, SECRET),
    |_| Ns1::builder(SECRET),
    |means| Ovh::builder(ovh(means), credentials::ovh::Region::Europe),
    |_| Porkbun::builder(SECRET, SECRET),
    |_| PowerDns::builder("https://pdns.example", SECRET),
    |means| Route53::builder(aws(means)),
    |_| Scaleway::builder(SECRET),
    |_| Vultr::builder(SECRET),
    |_| Webhook::builder("https://hook.example/apis/acme.example/v1alpha1/x", zone()).token(SECRET),
];

fn zone() -> DomainName {
    "example.com".parse().expect("a name")
}

/// A file that is not there yet.
fn accounts() -> PathBuf {
    static HOME: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));
    let path = HOME.path().join("accounts.json");
    let _ = std::fs::remove_file(&path);
    path
}

fn aws(means: &Means) -> credentials::aws::Access {
    let access = credentials::aws::Access::builder("route53").clock(means.clock.clone());
    access.http(means.http.clone()).fixed("AKIDFUZZ".into(), SECRET.into(), None)
}

fn azure(means: &Means) -> credentials::azure::Access {
    let access = credentials::azure::Access::builder("azure").clock(means.clock.clone());
    access.http(means.http.clone()).client_secret("tenant", "app", SECRET.into()).expect("access")
}

fn google(means: &Means) -> credentials::google::Access {
    let access = credentials::google::Access::builder("google").clock(means.clock.clone());
    access.metadata_http(means.http.clone()).metadata().expect("access")
}

fn ovh(means: &Means) -> credentials::ovh::Access {
    let region = credentials::ovh::Region::Europe;
    let access = credentials::ovh::Access::builder("ovh", region).clock(means.clock.clone());
    access.http(means.http.clone()).consumer_key("app", SECRET.into(), SECRET.into()).expect("access")
}

/// The answer of a name server to a signed update and to queries.
pub fn update_answer(bytes: &[u8]) {
    let _ = rfc2136::read_any_answer(bytes);
}

/// A file of TSIG keys, in any of the forms that servers' own tools write.
pub fn tsig_key_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match rfc2136::read_any_key_file(text) {
        Ok(keys) => assert!(!keys.is_empty() && keys.len() <= 8, "{} keys", keys.len()),
        Err(error) => {
            assert!(
                !error.to_string().chars().any(char::is_control),
                "a control character is shown: {error:?}"
            );
        }
    }
}

/// A TXT value in all of its forms, and a vendor's echo of one.
pub fn txt_quoting(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let strings = txt::character_strings(&text);
    assert!(strings.iter().all(|string| string.len() <= 255), "a character-string is too long");
    let (last, full) = strings.split_last().expect("at least one");
    assert!(full.iter().all(|string| string.len() == 255) && (!last.is_empty() || text.is_empty()));
    assert_eq!(txt::join(&strings), text, "a value is not joined again");
    let quoted = txt::quote(&text);
    assert!(quoted.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{quoted:?} does not print");
    assert_eq!(txt::unquote(&quoted), text, "a value does not come back");
    let heard = txt::unquote(&text);
    assert_eq!(txt::unquote(&txt::quote(&heard)), heard, "an echo does not come back");
}

/// The options of a provider as a configuration file has them, after the kind and a line break; receipts and records
/// that were written down.
pub fn provider_json(bytes: &[u8]) {
    let _ = serde_json::from_slice::<TxtRecord>(bytes);
    if let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) {
        let again = serde_json::to_vec(&receipt).expect("a receipt has a JSON form");
        assert_eq!(serde_json::from_slice::<Receipt>(&again).expect("its own form"), receipt);
        let _ = receipt.removal().check("fuzz", &receipt.zone);
    }
    static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::standard);
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (Ok(kind), json) = (std::str::from_utf8(&bytes[..at]), &bytes[at..]) else { return };
    // Files and variables of this machine are none of the fuzzer's business.
    if [&b"\"file\""[..], b"\"env\"", b"\\u"]
        .iter()
        .any(|word| json.windows(word.len()).any(|at| at == *word))
    {
        return;
    }
    let Ok(options) = serde_json::from_slice::<Options>(json) else { return };
    let path = |key: &str| {
        key.contains("file") || ["accounts", "edgerc", "program", "service-account"].contains(&key)
    };
    if options.keys().any(path) {
        return;
    }
    if let Err(error) = REGISTRY.create(kind, &options) {
        assert!(!error.to_string().chars().any(char::is_control), "a control character is shown: {error:?}");
    }
}
