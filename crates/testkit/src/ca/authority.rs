//! The authority itself: its sockets, its clock, and what a test can ask of it.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use perennial_core::{Clock, SystemClock, Timestamp};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use super::{
    Issued, Misbehaviour, PlacedOrder, Quirk, Request, Verb,
    hierarchy::Hierarchy,
    https::{Answer, Delivery, Listener},
    office::{Office, Profile, Settings},
    request_log::RequestLog,
    validation::{Validation, validate},
    verb::Route,
};
use crate::{Error, sync::lock};

/// A certificate authority that speaks ACME (RFC 8555); it stops when it is dropped.
pub struct CertificateAuthority {
    directory_url: String,
    https_root_pem: String,
    issuer_root_pem: String,
    alternate_root_pem: String,
    shared: Arc<Shared>,
    server: AbortHandle,
}

/// What a certificate authority is told before it starts.
#[must_use]
pub struct CertificateAuthorityBuilder {
    servers: Vec<SocketAddr>,
    clock: Arc<dyn Clock>,
    validity: Duration,
    profiles: BTreeMap<String, Profile>,
    reuse_authorizations: bool,
    external_accounts: BTreeMap<String, Vec<u8>>,
    http: Option<SocketAddr>,
    tls: Option<SocketAddr>,
    addresses: bool,
    pre_authorization: bool,
    orders_per_page: usize,
    renewal_info: bool,
    validate_at_once: bool,
}

struct Shared {
    office: Mutex<Office>,
    servers: Mutex<Vec<SocketAddr>>,
    validate_at_once: bool,
    clock: Arc<dyn Clock>,
    log: RequestLog,
    validations: Mutex<JoinSet<()>>,
    /// For the tasks that outlive a request.
    this: std::sync::Weak<Self>,
}

impl CertificateAuthorityBuilder {
    /// Looks challenges up at these servers, authoritative ones or resolvers. All that answer must agree, as
    /// with a CA that looks from several places. By default nobody is asked and no challenge succeeds.
    pub fn validate_through(mut self, servers: &[SocketAddr]) -> Self {
        self.servers = servers.to_vec();
        self
    }

    /// Dates certificates, and everything that expires, with this clock. By default the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long a certificate is valid. By default 90 days, as most CAs have it in 2026.
    pub const fn validity(mut self, validity: Duration) -> Self {
        self.validity = validity;
        self
    }

    /// Offers a profile (draft-ietf-acme-profiles). By default there are none.
    pub fn profile(mut self, name: &str, description: &str, validity: Duration) -> Self {
        self.profiles.insert(name.into(), Profile { description: description.into(), validity });
        self
    }

    /// Does not ask again for what an account has proved within 30 days. By default every order starts anew,
    /// so that tests see every challenge.
    pub const fn reuse_authorizations(mut self) -> Self {
        self.reuse_authorizations = true;
        self
    }

    /// Requires accounts to be bound to a customer (RFC 8555 §7.3.4), and knows this one by the identifier and
    /// the MAC key; repeatable. By default nobody has to be known.
    pub fn external_account(mut self, identifier: &str, mac_key: &[u8]) -> Self {
        self.external_accounts.insert(identifier.into(), mac_key.to_vec());
        self
    }

    /// Looks at http-01 challenges (RFC 8555 §8.3) at this address, whatever name they are for: the port that
    /// is 80 in the world. By default they are offered and never succeed.
    pub const fn validate_http_at(mut self, address: SocketAddr) -> Self {
        self.http = Some(address);
        self
    }

    /// Offers tls-alpn-01 challenges (RFC 8737) and looks at them at this address, whatever name they are for:
    /// the port that is 443 in the world. By default they are not offered.
    pub const fn validate_tls_at(mut self, address: SocketAddr) -> Self {
        self.tls = Some(address);
        self
    }

    /// Certifies IP addresses too (RFC 8738). By default only names.
    pub const fn certify_addresses(mut self) -> Self {
        self.addresses = true;
        self
    }

    /// Lets names be proved before they are ordered (RFC 8555 §7.4.1). By default the directory has no
    /// `newAuthz`, as with most CAs.
    pub const fn pre_authorization(mut self) -> Self {
        self.pre_authorization = true;
        self
    }

    /// The most orders that a page of an account's list has (RFC 8555 §7.1.2.1). By default 100.
    pub const fn orders_per_page(mut self, count: usize) -> Self {
        self.orders_per_page = count;
        self
    }

    /// Says when to renew certificates (RFC 9773), and lets orders replace them. By default it does neither.
    pub const fn renewal_info(mut self) -> Self {
        self.renewal_info = true;
        self
    }

    /// Looks at a challenge before it answers the request that told it to, as small CAs do: who then looks at
    /// the order finds it decided, and a test waits for nobody. By default it looks afterwards, as public CAs
    /// do, and a client that is quick has to look again in a second.
    pub const fn validate_at_once(mut self) -> Self {
        self.validate_at_once = true;
        self
    }

    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// [`Error::Bind`] when there is no port, [`Error::Certificate`] when its own certificates cannot be made.
    pub async fn start(self) -> Result<CertificateAuthority, Error> {
        let listener = Listener::bind().await?;
        let settings = Settings {
            base: format!("https://{}", listener.address),
            profiles: self.profiles,
            validity: self.validity,
            reuse_authorizations: self.reuse_authorizations,
            external_accounts: self.external_accounts,
            http: self.http,
            tls: self.tls,
            addresses: self.addresses,
            pre_authorization: self.pre_authorization,
            orders_per_page: self.orders_per_page,
            renewal_info: self.renewal_info,
            renewal_window: None,
        };
        let hierarchy = Hierarchy::generate()?;
        let (issuer_root_pem, alternate_root_pem) = (hierarchy.root_pem(), hierarchy.alternate_root_pem());
        let office = Office::new(settings, hierarchy);
        let directory_url = office.url(Route::to(Verb::Directory));
        let https_root_pem = listener.root_pem.clone();
        let shared = Arc::new_cyclic(|this| Shared {
            office: Mutex::new(office),
            servers: Mutex::new(self.servers),
            validate_at_once: self.validate_at_once,
            clock: self.clock,
            log: RequestLog::default(),
            validations: Mutex::default(),
            this: this.clone(),
        });
        let server = listener.serve(Arc::clone(&shared) as Arc<dyn Answer>);
        Ok(CertificateAuthority {
            directory_url,
            https_root_pem,
            issuer_root_pem,
            alternate_root_pem,
            shared,
            server,
        })
    }
}

