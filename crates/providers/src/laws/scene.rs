//! A scratch name, what was there before, and the laws played on it.

use futures_util::future::try_join_all;
use perennial_core::DomainName;

use super::{Breach, Law};
use crate::{Applied, Change, DnsProvider, Error, Zone};

/// A scratch name with what was there before the laws began.
pub(super) struct Scene<'p> {
    provider: &'p dyn DnsProvider,
    zone: Zone,
    name: DomainName,
    /// A second name below the first.
    other: DomainName,
    foreign: Vec<String>,
    foreign_at_other: Vec<String>,
}

const A: &str = "perennial-law-a";
const B: &str = "perennial-law-b";
const UPPER: &str = "PERENNIAL-LAW-A";
const SPECIAL: &str = r#"perennial-law "quoted" \ back; semicolon, $ dollar"#;
const WRITERS: usize = 20;

/// Three character-strings on the wire, and no two parts of it alike.
fn long() -> String {
    (0..60).map(|n| format!("perennial-{n:02}")).collect()
}

fn of_writer(writer: usize) -> String {
    format!("perennial-law-writer-{writer:02}")
}

/// Every value that a law may leave behind.
fn ours() -> impl Iterator<Item = String> {
    let fixed = [A, B, UPPER, SPECIAL].map(str::to_owned);
    fixed.into_iter().chain([long()]).chain((0..WRITERS).map(of_writer))
}

impl<'p> Scene<'p> {
    pub(super) async fn open(provider: &'p dyn DnsProvider, name: &DomainName) -> Result<Self, Breach> {
        let failed = |error| Breach::Failed { doing: "finding the zone", error };
        let zone = provider.zone(name).await.map_err(failed)?;
        let other = name.child("other").map_err(|error| {
            failed(Error::InvalidRequest {
                provider: provider.kind().to_owned(),
                reason: error.to_string(),
                fault: None,
            })
        })?;
        let mut scene =
            Self { provider, zone, name: name.clone(), other, foreign: vec![], foreign_at_other: vec![] };
        scene.sweep().await?;
        scene.foreign = scene.values(&scene.name).await?;
        scene.foreign_at_other = scene.values(&scene.other).await?;
        Ok(scene)
    }

    /// Removes what is left of ours, and sees that what was foreign is still there.
    pub(super) async fn close(&self) -> Result<(), Breach> {
        self.sweep().await?;
        self.expect("cleaning up", &[]).await?;
        self.expect_at(&self.other, &self.foreign_at_other, "cleaning up", &[]).await
    }

    pub(super) async fn play(&self, law: Law) -> Result<(), Breach> {
        match law {
            Law::ZoneHoldsName => self.zone_holds_name(),
            Law::AddedIsThere => self.round_trip(A).await,
            Law::AddIsIdempotent => self.add_is_idempotent().await,
            Law::ValuesCoexist => self.values_coexist().await,
            Law::BatchIsWhole => self.batch_is_whole().await,
            Law::ReceiptsAreComplete => self.receipts_are_complete().await,
            Law::RemoveTakesOneValue => self.remove_takes_one_value().await,
            Law::RemoveOfAbsentIsNothing => self.remove_of_absent_is_nothing().await,
            Law::RemoveNeedsNoReceipt => self.remove_needs_no_receipt().await,
            Law::LongValueIsWhole => self.round_trip(&long()).await,
            Law::CaseMatters => self.case_matters().await,
            Law::SpecialCharactersStay => self.round_trip(SPECIAL).await,
            Law::NamesAreApart => self.names_are_apart().await,
            Law::NamesAreAbsolute => self.names_are_absolute().await,
            Law::ZoneIsTheLimit => self.zone_is_the_limit().await,
            Law::WritersConverge => self.writers_converge().await,
        }
    }

    fn zone_holds_name(&self) -> Result<(), Breach> {
        if self.name.is_at_or_below(&self.zone.apex) {
            return Ok(());
        }
        Err(Breach::Untrue { what: format!("{} is said to be in the zone {}", self.name, self.zone) })
    }

    /// There after adding, gone after removing.
    async fn round_trip(&self, value: &str) -> Result<(), Breach> {
        self.add("adding a value", &[value]).await?;
        self.expect("adding a value", &[value]).await?;
        self.remove("removing it", &[value]).await?;
        self.expect("removing it", &[]).await
    }

