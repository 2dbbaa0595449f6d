//! http-01 (RFC 8555 §8.3): a file on port 80.
//!
//! The server fetches [`url`] from every address of the name, follows redirects, and wants the key
//! authorization as the body, [`CONTENT_TYPE`] or not. An IP address (RFC 8738 §4) is proven the same way, at
//! the address itself; a wildcard cannot be.

use crate::{
    Identifier, Thumbprint,
    challenge::{KeyAuthorization, Token},
};

/// Where all proofs are (RFC 8615 registers it), with the slash before the token.
pub const DIRECTORY: &str = "/.well-known/acme-challenge/";

/// What RFC 8555 §8.3 serves the proof as. Servers have to take any.
pub const CONTENT_TYPE: &str = "application/octet-stream";

/// The path at which the key authorization is served. It holds nothing but letters, digits, `-`, `_`, `.` and
/// `/`: a [`Token`] has no room for `../`.
///
/// ```
/// use perennial_acme::challenge::{Token, http01};
///
/// let token = Token::parse("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA")?;
/// assert_eq!(
///     http01::path(&token),
///     "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
/// );
/// # Ok::<(), perennial_acme::challenge::TokenFault>(())
/// ```
#[must_use]
pub fn path(token: &Token) -> String {
    format!("{DIRECTORY}{}", token.as_str())
}

/// What the server fetches: port 80, the name or the address as the host. For a look of one's own before the
/// challenge is answered.
///
/// `None` for an identifier that is neither a DNS name nor an address, or for a wildcard.
#[must_use]
pub fn url(identifier: &Identifier, token: &Token) -> Option<String> {
    let host = match identifier {
        Identifier::Dns(name) if !name.is_wildcard() => name.to_string(),
        Identifier::Ip(address) if address.is_ipv6() => format!("[{address}]"),
        Identifier::Ip(address) => address.to_string(),
        Identifier::Dns(_) | Identifier::Unknown { .. } => return None,
    };
    Some(format!("http://{host}{}", path(token)))
}

/// The answer to a request for `path`, for a server that keeps no list of challenges: the key's thumbprint is
/// enough to prove whatever the account asks for.
///
/// `None` when the path is no challenge's, or its token is none: answer 404. What is served is the token that
/// was asked for and the thumbprint, so serve it as [`CONTENT_TYPE`], never as HTML.
///
/// Whoever uses this agrees ahead to every order of the account for the names that this server serves. Prefer
/// a list where several accounts' holders share a server.
#[must_use]
pub fn answer(path: &str, thumbprint: &Thumbprint) -> Option<KeyAuthorization> {
    let token = Token::parse(path.strip_prefix(DIRECTORY)?).ok()?;
    Some(KeyAuthorization::new(&token, thumbprint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Jwk;
    use perennial_core::DomainName;
    use proptest::prelude::*;

    const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

    fn token() -> Token {
        Token::parse(TOKEN).unwrap()
    }

    #[test]
    fn rfc8555_8_3_the_url_is_built_of_host_and_token() {
        let name = Identifier::Dns("www.example.org".parse().unwrap());
        assert_eq!(
            url(&name, &token()).unwrap(),
            format!("http://www.example.org/.well-known/acme-challenge/{TOKEN}")
        );
    }

    #[test]
    fn rfc8738_4_an_address_is_the_host_itself_and_ipv6_is_in_brackets() {
        let host = |text: &str| url(&Identifier::Ip(text.parse().unwrap()), &token()).unwrap();
        assert!(host("192.0.2.7").starts_with("http://192.0.2.7/.well-known/"));
        assert!(host("2001:DB8::1").starts_with("http://[2001:db8::1]/.well-known/"));
    }

    #[test]
    fn wildcards_and_other_kinds_have_no_url() {
        let wildcard = Identifier::from("*.example.org".parse::<DomainName>().unwrap());
        assert_eq!(url(&wildcard, &token()), None);
        assert_eq!(url(&Identifier::other("email", "a@example.org"), &token()), None);
    }

    #[test]
    fn a_server_without_a_list_answers_every_token_and_nothing_else() {
        let thumbprint = Jwk::ed25519([7; 32]).thumbprint();
        let served = answer(&path(&token()), &thumbprint).unwrap();
        assert_eq!(served.as_str(), format!("{TOKEN}.{thumbprint}"));
        let script = "/.well-known/acme-challenge/<script>alert(1)</script>";
        for path in
            ["/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/../../etc/passwd", script]
        {
            assert_eq!(answer(path, &thumbprint), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics_or_becomes_more_than_a_token(path in "(/.well-known/acme-challenge/)?.{0,60}") {
            if let Some(served) = answer(&path, &Jwk::ed25519([7; 32]).thumbprint()) {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                prop_assert!(served.as_str().bytes().all(plain));
            }
        }
    }
}
