//! What was found where.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use perennial_propagation::target::Embedded;
use serde::Serialize;

use super::{Answer, Content, RedirectFault, answer::shown};

/// What one look at one address has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Observation {
    /// Whose address: as everybody else knows it.
    pub address: IpAddr,
    /// Where it was asked.
    pub asked: SocketAddr,
    /// What lies in between, where it was asked through NAT64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat64: Option<Embedded>,
    /// The URLs that redirects have led to, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<String>,
    /// What was found in the end.
    pub found: Found,
}

impl Observation {
    /// What was found at an address that was asked itself.
    #[must_use]
    pub fn new(asked: SocketAddr, found: Found) -> Self {
        Self { address: asked.ip(), asked, nat64: None, redirects: Vec::new(), found }
    }
}

/// What was found at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Found {
    /// A response.
    Answered(Answer),
    /// A connection, and no HTTP over it.
    Broken {
        /// What happened.
        reason: String,
    },
    /// This host has no way to it.
    NoRoute {
        /// Why.
        reason: String,
    },
    /// A redirect that no CA follows.
    Redirected {
        /// As it was sent, without control characters; empty when it was none.
        to: String,
        /// Why it is not followed.
        fault: RedirectFault,
    },
    /// The port is closed.
    Refused,
    /// Nobody answered in time.
    Silent {
        /// How far it had come.
        during: Phase,
    },
    /// The network says that there is no way.
    Unreachable {
        /// In the operating system's words.
        reason: String,
    },
}

/// How far a look had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// There was a connection, and a question.
    Answering,
    /// There was no connection.
    Connecting,
}

impl Found {
    /// Whether a CA is content with it.
    #[must_use]
    pub const fn is_right(&self) -> bool {
        matches!(self, Self::Answered(answer) if answer.is_right())
    }

    /// Whether somebody has answered, and not as a CA wants it.
    pub(super) const fn is_wrong(&self) -> bool {
        matches!(self, Self::Answered(_) | Self::Redirected { .. }) && !self.is_right()
    }

    pub(super) fn redirected(to: Option<&str>, fault: RedirectFault) -> Self {
        Self::Redirected { to: shown(to.unwrap_or_default(), MOST_OF_A_URL), fault }
    }
}

pub(super) const MOST_OF_A_URL: usize = 200;

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) if answer.is_right() => f.write_str("the right answer"),
            Self::Answered(Answer { status, content, body, signs }) => {
                match content {
                    Content::Empty => write!(f, "status {status} and an empty body")?,
                    Content::Expected => write!(f, "the right body, and status {status} instead of 200")?,
                    Content::Html => write!(f, "status {status} and a web page, {body:?}")?,
                    Content::OtherKeyAuthorization => {
                        write!(f, "status {status} and another key authorization, {body:?}")?;
                    }
                    Content::Other => write!(f, "status {status} and {body:?}")?,
                }
                if signs.is_empty() { Ok(()) } else { write!(f, ", from {}", signs.join(", ")) }
            }
            Self::Broken { reason } => write!(f, "a connection, and no HTTP: {reason}"),
            Self::NoRoute { reason } => write!(f, "not asked: {reason}"),
            Self::Redirected { to, fault } => {
                let to = if to.is_empty() { "nowhere" } else { to };
                write!(f, "a redirect to {to}, {fault}")
            }
            Self::Refused => f.write_str("connection refused"),
            Self::Silent { during: Phase::Connecting } => f.write_str("no connection in time"),
            Self::Silent { during: Phase::Answering } => f.write_str("a connection, and no answer in time"),
            Self::Unreachable { reason } => write!(f, "unreachable: {reason}"),
        }
    }
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("an address instead of a name"),
            Self::Credentials => f.write_str("with credentials in it"),
            Self::Loop => f.write_str("which was asked already"),
            Self::Nowhere => f.write_str("which is no URL"),
            Self::Port(port) => write!(f, "on port {port}, where CAs do not go"),
            Self::Scheme(scheme) => write!(f, "by {scheme}, which CAs do not speak"),
            Self::Status(status) => write!(f, "by status {status}, which CAs do not follow"),
            Self::TooMany => write!(f, "the {}th", super::redirect::MOST + 1),
        }
    }
}
