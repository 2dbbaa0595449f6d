//! An issuance by this library, as its documentation shows it.

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_acme::{
    Account, AccountKey, CertificateChain, Client, NewAccount, NewOrder, OrderStatus, Signer,
};
use perennial_core::{Clock, DomainName, Timestamp};

use crate::{
    authority::{Authority, HOME},
    pki::{Certificate, NOON},
};

/// It is always noon, and waiting takes no time.
struct Noon;

#[async_trait]
impl Clock for Noon {
    fn now(&self) -> Timestamp {
        NOON
    }

    async fn sleep(&self, _: Duration) {}

    async fn sleep_until(&self, _: Timestamp) {}
}

/// A client in a process that has just begun.
pub(crate) fn client(authority: &Arc<Authority>) -> Result<Client, Box<dyn Error>> {
    let client = Client::builder(format!("{HOME}/directory")).http(authority.clone()).clock(Arc::new(Noon));
    Ok(client.build()?)
}

/// An account that the server has just made.
pub(crate) async fn register(client: &Client, key: Arc<AccountKey>) -> Result<Account, Box<dyn Error>> {
    Ok(client.register(NewAccount::new().agree_to_terms(), key).await?)
}

/// An account that was kept.
pub(crate) fn known(client: &Client, key: Arc<dyn Signer>) -> Result<Account, Box<dyn Error>> {
    Ok(client.account(&format!("{HOME}/acme/acct/123456789"), key)?)
}

/// From names to a chain. The TXT values are computed; nobody publishes them.
pub(crate) async fn issue(
    account: &Account,
    certificate: &Certificate,
) -> Result<CertificateChain, Box<dyn Error>> {
    let deadline = NOON + Duration::from_secs(60);
    let order = account.new_order(&NewOrder::new(&certificate.names)).await?;
    if order.state().status != OrderStatus::Ready {
        for authorization in order.authorizations().await? {
            let challenge = authorization.dns01().ok_or("no dns-01 is offered")?;
            let (_name, _value): (DomainName, String) =
                (challenge.dns01_record_name()?, challenge.dns01_value()?);
            challenge.answer().await?;
        }
    }
    order.wait_ready(deadline).await?;
    order.finalize(&certificate.csr).await?;
    order.wait_valid(deadline).await?;
    Ok(order.certificate().await?)
}
