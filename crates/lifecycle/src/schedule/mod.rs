//! When a certificate is due for renewal.

mod life;
pub use life::{Life, due};

mod policy;
pub use policy::RenewalPolicy;

mod spread;
pub use spread::Spread;
