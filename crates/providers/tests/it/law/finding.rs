//! Zones and records among many.

use perennial_core::DomainName;
use perennial_providers::{Error, Zone};

use super::{Case, NAME, Outcome, ZONE, add, apply, doing, name, remove, same, zone};

async fn found(case: &Case<'_>, at: &str) -> Result<Zone, String> {
    doing(&format!("finding the zone of {at}"), case.client().zone(&name(at)).await)
}

fn apex(zone: &Zone) -> &str {
    zone.apex.as_str()
}

/// 9: the longest match, and not the private twin.
pub(super) async fn finds_the_nearest_zone(case: &Case<'_>) -> Outcome {
    case.store(|store| {
        store.add_zone("a.example.com");
        store.add_zone("badexample.com");
    });
    same("the zone", apex(&found(case, "_acme-challenge.x.a.example.com").await?), "a.example.com")?;
    same("the zone", apex(&found(case, "_acme-challenge.a.example.com").await?), "a.example.com")?;
    same("the zone", apex(&found(case, NAME).await?), ZONE)?;
    same("the zone", apex(&found(case, "www.badexample.com").await?), "badexample.com")?;
    if case.twins {
        case.store(|store| {
            let public = store.zones.clone();
            store.zones.clear();
            store.add_private_zone(ZONE);
            store.zones.extend(public);
        });
        let zone = found(case, NAME).await?;
        let twin = case.store(|store| store.zones.first().map(|zone| zone.id.clone()));
        if zone.id == twin {
            return Err(format!("the private twin was taken: {zone}"));
        }
    }
    Ok(())
}

/// 8: more zones and records than one page holds; ours are on the last one.
pub(super) async fn reads_every_page(case: &Case<'_>) -> Outcome {
    case.store(|store| {
        store.page_size = Some(2);
        let own = store.zones.remove(0);
        for number in 0..11 {
            store.add_zone(&format!("zone{number:02}.example"));
        }
        store.zones.push(own);
        for number in 0..25 {
            store.add(ZONE, NAME, &format!("filler-{number:02}"), 300);
        }
    });
    let outcome = among_many(case).await;
    case.store(|store| store.zones.reverse());
    outcome
}

async fn among_many(case: &Case<'_>) -> Outcome {
    let provider = case.client();
    same("the zone", apex(&found(case, NAME).await?), ZONE)?;
    apply(&*provider, "adding behind many", &[add("ours")]).await?;
    apply(&*case.client(), "adding it again", &[add("ours")]).await?;
    let zone = zone(&*provider).await?;
    same("the values", doing("reading", provider.values(&zone, &name(NAME)).await)?.len(), 26)?;
    let ours =
        |case: &Case<'_>| case.fake.store().values(NAME).iter().filter(|value| *value == "ours").count();
    same("our value", ours(case), 1)?;
    apply(&*case.client(), "removing behind many", &[remove("ours")]).await?;
    same("our value", ours(case), 0)?;
    same("the others", case.fake.store().values(NAME).len(), 25)
}

/// 10: a token for one zone may be refused for every other name.
pub(super) async fn tolerates_a_candidate_that_is_refused(case: &Case<'_>) -> Outcome {
    if !case.walks {
        return Ok(());
    }
    case.store(|store| store.forbidden.extend([NAME.to_owned(), "www.example.com".to_owned()]));
    same("the zone", apex(&found(case, NAME).await?), ZONE)?;
    apply(&*case.client(), "adding with a token for one zone", &[add("v")]).await?;
    case.expect("adding with a token for one zone", NAME, &["v"])
}

pub(super) async fn says_which_zones_were_tried(case: &Case<'_>) -> Outcome {
    // A vendor may call a zone by what it was shown.
    for secret in &case.secrets {
        let named = format!("{secret}.example");
        if named.parse::<DomainName>().is_ok_and(|name| name.as_str() == named) {
            case.store(|store| store.add_zone(&named));
        }
    }
    match case.client().zone(&name("_acme-challenge.www.example.net")).await {
        Err(error @ Error::ZoneNotFound { .. }) if error.to_string().contains("(tried ") => {
            case.keeps_secrets("an error", &format!("{error} {error:?}"))
        }
        Err(error) => Err(format!("not a missing zone, or not what was tried: {error}")),
        Ok(zone) => Err(format!("a zone was made up: {zone}")),
    }
}

/// One client asks once.
pub(super) async fn remembers_what_it_found(case: &Case<'_>) -> Outcome {
    let provider = case.client();
    let first = zone(&*provider).await?;
    case.fake.clear_exchanges();
    for _ in 0..3 {
        same("the zone", zone(&*provider).await?, first.clone())?;
    }
    same("requests for what is known", case.fake.exchanges().len(), 0)
}

pub(super) async fn finds_a_zone_that_was_made_anew(case: &Case<'_>) -> Outcome {
    if !case.found_by_id {
        return Ok(());
    }
    let provider = case.client();
    let old = zone(&*provider).await?;
    case.store(|store| {
        store.zones.clear();
        store.add_zone(ZONE);
    });
    match provider.apply(&old, &[add("v")]).await {
        Err(Error::ZoneNotFound { .. }) => {}
        Err(error) => return Err(format!("not a missing zone: {error}")),
        Ok(_) => return Err("a change was made in a zone that is gone".to_owned()),
    }
    // Vendors have forms of their own for identifiers.
    if zone(&*provider).await?.id == old.id {
        return Err("the old identifier is still used".to_owned());
    }
    apply(&*provider, "adding in the new zone", &[add("v")]).await?;
    case.expect("adding in the new zone", NAME, &["v"])
}
