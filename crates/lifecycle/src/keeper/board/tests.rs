use std::time::Duration;

use perennial_core::{SystemClock, Timestamp};

use super::*;
use crate::{CertificateSpec, MemoryStore, Record, Store as _, keeper::lease::Leases, store::Owner};

/// Tickets of claims in a store of their own.
async fn tickets(count: usize) -> Vec<Ticket> {
    let store = Arc::new(MemoryStore::new());
    for number in 0..count {
        let id = format!("host-{number}");
        let spec = CertificateSpec::new(&id, [format!("{id}.example")]).unwrap();
        store.commit(&Record::new(spec), None).await.unwrap();
    }
    let term = Duration::from_secs(60);
    let claims = store.claim(&Owner::unique(), term, count).await.unwrap();
    assert_eq!(claims.len(), count);
    let leases = Leases::new(store, term, Arc::new(SystemClock::new()));
    claims.into_iter().map(|claim| leases.take(claim)).collect()
}

fn wish(lane: Lane) -> Work<String> {
    Work { index: 0, lane, zone: "example".to_owned(), deadline: Timestamp::MAX }
}

fn sizes(slots: usize, parked: usize, window: usize) -> Sizes {
    Sizes { slots, parked, window }
}

#[tokio::test]
async fn who_failed_before_fills_no_more_than_half_of_the_window() {
    let board = Board::new(sizes(1, 9, 4));
    let mut tickets = tickets(6).await.into_iter();
    let mut admit = |lane| board.admit(tickets.next().unwrap(), wish(lane)).is_ok();
    assert_eq!([admit(Lane::Retry), admit(Lane::Retry), admit(Lane::Retry)], [true, true, false]);
    assert_eq!(board.room(), 2, "there is room for others");
    assert!(admit(Lane::First) && admit(Lane::Renewal));
    assert_eq!(board.room(), 0);
    let seats: Vec<_> = std::iter::from_fn(|| board.next()).collect();
    assert_eq!(seats.len(), 1);
    assert_eq!(board.counts(), Counts { waiting: 3, running: 1, parked: 0 });
    board.clear();
    assert_eq!(board.counts(), Counts { waiting: 0, running: 1, parked: 0 });
    drop(seats);
    assert_eq!(board.counts(), Counts::default());
}

