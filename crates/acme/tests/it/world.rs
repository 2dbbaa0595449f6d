//! Against a CA that checks every signature, spends every nonce and really looks at the DNS.

use std::{sync::Arc, time::Duration};

use perennial_acme::{
    Account, AccountKey, Authorization, CertificateChain, CertificateFault, ChainSelector, Client, Error,
    Expected, NewAccount, NewOrder, Order, OrderStatus,
};
use perennial_core::{Clock as _, DomainName, ReqwestClient, Retry, SystemClock, Timestamp};
use perennial_testkit::{
    World,
    ca::{Flaw, Quirk, RetryAfter, Verb},
    dns::Data,
};

use crate::{pki::Key, script::identifiers};

struct Scene {
    world: World,
    account: Account,
    key: Key,
    names: Vec<DomainName>,
}

impl Scene {
    async fn new(names: &[&str]) -> Self {
        Self::with_quirks(names, &[]).await
    }

    async fn with_quirks(names: &[&str], quirks: &[Quirk]) -> Self {
        let world = World::builder().zone("example.com").build().await.unwrap();
        for quirk in quirks {
            world.ca().add_quirk(quirk.clone());
        }
        let account = register(world.ca().directory_url(), world.ca().https_root_pem()).await;
        let names = names.iter().map(|name| name.parse().unwrap()).collect();
        Self { world, account, key: Key::new(), names }
    }

    fn publish(&self, authorization: &Authorization) {
        let challenge = authorization.dns01().unwrap();
        let (name, value) = (challenge.dns01_record_name().unwrap(), challenge.dns01_value().unwrap());
        self.world.zone().add(name.as_str(), Data::txt(value)).unwrap();
    }

    /// From names to an order that is ready.
    async fn ready(&self) -> Order {
        let order = self.account.new_order(&NewOrder::new(&self.names)).await.unwrap();
        let authorizations = order.authorizations().await.unwrap();
        authorizations.iter().for_each(|authorization| self.publish(authorization));
        for authorization in authorizations {
            authorization.dns01().unwrap().answer().await.unwrap();
        }
        order.wait_ready(soon()).await.unwrap();
        order
    }

    async fn certificate(&self) -> CertificateChain {
        let order = self.ready().await;
        order.finalize(&self.key.csr(&self.names)).await.unwrap();
        order.wait_valid(soon()).await.unwrap();
        order.certificate().await.unwrap()
    }

    fn verify(&self, chain: &CertificateChain) -> Result<(), CertificateFault> {
        let (public_key, now) = (self.key.spki(), SystemClock::new().now());
        chain.verify(&Expected { public_key: &public_key, identifiers: &identifiers(&self.names), now })
    }

    fn asked(&self, verb: Verb) -> usize {
        self.world.ca().requests().iter().filter(|request| request.verb == Some(verb)).count()
    }
}

pub(crate) async fn register(directory_url: &str, https_root_pem: &str) -> Account {
    let http = ReqwestClient::builder().root_certificates_pem(https_root_pem).build().unwrap();
    let client = Client::builder(directory_url).http(Arc::new(http)).build().unwrap();
    let key = Arc::new(AccountKey::generate().unwrap());
    client.register(NewAccount::new().agree_to_terms(), key).await.unwrap()
}

/// An account, and an order of its for that name that is ready.
pub(crate) async fn ready_order(world: &World, name: &str) -> (Account, Order) {
    let account = register(world.ca().directory_url(), world.ca().https_root_pem()).await;
    let name: DomainName = name.parse().unwrap();
    let order = account.new_order(&NewOrder::new([name])).await.unwrap();
    let challenge = order.authorizations().await.unwrap().remove(0).dns01().unwrap();
    let (at, value) = (challenge.dns01_record_name().unwrap(), challenge.dns01_value().unwrap());
    world.zone().add(at.as_str(), Data::txt(value)).unwrap();
    challenge.answer().await.unwrap();
    order.wait_ready(soon()).await.unwrap();
    (account, order)
}

