//! Lives that end at each step or at any moment, and lives that go on from there.

use std::{
    cell::{Cell, RefCell},
    fmt,
    time::Duration,
};

use futures_util::future::join_all;
use perennial::lifecycle::Facts;

use super::{
    budgets,
    lab::{self, Counts, Kind, Lab, Lane, Start, is_over, lost_keys},
    life::{Death, Ended, Life, Temper},
    place::{self, Place},
    tally::{Finding, Tally},
    witness::{Presence, Watching},
};
use crate::simulate::random::Random;

/// How a life is to end.
#[derive(Clone, Copy)]
enum Doom {
    At(Death),
    Within(Duration),
}

impl fmt::Display for Doom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(Death::Before(number)) => write!(f, "killed before step {number}"),
            Self::At(Death::After(number)) => write!(f, "killed after step {number}"),
            Self::Within(time) => write!(f, "killed after {:.4} s", time.as_secs_f32()),
        }
    }
}

/// A death before and one after each operation that writes, until a life has no more of them.
pub(super) async fn steps(lab: &Lab, kind: Kind, start: Start) -> Result<Tally, String> {
    let (taken, over) = (Cell::new(0), Cell::new(false));
    let next = || {
        let number = taken.replace(taken.get() + 1);
        let step = number / 2 + 1;
        let death = if number % 2 == 0 { Death::Before(step) } else { Death::After(step) };
        (!over.get()).then_some(Doom::At(death))
    };
    let mut lanes = lanes(lab, kind, start).await?;
    Ok(run(&mut lanes, start, next, || over.set(true)).await)
}

/// So many deaths at moments that are spread evenly over an undisturbed life.
pub(super) async fn moments(
    lab: &Lab,
    kind: Kind,
    start: Start,
    kills: usize,
    seed: u64,
) -> Result<Tally, String> {
    let mut lanes = lanes(lab, kind, start).await?;
    let length = longest_life(&mut lanes, start).await?;
    let (left, random) = (Cell::new(kills), RefCell::new(Random::new(seed, kind as u64)));
    let next = || {
        let one = left.get().checked_sub(1)?;
        left.set(one);
        Some(Doom::Within(random.borrow_mut().moment_within(length)))
    };
    // Who was there before the end was quicker than the measured one; that one does not count.
    Ok(run(&mut lanes, start, next, || left.set(left.get() + 1)).await)
}

