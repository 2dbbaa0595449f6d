//! What every vendor with an HTTP interface needs: a client that keeps secrets in and patience within bounds.
//!
//! A [`Client`] carries requests below one base URL with one credential ([`Authorize`]). What is the same for
//! all vendors is done here, once:
//!
//! - **Waiting.** A [`Rate`](crate::Rate) is kept by all clones together; a vendor that asks to be left alone
//!   (`Retry-After`, RFC 9110 §10.2.3) is left alone by all of them. A short wait is waited, a long one is
//!   [`Error::RateLimited`](crate::Error::RateLimited) with its end.
//! - **Trying again.** What was surely not done is sent again, and what may have been done only if it can be
//!   done twice ([`Call::repeatable`]).
//! - **Distrust.** A redirect is an error, since credentials are for one host; so is a web page in place of
//!   data, and a body beyond [`BODY_LIMIT`].
//! - **Silence.** A text of the vendor reaches an error only without control characters, without our own
//!   [`Secrets`], and cut.
//!
//! ```
//! use perennial_providers::vendor::{Bearer, Client, Credential};
//!
//! let token = Credential::new("t0k3n");
//! let client = Client::builder("paper", "https://api.example.com/v1", Bearer::new(token)).build()?;
//! let call = client.get("/zones").query("name", "example.com"); // and: .send().await?.json::<Zones>()?
//! # let _ = call; Ok::<(), perennial_providers::Error>(())
//! ```

mod answer;
pub use answer::Answer;

mod authorize;
pub use authorize::{Anonymous, Authorize, Basic, Bearer, HeaderToken};

mod bucket;

mod call;
pub use call::{Call, segment};

mod client;
pub use client::{BODY_LIMIT, Client, ClientBuilder};

mod complaint;
pub use complaint::{Blame, Complaint};

mod fingerprint;
pub use fingerprint::Fingerprint;

mod pace;

mod patience;

mod retry_after;

mod scalar;
pub use scalar::Scalar;

mod secret;
pub use secret::{Credential, Secrets};

mod text;