/// Far enough for a machine that is busy with other tests.
pub(crate) fn soon() -> Timestamp {
    SystemClock::new().now() + Duration::from_secs(120)
}

#[tokio::test]
async fn a_name_and_its_wildcard_get_one_certificate_in_the_fewest_requests() {
    let scene = Scene::new(&["app.example.com", "*.app.example.com"]).await;
    let chain = scene.certificate().await;
    assert_eq!(scene.verify(&chain), Ok(()));
    assert_eq!(chain.intermediates().len(), 1);
    for (verb, times) in [
        (Verb::Directory, 1),
        (Verb::NewNonce, 1),
        (Verb::NewAccount, 1),
        (Verb::NewOrder, 1),
        (Verb::Authorization, 2),
        (Verb::Challenge, 2),
        (Verb::Finalize, 1),
        (Verb::Certificate, 1),
    ] {
        assert_eq!(scene.asked(verb), times, "{verb:?}");
    }
    assert!(scene.world.ca().requests().iter().all(|request| request.problem.is_none()));
}

#[tokio::test]
async fn refused_nonces_do_not_show() {
    let scene = Scene::with_quirks(
        &["app.example.com"],
        &[Quirk::RejectNonces { times: 4 }, Quirk::RejectEveryNthNonce(2)],
    )
    .await;
    assert_eq!(scene.verify(&scene.certificate().await), Ok(()));
    assert_eq!(scene.asked(Verb::NewNonce), 1);
}

#[tokio::test]
async fn a_lost_finalize_answer_costs_no_second_certificate() {
    let scene = Scene::with_quirks(
        &["app.example.com"],
        &[Quirk::LoseAnswer { verb: Verb::Finalize, times: 1 }, Quirk::SlowIssuance { polls: 1 }],
    )
    .await;
    assert_eq!(scene.verify(&scene.certificate().await), Ok(()));
    assert_eq!(scene.asked(Verb::Finalize), 1);
    assert_eq!(scene.world.ca().certificates().len(), 1);
}

#[tokio::test]
async fn an_order_is_taken_up_again_by_its_url() {
    let scene = Scene::new(&["app.example.com"]).await;
    let url = scene.ready().await.url().to_owned();
    let order = scene.account.order(&url).await.unwrap();
    assert_eq!(order.state().status, OrderStatus::Ready);
    order.finalize(&scene.key.csr(&scene.names)).await.unwrap();
    let order = scene.account.order(&url).await.unwrap();
    order.finalize(&scene.key.csr(&scene.names)).await.unwrap();
    order.wait_valid(soon()).await.unwrap();
    assert_eq!(scene.verify(&order.certificate().await.unwrap()), Ok(()));
    assert_eq!(scene.asked(Verb::NewOrder), 1);
}

#[tokio::test]
async fn a_wrong_txt_record_is_named_with_the_ca_s_reason() {
    let scene = Scene::new(&["app.example.com"]).await;
    let order = scene.account.new_order(&NewOrder::new(&scene.names)).await.unwrap();
    let authorization = order.authorizations().await.unwrap().remove(0);
    scene.world.zone().add("_acme-challenge.app.example.com", Data::txt("wrong")).unwrap();
    authorization.dns01().unwrap().answer().await.unwrap();
    let error = order.wait_ready(soon()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("order {} is invalid: ", order.url())), "{text}");
    assert!(text.contains("TXT records at _acme-challenge.app.example.com"), "{text}");
    assert!(text.contains("is the right one"), "{text}");
    assert_eq!(error.retry(), Retry::Backoff);
}

