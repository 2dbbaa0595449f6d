//! The way from names to a certificate (RFC 8555 §7.1.6, §7.4), without I/O, and resumable at every step.
//!
//! A [`Walk`] places an order, asks for its authorizations, has proofs presented, tells the CA to look, sends the
//! signing request and fetches the certificate. It does none of this itself: [`poll`](Walk::poll) says what is to
//! be done, and [`handle`](Walk::handle) hears how it went. What cannot be undone is preceded by a
//! [`State`] to be written down, so that a process that dies goes on with the same order:
//!
//! | written down | before | after a crash |
//! |---|---|---|
//! | [`State::Ordering`] | newOrder | a new order, since nobody knows the URL of the one that may be there |
//! | [`State::Ordered`] | anything else | the same order |
//! | [`State::Presenting`] | proofs are put into the world | the same order, and what may have been presented is known |
//! | [`State::Answering`] | the CA is told to look | the same order; challenges that were answered are not answered again |
//! | [`State::Finalizing`] | the signing request is sent | the same order, which is looked at first |
//!
//! All proofs are presented, and visible, before the first challenge is answered. Requests are as few as the
//! protocol allows: an order that is born `ready` goes straight to its finalization, the order is polled instead
//! of each authorization, and a finalization that is answered `valid` is used at once.
//!
//! [`Account::advance`](crate::Account::advance) drives a walk to the next errand that is not the server's
//! business:
//!
//! ```
//! use perennial_acme::{Account, AuthorizationState, CertificateChain, ChallengeKind, Error};
//! use perennial_acme::flow::{Errand, Event, State, Task, Walk};
//!
//! # trait Journal { fn write(&self, state: &State) -> Result<(), Error>; }
//! # struct Zone;
//! # impl Zone {
//! #     async fn present(&self, _: &Task) -> Result<(), Error> { Ok(()) }
//! #     async fn wait(&self, _: &Task) -> Result<(), Error> { Ok(()) }
//! #     async fn remove(&self, _: &Task) {}
//! # }
//! async fn obtain(mut walk: Walk, account: &Account, journal: &dyn Journal, zone: &Zone) -> Result<CertificateChain, Error> {
//!     loop {
//!         let done = match account.advance(&mut walk).await? {
//!             Errand::Record(state) => {
//!                 journal.write(&state)?;
//!                 Event::Recorded
//!             }
//!             Errand::Choose(offers) => {
//!                 let dns01 = |state: &AuthorizationState| state.challenge(&ChallengeKind::Dns01).map(|it| it.url.clone());
//!                 Event::Chosen(offers.iter().filter_map(|offer| dns01(&offer.state)).collect())
//!             }
//!             Errand::Present(tasks) => {
//!                 for task in &tasks {
//!                     zone.present(task).await?;
//!                 }
//!                 Event::Presented
//!             }
//!             Errand::Wait(tasks) => {
//!                 for task in &tasks {
//!                     zone.wait(task).await?;
//!                 }
//!                 Event::Visible
//!             }
//!             Errand::CleanUp(tasks) => {
//!                 for task in &tasks {
//!                     zone.remove(task).await;
//!                 }
//!                 Event::CleanedUp
//!             }
//!             Errand::Take(download) => return Ok(download.chain),
//!         };
//!         walk.handle(done)?;
//!     }
//! }
//! ```

mod finalization;
pub(crate) use finalization::{Finalization, Next};

mod state;
pub use state::{State, Task};

mod step;
pub use step::{Errand, Event, Offer, Reply, Step};

mod walk;
pub use walk::{Plan, Walk};
