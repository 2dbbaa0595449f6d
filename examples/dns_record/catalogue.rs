//! `providers` and `schema`: what there is.

use perennial::providers::{ConfigError, Error, Registry};
use serde_json::json;

use crate::{
    args::{Args, Providers, Schema},
    failure::Failure,
    said::{say, say_json, table},
};

pub(crate) fn providers(args: &Args, Providers { kind }: &Providers) -> Result<(), Failure> {
    let registry = Registry::standard();
    if let Some(kind) = kind {
        return options(args, &registry, kind);
    }
    if args.json {
        let kinds = registry.kinds();
        let kinds = kinds.map(|(kind, factory)| json!({ "kind": kind, "summary": factory.summary() }));
        return say_json(&kinds.collect::<Vec<_>>());
    }
    let rows = registry.kinds().map(|(kind, factory)| [kind.to_owned(), factory.summary().to_owned()]);
    say(&table(&rows.collect::<Vec<_>>()));
    Ok(())
}

/// The options of one kind.
fn options(args: &Args, registry: &Registry, kind: &str) -> Result<(), Failure> {
    if args.json {
        return schema(&Schema { kind: kind.to_owned() });
    }
    let Some((_, factory)) = registry.kinds().find(|(known, _)| *known == kind) else {
        // It says which there are.
        return registry.schema(kind).map(drop).map_err(failed);
    };
    say(&format!("{}\n\n", factory.summary()));
    let rows = factory.options().iter().map(|doc| {
        let must = if doc.required { "required" } else { "" };
        let secret = if doc.secret { "secret" } else { "" };
        let default = doc.default.map(|default| format!(" [{default}]")).unwrap_or_default();
        [doc.name.to_owned(), must.to_owned(), secret.to_owned(), format!("{}{default}", doc.meaning)]
    });
    say(&table(&rows.collect::<Vec<_>>()));
    Ok(())
}

pub(crate) fn schema(Schema { kind }: &Schema) -> Result<(), Failure> {
    let schema = Registry::standard().schema(kind).map_err(failed)?;
    say(&format!("{schema}\n"));
    Ok(())
}

fn failed(error: ConfigError) -> Failure {
    Error::from(error).into()
}
