//! Amazon Route 53, version 2013-04-01, as its service model and its answers of the field have it.

use bytes::Bytes;
use http::{Method, Request, Response};
use quick_xml::escape::escape;

use super::{Echo, Refusal, Reply, Service, StoredRecord, StoredZone, TxtStore, query};

mod change;
use change::ChangeRequest;

mod octal;

mod sigv4;
pub use sigv4::AwsKey;

/// Amazon Route 53.
///
/// Requests must be signed with Signature Version 4. A batch of changes is made whole or not at all; a deletion names
/// exactly what is there. Values are in quotes. Lists begin at a name and go on behind it.
pub struct Route53 {
    key: AwsKey,
    region: String,
}

impl Route53 {
    /// The account of this key, in the partition that signs in `us-east-1`.
    #[must_use]
    pub fn new(key: AwsKey) -> Self {
        Self { key, region: "us-east-1".to_owned() }
    }

    /// Another region that signs.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.region);
        self
    }
}

const VERSION: &str = "/2013-04-01/";

impl Service for Route53 {
    fn answer(&self, request: &Request<Bytes>, store: &mut TxtStore) -> Response<Bytes> {
        if let Err((code, message)) = self.key.verify(request, &self.region, "route53") {
            return fault(403, code, message);
        }
        let Some(path) = request.uri().path().strip_prefix(VERSION) else {
            return fault(404, "UnknownOperationException", "no such path");
        };
        let parts: Vec<_> = path.split('/').collect();
        match (request.method().clone(), parts.as_slice()) {
            (Method::GET, ["hostedzonesbyname"]) => zones_by_name(request, store),
            (Method::GET, ["hostedzone", id]) => match store.zone(id) {
                Some(zone) => xml(&format!(
                    "<GetHostedZoneResponse xmlns=\"{NAMESPACE}\">{}<DelegationSet><NameServers>\
                     <NameServer>ns-2048.awsdns-64.com</NameServer></NameServers></DelegationSet>\
                     </GetHostedZoneResponse>",
                    zone_element(zone)
                )),
                None => no_such_zone(id),
            },
            (Method::GET, ["hostedzone", id, "rrset"]) => record_sets(request, store, id),
            (Method::POST, ["hostedzone", id, "rrset", ""]) => change(request, store, id),
            (Method::GET, ["change", id]) => look_at_change(store, id),
            _ => fault(404, "UnknownOperationException", "no such path"),
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response<Bytes> {
        match refusal {
            Refusal::Busy => fault(400, "Throttling", "Rate exceeded"),
            Refusal::Forbidden => fault(
                403,
                "AccessDenied",
                "User: arn:aws:iam::123456789012:user/fake is not authorized to perform: \
                 route53:ChangeResourceRecordSets because no identity-based policy allows it",
            ),
            Refusal::Trouble => fault(503, "ServiceUnavailable", "Service is unavailable"),
            Refusal::Unauthorized => {
                fault(403, "InvalidClientTokenId", "The security token included in the request is invalid")
            }
        }
    }
}

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// Sorted by the labels from the last to the first; a start, not a filter.
fn zones_by_name(request: &Request<Bytes>, store: &TxtStore) -> Response<Bytes> {
    let from = query(request, "dnsname").unwrap_or_default();
    let from = from.trim_end_matches('.');
    if store.is_forbidden(from) {
        return fault(403, "AccessDenied", "not authorized to perform: route53:ListHostedZonesByName");
    }
    let Ok(most) = most_items(request, store, 100) else { return bad_max_items() };
    let mut zones: Vec<_> = store.zones.iter().collect();
    zones.sort_by_key(|zone| (reversed(&zone.name), zone.id.clone()));
    zones.retain(|zone| reversed(&zone.name) >= reversed(from));
    let listed: String = zones.iter().take(most).map(|zone| zone_element(zone)).collect();
    let next = match zones.get(most) {
        Some(next) => format!(
            "<NextDNSName>{}.</NextDNSName><NextHostedZoneId>{}</NextHostedZoneId>",
            octal::escaped_name(&next.name),
            next.id
        ),
        None => String::new(),
    };
    xml(&format!(
        "<ListHostedZonesByNameResponse xmlns=\"{NAMESPACE}\"><HostedZones>{listed}</HostedZones>\
         <DNSName>{from}.</DNSName><IsTruncated>{}</IsTruncated>{next}<MaxItems>{most}</MaxItems>\
         </ListHostedZonesByNameResponse>",
        zones.len() > most
    ))
}

fn zone_element(zone: &StoredZone) -> String {
    format!(
        "<HostedZone><Id>/hostedzone/{}</Id><Name>{}.</Name><CallerReference>fake</CallerReference>\
         <Config><PrivateZone>{}</PrivateZone></Config><ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>",
        zone.id,
        octal::escaped_name(&zone.name),
        zone.private
    )
}

/// A set in a list: its place, and what it holds.
type Listed<'s> = (Vec<String>, &'s str, &'s str, Vec<&'s StoredRecord>);

fn record_sets(request: &Request<Bytes>, store: &TxtStore, zone: &str) -> Response<Bytes> {
    if store.zone(zone).is_none() {
        return no_such_zone(zone);
    }
    let Ok(most) = most_items(request, store, 300) else { return bad_max_items() };
    let name = query(request, "name").unwrap_or_default();
    let name = octal::plain_name(name.trim_end_matches('.'));
    let kind = query(request, "type").unwrap_or_default();
    let mut sets: Vec<Listed<'_>> = Vec::new();
    for record in store.records.iter().filter(|record| record.zone == zone) {
        match sets.iter_mut().find(|(_, name, kind, _)| *name == record.name && *kind == record.kind) {
            Some((.., records)) => records.push(record),
            None => sets.push((reversed(&record.name), &record.name, &record.kind, vec![record])),
        }
    }
    sets.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
    sets.retain(|(place, _, of, _)| (place, *of) >= (&reversed(&name), kind.as_str()));
    let element = |(_, name, kind, records): &Listed<'_>| {
        let ttl = records.first().map_or(0, |record| record.ttl);
        let value = |record: &&StoredRecord| {
            let value = match store.echo {
                Echo::AsSent if record.sent.starts_with('"') => record.sent.clone(),
                Echo::Segmented => octal::segmented(&record.value),
                // It shows nothing that is not in quotes.
                _ => octal::quoted(&record.value),
            };
            format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escape(&value))
        };
        let values: String = records.iter().map(value).collect();
        format!(
            "<ResourceRecordSet><Name>{}.</Name><Type>{kind}</Type><TTL>{ttl}</TTL>\
             <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet>",
            octal::escaped_name(name)
        )
    };
    let listed: String = sets.iter().take(most).map(element).collect();
    let next = match sets.get(most) {
        Some((_, name, kind, _)) => format!(
            "<NextRecordName>{}.</NextRecordName><NextRecordType>{kind}</NextRecordType>",
            octal::escaped_name(name)
        ),
        None => String::new(),
    };
    xml(&format!(
        "<ListResourceRecordSetsResponse xmlns=\"{NAMESPACE}\"><ResourceRecordSets>{listed}</ResourceRecordSets>\
         <IsTruncated>{}</IsTruncated>{next}<MaxItems>{most}</MaxItems></ListResourceRecordSetsResponse>",
        sets.len() > most
    ))
}

