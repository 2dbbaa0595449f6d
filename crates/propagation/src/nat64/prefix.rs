//! The IPv4-embedded IPv6 address: RFC 6052 §2.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use perennial_core::Retry;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A NAT64 prefix: the IPv6 network in which a translator embeds IPv4 addresses (RFC 6052 §2.2).
///
/// Its length is one of 32, 40, 48, 56, 64 and 96 bits. The eighth octet of every embedded address (the
/// "u" octet, bits 64 to 71) is zero, and so are the bits behind the IPv4 address:
///
/// ```text
///  |PL| 0-------------32--40--48--56--64--72--80--88--96--104---------|
///  +--+---+---+---+---+---+---+---+---+---+---+---+---+
///  |32|     prefix    |v4(32)         | u | suffix                    |
///  |40|     prefix        |v4(24)     | u |(8)| suffix                |
///  |48|     prefix            |v4(16) | u | (16)  | suffix            |
///  |56|     prefix                |(8)| u |  v4(24)   | suffix        |
///  |64|     prefix                    | u |   v4(32)      | suffix    |
///  |96|     prefix                                    |    v4(32)     |
/// ```
///
/// ```
/// use perennial_propagation::nat64::Prefix;
///
/// let prefix: Prefix = "64:ff9b::/96".parse()?;
/// let address = prefix.synthesize("8.8.8.8".parse()?)?;
/// assert_eq!(address, "64:ff9b::8.8.8.8".parse::<std::net::Ipv6Addr>()?);
/// assert_eq!(prefix.extract(address), Some("8.8.8.8".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: u128,
    length: u8,
}

impl Prefix {
    /// `64:ff9b::/96`, the well-known prefix (RFC 6052 §2.1). It carries global IPv4 addresses only.
    pub const WELL_KNOWN: Self = Self { network: WELL_KNOWN, length: 96 };

    /// The six lengths of RFC 6052 §2.2, shortest first.
    pub const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

    /// The prefix of `length` bits that begins as `network` does.
    ///
    /// # Errors
    /// [`PrefixError`] when the length is none of the six, a bit behind it is set, the "u" octet of a
    /// 96-bit prefix is not zero, or the network can hold no translator (multicast, link-local, the
    /// IPv4-mapped and unspecified networks).
    pub const fn new(network: Ipv6Addr, length: u8) -> Result<Self, PrefixError> {
        let bits = network.to_bits();
        let mask = match length {
            32 | 40 | 48 | 56 | 64 | 96 => u128::MAX << (128 - length),
            _ => return Err(PrefixError::Length { length }),
        };
        if bits & !mask != 0 {
            return Err(PrefixError::HostBits { network: Ipv6Addr::from_bits(bits & mask), length });
        }
        if length == 96 && bits & U_OCTET != 0 {
            return Err(PrefixError::UOctet { network });
        }
        let link_local = bits >> 118 == 0xfe80 >> 6;
        // RFC 4291 §2.5 keeps ::/80 for `::`, `::1` and the IPv4-mapped addresses, which an operating system
        // treats as IPv4.
        if network.is_multicast() || link_local || bits >> 48 == 0 {
            return Err(PrefixError::NotUnicast { network });
        }
        Ok(Self { network: bits, length })
    }

    /// The network's first address.
    #[must_use]
    pub const fn network(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network)
    }

    /// The length in bits: 32, 40, 48, 56, 64 or 96.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a length in bits, not a number of items")]
    pub const fn len(self) -> u8 {
        self.length
    }

    /// The IPv6 address at which the translator serves `v4`.
    ///
    /// # Errors
    /// [`SynthesisError`] for an address that no translator may carry: loopback, multicast, unspecified and
    /// broadcast under any prefix (RFC 6052 §5.1 asks for the same filters as in IPv4), and under
    /// `64:ff9b::/96` every address that is not global (RFC 6052 §3.1).
    #[inline]
    pub const fn synthesize(self, v4: Ipv4Addr) -> Result<Ipv6Addr, SynthesisError> {
        if v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast() {
            return Err(SynthesisError::NotHost { v4 });
        }
        if self.network == WELL_KNOWN && !is_global(v4) {
            return Err(SynthesisError::NotGlobal { v4 });
        }
        Ok(self.embed(v4))
    }

    /// The bare layout of RFC 6052 §2.2, without the rules on which addresses may be carried:
    /// see [`synthesize`](Self::synthesize) for those.
    #[inline]
    #[must_use]
    pub const fn embed(self, v4: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network | spread(self.length, v4.to_bits()))
    }

    /// The IPv4 address that is embedded in `v6`, or `None` when `v6` lies outside this prefix, or its "u"
    /// octet or suffix is not zero.
    #[inline]
    #[must_use]
    pub const fn extract(self, v6: Ipv6Addr) -> Option<Ipv4Addr> {
        let bits = v6.to_bits();
        // The network is zero wherever the "u" octet and the suffix are, so one comparison proves all three.
        if bits & !spread(self.length, u32::MAX) == self.network {
            Some(Ipv4Addr::from_bits(gather(self.length, bits)))
        } else {
            None
        }
    }

    /// Reads `v6` as if its prefix had `length` bits; the suffix is not looked at (RFC 6052 §2.2 reserves
    /// it). `None` when the length is none of the six or the "u" octet is not zero.
    pub(crate) const fn split(v6: Ipv6Addr, length: u8) -> Option<(Self, Ipv4Addr)> {
        let bits = v6.to_bits();
        let network = match length {
            32 | 40 | 48 | 56 | 64 | 96 if bits & U_OCTET == 0 => bits & u128::MAX << (128 - length),
            _ => return None,
        };
        Some((Self { network, length }, Ipv4Addr::from_bits(gather(length, bits))))
    }
}

