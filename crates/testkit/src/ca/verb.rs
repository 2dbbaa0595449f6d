//! What can be asked of a CA, and the URLs for it.

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// Read, change or deactivate an account (RFC 8555 §7.3.2, §7.3.6).
    Account,
    /// Read or deactivate an authorization (RFC 8555 §7.5).
    Authorization,
    /// Download a certificate (RFC 8555 §7.4.2).
    Certificate,
    /// Answer or read a challenge (RFC 8555 §7.5.1).
    Challenge,
    /// Read the directory (RFC 8555 §7.1.1).
    Directory,
    /// Finalize an order (RFC 8555 §7.4).
    Finalize,
    /// Change an account's key (RFC 8555 §7.3.5).
    KeyChange,
    /// Make or find an account (RFC 8555 §7.3).
    NewAccount,
    /// Prove a name before it is ordered (RFC 8555 §7.4.1).
    NewAuthorization,
    /// Fetch a nonce (RFC 8555 §7.2).
    NewNonce,
    /// Place an order (RFC 8555 §7.4).
    NewOrder,
    /// Read an order (RFC 8555 §7.4).
    Order,
    /// List an account's orders (RFC 8555 §7.1.2.1).
    Orders,
    /// Ask when to renew a certificate (RFC 9773 §4.1).
    RenewalInfo,
    /// Revoke a certificate (RFC 8555 §7.6).
    RevokeCertificate,
    /// Read the terms of service, which are a page for people.
    Terms,
}

/// A verb and the numbers of what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) verb: Verb,
    /// Of the account, order, authorization or certificate.
    pub(super) id: u64,
    /// Of the challenge in its authorization, or of the alternate chain.
    pub(super) part: usize,
}

impl Route {
    pub(super) const fn to(verb: Verb) -> Self {
        Self { verb, id: 0, part: 0 }
    }

    pub(super) const fn of(verb: Verb, id: u64) -> Self {
        Self { verb, id, part: 0 }
    }

    pub(super) const fn part(verb: Verb, id: u64, part: usize) -> Self {
        Self { verb, id, part }
    }

    pub(super) fn parse(path: &str) -> Option<Self> {
        let words: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let route = match *words.as_slice() {
            ["directory"] => Self::to(Verb::Directory),
            ["new-nonce"] => Self::to(Verb::NewNonce),
            ["new-authorization"] => Self::to(Verb::NewAuthorization),
            ["new-account"] => Self::to(Verb::NewAccount),
            ["new-order"] => Self::to(Verb::NewOrder),
            ["key-change"] => Self::to(Verb::KeyChange),
            ["revoke"] => Self::to(Verb::RevokeCertificate),
            ["terms"] => Self::to(Verb::Terms),
            // Nobody signs for it, so that the identifier in it may be any text.
            ["renewal-info", _] => return Some(Self::to(Verb::RenewalInfo)),
            ["account", id] => Self::of(Verb::Account, id.parse().ok()?),
            ["account", id, "orders"] => Self::of(Verb::Orders, id.parse().ok()?),
            ["account", id, "orders", page] => Self::part(Verb::Orders, id.parse().ok()?, page.parse().ok()?),
            ["order", id] => Self::of(Verb::Order, id.parse().ok()?),
            ["order", id, "finalize"] => Self::of(Verb::Finalize, id.parse().ok()?),
            ["authorization", id] => Self::of(Verb::Authorization, id.parse().ok()?),
            ["challenge", id, part] => Self::part(Verb::Challenge, id.parse().ok()?, part.parse().ok()?),
            ["certificate", id] => Self::of(Verb::Certificate, id.parse().ok()?),
            ["certificate", id, part] => Self::part(Verb::Certificate, id.parse().ok()?, part.parse().ok()?),
            _ => return None,
        };
        // Exactly one path a resource: what a client signs as `url` must be it.
        (route.path() == path).then_some(route)
    }

    pub(super) fn path(self) -> String {
        let Self { verb, id, part } = self;
        match verb {
            Verb::Directory => "/directory".into(),
            Verb::NewNonce => "/new-nonce".into(),
            Verb::NewAccount => "/new-account".into(),
            Verb::NewAuthorization => "/new-authorization".into(),
            Verb::NewOrder => "/new-order".into(),
            Verb::KeyChange => "/key-change".into(),
            Verb::RenewalInfo => "/renewal-info".into(),
            Verb::RevokeCertificate => "/revoke".into(),
            Verb::Terms => "/terms".into(),
            Verb::Account => format!("/account/{id}"),
            Verb::Orders if part == 0 => format!("/account/{id}/orders"),
            Verb::Orders => format!("/account/{id}/orders/{part}"),
            Verb::Order => format!("/order/{id}"),
            Verb::Finalize => format!("/order/{id}/finalize"),
            Verb::Authorization => format!("/authorization/{id}"),
            Verb::Challenge => format!("/challenge/{id}/{part}"),
            Verb::Certificate if part == 0 => format!("/certificate/{id}"),
            Verb::Certificate => format!("/certificate/{id}/{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_comes_back_from_its_path() {
        for route in [
            Route::to(Verb::Directory),
            Route::to(Verb::NewNonce),
            Route::to(Verb::NewAccount),
            Route::to(Verb::NewAuthorization),
            Route::to(Verb::NewOrder),
            Route::to(Verb::KeyChange),
            Route::to(Verb::RevokeCertificate),
            Route::to(Verb::Terms),
            Route::of(Verb::Account, 1),
            Route::of(Verb::Orders, 2),
            Route::of(Verb::Order, 3),
            Route::of(Verb::Finalize, 4),
            Route::of(Verb::Authorization, 5),
            Route::part(Verb::Challenge, 6, 1),
            Route::of(Verb::Certificate, 7),
            Route::part(Verb::Certificate, 8, 1),
        ] {
            assert_eq!(Route::parse(&route.path()), Some(route));
        }
        for path in ["", "/", "/order", "/order/x", "/order/01", "/order/1/", "/certificate/1/0"] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
