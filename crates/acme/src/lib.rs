//! The ACME protocol (RFC 8555): how a program obtains X.509 certificates from a CA.
//!
//! Three layers, each usable without those above it:
//!
//! - [`Client`] and its handles: one async function a verb, over any [`HttpClient`](perennial_core::HttpClient)
//!   and [`Clock`](perennial_core::Clock).
//! - [`flow`]: the way from names to a certificate as a state machine without I/O, which says what to write down
//!   before what, and goes on with the same order after a crash.
//! - [`call`]: each verb as a state machine without I/O, for programs that carry their own requests.
//!
//! The protocol alone: this crate does not know how a DNS record is set, when a certificate is due or where
//! it is kept.
//!
//! ```no_run
//! use std::{sync::Arc, time::Duration};
//! use perennial_acme::{
//!     AccountKey, CertificationRequest, Client, Expected, Identifier, KeyAlgorithm, NewAccount, NewOrder, PrivateKey,
//!     directory::LETS_ENCRYPT_STAGING,
//! };
//! use perennial_core::{Clock as _, DomainName, SystemClock};
//!
//! # async fn set_txt(name: DomainName, value: String) {}
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder(LETS_ENCRYPT_STAGING).build()?;
//! let key = Arc::new(AccountKey::generate()?);                       // keep key.to_pkcs8_pem()
//! let account = client.register(NewAccount::new().agree_to_terms(), key).await?;
//!
//! let names: Vec<DomainName> = vec!["example.com".parse()?, "*.example.com".parse()?];
//! let identifiers: Vec<Identifier> = names.iter().map(Identifier::from).collect();
//! let order = account.new_order(&NewOrder::new(&identifiers)).await?; // keep order.url()
//! let deadline = SystemClock::new().now() + Duration::from_secs(300);
//!
//! for authorization in order.authorizations().await? {
//!     let challenge = authorization.dns01().ok_or("no dns-01 offered")?;
//!     set_txt(challenge.dns01_record_name()?, challenge.dns01_value()?).await;
//!     challenge.answer().await?;
//! }
//! order.wait_ready(deadline).await?;
//!
//! let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;     // keep key.to_pem() first
//! let request = CertificationRequest::new(&key, &identifiers)?;
//! order.finalize_with(&request).await?;
//! order.wait_valid(deadline).await?;
//! let chain = order.certificate().await?;
//! let (public_key, now) = (request.public_key(), SystemClock::new().now());
//! chain.verify(&Expected { public_key, identifiers: &identifiers, now })?;
//! println!("{}", chain.to_pem());
//! # Ok(())
//! # }
//! ```
//!
//! A program that must not lose an order when it dies in the midst of it lets a [`flow::Walk`] lead the way; there
//! is an example of its whole loop at [`flow`].
//!
//! ```
//! use perennial_acme::{CertificationRequest, Identifier, KeyAlgorithm, NewOrder, PrivateKey};
//! use perennial_acme::flow::{Plan, State, Walk};
//! use perennial_core::Timestamp;
//!
//! # fn example(kept: Option<State>) -> Result<Walk, Box<dyn std::error::Error>> {
//! let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256)?;          // keep key.to_pem() first
//! let names = [Identifier::Dns("example.com".parse()?)];
//! let certification_request = CertificationRequest::new(&key, &names)?;
//! let deadline: Timestamp = "2026-11-21T12:05:00Z".parse()?;
//! let plan = Plan { request: NewOrder::new(&names), certification_request, deadline };
//! let walk = match kept {
//!     Some(state) => Walk::resume(plan, state)?,
//!     None => Walk::new(plan)?,
//! };
//! # Ok(walk)
//! # }
//! # let walk = example(None)?;
//! assert_eq!(*walk.state(), State::Ordering);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | part | RFC |
//! |---|---|
//! | [`Account`], [`NewAccount`], [`AccountUpdate`], [`AccountCredentials`] | RFC 8555 §7.3 |
//! | [`AutoRenewal`], [`StarCertificate`] | RFC 8739 |
//! | [`CaaCheck`] | RFC 8659, RFC 8657 |
//! | [`call`] | RFC 8555 §6.3 to §6.7, §7 |
//! | [`CertificateChain`], [`ChainSelector`] | RFC 8555 §7.4.2, §9.1 |
//! | [`CertificationRequest`] | RFC 2986, RFC 8555 §7.4 |
//! | [`challenge`] | RFC 8555 §8, RFC 8737, RFC 8738, RFC 9799 §3, two drafts |
//! | [`directory`] | RFC 8555 §7.1.1, one draft ([profiles](Meta::profiles)) |
//! | [`ExternalAccount`] | RFC 8555 §7.3.4 |
//! | [`flow`], [`NewOrder`], [`Order`] | RFC 8555 §7.1.3, §7.1.6, §7.4 |
//! | [`jws`], [`Jwk`], [`Signer`], [`AccountKey`] | RFC 7515, RFC 7517, RFC 7518, RFC 7638, RFC 8555 §6.2 |
//! | [`NewAuthorization`] | RFC 8555 §7.4.1, RFC 9444 |
//! | [`OnionCaa`] | RFC 9799 §6.4 |
//! | [`Problem`] | RFC 7807, RFC 8555 §6.7 |
//! | [`RenewalInfo`], [`CertificateId`] | RFC 9773 |
//! | [`retry_after`] | RFC 9110 §10.2.3 |
//! | [`Revocation`] | RFC 8555 §7.6, RFC 5280 §5.3.1 |

