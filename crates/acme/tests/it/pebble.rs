//! Pebble judges: the CA that Let's Encrypt gives to those who test clients. It looks at the DNS of the
//! testkit.

use perennial_acme::{AuthorizationStatus, Expected, NewOrder, OrderStatus};
use perennial_core::{Clock as _, DomainName, SystemClock};
use perennial_testkit::{
    World,
    dns::Data,
    real::{self, Pebble, Tool},
};

use crate::{
    pki::Key,
    script::identifiers,
    world::{register, soon},
};

async fn obtain(pebble: &Pebble, world: &World, rounds: usize) {
    let account = register(&pebble.directory_url(), pebble.ca_pem()).await;
    for _ in 0..rounds {
        let names: Vec<DomainName> =
            vec!["app.example.com".parse().unwrap(), "*.app.example.com".parse().unwrap()];
        let key = Key::new();
        let order = account.new_order(&NewOrder::new(&names)).await.unwrap();
        if order.state().status != OrderStatus::Ready {
            for authorization in order.authorizations().await.unwrap() {
                if *authorization.status() == AuthorizationStatus::Valid {
                    continue;
                }
                let challenge = authorization.dns01().unwrap();
                let name = challenge.dns01_record_name().unwrap();
                let value = Data::txt(challenge.dns01_value().unwrap());
                world.zone().add(name.as_str(), value).unwrap();
                challenge.answer().await.unwrap();
            }
        }
        order.wait_ready(soon()).await.unwrap();
        order.finalize(&key.csr(&names)).await.unwrap();
        order.wait_valid(soon()).await.unwrap();
        let chain = order.certificate().await.unwrap();
        let (public_key, now) = (key.spki(), SystemClock::new().now());
        chain.verify(&Expected { public_key: &public_key, identifiers: &identifiers(&names), now }).unwrap();
    }
}

#[tokio::test]
async fn pebble_issues_and_what_it_issues_is_what_was_ordered() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let world = World::builder().zone("example.com").build().await.unwrap();
    let pebble = Pebble::builder().dns_server(world.resolver()).start().await.unwrap();
    obtain(&pebble, &world, 1).await;
}

#[tokio::test]
async fn pebble_may_refuse_half_of_the_nonces_and_reuse_authorizations() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let world = World::builder().zone("example.com").build().await.unwrap();
    let pebble = Pebble::builder()
        .dns_server(world.resolver())
        .rejected_nonces(50)
        .reused_authorizations(100)
        .start()
        .await
        .unwrap();
    obtain(&pebble, &world, 3).await;
}

#[tokio::test]
async fn pebble_s_reason_for_a_failed_challenge_reaches_the_caller() {
    let Some(_components) = real::require(&[Tool::Pebble]) else { return };
    let world = World::builder().zone("example.com").build().await.unwrap();
    let pebble = Pebble::builder().dns_server(world.resolver()).start().await.unwrap();
    let account = register(&pebble.directory_url(), pebble.ca_pem()).await;
    let name: DomainName = "bare.example.com".parse().unwrap();
    let order = account.new_order(&NewOrder::new([name])).await.unwrap();
    order.authorizations().await.unwrap().remove(0).dns01().unwrap().answer().await.unwrap();
    let error = order.wait_ready(soon()).await.unwrap_err();
    assert!(error.to_string().contains("TXT"), "{error}");
}
