//! How vendors want requests signed: one file a scheme, all of them pure.
//!
//! A scheme takes a whole request and puts its headers in; the time, and the nonce where there is one, come in
//! as values. Nothing may change in the request between here and the wire: sign last, and sign again before each
//! attempt.
//!
//! | module | scheme | who wants it |
//! |---|---|---|
//! | [`acs3`] | `ACS3-HMAC-SHA256` | Alibaba Cloud |
//! | [`eg1`] | `EG1-HMAC-SHA256`, EdgeGrid | Akamai |
//! | [`jwt`] | a JSON Web Token with RS256 (RFC 7515, RFC 7518 §3.3) | Google's service accounts |
//! | [`ovh`] | `$1$` and SHA-1 | OVHcloud |
//! | [`sigv4`] | Signature Version 4 | AWS and what is compatible |
//! | [`tc3`] | `TC3-HMAC-SHA256` | Tencent Cloud |
//!
//! Each is held against signatures that the vendor's own library made: see `tests/vectors`.
//!
//! Where a signature cannot be put into a header, it is because an identifier or a token has a character that no
//! header may carry, nearly always a line break from a file; the error is `http`'s own.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header::InvalidHeaderValue};
use ring::{digest, hmac};

pub mod acs3;

mod canonical;
use canonical::CanonicalRequest;

pub mod eg1;

pub mod jwt;

pub mod ovh;

pub mod sigv4;

pub mod tc3;

/// Puts in a header that says who asks; it replaces one of an earlier attempt. Its value is kept from `Debug`.
fn insert_sensitive(
    request: &mut Request<Bytes>,
    name: impl Into<HeaderName>,
    value: &str,
) -> Result<(), InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(value)?;
    value.set_sensitive(true);
    request.headers_mut().insert(name.into(), value);
    Ok(())
}

/// Puts in a header that anybody may see, in place of one of an earlier attempt.
fn insert(request: &mut Request<Bytes>, name: &'static str, value: &str) -> Result<(), InvalidHeaderValue> {
    request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
    Ok(())
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message)
}

/// The value of `Host` as clients send it (RFC 9110 §7.2): lower case, without user and password, and without
/// the port that the scheme has anyway.
fn host(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let usual = match uri.scheme_str() {
        Some("http") => 80,
        _ => 443,
    };
    match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_a_client_sends() {
        for (uri, expected) in [
            ("https://Route53.amazonaws.com/", "route53.amazonaws.com"),
            ("https://route53.amazonaws.com:443/", "route53.amazonaws.com"),
            ("https://user:secret@route53.example:444/", "route53.example:444"),
            ("http://127.0.0.1:80/", "127.0.0.1"),
            ("http://[::1]:8080/", "[::1]:8080"),
        ] {
            assert_eq!(host(&uri.parse().unwrap()), expected);
        }
    }
}
