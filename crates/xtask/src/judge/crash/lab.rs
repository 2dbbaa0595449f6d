//! The world in which lives end, and what it has counted.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::join_all;
use perennial::{
    core::{Clock as _, DomainName, PrivateKey, Retry, SecretString, SystemClock, Timestamp},
    lifecycle::{CertificateId, Facts, Failures, IssueErrorClass, IssuerName, MemoryStore, Slot, Store},
};
use perennial_testkit::{CertificateAuthority, World, ca::Issued, dns::Data, real::Postgres};
use tempfile::TempDir;

use super::{
    super::surroundings::Surroundings,
    life::{Death, Ended, Life, Temper, Word},
    place::{self, Place},
    shifted::Shifted,
    text,
    witness::Witness,
    worker,
};

/// A certificate authority and its DNS, which live on whatever happens, and a database.
pub(super) struct Lab {
    world: World,
    clock: Shifted,
    postgres: Option<Postgres>,
    pub(super) witness: Witness,
}

/// Which kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Postgres,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Postgres => "postgres",
        }
    }
}

/// What there is when a life begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Nothing in the store; what is wished for lies where it is to be delivered to.
    Adoptable,
    /// A certificate that is due for renewal.
    Due,
    /// The same, its renewal half done by an issuer that nobody can reach any more, and its proof in the world.
    Forsaken,
    Nothing,
}

impl Start {
    /// Whether a certificate serves already.
    pub(super) const fn serves(self) -> bool {
        matches!(self, Self::Due | Self::Forsaken)
    }

    /// Who issues what is wished for, if anybody has to.
    pub(super) fn issuer(self) -> Result<Option<IssuerName>, String> {
        Ok(match self {
            Self::Adoptable => None,
            Self::Due | Self::Nothing => Some(IssuerName::default()),
            Self::Forsaken => Some(text(worker::FALLBACK.parse())?),
        })
    }

    /// How many seconds ago the certificate was issued that there is: eighty of its ninety days, or ten.
    const fn age(self) -> i64 {
        match self {
            Self::Adoptable => 10 * DAY,
            Self::Due | Self::Forsaken | Self::Nothing => 80 * DAY,
        }
    }
}

const DAY: i64 = 86_400;

impl Lab {
    pub(super) async fn start() -> Result<Self, String> {
        let clock = Shifted::default();
        let authority = CertificateAuthority::builder().validate_at_once();
        let world = World::builder().zone(ZONE).servers(1).clock(Arc::new(clock.clone()));
        let world = text(world.authority(authority).build().await)?;
        Ok(Self { world, clock, postgres: None, witness: Witness::new()? })
    }

    /// The database is there from now on.
    pub(super) async fn start_postgres(&mut self) -> Result<(), String> {
        if self.postgres.is_none() {
            self.postgres = Some(text(Postgres::builder().start().await)?);
        }
        Ok(())
    }

    /// A lane: names that nobody else has, and what it takes to begin a life from either start.
    pub(super) fn lane(&self, kind: Kind, number: usize) -> Result<Lane<'_>, String> {
        let id: CertificateId = text(format!("{}{number}", kind.word()).parse())?;
        let name: DomainName = text(format!("{id}.{ZONE}").parse())?;
        let names = vec![format!("*.{name}"), name.to_string()];
        let home = text(TempDir::with_prefix("perennial-judge-"))?;
        let owed = Vec::new();
        Ok(Lane { lab: self, kind, id, name, names, home, lives: 0, fills: 0, due: None, owed })
    }

    /// A schema of the database with nothing in it.
    async fn schema(&self, name: &str) -> Result<Place, String> {
        let socket = self.postgres.as_ref().ok_or("there is no PostgreSQL")?.socket();
        let (client, connection) = text(tokio_postgres::connect(socket, tokio_postgres::NoTls).await)?;
        let connection = tokio::spawn(connection);
        let fresh = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
        let made = client.batch_execute(&fresh).await;
        drop(client);
        let _ = connection.await;
        text(made)?;
        let connection = format!("{socket} options='-c search_path={name}'");
        Ok(Place::Postgres { connection, roots_pem: self.world.ca().https_root_pem().to_owned() })
    }
}

/// Puts what is in a directory into another, links as links: which generation is seen is said by one.
fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, into) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        match fs::symlink_metadata(&entry)?.file_type() {
            kind if kind.is_symlink() => symlink(fs::read_link(&entry)?, &into)?,
            kind if kind.is_dir() => copy_directory(&entry, &into)?,
            _ => fs::copy(&entry, &into).map(drop)?,
        }
    }
    Ok(())
}

const ZONE: &str = "example.com";

/// By so many seconds the clock of a recovery is ahead: a keeper leaves alone for a minute what it has just
/// issued.
const LATER: i64 = 90;

