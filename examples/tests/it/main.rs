//! The examples are run, not only compiled.

mod readme;
