//! Others who write at the same time.

use futures_util::future::join_all;
use perennial_testkit::vendor::{Fault, When};

use super::{Case, NAME, Outcome, ZONE, add, apply, remove, zone};

/// 12: somebody is faster, again and again.
pub(super) async fn survives_others_who_write_in_between(case: &Case<'_>) -> Outcome {
    case.plant();
    let provider = case.client();
    zone(&*provider).await?;
    let interfere = |round: &'static str| {
        for number in 0..4 {
            let value = format!("{round}-{number}");
            case.fake.fault(
                When::Write,
                Fault::Interfere(Box::new(move |store| {
                    store.add(ZONE, NAME, &value, 3600);
                })),
            );
        }
    };
    interfere("while-adding");
    apply(&*provider, "adding while others write", &[add("ours")]).await?;
    interfere("while-removing");
    let written = |case: &Case<'_>, value: &str| case.fake.store().values(NAME).iter().any(|it| it == value);
    if !written(case, "ours") {
        return Err("our value is not there, and the provider said that it is".to_owned());
    }
    apply(&*provider, "removing while others write", &[remove("ours")]).await?;
    if written(case, "ours") {
        return Err("our value is there, and the provider said that it is not".to_owned());
    }
    if !case.keeps_foreign {
        return Ok(());
    }
    // As many as had their turn.
    let left = case.fake.faults_left();
    let others = case.fake.store().values(NAME).iter().filter(|it| it.starts_with("while-")).count();
    if others + left != 8 {
        return Err(format!("{others} values of others are there, and {left} were never written, of 8"));
    }
    case.is_untouched()
}

/// 13: two clients, ten writers each, adding and removing at one name.
pub(super) async fn converges_with_twenty_writers_of_two_clients(case: &Case<'_>) -> Outcome {
    case.plant();
    // To blind vendors only what one process keeps apart is promised.
    let clients = [case.client(), if case.keeps_foreign { case.stranger() } else { case.client() }];
    let values: Vec<_> = (0..20).map(|writer| format!("writer-{writer:02}")).collect();
    let write = |values: &[String], adds: bool| {
        let changes: Vec<_> =
            values.iter().map(|value| if adds { add(value) } else { remove(value) }).collect();
        let clients = &clients;
        async move {
            let writers = changes.iter().enumerate().map(|(writer, change)| {
                apply(&*clients[writer % 2], "writing with others", std::slice::from_ref(change))
            });
            join_all(writers).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
        }
    };
    let (first, second) = values.split_at(10);
    write(first, true).await?;
    let (added, removed) = tokio::join!(write(second, true), write(first, false));
    added.and(removed)?;
    let expected: Vec<_> = second.iter().map(String::as_str).collect();
    case.expect("twenty writers", NAME, &expected)?;
    case.is_untouched()
}
