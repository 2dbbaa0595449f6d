//! Removing what was presented: each proof by the solver of its kind, and struck out only when it is gone.

use std::time::Duration;

use perennial_lifecycle::{Journal, Progress, Stage};

use super::{AcmeIssuer, deadline::within, walk};
use crate::{Error, Proof, Solver};

impl AcmeIssuer {
    /// Removes all that is on record, and strikes out what was removed.
    pub(super) async fn clean_up(&self, journal: &Journal) -> Result<(), Error> {
        within(CLEAN_UP, "removing what was presented", self.remove_all(journal)).await
    }

    async fn remove_all(&self, journal: &Journal) -> Result<(), Error> {
        let debts = journal.debts().await;
        let proofs: Vec<Proof> = debts.iter().filter_map(Progress::decode).collect();
        let mut result = Ok(());
        for (solver, own) in self.solvers.by_solver(&proofs) {
            result = result.and(remove(&**solver, &own, journal).await);
        }
        let unclaimed = debts.len().saturating_sub(self.solvers.claimed(&proofs));
        if unclaimed == 0 {
            return result;
        }
        let reason = format!(
            "{unclaimed} of the things on record were presented by a solver that is not here: give the issuer \
             that solver again"
        );
        result.and(Err(Error::Configuration { reason }))
    }
}

/// Removes proofs in one go; if that fails place by place, so that a zone that is gone does not keep the
/// records of another in place.
async fn remove(solver: &dyn Solver, proofs: &[Proof], journal: &Journal) -> Result<(), Error> {
    let places = walk::places(proofs);
    let error = match solver.clean_up(proofs).await {
        Ok(()) => {
            journal.paid(&walk::debts(proofs)?).await?;
            for at in places {
                journal.tell(Stage::CleanedUp { at }).await;
            }
            return Ok(());
        }
        Err(error) => error,
    };
    if places.len() == 1 {
        for at in places {
            journal.tell(Stage::CleanUpFailed { at, reason: error.to_string() }).await;
        }
        return Err(error);
    }
    let mut result = Ok(());
    for at in places {
        let there: Vec<Proof> = proofs.iter().filter(|proof| proof.at == at).cloned().collect();
        result = result.and(Box::pin(remove(solver, &there, journal)).await);
    }
    result
}

/// What was presented is removed when time is up, too; a minute is what one HTTP exchange may take.
const CLEAN_UP: Duration = Duration::from_secs(60);
