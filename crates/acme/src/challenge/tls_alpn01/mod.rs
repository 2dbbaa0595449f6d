//! tls-alpn-01 (RFC 8737): a self-signed certificate on port 443.
//!
//! The server opens a TLS connection that offers one application protocol, [`PROTOCOL`], and names the host
//! in SNI. It wants the certificate that `certificate` makes (feature `rcgen`), and that the same protocol is
//! chosen. A TLS server therefore picks its certificate by the protocols that are offered, and sends nothing
//! after the handshake. An IP address (RFC 8738 §6) is proven the same way under its [`server_name`]; a
//! wildcard cannot be.

#[cfg(feature = "rcgen")]
mod certificate;
#[cfg(feature = "rcgen")]
pub use certificate::{ValidationCertificate, certificate, certificate_of_digest};

use std::net::IpAddr;

use perennial_core::DomainName;
use ring::digest::{SHA256, digest};

use super::KeyAuthorization;
use crate::Identifier;

/// The protocol that the server offers and wants chosen, as ALPN (RFC 7301) has it.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// The object identifier of the certificate's extension, `id-pe-acmeIdentifier`.
pub const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// What the extension holds: the SHA-256 of the key authorization.
#[must_use]
pub fn digest_of(key_authorization: &KeyAuthorization) -> [u8; 32] {
    let hash = digest(&SHA256, key_authorization.as_str().as_bytes());
    let mut octets = [0; 32];
    octets.copy_from_slice(hash.as_ref());
    octets
}

/// The value of the extension, which is critical: the digest as an OCTET STRING in DER.
///
/// For those who make the certificate with another library.
#[must_use]
pub fn extension_value(key_authorization: &KeyAuthorization) -> [u8; 34] {
    let mut value = [0; 34];
    let (head, octets) = value.split_at_mut(2);
    head.copy_from_slice(&[0x04, 0x20]); // OCTET STRING of 32 octets (X.690 §8.7)
    octets.copy_from_slice(&digest_of(key_authorization));
    value
}

/// What the server sends as the name of the host: the DNS name itself, or for an address the name of its
/// reverse mapping (RFC 8738 §6), as SNI has no room for addresses.
///
/// `None` for an identifier that is neither, or for a wildcard.
///
/// ```
/// use perennial_acme::{Identifier, challenge::tls_alpn01};
///
/// let address = Identifier::Ip("192.0.2.7".parse()?);
/// assert_eq!(tls_alpn01::server_name(&address).unwrap().as_str(), "7.2.0.192.in-addr.arpa");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn server_name(identifier: &Identifier) -> Option<DomainName> {
    match identifier {
        Identifier::Dns(name) if !name.is_wildcard() => Some(name.clone()),
        Identifier::Ip(address) => DomainName::parse(&reverse_name(*address)).ok(),
        Identifier::Dns(_) | Identifier::Unknown { .. } => None,
    }
}

/// RFC 1035 §3.5 for IPv4, RFC 3596 §2.5 for IPv6.
fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let labels = nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>();
            format!("{labels}ip6.arpa")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc8737_3_the_extension_holds_the_hash_of_the_key_authorization() {
        let token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
        let authorization = KeyAuthorization(format!("{token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"));
        let value = extension_value(&authorization);
        // The hash of dns-01's test, in hexadecimal: computed with Python's hashlib.
        let hex: String = value.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(hex, "04202cfb08c13a3ba3c0681b4faf8c2c8640605649520fc48fa2fd7df7e9e50e419a");
    }

    #[test]
    fn rfc8738_6_an_address_is_named_by_its_reverse_mapping() {
        let name = |text: &str| server_name(&Identifier::Ip(text.parse().unwrap())).unwrap().to_string();
        assert_eq!(name("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        assert_eq!(
            name("2001:db8::1"),
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn a_dns_name_names_itself_and_a_wildcard_cannot_be_proven() {
        let name: DomainName = "www.example.org".parse().unwrap();
        assert_eq!(server_name(&Identifier::from(&name)), Some(name));
        let wildcard: DomainName = "*.example.org".parse().unwrap();
        assert_eq!(server_name(&Identifier::from(&wildcard)), None);
        assert_eq!(server_name(&Identifier::other("email", "a@example.org")), None);
    }
}
