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
    waiting_retries: usize,
    parked: usize,
    parked_retries: usize,
}

struct Row {
    lane: Lane,
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
            waiting_retries: 0,
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

    /// Puts a claimed certificate in line, in the place that `wish` tells; its index does not count. One that
    /// failed before is given back when so many of its kind wait that they would leave no room for others: of all of
    /// them the one whose end is farthest.
    pub(super) fn admit(&self, ticket: Ticket, wish: Work<String>) -> Result<(), Box<Ticket>> {
        let mut rows = self.rows();
        let (lane, deadline) = (wish.lane, wish.deadline);
        let mut surplus = None;
        if lane == Lane::Retry && rows.waiting_retries >= self.sizes.window.div_ceil(2) {
            match rows.farthest_retry().filter(|(farthest, _)| *farthest > deadline) {
                Some((_, index)) => surplus = rows.turn_away(index),
                None => return Err(Box::new(ticket)),
            }
        }
        rows.waiting_retries += usize::from(lane == Lane::Retry);
        let index = rows.free_index();
        rows.seats.insert(index, Row { lane, deadline, state: State::Waiting(Box::new(ticket)) });
        rows.queue.push(Work { index, ..wish });
        surplus.map_or(Ok(()), Err)
    }

    /// The next that may begin, with its slot.
    pub(super) fn next(self: &Arc<Self>) -> Option<(Seat, Ticket)> {
        let mut rows = self.rows();
        rows.call_back();
        let index = rows.queue.start()?;
        let row = rows.seats.get_mut(&index)?;
        let was_retry = row.lane == Lane::Retry;
        let State::Waiting(ticket) = std::mem::replace(&mut row.state, State::Running) else { return None };
        rows.waiting_retries -= usize::from(was_retry);
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
        rows.waiting_retries = 0;
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
        self.waiting_retries -= usize::from(row.lane == Lane::Retry);
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