/// A row of lives, one after the other, with a certificate of its own.
pub(super) struct Lane<'a> {
    pub(super) lab: &'a Lab,
    pub(super) kind: Kind,
    pub(super) id: CertificateId,
    name: DomainName,
    names: Vec<String>,
    home: TempDir,
    lives: usize,
    fills: usize,
    /// What a store holds whose certificate is due.
    due: Option<MemoryStore>,
    /// The values that a forsaken renewal has left in the zone.
    owed: Vec<String>,
}

impl Lane<'_> {
    /// A store for a new life.
    pub(super) async fn place(&mut self, start: Start) -> Result<Place, String> {
        self.lives += 1;
        let place = match self.kind {
            Kind::Postgres => self.lab.schema(self.id.as_str()).await?,
            Kind::File => {
                let place = |life: usize| self.home.path().join(life.to_string());
                // One of a thousand small directories is enough to look at afterwards.
                let _ = fs::remove_dir_all(place(self.lives - 1));
                Place::File(place(self.lives))
            }
        };
        self.fill(&place, start).await?;
        Ok(place)
    }

    /// Puts into an empty store what is there at the start; and where it is delivered to, too.
    pub(super) async fn fill(&mut self, place: &Place, start: Start) -> Result<(), String> {
        let _ = fs::remove_dir_all(self.target());
        self.fills += 1;
        if start == Start::Nothing {
            return Ok(());
        }
        let (from, to) = (self.delivered(), self.target().join(self.id.as_str()));
        text(copy_directory(&from, &to))?;
        if start == Start::Adoptable {
            return Ok(());
        }
        for value in &self.owed {
            text(self.lab.world.zone().add(&self.challenge(), Data::txt(value.as_str())))?;
        }
        let due = self.due.as_ref().ok_or("nothing was prepared")?;
        place::copy(due, &*place.open().await?, &self.id).await
    }

    /// The directory that is delivered to.
    fn target(&self) -> PathBuf {
        self.home.path().join(format!("target{}", self.fills))
    }

    /// What was delivered of the certificate that is due.
    fn delivered(&self) -> PathBuf {
        self.home.path().join("delivered")
    }

    /// The chain that was there before a life began.
    pub(super) fn chain_that_was_delivered(&self) -> Result<Vec<u8>, String> {
        text(fs::read(self.delivered().join("fullchain.pem")))
    }

    /// The chain that is where it was to be delivered to.
    pub(super) fn chain_at_target(&self) -> Result<Vec<u8>, String> {
        text(fs::read(self.target().join(self.id.as_str()).join("fullchain.pem")))
    }

    /// A file for what others have to say of a life.
    pub(super) fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// An undisturbed life in that store, as it would be.
    pub(super) fn life(&self, place: &Place, start: Start) -> Life {
        let (world, ca) = (&self.lab.world, self.lab.world.ca());
        let at = |directory_url: &str| Surroundings::new(world, directory_url, ca.https_root_pem());
        let (first, fallback) = match start {
            Start::Forsaken => (at(UNREACHABLE), Some(at(ca.directory_url()))),
            Start::Adoptable | Start::Due | Start::Nothing => (at(ca.directory_url()), None),
        };
        Life {
            world: first,
            fallback,
            id: self.id.to_string(),
            names: self.names.clone(),
            store: place.clone(),
            target: self.target(),
            shift: 0,
            newer_than: u32::from(start.serves()),
            temper: Temper::Mortal(None),
        }
    }

    /// The life that follows a death. In a directory the record is enough: nobody has to wish for it again; and
    /// what the dead has put off for a moment is due when it begins. A database remembers the claim of the dead
    /// until its time is over, and then everything is due.
    pub(super) fn recovery(&self, place: &Place, start: Start) -> Life {
        let life = self.life(place, start);
        match self.kind {
            Kind::File if start.serves() => Life { shift: LATER, temper: Temper::Restored, ..life },
            Kind::File => Life { shift: LATER, ..life },
            Kind::Postgres => life,
        }
    }

    /// What the certificate authority has counted for this lane's names.
    pub(super) fn counts(&self) -> Counts {
        let ca = self.lab.world.ca();
        let own = |names: &[DomainName]| names.contains(&self.name);
        let orders: Vec<_> = ca.orders().into_iter().filter(|order| own(&order.names)).collect();
        let issued = ca.certificates().into_iter().filter(|issued| own(&issued.names)).collect();
        let finalizations = orders.iter().map(|order| order.finalizations).sum();
        Counts { orders: orders.len(), finalizations, issued }
    }

    /// The values that are still at the name of the challenge.
    pub(super) fn leftovers(&self) -> Vec<String> {
        self.lab.world.zone().txt_values(&self.challenge())
    }

    fn challenge(&self) -> String {
        format!("_acme-challenge.{}", self.name)
    }
}

