//! Where in a Vault something is: pure.

/// Where certificates are signed: a mount of the PKI engine and a role of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignPath {
    mount: String,
    whole: String,
}

impl SignPath {
    /// Reads `pki_int/sign/web`, or `pki_int/issuer/2026/sign/web` where one of several issuers is meant.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let whole = plain(text)?;
        let segments: Vec<&str> = whole.split('/').collect();
        let mount = match segments.as_slice() {
            [mount @ .., "issuer", _, "sign", _] | [mount @ .., "sign", _] if !mount.is_empty() => mount,
            _ => {
                return Err(format!(
                    "{text:?} is no path to sign at: it has the form MOUNT/sign/ROLE or MOUNT/issuer/ISSUER/sign/ROLE"
                ));
            }
        };
        Ok(Self { mount: mount.join("/"), whole })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.whole
    }

    /// Where the same mount revokes.
    pub(super) fn revoke(&self) -> String {
        format!("{}/revoke", self.mount)
    }
}

/// Segments that go into a URL as they are, without a slash at either end.
///
/// What has a meaning of its own there is refused: `..` would lead to another path than the one that a person has
/// read in the configuration, with our token.
pub(super) fn plain(text: &str) -> Result<String, String> {
    let trimmed = text.trim_matches('/');
    let fits = |segment: &str| {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:+".contains(&byte);
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(harmless)
    };
    if trimmed.split('/').all(fits) {
        return Ok(trimmed.to_owned());
    }
    Err(format!("{text:?} is no path: use letters, digits and -_.@:+ between single slashes, and no .."))
}

/// Where the server is: `https://host:port`, with a path before `/v1` where a proxy has put it below one.
pub(super) fn address(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("{text:?} is no address of a Vault: {why}"));
    let Ok(uri) = text.parse::<http::Uri>() else {
        return refused("give a URL such as https://vault.example:8200");
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return refused("give a URL such as https://vault.example:8200");
    };
    if authority.as_str().contains('@') {
        // Not shown: what stands before an @ is often a password.
        return Err(
            "the address of the Vault holds a user name: give credentials to `auth` instead".to_owned()
        );
    }
    if uri.query().is_some() {
        return refused("leave the query away");
    }
    let path = uri.path().trim_end_matches('/').trim_end_matches("/v1");
    if path.is_empty() {
        return Ok(format!("{scheme}://{authority}"));
    }
    Ok(format!("{scheme}://{authority}/{}", plain(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_names_a_mount_and_a_role() {
        for (text, mount) in [
            ("pki/sign/web", "pki"),
            ("/pki_int/sign/web/", "pki_int"),
            ("team/pki/sign/web", "team/pki"),
            ("pki/issuer/2026/sign/web", "pki"),
            ("sign/sign/sign", "sign"),
        ] {
            let path = SignPath::parse(text).unwrap();
            assert_eq!(path.as_str(), text.trim_matches('/'));
            assert_eq!(path.revoke(), format!("{mount}/revoke"), "{text}");
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for text in [
            "",
            "/",
            "pki",
            "pki/issue/web",
            "pki/sign",
            "sign/web",
            "pki/../sys/sign/web",
            "pki/./sign/web",
            "pki//sign/web",
            "pki/sign/we b",
            "pki/sign/web?x=1",
            "pki/sign/%2e%2e",
            "pki/sign/web#x",
            "pki/sign/web\r\nx",
            "pki\\sign\\web",
        ] {
            assert!(SignPath::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_a_url_without_credentials() {
        assert_eq!(address("https://v.example:8200/").unwrap(), "https://v.example:8200");
        assert_eq!(address("https://v.example/v1/").unwrap(), "https://v.example");
        assert_eq!(address("https://v.example/bao").unwrap(), "https://v.example/bao");
        for text in ["", "v.example:8200", "/v1", "https://v.example/?a=b", "https://v.example/../x"] {
            assert!(address(text).is_err(), "{text}");
        }
        let error = address("https://ops:hunter2@v.example/").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_taken_has_nothing_in_it_that_a_url_reads(text in ".{0,60}") {
            let _ = address(&text);
            if let Ok(path) = SignPath::parse(&text) {
                prop_assert!(!path.as_str().split('/').any(|part| part.is_empty() || part == ".."));
                prop_assert!(!path.as_str().contains(['?', '#', '%', '\\', ' ']));
            }
        }
    }
}