    async fn add_is_idempotent(&self) -> Result<(), Breach> {
        self.add("adding a value", &[A]).await?;
        self.add("adding it again", &[A]).await?;
        self.expect("adding a value twice", &[A]).await?;
        self.add("adding it twice in one batch", &[A, A]).await?;
        self.expect("adding it twice in one batch", &[A]).await?;
        self.remove("removing it", &[A]).await?;
        self.expect("removing it once", &[]).await
    }

    async fn values_coexist(&self) -> Result<(), Breach> {
        self.add("adding a value", &[A]).await?;
        self.add("adding a sibling", &[B]).await?;
        self.expect("adding two values", &[A, B]).await
    }

    async fn batch_is_whole(&self) -> Result<(), Breach> {
        self.add("adding two values in one batch", &[A, B]).await?;
        self.expect("adding two values in one batch", &[A, B]).await?;
        self.remove("removing them in one batch", &[A, B]).await?;
        self.expect("removing them in one batch", &[]).await
    }

    async fn receipts_are_complete(&self) -> Result<(), Breach> {
        self.add("adding a value", &[A]).await?;
        let receipts = self.add("adding it again with a sibling", &[A, B]).await?.receipts;
        let values: Vec<_> = receipts.iter().map(|receipt| receipt.value.as_str()).collect();
        let of_us =
            |name: &DomainName, provider: &str| *name == self.name && provider == self.provider.kind();
        if values != [A, B] || !receipts.iter().all(|receipt| of_us(&receipt.name, &receipt.provider)) {
            return Err(Breach::Untrue { what: format!("the receipts for {A} and {B} were {receipts:?}") });
        }
        for receipt in receipts {
            let paid = self.provider.apply(&receipt.zone, &[receipt.removal()]).await;
            paid.map_err(|error| Breach::Failed { doing: "removing by a receipt", error })?;
        }
        self.expect("removing by receipts", &[]).await
    }

    /// The newest first, then the oldest: whoever takes the first or the last of a list is caught either way.
    async fn remove_takes_one_value(&self) -> Result<(), Breach> {
        self.add("adding two values", &[A, B]).await?;
        self.remove("removing the second", &[B]).await?;
        self.expect("removing the second of two values", &[A]).await?;
        self.add("adding it back", &[B]).await?;
        self.remove("removing the first", &[A]).await?;
        self.expect("removing the first of two values", &[B]).await
    }

    async fn remove_of_absent_is_nothing(&self) -> Result<(), Breach> {
        self.remove("removing from an empty name", &[A]).await?;
        self.expect("removing from an empty name", &[]).await?;
        self.add("adding a sibling", &[B]).await?;
        self.remove("removing an absent value", &[A]).await?;
        self.expect("removing an absent value", &[B]).await
    }

    async fn remove_needs_no_receipt(&self) -> Result<(), Breach> {
        drop(self.add("adding a value", &[A]).await?);
        self.remove("removing it by name and value", &[A]).await?;
        self.expect("removing by name and value", &[]).await
    }

    async fn case_matters(&self) -> Result<(), Breach> {
        self.add("adding a value", &[A]).await?;
        self.add("adding it in capitals", &[UPPER]).await?;
        self.expect("adding a value in small and capital letters", &[A, UPPER]).await?;
        self.remove("removing the one in capitals", &[UPPER]).await?;
        self.expect("removing the one in capitals", &[A]).await
    }

    async fn names_are_apart(&self) -> Result<(), Breach> {
        self.add("adding a value", &[A]).await?;
        self.apply("adding it at another name", &[Change::add(self.other.clone(), A)]).await?;
        self.remove("removing it at the first name", &[A]).await?;
        self.expect("removing it at the first name", &[]).await?;
        let there = self.foreign_at_other.as_slice();
        self.expect_at(&self.other, there, "removing it at the first name", &[A]).await
    }

