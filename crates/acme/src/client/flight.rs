//! One order at a time for the same names.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use futures_util::lock::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::Account;
use crate::{Identifier, NewOrder};

/// What makes two orders the same to a CA: account, names and profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    account: String,
    identifiers: Vec<Identifier>,
    profile: Option<String>,
}

/// The orders under way at one server.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Weak<AsyncMutex<()>>>>);

impl Flights {
    fn lane(&self, key: Key) -> Arc<AsyncMutex<()>> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&key).and_then(Weak::upgrade) {
            return lane;
        }
        // Those that nobody waits for any more would add up in a process that lives for years.
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(AsyncMutex::new(()));
        lanes.insert(key, Arc::downgrade(&lane));
        lane
    }
}

/// The right to have an order for certain names under way; given back when dropped.
#[must_use = "dropped at once, it keeps nobody away"]
pub struct Flight(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flight")
    }
}

impl Account {
    /// Waits until nobody else with this client has an order under way for the same account, names and profile, and
    /// keeps others away until the result is dropped.
    ///
    /// A CA answers a second newOrder for the same names with the order that is there (RFC 8555 §7.4 allows it, and
    /// the largest does): two walks would then send two signing requests to one order, and one of them would get a
    /// certificate for the other's key. Hold it from before the order is placed until the certificate is fetched.
    pub async fn flight(&self, request: &NewOrder) -> Flight {
        let mut identifiers = request.identifiers().to_vec();
        identifiers.sort();
        let profile = request.asked_profile().map(str::to_owned);
        let key = Key { account: self.url().to_owned(), identifiers, profile };
        Flight(self.client().flights.lane(key).lock_owned().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        let identifiers = vec![Identifier::Dns(name.parse().unwrap())];
        Key { account: "https://ca.example/acct/1".to_owned(), identifiers, profile: None }
    }

    #[test]
    fn the_same_order_has_one_lane_and_lanes_that_nobody_uses_are_forgotten() {
        let flights = Flights::default();
        let lane = flights.lane(key("example.org"));
        assert!(Arc::ptr_eq(&lane, &flights.lane(key("example.org"))));
        assert!(!Arc::ptr_eq(&lane, &flights.lane(key("example.com"))));
        drop(lane);
        let _other = flights.lane(key("example.net"));
        assert_eq!(flights.0.lock().unwrap().len(), 1);
    }
}
