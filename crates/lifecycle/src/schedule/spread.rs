//! A fixed place for each certificate, so that a fleet does not move as one.

use std::time::Duration;

use ring::digest;

use crate::CertificateId;

/// Where in a fleet's spread a certificate stands: a fixed fraction in 0..1 derived from its id.
///
/// Fixed, so that restarts and replicas agree; derived by SHA-256, so that ids that differ by a digit land
/// far apart. Ten thousand certificates imported in one minute are renewed over days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread(pub(super) u16);

impl Spread {
    /// No spread: due exactly when the policy says.
    pub const NONE: Self = Self(0);

    /// As many stand before it as behind it.
    pub(super) const MIDDLE: Self = Self(1 << 15);

    /// A place by its number, of 65 536: for simulations and tests.
    #[must_use]
    pub const fn at(place: u16) -> Self {
        Self(place)
    }

    /// The place of this certificate.
    #[must_use]
    pub fn of(id: &CertificateId) -> Self {
        let digest = digest::digest(&digest::SHA256, id.as_str().as_bytes());
        match digest.as_ref() {
            [high, low, ..] => Self(u16::from_be_bytes([*high, *low])),
            _ => Self::NONE,
        }
    }

    /// The place of a certificate by its fingerprint, in hex: another one for each that is issued.
    pub(crate) fn of_fingerprint(hex: &str) -> Self {
        let digits = hex.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        digits.map_or(Self::NONE, Self)
    }

    /// The fraction of `width`.
    pub(crate) fn of_width(self, width: Duration) -> Duration {
        Duration::from_secs(
            width.as_secs() / 65_536 * u64::from(self.0)
                + width.as_secs() % 65_536 * u64::from(self.0) / 65_536,
        )
    }
}
