//! Record sets that are replaced, with and without a precondition.

use super::*;

#[tokio::test]
async fn a_set_with_a_precondition_loses_nothing_to_rivals_of_other_processes() {
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let provider = lawful(&paper);
    paper.state().rivals = 5;
    let applied = provider.apply(&zone(), &[Change::add(name("a"), "ours")]).await.unwrap();
    assert_eq!(applied.outcomes, [Outcome::Made]);
    assert_eq!(paper.values(&name("a")).len(), 6);
    // Rivals without an end are told, with the name.
    paper.state().rivals = 99;
    let error = provider.apply(&zone(), &[Change::add(name("a"), "more")]).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { what, .. } if what == "TXT at a.example.com"), "{error}");

    // Twenty writers in two processes, which no lock of ours keeps apart.
    let paper = Paper::new(WriteClass::SetWithPrecondition);
    let clients = ["one", "other"].map(|account| lawful(&Paper { account, ..paper.clone() }));
    let writes = (0..20).map(|writer| {
        let client = &clients[writer % 2];
        async move { client.apply(&zone(), &[Change::add(name("a"), format!("writer-{writer:02}"))]).await }
    });
    assert!(join_all(writes).await.iter().all(Result::is_ok));
    assert_eq!(paper.values(&name("a")).len(), 20);
}

#[tokio::test]
async fn a_set_that_is_replaced_blindly_is_read_back_until_our_value_is_there() {
    let paper = Paper::new(WriteClass::SetReplaced);
    let provider = lawful(&paper);
    provider.apply(&zone(), &[Change::add(name("a"), "ours")]).await.unwrap();
    assert_eq!(paper.counts(), (2, 1));
    // Somebody undoes what was written, once, before it is read back.
    struct Undone(Paper, Mutex<usize>);
    #[async_trait]
    impl Vendor for Undone {
        fn kind(&self) -> &str {
            "undone"
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        async fn zone_named(&self, apex: &DomainName) -> Result<Option<Zone>, Error> {
            self.0.zone_named(apex).await
        }
    }
    #[async_trait]
    impl SetApi for Undone {
        async fn read(&self, zone: &Zone, name: &DomainName) -> Result<RecordSet, Error> {
            SetApi::read(&self.0, zone, name).await
        }
        async fn swap(&self, zone: &Zone, swaps: &[Swap]) -> Result<Option<String>, Error> {
            let done = self.0.swap(zone, swaps).await;
            let undo = {
                let mut left = self.1.lock().unwrap();
                *left = left.saturating_sub(1);
                *left > 0
            };
            if undo {
                self.0.state().sets.clear();
                self.0.plant(&name("b"), "theirs");
            }
            done
        }
    }
    let paper = Paper::new(WriteClass::SetReplaced);
    let provider = Sets::new(Undone(paper.clone(), Mutex::new(3)), settings());
    provider.apply(&zone(), &[Change::add(name("b"), "ours")]).await.unwrap();
    assert_eq!(paper.values(&name("b")), ["ours", "theirs"]);
    assert_eq!(paper.state().writes, 3);
}

#[tokio::test]
async fn fifty_names_are_one_write_where_the_vendor_can() {
    let changes: Vec<_> = (0..50)
        .flat_map(|number| ["a", "b"].map(|value| Change::add(name(&format!("host{number}")), value)))
        .collect();
    let paper = Paper { per_write: 50, ..Paper::new(WriteClass::SetWithPrecondition) };
    let provider = lawful(&paper);
    let applied = provider.apply(&zone(), &changes).await.unwrap();
    // Nothing was there, so nothing had to be read.
    assert_eq!(paper.counts(), (0, 1));
    assert_eq!((applied.receipts.len(), applied.pending.len()), (100, 1));
    let removals: Vec<_> = applied.receipts.iter().map(crate::Receipt::removal).collect();
    provider.apply(&zone(), &removals).await.unwrap();
    assert_eq!(paper.counts(), (50, 2));
    assert!(paper.state().sets.values().all(|(set, _)| set.is_empty()));
}
