//! Waiting for the vendor's own servers.

use super::*;

#[tokio::test]
async fn waiting_ends_when_all_is_in_sync_or_the_time_is_over() {
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let provider = lawful(&paper);
    let clock = clock();
    let pending = [Pending::new("paper", &zone(), "3"), Pending::new("paper", &zone(), "0")];
    let minute = Timestamp::from_unix(1_800_000_060);
    wait_in_sync(&*provider, &pending, &clock, minute).await.unwrap();
    // Two looks, then one at what was left: four seconds apart.
    assert_eq!((paper.counts().0, clock.naps().len()), (4, 2));
    let never = [Pending::new("paper", &zone(), "999")];
    let error = wait_in_sync(&*provider, &never, &clock, minute).await.unwrap_err();
    assert!(matches!(error, Error::NotInSync { .. }), "{error}");
    assert!(error.to_string().contains("the change 999 of example.com"), "{error}");
    assert!(minute.since(Timestamp::from_unix(1_800_000_000)) <= Duration::from_secs(60));
}

#[tokio::test]
async fn those_who_ask_about_one_change_at_once_are_one_look() {
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let provider = lawful(&paper);
    let [one, other] = ["1", "0"].map(|handle| Pending::new("paper", &zone(), handle));
    let look = async |pending| join_all((0..10).map(|_| provider.in_sync(pending))).await;
    assert_eq!(look(&one).await, vec![Ok(false); 10]);
    assert_eq!(paper.counts().0, 1);
    // Who comes later looks anew, and another change is another look.
    assert_eq!(look(&one).await, vec![Ok(true); 10]);
    assert_eq!(look(&other).await, vec![Ok(true); 10]);
    assert_eq!(paper.counts().0, 3);
    // Who is dropped in the middle leaves the others to look.
    let mut first = Box::pin(provider.in_sync(&one));
    assert!((&mut first).now_or_never().is_none());
    let second = provider.in_sync(&one);
    let (_, second) = tokio::join!(async { drop(first) }, second);
    assert_eq!(second, Ok(true));
}