/// Where the 32 bits of an IPv4 address go behind a prefix of this length, split around the "u" octet.
/// A case for each length, so that every shift is a constant.
#[inline]
const fn spread(length: u8, v4: u32) -> u128 {
    let v4 = v4 as u128;
    match length {
        32 => v4 << 64,
        40 => v4 >> 8 << 64 | (v4 & 0xff) << 48,
        48 => v4 >> 16 << 64 | (v4 & 0xffff) << 40,
        56 => v4 >> 24 << 64 | (v4 & 0x00ff_ffff) << 32,
        64 => v4 << 24,
        _ => v4,
    }
}

/// The inverse of [`spread`]; whatever surrounds the address falls off.
#[inline]
const fn gather(length: u8, bits: u128) -> u32 {
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    let v4 = match length {
        32 => high,
        40 => high << 8 | low >> 48 & 0xff,
        48 => high << 16 | low >> 40 & 0xffff,
        56 => high << 24 | low >> 32 & 0x00ff_ffff,
        64 => low >> 24,
        _ => low,
    };
    v4 as u32
}

const WELL_KNOWN: u128 = 0x0064_ff9b << 96;
const U_OCTET: u128 = 0xff << 56;

/// Whether the IANA IPv4 Special-Purpose Address Registry (RFC 6890) calls the address globally reachable,
/// or does not mention it.
#[inline]
const fn is_global(v4: Ipv4Addr) -> bool {
    let [a, b, c, d] = v4.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127, ..) | (224..=255, ..) | (169, 254, _) | (192, 168, _) => true,
        (100, 64..=127, _) | (172, 16..=31, _) | (198, 18..=19, _) => true,
        // The PCP and TURN anycast addresses (RFC 7723, RFC 8155) are the two global ones in there.
        (192, 0, 0) => d != 9 && d != 10,
        (192, 0, 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !special
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || PrefixError::Syntax { text: text.chars().take(80).collect() };
        let (network, length) = text.split_once('/').ok_or_else(fault)?;
        let length = match length.as_bytes() {
            [b'0'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => length.parse(),
            _ => return Err(fault()),
        };
        Self::new(network.parse().map_err(|_| fault())?, length.map_err(|_| fault())?)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text or network that is no NAT64 prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// Bits behind the prefix are set.
    #[error("the network has bits set behind its first {length}; did you mean {network}/{length}?")]
    HostBits {
        /// The network with those bits cleared.
        network: Ipv6Addr,
        /// The length in bits.
        length: u8,
    },
    /// None of the six lengths.
    #[error("a NAT64 prefix has 32, 40, 48, 56, 64 or 96 bits, not {length} (RFC 6052 §2.2)")]
    Length {
        /// The length in bits.
        length: u8,
    },
    /// A network in which no translator can live.
    #[error("{network} is no unicast network that a translator could serve (RFC 4291 §2.5)")]
    NotUnicast {
        /// The network.
        network: Ipv6Addr,
    },
    /// Not `ADDRESS/LENGTH`.
    #[error("{text:?} is not a NAT64 prefix; write it as 64:ff9b::/96")]
    Syntax {
        /// The text, cut at 80 characters.
        text: String,
    },
    /// Bits 64 to 71 of a 96-bit prefix are set.
    #[error("bits 64 to 71 of the prefix {network}/96 are not zero (RFC 6052 §2.2)")]
    UOctet {
        /// The network.
        network: Ipv6Addr,
    },
}

impl PrefixError {
    /// Never: the text has to be mended.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// An IPv4 address that must not be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SynthesisError {
    /// Not a global address, under the well-known prefix.
    #[error(
        "{v4} is not a global IPv4 address, and translators drop such under 64:ff9b::/96 (RFC 6052 §3.1); give \
         the network's own prefix, or one from 64:ff9b:1::/48 if it uses that (RFC 8215)"
    )]
    NotGlobal {
        /// The address.
        v4: Ipv4Addr,
    },
    /// No host has this address.
    #[error(
        "{v4} is a loopback, multicast, unspecified or broadcast address: it names no host behind a translator"
    )]
    NotHost {
        /// The address.
        v4: Ipv4Addr,
    },
}

