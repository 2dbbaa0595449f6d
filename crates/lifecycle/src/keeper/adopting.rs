//! Taking over a certificate that is there already, instead of having one issued.

use std::collections::BTreeMap;

use perennial_core::{SecretBytes, Timestamp};

use super::{
    desk::{Desk, Page},
    material::{chain_slot, key_slot},
};
use crate::{
    CertificateSpec, Contract, Current, Deposit, Error, EventKind, Facts, Generation, IssuedChain,
    IssuerName, Material, NotAdopted, PrivateKey, Reason, Record, SigningRequest, SinkName, chain, contract,
    facts::printable, leaf, store::Batch,
};

/// Whether a certificate with its key is what a spec wishes for, as far as that can be seen: its key, names and dates,
/// whether it is a CA's, its subject and usages, and its chain. By which profile it was made, it does not say; and for
/// how long it is valid was never more than a wish.
pub(super) fn check(
    spec: &CertificateSpec,
    chain: &IssuedChain,
    key: &PrivateKey,
    now: Timestamp,
) -> Result<(), Error> {
    let refused = |fault: Contract| Error::Contract { id: spec.id().clone(), fault };
    let request = SigningRequest::of(spec, key)?;
    contract::check(chain.facts(), &request, &Facts::fingerprint_of(key), now).map_err(refused)?;
    let (found, wanted) = (key.algorithm(), spec.key());
    if found != Some(wanted) {
        return Err(refused(Contract::KeyAlgorithm { found, wanted }));
    }
    leaf::check(&chain.leaf_der(), spec).map_err(refused)?;
    chain::check(chain, now).map_err(|fault| refused(fault.into()))
}

/// Makes it the one that serves, and keeps the one that did, in the record and the batch. Returns its generation, and
/// the one that nobody needs any more.
pub(super) fn take_over(
    record: &mut Record,
    (chain, key): (&IssuedChain, &PrivateKey),
    batch: Batch,
    now: Timestamp,
) -> (Batch, Generation, Option<Generation>) {
    let (id, generation) = (record.id().clone(), record.last_generation.next());
    record.last_generation = generation;
    let replaced = record.current.as_ref().map(|current| current.generation);
    let forgotten = std::mem::replace(&mut record.previous, replaced);
    let forgotten = forgotten.filter(|old| !record.is_compromised(*old));
    let current = Current::new(generation, record.spec.clone(), chain.facts().clone(), now);
    record.current = Some(Current { adopted: true, ..current });
    record.forget_failures();
    record.observe(Some(Material::Whole), now);
    let batch = batch
        .write(key_slot(&id, generation), SecretBytes::new(key.to_pem().expose().as_bytes()))
        .write(chain_slot(&id, generation), SecretBytes::new(chain.pem().as_bytes()));
    (batch, generation, forgotten)
}

/// Looks at the outputs of a certificate that does not exist yet, and takes over the first that is what is wished for.
/// What is not, stays where it is until a new one is delivered; why, is on record until then, and told once.
pub(super) async fn from_outputs(desk: Desk<'_>, page: &mut Page) -> Result<bool, Error> {
    let mut refused = BTreeMap::new();
    for output in page.record.spec.outputs().clone() {
        let Some(sink) = desk.inner.sinks.get(&output.sink) else { continue };
        let found = match sink.stored(page.id(), output.format).await {
            Ok(None) => continue,
            Ok(Some(deposit)) => examined(&page.record.spec, &deposit, desk.now()),
            Err(error) => Err((Reason::MissingData, error.to_string())),
        };
        let (chain, key, issued_by) = match found {
            Ok(found) => found,
            Err((why, message)) => {
                let refusal = NotAdopted { why, message: printable(&message), at: desk.now() };
                // One sink holds one certificate, in however many forms.
                refused.entry(output.sink).or_insert(refusal);
                continue;
            }
        };
        let (batch, generation, _) =
            take_over(&mut page.record, (&chain, &key), desk.hold.batch(), desk.now());
        if let Some(current) = &mut page.record.current {
            current.issued_by = issued_by;
        }
        desk.save_with(batch, page).await?;
        let not_after = chain.facts().not_after;
        desk.tell(page.id(), EventKind::Adopted { generation, not_after });
        return Ok(true);
    }
    note(desk, page, refused).await?;
    Ok(false)
}

/// Writes down what was not taken over, and tells what was not known.
async fn note(
    desk: Desk<'_>,
    page: &mut Page,
    mut refused: BTreeMap<SinkName, NotAdopted>,
) -> Result<(), Error> {
    let known = &page.record.not_adopted;
    for (sink, refusal) in &mut refused {
        let is_same = |known: &&NotAdopted| (known.why, &known.message) == (refusal.why, &refusal.message);
        if let Some(known) = known.get(sink).filter(is_same) {
            refusal.at = known.at;
        }
    }
    if *known == refused {
        return Ok(());
    }
    let known = std::mem::replace(&mut page.record.not_adopted, refused);
    desk.save(page).await?;
    let news = page.record.not_adopted.iter().filter(|(sink, refusal)| known.get(*sink) != Some(*refusal));
    for (sink, NotAdopted { why, message, .. }) in news {
        let (sink, why, message) = (sink.clone(), *why, message.clone());
        desk.tell(page.id(), EventKind::NotAdopted { sink, why, message });
    }
    Ok(())
}

/// What lies there, if it is what is wished for; else why not, in one word and in many.
fn examined(
    spec: &CertificateSpec,
    deposit: &Deposit,
    now: Timestamp,
) -> Result<(IssuedChain, PrivateKey, Option<IssuerName>), (Reason, String)> {
    let chain = IssuedChain::from_pem(deposit.chain_pem.as_str())
        .map_err(|error| (Reason::MissingData, error.to_string()))?;
    let key = PrivateKey::from_pem(&deposit.private_key_pem)
        .map_err(|error| (Reason::InvalidKeyPair, error.to_string()))?;
    check(spec, &chain, &key, now).map_err(|error| match &error {
        Error::Contract { fault, .. } => (reason_of(fault), fault.to_string()),
        _ => (Reason::InvalidKeyPair, error.to_string()),
    })?;
    if let Some(issuer) = deposit.issued_by.as_ref().filter(|it| !spec.issuers().any(|wanted| wanted == *it))
    {
        let message = format!("it was issued by {issuer}, and {} is wanted", spec.issuer_name());
        return Err((Reason::IncorrectIssuer, message));
    }
    Ok((chain, key, deposit.issued_by.clone()))
}

/// The word that operators know for it.
const fn reason_of(fault: &Contract) -> Reason {
    match fault {
        Contract::Expired { .. } => Reason::Expired,
        Contract::Key => Reason::InvalidKeyPair,
        Contract::KeyAlgorithm { .. } => Reason::SecretMismatch,
        Contract::IsCa
        | Contract::IsNoCa
        | Contract::Names { .. }
        | Contract::Subject { .. }
        | Contract::Usages { .. } => Reason::RequestChanged,
        Contract::Chain(_) | Contract::Malformed(_) | Contract::NotYetValid { .. } => Reason::MissingData,
    }
}
