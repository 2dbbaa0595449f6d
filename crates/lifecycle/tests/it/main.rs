//! The keeper against a small issuer of the test's own, with time that the test holds.

mod issuer;
mod keeper;
