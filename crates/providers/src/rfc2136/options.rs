//! The options of this provider, as a command line, a configuration file or the environment gives them.

use std::{fmt, path::Path, str::FromStr, sync::Arc, time::Duration};

use perennial_core::{DomainName, SecretString};

use super::{
    Algorithm, DEFAULT_TIMEOUT, KIND, Rfc2136, Rfc2136Builder, Server, Transport, TsigKeyError, tsig::Weak,
};
use crate::{ConfigError, Factory, OptionDoc, Options};

const SERVER: OptionDoc = OptionDoc::required(
    "server",
    "the primary server: an address or host name, with a port unless it is 53 ([2001:db8::1]:5353)",
);
const KEY_NAME: OptionDoc =
    OptionDoc::optional("key-name", "the name of the TSIG key; without one, updates are not signed");
const ALGORITHM: OptionDoc =
    OptionDoc::optional("algorithm", "hmac-sha256 (the default), hmac-sha384 or hmac-sha512");
const SECRET: OptionDoc = OptionDoc::optional("secret", "the secret of the TSIG key, in base64").secret();
const KEY_FILE: OptionDoc = OptionDoc::optional(
    "key-file",
    "a file of TSIG keys as tsig-keygen or keymgr print it, in place of the other options of a key; all its keys \
     are tried, and it is read again when all are refused",
);
const ALLOW_WEAK: OptionDoc = OptionDoc::optional(
    "allow-weak",
    "true to use keys for hmac-sha1 and hmac-md5 too, which RFC 8945 forbids or advises against; false by default",
);
const ZONE: OptionDoc =
    OptionDoc::optional("zone", "the zone to update; without one, the server is asked for it");
const TTL: OptionDoc =
    OptionDoc::optional("ttl", "time to live of new record sets in seconds; 60 by default");
const TRANSPORT: OptionDoc =
    OptionDoc::optional("transport", "udp (the default, with tcp for what does not fit) or tcp");
const TIMEOUT: OptionDoc =
    OptionDoc::optional("timeout", "seconds to wait for each answer, resending included; 10 by default");

/// How a [`Registry`](crate::Registry) makes this provider.
#[must_use]
pub fn factory() -> Factory {
    Factory::new(
        "dynamic updates signed with TSIG: BIND, Knot, PowerDNS, Windows and others (RFC 2136, RFC 8945)",
        [SERVER, KEY_FILE, KEY_NAME, ALGORITHM, SECRET, ALLOW_WEAK, ZONE, TTL, TRANSPORT, TIMEOUT],
        |options| Ok(Arc::new(from_options(options)?)),
    )
}

pub(super) fn from_options(options: &Options) -> Result<Rfc2136, ConfigError> {
    let server: Server = parsed(options, &SERVER)?.ok_or_else(|| SERVER.missing(KIND))?;
    let mut builder = Rfc2136::builder(server);
    let weak =
        if parsed::<bool>(options, &ALLOW_WEAK)? == Some(true) { Weak::Allowed } else { Weak::Refused };
    builder = with_key(builder, options, weak)?;
    if let Some(path) = options.get(KEY_FILE.name) {
        if [KEY_NAME, ALGORITHM, SECRET].iter().any(|doc| options.get(doc.name).is_some()) {
            let reason = "give either a key file or `key-name`, `algorithm` and `secret`, not both";
            return Err(bad(&KEY_FILE, reason.to_owned()));
        }
        let path = Path::new(path.expose().trim());
        builder = builder.keys_of(path, weak).map_err(|error| bad(&KEY_FILE, error.to_string()))?;
    }
    if let Some(zone) = parsed::<DomainName>(options, &ZONE)? {
        builder = builder.zone(zone);
    }
    if let Some(ttl) = seconds(options, &TTL, 0..=0x7fff_ffff)? {
        builder = builder.ttl(ttl);
    }
    if let Some(transport) = parsed::<Transport>(options, &TRANSPORT)? {
        builder = builder.transport(transport);
    }
    let timeout = seconds(options, &TIMEOUT, 1..=300)?.unwrap_or(DEFAULT_TIMEOUT);
    Ok(builder.timeout(timeout).build())
}

/// A key is wanted as soon as one part of it is there: a forgotten part must not mean "unsigned".
fn with_key(builder: Rfc2136Builder, options: &Options, weak: Weak) -> Result<Rfc2136Builder, ConfigError> {
    if [KEY_NAME, ALGORITHM, SECRET].iter().all(|doc| options.get(doc.name).is_none()) {
        return Ok(builder);
    }
    let name = options.get(KEY_NAME.name).ok_or_else(|| KEY_NAME.missing(KIND))?;
    let secret = options.credential(&SECRET).ok_or_else(|| SECRET.missing(KIND))?;
    let algorithm = options.get(ALGORITHM.name).map(|text| Algorithm::read(text.expose(), weak)).transpose();
    let algorithm = algorithm.map_err(|error| bad(&ALGORITHM, error.to_string()))?.unwrap_or_default();
    builder.key_of(name.expose(), algorithm, secret).map_err(|error| {
        let doc = if matches!(error, TsigKeyError::Name { .. }) { KEY_NAME } else { SECRET };
        bad(&doc, error.to_string())
    })
}

fn parsed<T: FromStr<Err: fmt::Display>>(
    options: &Options,
    doc: &OptionDoc,
) -> Result<Option<T>, ConfigError> {
    let value = options.get(doc.name).map(SecretString::expose);
    value.map(|text| text.trim().parse().map_err(|error| bad(doc, format!("{error}")))).transpose()
}

