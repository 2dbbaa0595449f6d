//! What the cases of `judge pebble` have in common: names, a certificate authority, a way to a certificate.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use perennial_acme::{
    Account, AccountKey, AuthorizationStatus, CertificateChain, Client, Expected, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Signer,
};
use perennial_core::{
    Clock as _, DomainName, KeyAlgorithm, PrivateKey, SecretString, SystemClock, Timestamp,
};
use perennial_testkit::{
    World,
    dns::{Data, Zone},
    real::{Pebble, PebbleBuilder},
};

#[cfg(target_os = "linux")]
use super::super::surroundings::Surroundings;
use super::{proof::Proof, recorder::Recorder, responder::Responder, text};

/// The names under test and the DNS that has them.
pub(super) struct Lab {
    world: World,
    names: Cell<u32>,
}

impl Lab {
    pub(super) async fn start() -> Result<Self, String> {
        let world = text(World::builder().zone("example.com").servers(1).build().await)?;
        Ok(Self { world, names: Cell::new(0) })
    }

    /// A name that no case had before, and that leads to this machine: nothing is proven or forbidden for it.
    pub(super) fn name(&self) -> Result<DomainName, String> {
        let number = self.names.get();
        self.names.set(number + 1);
        let name = format!("n{number}.example.com");
        text(self.zone().add(&name, Data::A(Ipv4Addr::LOCALHOST)))?;
        text(name.parse())
    }

    /// One that leads to this machine over IPv6 alone.
    pub(super) fn name_of_ipv6(&self) -> Result<DomainName, String> {
        let name = self.name()?;
        text(self.zone().remove(name.as_str(), &Data::A(Ipv4Addr::LOCALHOST)))?;
        text(self.zone().add(name.as_str(), Data::Aaaa(Ipv6Addr::LOCALHOST)))?;
        Ok(name)
    }

    pub(super) fn zone(&self) -> &Zone {
        self.world.zone()
    }

    /// The values that are still at the name of a name's challenge.
    #[cfg(target_os = "linux")]
    pub(super) fn leftovers(&self, name: &DomainName) -> Vec<String> {
        self.zone().txt_values(&format!("_acme-challenge.{name}"))
    }

    /// Starts a certificate authority that looks at these names.
    pub(super) async fn site(&self, pebble: PebbleBuilder) -> Result<Site<'_>, String> {
        let described = pebble.dns_server(self.world.resolver());
        let mut refused = String::new();
        for _ in 0..ATTEMPTS {
            let pebble = text(described.clone().start().await)?;
            // A connection of another case may have taken one of the two ports meanwhile.
            match Responder::start(pebble.http_port(), pebble.tls_port()).await {
                Ok(responder) => return Ok(Site { lab: self, pebble, responder }),
                Err(reason) => refused = reason,
            }
        }
        Err(refused)
    }

    /// The usual one.
    pub(super) async fn usual_site(&self) -> Result<Site<'_>, String> {
        self.site(Pebble::builder()).await
    }
}

/// Among tens of thousands of ports hardly any is taken twice.
const ATTEMPTS: usize = 5;

/// A certificate authority, and the web server that it looks at.
pub(super) struct Site<'a> {
    pub(super) lab: &'a Lab,
    pub(super) pebble: Pebble,
    pub(super) responder: Responder,
}