fn change(request: &Request<Bytes>, store: &mut TxtStore, zone: &str) -> Response<Bytes> {
    let Some(zone) = store.zone(zone).cloned() else { return no_such_zone(zone) };
    let Ok(batch) = quick_xml::de::from_reader::<_, ChangeRequest>(request.body().as_ref()) else {
        return fault(400, "MalformedInput", "Unexpected list element termination");
    };
    match batch.make(store, &zone) {
        Ok(()) => {
            let id = format!("C{}", store.next_id());
            xml(&change_response("ChangeResourceRecordSetsResponse", &id, "PENDING"))
        }
        Err(message) => xml_of(
            400,
            &format!(
                "<?xml version=\"1.0\"?><InvalidChangeBatch xmlns=\"{NAMESPACE}\"><Messages><Message>{}</Message>\
                 </Messages><RequestId>{REQUEST_ID}</RequestId></InvalidChangeBatch>",
                escape(&message)
            ),
        ),
    }
}

fn look_at_change(store: &mut TxtStore, id: &str) -> Response<Bytes> {
    let is_pending = store.pending_looks > 0;
    store.pending_looks = store.pending_looks.saturating_sub(1);
    let status = if is_pending { "PENDING" } else { "INSYNC" };
    match id.strip_prefix('C').is_some_and(|number| number.parse::<u64>().is_ok()) {
        true => xml(&change_response("GetChangeResponse", id, status)),
        false => fault(404, "NoSuchChange", "A change with the specified change ID does not exist."),
    }
}

fn change_response(element: &str, id: &str, status: &str) -> String {
    format!(
        "<{element} xmlns=\"{NAMESPACE}\"><ChangeInfo><Id>/change/{id}</Id><Status>{status}</Status>\
         <SubmittedAt>2027-01-15T08:00:00.000Z</SubmittedAt></ChangeInfo></{element}>"
    )
}

/// How many items a page may have: what is asked for, at most what Route 53 gives.
fn most_items(request: &Request<Bytes>, store: &TxtStore, most: usize) -> Result<usize, ()> {
    let asked = match query(request, "maxitems") {
        Some(text) => text.parse().map_err(|_| ())?,
        None => most,
    };
    Ok(asked.clamp(1, most).min(store.page_size.unwrap_or(most)))
}

fn bad_max_items() -> Response<Bytes> {
    fault(400, "InvalidInput", "maxitems is no number")
}

fn no_such_zone(id: &str) -> Response<Bytes> {
    fault(404, "NoSuchHostedZone", &format!("No hosted zone found with ID: {id}"))
}

/// The order of lists: by labels, the last first.
fn reversed(name: &str) -> Vec<String> {
    name.split('.').rev().map(str::to_owned).collect()
}

const REQUEST_ID: &str = "7c8e4e4d-0000-4000-8000-fake00000000";

fn fault(status: u16, code: &str, message: &str) -> Response<Bytes> {
    xml_of(
        status,
        &format!(
            "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{}</Message></Error><RequestId>{REQUEST_ID}</RequestId></ErrorResponse>",
            escape(message)
        ),
    )
}

fn xml(document: &str) -> Response<Bytes> {
    xml_of(200, &format!("<?xml version=\"1.0\"?>\n{document}"))
}

fn xml_of(status: u16, document: &str) -> Response<Bytes> {
    Reply::of(status, "text/xml", document.to_owned())
}
