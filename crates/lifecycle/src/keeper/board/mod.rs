//! Who works: claimed certificates get in line for a slot, and give it back while they wait for something.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use perennial_core::Timestamp;
use tokio::sync::{Notify, oneshot};

use super::lease::Ticket;
use crate::queue::{Lane, Queue, Work};

/// How many work, wait and park at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// How many work at once.
    pub(super) slots: usize,
    /// How many may wait for something outside without a slot.
    pub(super) parked: usize,
    /// How many may be claimed and wait for a slot: enough for the lanes to choose among.
    pub(super) window: usize,
}

/// The line before the slots. Nothing in it is about certificates that are not claimed.
pub(super) struct Board {
    sizes: Sizes,
    rows: Mutex<Rows>,
    /// Told when a slot is free, or somebody has left.
    changed: Notify,
}

struct Rows {
    queue: Queue<String>,
    seats: HashMap<u32, Row>,
    /// Those whose wait is over, in the order in which it was: they hold orders open, and go before all others.
    returning: VecDeque<u32>,
    last: u32,
    waiting: Waiting,
    /// Whether a renewal was handed out since the last look for work, and since the one before it.
    renewals: [bool; 2],
    parked: usize,
    parked_retries: usize,
}

/// How many of each kind wait.
#[derive(Default)]
struct Waiting {
    firsts: usize,
    renewals: usize,
    retries: usize,
}

impl Waiting {
    const fn of(&mut self, kind: Lane) -> &mut usize {
        match kind {
            Lane::First => &mut self.firsts,
            Lane::Renewal => &mut self.renewals,
            Lane::Retry => &mut self.retries,
        }
    }
}

/// Who has no place in the line, because others of its kind leave none.
pub(super) enum Surplus {
    /// A first certificate, which is held for nobody now and due as before: nothing was found out about it.
    HandedBack,
    /// One that failed before, and looks again later.
    PutOff(Box<Ticket>),
}

struct Row {
    lane: Lane,
    /// As what it counts among those who wait. A certificate that has ended is no first one, though it stands in
    /// their lane: stores hand it out with the renewals.
    kind: Lane,
    deadline: Timestamp,
    state: State,
}

enum State {
    Parked,
    Returning(oneshot::Sender<()>),
    Running,
    Waiting(Box<Ticket>),
}

/// How many are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) waiting: usize,
    pub(super) running: usize,
    pub(super) parked: usize,
}

impl Board {
    pub(super) fn new(sizes: Sizes) -> Arc<Self> {
        let rows = Rows {
            queue: Queue::new(sizes.slots),
            seats: HashMap::new(),
            returning: VecDeque::new(),
            last: 0,
            waiting: Waiting::default(),
            renewals: [false; 2],
            parked: 0,
            parked_retries: 0,
        };
        Arc::new(Self { sizes, rows: Mutex::new(rows), changed: Notify::new() })
    }

    /// How many more may be claimed: while nobody can be parked, what has a slot keeps it for long, and little of what
    /// waits would have its turn soon.
    pub(super) fn room(&self) -> usize {
        let rows = self.rows();
        let Sizes { slots, parked, window } = self.sizes;
        let soon = SOON * slots + parked.saturating_sub(rows.parked);
        window.min(soon).saturating_sub(rows.queue.len())
    }

    /// Somebody is about to look for work.
    pub(super) fn begin_look(&self) {
        let mut rows = self.rows();
        rows.renewals = [false, rows.renewals[0]];
    }

    /// Puts a claimed certificate in line, in the place that `wish` tells; its index does not count.
    ///
    /// Those of one kind leave room for others. One that failed before is given back when such fill half of the
    /// window: of all of them the one whose end is farthest. So is a first certificate when such fill half of what
    /// those leave, and renewals come as well.
    pub(super) fn admit(&self, ticket: Ticket, wish: Work<String>) -> Result<(), Surplus> {
        let mut rows = self.rows();
        let (lane, deadline) = (wish.lane, wish.deadline);
        let has_certificate = ticket.record.current.is_some();
        let kind = if lane == Lane::First && has_certificate { Lane::Renewal } else { lane };
        let window = self.sizes.window;
        let mut surplus = None;
        match kind {
            Lane::First if rows.renewals_come() => {
                let left = window.saturating_sub(rows.waiting.retries);
                if rows.waiting.firsts >= left.div_ceil(2) {
                    return Err(Surplus::HandedBack);
                }
            }
            Lane::First => {}
            Lane::Renewal => rows.renewals[0] = true,
            Lane::Retry if rows.waiting.retries >= window.div_ceil(2) => {
                match rows.farthest_retry().filter(|(farthest, _)| *farthest > deadline) {
                    Some((_, index)) => surplus = rows.turn_away(index),
                    None => return Err(Surplus::PutOff(Box::new(ticket))),
                }
            }
            Lane::Retry => {}
        }
        *rows.waiting.of(kind) += 1;
        let index = rows.free_index();
        rows.seats.insert(index, Row { lane, kind, deadline, state: State::Waiting(Box::new(ticket)) });
        rows.queue.push(Work { index, ..wish });
        surplus.map_or(Ok(()), |ticket| Err(Surplus::PutOff(ticket)))
    }

    /// The next that may begin, with its slot.
    pub(super) fn next(self: &Arc<Self>) -> Option<(Seat, Ticket)> {
        let mut rows = self.rows();
        rows.call_back();
        let index = rows.queue.start()?;
        let row = rows.seats.get_mut(&index)?;
        let kind = row.kind;
        let State::Waiting(ticket) = std::mem::replace(&mut row.state, State::Running) else { return None };
        *rows.waiting.of(kind) -= 1;
        Some((Seat { board: self.clone(), index }, *ticket))
    }

