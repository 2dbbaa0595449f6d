//! perennial-issuers
