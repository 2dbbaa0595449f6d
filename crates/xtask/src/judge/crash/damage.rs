//! Stores in which some records are not what they were: the others are kept, those are named, and nothing of
//! them is changed.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::join_all;
use perennial::lifecycle::{CertificateId, Record, Store};

use super::{
    lab::{Kind, Lab, Lane, Start, is_over},
    matrix::{Case, lanes},
    place::Place,
    tally::{Finding, Tally},
    text,
};
use crate::{judge::Outcome, simulate::random::Random};

/// What lies beside a good record, by the id that it is found under.
struct Bad {
    id: String,
    content: Vec<u8>,
}

/// A good certificate that is due, among bad ones of every kind.
pub(super) async fn beside_a_good_one(lab: &Lab, seed: u64) -> Outcome {
    let mut lanes = lanes(lab, Kind::File, Start::Due).await?;
    let lane = lanes.first_mut().ok_or("there is no lane")?;
    let place = lane.place(Start::Due).await?;
    let Place::File(root) = &place else { return Err("it is no directory".to_owned()) };
    let certificates = root.join("certificates");
    let good = text(fs::read(certificates.join(lane.id.as_str()).join(RECORD)))?;
    let bad = spoiled(&good, lane.id.as_str(), seed);
    for Bad { id, content } in &bad {
        let directory = certificates.join(id);
        // A key of somebody's lies beside it.
        text(fs::create_dir_all(directory.join("00000001")))?;
        text(fs::write(directory.join("00000001/privkey.pem"), "somebody's"))?;
        text(fs::write(directory.join(RECORD), content))?;
    }
    text(fs::create_dir_all(certificates.join("a-directory").join(RECORD)))?;
    text(fs::write(certificates.join("a-file"), "somebody's"))?;
    let before = contents(&certificates)?;
    let unreadable = unreadable(&place, &bad).await?;

    let case = Case::begin(lane, &place, Start::Due).await?;
    let ended = lane.life(&place, Start::Due).live(None).await?;
    let finding = case.end(lane, &ended, 0).await?;
    is_over(&ended)?;
    if (finding.orders, finding.certificates, finding.leftovers.len()) != (1, 1, 0) {
        return Err(format!("the good one took {} orders", finding.orders));
    }
    named(&place, &unreadable).await?;
    let after = contents(&certificates)?;
    for id in &unreadable {
        let own = |all: &BTreeMap<PathBuf, Vec<u8>>| -> Vec<(PathBuf, Vec<u8>)> {
            let own = all.iter().filter(|(path, _)| path.starts_with(certificates.join(id)));
            own.map(|(path, content)| (path.clone(), content.clone())).collect()
        };
        if own(&before) != own(&after) {
            return Err(format!("something of {id} was changed"));
        }
    }
    let untouched = ["a-directory", "a-file"].iter().all(|name| certificates.join(name).exists());
    if !untouched {
        return Err("what is no certificate was removed".to_owned());
    }
    Ok(format!("{} bad records named and left, the good one renewed", unreadable.len()))
}

const RECORD: &str = "record.json";

/// Records that are not what they should be, made of a good one.
fn spoiled(good: &[u8], good_id: &str, seed: u64) -> Vec<Bad> {
    let own = |id: &str| String::from_utf8_lossy(good).replace(good_id, id).into_bytes();
    let newer = |id: &str| {
        let known = format!("\"schema\": {}", Record::SCHEMA);
        String::from_utf8_lossy(&own(id)).replace(&known, "\"schema\": 999").into_bytes()
    };
    let mut random = Random::new(seed, 3);
    let noise = (0..200).map(|_| random.next().to_le_bytes()[0]).collect();
    let mut bad = vec![
        Bad { id: "empty".to_owned(), content: Vec::new() },
        Bad { id: "foreign".to_owned(), content: b"{\"somebody\": \"else's\"}".to_vec() },
        Bad { id: "newer".to_owned(), content: newer("newer") },
        Bad { id: "noise".to_owned(), content: noise },
        Bad { id: "others".to_owned(), content: good.to_vec() },
        Bad { id: "zeros".to_owned(), content: vec![0; good.len()] },
    ];
    for number in 0..FLIPS {
        let id = format!("truncated{number}");
        let mut content = own(&id);
        content.truncate(below(&mut random, content.len()));
        bad.push(Bad { id, content });
        let id = format!("flipped{number}");
        let mut content = own(&id);
        let at = below(&mut random, content.len());
        if let Some(byte) = content.get_mut(at) {
            *byte ^= 1 << (random.next() % 8);
        }
        bad.push(Bad { id, content });
    }
    bad
}

fn below(random: &mut Random, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    usize::try_from(random.between(0, length)).unwrap_or_default()
}

/// Bits that fall over, and ends that are missing: so many of each.
const FLIPS: usize = 20;

