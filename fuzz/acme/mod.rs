//! What comes from an ACME server (RFC 8555), and what goes to it.

mod dns_persist;
mod flow;
mod header;
mod object;
mod session;
mod signature;

pub use dns_persist::acme_dns_persist;
pub use flow::acme_flow;
pub use header::acme_header;
pub use object::{
    acme_account, acme_authorization, acme_directory, acme_order, acme_problem, acme_renewal_info,
};
pub use signature::acme_jws;

/// What a server wrote is shown in terminals and logs: it must not hold what can move a cursor or forge a line.
fn assert_quiet(shown: &str) {
    assert!(!shown.chars().any(char::is_control), "a control character is shown: {shown:?}");
}