    async fn names_are_absolute(&self) -> Result<(), Breach> {
        let doubled = format!("{}.{}", self.name, self.zone.apex).parse();
        // A name so long that it cannot be doubled cannot have been read as relative either.
        let Ok(doubled) = doubled else { return Ok(()) };
        let before = self.values(&doubled).await?;
        self.add("adding a value", &[A]).await?;
        self.expect_at(&doubled, &before, "adding a value at a shorter name", &[]).await
    }

    async fn zone_is_the_limit(&self) -> Result<(), Breach> {
        let outside = format!("x{}", self.zone.apex).parse();
        let Ok(outside) = outside else { return Ok(()) };
        match self.provider.apply(&self.zone, &[Change::add(outside, A)]).await {
            Err(Error::InvalidRequest { .. }) => Ok(()),
            Err(error) => Err(Breach::Failed { doing: "refusing a name outside the zone", error }),
            Ok(_) => {
                Err(Breach::Untrue { what: format!("a name outside the zone {} was accepted", self.zone) })
            }
        }
    }

    /// Half of the writers add, the other half remove what they had added before.
    async fn writers_converge(&self) -> Result<(), Breach> {
        let values: Vec<_> = (0..WRITERS).map(of_writer).collect();
        let (removed, added) = values.split_at(WRITERS / 2);
        let removed: Vec<_> = removed.iter().map(String::as_str).collect();
        let added: Vec<_> = added.iter().map(String::as_str).collect();
        try_join_all(
            removed.iter().map(|value| self.add("adding from ten writers", std::slice::from_ref(value))),
        )
        .await?;
        self.expect("ten writers added a value each", &removed).await?;
        let changes = removed
            .iter()
            .map(|value| Change::remove(self.name.clone(), *value))
            .zip(added.iter().map(|value| Change::add(self.name.clone(), *value)))
            .flat_map(<[Change; 2]>::from);
        try_join_all(
            changes.map(|change| async move { self.apply("twenty writers at once", &[change]).await }),
        )
        .await?;
        self.expect("ten writers added and ten removed a value each", &added).await
    }

    async fn add(&self, doing: &'static str, values: &[&str]) -> Result<Applied, Breach> {
        let changes: Vec<_> = values.iter().map(|value| Change::add(self.name.clone(), *value)).collect();
        self.apply(doing, &changes).await
    }

    async fn remove(&self, doing: &'static str, values: &[&str]) -> Result<Applied, Breach> {
        let changes: Vec<_> = values.iter().map(|value| Change::remove(self.name.clone(), *value)).collect();
        self.apply(doing, &changes).await
    }

    /// In batches no larger than the provider says it takes.
    async fn apply(&self, doing: &'static str, changes: &[Change]) -> Result<Applied, Breach> {
        let mut receipts = Vec::new();
        for batch in changes.chunks(self.provider.capabilities().batch_max.get()) {
            let applied = self.provider.apply(&self.zone, batch).await;
            receipts.extend(applied.map_err(|error| Breach::Failed { doing, error })?.receipts);
        }
        Ok(Applied::new(receipts))
    }

    async fn sweep(&self) -> Result<(), Breach> {
        for name in [&self.name, &self.other] {
            let values = self.values(name).await?;
            let left = ours().filter(|value| values.contains(value));
            let changes: Vec<_> = left.map(|value| Change::remove(name.clone(), value)).collect();
            self.apply("cleaning up", &changes).await?;
        }
        Ok(())
    }

    async fn values(&self, name: &DomainName) -> Result<Vec<String>, Breach> {
        let values = self.provider.values(&self.zone, name).await;
        values.map_err(|error| Breach::Failed { doing: "reading the values", error })
    }

    async fn expect(&self, after: &'static str, ours: &[&str]) -> Result<(), Breach> {
        self.expect_at(&self.name, &self.foreign, after, ours).await
    }

    async fn expect_at(
        &self,
        name: &DomainName,
        foreign: &[String],
        after: &'static str,
        ours: &[&str],
    ) -> Result<(), Breach> {
        let mut found = self.values(name).await?;
        let mut expected: Vec<_> = ours.iter().map(|value| (*value).to_owned()).collect();
        expected.extend_from_slice(foreign);
        found.sort();
        expected.sort();
        if found == expected {
            return Ok(());
        }
        Err(Breach::Differs { after, name: name.clone(), expected, found })
    }
}
