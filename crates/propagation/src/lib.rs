//! perennial-propagation
