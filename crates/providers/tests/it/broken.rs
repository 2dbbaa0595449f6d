//! The laws catch providers that break them: the faults that clients in the field really have.

use std::sync::Arc;

use async_trait::async_trait;
use perennial_core::DomainName;
use perennial_providers::{
    Capabilities, DnsProvider, Error, WriteClass, Zone,
    engine::{
        Created, Member, NewRecord, Record, RecordApi, RecordSet, Records, SetApi, Sets, Settings, Swap,
        Vendor,
    },
    txt,
    vendor::{Bearer, Client},
};
use perennial_testkit::vendor::{self, Echo, VendorServer};
use serde_json::{Value, json};

use crate::law::{Case, Means, ZONE};

const TOKEN: &str = "t0k3n";

/// What a provider does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Removing a value removes all of its name.
    DeletesTheSet,
    /// Reads the first page and no other.
    FirstPageOnly,
    /// Removes the first value there is.
    IgnoresTheValue,
    /// Adds without a look.
    Duplicates,
    /// Shows the vendor's answer as it is.
    ShowsTheAnswer,
    /// Logs what it sends, when all is well too.
    LogsTheToken,
    /// Has what it was sent with on the receipt.
    WritesTheToken,
    /// Takes any error of a candidate for the end.
    GivesUpAtACandidate,
}

/// DigitalOcean's interface, badly used.
struct Bad {
    client: Client,
    fault: Fault,
}

