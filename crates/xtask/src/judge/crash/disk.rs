//! Disks that are full for a while, and disks that say at the k-th fsync that they could not.
//!
//! A full disk is a real one: a small tmpfs(5) in the judge's own mount namespace. A failing disk is made by
//! strace(1), which lets real system calls fail: a device that does so (dm-flakey) needs more rights than a
//! judge has, and a limit such as `RLIMIT_FSIZE` fails writes alone.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::Duration,
};

use futures_util::future::join_all;
use perennial_testkit::real::{Component, Components, Tool};
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    lab::{Kind, Lab, Lane, Start},
    life::{Ended, Life, Temper, VERB},
    matrix::{self, Case},
    place::Place,
    tally::{Finding, Tally},
    text,
};
use crate::{shell, simulate::random::Random};

/// So many disks that fill up at a moment of the walk, and are freed soon after.
pub(super) async fn full(lab: &Lab, start: Start, times: usize, seed: u64) -> Result<Tally, String> {
    let mut lanes = matrix::lanes(lab, Kind::File, start).await?;
    let length = matrix::longest_life(&mut lanes, start).await?;
    let (random, left) = (RefCell::new(Random::new(seed, u64::MAX)), Cell::new(times));
    let (tally, noticed) = (RefCell::new(Tally::default()), Cell::new(0_usize));
    join_all(lanes.iter_mut().map(async |lane| {
        while let Some(one) = left.get().checked_sub(1) {
            left.set(one);
            let moment = random.borrow_mut().moment_within(length);
            let what = format!("full after {:.4} s", moment.as_secs_f32());
            let found = fill_and_recover(lane, start, (moment, length / 5), &noticed).await;
            tally.borrow_mut().add(&what, found);
        }
    }))
    .await;
    if noticed.get() == 0 {
        return Err("no life has noticed that its disk was full".to_owned());
    }
    Ok(tally.into_inner())
}

async fn fill_and_recover(
    lane: &mut Lane<'_>,
    start: Start,
    (moment, time): (Duration, Duration),
    noticed: &Cell<usize>,
) -> Result<Finding, String> {
    let disk = Disk::mount()?;
    let place = Place::File(disk.path().join("store"));
    lane.fill(&place, start).await?;
    let case = Case::begin(lane, &place, start).await?;
    let life = Life { temper: Temper::Stubborn, ..lane.life(&place, start) };
    let living = life.live(None);
    let filling = async {
        tokio::time::sleep(moment).await;
        disk.fill_for(time).await
    };
    let (ended, filled) = tokio::join!(living, filling);
    filled?;
    let ended = ended?;
    noticed.set(noticed.get() + usize::from(ended.failures().next().is_some()));
    case.end(lane, &ended, ended.lost_orders()).await
}

/// A small file system in memory; unmounted when dropped.
struct Disk {
    directory: TempDir,
}

impl Disk {
    fn mount() -> Result<Self, String> {
        let directory = text(TempDir::with_prefix("perennial-judge-"))?;
        let mut mount = shell::program("mount", ["-t", "tmpfs", "-o", SIZE, "none"]);
        mount.arg(directory.path());
        text(shell::read(mount))?;
        Ok(Self { directory })
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Takes all space that there is, and what becomes free, for so long.
    async fn fill_for(&self, time: Duration) -> Result<(), String> {
        let path = self.path().join("ballast");
        let mut ballast = text(File::create(&path))?;
        let until = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < until {
            while ballast.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        text(fs::remove_file(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is not unmounted is gone with the namespace.
        let mut unmount = shell::program("umount", ["--lazy"]);
        unmount.arg(self.path());
        let _ = shell::output(unmount);
    }
}

/// Room for two generations, a record and a log.
const SIZE: &str = "size=512k";

/// A disk that fails at the first fsync of a life, at the second, and so on, until a life has no more of
/// them.
pub(super) async fn failing(lab: &Lab, start: Start) -> Result<Tally, String> {
    // What says that data are on the disk (fsync(2), fdatasync(2)).
    sweep(lab, start, &["fsync", "fdatasync"], "error=EIO").await
}

/// A death at the first system call that changes what is on the disk, at the second, and so on: within the
/// steps.
pub(super) async fn calls(lab: &Lab, start: Start) -> Result<Tally, String> {
    sweep(lab, start, CHANGES, "signal=KILL").await
}

/// The system calls that change what is on a disk, without write(2): everything else needs that too.
const CHANGES: &[&str] = &[
    "fsync",
    "fdatasync",
    "ftruncate",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
];

/// Lets each of these calls go wrong at its first use, at its second, and so on; strace counts each by
/// itself.
async fn sweep(lab: &Lab, start: Start, calls: &[&str], wrong: &str) -> Result<Tally, String> {
    let strace = text(Components::locate().find(Tool::Strace).cloned())?;
    let mut lanes = matrix::lanes(lab, Kind::File, start).await?;
    let at = Cell::new((0, 0));
    let next = || {
        let (call, number) = at.get();
        at.set((call, number + 1));
        calls.get(call).map(|name| (call, *name, number + 1))
    };
    // That life had no such use of the call: the next one's turn.
    let over = |call| {
        if at.get().0 == call {
            at.set((call + 1, 0));
        }
    };
    let tally = RefCell::new(Tally::default());
    join_all(lanes.iter_mut().map(async |lane| {
        while let Some((call, name, number)) = next() {
            let doom = format!("{name}:{wrong}:when={number}");
            match inject(lane, start, &strace, &doom).await.transpose() {
                None => over(call),
                Some(found) => tally.borrow_mut().add(&format!("{name} {number}"), found),
            }
        }
    }))
    .await;
    Ok(tally.into_inner())
}

/// A life in which one system call goes wrong; `None` when it had no such call.
async fn inject(
    lane: &mut Lane<'_>,
    start: Start,
    strace: &Component,
    doom: &str,
) -> Result<Option<Finding>, String> {
    let place = lane.place(start).await?;
    let case = Case::begin(lane, &place, start).await?;
    let log = lane.log();
    let life = Life { temper: Temper::Stubborn, ..lane.life(&place, start) };
    let first = life.live_as(under(strace, &log, doom)?, None).await?;
    if !first.killed && !text(fs::read_to_string(&log))?.contains("(INJECTED)") {
        return case.end(lane, &first, 0).await.map(|_| None);
    }
    let excused = if first.killed { usize::from(first.is_in_the_gap()) } else { first.lost_orders() };
    let last: Ended = if first.killed { lane.recovery(&place, start).live(None).await? } else { first };
    case.end(lane, &last, excused).await.map(Some)
}

/// The program under strace, which lets one system call go wrong and notes that it did.
fn under(strace: &Component, log: &Path, doom: &str) -> Result<Command, String> {
    let calls = doom.split(':').next().unwrap_or_default();
    let mut command = strace.command();
    command.args(["-f", "-qq", "-o"]).arg(log);
    command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={doom}")]);
    command.arg(text(std::env::current_exe())?).arg(VERB);
    Ok(Command::from(command))
}
