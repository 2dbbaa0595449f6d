//! The same issuance by `instant-acme`, as its example shows it.

use std::{error::Error, future::Future, pin::Pin, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use instant_acme::{
    Account, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, HttpClient, Identifier,
    NewOrder, RetryPolicy,
};
use perennial_acme::AccountKey;
use serde_json::json;

use crate::authority::{Authority, HOME};
use crate::pki::Certificate;

/// The same server behind the peer's own trait.
struct Http(Arc<Authority>);

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let (parts, body) = self.0.answer(request.uri().path()).into_parts();
        Box::pin(std::future::ready(Ok(BytesResponse { parts, body: Box::new(body) })))
    }
}

/// An account that was kept, with the same key. It fetches the directory.
pub(crate) async fn known(authority: &Arc<Authority>, key: &AccountKey) -> Result<Account, Box<dyn Error>> {
    let credentials = json!({
        "id": format!("{HOME}/acme/acct/123456789"),
        "key_pkcs8": URL_SAFE_NO_PAD.encode(key.to_pkcs8_der().expose()),
        "directory": format!("{HOME}/directory"),
    });
    let credentials = serde_json::from_value(credentials)?;
    Ok(Account::builder_with_http(Box::new(Http(authority.clone()))).from_credentials(credentials).await?)
}

/// From names to a chain in PEM, which it neither reads nor verifies.
pub(crate) async fn issue(account: &Account, certificate: &Certificate) -> Result<String, Box<dyn Error>> {
    let names: Vec<_> = certificate.names.iter().map(|name| Identifier::Dns(name.to_string())).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(ChallengeType::Dns01).ok_or("no dns-01 is offered")?;
        let (_name, _value) = (challenge.identifier().to_string(), challenge.key_authorization().dns_value());
        challenge.set_ready().await?;
    }
    order.poll_ready(&RetryPolicy::default()).await?;
    order.finalize_csr(&certificate.csr).await?;
    Ok(order.poll_certificate(&RetryPolicy::default()).await?)
}
