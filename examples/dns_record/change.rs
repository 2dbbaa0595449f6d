//! `add` and `remove`

use perennial::{
    core::{Clock as _, DomainName, SystemClock},
    providers::{Action, Applied, Change, DnsProvider, Error, Outcome, Receipt, Zone, engine},
};
use serde_json::{Map, Value, json};

use crate::{
    args::{Add, Args, Remove, Wait},
    failure::Failure,
    receipt::ReceiptFile,
    said::say_json,
    scene,
};

/// Debt first: the receipt is in its file before the provider is asked to make the record.
pub(crate) async fn add(args: &Args, add: &Add) -> Result<(), Failure> {
    let provider = &*scene::provider(args)?;
    let mut change = Change::add(add.name.clone(), add.value.as_str());
    change.ttl = add.ttl;
    let zone = provider.zone(&add.name).await?;
    let receipt = Receipt::new(provider.kind(), &zone, &change);
    let file = add.receipt.as_deref().map(|path| ReceiptFile::create(path, &receipt)).transpose()?;
    let done = match Done::of(provider, &zone, &change).await {
        Ok(done) => done,
        Err(error) => return Err(owed(error, file)),
    };
    let receipt = done.applied.receipts.first().unwrap_or(&receipt);
    match &file {
        Some(file) => file.replace(receipt)?,
        // Before the wait, which may end otherwise.
        None if !args.json => say_json(receipt)?,
        None => {}
    }
    let place = file.as_ref().map(|file| format!("; its receipt is {}", file.path().display()));
    eprintln!("dns_record: {}{}", told(&change, &zone, done.outcome), place.unwrap_or_default());
    done.finish(args, provider, &add.wait, &json!({ "receipt": receipt })).await
}

/// A record that may be there keeps its receipt; one that is not, does not.
fn owed(error: Error, file: Option<ReceiptFile>) -> Failure {
    let uncertain = error.is_uncertain();
    let failure = Failure::from(error);
    match file {
        Some(file) if uncertain => {
            failure.with(&format!("it may be there all the same: {} is its receipt", file.path().display()))
        }
        Some(file) => file.paid().err().unwrap_or(failure),
        None => failure,
    }
}

pub(crate) async fn remove(args: &Args, remove: &Remove) -> Result<(), Failure> {
    let (file, receipt) = match remove.receipt.as_deref() {
        Some(path) => {
            let (file, receipt) = ReceiptFile::open(path)?;
            (Some(file), Some(receipt))
        }
        None => (None, None),
    };
    if let (Some(receipt), Some(kind)) = (&receipt, &args.provider)
        && receipt.provider != *kind
    {
        let made = &receipt.provider;
        return Err(Failure::usage(format!("the receipt is one of {made}, and --provider is {kind}")));
    }
    let provider = &*scene::provider(args)?;
    let (zone, change) = match (receipt, &remove.name, &remove.value) {
        (Some(receipt), ..) => (receipt.zone.clone(), receipt.removal()),
        (None, Some(name), Some(value)) => {
            (provider.zone(name).await?, Change::remove(name.clone(), value.as_str()))
        }
        _ => return Err(Failure::usage("give the name and the value, or --receipt".to_owned())),
    };
    let done = Done::of(provider, &zone, &change).await?;
    let paid = file.as_ref().map(|file| format!("; {} is paid", file.path().display()));
    file.map(ReceiptFile::paid).transpose()?;
    eprintln!("dns_record: {}{}", told(&change, &zone, done.outcome), paid.unwrap_or_default());
    let what = json!({ "zone": zone, "name": change.name, "value": change.value });
    done.finish(args, provider, &remove.wait, &what).await
}

/// A change that was made.
struct Done {
    applied: Applied,
    outcome: Outcome,
}

impl Done {
    /// Makes the change. Not every provider can tell whether there was anything to do, so somebody looks before.
    async fn of(provider: &dyn DnsProvider, zone: &Zone, change: &Change) -> Result<Self, Error> {
        change.check(provider.kind(), zone)?;
        let before = is_there(provider, zone, &change.name, &change.value).await;
        let applied = provider.apply(zone, std::slice::from_ref(change)).await?;
        let wanted = change.action == Action::Add;
        let outcome = match (applied.outcomes.first(), before) {
            (Some(outcome @ (Outcome::AlreadyDone | Outcome::Made)), _) => *outcome,
            (_, Some(before)) if before == wanted => Outcome::AlreadyDone,
            (_, Some(_)) => Outcome::Made,
            (_, None) => Outcome::Unknown,
        };
        Ok(Self { applied, outcome })
    }

    /// Waits if that is wanted, and prints what came of it as JSON if that is.
    async fn finish(
        &self,
        args: &Args,
        provider: &dyn DnsProvider,
        wait: &Wait,
        what: &Value,
    ) -> Result<(), Failure> {
        let in_sync = self.in_sync(provider, wait).await;
        let outcome = match self.outcome {
            Outcome::AlreadyDone => "already done",
            Outcome::Made => "made",
            _ => "unknown",
        };
        let known = in_sync.as_ref().map_or(Some(false), |known| *known);
        let mut said = what.as_object().cloned().unwrap_or_else(Map::new);
        said.insert("outcome".to_owned(), outcome.into());
        said.insert("in_sync".to_owned(), known.into());
        match in_sync {
            Ok(_) if args.json => say_json(&said),
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.after(said)),
        }
    }

    /// `None`: nobody has asked, or nobody can tell.
    async fn in_sync(&self, provider: &dyn DnsProvider, wait: &Wait) -> Result<Option<bool>, Failure> {
        if !wait.wait {
            return Ok(None);
        }
        let capabilities = provider.capabilities();
        if !capabilities.reports_in_sync {
            let kind = provider.kind();
            eprintln!(
                "dns_record: {kind} does not tell when its servers have it: look by the example `propagation`"
            );
            return Ok(None);
        }
        let clock = SystemClock::new();
        let deadline = clock.now() + wait.timeout.unwrap_or(capabilities.max_wait);
        engine::wait_in_sync(provider, &self.applied.pending, &clock, deadline).await?;
        eprintln!("dns_record: in sync: the provider's own servers have it");
        Ok(Some(true))
    }
}

/// `None` where it cannot be told; a provider that is in trouble says so when it is to change something.
async fn is_there(provider: &dyn DnsProvider, zone: &Zone, name: &DomainName, value: &str) -> Option<bool> {
    let values = provider.values(zone, name).await.ok()?;
    Some(values.iter().any(|known| known == value))
}

fn told(change: &Change, zone: &Zone, outcome: Outcome) -> String {
    let Change { name, value, .. } = change;
    let at = format!("{value:?} at {name} in {zone}");
    match (change.action, outcome) {
        (Action::Add, Outcome::AlreadyDone) => {
            format!("nothing to do: there was {at} already")
        }
        (Action::Add, Outcome::Made) => format!("added {at}"),
        (Action::Add, _) => format!("there is {at} now"),
        (_, Outcome::AlreadyDone) => format!("nothing to do: there was no {at}"),
        (_, Outcome::Made) => format!("removed {at}"),
        (..) => format!("there is no {at} now"),
    }
}
