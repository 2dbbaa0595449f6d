//! The file `.edgerc`, in which Akamai's tools keep their credentials.

use http::uri::Authority;
use perennial_core::SecretString;

use crate::signature::eg1::Credentials;

/// What a section has that is needed here.
#[derive(Clone)]
pub(super) struct Section {
    /// Where the credentials are good, and nowhere else.
    pub(super) host: Authority,
    pub(super) credentials: Credentials,
    pub(super) account_key: Option<String>,
}

/// Reads a section. The reason why it cannot be read shows no value.
pub(super) fn read(text: &SecretString, section: &str) -> Result<Section, String> {
    let mut found = false;
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for line in text.expose().lines().map(str::trim) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => found = name.trim() == section,
            None if found && !line.starts_with([';', '#']) => {
                fields.extend(line.split_once('=').map(|(name, value)| (name.trim(), value.trim())));
            }
            None => {}
        }
    }
    let field = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
    let need = |name: &str| field(name).ok_or_else(|| format!("its section [{section}] has no `{name}`"));
    if fields.is_empty() {
        return Err(format!("it has no section [{section}] with credentials"));
    }
    let credentials = Credentials::new(need("client_token")?, need("client_secret")?, need("access_token")?);
    let host = host(need("host")?);
    Ok(Section {
        host: host.ok_or_else(|| format!("the `host` of its section [{section}] is none"))?,
        credentials,
        account_key: field("account_key").map(str::to_owned),
    })
}

/// The host in a text that may be its URL.
pub(super) fn host(text: &str) -> Option<Authority> {
    let text = text.trim().trim_start_matches("https://").trim_end_matches('/');
    text.parse().ok().filter(|host: &Authority| !host.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "\
; somebody's
[default]
client_secret = abc=def=
host = akab-h.luna.akamaiapis.net
access_token = akab-a
client_token = akab-c
max-body = 131072

[papi]
host = other
";

    #[test]
    fn a_section_is_read_and_another_is_not_mixed_in() {
        let section = read(&FILE.into(), "default").unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(section.host, "akab-h.luna.akamaiapis.net");
        assert_eq!(section.credentials.client_secret.expose(), "abc=def=");
        assert_eq!(section.credentials.access_token.expose(), "akab-a");
        assert_eq!(section.account_key, None);
    }

    #[test]
    fn a_host_is_no_more_than_a_host() {
        for (text, expected) in [
            ("akab-h.luna.akamaiapis.net", Some("akab-h.luna.akamaiapis.net")),
            ("https://akab-h.luna.akamaiapis.net/", Some("akab-h.luna.akamaiapis.net")),
            ("me@elsewhere.example", None),
            ("elsewhere.example/path", None),
            ("http://elsewhere.example", None),
            ("two words", None),
            ("", None),
        ] {
            assert_eq!(host(text).as_ref().map(Authority::as_str), expected, "{text}");
        }
        let bad = FILE.replace("akab-h.luna.akamaiapis.net", "me@elsewhere.example");
        let reason = read(&bad.into(), "default").err().unwrap();
        assert_eq!(reason, "the `host` of its section [default] is none");
    }

    #[test]
    fn what_is_missing_is_named() {
        let reason = |section: &str| read(&FILE.into(), section).err().unwrap();
        assert_eq!(reason("papi"), "its section [papi] has no `client_token`");
        assert_eq!(reason("ccu"), "it has no section [ccu] with credentials");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]a-z=; \n]{0,60}") {
            let _ = read(&text.into(), "a");
        }
    }
}
