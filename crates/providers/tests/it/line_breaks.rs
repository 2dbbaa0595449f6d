//! A line break that came along with a secret: the commonest reason why a credential is "invalid".

use perennial_providers::{Error, Options, Registry};

/// The secret, as an editor or a terminal leaves it.
const PASTED: &str = "s3cret-0f-the\nacc0unt";

/// A kind, its other options, and those that are secrets.
type Kind = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

/// Every kind that has secrets, for each way to an account, with what else it cannot do without, and its secrets as they are good.
const KINDS: [Kind; 31] = [
    ("akamai", &[("host", "akab-h.luna.akamaiapis.net")], &["client-token", "client-secret", "access-token"]),
    ("alidns", &[("access-key-id", "LTAI")], &["access-key-secret", "security-token"]),
    ("azure", &[("subscription-id", "0"), ("tenant-id", "t"), ("client-id", "c")], &["client-secret"]),
    ("bunny", &[], &["access-key"]),
    ("cloudflare", &[], &["token", "zone-token"]),
    ("desec", &[], &["token"]),
    ("digitalocean", &[], &["token"]),
    ("dnsimple", &[], &["token"]),
    ("dnspod", &[("secret-id", "AKID")], &["secret-key", "token"]),
    ("duckdns", &[], &["token"]),
    ("gandi", &[], &["token"]),
    ("godaddy", &[], &["token"]),
    ("google", &[], &["service-account"]),
    ("hetzner", &[], &["token"]),
    ("httpreq", &[("endpoint", "https://hook.example"), ("user", "u")], &["password"]),
    ("infoblox", &[("base-url", "https://grid.example"), ("user", "u")], &["password"]),
    ("inwx", &[("user", "u")], &["password", "shared-secret"]),
    ("ionos", &[], &["api-key"]),
    ("linode", &[], &["token"]),
    ("namecheap", &[("user", "u"), ("client-ip", "192.0.2.1")], &["api-key"]),
    ("netcup", &[("customer-number", "1")], &["api-key", "api-password"]),
    ("ns1", &[], &["api-key"]),
    ("ovh", &[("application-key", "k")], &["application-secret", "consumer-key"]),
    ("ovh", &[("client-id", "a")], &["client-secret"]),
    ("porkbun", &[], &["api-key", "secret-api-key"]),
    ("powerdns", &[("base-url", "https://pdns.example")], &["key"]),
    ("rfc2136", &[("server", "192.0.2.1"), ("key-name", "k")], &["secret"]),
    ("route53", &[("access-key-id", "AKIA")], &["secret-access-key", "session-token"]),
    ("scaleway", &[], &["secret-key"]),
    ("vultr", &[], &["token"]),
    ("webhook", &[("url", "https://hook.example/a"), ("zone", "example.com")], &["token"]),
];

/// What is said of it; that of Google is JSON, which may have lines.
fn says(option: &str) -> &'static str {
    if option == "service-account" { "it is not the JSON of a service account's key" } else { "line break" }
}

#[test]
fn a_line_break_in_any_secret_is_told_with_its_option_and_never_with_the_secret() {
    let registry = Registry::standard();
    for (kind, others, secrets) in KINDS {
        for bad in secrets {
            let mut options: Options = others.iter().copied().collect();
            for secret in secrets {
                options = options.with(*secret, if secret == bad { PASTED } else { "ABCDEFGHIJKLMNOP" });
            }
            let error = registry.create(kind, &options).map(drop).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::Config(_)), "{error:?}");
            assert!(text.starts_with(&format!("{kind}: option `{bad}`: ")), "{text}");
            assert!(text.contains(says(bad)), "{kind} {bad}: {text}");
            assert!(!format!("{text} {error:?}").contains("s3cret"), "{text}");
            assert!(!text.contains("acc0unt"), "{text}");
        }
    }
}

#[test]
fn no_kind_has_a_secret_that_is_not_asked_about() {
    for (kind, factory) in Registry::standard().kinds() {
        for option in factory.options().iter().filter(|option| option.secret) {
            let is_asked =
                KINDS.iter().any(|(other, _, secrets)| *other == kind && secrets.contains(&option.name));
            assert!(is_asked, "{kind} has `{}`", option.name);
        }
    }
}
