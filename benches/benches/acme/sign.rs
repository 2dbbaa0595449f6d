//! What does a signed request cost beside the signature alone?
//!
//! Ours: an order's payload and the protected header as JSON and base64url, the signature through the
//! `Signer` trait, and the flattened JWS as the request's body. The peer: ring's ECDSA P-256 signature of the
//! same octets. The ratio is at most 1.05: a client is there for the protocol, and the signature is the work.
//!
//! `acme/sign_serialize` is all of it; `acme/sign_serialize_text` begins with the payload's text, as most
//! requests have it.

use std::{
    error::Error,
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use perennial_acme::{
    AccountKey, NewOrder, Signer,
    jws::{Header, KeyReference, SigningInput},
};
use perennial_benches::{Effort, compare, print_comparison};
use perennial_core::DomainName;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};

pub(crate) fn figures() -> Result<(), Box<dyn Error>> {
    let key = AccountKey::generate()?;
    let names: Vec<DomainName> = vec!["example.com".parse()?, "*.example.com".parse()?];
    let order = NewOrder::new(&names);
    let payload = order.to_json();
    let header = Header {
        algorithm: key.algorithm(),
        key: KeyReference::Kid("https://acme-v02.api.letsencrypt.org/acme/acct/123456789"),
        nonce: Some("Ta9OzmXi3IRAo1ZuyLHGNTwNfiFHYOJFJZKbY2mZQlO6aUbWPZ4"),
        url: "https://acme-v02.api.letsencrypt.org/acme/new-order",
    };

    let random = SystemRandom::new();
    let der = key.to_pkcs8_der();
    let bare = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose(), &random)
        .map_err(|error| error.to_string())?;
    let message = SigningInput::new(&header, payload.as_bytes());

    let sign = |payload: &str| {
        let input = SigningInput::new(black_box(&header), black_box(payload.as_bytes()));
        let signature = ready(key.sign(input.as_bytes())).unwrap_or_default();
        black_box(input.seal(&signature));
    };
    let sign_alone = || {
        let signature = bare.sign(&random, black_box(message.as_bytes()));
        let _ = black_box(signature);
    };
    let comparison = compare(EFFORT, || sign(&black_box(&order).to_json()), sign_alone);
    print_comparison("acme/sign_serialize", "ring", &comparison);
    let comparison = compare(EFFORT, || sign(&payload), sign_alone);
    print_comparison("acme/sign_serialize_text", "ring", &comparison);
    Ok(())
}

/// A round has some milliseconds of each.
const EFFORT: Effort = Effort { rounds: 101, executions: 100 };

/// A key in memory signs at once: one poll is the whole future.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a key in memory waits for nothing"),
    }
}
