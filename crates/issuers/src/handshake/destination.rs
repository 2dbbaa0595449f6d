//! Where a name is looked at.

use std::net::SocketAddr;

use futures_util::future::join_all;
use perennial_core::DomainName;
use perennial_propagation::{Checker, CheckerBuilder, HostAddress, target::Route};

use super::{NoHandshake, Question, Sighting, connect::shake};
use crate::Error;

/// Where a name is looked at: at its addresses, or where it was said.
#[derive(Clone, Debug)]
pub(crate) struct Destinations {
    /// Who looks addresses up; without one the resolvers of this machine.
    pub(crate) checker: Option<Checker>,
    /// Instead of the addresses of the name.
    pub(crate) connect_to: Vec<SocketAddr>,
    /// Which port of them.
    pub(crate) port: u16,
}

/// More addresses than a name has whose server is looked after.
const MOST_ADDRESSES: usize = 16;

impl Destinations {
    /// The addresses of a name, on port 443.
    pub(crate) const fn new() -> Self {
        Self { checker: None, connect_to: Vec::new(), port: 443 }
    }

    /// Looks at all of them at once; or why they could not be looked up. Takes 40 seconds at most.
    ///
    /// # Errors
    /// [`Error`] when the resolvers of this machine cannot be used at all.
    pub(crate) async fn look(
        &self,
        name: &DomainName,
        question: Question<'_>,
    ) -> Result<Result<Vec<Sighting>, String>, Error> {
        if !self.connect_to.is_empty() {
            return Ok(Ok(look_at(&self.connect_to, question).await));
        }
        let checker = match &self.checker {
            Some(checker) => checker.clone(),
            None => CheckerBuilder::from_env()?.build()?,
        };
        let addresses = match checker.addresses(name).await {
            Ok(addresses) => addresses,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let looks = addresses.into_iter().take(MOST_ADDRESSES).map(|host| async move {
            let HostAddress { address, reached_at, nat64, route, .. } = host;
            let asked = SocketAddr::new(reached_at, self.port);
            let seen = match route {
                Route::Exists => shake(asked, question).await,
                Route::None(why) => Err(NoHandshake::NoRoute { reason: why.to_string() }),
                _ => Err(NoHandshake::NoRoute { reason: "there is no way to it".to_owned() }),
            };
            Sighting { address, asked, nat64, seen }
        });
        Ok(Ok(join_all(looks).await))
    }
}

/// Looks at places that were named.
pub(crate) async fn look_at(places: &[SocketAddr], question: Question<'_>) -> Vec<Sighting> {
    let looks = places.iter().map(|at| async move {
        Sighting { address: at.ip(), asked: *at, nat64: None, seen: shake(*at, question).await }
    });
    join_all(looks).await
}
