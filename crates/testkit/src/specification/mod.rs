//! Vendors' own descriptions of their interfaces, as judges of what is sent to them and of what our fakes
//! answer.
//!
//! A client and the fake it is tested with are written by the same hand, so they share its mistakes. What a
//! vendor published does not. A [`Specification`] reads such a document, whatever its form, and tells for
//! each exchange in what it differs: method, path, parameters, credentials, body, and the body of the answer.
//! Strictness goes beyond most tools in one thing: what nobody documented, a query parameter or a field in a
//! request, is a violation, since a misspelled filter is no error at any vendor, and no filter either.
//!
//! | form | vendors |
//! |---|---|
//! | OpenAPI 3.0 and 3.1, JSON or YAML | Akamai, Azure, Cloudflare, DigitalOcean, DNSimple, GoDaddy, Hetzner, Linode, PowerDNS |
//! | AWS service model (bodies in XML) | Route 53 |
//! | discovery document | Google Cloud DNS |
//! | lists of parameters | Alibaba Cloud DNS, Tencent Cloud DNSPod |
//!
//! The documents are the vendors' and not part of this crate: they are read from the directory that
//! `PERENNIAL_SPECS` names, or from `shared/specs` beside the workspace. Where a document is absent,
//! [`require`] says so aloud.
//!
//! ```
//! use perennial_testkit::specification::{Form, Specification};
//!
//! let document = r#"{"openapi": "3.0.0", "servers": [{"url": "https://api.example/v1"}], "paths": {
//!     "/records": {"get": {
//!         "parameters": [{"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}}],
//!         "responses": {"200": {"description": "all records"}}}}}}"#;
//! let specification = Specification::parse("records", Form::OpenApi, document)?;
//! let ask = |url: &str| http::Request::get(url).body(bytes::Bytes::new()).unwrap();
//!
//! assert!(specification.check_request(&ask("https://api.example/v1/records?page=2")).is_empty());
//! let violations = specification.check_request(&ask("https://api.example/v1/records?page=0"));
//! assert_eq!(
//!     violations[0].to_string(),
//!     "GET /records: query parameter `page`: 0 is less than the minimum of 1"
//! );
//! # Ok::<(), perennial_testkit::specification::Error>(())
//! ```

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};

mod alidns;

mod aws;

mod body;

mod discovery;

mod documents;
pub use documents::{Error, Form, Vendor, require};

mod judge;

mod openapi;

mod operation;
use operation::Operation;

mod schema;
use schema::Definitions;

mod tencent;

/// A vendor's description of its interface.
#[derive(Clone, Debug)]
pub struct Specification {
    operations: Vec<Operation>,
    definitions: Definitions,
    /// What its servers' URLs have before the paths of operations, the longest first.
    bases: Vec<String>,
}

impl Specification {
    /// The document of a vendor, from the directory that `PERENNIAL_SPECS` names or from `shared/specs`
    /// beside the workspace.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is no such file, others when it cannot be used.
    pub fn open(vendor: Vendor) -> Result<Self, Error> {
        documents::open(vendor)
    }

    /// The same from a text; `name` is for errors.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the text is no document of this form.
    pub fn parse(name: &str, form: Form, text: &str) -> Result<Self, Error> {
        documents::parse(name.as_ref(), form, text)
    }

    /// How many operations it describes.
    #[must_use]
    pub const fn operations(&self) -> usize {
        self.operations.len()
    }

    /// In what a request differs from what the vendor describes; nothing when it does not.
    #[must_use]
    pub fn check_request(&self, request: &Request<Bytes>) -> Vec<Violation> {
        match judge::find(self, request) {
            Ok(found) => judge::request(self, &found, request),
            Err(violation) => vec![violation],
        }
    }

    /// In what a request and its response differ from what the vendor describes; nothing when they do not.
    ///
    /// Of a refusal (status 400 and above) that is not documented, or comes in another form than the
    /// documented one, nothing is said: what stands before an interface answers in its own words.
    #[must_use]
    pub fn check(&self, request: &Request<Bytes>, response: &Response<Bytes>) -> Vec<Violation> {
        let found = match judge::find(self, request) {
            Ok(found) => found,
            // Asking for what is not there is a fault only where it was answered.
            Err(_) if response.status().as_u16() == 404 => return Vec::new(),
            Err(violation) => return vec![violation],
        };
        // What the vendor would refuse, and the fake did refuse, is as it should be.
        let mut violations = match response.status().as_u16() {
            400 | 401 | 403 | 422 => Vec::new(),
            _ => judge::request(self, &found, request),
        };
        violations.extend(judge::response(self, &found, response));
        violations
    }
}

/// One thing in which an exchange differs from the description.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The operation, as the document calls it: `POST /zones/{zone_id}/dns_records`.
    pub operation: String,
    /// Where in the exchange: a parameter, a place in a body.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.operation, self.place, self.reason)
    }
}
