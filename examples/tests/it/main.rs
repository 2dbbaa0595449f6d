//! The examples are run, not only compiled.
#![allow(clippy::unwrap_used)] // A test that cannot go on says where.

mod readme;
