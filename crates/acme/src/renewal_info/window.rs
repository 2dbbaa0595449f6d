//! The window in which a certificate should be renewed (RFC 9773 §4.2).

use std::time::Duration;

use perennial_core::Timestamp;

/// From when until when a CA wants a certificate renewed; its end is after its start.
///
/// ```
/// use perennial_acme::RenewalWindow;
/// use perennial_core::Timestamp;
///
/// let at = |text: &str| text.parse::<Timestamp>();
/// let window = RenewalWindow::new(at("2026-11-21T00:00:00Z")?, at("2026-11-23T00:00:00Z")?).expect("two days");
/// let noon_before = at("2026-11-20T12:00:00Z")?;
/// assert_eq!(window.moment(0.25, noon_before), at("2026-11-21T12:00:00Z")?);
/// // A moment that has passed is now.
/// let late = at("2026-11-22T12:00:00Z")?;
/// assert_eq!(window.moment(0.25, late), late);
/// # Ok::<(), perennial_core::TimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RenewalWindow {
    start: Timestamp,
    end: Timestamp,
}

impl RenewalWindow {
    /// The window between two moments; `None` when the end is not after the start.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first moment.
    #[must_use]
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// The first moment that is too late.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// When to renew: the moment at that fraction of the window, or `now` if that has passed.
    ///
    /// RFC 9773 §4.2 wants it uniformly random, so that the certificates of a CA do not all come in the same
    /// minute: give a random number from 0 up to 1, or one that is derived from the certificate and so stays
    /// the same. Keep the moment as long as the window stays the same: who draws again with every look is
    /// drawn towards the end. What is not from 0 to 1 is brought there.
    ///
    /// A program that cannot wake at that moment, but only at a later one of its own, renews now if the
    /// moment is before that.
    #[must_use]
    pub fn moment(&self, fraction: f64, now: Timestamp) -> Timestamp {
        let width = self.start.until(self.end).as_secs();
        // Truncated on purpose: the end itself is outside. Windows of 2^53 seconds are not told apart.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let offset = (fraction.clamp(0.0, 1.0) * width as f64) as u64;
        (self.start + Duration::from_secs(offset.min(width - 1))).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(start: i64, end: i64) -> Option<RenewalWindow> {
        RenewalWindow::new(Timestamp::from_unix(start), Timestamp::from_unix(end))
    }

    #[test]
    fn a_window_ends_after_its_start() {
        assert_eq!(window(10, 10), None);
        assert_eq!(window(10, 9), None);
        assert!(window(10, 11).is_some());
    }

    #[test]
    fn the_ends_of_the_fraction_are_the_ends_of_the_window_and_the_past_is_now() {
        let (window, now) = (window(1000, 2000).unwrap(), Timestamp::from_unix(500));
        let moment = |fraction| window.moment(fraction, now).unix();
        assert_eq!([0.0, 0.5, 1.0].map(moment), [1000, 1500, 1999]);
        assert_eq!([f64::NAN, -1.0, f64::INFINITY].map(moment), [1000, 1000, 1999]);
        assert_eq!(window.moment(0.5, Timestamp::from_unix(1600)).unix(), 1600);
        assert_eq!(window.moment(0.5, Timestamp::from_unix(9999)).unix(), 9999);
    }

    proptest! {
        #[test]
        fn the_moment_is_in_the_window_or_now(
            start in any::<i64>(),
            end in any::<i64>(),
            fraction in any::<f64>(),
            now in any::<i64>(),
        ) {
            let now = Timestamp::from_unix(now);
            if let Some(window) = window(start, end) {
                let moment = window.moment(fraction, now);
                prop_assert!(moment == now || (window.start() <= moment && moment < window.end()));
                prop_assert!(moment >= now);
            }
        }
    }
}
