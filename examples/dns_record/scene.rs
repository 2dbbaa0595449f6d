//! Which provider, and what it may do.

use std::sync::Arc;

use perennial::{
    core::DomainName,
    providers::{DnsProvider, Registry},
};

use crate::{args::Args, failure::Failure, options};

/// The provider that the command line and the environment describe, behind its rails.
pub(crate) fn provider(args: &Args) -> Result<Arc<dyn DnsProvider>, Failure> {
    let kind = args.provider.as_deref().ok_or_else(|| {
        Failure::usage("--provider is missing: `providers` lists the kinds there are".to_owned())
    })?;
    let registry = Registry::standard();
    let mut options = options::of(&registry, kind, &args.provider_option)?;
    if !args.allow_zone.is_empty() {
        let zones: Vec<_> = args.allow_zone.iter().map(DomainName::as_str).collect();
        options = options.with("allow-zones", zones.join(","));
    }
    if !args.allow_prefix.is_empty() {
        options = options.with("allow-labels", args.allow_prefix.join(","));
    }
    Ok(registry.create(kind, &options)?)
}