impl CertificateAuthority {
    /// Begins an authority.
    pub fn builder() -> CertificateAuthorityBuilder {
        CertificateAuthorityBuilder {
            servers: Vec::new(),
            clock: Arc::new(SystemClock::new()),
            validity: Duration::from_secs(90 * 86_400),
            profiles: BTreeMap::new(),
            reuse_authorizations: false,
            external_accounts: BTreeMap::new(),
            http: None,
            tls: None,
            addresses: false,
            pre_authorization: false,
            orders_per_page: 100,
            renewal_info: false,
            validate_at_once: false,
        }
    }

    /// Where a client begins (RFC 8555 §7.1.1).
    #[must_use]
    pub fn directory_url(&self) -> &str {
        &self.directory_url
    }

    /// The root that a client must trust to connect, in PEM.
    #[must_use]
    pub fn https_root_pem(&self) -> &str {
        &self.https_root_pem
    }

    /// The root of the chains that are issued, in PEM. Its common name is `Testkit Root X1`.
    #[must_use]
    pub fn issuer_root_pem(&self) -> &str {
        &self.issuer_root_pem
    }

    /// The root of the alternate chains (RFC 8555 §7.4.2), in PEM. Its common name is `Testkit Root X2`.
    #[must_use]
    pub fn alternate_root_pem(&self) -> &str {
        &self.alternate_root_pem
    }

    /// Turns a quirk on, beside those that are.
    pub fn add_quirk(&self, quirk: Quirk) {
        lock(&self.shared.office).quirks.add(quirk);
    }

    /// Does something that no CA should do, beside the quirks that are on: short for
    /// [`add_quirk`](Self::add_quirk) with [`Quirk::Misbehave`].
    pub fn misbehave(&self, misbehaviour: Misbehaviour) {
        self.add_quirk(Quirk::Misbehave(misbehaviour));
    }

    /// Turns all quirks off.
    pub fn clear_quirks(&self) {
        lock(&self.shared.office).quirks.clear();
    }

    /// How long certificates without a profile are valid from now on.
    pub fn set_validity(&self, validity: Duration) {
        lock(&self.shared.office).settings.validity = validity;
    }

    /// Suggests this window for the renewal of every certificate from now on (RFC 9773 §4.2), however wrong it
    /// is; without one, the last third of a certificate's life begins with it, as by default.
    pub fn set_renewal_window(&self, window: Option<(Timestamp, Timestamp)>) {
        lock(&self.shared.office).settings.renewal_window = window;
    }

    /// Where challenges are looked up from now on.
    pub fn validate_through(&self, servers: &[SocketAddr]) {
        *lock(&self.shared.servers) = servers.to_vec();
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.all()
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// Waits, in real time, until there has been a request that `wanted` knows.
    pub async fn wait_for_request(&self, wanted: impl FnMut(&Request) -> bool) {
        self.shared.log.wait_for(wanted).await;
    }

    /// Every order so far, oldest first.
    #[must_use]
    pub fn orders(&self) -> Vec<PlacedOrder> {
        let now = self.shared.clock.now();
        lock(&self.shared.office).placed_orders(now)
    }

    /// Every certificate so far, oldest first.
    #[must_use]
    pub fn certificates(&self) -> Vec<Issued> {
        lock(&self.shared.office).issued()
    }
}

impl Drop for CertificateAuthority {
    fn drop(&mut self) {
        self.server.abort();
        lock(&self.shared.validations).abort_all();
    }
}

#[async_trait]
impl Answer for Shared {
    async fn answer(&self, request: http::Request<Bytes>) -> Delivery {
        let now = self.clock.now();
        let (outcome, validations) = {
            let mut office = lock(&self.office);
            let outcome = office.serve(&request, now);
            (outcome, std::mem::take(&mut office.validations))
        };
        let looked = self.look(validations);
        if self.validate_at_once {
            for done in looked {
                // An error: the authority has ended meanwhile.
                let _ = done.await;
            }
        }
        self.log.record(outcome.record);
        outcome.delivery
    }
}

impl Shared {
    /// Looks at challenges, in tasks of their own: that a client hangs up changes nothing for them.
    fn look(&self, validations: Vec<Validation>) -> Vec<oneshot::Receiver<()>> {
        let mut running = lock(&self.validations);
        while running.try_join_next().is_some() {} // those that are done need no place any more
        let looks = validations.into_iter().map(|validation| {
            let (this, servers) = (self.this.clone(), lock(&self.servers).clone());
            let (done, looked) = oneshot::channel();
            running.spawn(async move {
                let found = validate(&servers, &validation).await;
                if let Some(this) = this.upgrade() {
                    let now = this.clock.now();
                    lock(&this.office).validated(&validation, found, now);
                }
                // Mostly nobody waits for it.
                let _ = done.send(());
            });
            looked
        });
        looks.collect()
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("directory_url", &self.directory_url)
            .finish_non_exhaustive()
    }
}
