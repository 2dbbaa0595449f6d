//! How far a walk has come, in a form that outlives the process.

use serde::{Deserialize, Serialize};

use crate::{ChallengeKind, Identifier, Url};

/// How far a walk has come: written down before the next thing is done that cannot be undone.
///
/// It is a small JSON object; a version of this library that does not know a state of a newer one fails to read
/// it, and the caller begins anew. It holds no secret.
///
/// ```
/// use perennial_acme::flow::State;
///
/// let state: State = serde_json::from_str(r#"{"state":"ordered","order":"https://ca.example/order/7"}"#)?;
/// assert_eq!(state.order().map(|url| url.as_str()), Some("https://ca.example/order/7"));
/// assert_eq!(serde_json::to_string(&State::Ordering)?, r#"{"state":"ordering"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum State {
    // In the order in which they come.
    /// The order is about to be placed. Who finds this after a crash cannot know whether it was: ACME has no
    /// newOrder that can be repeated (RFC 8555 §7.4), so this is the one place where a crash costs an order.
    #[default]
    Ordering,
    /// The order is placed. Its URL is the only way back to it.
    Ordered {
        /// The order.
        order: Url,
    },
    /// The proofs are about to be presented.
    Presenting {
        /// The order.
        order: Url,
        /// What will be presented.
        tasks: Vec<Task>,
    },
    /// The proofs are visible, and the CA is about to be told.
    Answering {
        /// The order.
        order: Url,
        /// What was presented.
        tasks: Vec<Task>,
    },
    /// The signing request is about to be sent.
    Finalizing {
        /// The order.
        order: Url,
    },
}

impl State {
    /// The order, once it is placed.
    #[must_use]
    pub const fn order(&self) -> Option<&Url> {
        match self {
            Self::Ordering => None,
            Self::Ordered { order }
            | Self::Presenting { order, .. }
            | Self::Answering { order, .. }
            | Self::Finalizing { order } => Some(order),
        }
    }

    /// What may have been presented and was not cleaned up.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        match self {
            Self::Presenting { tasks, .. } | Self::Answering { tasks, .. } => tasks,
            Self::Ordering | Self::Ordered { .. } | Self::Finalizing { .. } => &[],
        }
    }
}

/// A challenge that was chosen: one name, one way to prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::exhaustive_structs)] // Plain data: what RFC 8555 §7.1.4 and §7.1.5 say of it.
pub struct Task {
    /// Whose challenge it is.
    pub authorization: Url,
    /// Where the answer goes.
    pub challenge: Url,
    /// Which way to prove it.
    pub kind: ChallengeKind,
    /// The name; of a wildcard, the part after the `*.`.
    pub identifier: Identifier,
    /// Whether it is for `*.` and the name.
    pub wildcard: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Url {
        format!("https://ca.example/{path}").parse().unwrap()
    }

    #[test]
    fn every_state_survives_its_own_json() {
        let task = Task {
            authorization: url("authz/1"),
            challenge: url("chall/1"),
            kind: ChallengeKind::Dns01,
            identifier: Identifier::Dns("example.org".parse().unwrap()),
            wildcard: true,
        };
        let order = url("order/1");
        for state in [
            State::Ordering,
            State::Ordered { order: order.clone() },
            State::Presenting { order: order.clone(), tasks: vec![task.clone()] },
            State::Answering { order: order.clone(), tasks: vec![task.clone()] },
            State::Finalizing { order },
        ] {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state, "{text}");
        }
        let text = serde_json::to_string(&task).unwrap();
        assert_eq!(
            text,
            r#"{"authorization":"https://ca.example/authz/1","challenge":"https://ca.example/chall/1","kind":"dns-01","identifier":{"type":"dns","value":"example.org"},"wildcard":true}"#
        );
    }

    #[test]
    fn what_is_no_url_or_no_state_is_refused() {
        for text in [
            r#"{"state":"ordered","order":"order/7"}"#,
            r#"{"state":"ordered"}"#,
            r#"{"state":"waiting-for-the-notary"}"#,
            "null",
        ] {
            assert!(serde_json::from_str::<State>(text).is_err(), "{text}");
        }
    }
}
