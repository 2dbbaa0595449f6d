//! Those who watch: functions that are called, and streams that are read.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::broadcast::{self, error::RecvError};

use super::Event;

type Observer = Arc<dyn Fn(&Event) + Send + Sync>;

/// Who is told what happens: every observer at once, every stream when it gets to it.
#[derive(Clone)]
pub(crate) struct Audience {
    observers: Vec<Observer>,
    streams: broadcast::Sender<Arc<Event>>,
}

impl Audience {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self { observers: Vec::new(), streams: broadcast::Sender::new(KEPT) }
    }

    pub(crate) fn observe(&mut self, observer: impl Fn(&Event) + Send + Sync + 'static) {
        self.observers.push(Arc::new(observer));
    }

    pub(crate) fn listen(&self) -> Events {
        Events { stream: self.streams.subscribe() }
    }

    pub(crate) fn tell(&self, event: Event) {
        for observer in &self.observers {
            // It is not our code, and must not end ours: standard output may be closed.
            let _ = catch_unwind(AssertUnwindSafe(|| observer(&event)));
        }
        // It fails when no stream listens, which is how most programs run.
        let _ = self.streams.send(Arc::new(event));
    }
}

/// How many events wait for the slowest stream, a few hundred bytes each: a renewal tells about twenty, so this is
/// what a busy second brings forth.
const KEPT: usize = 1_024;

/// Events as they happen, from the moment at which the stream was asked for.
///
/// Nobody waits for a stream: one that is read too slowly loses the oldest events and is told how many.
#[derive(Debug)]
#[must_use = "events are heard by calling next"]
pub struct Events {
    stream: broadcast::Receiver<Arc<Event>>,
}

impl Events {
    /// The next event; `None` when the keeper is gone and all that it told is heard. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.stream.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// What a stream of events has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums)] // An event, or a gap.
pub enum Heard {
    /// Something happened.
    Event(Arc<Event>),
    /// So many events went by before this stream was read.
    Missed(u64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKind;
    use perennial_core::Timestamp;
    use std::sync::Mutex;

    fn event(at: i64) -> Event {
        Event::new(Timestamp::from_unix(at), None, EventKind::StoreAvailable)
    }

    async fn next(events: &mut Events) -> Option<Result<i64, u64>> {
        Some(match events.next().await? {
            Heard::Event(event) => Ok(event.at.unix()),
            Heard::Missed(missed) => Err(missed),
        })
    }

    #[tokio::test]
    async fn a_stream_that_is_read_too_slowly_is_told_how_many_events_it_missed_and_holds_nobody_up() {
        let audience = Audience::new();
        audience.tell(event(-1)); // Before anybody listens.
        let (mut slow, mut quick) = (audience.listen(), audience.listen());
        let kept = i64::try_from(KEPT).unwrap();
        for at in 0..kept + 3 {
            audience.tell(event(at));
            assert_eq!(next(&mut quick).await, Some(Ok(at)));
        }
        assert_eq!(next(&mut slow).await, Some(Err(3)));
        for at in 3..kept + 3 {
            assert_eq!(next(&mut slow).await, Some(Ok(at)));
        }
        drop(audience);
        assert_eq!(next(&mut slow).await, None);
    }

    #[tokio::test]
    async fn observers_and_streams_hear_the_same() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut audience = Audience::new();
        for _ in 0..2 {
            let heard = heard.clone();
            audience.observe(move |event| heard.lock().unwrap().push(event.at.unix()));
        }
        let mut events = audience.listen();
        audience.tell(event(7));
        assert_eq!(*heard.lock().unwrap(), [7, 7]);
        assert_eq!(next(&mut events).await, Some(Ok(7)));
    }
}