/// How long undisturbed lives take at most when all lanes live at once, which is what the deaths will find.
pub(super) async fn longest_life(lanes: &mut [Lane<'_>], start: Start) -> Result<Duration, String> {
    let lengths = join_all(lanes.iter_mut().map(|lane| length(lane, start))).await;
    let lengths = lengths.into_iter().collect::<Result<Vec<_>, String>>()?;
    Ok(lengths.into_iter().max().unwrap_or_default())
}

async fn length(lane: &mut Lane<'_>, start: Start) -> Result<Duration, String> {
    let place = lane.place(start).await?;
    let ended = lane.life(&place, start).live(None).await?;
    is_over(&ended)?;
    Ok(ended.elapsed)
}

/// Lanes side by side take one death after the other; `survived` hears of those that did not come in time.
async fn run(
    lanes: &mut [Lane<'_>],
    start: Start,
    next: impl Fn() -> Option<Doom>,
    survived: impl Fn(),
) -> Tally {
    let tally = RefCell::new(Tally::default());
    join_all(lanes.iter_mut().map(async |lane| {
        while tally.borrow().faults() < MOST_FAULTS
            && let Some(doom) = next()
        {
            match die_and_recover(lane, start, doom).await.transpose() {
                None => survived(),
                Some(found) => tally.borrow_mut().add(&doom.to_string(), found),
            }
        }
    }))
    .await;
    tally.into_inner()
}

/// Where no life can even begin, no life ever comes to its end.
const MOST_FAULTS: usize = 20;

/// Two processors and a certificate authority that shares them: more lanes wait for one another. With a
/// database most of a recovery is the wait until the claim of the dead is over.
const fn width(kind: Kind) -> usize {
    match kind {
        Kind::File => 4,
        Kind::Postgres => 10,
    }
}

/// Lanes from whose starts lives can begin.
pub(super) async fn lanes(lab: &Lab, kind: Kind, start: Start) -> Result<Vec<Lane<'_>>, String> {
    let mut lanes =
        (0..width(kind)).map(|number| lab.lane(kind, number)).collect::<Result<Vec<_>, String>>()?;
    lab::prepare(lab, &mut lanes, start).await?;
    Ok(lanes)
}

/// One death and what is found when the next life has come to its end; `None` when the first did.
async fn die_and_recover(lane: &mut Lane<'_>, start: Start, doom: Doom) -> Result<Option<Finding>, String> {
    let place = lane.place(start).await?;
    let case = Case::begin(lane, &place, start).await?;
    let life = lane.life(&place, start);
    let first = match doom {
        Doom::At(death) => Life { temper: Temper::Mortal(Some(death)), ..life.clone() }.live(None).await?,
        Doom::Within(time) => life.live(Some(time)).await?,
    };
    if !first.killed {
        return case.end(lane, &first, 0).await.map(|_| None);
    }
    let recovered = async {
        let second = lane.recovery(&place, start).live(None).await?;
        let mut finding = case.end(lane, &second, usize::from(first.is_in_the_gap())).await?;
        finding.others.extend(budgets::faults(&finding.taken, start.issuer()?.as_ref(), 1));
        Ok(finding)
    };
    let and_then = |fault: String| format!("{} was the last that it did; then: {fault}", first.last_deed());
    recovered.await.map(Some).map_err(and_then)
}

/// Which certificate a chain is of, if it is one.
fn fingerprint(chain: &[u8]) -> Option<String> {
    Facts::from_pem(chain).ok().map(|facts| facts.fingerprint)
}

/// Everything between the beginning of a first life and the end of a last one.
pub(super) struct Case {
    place: Place,
    start: Start,
    before: Counts,
    watching: Watching,
}

impl Case {
    pub(super) async fn begin(lane: &Lane<'_>, place: &Place, start: Start) -> Result<Self, String> {
        let presence = if start.serves() { Presence::FromTheStart } else { Presence::SomeTime };
        let watching = lane.lab.witness.watch(place, &lane.id, presence).await?;
        Ok(Self { place: place.clone(), start, before: lane.counts(), watching })
    }

    /// Looks at everything once a life has come to its end. `excused` orders were lost in the gap on the way.
    pub(super) async fn end(self, lane: &Lane<'_>, last: &Ended, excused: usize) -> Result<Finding, String> {
        is_over(last)?;
        let Self { place, start, before, watching } = self;
        let seen = watching.end().await?;
        let (store, after) = (place.open().await?, lane.counts());
        let record = place::record(&*store, &lane.id).await?;
        let since = after.issued.get(before.issued.len()..).unwrap_or_default();
        let (wanted, newest) = match start {
            Start::Adoptable => (0, fingerprint(&lane.chain_that_was_delivered()?)),
            _ => (1, fingerprint(since.last().map_or(b"", |issued| issued.chain_pem.as_bytes()))),
        };
        let delivered = fingerprint(&lane.chain_at_target().unwrap_or_default());
        let mut others = Vec::new();
        if start == Start::Adoptable && record.last_generation.number() != 1 {
            others.push(format!("it was taken over {} times", record.last_generation.number()));
        }
        Ok(Finding {
            wanted,
            taken: budgets::taken(&*store, &record.spec).await?,
            others,
            serves_the_old: seen.serves != newest,
            delivered_the_old: delivered != newest,
            orders: after.orders - before.orders,
            excused,
            finalizations: after.finalizations - before.finalizations,
            certificates: since.len(),
            lost_keys: lost_keys(&*store, &lane.id, since).await?,
            leftovers: lane.leftovers(),
            debts: record.debts.len(),
            took: last.elapsed,
            seen,
        })
    }
}
