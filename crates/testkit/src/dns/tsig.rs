//! Transaction signatures: RFC 8945.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        Record, TSigner,
        rdata::tsig::{self, TSIG, TsigError},
    },
};
use perennial_core::{DomainName, Timestamp};

use super::data::wire_name;
use crate::Error;

/// A key for signing DNS messages, as an operator hands it out.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TsigKey {
    /// The name that both sides know it by.
    pub name: DomainName,
    /// What it is used with.
    pub algorithm: TsigAlgorithm,
    /// The secret in base64, as key files hold it.
    pub secret_base64: String,
}

impl TsigKey {
    /// A key with a new random secret of 32 octets.
    ///
    /// # Errors
    /// [`Error::Name`] when the name is none.
    pub fn generate(name: &str, algorithm: TsigAlgorithm) -> Result<Self, Error> {
        let secret: [u8; 32] = rand::random();
        Ok(Self { name: name.parse()?, algorithm, secret_base64: BASE64_STANDARD.encode(secret) })
    }

    fn signer(&self) -> Option<TSigner> {
        let secret = BASE64_STANDARD.decode(&self.secret_base64).ok()?;
        let algorithm = match self.algorithm {
            TsigAlgorithm::HmacSha256 => tsig::TsigAlgorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => tsig::TsigAlgorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => tsig::TsigAlgorithm::HmacSha512,
        };
        TSigner::new(secret, algorithm, wire_name(&self.name), FUDGE).ok()
    }
}

/// Shows no secret.
impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, algorithm, secret_base64: _ } = self;
        f.debug_struct("TsigKey").field("name", name).field("algorithm", algorithm).finish_non_exhaustive()
    }
}

/// The algorithms that RFC 8945 §6 still wants to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsigAlgorithm {
    /// `hmac-sha256`, which everybody must have.
    #[default]
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

/// The name as configuration files write it.
impl fmt::Display for TsigAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        })
    }
}

/// How the response to a request must be signed.
pub(super) struct ResponseSigner {
    request: Box<Record<TSIG>>,
    /// `None` when the key is unknown or the signature wrong: then the response carries no MAC.
    signer: Option<TSigner>,
    error: Option<TsigError>,
    now: u64,
}

/// Checks a request's signature (RFC 8945 §5.2): the key, then the MAC, then the time.
///
/// `bytes` are the message as it came and were read as `message`. The verdict is the code of the response;
/// an unsigned request is refused without a signature.
pub(super) fn verify(
    bytes: &[u8],
    message: &Message,
    keys: &[TsigKey],
    now: Timestamp,
) -> (Result<(), ResponseCode>, Option<ResponseSigner>) {
    let Some(signature) = &message.signature else {
        // RFC 2136 §3.3 leaves the code to the policy; BIND says the same.
        return (Err(ResponseCode::Refused), None);
    };
    let now = u64::try_from(now.unix()).unwrap_or(0);
    let known = keys.iter().filter_map(TsigKey::signer).find(|signer| {
        *signer.signer_name() == signature.name && *signer.algorithm() == signature.data.algorithm
    });
    let (signer, error) = match known {
        None => (None, Some(TsigError::BadKey)),
        Some(signer) if !mac_is_right(bytes, &signer) => (None, Some(TsigError::BadSig)),
        Some(signer) if now.abs_diff(signature.data.time) > u64::from(signature.data.fudge) => {
            (Some(signer), Some(TsigError::BadTime))
        }
        Some(signer) => (Some(signer), None),
    };
    let verdict = if error.is_none() { Ok(()) } else { Err(ResponseCode::NotAuth) };
    (verdict, Some(ResponseSigner { request: signature.clone(), signer, error, now }))
}

fn mac_is_right(bytes: &[u8], signer: &TSigner) -> bool {
    // The message was read whole, so the counts in its header are true.
    tsig::signed_bitmessage_to_buf(bytes, None, true)
        .is_ok_and(|(signed, record)| signer.verify(&signed, &record.data.mac).is_ok())
}

impl ResponseSigner {
    /// Adds the signature to a response that will not change any more (RFC 8945 §5.3).
    pub(super) fn sign(self, response: &mut Message) -> Option<()> {
        let request = self.request.data;
        // RFC 8945 §5.2.3: with BADTIME the client's own time is signed, and the server's goes beside it.
        let (time, other) = match self.error {
            Some(TsigError::BadTime) => (request.time, self.now.to_be_bytes().get(2..)?.to_vec()),
            _ => (self.now, Vec::new()),
        };
        let unsigned =
            TSIG::new(request.algorithm, time, FUDGE, Vec::new(), response.metadata.id, self.error, other);
        let signed = match self.signer {
            None => unsigned,
            Some(signer) => {
                let bytes = response.to_vec().ok()?;
                let text = signer.encode_response_tbs(&request.mac, &bytes, &unsigned).ok()?;
                let mac = signer.sign(&text).ok()?;
                unsigned.set_mac(mac)
            }
        };
        response.set_signature(Box::new(tsig::make_tsig_record(self.request.name.clone(), signed)));
        Some(())
    }
}

/// Five minutes, which RFC 8945 §10 recommends.
const FUDGE: u16 = 300;
