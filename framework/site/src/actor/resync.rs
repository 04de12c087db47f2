//! Executing a plan that leaves this site in debt: each step is durable before the next begins, so
//! an interrupted resync is never taken for a finished one.

use super::{PrepareReset, ResetJournal, ResetRestorer, Settle, Unsettle};
use crate::crew::CrewRef;
use crate::shared::Gate;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::judge::{Plan, PlanDebt};
use trefoil_core::engine::shipper::everything;
use trefoil_core::model::{Debt, Intent, Lineage, Position, SiteName};
use trefoil_core::{Error, Result};

/// From now on the volumes are not what the journal says: nothing is read here any more.
/// How often a follower that waits for its stores looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

fn owe(crew: &CrewRef, debt: Debt) {
    crew.marks.debt_bytes.set(debt.missing.bytes().max(1));
    crew.state.borrow_mut().debt = Some(debt);
    crew.shared.gate.send_if_modified(|gate| {
        let Gate::Secondary(primary) = gate else { return false };
        *gate = Gate::Owing(primary.take());
        true
    });
}

/// Executes a plan that leaves this site in debt; each step is durable before the next (rule R11).
/// False: it was called off before anything was changed.
pub(super) async fn execute(
    crew: &CrewRef,
    source: SiteName,
    plan: Plan,
    lineage: Lineage,
    reset: bool,
) -> Result<bool> {
    let sizes: Vec<u64> = crew.shared.stores.iter().map(|store| store.size()).collect();
    let missing = match plan.debt {
        PlanDebt::Nothing => return Ok(true),
        PlanDebt::Extents(extents) => extents,
        PlanDebt::Everything => everything(&sizes),
    };
    let (reply, still) = oneshot::channel();
    crew.to(&crew.restorer, Settle(reply));
    if !settled(crew, still).await? {
        crew.to(&crew.restorer, Unsettle);
        return Ok(false);
    }
    let until = {
        let state = crew.state.borrow();
        state.debt.as_ref().map_or(Position::START, |debt| debt.until)
    };
    let debt = Debt { source, missing, until };
    if !reset {
        owe(crew, debt);
        crew.save().await?;
        crew.to(&crew.restorer, ResetRestorer { base: None });
        return Ok(true);
    }
    let base = plan.base;
    let (reply, prepared) = oneshot::channel();
    let fork = plan.fork;
    crew.to(&crew.journal, PrepareReset { fork, base: base.number, reply });
    prepared.await.map_err(|_| Error::closed("prepare reset: the journal stopped"))?;
    owe(crew, debt);
    crew.state.borrow_mut().intent = Some(Intent { base, lineage: lineage.clone() });
    crew.save().await?;
    let (reply, done) = oneshot::channel();
    crew.to(&crew.journal, ResetJournal { base, reply });
    done.await.map_err(|_| Error::closed("reset journal: it stopped"))??;
    crew.state.borrow_mut().complete_intent();
    crew.save().await?;
    crew.to(&crew.restorer, ResetRestorer { base: Some(base.number) });
    Ok(true)
}

/// Waits until the stores are still; false if the follower is to stop before they are, for a disk
/// that takes nothing must not keep this site from giving its promise.
async fn settled(crew: &CrewRef, mut still: oneshot::Receiver<()>) -> Result<bool> {
    loop {
        match tokio::time::timeout(STOP_CHECK, &mut still).await {
            Ok(Ok(())) => return Ok(true),
            Ok(Err(_)) => return Err(Error::closed("settle restorer: it stopped")),
            Err(_) if crew.stop_following.get() => return Ok(false),
            Err(_) => {}
        }
    }
}
