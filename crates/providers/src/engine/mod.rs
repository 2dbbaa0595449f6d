//! Many changes in few writes: [`plan`] decides which go together, [`apply`] makes them, and [`wait_in_sync`]
//! waits until the vendor says that its servers have them.

mod apply;
pub use apply::{Batch, apply, plan};

mod in_sync;
pub use in_sync::wait_in_sync;
