//! Nonces: RFC 8555 §6.5.

use std::collections::{HashSet, VecDeque};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// The nonces that were given out and not used.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    valid: HashSet<String>,
    /// Oldest first; used ones are left in until they are old.
    order: VecDeque<String>,
}

impl Nonces {
    pub(super) fn issue(&mut self) -> String {
        let nonce = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        self.valid.insert(nonce.clone());
        self.order.push_back(nonce.clone());
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.valid.remove(&oldest);
        }
        nonce
    }

    /// The oldest nonce that is remembered, used or not.
    pub(super) fn oldest(&self) -> &str {
        self.order.front().map_or("", String::as_str)
    }

    /// Whether the nonce was good; it is used up either way.
    pub(super) fn redeem(&mut self, nonce: &str) -> bool {
        self.valid.remove(nonce)
    }
}

/// A program that never uses what it fetches must not eat the memory.
const MOST: usize = 100_000;