/// What a certificate authority has counted.
pub(super) struct Counts {
    pub(super) orders: usize,
    /// Requests to finalize them.
    pub(super) finalizations: u32,
    pub(super) issued: Vec<Issued>,
}

/// Makes what there is when lives of these lanes begin. A first issuance comes long ago in every case: in directories, for
/// a database has a clock of its own, which did not run then.
pub(super) async fn prepare(lab: &Lab, lanes: &mut [Lane<'_>], start: Start) -> Result<(), String> {
    if start == Start::Nothing {
        return Ok(());
    }
    lab.clock.set(-start.age());
    let prepared = join_all(lanes.iter_mut().map(|lane| issue_long_ago(lane, start.age()))).await;
    lab.clock.set(0);
    prepared.into_iter().collect::<Result<(), String>>()?;
    if start == Start::Forsaken {
        let mut step = 1;
        for lane in lanes {
            forsake(lane, &mut step).await?;
        }
    }
    Ok(())
}

async fn issue_long_ago(lane: &mut Lane<'_>, age: i64) -> Result<(), String> {
    let place = Place::File(lane.home.path().join("prepared"));
    lane.fill(&place, Start::Nothing).await?;
    is_over(&Life { shift: -age, ..lane.life(&place, Start::Nothing) }.live(None).await?)?;
    lane.due = Some(place::remember(&*place.open().await?, &lane.id).await?);
    text(fs::rename(lane.target().join(lane.id.as_str()), lane.delivered()))
}

/// Lets the renewal of a lane die when its proof is in the world, which is after this step or a later one, and writes
/// down that its issuer has failed for days.
async fn forsake(lane: &mut Lane<'_>, step: &mut u32) -> Result<(), String> {
    let owed = loop {
        let place = Place::File(lane.home.path().join(format!("forsaken{step}")));
        lane.fill(&place, Start::Due).await?;
        let life =
            Life { temper: Temper::Mortal(Some(Death::After(*step))), ..lane.life(&place, Start::Due) };
        if !life.live(None).await?.killed {
            return Err("a renewal came to its end, and its proof was never there".to_owned());
        }
        let owed = lane.leftovers();
        text(lane.lab.world.zone().remove_all(&lane.challenge()))?;
        if !owed.is_empty() {
            let half_done = place::remember(&*place.open().await?, &lane.id).await?;
            lane.due = Some(blame(half_done, lane, &place).await?);
            break owed;
        }
        *step += 1;
    };
    lane.owed = owed;
    Ok(())
}

/// The same, and its issuer has failed for four days: with ten left, the next one is asked.
async fn blame(store: MemoryStore, lane: &Lane<'_>, place: &Place) -> Result<MemoryStore, String> {
    let (version, mut record) = text(store.load(&lane.id).await)?.ok_or("nothing was remembered")?;
    if record.debts.is_empty() || record.attempt.is_none() {
        return Err("what is in the world is not on record".to_owned());
    }
    let ago = |seconds: i64| Timestamp::from_unix(SystemClock::new().now().unix() - seconds);
    record.spec = worker::spec(&lane.life(place, Start::Forsaken))?;
    record.failures = Some(Failures {
        count: 9,
        streak: 9,
        first_at: Some(ago(4 * DAY)),
        issuers_since: Some(ago(4 * DAY)),
        last_at: ago(3_600),
        retry_at: ago(60),
        class: IssueErrorClass::Transient,
        message: "nobody is there".to_owned(),
        retry: Retry::Backoff,
    });
    record.next_at = Timestamp::MIN;
    text(store.commit(&record, Some(version)).await)?;
    Ok(store)
}

/// Nobody listens there (RFC 6335 §6).
const UNREACHABLE: &str = "https://127.0.0.1:1/directory";

/// That a life came to its end.
pub(super) fn is_over(ended: &Ended) -> Result<(), String> {
    match ended.words.last() {
        Some(Word::Over) => Ok(()),
        _ => Err(format!("it ended without a certificate; the last that it did was {}", ended.last_deed())),
    }
}

/// Whether a key of each of these certificates is in the store.
pub(super) async fn lost_keys(
    store: &dyn Store,
    id: &CertificateId,
    issued: &[Issued],
) -> Result<usize, String> {
    let record = place::record(store, id).await?;
    let mut keys = Vec::new();
    for slot in place::slots(&record).filter(|slot| matches!(slot, Slot::PrivateKey { .. })) {
        if let Some(bytes) = text(store.read(&slot).await)? {
            let pem = SecretString::new(text(std::str::from_utf8(bytes.expose()))?);
            keys.push(text(PrivateKey::from_pem(&pem))?);
        }
    }
    let mut lost = 0;
    for certificate in issued {
        let facts = text(Facts::from_pem(certificate.chain_pem.as_bytes()))?;
        lost += usize::from(!keys.iter().any(|key| facts.has_key(key)));
    }
    Ok(lost)
}
