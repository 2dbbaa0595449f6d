//! Authorizations ahead of an order (RFC 8555 §7.4.1), and of subdomains (RFC 9444).

use perennial_acme::{
    Account, AuthorizationStatus, Error, Identifier, Misbehaved, Misuse, NewAuthorization, NewOrder,
};
use perennial_core::DomainName;
use serde_json::{Value, json};

use crate::script::{HOME, Stage, acct, authorization, directory, json, order, reply};

/// An account at a server with that directory.
async fn account(stage: &Stage, directory: &Value) -> Account {
    stage
        .on("GET /dir", json(200, directory))
        .on("HEAD /new-nonce", reply(200, ""))
        .on("POST /new-account", json(201, &json!({ "status": "valid" })).header("location", acct(1)));
    let key = std::sync::Arc::new(perennial_acme::AccountKey::generate().unwrap());
    stage.client.register(perennial_acme::NewAccount::new().agree_to_terms(), key).await.unwrap()
}

fn offering(subdomains: Option<bool>) -> Value {
    let mut directory = directory();
    directory["newAuthz"] = json!(format!("{HOME}/new-authz"));
    if let Some(allowed) = subdomains {
        directory["meta"]["subdomainAuthAllowed"] = json!(allowed);
    }
    directory
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

#[tokio::test]
async fn rfc8555_7_4_1_a_name_is_authorized_ahead_and_the_handle_is_at_its_location() {
    let stage = Stage::new();
    let account = account(&stage, &offering(None)).await;
    let made = json(201, &authorization(0, "pending")).header("location", format!("{HOME}/authz/0"));
    stage.on("POST /new-authz", made).on("POST /authz/0", json(200, &authorization(0, "valid")));
    let ahead = account.new_authorization(&NewAuthorization::new(name("example.org"))).await.unwrap();
    assert_eq!(ahead.url(), format!("{HOME}/authz/0"));
    assert!(ahead.dns01().unwrap().dns01_value().is_ok());
    assert_eq!(*ahead.refresh().await.unwrap().status(), AuthorizationStatus::Valid);
    stage.script.requests();
    let seen = stage.script.seen();
    let sent = &seen[seen.len() - 2].payload;
    assert_eq!(sent, r#"{"identifier":{"type":"dns","value":"example.org"}}"#);
}

#[tokio::test]
async fn rfc9444_4_2_subdomains_are_asked_for_in_the_identifier_and_granted_in_the_authorization() {
    let stage = Stage::new();
    let account = account(&stage, &offering(Some(true))).await;
    let mut granted = authorization(0, "pending");
    granted["subdomainAuthAllowed"] = json!(true);
    stage.on("POST /new-authz", json(201, &granted).header("location", format!("{HOME}/authz/0")));
    let request = NewAuthorization::new(name("example.org")).with_subdomains();
    assert!(account.new_authorization(&request).await.unwrap().state().subdomain_auth_allowed);
    let sent: Value = serde_json::from_str(&stage.script.seen().last().unwrap().payload).unwrap();
    assert_eq!(sent["identifier"]["subdomainAuthAllowed"], json!(true));
}

async fn refused(directory: &Value, request: NewAuthorization) -> Misuse {
    let stage = Stage::new();
    let account = account(&stage, directory).await;
    let Err(Error::Misuse(misuse)) = account.new_authorization(&request).await else { panic!("accepted") };
    assert_eq!(stage.script.requests(), 3, "only the account's");
    misuse
}

#[tokio::test]
async fn nothing_is_sent_to_a_ca_that_authorizes_nothing_ahead() {
    let misuse = refused(&directory(), NewAuthorization::new(name("example.org"))).await;
    assert_eq!(misuse, Misuse::NotOffered { what: "newAuthz" });
    assert_eq!(misuse.to_string(), "this CA does not support newAuthz");
}

#[tokio::test]
async fn wildcards_and_refused_subdomains_are_not_even_sent() {
    let misuse = refused(&offering(None), NewAuthorization::new(name("*.example.org"))).await;
    assert_eq!(misuse, Misuse::WildcardAuthorization { name: "*.example.org".to_owned() });
    let request = NewAuthorization::new(name("example.org")).with_subdomains();
    let misuse = refused(&offering(Some(false)), request).await;
    assert_eq!(misuse, Misuse::NotOffered { what: "the authorization of subdomains" });
}

#[tokio::test]
async fn an_authorization_for_another_name_is_refused() {
    let stage = Stage::new();
    let account = account(&stage, &offering(None)).await;
    let other = json(201, &authorization(1, "pending")).header("location", format!("{HOME}/authz/1"));
    stage.on("POST /new-authz", other);
    let error = account.new_authorization(&NewAuthorization::new(name("example.org"))).await.unwrap_err();
    let (asked, answered) = ("example.org".to_owned(), "a1.example.org".to_owned());
    assert_eq!(error, Error::Misbehaved(Misbehaved::AuthorizationIdentifier { asked, answered }));
}

#[tokio::test]
async fn rfc9444_4_3_an_order_names_the_ancestor_that_can_be_proven() {
    let stage = Stage::new();
    let account = account(&stage, &directory()).await;
    let mut echo = order("pending", 1);
    let asked = json!({ "type": "dns", "value": "a.b.example.org", "ancestorDomain": "example.org" });
    echo["identifiers"] = json!([asked]);
    stage.on("POST /new-order", json(201, &echo).header("location", format!("{HOME}/order/1")));
    let long = name("a.b.example.org");
    let request = NewOrder::new([&long]).ancestor(&long, name("example.org"));
    let made = account.new_order(&request).await.unwrap();
    assert_eq!(made.state().identifiers, [Identifier::from(&long)]);
    let sent: Value = serde_json::from_str(&stage.script.seen().last().unwrap().payload).unwrap();
    assert_eq!(sent["identifiers"], json!([asked]));

    let request = NewOrder::new([&long]).ancestor(&long, name("example.com"));
    let misuse = account.new_order(&request).await.unwrap_err();
    assert!(matches!(misuse, Error::Misuse(Misuse::NoAncestor { .. })));
    stage.script.requests();
}
