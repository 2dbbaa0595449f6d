//! The contract itself, seen from the vendor's side.

use std::time::Duration;

use perennial_providers::{Change, Outcome as Became, Receipt, laws};

use super::{Case, FOREIGN, NAME, Outcome, ZONE, add, apply, doing, name, remove, same, zone};

/// 1, 2, 3, 4, 5: the laws of the contract, and what was there is as it was.
pub(super) async fn is_kept_with_a_foreign_sibling(case: &Case<'_>) -> Outcome {
    case.plant();
    let report = laws::check(&*case.client(), &name(NAME)).await;
    if !report.is_kept() {
        return Err(report.to_string());
    }
    case.is_untouched()?;
    case.expect("the laws", NAME, &[])
}

/// 15: capitals, a final dot, Unicode, and the apex.
pub(super) async fn is_kept_at_the_apex_and_for_names_however_they_are_written(case: &Case<'_>) -> Outcome {
    let provider = case.client();
    for (written, stored) in [
        (ZONE, ZONE),
        ("_Acme-Challenge.WWW.Example.COM.", NAME),
        ("_acme-challenge.Bücher.example.com", "_acme-challenge.xn--bcher-kva.example.com"),
    ] {
        let at = name(written);
        let zone = doing("finding the zone", provider.zone(&at).await)?;
        doing("adding", provider.apply(&zone, &[Change::add(at.clone(), "v")]).await)?;
        case.expect("adding", stored, &["v"])?;
        same("the values", doing("reading", provider.values(&zone, &at).await)?, vec!["v".to_owned()])?;
        let records = doing("reading", provider.records(&zone, &at).await)?;
        same("the records", records.into_iter().map(|it| it.value).collect(), vec!["v".to_owned()])?;
        doing("removing", provider.apply(&zone, &[Change::remove(at, "v")]).await)?;
        case.expect("removing", stored, &[])?;
    }
    Ok(())
}

/// 6: nothing is kept in memory that is needed.
pub(super) async fn removes_without_a_receipt_after_a_restart(case: &Case<'_>) -> Outcome {
    case.plant();
    apply(&*case.client(), "adding", &[add("one"), add("two")]).await?;
    apply(&*case.client(), "removing after a restart", &[remove("one")]).await?;
    case.expect("removing one of two", NAME, &["two"])?;
    case.is_untouched()
}

pub(super) async fn removes_by_receipts_that_were_written_down(case: &Case<'_>) -> Outcome {
    let provider = case.client();
    let zone = zone(&*provider).await?;
    let mut receipts = Vec::new();
    for value in ["one", "two"] {
        receipts.extend(doing("adding", provider.apply(&zone, &[add(value)]).await)?.receipts);
    }
    let stored = doing("writing down", serde_json::to_string(&receipts))?;
    case.keeps_secrets("a receipt", &stored)?;
    let receipts: Vec<Receipt> = doing("reading again", serde_json::from_str(&stored))?;
    same("receipts", receipts.len(), 2)?;
    let later = case.client();
    for receipt in receipts {
        doing("removing", later.apply(&receipt.zone, &[receipt.removal()]).await)?;
    }
    case.expect("removing by receipts", NAME, &[])
}

/// 7: what the vendor echoes stands for what was sent, and somebody else's form of our value is our value.
pub(super) async fn understands_every_echo(case: &Case<'_>) -> Outcome {
    let long: String = (0..60).map(|n| format!("part-{n:02}.")).collect();
    let values = ["plain", r#"with "quotes" and \ back"#, &long];
    for &echo in &case.echoes {
        for value in values {
            case.store(|store| {
                store.records.clear();
                store.echo = echo;
            });
            let what = format!("with echo {echo:?}");
            apply(&*case.client(), &what, &[add(value)]).await?;
            let provider = case.client();
            let zone = zone(&*provider).await?;
            let read = doing(&what, provider.values(&zone, &name(NAME)).await)?;
            same(&what, read, vec![value.to_owned()])?;
            apply(&*case.client(), &what, &[add(value)]).await?;
            case.expect(&format!("adding twice {what}"), NAME, &[value])?;
            apply(&*case.client(), &what, &[remove(value)]).await?;
            case.expect(&format!("removing {what}"), NAME, &[])?;
            case.store(|store| store.add(ZONE, NAME, value, 3600));
            apply(&*case.client(), &what, &[remove(value)]).await?;
            case.expect(&format!("removing what somebody else wrote, {what}"), NAME, &[])?;
        }
    }
    Ok(())
}

pub(super) async fn tells_what_became_of_each_change(case: &Case<'_>) -> Outcome {
    case.plant();
    let provider = case.client();
    let zone = zone(&*provider).await?;
    apply(&*provider, "adding", &[add("there")]).await?;
    let changes = [add("there"), add("new"), remove("absent"), remove(FOREIGN)];
    let applied = doing("a mixed batch", provider.apply(&zone, &changes[..3]).await)?;
    case.keeps_secrets("what is told of success", &format!("{zone:?} {applied:?}"))?;
    let expected = [Became::AlreadyDone, Became::Made, Became::AlreadyDone];
    // Who cannot tell says so; what is said is true.
    let agrees = |(became, expected): (&Became, &Became)| *became == Became::Unknown || became == expected;
    let lengths_agree = applied.outcomes.is_empty() || applied.outcomes.len() == 3;
    if !lengths_agree || !applied.outcomes.iter().zip(&expected).all(agrees) {
        return Err(format!("expected {expected:?}, was told {:?}", applied.outcomes));
    }
    case.expect("a mixed batch", NAME, &["there", "new"])?;
    case.is_untouched()
}

/// 16: what is given is what the receipt says, and not less than the vendor's least.
pub(super) async fn raises_a_time_to_live_that_is_too_short(case: &Case<'_>) -> Outcome {
    let provider = case.client();
    let zone = zone(&*provider).await?;
    let short = add("v").with_ttl(Duration::from_secs(1));
    let applied = doing("adding with a short time to live", provider.apply(&zone, &[short]).await)?;
    let least = provider.capabilities().min_ttl;
    let stored = case.store(|store| store.records.iter().find(|it| it.name == NAME).map(|it| it.ttl));
    let stored = stored.map(|ttl| Duration::from_secs(ttl.into()));
    if stored.is_none_or(|ttl| ttl < least) {
        return Err(format!("the time to live is {stored:?}, and {least:?} is the least"));
    }
    let told = applied.receipts.first().and_then(|receipt| receipt.ttl);
    if told.is_some() { same("the time to live on the receipt", told, stored) } else { Ok(()) }
}
