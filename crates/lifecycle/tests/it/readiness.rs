//! An issuer is asked whether it could sign before anything is done for it, and is given the key if it needs it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use perennial_core::Retry;
use perennial_lifecycle::{
    Error, IssueError, IssueErrorClass, IssuedChain, Issuer, IssuerName, Journal, Outcome, SigningRequest,
    Status,
};

use crate::{
    budgets::five_a_week,
    engine::{Scene, name, spec},
    issuer::TestIssuer,
};

/// Signs when it is ready, and notes whether it was given a key.
struct Choosy {
    signer: Arc<TestIssuer>,
    says: Mutex<Result<(), IssueError>>,
    needs_key: bool,
    had_key: Mutex<Vec<bool>>,
}

impl Choosy {
    fn new(scene: &Scene, says: Result<(), IssueError>, needs_key: bool) -> Arc<Self> {
        let (signer, says) = (scene.signer(), Mutex::new(says));
        Arc::new(Self { signer, says, needs_key, had_key: Mutex::default() })
    }
}

#[async_trait]
impl Issuer for Choosy {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        let own = request.key().map(|key| key.public_key_der() == request.public_key_der);
        self.had_key.lock().unwrap().push(own.unwrap_or_default());
        self.signer.issue(request, journal).await
    }

    async fn ready(&self) -> Result<(), IssueError> {
        self.says.lock().unwrap().clone()
    }

    fn needs_key(&self) -> bool {
        self.needs_key
    }
}

fn sealed() -> IssueError {
    IssueError::new(IssueErrorClass::Transient, "it is sealed", Retry::Backoff)
}

#[tokio::test]
async fn one_that_is_not_ready_is_asked_for_nothing_and_costs_nothing() {
    let scene = Scene::new();
    let issuer = Choosy::new(&scene, Err(sealed()), false);
    let limits = five_a_week();
    let keeper = scene.builder(issuer.clone()).limits(IssuerName::default(), limits.clone()).build();
    keeper.wish(spec("a")).await.unwrap();
    let outcome = keeper.step(&name("a")).await.unwrap();
    assert!(
        matches!(&outcome, Outcome::Failed { error: Error::Issue(error), .. } if error.message == "it is sealed"),
        "{outcome:?}"
    );
    assert_eq!(keeper.issuers(), [(IssuerName::default(), Status::False)]);
    assert_eq!(issuer.signer.asked.lock().unwrap().len(), 0);
    assert_eq!(scene.orders_left(limits).await, 5);
    let described = keeper.describe(&name("a")).await.unwrap();
    assert!(described.request.is_none(), "no key was made: {described}");
    assert!(matches!(keeper.issuer_ready(&IssuerName::default()).await, Err(Error::Issue(_))));

    *issuer.says.lock().unwrap() = Ok(());
    keeper.issuer_ready(&IssuerName::default()).await.unwrap();
    assert_eq!(keeper.issuers(), [(IssuerName::default(), Status::Unknown)], "it has signed nothing yet");
    keeper.retry(&name("a")).await.unwrap();
    assert!(matches!(keeper.step(&name("a")).await.unwrap(), Outcome::Issued { .. }));
    assert_eq!(keeper.issuers(), [(IssuerName::default(), Status::True)]);
}

#[tokio::test]
async fn nobody_is_asked_who_is_not_there() {
    let scene = Scene::new();
    let keeper = scene.builder(scene.signer()).build();
    let error = keeper.issuer_ready(&"other".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("other") && error.to_string().contains("default"), "{error}");
}

#[tokio::test]
async fn the_key_is_given_to_whoever_needs_it_and_to_nobody_else() {
    for needs_key in [false, true] {
        let scene = Scene::new();
        let issuer = Choosy::new(&scene, Ok(()), needs_key);
        let keeper = scene.builder(issuer.clone()).build();
        keeper.wish(spec("a")).await.unwrap();
        assert!(matches!(keeper.step(&name("a")).await.unwrap(), Outcome::Issued { .. }));
        assert_eq!(*issuer.had_key.lock().unwrap(), [needs_key]);
    }
}