#[tokio::test]
async fn every_flaw_of_an_issued_certificate_is_noticed() {
    for (flaw, expected) in [
        (Flaw::AnotherKey, "OtherKey"),
        (Flaw::BrokenChain, "BrokenLink"),
        (Flaw::Expired, "Expired"),
        (Flaw::OtherNames, "OtherNames"),
        (Flaw::NotYetValid, "NotYetValid"),
    ] {
        let scene = Scene::with_quirks(&["app.example.com"], &[Quirk::Flaw(flaw)]).await;
        let fault = scene.verify(&scene.certificate().await).unwrap_err();
        assert!(format!("{fault:?}").starts_with(expected), "{flaw:?}: {fault}");
    }
}

#[tokio::test]
async fn the_alternate_chain_is_found_by_its_root() {
    let scene = Scene::new(&["app.example.com"]).await;
    let order = scene.ready().await;
    order.finalize(&scene.key.csr(&scene.names)).await.unwrap();
    order.wait_valid(soon()).await.unwrap();
    for root in ["Testkit Root X1", "Testkit Root X2"] {
        let chain = order.certificate_with(&ChainSelector::issuer(root)).await.unwrap();
        assert!(chain.has_issuer(root), "{root}");
        assert_eq!(scene.verify(&chain), Ok(()));
    }
    assert_eq!(scene.asked(Verb::Certificate), 1 + 2);
}

#[tokio::test]
async fn a_rate_limit_tells_when_to_come_back() {
    for wait in [RetryAfter::Seconds(600), RetryAfter::DateIn(Duration::from_secs(600))] {
        let fail =
            Quirk::Fail { verb: Verb::NewOrder, status: 429, retry_after: Some(wait.clone()), times: 1 };
        let scene = Scene::with_quirks(&["app.example.com"], &[fail]).await;
        let before = SystemClock::new().now();
        let error = scene.account.new_order(&NewOrder::new(&scene.names)).await.unwrap_err();
        let at = error.retry().at().unwrap();
        let left = before.until(at).as_secs();
        assert!((590..=660).contains(&left), "{wait:?}: {left} s");
    }
}

#[tokio::test]
async fn a_page_for_people_is_no_order() {
    let nonsense = Quirk::AnswerNonsense { verb: Verb::NewOrder, times: 1 };
    let scene = Scene::with_quirks(&["app.example.com"], &[nonsense]).await;
    let error = scene.account.new_order(&NewOrder::new(&scene.names)).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved(_)), "{error}");
    assert_eq!(error.retry(), Retry::Backoff);
}

#[tokio::test]
async fn a_name_that_the_ca_does_not_want_is_its_refusal() {
    let reject = Quirk::RejectIdentifier("app.example.com".parse().unwrap());
    let scene = Scene::with_quirks(&["app.example.com"], &[reject]).await;
    let error = scene.account.new_order(&NewOrder::new(&scene.names)).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind.as_str(), "rejectedIdentifier");
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn an_authorization_that_was_given_up_is_gone() {
    let scene = Scene::new(&["app.example.com"]).await;
    let order = scene.account.new_order(&NewOrder::new(&scene.names)).await.unwrap();
    let authorization = order.authorizations().await.unwrap().remove(0);
    assert_eq!(authorization.deactivate().await.unwrap().status().as_str(), "deactivated");
    assert_eq!(order.refresh().await.unwrap().status, OrderStatus::Invalid);
}

#[tokio::test]
async fn an_account_is_found_by_its_key_and_an_unknown_one_is_told_so() {
    let scene = Scene::new(&[]).await;
    let key = Arc::new(AccountKey::generate().unwrap());
    let client = scene.account.client();
    let error = client.register(NewAccount::new().only_existing(), key.clone()).await.unwrap_err();
    assert_eq!(error.problem().unwrap().kind.as_str(), "accountDoesNotExist");
    let made = client.register(NewAccount::new().agree_to_terms(), key.clone()).await.unwrap();
    let found = client.register(NewAccount::new().only_existing(), key).await.unwrap();
    assert_eq!(made.url(), found.url());
}
