//! When a certificate is due for renewal, and which of many is due next.

mod calendar;

mod life;
pub use life::{Life, cycle, due};

mod lines;
pub(crate) use lines::Lines;

mod policy;
pub use policy::RenewalPolicy;

mod spread;
pub use spread::Spread;

mod timers;
pub use timers::Schedule;