/// Those that cannot be read: a bit may have fallen over where it is no harm.
async fn unreadable(place: &Place, bad: &[Bad]) -> Result<Vec<String>, String> {
    let store = place.open().await?;
    let mut unreadable = vec!["a-directory".to_owned()];
    for Bad { id, .. } in bad {
        let parsed: CertificateId = text(id.parse())?;
        match store.load(&parsed).await {
            Err(error) if error.to_string().contains(id.as_str()) => unreadable.push(id.clone()),
            Err(error) => return Err(format!("{id} is not named in: {error}")),
            Ok(_) if id.starts_with("flipped") => {}
            Ok(_) => return Err(format!("{id} was read as if it were good")),
        }
    }
    Ok(unreadable)
}

/// That the store names all of these. What was put into its directory by hand it finds while it is used.
async fn named(place: &Place, wanted: &[String]) -> Result<(), String> {
    let store = place.open().await?;
    let mut missing = String::new();
    for _ in 0..LOOKS {
        let quarantined = text(Store::quarantined(&*store).await)?;
        let named: BTreeSet<String> =
            quarantined.iter().filter_map(|one| one.id.as_ref().map(ToString::to_string)).collect();
        match wanted.iter().find(|id| !named.contains(*id)) {
            None => return Ok(()),
            Some(id) => missing = format!("{id} was not named; those were: {named:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(missing)
}

/// Five seconds; it takes a few milliseconds.
const LOOKS: usize = 50;

/// Indexes that are gone, cut off or spoiled, beside a good record that is due.
pub(super) async fn indexes(lab: &Lab, seed: u64) -> Result<Tally, String> {
    let mut lanes = lanes(lab, Kind::File, Start::Due).await?;
    let random = RefCell::new(Random::new(seed, 4));
    let left = Cell::new(INDEXES);
    let tally = RefCell::new(Tally::default());
    join_all(lanes.iter_mut().map(async |lane| {
        while let Some(number) = left.get().checked_sub(1) {
            left.set(number);
            let spoil = |log: &mut Vec<u8>| spoil(number, log, &mut random.borrow_mut());
            let found = live_without_index(lane, spoil).await;
            tally.borrow_mut().add(&format!("index {number}"), found);
        }
    }))
    .await;
    let lane = lanes.first_mut().ok_or("there is no lane")?;
    of_a_newer_version(lane).await?;
    Ok(tally.into_inner())
}

/// So many indexes: one is gone, one is empty, one is all zeros; the others are cut off or have a wrong bit.
const INDEXES: usize = 40;

fn spoil(number: usize, log: &mut Vec<u8>, random: &mut Random) {
    let anywhere = HEAD + below(random, log.len().saturating_sub(HEAD));
    match number {
        0 | 1 => log.clear(),
        2 => log.fill(0),
        _ if number.is_multiple_of(2) => log.truncate(below(random, log.len())),
        _ => {
            if let Some(byte) = log.get_mut(anywhere) {
                *byte ^= 1 << (random.next() % 8);
            }
        }
    }
}

/// What an index begins with: its kind and its version.
const HEAD: usize = 20;
const INDEX: &str = "index.log";

async fn live_without_index(
    lane: &mut Lane<'_>,
    spoil: impl FnOnce(&mut Vec<u8>),
) -> Result<Finding, String> {
    let place = lane.place(Start::Due).await?;
    let path = index_of(&place)?;
    let mut log = text(fs::read(&path))?;
    spoil(&mut log);
    text(if log.is_empty() { fs::remove_file(&path) } else { fs::write(&path, log) })?;
    let case = Case::begin(lane, &place, Start::Due).await?;
    let ended = lane.life(&place, Start::Due).live(None).await?;
    case.end(lane, &ended, 0).await
}

/// A store of a newer version is named and left as it is.
async fn of_a_newer_version(lane: &mut Lane<'_>) -> Result<(), String> {
    let place = lane.place(Start::Due).await?;
    let path = index_of(&place)?;
    let mut log = text(fs::read(&path))?;
    if let Some(version) = log.get_mut(HEAD - 4..HEAD) {
        version.copy_from_slice(&999_u32.to_le_bytes());
    }
    text(fs::write(&path, &log))?;
    match lane.life(&place, Start::Due).live(None).await {
        Ok(_) => Err("a store of a newer version was used".to_owned()),
        Err(error) if !error.contains(INDEX) => Err(format!("{INDEX} is not named in: {error}")),
        Err(_) if text(fs::read(&path))? != log => Err("the newer version's index was changed".to_owned()),
        Err(_) => Ok(()),
    }
}

fn index_of(place: &Place) -> Result<PathBuf, String> {
    match place {
        Place::File(root) => Ok(root.join(INDEX)),
        Place::Postgres { .. } => Err("it is no directory".to_owned()),
    }
}

/// Every file below a directory.
fn contents(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let mut found = BTreeMap::new();
    for entry in text(fs::read_dir(directory))? {
        let path = text(entry)?.path();
        if path.is_dir() && !path.is_symlink() {
            found.append(&mut contents(&path)?);
        } else if path.is_file() {
            found.insert(path.clone(), text(fs::read(&path))?);
        }
    }
    Ok(found)
}