mod account;
pub use account::{AccountState, AccountStatus, AccountUpdate, NewAccount, OrdersPage};

mod authorization;
pub use authorization::{AuthorizationState, AuthorizationStatus, NewAuthorization};

mod caa;
pub use caa::{CaaAnswer, CaaCheck, CaaForbids, CaaQuestion, CaaRecord};

pub mod call;

mod certificate;
pub use certificate::{CertificateChain, CertificateFault, ChainSelector, Expected};

mod certification_request;
pub use certification_request::{CertificationRequest, CertificationRequestError};

pub mod challenge;
pub use challenge::{ChallengeKind, ChallengeState, ChallengeStatus};

mod client;
pub use client::{Account, Authorization, Challenge, Client, ClientBuilder, Flight, Order};

mod credentials;
pub use credentials::{AccountCredentials, CredentialsError};

pub mod directory;
pub use directory::{Directory, Meta};

mod error;
pub use error::{AuthorizationFailure, Deadline, Error, Misbehaved, Misuse, OrderInvalid, Refusal};

mod external_account;
pub use external_account::{ExternalAccount, ExternalAccountFault, MacAlgorithm};

pub mod flow;

mod identifier;
pub use identifier::Identifier;

mod json;

mod jwk;
pub use jwk::{Curve, Jwk, Thumbprint};

pub mod jws;

mod key;
pub use key::{AccountKey, Algorithm, KeyError, Signer, SignerError, signature_from_der};

#[cfg(feature = "keys")]
pub use perennial_core::{KeyAlgorithm, KeyError as PrivateKeyError, PrivateKey};

mod link;

mod nonce;

mod onion;
pub use onion::{OnionCaa, SignedOnionCaa};

mod open_enum;

mod order;
pub use order::{NewOrder, OrderState, OrderStatus};

mod problem;
pub use problem::{Problem, ProblemType, RateLimit};

mod renewal_info;
pub use renewal_info::{CertificateId, CertificateIdError, RenewalInfo, RenewalInfoFailure, RenewalWindow};

pub mod retry_after;

mod revocation;
pub use revocation::{Revocation, RevocationReason, RevocationReasonError, Revoked};

mod session;
pub use session::{Server, Session};

mod star;
pub use star::{AutoRenewal, AutoRenewalFault, AutoRenewalPolicy, StarCertificate};

mod text;

mod url;
pub use url::{Url, UrlFault, UrlPolicy};
