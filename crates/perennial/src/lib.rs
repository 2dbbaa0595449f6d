//! perennial-perennial
