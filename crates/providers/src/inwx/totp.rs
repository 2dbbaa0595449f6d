//! The second factor: a number of six digits that the time and a shared secret make (RFC 6238).

use data_encoding::BASE32_NOPAD;
use perennial_core::{SecretBytes, Timestamp};
use ring::hmac;

/// RFC 6238 §5.2: the time step that everybody uses.
const STEP: i64 = 30;

/// The number of the time step.
pub(super) fn step(now: Timestamp) -> u64 {
    u64::try_from(now.unix() / STEP).unwrap_or_default()
}

/// When the step after this one begins.
pub(super) fn next(step: u64) -> Timestamp {
    Timestamp::from_unix(i64::try_from(step.saturating_add(1)).unwrap_or(i64::MAX).saturating_mul(STEP))
}

/// The secret as apps show it: base32, in groups, in upper or lower case, with or without its padding.
pub(super) fn secret(text: &str) -> Option<SecretBytes> {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '=')).collect();
    let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
    (!bytes.is_empty()).then(|| bytes.into())
}

/// The number of a step (RFC 4226 §5.3).
pub(super) fn tan(secret: &SecretBytes, step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 0x0f);
    let four: [u8; 4] =
        bytes.get(offset..offset + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6238_appendix_b() {
        let secret = SecretBytes::new(*b"12345678901234567890");
        // The RFC prints eight digits.
        for (seconds, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(tan(&secret, step(Timestamp::from_unix(seconds))), eight[2..]);
        }
    }

    #[test]
    fn a_secret_is_read_as_apps_show_it() {
        let secrets: Vec<_> = ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "JBSWY3DPEHPK3PXP======"]
            .map(|text| secret(text).map(|secret| secret.expose().to_vec()))
            .into();
        assert_eq!(secrets, vec![Some(b"Hello!\xde\xad\xbe\xef".to_vec()); 3]);
        assert!(secret("").is_none() && secret("0189").is_none());
    }

    #[test]
    fn a_step_ends_where_the_next_one_begins() {
        let now = Timestamp::from_unix(1_800_000_010);
        assert_eq!(next(step(now)), Timestamp::from_unix(1_800_000_030));
        assert_eq!(step(next(step(now))), step(now) + 1);
    }
}
