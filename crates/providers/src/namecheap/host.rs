//! Hosts, as Namecheap calls records: what is sure about them, and how they go back.

use serde::{Deserialize, Serialize};

use super::{Form, Reply, reply::Attributes};
use crate::{
    Zone,
    engine::{ZoneContent, ZoneRecord},
    txt,
};

/// What `setHosts` takes of a host. What else `getHosts` says of it cannot be given back, and changes from write
/// to write: its identifier.
#[derive(Serialize, Deserialize)]
struct Host {
    name: String,
    r#type: String,
    address: String,
    mx_pref: String,
    ttl: String,
}

/// The content of a domain.
///
/// # Errors
/// Why a write would be dangerous.
pub(super) fn content(zone: &Zone, reply: Reply) -> Result<ZoneContent, String> {
    match reply.attribute("Domain") {
        Some(domain) if domain.parse().is_ok_and(|domain| zone.apex == domain) => {}
        other => return Err(format!("getHosts answers for {:?}", other.unwrap_or_default())),
    }
    if reply.attribute("IsUsingOurDNS") != Some("true") {
        let remedy = "use Namecheap's name servers for it, or the provider whose name servers it uses";
        return Err(format!("it does not use Namecheap's name servers; {remedy}"));
    }
    let email_type = reply.attribute("EmailType").map(str::to_owned);
    let mut records = Vec::with_capacity(reply.hosts.len());
    for attributes in reply.hosts {
        let host = host(attributes)?;
        if email_type.is_none() && host.r#type.starts_with("MX") {
            return Err(
                "it has mail records, and getHosts does not say the EmailType that keeps them".to_owned()
            );
        }
        let raw = serde_json::to_string(&host).map_err(|error| error.to_string())?;
        let owner =
            Some(&host).filter(|host| host.r#type == "TXT").and_then(|host| zone.absolute(&host.name));
        records.push(match owner {
            Some(name) => ZoneRecord::Txt { name, value: txt::unquote(&host.address), raw },
            None => ZoneRecord::Other { raw },
        });
    }
    let content = ZoneContent::new(records);
    Ok(match email_type {
        Some(email_type) => content.with_extra(email_type),
        None => content,
    })
}

fn host(mut attributes: Attributes) -> Result<Host, String> {
    let mut take = |name: &str| attributes.remove(name).ok_or_else(|| format!("a host comes without {name}"));
    let host = Host {
        name: take("Name")?,
        r#type: take("Type")?,
        address: take("Address")?,
        mx_pref: take("MXPref")?,
        ttl: take("TTL")?,
    };
    if attributes.get("IsActive").is_some_and(|active| active != "true") {
        let Host { name, r#type, .. } = &host;
        return Err(format!(
            "the {type} record of {name} is switched off, and a write would switch it on; remove it"
        ));
    }
    Ok(host)
}

/// Puts the whole content into the form.
///
/// # Errors
/// What cannot be put there.
pub(super) fn put(form: Form, zone: &Zone, content: &ZoneContent) -> Result<Form, String> {
    let mut form = form;
    if let Some(email_type) = &content.extra {
        form = form.with("EmailType", email_type);
    }
    for (index, record) in content.records.iter().enumerate() {
        let host = match record {
            ZoneRecord::New { name, value, ttl } => Host {
                name: Some(zone.relative(name)).filter(|name| !name.is_empty()).unwrap_or("@").to_owned(),
                r#type: "TXT".to_owned(),
                address: value.clone(),
                // Of mail alone, and demanded of all.
                mx_pref: "10".to_owned(),
                ttl: ttl.as_secs().min(MAX_TTL).to_string(),
            },
            ZoneRecord::Other { raw } | ZoneRecord::Txt { raw, .. } => serde_json::from_str(raw)
                .map_err(|error| format!("a record cannot be given back: {error}"))?,
        };
        for (field, value) in [
            ("HostName", &host.name),
            ("RecordType", &host.r#type),
            ("Address", &host.address),
            ("MXPref", &host.mx_pref),
            ("TTL", &host.ttl),
        ] {
            form = form.with(&format!("{field}{}", index + 1), value);
        }
    }
    Ok(form)
}

/// What `setHosts` takes at most.
const MAX_TTL: u64 = 60_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::namecheap::reply;

    fn zone() -> Zone {
        Zone::new("example.com".parse().unwrap())
    }

    fn read(result: &str, hosts: &str) -> Result<ZoneContent, String> {
        let xml = format!(
            r#"<ApiResponse Status="OK"><CommandResponse><R {result}>{hosts}</R></CommandResponse></ApiResponse>"#
        );
        content(&zone(), reply::read(&xml).unwrap())
    }

    const OURS: &str = r#"Domain="example.com" IsUsingOurDNS="true" EmailType="MX""#;
    const MAIL: &str =
        r#"<host HostId="7" Name="@" Type="MX" Address="mx.example." MXPref="20" TTL="1800"/>"#;

    #[test]
    fn everything_goes_back_as_it_came() {
        let texts = r#"<host HostId="8" Name="k._domainkey" Type="TXT" Address="v=DKIM1; p=a+b/c=" MXPref="10"
            TTL="300" IsActive="true"/>"#;
        let mut content = read(OURS, &format!("{MAIL}{texts}")).unwrap();
        content.records.push(ZoneRecord::New {
            name: "example.com".parse().unwrap(),
            value: "v".to_owned(),
            ttl: Duration::from_secs(90_000),
        });
        let form = put(Form::new("c"), &zone(), &content).unwrap().finish();
        assert_eq!(
            form,
            "Command=c&EmailType=MX\
             &HostName1=%40&RecordType1=MX&Address1=mx.example.&MXPref1=20&TTL1=1800\
             &HostName2=k._domainkey&RecordType2=TXT&Address2=v%3DDKIM1%3B%20p%3Da%2Bb%2Fc%3D&MXPref2=10&TTL2=300\
             &HostName3=%40&RecordType3=TXT&Address3=v&MXPref3=10&TTL3=60000"
        );
    }

    #[test]
    fn what_is_not_sure_stops_the_write() {
        for (result, hosts, part) in [
            (
                r#"Domain="example.net" IsUsingOurDNS="true" EmailType="MX""#,
                MAIL,
                "answers for \"example.net\"",
            ),
            (r#"Domain="example.com" IsUsingOurDNS="false" EmailType="MX""#, "", "name servers"),
            (r#"Domain="example.com" EmailType="MX""#, "", "name servers"),
            (r#"Domain="example.com" IsUsingOurDNS="true""#, MAIL, "EmailType"),
            (OURS, r#"<host Name="a" Type="A" Address="192.0.2.1" MXPref="10"/>"#, "without TTL"),
            (
                OURS,
                r#"<host Name="a" Type="A" Address="x" MXPref="10" TTL="60" IsActive="false"/>"#,
                "switched off",
            ),
        ] {
            let error = read(result, hosts).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_domain_without_records_is_no_doubtful_one() {
        assert_eq!(read(OURS, "").unwrap().records, []);
    }
}
