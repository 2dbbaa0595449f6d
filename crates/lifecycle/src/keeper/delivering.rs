//! Delivering what serves to its outputs, and looking how it was found there.

use std::sync::Arc;

use perennial_core::Retry;

use super::{
    Inner, Issued,
    desk::{Desk, Page},
    material, reloading,
};
use crate::{
    Delivered, Delivery, Error, EventKind, Found, IssueError, IssueErrorClass, Record, Redelivery, Shipment,
    Sink, SinkError, SinkName, ladder, schedule::Spread,
};

/// How the outputs of a certificate were found; `None` where the store is all there is, or where they cannot be
/// looked at or written to now.
pub(super) async fn found<'a>(inner: &Inner, record: &'a Record) -> Option<Delivery<'a>> {
    if inner.sinks.is_empty() || record.spec.outputs().is_empty() && record.delivered.is_none() {
        return None;
    }
    if record.undelivered.as_ref().is_some_and(|failures| failures.retry_at > inner.clock.now()) {
        return None;
    }
    let delivered = record.delivered.as_ref();
    let mut found = Found::AsDelivered;
    // What was never delivered, or is to be replaced, need not be looked at.
    let serving = record.current.as_ref().map(|current| current.facts.fingerprint.as_str());
    let as_wished = delivered.is_some_and(|delivered| {
        record.spec.asks_same_delivery(&delivered.delivered_for)
            && serving == Some(delivered.fingerprint.as_str())
    });
    let there = if as_wished {
        shipments(inner, record, material::current(inner, record).await).ok()?
    } else {
        Vec::new()
    };
    for (sink, shipment) in there {
        match sink.found(&shipment).await.ok()? {
            Found::Overwritten => return Some(Delivery { delivered, found: Found::Overwritten }),
            Found::Gone => found = Found::Gone,
            Found::AsDelivered => {}
        }
    }
    Some(Delivery { delivered, found })
}

/// Whether what serves was not delivered yet, and that did not fail either.
pub(super) fn is_due(inner: &Inner, record: &Record) -> bool {
    let delivered = record.delivered.as_ref().map(|delivered| delivered.fingerprint.as_str());
    let serving = record.current.as_ref().map(|current| current.facts.fingerprint.as_str());
    let wanted = !inner.sinks.is_empty() && !record.spec.outputs().is_empty();
    wanted && record.undelivered.is_none() && serving.is_some() && delivered != serving
}

/// Delivers to all outputs and writes that down, or how it failed.
pub(super) async fn deliver(desk: Desk<'_>, page: &mut Page, why: Redelivery) -> Result<(), Error> {
    let issued = match material::current(desk.inner, &page.record).await {
        Err(error) if error.is_the_stores() => return Err(error),
        issued => issued,
    };
    let result = async {
        for (sink, shipment) in shipments(desk.inner, &page.record, issued)? {
            sink.deliver(&shipment).await?;
        }
        Ok::<(), SinkError>(())
    };
    let result = result.await;
    let (now, record) = (desk.now(), &mut page.record);
    match result {
        Ok(()) => {
            let overwritten = record.delivered.as_ref().map_or(0, |delivered| delivered.overwritten);
            let fingerprint = record.current.as_ref().map(|current| current.facts.fingerprint.clone());
            record.delivered = Some(Delivered {
                fingerprint: fingerprint.unwrap_or_default(),
                delivered_for: record.spec.clone(),
                at: now,
                overwritten: match why {
                    Redelivery::Gone | Redelivery::Overwritten => overwritten.saturating_add(1),
                    Redelivery::NotYet | Redelivery::WishChanged => 0,
                },
            });
            record.undelivered = None;
            // It is owed from here on: whoever dies now has it done by who comes after.
            record.reloads = reloading::owed(desk.inner, record);
            desk.save(page).await?;
            desk.tell(page.id(), EventKind::Redelivered { why });
            reloading::reload(desk, page).await?;
        }
        Err(error) => {
            let failed = IssueError::new(IssueErrorClass::Local, error.message.as_str(), error.retry());
            let expires = record.current.as_ref().map(|current| current.facts.not_after);
            let spread = Spread::of(record.id());
            let failures = ladder::fail(record.undelivered.as_ref(), &failed, now, expires, spread);
            let retry_at = failures.retry_at;
            record.undelivered = Some(failures);
            desk.save(page).await?;
            desk.tell(page.id(), EventKind::DeliveryFailed { message: error.message, retry_at });
        }
    }
    Ok(())
}

/// What goes where.
type Way = (Arc<dyn Sink>, Shipment);

/// The way to each output, of the material that was found.
fn shipments(
    inner: &Inner,
    record: &Record,
    found: Result<Option<Issued>, Error>,
) -> Result<Vec<Way>, SinkError> {
    let issued = found.map_err(|error| SinkError::new(error.to_string(), error.retry()))?;
    let issued = issued.ok_or_else(|| {
        SinkError::new(format!("there is no certificate {} to deliver", record.id()), Retry::Backoff)
    })?;
    let shipments = record.spec.outputs().iter().map(|output| {
        let sink = inner.sinks.get(&output.sink).ok_or_else(|| {
            let known: Vec<_> = inner.sinks.keys().map(SinkName::as_str).collect();
            let known = known.join(", ");
            let message =
                format!("certificate {} wants sink {:?}, known are: {known}", record.id(), output.sink);
            SinkError::new(message, Retry::Never)
        })?;
        let (id, template) = (record.id().clone(), record.spec.template().clone());
        Ok((sink.clone(), Shipment { id, format: output.format, template, issued: issued.clone() }))
    });
    shipments.collect()
}
