//! perennial-acme
