//! Vendors whose answers are not what they should be: whatever comes, nobody panics, and nothing goes on for ever.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use perennial_core::{DomainName, HttpClient, HttpError};
use perennial_providers::{
    Change, DnsProvider, bunny::Bunny, duckdns::DuckDns, inwx::Inwx, ionos::Ionos, namecheap::Namecheap,
    netcup::Netcup, ns1::Ns1, porkbun::Porkbun, scaleway::Scaleway,
};
use perennial_testkit::vendor::{self, Service, VendorServer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::law::{Means, NAME, ZONE};

/// Passes requests on, and spoils every other answer.
struct Mangler {
    http: Arc<dyn HttpClient>,
    dice: Mutex<Dice>,
}

#[async_trait]
impl HttpClient for Mangler {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let response = self.http.send(request).await?;
        let mut dice = self.dice.lock().unwrap();
        Ok(if dice.roll(2) == 0 { response.map(|body| spoil(&body, &mut dice)) } else { response })
    }
}

/// Numbers that a seed makes (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }
}

fn spoil(body: &Bytes, dice: &mut Dice) -> Bytes {
    if let (Ok(mut value), true) = (serde_json::from_slice::<Value>(body), dice.roll(4) > 0) {
        for _ in 0..=dice.roll(8) {
            spoil_value(&mut value, dice);
        }
        return value.to_string().into();
    }
    let mut bytes = body.to_vec();
    for _ in 0..=dice.roll(3) {
        let place = dice.roll(bytes.len());
        match dice.roll(4) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, b"<>&\"'\\{}[]\0\xff"[dice.roll(12)]),
            2 if !bytes.is_empty() => drop(bytes.remove(place)),
            _ => bytes.extend_from_within(place..),
        }
    }
    bytes.into()
}

/// Walks down, and puts something else in some place.
fn spoil_value(value: &mut Value, dice: &mut Dice) {
    let deeper = dice.roll(4) > 0;
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let key = fields.keys().nth(dice.roll(fields.len())).unwrap().clone();
            if dice.roll(6) == 0 {
                fields.remove(&key);
            } else {
                spoil_value(&mut fields[&key], dice);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let place = dice.roll(items.len());
            spoil_value(&mut items[place], dice);
        }
        other => {
            let texts = ["", "\"", "\\", "a..b", "\u{202e}\r\n", "é.example", "-1", "99999999999999999999"];
            *other = match dice.roll(14) {
                0 => Value::Null,
                1 => json!(true),
                2 => json!(-1),
                3 => json!(u64::MAX),
                4 => json!(1e300),
                5 => json!([]),
                6 => json!({}),
                _ => json!(texts[dice.roll(texts.len())]),
            };
        }
    }
}

type Make = fn(Means) -> Arc<dyn DnsProvider>;

macro_rules! make {
    ($builder:expr, $path:literal) => {
        |means: Means| -> Arc<dyn DnsProvider> {
            let base_url = format!(concat!("{}", $path), means.base_url);
            Arc::new($builder.base_url(base_url).clock(means.clock).http(means.http).build().unwrap())
        }
    };
}

/// Everything that a provider can be asked, with answers that a seed spoils.
async fn play(means: Means, make: Make, name: &DomainName, seed: u64) {
    let dice = Mutex::new(Dice(seed | 1));
    let http = Arc::new(Mangler { http: Arc::clone(&means.http), dice });
    let provider = make(Means { http, ..means.clone() });
    // A zone that was found in peace, so that what follows is tried whatever became of the first question.
    let found = make(means).zone(name).await.unwrap();
    let zone = provider.zone(name).await.unwrap_or(found);
    let _ = provider.values(&zone, name).await;
    for change in [Change::add(name.clone(), "v"), Change::remove(name.clone(), "v")] {
        let _ = provider.apply(&zone, &[change]).await;
    }
}

fn no_answer_panics(service: impl Service, make: Make, zone: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let fake = runtime.block_on(VendorServer::start(service, &[zone])).unwrap();
    let name = if zone == ZONE { NAME.to_owned() } else { format!("_acme-challenge.{zone}") };
    let name: DomainName = name.parse().unwrap();
    fake.store().add(zone, name.as_str(), "somebody else's", 3600);
    let means = Means::of(&fake);
    // A seed has no simpler seed, and one that was bad is in the message.
    let config =
        ProptestConfig { cases: 64, max_shrink_iters: 0, failure_persistence: None, ..Default::default() };
    proptest!(config, |(seed in any::<u64>())| {
        runtime.block_on(play(means.clone(), make, &name, seed));
        // What a spoilt answer made a provider do to the store is for the laws; here the next one begins anew.
        fake.store().records.truncate(20);
    });
}

macro_rules! vendors {
    ($($name:ident: $service:expr, $builder:expr, $path:literal;)*) => {$(
        #[test]
        fn $name() {
            no_answer_panics($service, make!($builder, $path), ZONE);
        }
    )*};
}

vendors! {
    no_answer_of_bunny_panics: vendor::Bunny::new("k"), Bunny::builder("k"), "";
    no_answer_of_inwx_panics: vendor::Inwx::new("u", "p"), Inwx::builder("u", "p"), "";
    no_answer_of_ionos_panics: vendor::Ionos::new("k"), Ionos::builder("k"), "/dns/v1";
    no_answer_of_namecheap_panics: vendor::Namecheap::new("u", "k", "192.0.2.1"),
        Namecheap::builder("u", "k", Ipv4Addr::new(192, 0, 2, 1)), "";
    no_answer_of_netcup_panics: vendor::Netcup::new("1", "k", "p"), Netcup::builder("1", "k", "p"), "";
    no_answer_of_ns1_panics: vendor::Ns1::new("k"), Ns1::builder("k"), "/v1";
    no_answer_of_porkbun_panics: vendor::Porkbun::new("k", "s"), Porkbun::builder("k", "s"), "/api/json/v3";
    no_answer_of_scaleway_panics: vendor::Scaleway::new("k"), Scaleway::builder("k"), "";
}

#[test]
fn no_answer_of_duckdns_panics() {
    no_answer_panics(vendor::DuckDns::new("t"), make!(DuckDns::builder("t"), ""), "perennial.duckdns.org");
}
