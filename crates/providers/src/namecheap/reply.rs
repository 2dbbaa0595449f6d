//! What Namecheap answers: XML, with 200 for good and bad alike.
//!
//! A reply is believed when it is whole: well-formed to the end of its root, with a status.

use std::collections::BTreeMap;

use quick_xml::{
    Reader, XmlVersion,
    escape::resolve_predefined_entity,
    events::{BytesStart, Event},
};

use crate::vendor::{Answer, Blame, Complaint};

/// A reply, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// `OK` or `ERROR`.
    status: Option<String>,
    /// The errors, of which the first says what it is about: number and text.
    errors: Vec<(String, String)>,
    /// What is said of the result, such as `EmailType`.
    result: Option<Attributes>,
    /// The hosts, each as it is said.
    pub(super) hosts: Vec<Attributes>,
}

pub(super) type Attributes = BTreeMap<String, String>;

impl Reply {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.result.as_ref()?.get(name).map(String::as_str)
    }
}

/// Reads a reply.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(xml: &str) -> Result<Reply, String> {
    let mut reader = Reader::from_str(xml);
    let mut reply = Reply::default();
    let mut open: Vec<String> = Vec::new();
    let mut ended = false;
    loop {
        let event =
            reader.read_event().map_err(|error| format!("its answer is not well-formed XML: {error}"))?;
        match event {
            Event::Start(tag) => {
                reply.take(&open, &tag)?;
                if open.len() >= MOST_DEPTH {
                    return Err("its answer is nested deeper than any that is documented".to_owned());
                }
                open.push(tag.local_name().as_ref().to_owned());
            }
            Event::Empty(tag) => reply.take(&open, &tag)?,
            Event::Text(text) => reply.hear(&open, &text),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().ok().flatten();
                let entity = character.map(String::from);
                let entity = entity.or_else(|| resolve_predefined_entity(&reference).map(str::to_owned));
                reply.hear(&open, &entity.unwrap_or_default());
            }
            Event::End(_) => {
                open.pop();
                ended |= open.is_empty();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !ended || !open.is_empty() {
        return Err("its answer breaks off".to_owned());
    }
    if reply.status.is_none() {
        return Err("its answer has no status".to_owned());
    }
    Ok(reply)
}

impl Reply {
    /// Takes in a text, if it is an error's.
    fn hear(&mut self, open: &[String], text: &str) {
        if let (Some("Error"), Some((_, said))) = (open.last().map(String::as_str), self.errors.last_mut()) {
            said.push_str(text);
        }
    }

    /// Takes in what a tag says.
    fn take(&mut self, open: &[String], tag: &BytesStart<'_>) -> Result<(), String> {
        let parent = open.last().map(String::as_str);
        match (parent, tag.local_name().as_ref()) {
            (None, "ApiResponse") => self.status = attributes(tag)?.remove("Status"),
            (Some("Errors"), "Error") => {
                let number = attributes(tag)?.remove("Number").unwrap_or_default();
                self.errors.push((number, String::new()));
            }
            // The documentation writes `Host`, the interface `host`.
            (Some(_), "host" | "Host") => self.hosts.push(attributes(tag)?),
            (Some("CommandResponse"), _) => self.result = Some(attributes(tag)?),
            _ => {}
        }
        Ok(())
    }
}

fn attributes(tag: &BytesStart<'_>) -> Result<Attributes, String> {
    let mut attributes = Attributes::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| format!("its answer is not well-formed XML: {error}"))?;
        let name = attribute.key.local_name().as_ref().to_owned();
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("the attribute {name} is unreadable: {error}"))?;
        attributes.insert(name, value.into_owned());
    }
    Ok(attributes)
}

/// An answer is four deep.
const MOST_DEPTH: usize = 16;