fn seconds(
    options: &Options,
    doc: &OptionDoc,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(text) = options.get(doc.name).map(SecretString::expose) else { return Ok(None) };
    match text.trim().parse() {
        Ok(number) if range.contains(&number) => Ok(Some(Duration::from_secs(number))),
        _ => {
            let text: String = text.chars().take(64).collect();
            let (least, most) = range.into_inner();
            Err(bad(doc, format!("{text:?} is not a number of seconds from {least} to {most}")))
        }
    }
}

fn bad(doc: &OptionDoc, reason: String) -> ConfigError {
    ConfigError::BadOption { provider: KIND.to_owned(), option: doc.name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Registry};

    fn error_of(options: &[(&str, &str)]) -> String {
        let options = options.iter().copied().collect();
        match Registry::standard().create(KIND, &options) {
            Err(error @ Error::Config(_)) => error.to_string(),
            Err(error) => panic!("not a matter of options: {error}"),
            Ok(_) => panic!("accepted"),
        }
    }

    const SERVER: (&str, &str) = ("server", "192.0.2.1");

    #[test]
    fn the_server_alone_is_enough() {
        let options = [SERVER].into_iter().collect();
        assert!(Registry::standard().create(KIND, &options).is_ok());
    }

    #[test]
    fn every_option_is_taken_in_the_spellings_of_other_tools() {
        let options = [
            ("server", "ns1.example.com:5353"),
            ("key-name", "Acme-Key"),
            ("algorithm", "HMACSHA512"),
            ("secret", " c2VjcmV0 "),
            ("zone", "Example.COM."),
            ("ttl", "300"),
            ("transport", "TCP"),
            ("timeout", "3"),
        ];
        let provider = from_options(&options.into_iter().collect()).unwrap();
        assert_eq!(
            format!("{provider:?}"),
            "Rfc2136 { server: ns1.example.com:5353, keys: [TsigKey(acme-key. hmac-sha512)], zone: \
             Some(\"example.com\"), ttl: 300s, transport: Tcp, timeout: 3s, .. }"
        );
    }

    #[test]
    fn half_a_key_is_an_error_and_never_an_unsigned_update() {
        for options in [("algorithm", "hmac-sha256"), ("secret", "c2VjcmV0")] {
            let text = error_of(&[SERVER, options]);
            assert!(text.starts_with("rfc2136 needs the option `key-name`"), "{text}");
        }
        let text = error_of(&[SERVER, ("key-name", "acme-key")]);
        assert!(text.starts_with("rfc2136 needs the option `secret`"), "{text}");
    }

    #[test]
    fn a_key_file_is_enough_and_is_explained_when_it_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "key \"acme-key\" { algorithm hmac-sha1; secret \"c2VjcmV0\"; };").unwrap();
        let text = error_of(&[SERVER, ("key-file", path)]);
        assert!(
            text.starts_with("rfc2136: option `key-file`: the key \"acme-key\": \"hmac-sha1\" is refused"),
            "{text}"
        );
        let options = [SERVER, ("key-file", path), ("allow-weak", "true")].into_iter().collect();
        let provider = from_options(&options).unwrap();
        assert!(format!("{provider:?}").contains("keys: [TsigKey(acme-key. hmac-sha1)]"), "{provider:?}");
        let text = error_of(&[SERVER, ("key-file", "/nowhere/tsig.key")]);
        assert!(text.contains("cannot read the secret file /nowhere/tsig.key"), "{text}");
        file.as_file().set_len(300_000).unwrap();
        let text = error_of(&[SERVER, ("key-file", path)]);
        assert!(text.contains("has 300000 bytes and may have 262144"), "{text}");
    }

    #[test]
    fn a_weak_algorithm_is_used_only_when_the_operator_says_so() {
        let key = [("key-name", "acme-key"), ("secret", "c2VjcmV0"), ("algorithm", "hmac-sha1")];
        let options: Vec<_> = [SERVER].into_iter().chain(key).collect();
        assert!(error_of(&options).contains("or set the option `allow-weak`"));
        let options: Vec<_> = options.into_iter().chain([("allow-weak", "true")]).collect();
        assert!(from_options(&options.into_iter().collect()).is_ok());
    }

    #[test]
    fn a_bad_value_is_named_with_its_option_and_a_secret_is_not_shown() {
        for (option, value, part) in [
            ("server", "192.0.2.1:0", "a port is a number from 1 to 65535"),
            ("algorithm", "HMAC-MD5.SIG-ALG.REG.INT.", "is refused: RFC 8945 §6 forbids HMAC-MD5"),
            ("algorithm", "sha3", "use hmac-sha256"),
            ("key-name", "a..b", "is not a key name"),
            ("secret", "s3cret-s3cret", "is not base64"),
            ("zone", "a..b", "is not a domain name"),
            ("ttl", "1h", "is not a number of seconds from 0 to 2147483647"),
            ("timeout", "0", "is not a number of seconds from 1 to 300"),
            ("transport", "tls", "use udp"),
            ("key-file", "/nowhere/tsig.key", "give either a key file or `key-name`"),
            ("allow-weak", "maybe", "`true` or `false`"),
        ] {
            let key = [("key-name", "acme-key"), ("secret", "c2VjcmV0")];
            let options: Vec<_> = [SERVER].into_iter().chain(key).chain([(option, value)]).collect();
            let text = error_of(&options);
            assert!(text.starts_with(&format!("rfc2136: option `{option}`: ")), "{text}");
            assert!(text.contains(part), "{text}");
            assert!(!text.contains("s3cret") && !text.contains("c2VjcmV0"), "{text}");
        }
    }
}