    /// Takes everything out of the line that has not begun.
    pub(super) fn clear(&self) {
        let mut rows = self.rows();
        let waiting: Vec<u32> = rows
            .seats
            .iter()
            .filter(|(_, row)| matches!(row.state, State::Waiting(_)))
            .map(|(index, _)| *index)
            .collect();
        for index in waiting {
            rows.queue.remove(index);
            rows.seats.remove(&index);
        }
        rows.waiting = Waiting::default();
    }

    pub(super) fn counts(&self) -> Counts {
        let rows = self.rows();
        Counts { waiting: rows.queue.len(), running: rows.queue.running(), parked: rows.parked }
    }

    /// Returns when a slot was freed or somebody has left since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Those that failed before have at most half of the places: what hangs there must not hold up the others.
    fn park(&self, index: u32) -> bool {
        let mut rows = self.rows();
        let is_retry = rows.seats.get(&index).is_some_and(|row| row.lane == Lane::Retry);
        let full = rows.parked >= self.sizes.parked
            || (is_retry && rows.parked_retries >= self.sizes.parked.div_ceil(2));
        if full {
            return false;
        }
        let Some(row) = rows.seats.get_mut(&index) else { return false };
        if !matches!(row.state, State::Running) {
            return false;
        }
        row.state = State::Parked;
        rows.parked += 1;
        rows.parked_retries += usize::from(is_retry);
        rows.queue.finish(index);
        self.advance(rows);
        true
    }

    /// Told when this one has a slot again.
    fn return_to(&self, index: u32) -> oneshot::Receiver<()> {
        let (called, call) = oneshot::channel();
        let mut rows = self.rows();
        rows.unpark(index);
        if let Some(row) = rows.seats.get_mut(&index) {
            row.state = State::Returning(called);
            rows.returning.push_back(index);
        }
        self.advance(rows);
        call
    }

    /// A wait was dropped, and the work goes on: with a slot, if there is one.
    fn stay(&self, index: u32) {
        let mut rows = self.rows();
        rows.unpark(index);
        if let Some(row) = rows.seats.get_mut(&index) {
            row.state = State::Running;
            let lane = row.lane;
            rows.queue.resume(index, lane);
        }
        self.advance(rows);
    }

    fn leave(&self, index: u32) {
        let mut rows = self.rows();
        rows.unpark(index);
        rows.queue.finish(index);
        rows.seats.remove(&index);
        self.advance(rows);
    }

    fn advance(&self, mut rows: MutexGuard<'_, Rows>) {
        rows.call_back();
        drop(rows);
        self.changed.notify_one();
    }

    /// No code of others runs under this lock: what a panic leaves is whole.
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn free_index(&mut self) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if !self.seats.contains_key(&self.last) {
                return self.last;
            }
        }
    }

    /// Gives free slots to those whose wait is over.
    fn call_back(&mut self) {
        while let Some(index) = self.returning.front().copied() {
            // Who has left meanwhile is still in line here.
            let returning = self.seats.get_mut(&index).filter(|row| matches!(row.state, State::Returning(_)));
            let Some(row) = returning else {
                self.returning.pop_front();
                continue;
            };
            if !self.queue.resume(index, row.lane) {
                return;
            }
            self.returning.pop_front();
            if let State::Returning(called) = std::mem::replace(&mut row.state, State::Running) {
                // Who does not listen any more is about to leave.
                let _ = called.send(());
            }
        }
    }

    /// Whether renewals wait, or were handed out a moment ago and will be again.
    const fn renewals_come(&self) -> bool {
        self.waiting.renewals > 0 || self.renewals[0] || self.renewals[1]
    }

    /// Of those that failed before and wait, the one whose end is farthest.
    fn farthest_retry(&self) -> Option<(Timestamp, u32)> {
        let waiting = self.seats.iter().filter(|(_, row)| matches!(row.state, State::Waiting(_)));
        let retries = waiting.filter(|(_, row)| row.lane == Lane::Retry);
        retries.map(|(index, row)| (row.deadline, *index)).max()
    }

    /// Takes one that waits out of the line.
    fn turn_away(&mut self, index: u32) -> Option<Box<Ticket>> {
        let row = self.seats.remove(&index)?;
        self.queue.remove(index);
        *self.waiting.of(row.kind) -= 1;
        match row.state {
            State::Waiting(ticket) => Some(ticket),
            State::Parked | State::Returning(_) | State::Running => None,
        }
    }

    fn unpark(&mut self, index: u32) {
        let Some(row) = self.seats.get(&index).filter(|row| matches!(row.state, State::Parked)) else {
            return;
        };
        self.parked -= 1;
        self.parked_retries -= usize::from(row.lane == Lane::Retry);
    }
}

/// A slot, for as long as somebody works; dropping it frees the slot.
pub(crate) struct Seat {
    board: Arc<Board>,
    index: u32,
}

impl Seat {
    /// Leaves the slot to others while this waits, and takes one again afterwards. When too many wait already, the
    /// slot is kept.
    pub(crate) async fn left_while<F: Future>(&self, wait: F) -> F::Output {
        if !self.board.park(self.index) {
            return wait.await;
        }
        let away = Away(Some(self));
        let output = wait.await;
        let call = self.board.return_to(self.index);
        // An error would mean that the seat is gone, and `self` holds it.
        let _ = call.await;
        away.came_back();
        output
    }
}

/// Away from its slot; one whose wait is dropped stays.
struct Away<'a>(Option<&'a Seat>);

impl Away<'_> {
    fn came_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        if let Some(seat) = self.0 {
            seat.board.stay(seat.index);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.board.leave(self.index);
    }
}

/// So many for each slot can be worked on soon even though none of them can be parked.
const SOON: usize = 4;

#[cfg(test)]
mod tests;
