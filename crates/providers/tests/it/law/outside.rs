//! Bad input for the kinds that the other laws have nothing to ask of, since they hold no records that could be asked for.

use std::sync::Arc;

use perennial_core::Retry;
use perennial_providers::{Change, DnsProvider, Error, engine};
use perennial_testkit::vendor::{Fault, VendorServer, When};
use tracing::instrument::WithSubscriber as _;

use super::hostile::{Log, Nobody};

/// Before what a credential has to be granted.
const NEEDS: &str = "it needs";

/// What it is, how it comes about, whether another try is worth it, and a word of the error.
type Bad<'b> = (&'b str, &'b dyn Fn() -> Fault, Retry, &'b str);

/// Each kind of bad answer is an error of its own, and none of them, nor the log, shows one of the secrets.
pub(crate) async fn each_bad_answer_is_told_apart(
    fake: &VendorServer,
    provider: impl Fn() -> Arc<dyn DnsProvider>,
    change: Change,
    secrets: &[&str],
) {
    let elsewhere = VendorServer::start(Nobody, &[]).await.unwrap();
    let redirect = || Fault::Redirect(format!("{}/steal", elsewhere.base_url()));
    let faults: [Bad<'_>; 6] = [
        ("a web page", &|| Fault::Html, Retry::Backoff, "web page"),
        ("a redirect", &redirect, Retry::Backoff, "redirects"),
        ("an endless body", &|| Fault::Huge(5 << 20), Retry::Backoff, "4194304 bytes"),
        ("a wrong token", &|| Fault::Unauthorized, Retry::Never, "does not accept the credential"),
        ("a missing permission", &|| Fault::Forbidden, Retry::Never, NEEDS),
        ("another time", &|| Fault::WrongTime(3600), Retry::Never, "the clocks differ"),
    ];
    let log = Log::default();
    for (what, fault, retry, part) in faults {
        fake.clear_faults();
        for _ in 0..10 {
            fake.fault(When::Any, fault());
        }
        let provider = provider();
        let applied = engine::apply(&*provider, std::slice::from_ref(&change));
        let error = applied.with_subscriber(log.clone()).await.map(drop).expect_err(what);
        let text = error.to_string();
        // Not every vendor tells a credential that it does not know from one that may not.
        let is_told = text.contains(part) || (part == NEEDS && matches!(error, Error::Auth { .. }));
        assert!(is_told, "{what}: {text}");
        assert_eq!(error.retry(), retry, "{what}: {text}");
        let told = format!("{text} {error:?}");
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{what}: {told}");
    }
    fake.clear_faults();
    assert!(elsewhere.exchanges().is_empty(), "the redirect was followed");
    let logged = log.text();
    assert!(!secrets.iter().any(|secret| logged.contains(secret)), "a secret is in the log: {logged}");
}
