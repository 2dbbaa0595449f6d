//! `list`

use serde_json::json;

use crate::{
    args::{Args, List},
    failure::Failure,
    said::{say, say_json, table},
    scene,
};

pub(crate) async fn run(args: &Args, List { name }: &List) -> Result<(), Failure> {
    let provider = scene::provider(args)?;
    let zone = provider.zone(name).await?;
    let records = provider.records(&zone, name).await?;
    if args.json {
        let provider = provider.kind();
        return say_json(&json!({ "provider": provider, "zone": zone, "name": name, "records": records }));
    }
    let head = [["zone".to_owned(), zone.to_string()], ["name".to_owned(), name.to_string()]];
    say(&table(&head));
    let rows = records.iter().map(|record| {
        let ttl = record.ttl.map_or_else(|| "TTL unknown".to_owned(), |ttl| format!("{} s", ttl.as_secs()));
        // Quoted, and without what a terminal would obey.
        [format!("{:?}", record.value), ttl]
    });
    match rows.collect::<Vec<_>>().as_slice() {
        [] => say("no TXT record\n"),
        rows => say(&table(rows)),
    }
    Ok(())
}