impl SynthesisError {
    /// Never: another address or prefix is needed.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn v4(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn rfc6052_2_4_table_1() {
        for (network, address) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ] {
            assert_eq!(prefix(network).synthesize(v4("192.0.2.33")), Ok(v6(address)), "{network}");
            assert_eq!(prefix(network).extract(v6(address)), Some(v4("192.0.2.33")), "{network}");
        }
    }

    #[test]
    fn rfc6052_2_4_table_2() {
        // The table shows the layout with a documentation address, which §3.1 forbids to carry.
        assert_eq!(Prefix::WELL_KNOWN.embed(v4("192.0.2.33")), v6("64:ff9b::192.0.2.33"));
        assert_eq!(Prefix::WELL_KNOWN.extract(v6("64:ff9b::192.0.2.33")), Some(v4("192.0.2.33")));
        assert_eq!(prefix("64:ff9b::/96"), Prefix::WELL_KNOWN);
    }

    #[test]
    fn the_well_known_prefix_carries_global_addresses_only() {
        for local in [
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "240.0.0.1",
        ] {
            assert_eq!(
                Prefix::WELL_KNOWN.synthesize(v4(local)),
                Err(SynthesisError::NotGlobal { v4: v4(local) })
            );
            assert!(prefix("64:ff9b:1:fffe::/96").synthesize(v4(local)).is_ok(), "{local}");
        }
        for global in
            ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.0", "192.0.0.9", "198.20.0.0"]
        {
            assert!(Prefix::WELL_KNOWN.synthesize(v4(global)).is_ok(), "{global}");
        }
        let text = Prefix::WELL_KNOWN.synthesize(v4("10.0.0.1")).unwrap_err().to_string();
        assert!(text.contains("10.0.0.1") && text.contains("RFC 8215"), "{text}");
    }

    #[test]
    fn no_prefix_carries_addresses_of_no_host() {
        for nobody in ["0.0.0.0", "127.0.0.1", "127.255.0.1", "224.0.0.251", "239.1.2.3", "255.255.255.255"] {
            for network in ["64:ff9b::/96", "2001:db8::/32"] {
                let error = prefix(network).synthesize(v4(nobody));
                assert_eq!(error, Err(SynthesisError::NotHost { v4: v4(nobody) }));
            }
        }
    }

    #[test]
    fn extraction_refuses_other_networks_u_octets_and_suffixes() {
        let prefix = prefix("2001:db8:122:344::/64");
        assert_eq!(prefix.extract(v6("2001:db8:122:345:c0:2:2100::")), None);
        assert_eq!(prefix.extract(v6("2001:db8:122:344:1c0:2:2100::")), None);
        assert_eq!(prefix.extract(v6("2001:db8:122:344:c0:2:2100:1")), None);
        assert_eq!(Prefix::WELL_KNOWN.extract(v6("64:ff9b:1::8.8.8.8")), None);
    }

    #[test]
    fn each_bad_prefix_has_its_own_word() {
        let error = |text: &str| text.parse::<Prefix>().unwrap_err();
        assert_eq!(error("64:ff9b::/95"), PrefixError::Length { length: 95 });
        assert_eq!(error("64:ff9b::1/96"), PrefixError::HostBits { network: v6("64:ff9b::"), length: 96 });
        assert_eq!(
            error("2001:db8:122:344:100::/96"),
            PrefixError::UOctet { network: v6("2001:db8:122:344:100::") }
        );
        for network in ["ff02::/64", "fe80::/64", "::/96", "::/32", "::ffff:0:0/96"] {
            assert!(matches!(error(network), PrefixError::NotUnicast { .. }), "{network}");
        }
        for text in
            ["", "64:ff9b::", "64:ff9b::/", "64:ff9b::/+96", "64:ff9b::/ 96", "64:ff9b::/961", "8.8.8.8/32"]
        {
            assert!(matches!(error(text), PrefixError::Syntax { .. }), "{text}");
        }
    }

    fn any_prefix() -> impl Strategy<Value = Prefix> {
        (any::<u128>(), 0..6_usize).prop_filter_map("no translator there", |(bits, which)| {
            let length = Prefix::LENGTHS[which];
            let network = bits & u128::MAX << (128 - length) & !U_OCTET;
            Prefix::new(Ipv6Addr::from_bits(network), length).ok()
        })
    }

    proptest! {
        #[test]
        fn what_is_embedded_comes_out_again(prefix in any_prefix(), bits in any::<u32>()) {
            let v4 = Ipv4Addr::from_bits(bits);
            let v6 = prefix.embed(v4);
            prop_assert_eq!(prefix.extract(v6), Some(v4));
            prop_assert_eq!(v6.octets()[8], 0);
            prop_assert_eq!(Prefix::split(v6, prefix.len()), Some((prefix, v4)));
        }

        #[test]
        fn prefixes_round_trip_as_text(prefix in any_prefix()) {
            prop_assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix);
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:./]{0,30}|.{0,30}") {
            let _ = text.parse::<Prefix>();
        }
    }
}
