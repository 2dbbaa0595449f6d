//! How a provider for dynamic updates is put together.

use std::{path::Path, sync::Arc, time::Duration};

use perennial_core::{Clock, DomainName};

use super::{
    Algorithm, KeyFileError, Rfc2136, Transport, TsigKey, TsigKeyError, keys::Keys, sockets::Sockets,
    tsig::Weak,
};
use crate::vendor::Credential;

/// A provider in the making: see [`Rfc2136::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Rfc2136Builder(pub(super) Rfc2136);

impl Rfc2136Builder {
    /// A key that signs. Without one, nothing is signed: for servers that go by the sender's address, which
    /// anybody on the same network can forge.
    ///
    /// A second call adds a second key, which is tried when the server refuses the first: while keys are
    /// changed, both are given.
    pub fn key(mut self, key: TsigKey) -> Self {
        Arc::make_mut(&mut self.0.keys).add(key);
        self
    }

    /// The keys of a file ([`TsigKey::from_file`]), which is read again when the server refuses all of them: a
    /// new key needs no restart. They take the place of keys that were given before.
    ///
    /// # Errors
    /// [`KeyFileError`], which never shows a secret.
    pub fn key_file(self, path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        self.keys_of(path.as_ref(), Weak::Refused)
    }

    pub(super) fn keys_of(mut self, path: &Path, weak: Weak) -> Result<Self, KeyFileError> {
        self.0.keys = Arc::new(Keys::of_file(path, weak)?);
        Ok(self)
    }

    /// A key whose secret is read again when the server does not accept it. It takes the place of others.
    pub(super) fn key_of(
        mut self,
        name: &str,
        algorithm: Algorithm,
        secret: Credential,
    ) -> Result<Self, TsigKeyError> {
        self.0.keys = Arc::new(Keys::of_secret(name, algorithm, secret)?);
        Ok(self)
    }

    /// The zone of all names. Without it the server is asked for the zone of each name.
    pub fn zone(mut self, zone: DomainName) -> Self {
        self.0.zone = Some(zone);
        self
    }

    /// The time to live of new record sets, in whole seconds; a minute by default: the few look-ups of one
    /// validation can share an answer, and a retry need not outwait it.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.0.ttl = ttl;
        self
    }

    /// How requests travel; UDP by default.
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.0.transport = transport;
        self
    }

    /// How long to wait for each answer, resending included; ten seconds by default: time for three datagrams
    /// and their answers. A server that needs longer is in trouble, and the caller should hear of it.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// Who tells the time that signatures carry (RFC 8945 §4.2); the operating system by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.0.clock = clock;
        self
    }

    /// The provider.
    #[must_use]
    pub fn build(self) -> Rfc2136 {
        // What clones of a provider share, two that are made by one builder do not.
        Rfc2136 { gather: Arc::default(), sockets: Sockets::default(), ..self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_one_builder_share_neither_company_nor_sockets_and_clones_share_both() {
        let builder = Rfc2136::builder("192.0.2.1".parse().unwrap());
        let (one, other) = (builder.clone().build(), builder.build());
        let same = |a: &Rfc2136, b: &Rfc2136| {
            (Arc::ptr_eq(&a.gather, &b.gather), a.sockets.are_those_of(&b.sockets))
        };
        assert_eq!(same(&one, &other), (false, false));
        assert_eq!(same(&one, &one.clone()), (true, true));
    }
}
