//! What every way of writing keeps.

use super::*;

#[tokio::test]
async fn every_law_is_kept_however_a_vendor_writes() {
    for class in LAWFUL {
        let paper = Paper::new(class);
        paper.plant(&name("a"), "foreign");
        let report = laws::check(&*lawful(&paper), &name("a")).await;
        assert!(report.is_kept(), "{class:?}\n{report}");
        assert_eq!(paper.values(&name("a")), ["foreign"], "{class:?}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_no_second_value_and_no_lie() {
    for class in LAWFUL {
        let paper = Paper::new(class);
        paper.plant(&name("a"), "foreign");
        let provider = lawful(&paper);
        paper.state().lose = 2;
        let applied = provider.apply(&zone(), &[Change::add(name("a"), "ours")]).await.unwrap();
        assert_eq!(applied.outcomes, [Outcome::Unknown], "{class:?}");
        assert_eq!(paper.values(&name("a")), ["foreign", "ours"], "{class:?}");
        paper.state().lose = 9;
        let error = provider.apply(&zone(), &[Change::remove(name("a"), "ours")]).await;
        // Removed by the first write; a vendor that is read afterwards shows it.
        match error {
            Ok(applied) => assert_eq!(applied.outcomes, [Outcome::Unknown], "{class:?}"),
            Err(error) => assert!(error.is_uncertain(), "{class:?}: {error}"),
        }
        assert_eq!(paper.values(&name("a")), ["foreign"], "{class:?}");
    }
}
