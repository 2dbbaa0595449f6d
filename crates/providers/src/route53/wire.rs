//! The answers of Route 53, as its service model of 2013-04-01 has them.

use serde::Deserialize;

use super::text;

/// ChangeResourceRecordSetsResponse and GetChangeResponse.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeResponse {
    pub(super) change_info: ChangeInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeInfo {
    id: String,
    /// `PENDING` or `INSYNC`.
    pub(super) status: String,
}

impl ChangeInfo {
    /// The identifier alone, without the path that comes before it.
    pub(super) fn id(&self) -> &str {
        bare(&self.id)
    }
}

/// GetHostedZoneResponse.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostedZoneResponse {
    pub(super) hosted_zone: HostedZone,
}

/// ListHostedZonesByNameResponse.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostedZonesResponse {
    pub(super) hosted_zones: HostedZones,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct HostedZones {
    #[serde(rename = "HostedZone", default)]
    pub(super) list: Vec<HostedZone>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostedZone {
    id: String,
    name: String,
    #[serde(default)]
    config: HostedZoneConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostedZoneConfig {
    #[serde(default)]
    private_zone: bool,
}

impl HostedZone {
    /// The identifier alone, without the path that comes before it.
    pub(super) fn id(&self) -> &str {
        bare(&self.id)
    }

    /// The apex, without escapes and without the dot at its end.
    pub(super) fn name(&self) -> String {
        text::unescape_name(&self.name)
    }

    pub(super) const fn is_private(&self) -> bool {
        self.config.private_zone
    }
}

/// ListResourceRecordSetsResponse.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordSetsResponse {
    pub(super) resource_record_sets: RecordSets,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RecordSets {
    #[serde(rename = "ResourceRecordSet", default)]
    pub(super) list: Vec<ResourceRecordSet>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ResourceRecordSet {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    /// There for every set with a routing policy.
    pub(super) set_identifier: Option<String>,
    #[serde(rename = "TTL")]
    pub(super) ttl: Option<u64>,
    #[serde(default)]
    resource_records: ResourceRecords,
}

#[derive(Debug, Default, Deserialize)]
struct ResourceRecords {
    #[serde(rename = "ResourceRecord", default)]
    list: Vec<ResourceRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceRecord {
    value: String,
}

impl ResourceRecordSet {
    /// A listing begins at a name and a type, and goes on behind them.
    pub(super) fn is_txt_at(&self, name: &str) -> bool {
        self.kind == "TXT" && text::unescape_name(&self.name).eq_ignore_ascii_case(name)
    }

    /// The values in Route 53's own form.
    pub(super) fn values(&self) -> impl Iterator<Item = &str> {
        self.resource_records.list.iter().map(|record| record.value.as_str())
    }
}

/// `/hostedzone/Z1`, `/change/C1` and the bare identifier mean the same.
fn bare(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quick_xml::de::from_str;

    #[test]
    fn zones_are_read_with_what_tells_twins_apart() {
        let answer: HostedZonesResponse = from_str(
            r#"<?xml version="1.0"?>
            <ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
              <HostedZones>
                <HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><CallerReference>1</CallerReference>
                  <Config><Comment/><PrivateZone>true</PrivateZone></Config>
                  <ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>
                <HostedZone><Id>/hostedzone/Z2</Id><Name>\052.example.com.</Name><CallerReference>2</CallerReference>
                </HostedZone>
              </HostedZones>
              <DNSName>example.com.</DNSName><IsTruncated>true</IsTruncated>
              <NextDNSName>example.net.</NextDNSName><NextHostedZoneId>Z3</NextHostedZoneId>
              <MaxItems>2</MaxItems>
            </ListHostedZonesByNameResponse>"#,
        )
        .unwrap();
        let zones: Vec<_> =
            answer.hosted_zones.list.iter().map(|z| (z.id(), z.name(), z.is_private())).collect();
        assert_eq!(
            zones,
            [("Z1", "example.com".to_owned(), true), ("Z2", "*.example.com".to_owned(), false)]
        );
    }

    #[test]
    fn an_empty_list_is_no_error() {
        for list in ["<ResourceRecordSets></ResourceRecordSets>", "<ResourceRecordSets/>"] {
            let answer: RecordSetsResponse = from_str(&format!(
                "<ListResourceRecordSetsResponse>{list}<IsTruncated>false</IsTruncated><MaxItems>1</MaxItems>\
                 </ListResourceRecordSetsResponse>"
            ))
            .unwrap();
            assert!(answer.resource_record_sets.list.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(document in "(<|>|/|HostedZones|HostedZone|Id|Name|TTL|ChangeInfo|&amp;|&x;|a|\"| ){0,30}") {
            let _ = from_str::<HostedZonesResponse>(&document);
            let _ = from_str::<RecordSetsResponse>(&document);
            let _ = from_str::<ChangeResponse>(&document);
        }
    }
}
