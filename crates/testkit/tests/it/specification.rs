//! The vendors' own documents tell good exchanges from bad ones, in every form that they come in.

use bytes::Bytes;
use http::{Request, Response};
use perennial_testkit::specification::{self, Specification, Vendor};

/// A request: `POST url`, then headers, then a body.
fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
    let (method, url) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::from(body.to_owned())).unwrap()
}

fn response(status: u16, media: &str, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", media);
    response.body(Bytes::from(body.to_owned())).unwrap()
}

fn faults(specification: &Specification, request: &Request<Bytes>) -> Vec<String> {
    specification.check_request(request).iter().map(ToString::to_string).collect()
}

/// That the request is as it should be, and that each other one has the fault that is named.
#[track_caller]
fn judged(specification: &Specification, good: &Request<Bytes>, bad: &[(Request<Bytes>, &str)]) {
    assert_eq!(faults(specification, good), [""; 0]);
    for (request, part) in bad {
        let found = faults(specification, request);
        assert!(found.iter().any(|fault| fault.contains(part)), "{part}: {found:#?}");
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");
const BEARER: (&str, &str) = ("authorization", "Bearer t");

#[test]
fn every_document_that_is_here_can_be_read() {
    for vendor in Vendor::ALL {
        if let Some(specification) = specification::require(vendor) {
            assert!(specification.operations() > 4, "{vendor:?}");
        }
    }
}

#[test]
fn cloudflare() {
    let Some(specification) = specification::require(Vendor::Cloudflare) else { return };
    let create = "POST https://api.cloudflare.com/client/v4/zones/z1/dns_records";
    let post = |body: &str| request(create, &[BEARER, JSON], body);
    judged(
        &specification,
        &post(r#"{"type": "TXT", "name": "_acme-challenge.example.com", "content": "\"v\"", "ttl": 60}"#),
        &[
            (request(create, &[JSON], r#"{"type": "TXT", "name": "a", "content": "v"}"#), "credentials"),
            (post(r#"{"type": "TXT", "name": "a", "content": "v", "ttl": 2}"#), "request body"),
            (post(r#"{"type": "TXT", "name": "a", "content": "v", "tll": 60}"#), "request body"),
            (request(create, &[BEARER, JSON], ""), "request body: it is required and absent"),
            (
                request("PUT http://127.0.0.1:1/zones/z1/dns_records", &[BEARER, JSON], "{}"),
                "no such method there, but",
            ),
            (request("GET http://127.0.0.1:1/zone/z1/dns_records", &[BEARER], ""), "no such path"),
        ],
    );
    let list = |query: &str| {
        request(&format!("GET http://127.0.0.1:1/client/v4/zones/z1/dns_records?{query}"), &[BEARER], "")
    };
    judged(
        &specification,
        &list("type=TXT&name=a.example.com&per_page=100&page=2"),
        &[
            (list("type=TEXT"), "query parameter `type`"),
            (list("page=first"), "query parameter `page`"),
            (list("typ=TXT"), "query parameter `typ`: the document has no such parameter"),
        ],
    );
}

#[test]
fn digital_ocean() {
    let Some(specification) = specification::require(Vendor::DigitalOcean) else { return };
    let create = "POST https://api.digitalocean.com/v2/domains/example.com/records";
    let post = |body: &str| request(create, &[BEARER, JSON], body);
    let good = post(r#"{"type": "TXT", "name": "a.example.com.", "data": "v", "ttl": 30}"#);
    judged(
        &specification,
        &good,
        &[(post(r#"{"name": "a.example.com.", "data": "v", "ttl": "thirty"}"#), "request body")],
    );
    let answer = |body: &str| specification.check(&good, &response(201, "application/json", body));
    let whole = r#"{"domain_record": {"id": 1, "type": "TXT", "name": "a", "data": "v", "priority": null,
        "port": null, "ttl": 30, "weight": null, "flags": null, "tag": null}}"#;
    assert_eq!(answer(whole), []);
    assert_eq!(answer(&whole.replace("\"id\": 1", "\"id\": \"1\"")).len(), 1);
    let page = response(200, "application/json", whole);
    assert_ne!(specification.check(&good, &page), [], "a status that is not documented");
}

#[test]
fn azure() {
    let Some(specification) = specification::require(Vendor::Azure) else { return };
    let put = |query: &str, body: &str| {
        let path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/dnsZones/example.com/TXT/a";
        request(&format!("PUT https://management.azure.com{path}{query}"), &[BEARER, JSON], body)
    };
    judged(
        &specification,
        &put("?api-version=2018-05-01", r#"{"properties": {"TTL": 60, "TXTRecords": [{"value": ["v"]}]}}"#),
        &[
            (put("", r#"{"properties": {"TTL": 60}}"#), "query parameter `api-version`: it is required"),
            (
                put("?api-version=2018-05-01", r#"{"properties": {"TXTRecords": [{"value": "v"}]}}"#),
                "/properties/TXTRecords/0/value",
            ),
            (put("?api-version=2018-05-01", r#"{"properties": {"ttl": 60}}"#), "/properties"),
        ],
    );
}

#[test]
fn akamai() {
    let Some(specification) = specification::require(Vendor::Akamai) else { return };
    let put = |body: &str| {
        let path = "/config-dns/v2/zones/example.com/names/a.example.com/types/TXT";
        request(&format!("PUT https://host.luna.akamaiapis.net{path}"), &[JSON], body)
    };
    judged(
        &specification,
        &put(r#"{"name": "a.example.com", "type": "TXT", "ttl": 300, "rdata": ["\"v\""]}"#),
        &[(put(r#"{"name": "a.example.com", "type": "TXT", "rdata": ["\"v\""]}"#), "\"ttl\" is a required")],
    );
}

#[test]
fn go_daddy() {
    let Some(specification) = specification::require(Vendor::GoDaddy) else { return };
    let patch =
        |body: &str| request("PATCH https://api.godaddy.com/v1/domains/a.example/records", &[JSON], body);
    judged(
        &specification,
        &patch(r#"[{"type": "TXT", "name": "a", "data": "v", "ttl": 600}]"#),
        &[(patch(r#"[{"type": "TXT", "name": "a", "ttl": 600}]"#), "\"data\" is a required property")],
    );
}

#[test]
fn hetzner() {
    let Some(specification) = specification::require(Vendor::Hetzner) else { return };
    let add = |body: &str| {
        let path = "/v1/zones/example.com/rrsets/a/TXT/actions/add_records";
        request(&format!("POST https://api.hetzner.cloud{path}"), &[BEARER, JSON], body)
    };
    judged(
        &specification,
        &add(r#"{"records": [{"value": "\"v\""}], "ttl": 60}"#),
        &[
            (
                add(r#"{"records": [{"value": "\"v\""}], "ttl": 59}"#),
                "/ttl: 59 is less than the minimum of 60",
            ),
            (add(r#"{"ttl": 60}"#), "\"records\" is a required property"),
        ],
    );
}

#[test]
fn linode() {
    let Some(specification) = specification::require(Vendor::Linode) else { return };
    let post =
        |body: &str| request("POST https://api.linode.com/v4/domains/7/records", &[BEARER, JSON], body);
    judged(
        &specification,
        &post(r#"{"type": "TXT", "name": "a", "target": "v", "ttl_sec": 300}"#),
        &[
            (post(r#"{"name": "a", "target": "v"}"#), "\"type\" is a required property"),
            (
                request("GET https://api.linode.com/v4/domains/seven/records", &[BEARER], ""),
                "path parameter `domainId`",
            ),
        ],
    );
}

#[test]
fn dnsimple_in_openapi_3_1_and_yaml() {
    let Some(specification) = specification::require(Vendor::Dnsimple) else { return };
    let post = |body: &str| {
        request("POST https://api.dnsimple.com/v2/1/zones/example.com/records", &[BEARER, JSON], body)
    };
    judged(
        &specification,
        &post(r#"{"name": "a", "type": "TXT", "content": "v", "ttl": 60}"#),
        &[(post(r#"{"name": "a", "type": "TXT", "content": 5}"#), "/content")],
    );
}

#[test]
fn power_dns() {
    let Some(specification) = specification::require(Vendor::PowerDns) else { return };
    let patch = |body: &str| {
        let path = "/api/v1/servers/localhost/zones/example.com.";
        request(&format!("PATCH http://127.0.0.1:8081{path}"), &[("x-api-key", "k"), JSON], body)
    };
    let rrset = r#""name": "a.example.com.", "type": "TXT", "changetype": "EXTEND""#;
    let good = format!(r#"{{"rrsets": [{{{rrset}, "ttl": 60, "records": [{{"content": "\"v\""}}]}}]}}"#);
    judged(
        &specification,
        &patch(&good),
        &[
            (patch(&good.replace("60", "\"60\"")), "/rrsets/0/ttl"),
            (patch(&good.replace("\"content\"", "\"comment\": 1, \"content\"")), "/rrsets/0/records/0"),
        ],
    );
    let silent = Response::builder().status(204).body(Bytes::new()).unwrap();
    assert_eq!(specification.check(&patch(&good), &silent), []);
    let missing = response(404, "text/plain; charset=utf-8", "Not Found");
    assert_eq!(specification.check(&patch(&good), &missing), []);
}

#[test]
fn route53_in_an_aws_model() {
    let Some(specification) = specification::require(Vendor::Route53) else { return };
    let signed = ("authorization", "AWS4-HMAC-SHA256 Credential=a");
    let xml = ("content-type", "text/xml");
    let post = |body: &str| {
        request("POST https://route53.amazonaws.com/2013-04-01/hostedzone/Z1/rrset/", &[signed, xml], body)
    };
    let good = r#"<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
        <ChangeBatch><Changes><Change><Action>CREATE</Action><ResourceRecordSet>
        <Name>a.example.com.</Name><Type>TXT</Type><TTL>60</TTL>
        <ResourceRecords><ResourceRecord><Value>"v"</Value></ResourceRecord></ResourceRecords>
        </ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"#;
    judged(
        &specification,
        &post(good),
        &[
            (post(&good.replace("CREATE", "INSERT")), "/ChangeBatch/Changes/0/Action"),
            (post(&good.replace("TTL", "Ttl")), "ResourceRecordSet"),
            (post(&good.replace("<Type>TXT</Type>", "")), "\"Type\" is a required property"),
            (post(&good.replace("<TTL>60", "<TTL>2147483648")), "/TTL"),
            (post(&good.replace("2013-04-01/\"", "2013-04-01\"")), "its namespace"),
            (post(&good[..90]), "it is no XML"),
        ],
    );
    let answer = |body: &str| {
        let violations = specification.check(&post(good), &response(200, "text/xml", body));
        violations.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let pending = r#"<ChangeResourceRecordSetsResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/">
        <ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt>
        </ChangeInfo></ChangeResourceRecordSetsResponse>"#;
    assert_eq!(answer(pending), [""; 0]);
    assert!(answer(&pending.replace("PENDING", "QUEUED"))[0].contains("/ChangeInfo/Status"));
}

#[test]
fn google_cloud_dns_in_a_discovery_document() {
    let Some(specification) = specification::require(Vendor::GoogleCloudDns) else { return };
    let zone = "https://dns.googleapis.com/dns/v1/projects/p/managedZones/z";
    let post = |body: &str| request(&format!("POST {zone}/changes"), &[BEARER, JSON], body);
    let good =
        r#"{"additions": [{"name": "a.example.com.", "type": "TXT", "ttl": 60, "rrdatas": ["\"v\""]}]}"#;
    judged(
        &specification,
        &post(good),
        &[
            (post(&good.replace("60", "\"60\"")), "/additions/0/ttl"),
            (post(&good.replace("rrdatas", "rrdata")), "/additions/0"),
            (request(&format!("GET {zone}/rrsets?nam=a"), &[BEARER], ""), "query parameter `nam`"),
            (request(&format!("GET {zone}/rrsets"), &[], ""), "credentials"),
        ],
    );
}

#[test]
fn tencent_in_its_list_of_actions() {
    let Some(specification) = specification::require(Vendor::Tencent) else { return };
    let post = |action: &str, body: &str| {
        let headers = [
            ("authorization", "TC3-HMAC-SHA256 Credential=a"),
            ("x-tc-action", action),
            ("x-tc-version", "2021-03-23"),
            ("x-tc-timestamp", "1800000000"),
            JSON,
        ];
        request("POST https://dnspod.tencentcloudapi.com/", &headers, body)
    };
    let good = r#"{"Domain": "example.com", "SubDomain": "a", "RecordType": "TXT", "RecordLine": "默认",
        "Value": "v", "TTL": 600}"#;
    judged(
        &specification,
        &post("CreateRecord", good),
        &[
            (post("CreateRecord", &good.replace("RecordLine", "Line")), "request body"),
            (post("CreateRecord", &good.replace("600", "\"600\"")), "/TTL"),
            (post("MakeRecord", good), "no such action"),
        ],
    );
    let refusal = r#"{"Response": {"Error": {"Code": "AuthFailure", "Message": "no"}, "RequestId": "r"}}"#;
    let answer = |body: &str| {
        specification.check(&post("CreateRecord", good), &response(200, "application/json", body))
    };
    assert_eq!(answer(refusal), []);
    assert_eq!(answer(r#"{"Response": {"RecordId": 162, "RequestId": "r"}}"#), []);
    assert_eq!(answer(r#"{"Response": {"RecordId": "162", "RequestId": "r"}}"#).len(), 1);
}

#[test]
fn alibaba_in_its_lists_of_parameters() {
    let Some(specification) = specification::require(Vendor::AliDns) else { return };
    let post = |action: &str, query: &str| {
        let headers = [
            ("authorization", "ACS3-HMAC-SHA256 Credential=a"),
            ("x-acs-action", action),
            ("x-acs-version", "2015-01-09"),
        ];
        request(&format!("POST https://alidns.aliyuncs.com/?{query}"), &headers, "")
    };
    judged(
        &specification,
        &post("AddDomainRecord", "DomainName=example.com&RR=a&Type=TXT&Value=v&TTL=600"),
        &[
            (post("AddDomainRecord", "DomainName=example.com&RR=a&Type=TXT"), "query parameter `Value`"),
            (post("AddDomainRecord", "DomainName=e&RR=a&Type=TXT&Value=v&TTL=ten"), "query parameter `TTL`"),
            (post("AddRecord", ""), "no such action"),
        ],
    );
}
