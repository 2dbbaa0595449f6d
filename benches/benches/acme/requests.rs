//! How many requests does an issuance take, and how many does RFC 8555 need?
//!
//! For n names whose order is `valid` in the answer to finalize: directory, nonce, account, order, a request an
//! authorization, a request a challenge, one look at the order, finalize, certificate. What is known already is
//! not asked again.

use std::{error::Error, sync::Arc};

use perennial_acme::AccountKey;
use tokio::runtime::Runtime;

use crate::{
    authority::{Authority, Born},
    ours,
    pki::Certificate,
};

pub(crate) fn figures(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let key = Arc::new(AccountKey::generate()?);
    for count in [1, 10] {
        let certificate = Certificate::new(count)?;
        let authority = Authority::new(&certificate.texts(), Born::Pending, certificate.chain_pem.clone());
        runtime.block_on(async {
            let account = ours::register(&ours::client(&authority)?, key.clone()).await?;
            ours::issue(&account, &certificate).await?;
            print("cold", count, authority.asked(), 7 + 2 * count);

            let account = ours::known(&ours::client(&authority)?, key.clone())?;
            ours::issue(&account, &certificate).await?;
            print("known", count, authority.asked(), 6 + 2 * count);

            ours::issue(&account, &certificate).await?;
            print("daemon", count, authority.asked(), 4 + 2 * count);

            let authority = Authority::new(&certificate.texts(), Born::Ready, certificate.chain_pem.clone());
            let account = ours::register(&ours::client(&authority)?, key.clone()).await?;
            authority.asked();
            ours::issue(&account, &certificate).await?;
            print("ready", count, authority.asked(), 3);
            Ok::<_, Box<dyn Error>>(())
        })?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
fn print(case: &str, count: usize, requests: usize, minimum: usize) {
    println!("figure acme/requests_{case}_{count} {requests} requests minimum={minimum}");
}