#[async_trait]
impl Vendor for Bad {
    fn kind(&self) -> &str {
        "bad"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::RecordByRecord)
            .batch_max(10)
            .min_ttl(std::time::Duration::from_secs(30))
    }

    fn account(&self) -> String {
        self.client.base_url().to_owned()
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let found = self.client.get(format!("/v2/domains/{apex}")).send_if_there().await;
        let found = found.map_err(|error| match (self.fault, error) {
            (Fault::GivesUpAtACandidate, error) => Error::Misbehaved {
                provider: "bad".into(),
                server: "it".into(),
                reason: error.to_string(),
                fault: None,
            },
            (_, error) => error,
        })?;
        Ok(found.map(|_| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl RecordApi for Bad {
    fn refuses_duplicates(&self) -> bool {
        self.fault == Fault::Duplicates
    }

    async fn records(&self, zone: &Zone, names: &[DomainName]) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        for name in names {
            for page in 1.. {
                let call = self.client.get(format!("/v2/domains/{}/records", zone.apex));
                let call = call.query("name", name.as_str()).query("page", page.to_string());
                let list: Value = call.query("per_page", "200").send().await?.json()?;
                for it in list["domain_records"].as_array().unwrap() {
                    let value = txt::unquote(it["data"].as_str().unwrap());
                    records.push(Record::new(it["id"].to_string(), name.clone(), value, None));
                }
                if list["links"]["pages"]["next"].is_null() || self.fault == Fault::FirstPageOnly {
                    break;
                }
            }
        }
        Ok(records)
    }

    async fn create(&self, zone: &Zone, record: &NewRecord) -> Result<Created, Error> {
        let body = json!({
            "type": "TXT", "name": format!("{}.", record.name), "data": record.value,
            "ttl": record.ttl.as_secs(),
        });
        let call = self.client.post(format!("/v2/domains/{}/records", zone.apex)).json(&body);
        if self.fault == Fault::LogsTheToken {
            tracing::debug!(authorization = TOKEN, "adding");
        }
        let id = (self.fault == Fault::WritesTheToken).then(|| TOKEN.to_owned());
        call.send().await.map(|_| Created::New { id })
    }

    async fn delete(&self, zone: &Zone, record: &Record) -> Result<(), Error> {
        let of_name = self.records(zone, std::slice::from_ref(&record.name)).await?;
        let ids: Vec<_> = match self.fault {
            Fault::DeletesTheSet => of_name.into_iter().map(|it| it.id).collect(),
            Fault::IgnoresTheValue => of_name.into_iter().take(1).map(|it| it.id).collect(),
            _ => vec![record.id.clone()],
        };
        for id in ids {
            let path = format!("/v2/domains/{}/records/{id}", zone.apex);
            self.client.delete(path).send_if_there().await?;
        }
        Ok(())
    }
}

/// Tells the whole answer, the token in it and all.
struct Chatty(Records<Bad>);

#[async_trait]
impl DnsProvider for Chatty {
    fn kind(&self) -> &str {
        self.0.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn zone(&self, name: &DomainName) -> Result<Zone, Error> {
        self.0.zone(name).await
    }

    async fn apply(
        &self,
        zone: &Zone,
        changes: &[perennial_providers::Change],
    ) -> Result<perennial_providers::Applied, Error> {
        self.0.apply(zone, changes).await.map_err(|error| match error {
            Error::Auth { provider, reason, fault } => {
                Error::Auth { provider, reason: format!("{reason} (sent {TOKEN})"), fault }
            }
            error => error,
        })
    }

    async fn values(&self, zone: &Zone, name: &DomainName) -> Result<Vec<String>, Error> {
        self.0.values(zone, name).await
    }
}

async fn broken_by(fault: Fault, laws: &[&str]) -> Vec<(&'static str, String)> {
    let fake = VendorServer::start(vendor::DigitalOcean::new(TOKEN), &[ZONE]).await.unwrap();
    let make = move |means: Means| -> Arc<dyn DnsProvider> {
        let client = Client::builder("bad", means.base_url, Bearer::new(TOKEN.into()));
        let client = client.clock(means.clock.clone()).http(means.http).build().unwrap();
        let records = Records::new(Bad { client, fault }, Settings::new().clock(means.clock));
        match fault {
            Fault::ShowsTheAnswer => Arc::new(Chatty(records)),
            _ => Arc::new(records),
        }
    };
    Case::new(&fake, &make).secret(TOKEN).echoes(&[Echo::AsSent, Echo::Quoted]).only(laws).breaches().await
}

#[tokio::test]
async fn every_fault_is_caught_by_the_law_that_it_breaks() {
    for (fault, law) in [
        (Fault::DeletesTheSet, "contract::is_kept_with_a_foreign_sibling"),
        (Fault::FirstPageOnly, "finding::reads_every_page"),
        (Fault::IgnoresTheValue, "contract::removes_without_a_receipt_after_a_restart"),
        (Fault::Duplicates, "failing::leaves_what_can_be_cleaned_up_when_it_is_dropped"),
        (Fault::ShowsTheAnswer, "hostile::explains_a_refusal_and_keeps_the_secret"),
        (Fault::LogsTheToken, "contract::tells_what_became_of_each_change"),
        (Fault::WritesTheToken, "contract::removes_by_receipts_that_were_written_down"),
        (Fault::GivesUpAtACandidate, "finding::tolerates_a_candidate_that_is_refused"),
    ] {
        let broken = broken_by(fault, &[law]).await;
        assert_eq!(broken.len(), 1, "{fault:?} did not break {law}");
    }
    let broken = broken_by(Fault::None, &[]).await;
    assert!(broken.is_empty(), "{broken:?}");
}

/// PowerDNS, with a provider that replaces the set by what it wants there, as if it were alone.
struct Alone {
    client: Client,
}

#[async_trait]
impl Vendor for Alone {
    fn kind(&self) -> &str {
        "alone"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(WriteClass::SetReplaced).batch_max(10)
    }

    async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
        let call = self.client.get("/api/v1/servers/localhost/zones").query("zone", format!("{apex}."));
        let zones: Vec<Value> = call.send().await?.json()?;
        Ok((!zones.is_empty()).then(|| Zone::new(apex.clone())))
    }
}

#[async_trait]
impl SetApi for Alone {
    async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
        let call = self.client.get(format!("/api/v1/servers/localhost/zones/{}.", zone.apex));
        let answer: Value = call.query("rrset_name", format!("{name}.")).send().await?.json()?;
        let records = answer["rrsets"][0]["records"].as_array().cloned().unwrap_or_default();
        // What is missing from an answer is taken for nothing.
        let text = |it: &Value| txt::unquote(it["content"].as_str().unwrap_or_default());
        let members = records.iter().map(|it| Member::new(text(it)));
        // The time to live of the siblings is forgotten.
        Ok(RecordSet::new(name.clone(), members.collect(), None))
    }

    async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
        let sets: Vec<_> = swaps
            .iter()
            .map(|swap| {
                let records: Vec<_> =
                    swap.new.members.iter().map(|it| json!({ "content": txt::quote(&it.value) })).collect();
                json!({
                    "name": format!("{}.", swap.new.name), "type": "TXT", "changetype": "REPLACE",
                    "ttl": swap.new.ttl.map(|ttl| ttl.as_secs()), "records": records,
                })
            })
            .collect();
        let call = self.client.patch(format!("/api/v1/servers/localhost/zones/{}.", zone.apex));
        call.json(&json!({ "rrsets": sets })).send().await.map(|_| None)
    }
}

#[tokio::test]
async fn siblings_that_lose_their_time_to_live_or_are_lost_by_a_lenient_reader_are_noticed() {
    let fake = VendorServer::start(vendor::PowerDns::new(TOKEN), &[ZONE]).await.unwrap();
    let make = |means: Means| -> Arc<dyn DnsProvider> {
        let key = perennial_providers::vendor::HeaderToken::new("x-api-key", TOKEN.into());
        let client =
            Client::builder("alone", means.base_url, key).clock(means.clock.clone()).http(means.http);
        Arc::new(Sets::new(Alone { client: client.build().unwrap() }, Settings::new().clock(means.clock)))
    };
    let laws =
        ["contract::is_kept_with_a_foreign_sibling", "hostile::survives_whatever_is_left_of_an_answer"];
    let case = Case::new(&fake, &make).echoes(&[Echo::Quoted]).overwrites_blindly().only(&laws);
    let broken: Vec<_> = case.breaches().await.into_iter().map(|(law, _)| law).collect();
    assert_eq!(broken, laws);
}
