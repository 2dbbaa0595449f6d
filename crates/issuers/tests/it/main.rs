//! The ACME issuer against a CA that really validates, name servers that really serve, and a real wire between.

mod acme;
mod lifecycle;
mod scene;
