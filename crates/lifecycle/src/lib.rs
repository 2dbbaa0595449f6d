//! perennial-lifecycle
