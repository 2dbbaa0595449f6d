//! What a provider sends, and what its fake answers, held against the vendor's own document.

use std::sync::Arc;

use perennial_core::DomainName;
use perennial_providers::{Change, DnsProvider, engine};
use perennial_testkit::{
    specification::{self, Vendor},
    vendor::{Fault, RetryAfter, VendorServer, When},
};

use crate::law::{NAME, ZONE};

/// Looks for zones, adds at three names and at the apex, reads, waits and removes, is refused and comes back, and
/// finds no fault in any exchange. Where the document is missing, that is said aloud.
///
/// `wrong` are parts of faults that are the document's, each with its reason in the caller's comments: as
/// the vendor's own client makes the same.
pub(crate) async fn holds(
    vendor: Vendor,
    fake: &VendorServer,
    provider: Arc<dyn DnsProvider>,
    wrong: &[&str],
) {
    let Some(specification) = specification::require(vendor) else { return };
    let name: DomainName = NAME.parse().unwrap();
    let elsewhere = format!("_acme-challenge.elsewhere.{ZONE}").parse().unwrap();
    let changes = [
        Change::add(name.clone(), "gfj9Xq-Rg85nM_gfj9Xq-Rg85nM_gfj9Xq-Rg85nM-0"),
        Change::add(name.clone(), "wildcard"),
        Change::add(elsewhere, "v"),
        Change::add(ZONE.parse().unwrap(), "at the apex"),
    ];
    fake.store().pending_looks = 1;
    let applied = engine::apply(&*provider, &changes).await.unwrap();
    for pending in &applied.pending {
        for _ in 0..3 {
            provider.in_sync(pending).await.unwrap();
        }
    }
    let zone = provider.zone(&name).await.unwrap();
    assert_eq!(provider.values(&zone, &name).await.unwrap().len(), 2);
    assert!(provider.zone(&"elsewhere.example.net".parse().unwrap()).await.is_err());
    let removals: Vec<_> = applied.receipts.iter().map(|receipt| receipt.removal()).collect();
    engine::apply(&*provider, &removals).await.unwrap();
    assert!(fake.store().records.is_empty());
    fake.fault(When::Read, Fault::Busy(Some(RetryAfter::Seconds(1))));
    assert!(provider.values(&zone, &name).await.unwrap().is_empty());
    for refused in [Fault::Forbidden, Fault::Unauthorized] {
        fake.fault(When::Any, refused);
        engine::apply(&*provider, &changes).await.unwrap_err();
    }
    // Refusals are in the vendor's words, too.
    let exchanges = fake.exchanges();
    assert!(exchanges.len() > 8);
    let violations = exchanges.iter().flat_map(|exchange| {
        let response = exchange.response().unwrap();
        specification.check(&exchange.request(), &response)
    });
    let mut violations: Vec<_> = violations.map(|violation| violation.to_string()).collect();
    for known in wrong {
        let before = violations.len();
        violations.retain(|violation| !violation.contains(known));
        assert!(violations.len() < before, "{known:?} is no fault of the document any more");
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
