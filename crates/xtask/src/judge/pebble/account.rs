//! Accounts (RFC 8555 §7.3): keys of every kind, bound and unbound, changed, listed and given up.

use std::sync::Arc;

use perennial_acme::{
    AccountCredentials, AccountKey, AccountStatus, AccountUpdate, Algorithm, Error, ExternalAccount,
    MacAlgorithm, Misuse, NewAccount, NewOrder, ProblemType,
};
use perennial_core::{KeyAlgorithm, SecretString};
use perennial_testkit::real::{Pebble, PebbleBuilder};

use super::{
    Case, Outcome, check,
    lab::{Lab, Leaf},
    text,
};

pub(super) fn cases(lab: &Lab) -> Vec<Case<'_>> {
    let pebble = Pebble::builder;
    vec![
        ("account_es256", Box::pin(key_of(lab, pebble(), Algorithm::Es256))),
        ("account_es384", Box::pin(key_of(lab, pebble(), Algorithm::Es384))),
        ("account_rs256", Box::pin(key_of(lab, pebble(), Algorithm::Rs256))),
        ("account_eddsa_refused", Box::pin(refused_key(lab))),
        ("account_terms", Box::pin(terms(lab))),
        ("account_verbs", Box::pin(verbs(lab, pebble()))),
        ("account_contact_refused", Box::pin(refused_contact(lab))),
        ("account_orders", Box::pin(orders(lab, pebble()))),
        ("account_key_change", Box::pin(key_change(lab, pebble()))),
        ("account_key_change_lost_answer", Box::pin(lost_key_change(lab))),
        ("account_key_change_conflict", Box::pin(taken_key(lab))),
        ("eab_hs256", Box::pin(bound(lab, pebble(), MacAlgorithm::Hs256))),
        ("eab_hs384", Box::pin(bound(lab, pebble(), MacAlgorithm::Hs384))),
        ("eab_hs512", Box::pin(bound(lab, pebble(), MacAlgorithm::Hs512))),
        ("eab_wrong_key", Box::pin(wrongly_bound(lab, "kid-1", OTHER_MAC_KEY))),
        ("eab_unknown_kid", Box::pin(wrongly_bound(lab, "kid-2", MAC_KEY))),
        ("eab_none", Box::pin(unbound(lab))),
    ]
}

/// Of 64 octets: Pebble takes no key for HS512 that is shorter than its hash.
const MAC_KEY: &str =
    "CzBVep_E6Q4zWH2ix-wRNluApcrvFDleg6jN8hc8YYar0PUaP2SJrtP4HUJnjLHW-yBFao-02f4jSG2St9wBJg";
const OTHER_MAC_KEY: &str = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH";

/// A new account key; RSA ones are made by core.
async fn new_key(algorithm: Algorithm) -> Result<Arc<AccountKey>, String> {
    let key = match algorithm {
        Algorithm::Rs256 => AccountKey::from_pem(&Leaf::of(KeyAlgorithm::Rsa2048).await?.to_pem()),
        algorithm => AccountKey::generate_with(algorithm),
    };
    text(key).map(Arc::new)
}

/// Registers, and obtains a certificate: every request is signed with it.
pub(super) async fn key_of(lab: &Lab, pebble: PebbleBuilder, algorithm: Algorithm) -> Outcome {
    let site = lab.site(pebble).await?;
    let account = site.register(new_key(algorithm).await?).await?;
    site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    Ok(String::new())
}

/// The certificate authority says which algorithms it would take (RFC 8555 §6.2).
async fn refused_key(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let request = NewAccount::new().agree_to_terms();
    let made = site.client()?.0.register(request, new_key(Algorithm::EdDsa).await?).await;
    refusal(made, &ProblemType::BadSignatureAlgorithm)
}

async fn terms(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (client, _) = site.client()?;
    let made = client.register(NewAccount::new(), new_key(Algorithm::Es256).await?).await;
    let error = made.as_ref().err().ok_or("it was made without the terms")?;
    let named = text(client.directory().await)?.meta.terms_of_service.clone().unwrap_or_default();
    check(error.to_string().contains(&named), || format!("{named} is not in: {error}"))?;
    refusal(made, &ProblemType::UserActionRequired)
}

/// Found by its key, looked at, changed, given up.
pub(super) async fn verbs(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let (client, _) = site.client()?;
    let key = new_key(Algorithm::Es256).await?;
    let unknown = client.find_account(key.clone()).await.err().ok_or("a key that is new was found")?;
    check(matches!(unknown, Error::Misuse(Misuse::UnknownKey { .. })), || unknown.to_string())?;
    let request = NewAccount::new().contact("mailto:one@example.com").agree_to_terms();
    let account = text(client.register(request, key.clone()).await)?;
    let found = text(site.client()?.0.find_account(key.clone()).await)?;
    check(found.url() == account.url(), || format!("{} is not {}", found.url(), account.url()))?;
    let update = AccountUpdate::new().contact("mailto:two@example.com").contact("mailto:three@example.com");
    text(account.update(&update).await)?;
    let contact = text(account.refresh().await)?.contact;
    check(contact == ["mailto:two@example.com", "mailto:three@example.com"], || format!("{contact:?}"))?;
    let status = text(account.deactivate().await)?.status;
    check(status == AccountStatus::Deactivated, || status.to_string())?;
    let order = account.new_order(&NewOrder::new([lab.name()?])).await;
    let error = order.err().ok_or("it orders on after it was given up")?;
    let unauthorized = error.problem().is_some_and(|problem| problem.kind == ProblemType::Unauthorized);
    check(unauthorized, || error.to_string())?;
    Ok(error.to_string())
}