#[tokio::test]
async fn no_more_is_claimed_than_can_be_worked_on_soon() {
    let board = Board::new(sizes(1, 2, 16));
    assert_eq!(board.room(), 6, "four for the slot, and two that can be parked");
    for ticket in tickets(4).await {
        assert!(board.admit(ticket, wish(Lane::First)).is_ok());
    }
    let mut waits = Vec::new();
    for _ in 0..2 {
        let (seat, ticket) = board.next().unwrap();
        waits.push(tokio::spawn(async move {
            let _ticket = ticket;
            seat.left_while(std::future::pending::<()>()).await;
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(board.counts(), Counts { waiting: 2, running: 0, parked: 2 });
    assert_eq!(board.room(), 2, "nobody else can be parked now");
    waits.into_iter().for_each(|wait| wait.abort());
    while board.counts().parked > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(board.room(), 4);
    assert_eq!(Board::new(sizes(64, 1_000, 1_024)).room(), 1_024, "with what is set by default");
}

#[tokio::test]
async fn first_ones_fill_the_window_alone_and_half_of_it_when_renewals_come() {
    let board = Board::new(sizes(9, 9, 8));
    let mut tickets = tickets(30).await.into_iter();
    let mut admit = |lane| match board.admit(tickets.next().unwrap(), wish(lane)) {
        Ok(()) => true,
        Err(Surplus::HandedBack) => false,
        Err(Surplus::PutOff(ticket)) => panic!("{} did not fail before", ticket.record.id()),
    };
    board.begin_look();
    assert!((0..8).all(|_| admit(Lane::First)), "an import alone uses all of it");
    assert_eq!(board.room(), 0);
    let _first = board.next().unwrap();
    board.begin_look();
    assert!(admit(Lane::Renewal) && !admit(Lane::First), "a renewal waits");
    let _renewal = board.next().unwrap();
    board.begin_look();
    assert!(!admit(Lane::First), "the renewal was handed out in the last round");
    board.begin_look();
    assert!(admit(Lane::First), "no more renewals come");
    assert_eq!(board.room(), 0);
    board.clear();
    board.begin_look();
    assert!(admit(Lane::Renewal) && (0..4).all(|_| admit(Lane::First)) && !admit(Lane::First));
    assert!((0..3).all(|_| admit(Lane::Renewal)));
    board.clear();
    assert!((0..4).all(|_| admit(Lane::Retry)) && admit(Lane::Renewal));
    assert_eq!([admit(Lane::First), admit(Lane::First), admit(Lane::First)], [true, true, false]);
    assert_eq!(board.room(), 1, "all kinds have a part of it");
}

#[tokio::test]
async fn who_comes_back_goes_before_those_who_have_not_begun() {
    let board = Board::new(sizes(1, 9, 9));
    for ticket in tickets(3).await {
        assert!(board.admit(ticket, wish(Lane::First)).is_ok());
    }
    let (first, _first) = board.next().unwrap();
    assert!(board.next().is_none(), "there is one slot");
    let (over, wait) = oneshot::channel::<()>();
    let back = tokio::spawn(async move {
        let _ = first.left_while(wait).await;
        first
    });
    while board.counts().parked == 0 {
        tokio::task::yield_now().await;
    }
    let (second, _second) = board.next().unwrap();
    over.send(()).unwrap();
    tokio::task::yield_now().await;
    assert!(!back.is_finished(), "the slot is taken");
    drop(second);
    assert!(board.next().is_none(), "it is the first one's again");
    let first = back.await.unwrap();
    assert_eq!(board.counts(), Counts { waiting: 1, running: 1, parked: 0 });
    drop(first);
    assert!(board.next().is_some());
}

#[tokio::test]
async fn work_that_is_dropped_wherever_it_stands_leaves_its_place() {
    let board = Board::new(sizes(1, 1, 9));
    for ticket in tickets(4).await {
        assert!(board.admit(ticket, wish(Lane::Retry)).is_ok());
    }
    // While it is parked.
    let (seat, _ticket) = board.next().unwrap();
    let waiting = tokio::spawn(async move { seat.left_while(std::future::pending::<()>()).await });
    while board.counts().parked == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(board.counts().parked, 0);
    // While it waits to come back.
    let (seat, _ticket) = board.next().unwrap();
    let (over, wait) = oneshot::channel::<()>();
    let returning = tokio::spawn(async move { seat.left_while(wait).await });
    while board.counts().parked == 0 {
        tokio::task::yield_now().await;
    }
    let (seat, _ticket) = board.next().unwrap();
    over.send(()).unwrap();
    while board.counts().parked == 1 {
        tokio::task::yield_now().await;
    }
    returning.abort();
    assert!(returning.await.unwrap_err().is_cancelled());
    drop(seat);
    let (_seat, _ticket) = board.next().unwrap();
    assert_eq!(board.counts(), Counts { waiting: 0, running: 1, parked: 0 });
}

#[tokio::test]
async fn of_those_who_crowd_the_one_that_ends_last_gives_way() {
    let board = Board::new(sizes(1, 9, 4));
    let mut tickets = tickets(4).await.into_iter();
    let mut admit = |hours: i64| {
        let deadline = Timestamp::from_unix(hours * 3_600);
        let ticket = tickets.next().unwrap();
        let id = ticket.record.id().clone();
        let put_off = match board.admit(ticket, Work { deadline, ..wish(Lane::Retry) }) {
            Ok(()) => None,
            Err(Surplus::PutOff(ticket)) => Some(ticket.record.id().clone()),
            Err(Surplus::HandedBack) => panic!("{id} is no first one"),
        };
        (id, put_off)
    };
    let (_, none) = admit(50);
    let (farthest, none_either) = admit(900);
    assert_eq!((none, none_either), (None, None));
    assert_eq!(admit(1).1, Some(farthest), "a quarter of an hour before its end nobody is put off");
    let (later, put_off) = admit(51);
    assert_eq!(put_off, Some(later));
    assert_eq!(board.counts().waiting, 2);
}

#[tokio::test]
async fn a_wait_that_is_dropped_leaves_no_place_behind() {
    let board = Board::new(sizes(1, 9, 9));
    assert!(board.admit(tickets(1).await.remove(0), wish(Lane::Retry)).is_ok());
    let (seat, _ticket) = board.next().unwrap();
    for _ in 0..3 {
        tokio::select! {
            biased;
            () = seat.left_while(std::future::pending::<()>()) => unreachable!("it never ends"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(board.counts(), Counts { waiting: 0, running: 1, parked: 0 });
    }
    seat.left_while(async {
        assert_eq!(board.counts(), Counts { waiting: 0, running: 0, parked: 1 });
    })
    .await;
    assert_eq!(board.counts(), Counts { waiting: 0, running: 1, parked: 0 });
}
