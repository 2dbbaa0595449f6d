//! What may be asked of whom how often: token buckets as values.
//!
//! A CA counts orders by account, by registered domain and by the exact set of names; a DNS provider counts
//! requests. Asking beyond that is refused, and then the certificate that was urgent waits with those that were
//! not. So we count ourselves: what an attempt takes is known before it is made ([`Limits::demands`]), and is
//! taken from all buckets or from none ([`take`]). A bucket is one number, which a store can hold and
//! compare-and-swap, so that many processes share it. First issuances and renewals that wait for the same bucket
//! have every second token each ([`Line`]).
//!
//! ```
//! use perennial_core::Timestamp;
//! use perennial_lifecycle::{CertificateSpec, budget::{Budgets, Limits, Purpose}};
//!
//! let spec = CertificateSpec::new("shop", ["www.shop.example"])?;
//! let demands = Limits::lets_encrypt().demands(&spec, Purpose::First);
//! let (mut budgets, now) = (Budgets::default(), Timestamp::from_unix(1_800_000_000));
//! for _ in 0..5 {
//!     assert!(budgets.take(&demands, now).is_ok());
//! }
//! let refusal = budgets.take(&demands, now).unwrap_err(); // the sixth of the same set in a week
//! assert_eq!(refusal.until.since(now).as_secs(), 7 * 86_400 / 5);
//! # Ok::<(), perennial_lifecycle::SpecError>(())
//! ```

mod bucket;
pub use bucket::{Bucket, Limit, Shortage, take};

mod demand;
pub(crate) use demand::zone;
pub use demand::{BudgetKey, Charge, Counted, Demand, Limits, Purpose};

mod line;
pub use line::Line;
pub(crate) use line::Shared;

mod ledger;
pub use ledger::{Budgets, Refusal};
