//! Accounts (RFC 8555 §7.3).

use http::StatusCode;

use super::{Created, location, spec};
use crate::{
    AccountState, Misuse, NewAccount,
    call::{Call, Credential, Payload, Spec, Target},
};

/// Makes an account, or finds the one that the key has (RFC 8555 §7.3, §7.3.1).
pub fn new_account(request: &NewAccount) -> Call<Created<AccountState>> {
    let (text, only_existing) = (request.to_json(), request.is_only_existing());
    let payload = Payload::For(Box::new(move |_, directory| {
        if directory.meta.external_account_required && !only_existing {
            return Err(Misuse::ExternalAccountRequired.into());
        }
        Ok(text.clone())
    }));
    Call::new(Spec {
        credential: Credential::Jwk,
        expected: &[StatusCode::CREATED, StatusCode::OK],
        ..spec("newAccount", Target::Endpoint(|directory| &directory.new_account), payload, |answer| {
            Ok(Created { url: location(answer)?, state: AccountState::parse(answer.body)? })
        })
    })
}