async fn refused_contact(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let account = site.account().await?;
    let update = AccountUpdate::new().contact("tel:+4912345");
    refusal(account.update(&update).await, &ProblemType::UnsupportedContact)
}

/// Seven orders on pages of two.
pub(super) async fn orders(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble.orders_per_page(2)).await?;
    let (account, recorder) = site.recorded_account().await?;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(text(account.new_order(&NewOrder::new([lab.name()?])).await)?.url().to_owned());
    }
    let mut listed: Vec<String> =
        text(account.orders().await)?.iter().map(|url| url.as_str().to_owned()).collect();
    made.sort();
    listed.sort();
    check(made == listed, || format!("{listed:?} are not {made:?}"))?;
    let pages = recorder.count("/list-orderz/");
    check(pages == 4, || format!("in {pages} pages"))?;
    Ok(format!("{} on {pages} pages", made.len()))
}

/// To another kind of key, from what was kept before; the old one is worth nothing afterwards.
pub(super) async fn key_change(lab: &Lab, pebble: PebbleBuilder) -> Outcome {
    let site = lab.site(pebble).await?;
    let old = new_key(Algorithm::Es256).await?;
    let account = site.register(old.clone()).await?;
    let pending = text(account.credentials(old.clone()))?;
    let pending = text(pending.with_pending_key(new_key(Algorithm::Es384).await?))?;
    let kept = pending.to_json();
    let changed = text(account.change_key(&pending).await)?;
    site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    let again = text(site.client()?.0.restore(&changed))?;
    text(again.refresh().await)?;
    let stale = text(site.client()?.0.account(account.url(), old))?;
    let error = stale.refresh().await.err().ok_or("the old key is still good")?;
    check(error.problem().is_some(), || error.to_string())?;
    // A process that died before it kept the outcome finds it out.
    let found = text(AccountCredentials::from_json(&SecretString::new(kept.expose())))?;
    let (_, settled) = text(site.client()?.0.settle_key_change(&found).await)?;
    check(settled.pending_key().is_none(), || "it is not settled".to_owned())?;
    Ok(String::new())
}

/// The server has the new key, but nobody hears of it: the client finds out by itself.
async fn lost_key_change(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (client, recorder) = site.client()?;
    let old = new_key(Algorithm::Es256).await?;
    let account = text(client.register(NewAccount::new().agree_to_terms(), old.clone()).await)?;
    let pending = text(account.credentials(old))?;
    let pending = text(pending.with_pending_key(new_key(Algorithm::Es256).await?))?;
    recorder.lose_answer_of("/rollover-account-key");
    text(account.change_key(&pending).await)?;
    text(account.refresh().await)?;
    Ok(String::new())
}

/// The new key has an account already (409, RFC 8555 §7.3.5).
async fn taken_key(lab: &Lab) -> Outcome {
    let site = lab.usual_site().await?;
    let (mine, others) = (new_key(Algorithm::Es256).await?, new_key(Algorithm::Es256).await?);
    let account = site.register(mine.clone()).await?;
    site.register(others.clone()).await?;
    let pending = text(text(account.credentials(mine))?.with_pending_key(others))?;
    match account.change_key(&pending).await {
        Err(error @ Error::Misuse(Misuse::KeyTaken { .. })) => {
            text(account.refresh().await)?;
            Ok(error.to_string())
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Err("the key was taken".to_owned()),
    }
}

pub(super) async fn bound(lab: &Lab, pebble: PebbleBuilder, mac: MacAlgorithm) -> Outcome {
    let site = lab.site(pebble.external_account("kid-1", MAC_KEY)).await?;
    let customer = text(ExternalAccount::new("kid-1", &SecretString::new(MAC_KEY)))?.algorithm(mac);
    let request = NewAccount::new().agree_to_terms().external_account(customer);
    let account = text(site.client()?.0.register(request, new_key(Algorithm::Es256).await?).await)?;
    site.issue(&account, &NewOrder::new([lab.name()?])).await?;
    Ok(String::new())
}

async fn wrongly_bound(lab: &Lab, key_id: &str, mac_key: &str) -> Outcome {
    let site = lab.site(Pebble::builder().external_account("kid-1", MAC_KEY)).await?;
    let customer = text(ExternalAccount::new(key_id, &SecretString::new(mac_key)))?;
    let request = NewAccount::new().agree_to_terms().external_account(customer);
    let made = site.client()?.0.register(request, new_key(Algorithm::Es256).await?).await;
    refusal(made, &ProblemType::Unauthorized)
}

/// Nothing is sent: the directory says that it is needed.
async fn unbound(lab: &Lab) -> Outcome {
    let site = lab.site(Pebble::builder().external_account("kid-1", MAC_KEY)).await?;
    let (client, recorder) = site.client()?;
    let made = client.register(NewAccount::new().agree_to_terms(), new_key(Algorithm::Es256).await?).await;
    let error = made.err().ok_or("it was made without a binding")?;
    check(matches!(error, Error::Misuse(Misuse::ExternalAccountRequired)), || error.to_string())?;
    check(recorder.count("/sign-me-up") == 0, || "it was sent".to_owned())?;
    Ok(error.to_string())
}

/// Refused with a problem of that type, which is what is shown.
pub(super) fn refusal<T>(done: Result<T, Error>, kind: &ProblemType) -> Outcome {
    let error = done.err().ok_or("it was not refused")?;
    let found = error.problem().map(|problem| &problem.kind);
    if found == Some(kind) { Ok(error.to_string()) } else { Err(error.to_string()) }
}
