//! One client, one CA, and the walk from the directory to a certificate.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use perennial_acme::{
    Account, AccountKey, Authorization, AuthorizationStatus, ChallengeStatus, Client, Error, Expected,
    NewAccount, NewOrder, Order, OrderStatus,
};
use perennial_core::{Clock, DomainName, HttpError, ReqwestClient, Timestamp};
use perennial_testkit::{
    CertificateAuthority, ManualClock,
    dns::{Data, Zone},
};

use crate::pki::Key;

/// A client and the CA that it speaks to.
pub(super) struct Stage {
    pub(super) ca: CertificateAuthority,
    clock: Arc<Hasty>,
    zone: Zone,
    client: Client,
    key: Arc<AccountKey>,
    /// The certificate's key: in our hands before anything is sent.
    leaf: Key,
    names: Vec<DomainName>,
}

/// What a caller has written down by the time that a walk ends: all that another one may start from.
#[derive(Default)]
pub(super) struct Known {
    account: Option<Account>,
    order: Option<String>,
}

/// Why a walk ended without a certificate.
pub(super) struct Failure {
    /// The class of the error, as in `Misbehaved::Field`.
    pub(super) kind: &'static str,
    /// What a person would see.
    pub(super) text: String,
    passing: bool,
}

impl Failure {
    /// Whether a keeper would try again: with the account and the order that it knows. Without an order it
    /// would place another one, so only when the answer to the first was lost on the way.
    pub(super) fn is_worth_another_walk(&self, known: &Known) -> bool {
        let lost = matches!(self.kind, "Network::Exchange" | "Network::Timeout");
        self.passing && (known.account.is_none() || known.order.is_some() || lost)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { kind: kind(&error), text: error.to_string(), passing: error.retry().is_worthwhile() }
    }
}

/// The class of an error. There are few, so that leaking their names is no matter.
fn kind(error: &Error) -> &'static str {
    let variant = |outer: &str, inner: &dyn std::fmt::Debug| {
        let inner = format!("{inner:?}");
        let name = inner.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        String::leak(format!("{outer}::{name}"))
    };
    match error {
        Error::Certificate(fault) => variant("Certificate", fault),
        Error::Deadline(_) => "Deadline",
        Error::Misbehaved(fault) => variant("Misbehaved", fault),
        Error::Misuse(fault) => variant("Misuse", fault),
        Error::Network(fault) => variant("Network", fault),
        Error::OrderInvalid(_) => "OrderInvalid",
        Error::Server(refusal) => variant("Server", &refusal.problem.kind),
        _ => "unheard of",
    }
}

impl Stage {
    pub(super) fn new(
        ca: CertificateAuthority,
        clock: ManualClock,
        zone: Zone,
        name: &str,
        impatient: bool,
    ) -> Self {
        let clock = Arc::new(Hasty(clock));
        let http = http(&ca, Duration::from_secs(if impatient { 3 } else { 30 })).unwrap();
        let builder = Client::builder(ca.directory_url()).http(Arc::new(http)).clock(clock.clone());
        Self {
            client: builder.build().unwrap(),
            ca,
            clock,
            zone,
            key: Arc::new(AccountKey::generate().unwrap()),
            leaf: Key::new(),
            names: vec![name.parse().unwrap()],
        }
    }

    /// An order of somebody else's.
    pub(super) async fn place_decoy(&self) {
        let key = Arc::new(AccountKey::generate().unwrap());
        let account = self.client.register(NewAccount::new().agree_to_terms(), key).await.unwrap();
        account.new_order(&NewOrder::new(&self.names)).await.unwrap();
    }

    /// From what is known to a verified certificate.
    pub(super) async fn walk(&self, known: &mut Known) -> Result<(), Failure> {
        let account = match &known.account {
            Some(account) => account.clone(),
            None => {
                let request = NewAccount::new().agree_to_terms();
                known.account.insert(self.client.register(request, self.key.clone()).await?).clone()
            }
        };
        let order = match &known.order {
            Some(url) => account.order(url).await?,
            None => {
                let order = account.new_order(&NewOrder::new(&self.names)).await?;
                known.order = Some(order.url().to_owned());
                order
            }
        };
        if matches!(order.state().status, OrderStatus::Pending | OrderStatus::Unknown(_)) {
            for authorization in order.authorizations().await? {
                self.prove(&authorization).await?;
            }
        }
        let deadline = self.soon();
        let ready = order.wait_ready(deadline).await;
        self.check_time(deadline)?;
        ready?;
        order.finalize(&self.leaf.csr(&self.names)).await?;
        let deadline = self.soon();
        let valid = order.wait_valid(deadline).await;
        self.check_time(deadline)?;
        valid?;
        self.verify(&order).await
    }

    async fn prove(&self, authorization: &Authorization) -> Result<(), Failure> {
        if *authorization.status() == AuthorizationStatus::Valid {
            return Ok(());
        }
        let Some(challenge) = authorization.dns01() else {
            return Err(Failure { kind: "NoChallenge", text: "no dns-01".into(), passing: true });
        };
        if *challenge.status() != ChallengeStatus::Pending {
            return Ok(()); // the CA is looking already
        }
        let (name, value) = (challenge.dns01_record_name()?, challenge.dns01_value()?);
        self.zone.add(name.as_str(), Data::txt(value)).unwrap();
        challenge.answer().await?;
        Ok(())
    }

    async fn verify(&self, order: &Order) -> Result<(), Failure> {
        let chain = order.certificate().await?;
        let (public_key, now) = (self.leaf.spki(), self.clock.now());
        let identifiers = crate::script::identifiers(&self.names);
        let expected = Expected { public_key: &public_key, identifiers: &identifiers, now };
        Ok(chain.verify(&expected).map_err(Error::from)?)
    }

    /// A wait that slept past its deadline is none.
    fn check_time(&self, deadline: Timestamp) -> Result<(), Failure> {
        if self.clock.now() <= deadline {
            return Ok(());
        }
        Err(Failure { kind: "Overslept", text: format!("it is {}", self.clock.now()), passing: false })
    }

    fn soon(&self) -> Timestamp {
        self.clock.now() + Duration::from_secs(120)
    }
}

/// The client that everybody uses, with limits that a test can wait for.
fn http(ca: &CertificateAuthority, timeout: Duration) -> Result<ReqwestClient, HttpError> {
    let builder = ReqwestClient::builder().root_certificates_pem(ca.https_root_pem());
    builder.timeout(timeout).body_limit(1_500_000).build()
}

/// A clock on which every nap is over in an instant, and has taken its time all the same.
struct Hasty(ManualClock);

#[async_trait]
impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        // What the CA does meanwhile takes real time: looking at the DNS.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.advance(duration);
    }
}