/// Complaints come with 200; only a proxy in between, and who is too fast (405), gets another status.
pub(super) fn complaint(answer: &Answer) -> Option<Complaint> {
    if answer.status() == 405 {
        return Some(Complaint::new(Blame::RateLimit).message("too many requests"));
    }
    let of_status = Complaint::of_status(answer);
    // What is not understood is for who asked.
    let Ok(reply) = read(&answer.text()) else { return of_status };
    let (number, message) = match (reply.errors.into_iter().next(), reply.status.as_deref()) {
        (None, Some("OK")) => return of_status,
        (Some(error), _) => error,
        (None, status) => (String::new(), format!("its status is {}", status.unwrap_or_default())),
    };
    let complaint = of_status.unwrap_or_else(|| Complaint::new(blame(&number, &message)));
    Some(complaint.code(number).message(message))
}

/// <https://www.namecheap.com/support/api/error-codes/>: the numbers of what concerns every command.
fn blame(number: &str, message: &str) -> Blame {
    match number {
        // API user, key, user name and command are missing or wrong, or the API is not switched on.
        "1010101" | "1010102" | "1010103" | "1011101" | "1011102" | "1011103" | "1017101" | "1017102"
        | "1017103" | "1030408" | "1050900" => Blame::Auth,
        // The address is not on the list; the account may not do this.
        "1011105" | "1011147" | "1011148" | "1011150" | "1017105" | "1017150" | "1017410" | "1017411"
        | "2016166" => Blame::Permission,
        "500000" => Blame::RateLimit,
        // Exceptions in there.
        "3050900" | "4022288" | "5050900" | "2050900" | "3031510" => Blame::Unavailable,
        _ if message.to_ascii_lowercase().contains("too many requests") => Blame::RateLimit,
        _ => Blame::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOSTS: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<ApiResponse Status="OK" xmlns="http://api.namecheap.com/xml.response">
  <Errors />
  <Warnings />
  <RequestedCommand>namecheap.domains.dns.gethosts</RequestedCommand>
  <CommandResponse Type="namecheap.domains.dns.getHosts">
    <DomainDNSGetHostsResult Domain="example.com" EmailType="FWD" IsUsingOurDNS="true">
      <host HostId="1" Name="@" Type="CAA" Address="0 issue &quot;ca.example&quot;" MXPref="10" TTL="1800" IsActive="true" />
      <Host HostId="2" Name="www" Type="A" Address="192.0.2.1" MXPref="10" TTL="60"></Host>
    </DomainDNSGetHostsResult>
  </CommandResponse>
  <Server>S1</Server>
  <ExecutionTime>0.1</ExecutionTime>
</ApiResponse>"#;

    #[test]
    fn hosts_are_read_with_everything_that_is_said_of_them() {
        let reply = read(HOSTS).unwrap();
        assert_eq!(reply.attribute("EmailType"), Some("FWD"));
        let addresses: Vec<_> = reply.hosts.iter().map(|host| host["Address"].as_str()).collect();
        assert_eq!(addresses, [r#"0 issue "ca.example""#, "192.0.2.1"]);
        assert_eq!(reply.errors, []);
    }

    #[test]
    fn an_error_has_a_number_and_a_text() {
        let xml = r#"<ApiResponse Status="ERROR"><Errors><Error Number="1011102">API Key &lt;x&#62; is invalid</Error>
            <Error Number="2">more</Error></Errors></ApiResponse>"#;
        let reply = read(xml).unwrap();
        let errors: Vec<_> = reply.errors.iter().map(|(number, text)| (&**number, &**text)).collect();
        assert_eq!(errors, [("1011102", "API Key <x> is invalid"), ("2", "more")]);
        assert_eq!(blame("1011102", ""), Blame::Auth);
    }

    #[test]
    fn a_reply_that_is_not_whole_is_not_believed() {
        for end in (1..HOSTS.len()).filter(|end| HOSTS.is_char_boundary(*end)) {
            assert!(read(&HOSTS[..end]).is_err(), "{}", &HOSTS[..end]);
        }
        for xml in ["", "OK", "<ApiResponse/>", r#"<ApiResponse Status="OK"><a></ApiResponse>"#] {
            assert!(read(xml).is_err(), "{xml}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(<|>|/|\"|&|;|=| |ApiResponse|host|Status|OK|\\PC){0,60}") {
            let _ = read(&text);
        }
    }
}
