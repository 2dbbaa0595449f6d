//! What stands between the contract and a vendor's interface: written once for each way that interfaces write.
//!
//! A vendor implements [`Vendor`] and the trait of its write class; the struct beside it turns that into a
//! [`DnsProvider`](crate::DnsProvider):
//!
//! | the vendor's interface | trait | provider | is done here |
//! |---|---|---|---|
//! | creates and deletes records by their identifiers | [`RecordApi`] | [`Records`] | finding by value, no duplicates, lost answers |
//! | adds and removes one value | [`ValueApi`] | [`Values`] | the way of a batch |
//! | replaces a set if it is as expected | [`SetApi`] | [`Sets`] | reading, merging, repeating on conflict |
//! | replaces a set, whatever it is | [`SetApi`] | [`Sets`] | the same, a lock, and reading back |
//! | replaces the whole zone | [`ZoneApi`] | [`WholeZones`] | the same for the zone, refusing on a doubtful read |
//! | has a fixed number of values | [`SlotApi`] | [`Slots`] | one after the other |
//!
//! All of them find zones the same way (see [`Vendor`]), and take callers who write to one zone at the same time along
//! in one write where that saves some. [`plan`] and [`apply`] make many changes with few
//! writes through any provider, and [`wait_in_sync`] waits until the vendor says that its servers have them.

mod apply;
pub use apply::{Batch, apply, plan};

mod find;

mod frame;
pub use frame::Settings;
pub(crate) use frame::{builder, forward, setters};

mod gather;
pub(crate) use gather::{Commit, Gather, Reach};

mod in_sync;
pub use in_sync::wait_in_sync;

mod lock;

mod net;

mod pages;
pub use pages::{Page, pages};

mod record;
pub use record::{Created, NewRecord, Record, RecordApi, Records};

mod set;
pub use set::{Member, RecordSet, SetApi, Sets, Swap};

mod slot;
pub use slot::{SlotApi, Slots};

mod value;
pub use value::{Edit, ValueApi, Values, Written};

mod vendor;
pub use vendor::{Survey, Vendor};

mod whole_zone;
pub use whole_zone::{WholeZones, ZoneApi, ZoneContent, ZoneRecord};

#[cfg(test)]
mod tests;
