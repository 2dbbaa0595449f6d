//! The ACME protocol (RFC 8555): how a program obtains X.509 certificates from a CA.
//!
//! Two layers, each usable alone:
//!
//! - [`Client`] and its handles: one async function a verb, over any [`HttpClient`](perennial_core::HttpClient)
//!   and [`Clock`](perennial_core::Clock).
//! - [`call`]: the same verbs as state machines without I/O, for programs that carry their own requests.
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
//! | module | RFC |
//! |---|---|
//! | [`directory`] | RFC 8555 §7.1.1 |
//! | [`CertificationRequest`] | RFC 2986, RFC 8555 §7.4 |
//! | [`challenge`] | RFC 8555 §8, RFC 8737, RFC 8738, RFC 9799 §3, two drafts |
//! | [`jws`] | RFC 7515, RFC 8555 §6.2 |
//! | [`RenewalInfo`] | RFC 9773 |
//! | [`retry_after`] | RFC 9110 §10.2.3 |
//! | [`Revocation`] | RFC 8555 §7.6 |
//! | [`call`] | RFC 8555 §6.3 to §6.7, §7 |

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
