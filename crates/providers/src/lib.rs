//! perennial-providers
