//! An issuer that signs at once, and misbehaves when told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use perennial_core::{Clock, Retry};
use perennial_lifecycle::{
    IssueError, IssueErrorClass, IssuedChain, Issuer, Journal, Progress, SigningRequest, Stage,
};
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair};

/// What the next call does instead of signing.
pub(crate) enum Mischief {
    Fail(IssueErrorClass, Retry),
    /// Fails, and leaves what it presented.
    FailOwing,
    /// Fails, and what it tells before is the last that it does.
    FailTelling,
    /// Signs, but what it presented cannot be removed.
    LeaveDebt,
    OtherKey,
    OtherNames,
    /// Signs a certificate that begins tomorrow.
    Tomorrow,
    /// Records progress and then never returns, as if the process died there.
    Hang,
    Panic,
    /// Waits until the test lets it go on, then signs.
    Pause,
}

pub(crate) struct TestIssuer {
    clock: Arc<dyn Clock>,
    key: KeyPair,
    lifetime: Duration,
    /// How long before now its certificates begin; this much of their life is over then.
    pub(crate) backdate: Mutex<Duration>,
    /// While set, `settle` says that it has removed everything, and has not.
    pub(crate) lies: Mutex<bool>,
    pub(crate) mischief: Mutex<VecDeque<Mischief>>,
    /// Public keys of the requests, in order.
    pub(crate) asked: Mutex<Vec<Vec<u8>>>,
    /// What the journal held when a call began.
    pub(crate) found: Mutex<Vec<Option<String>>>,
    pub(crate) settled: Mutex<u32>,
    pub(crate) hanging: tokio::sync::Notify,
    pub(crate) go_on: tokio::sync::Notify,
}

impl TestIssuer {
    pub(crate) fn new(clock: Arc<dyn Clock>, lifetime: Duration) -> Arc<Self> {
        Arc::new(Self {
            clock,
            key: KeyPair::generate().unwrap(),
            lifetime,
            backdate: Mutex::default(),
            lies: Mutex::default(),
            mischief: Mutex::default(),
            asked: Mutex::default(),
            found: Mutex::default(),
            settled: Mutex::default(),
            hanging: tokio::sync::Notify::new(),
            go_on: tokio::sync::Notify::new(),
        })
    }

    pub(crate) fn next(&self, mischief: Mischief) {
        self.mischief.lock().unwrap().push_back(mischief);
    }

    fn sign(&self, request: &SigningRequest, mischief: Option<&Mischief>) -> IssuedChain {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(ca, &self.key);
        let der = rustls_pki_types::CertificateSigningRequestDer::from(request.csr_der.as_slice());
        let mut asked = CertificateSigningRequestParams::from_der(&der).unwrap();
        if matches!(mischief, Some(Mischief::OtherNames)) {
            asked.params.subject_alt_names =
                vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
        }
        let mut from = time::OffsetDateTime::from_unix_timestamp(self.clock.now().unix()).unwrap();
        if matches!(mischief, Some(Mischief::Tomorrow)) {
            from += Duration::from_secs(86_400);
        }
        asked.params.not_before = from - *self.backdate.lock().unwrap();
        asked.params.not_after = asked.params.not_before + self.lifetime;
        let signed = if matches!(mischief, Some(Mischief::OtherKey)) {
            asked.params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap()
        } else {
            asked.signed_by(&issuer).unwrap()
        };
        IssuedChain::from_pem(signed.pem()).unwrap()
    }
}

#[async_trait]
impl Issuer for TestIssuer {
    async fn issue(&self, request: &SigningRequest, journal: &Journal) -> Result<IssuedChain, IssueError> {
        self.asked.lock().unwrap().push(request.public_key_der.clone());
        let found = journal.progress().await.and_then(|progress| progress.decode());
        self.found.lock().unwrap().push(found);
        journal.record(Progress::encode(&"order 1").unwrap()).await?;
        let debts = [Progress::encode(&"txt 1").unwrap()];
        journal.owe(&debts).await?;
        let mischief = self.mischief.lock().unwrap().pop_front();
        match mischief {
            Some(Mischief::Fail(class, retry)) => {
                journal.paid(&debts).await?;
                Err(IssueError::new(class, "told to fail", retry))
            }
            Some(Mischief::FailOwing) => {
                Err(IssueError::new(IssueErrorClass::Policy, "told to fail", Retry::Never))
            }
            Some(Mischief::FailTelling) => {
                journal.paid(&debts).await?;
                journal.tell(Stage::OrderCreated { url: "https://ca.example/1".to_owned() }).await;
                journal.tell(Stage::OrderFailed { reason: "it is invalid".to_owned() }).await;
                Err(IssueError::new(IssueErrorClass::Validation, "told to fail", Retry::Backoff))
            }
            Some(Mischief::Panic) => panic!("told to panic"),
            Some(Mischief::Pause) => {
                self.hanging.notify_one();
                self.go_on.notified().await;
                journal.paid(&debts).await?;
                Ok(self.sign(request, None))
            }
            Some(Mischief::Hang) => {
                self.hanging.notify_one();
                std::future::pending().await
            }
            Some(Mischief::LeaveDebt) => Ok(self.sign(request, None)),
            mischief => {
                journal.paid(&debts).await?;
                Ok(self.sign(request, mischief.as_ref()))
            }
        }
    }

    async fn settle(&self, journal: &Journal) -> Result<(), IssueError> {
        let stuck = matches!(self.mischief.lock().unwrap().front(), Some(Mischief::LeaveDebt));
        if stuck {
            self.mischief.lock().unwrap().pop_front();
            return Err(IssueError::new(IssueErrorClass::Transient, "still there", Retry::Backoff));
        }
        if *self.lies.lock().unwrap() {
            return Ok(());
        }
        *self.settled.lock().unwrap() += 1;
        let debts = journal.debts().await;
        assert!(!debts.is_empty(), "asked to settle without a debt");
        journal.paid(&debts).await?;
        Ok(())
    }
}
