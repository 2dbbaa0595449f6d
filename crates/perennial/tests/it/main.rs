//! The front door, opened from outside.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod authority;
mod client;
mod removal;
mod rustls;
#[cfg(feature = "postgres")]
mod shared_answers;
