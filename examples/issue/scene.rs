//! Who takes part: the CA, the DNS provider, and who looks for the record.

use std::{path::Path, sync::Arc};

use perennial::{
    core::{HttpClient, HttpError, ReqwestClient},
    propagation::{Checker, Policy},
    providers::{DnsProvider, Registry},
};

use crate::{args::Args, failure::Failure, options};

/// Everything that an issuance needs, whether embedded or real.
pub(crate) struct Scene {
    pub(crate) directory: String,
    pub(crate) agreed: bool,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) provider: Arc<dyn DnsProvider>,
    pub(crate) checker: Checker,
    pub(crate) names: Vec<String>,
}

impl Scene {
    /// The real world, as the command line describes it.
    pub(crate) fn from_args(args: &Args) -> Result<Self, Failure> {
        let missing = |flag: &str| {
            Failure::usage(format!(
                "{flag} is missing: the real world needs --directory, --domain and --provider; for the little \
                 internet that this program brings along leave all of its flags out"
            ))
        };
        let directory = args.directory.clone().ok_or_else(|| missing("--directory"))?;
        if args.domain.is_empty() {
            return Err(missing("--domain"));
        }
        let provider = args.provider.as_deref().ok_or_else(|| missing("--provider"))?;
        let http = http(args.ca_file.as_deref())?;
        let registry = Registry::standard();
        let options = options::of(&registry, provider, &args.provider_option)?;
        Ok(Self {
            directory,
            agreed: args.agree_tos,
            provider: registry.create(provider, &options)?,
            checker: checker(args, http.clone())?,
            http,
            names: args.domain.clone(),
        })
    }
}

fn http(ca_file: Option<&Path>) -> Result<Arc<dyn HttpClient>, Failure> {
    let mut client = ReqwestClient::builder();
    if let Some(path) = ca_file {
        let pem = std::fs::read(path)
            .map_err(|error| Failure::usage(format!("cannot read --ca-file {}: {error}", path.display())))?;
        client = client.root_certificates_pem(pem);
    }
    let client = client.build().map_err(|error| match (error, ca_file) {
        (HttpError::Tls { reason, .. }, Some(path)) => {
            Failure::usage(format!("--ca-file {}: {reason}", path.display()))
        }
        (error, _) => Failure::local(error.to_string()),
    });
    Ok(Arc::new(client?))
}

fn checker(args: &Args, http: Arc<dyn HttpClient>) -> Result<Checker, Failure> {
    let policy = if args.nameservers_only { Policy::RecursiveOnly } else { Policy::default() };
    let mut checker = Checker::builder()
        .policy(policy)
        .nat64(args.nat64.clone())
        .http(http)
        .authoritative_port(args.authoritative_port);
    if !args.nameserver.is_empty() {
        checker = checker.nameservers(args.nameserver.clone());
    }
    Ok(checker.build().map_err(perennial::issuers::Error::from)?)
}