impl Site<'_> {
    /// For a program that keeps a certificate.
    #[cfg(target_os = "linux")]
    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings::new(&self.lab.world, &self.pebble.directory_url(), self.pebble.ca_pem())
    }

    /// A client that knows nothing yet, and what notes its requests.
    pub(super) fn client(&self) -> Result<(Client, Arc<Recorder>), String> {
        let recorder = text(Recorder::new(self.pebble.ca_pem()))?;
        let client = Client::builder(self.pebble.directory_url()).http(recorder.clone()).build();
        Ok((text(client)?, recorder))
    }

    /// A new account.
    pub(super) async fn account(&self) -> Result<Account, String> {
        self.recorded_account().await.map(|(account, _)| account)
    }

    /// A new account, and what notes its requests.
    pub(super) async fn recorded_account(&self) -> Result<(Account, Arc<Recorder>), String> {
        let (client, recorder) = self.client()?;
        let key = Arc::new(text(AccountKey::generate())?);
        let account = client.register(NewAccount::new().agree_to_terms(), key).await;
        Ok((text(account)?, recorder))
    }

    /// The account of that key, made if there is none.
    pub(super) async fn register(&self, key: Arc<dyn Signer>) -> Result<Account, String> {
        text(self.client()?.0.register(NewAccount::new().agree_to_terms(), key).await)
    }

    /// From a request to a certificate that is what was asked for.
    pub(super) async fn issue(&self, account: &Account, request: &NewOrder) -> Result<Issued, String> {
        let order = text(account.new_order(request).await)?;
        self.prove(&order, Proof::Dns01).await?;
        Issued::finish(order, Leaf::new().await?).await
    }

    /// Proves every name that is not proven yet, and waits until the order is ready.
    pub(super) async fn prove(&self, order: &Order, proof: Proof) -> Result<(), String> {
        if order.state().status == OrderStatus::Ready {
            return Ok(());
        }
        let mut challenges = Vec::new();
        for authorization in text(order.authorizations().await)? {
            if *authorization.status() != AuthorizationStatus::Valid {
                challenges.push(proof.present(self, order.account(), &authorization)?);
            }
        }
        for challenge in challenges {
            text(challenge.answer().await)?;
        }
        text(order.wait_ready(soon()).await).map(drop)
    }
}

/// The key of a certificate.
pub(super) struct Leaf(PrivateKey);

impl Leaf {
    pub(super) async fn new() -> Result<Self, String> {
        Self::of(KeyAlgorithm::EcdsaP256).await
    }

    pub(super) async fn of(algorithm: KeyAlgorithm) -> Result<Self, String> {
        // An RSA key takes seconds, and the other cases would stand still.
        text(text(tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm)).await)?).map(Self)
    }

    pub(super) fn to_pem(&self) -> SecretString {
        self.0.to_pem()
    }

    /// A signing request for these names.
    pub(super) fn request(&self, identifiers: &[Identifier]) -> Result<Vec<u8>, String> {
        let names: Vec<DomainName> = identifiers.iter().filter_map(|it| it.dns().cloned()).collect();
        let addresses: Vec<IpAddr> = identifiers.iter().filter_map(Identifier::ip).collect();
        text(self.0.signing_request(&names, &addresses))
    }

    /// Whether that is a certificate for this key and these names.
    pub(super) fn verify(&self, chain: &CertificateChain, identifiers: &[Identifier]) -> Result<(), String> {
        let public_key = self.0.public_key_der();
        text(chain.verify(&Expected { public_key: &public_key, identifiers, now: now() }))
    }
}

/// A certificate and what it was made from.
pub(super) struct Issued {
    pub(super) order: Order,
    pub(super) leaf: Leaf,
    pub(super) chain: CertificateChain,
}

impl Issued {
    /// From an order that is ready to a chain that is verified.
    pub(super) async fn finish(order: Order, leaf: Leaf) -> Result<Self, String> {
        let identifiers = order.state().identifiers;
        text(order.finalize(&leaf.request(&identifiers)?).await)?;
        text(order.wait_valid(soon()).await)?;
        let chain = text(order.certificate().await)?;
        leaf.verify(&chain, &identifiers)?;
        Ok(Self { order, leaf, chain })
    }
}

/// Far enough for a machine that runs other cases.
pub(super) fn soon() -> Timestamp {
    now() + Duration::from_secs(30)
}

pub(super) fn now() -> Timestamp {
    SystemClock::new().now()
}
