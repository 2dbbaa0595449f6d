//! The JSON objects of RFC 8555 §7.1 and §6.7, each from any bytes.

use perennial_acme::{
    AccountCredentials, AccountState, AuthorizationState, ChallengeState, Directory, Identifier, OrderState,
    Problem, RenewalInfo,
};
use perennial_core::{DomainName, SecretString, Timestamp};

use super::assert_quiet;

/// An account, and the credentials of one.
pub fn acme_account(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Err(fault) = AccountCredentials::from_json(&SecretString::new(text)) {
            assert_quiet(&fault.to_string());
        }
    }
    let Ok(account) = AccountState::parse(bytes) else { return };
    assert_quiet(account.status.as_str());
    assert!(account.contact.len() <= 100);
    account.contact.iter().for_each(|contact| assert_quiet(contact));
}

/// An authorization, and a challenge alone.
pub fn acme_authorization(bytes: &[u8]) {
    if let Ok(challenge) = ChallengeState::parse(bytes) {
        look_at_challenge(&challenge);
    }
    let Ok(authorization) = AuthorizationState::parse(bytes) else { return };
    assert_quiet(authorization.status.as_str());
    look_at_identifier(&authorization.identifier);
    assert!(authorization.challenges.len() <= 100);
    authorization.challenges.iter().for_each(look_at_challenge);
    for challenge in &authorization.challenges {
        assert!(authorization.challenge(&challenge.kind).is_some());
    }
}

fn look_at_challenge(challenge: &ChallengeState) {
    assert_quiet(challenge.kind.as_str());
    assert_quiet(challenge.status.as_str());
    challenge.error.as_ref().into_iter().for_each(look_at_problem);
    if let Ok(token) = challenge.token() {
        let token = token.as_str();
        assert!((22..=255).contains(&token.len()), "{token}");
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    }
    for name in ["type", "token", "accounturi"] {
        is_json(challenge.field(name));
    }
}

/// A directory.
pub fn acme_directory(bytes: &[u8]) {
    let Ok(directory) = Directory::parse(bytes) else { return };
    let meta = &directory.meta;
    meta.terms_of_service.iter().chain(&meta.website).for_each(|text| assert_quiet(text));
    meta.caa_identities.iter().chain(meta.profiles.values()).for_each(|text| assert_quiet(text));
    assert!(meta.caa_identities.len() <= 100 && meta.profiles.len() <= 100);
    assert_eq!(directory.new_order.as_str().parse(), Ok(directory.new_order.clone()));
    for name in ["meta", "newOrder", "renewalInfo"] {
        is_json(directory.field(name));
    }
}

/// An order.
pub fn acme_order(bytes: &[u8]) {
    let Ok(order) = OrderState::parse(bytes) else { return };
    assert_quiet(order.status.as_str());
    order.profile.iter().chain(&order.replaces).for_each(|text| assert_quiet(text));
    order.error.as_ref().into_iter().for_each(look_at_problem);
    assert!(order.identifiers.len() <= 1000 && order.authorizations.len() <= 1000);
    order.identifiers.iter().for_each(look_at_identifier);
}

/// A problem document.
pub fn acme_problem(bytes: &[u8]) {
    if let Ok(problem) = Problem::parse(bytes) {
        look_at_problem(&problem);
    }
}

/// Renewal information (RFC 9773).
pub fn acme_renewal_info(bytes: &[u8]) {
    let Ok(info) = RenewalInfo::parse(bytes, Timestamp::from_unix(0)) else { return };
    let window = info.window;
    for fraction in [0.0, 0.5, 1.0] {
        let moment = window.moment(fraction, Timestamp::MIN);
        assert!(window.start() <= moment && moment < window.end(), "{moment} is outside of {window:?}");
    }
    if let Some(page) = &info.explanation_url {
        assert!(page.starts_with("https://") && page.bytes().all(|byte| byte.is_ascii_graphic()), "{page:?}");
    }
}

fn look_at_problem(problem: &Problem) {
    assert_quiet(&problem.to_string());
    assert!(problem.subproblems.len() <= 100);
    assert!(problem.subproblems.iter().all(|inner| inner.subproblems.is_empty()));
    problem.algorithms.iter().for_each(|text| assert_quiet(text));
    let _ = problem.retry();
}

fn look_at_identifier(identifier: &Identifier) {
    let shown = identifier.to_string();
    assert_quiet(&shown);
    if let Some(name) = identifier.dns() {
        assert_eq!(DomainName::parse(&shown).as_ref(), Ok(name));
    }
    if let Some(address) = identifier.ip() {
        assert_eq!(shown.parse(), Ok(address));
    }
}

/// A field that is handed out as JSON text is JSON.
fn is_json(field: Option<String>) {
    if let Some(text) = field {
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
}
