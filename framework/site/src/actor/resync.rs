//! Executing a plan that leaves this site in debt: each step is durable before the next begins, so
//! an interrupted resync is never taken for a finished one (rule R11).
//!
//! ```text
//! everything restored ▸ tail set aside ▸ stores still and synced ▸ debt and intent saved
//!                     ▸ journal cut or begun anew ▸ intent done
//! ```

use super::{
    InPlace, PrepareReset, ResetJournal, ResetRestorer, Settle, Unsettle, hold_trims, stage_bytes,
};
use crate::crew::CrewRef;
use crate::shared::Gate;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::follower::Step;
use trefoil_core::engine::judge::{Plan, PlanDebt, PlanKind};
use trefoil_core::engine::shipper::everything;
use trefoil_core::model::{
    Chain, Changed, Debt, ExtentSet, Intent, Lineage, MissedMap, Position, SiteName, UpdateNumber,
};
use trefoil_core::{Error, ErrorKind, Result};

/// How often a follower that waits for its stores looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// How the execution of a plan ended.
pub(super) enum Executed {
    /// The stream may begin.
    Done,
    /// The tail is gone, and kept at that place: the source is to be asked again.
    Rewound(String),
    /// It was called off before anything was changed, for that reason.
    Not(String),
}

/// A plan on its way.
struct Resync<'a> {
    crew: &'a CrewRef,
    source: SiteName,
    plan: Plan,
    /// The reigns up to the plan's base, by the source.
    lineage: Lineage,
}

/// Executes a plan that leaves this site in debt.
///
/// # Errors
/// What the stores say: then the site must not go on with the group.
pub(super) async fn execute(
    crew: &CrewRef,
    source: SiteName,
    plan: Plan,
    lineage: Lineage,
    step: &Step,
) -> Result<Executed> {
    let resync = Resync { crew, source, plan, lineage };
    match step {
        Step::Rewind => resync.rewind().await,
        Step::OweAndReset => resync.reset().await,
        _ => resync.owe_on().await,
    }
}

impl Resync<'_> {
    /// Goes on where the journal is, with a debt.
    async fn owe_on(self) -> Result<Executed> {
        let all = self.plan.debt == PlanDebt::Everything;
        if self.plan.kind == PlanKind::Compare || all {
            // Comparing looks at what the volumes are after all that came before.
            self.in_place().await?;
        }
        if !self.settle().await? {
            return Ok(called_off());
        }
        self.owe(&self.planned(), None);
        self.crew.save().await?;
        self.crew.to(&self.crew.restorer, ResetRestorer { base: None });
        Ok(Executed::Done)
    }

    /// Begins the journal anew at the plan's base, with a debt.
    async fn reset(self) -> Result<Executed> {
        // The records are read: for the tail, and for what they changed.
        let _held = hold_trims(self.crew).await?;
        self.in_place().await?;
        let everything = self.plan.debt == PlanDebt::Everything;
        // Where only a part is copied, the own updates must be in the rest (H18). Where all is
        // compared, the less differs the more of them are in it.
        let compares = self.plan.kind == PlanKind::Compare;
        if (compares || !everything) && !self.restored().await? {
            return Ok(called_off());
        }
        let newest = self.crew.marks.newest.get();
        let tail = (self.plan.drop_to < newest.number).then_some(newest);
        if tail.is_some()
            && let Err(why) = self.set_aside().await?
        {
            return Ok(Executed::Not(why));
        }
        if !self.settle().await? {
            return Ok(called_off());
        }
        let mut changed = self.own_changes().await?;
        changed.add(&if everything {
            Changed::Everything
        } else {
            Changed::Extents(self.planned())
        });
        let owed = self.crew.state.borrow().debt.is_some();
        self.owe(&self.planned(), tail);
        if !owed {
            self.stage(newest);
        }
        let (base, lineage) = (self.plan.base, self.lineage.clone());
        self.cut(Intent { base, lineage, keep: false }, Some(changed)).await?;
        Ok(Executed::Done)
    }

    /// Undoes the tail: drops it, and owes whatever it may have changed in the volumes. After a
    /// restart every durable update may be there (H15), so that is all of it.
    async fn rewind(self) -> Result<Executed> {
        let _held = hold_trims(self.crew).await?;
        self.in_place().await?;
        let base = match self.end_of_history().await {
            Ok(base) => base,
            Err(why) => return Ok(Executed::Not(why)),
        };
        if !self.restored().await? {
            return Ok(called_off());
        }
        let place = match self.set_aside().await? {
            Ok(place) => place,
            Err(why) => return Ok(Executed::Not(why)),
        };
        if !self.settle().await? {
            return Ok(called_off());
        }
        let newest = self.crew.marks.newest.get();
        let mut owed = self.planned();
        let changed = self.tail_changes().await?;
        match &changed {
            Changed::Extents(extents) => owed.add_all(extents),
            Changed::Everything => owed.add_all(&everything(&self.sizes())),
        }
        self.owe(&owed, Some(newest));
        let intent = match base {
            Some(base) => {
                let lineage = self.crew.state.borrow().lineage.up_to(base.number);
                Intent { base, lineage, keep: true }
            }
            None => Intent { base: self.plan.base, lineage: self.lineage.clone(), keep: false },
        };
        let changed = if intent.keep {
            None
        } else {
            let mut all = self.own_changes().await?;
            all.add(&Changed::Extents(owed));
            Some(all)
        };
        self.cut(intent, changed).await?;
        Ok(Executed::Rewound(place))
    }

    /// Where the own journal ends once the tail is gone; `None` where it has to begin anew. The
    /// error says that it holds other content there than the source.
    async fn end_of_history(&self) -> Result<Option<Position>, String> {
        let (fork, crew) = (self.plan.drop_to, self.crew);
        if crew.marks.base.get().number > fork {
            return Ok(None);
        }
        let Some(own) = super::position_at(crew, fork).await else {
            return Err(format!("the own journal cannot tell where it is at {fork}"));
        };
        let theirs = self.plan.base;
        if theirs.chain != Chain::START && theirs != own {
            return Err(format!(
                "same number, different content: this site and {} both hold update {fork}, but as \
                 {own} (chain {}) and {theirs} (chain {})",
                self.source, own.chain, theirs.chain
            ));
        }
        Ok(Some(own))
    }

    fn sizes(&self) -> Vec<u64> {
        self.crew.plan_volumes.borrow().iter().map(|volume| volume.size).collect()
    }

    /// What the source says that is to be copied.
    fn planned(&self) -> ExtentSet {
        match &self.plan.debt {
            PlanDebt::Nothing => ExtentSet::new(),
            PlanDebt::Extents(extents) => extents.clone(),
            PlanDebt::Everything => everything(&self.sizes()),
        }
    }

    /// What the own records behind the fork changed: by the journal, and by the own maps for what
    /// was trimmed already.
    async fn tail_changes(&self) -> Result<Changed> {
        let (base, newest) = (self.crew.marks.base.get().number, self.crew.marks.newest.get());
        let fork = self.plan.drop_to;
        let mut changed = self.crew.io()?.changed(fork.max(base), newest.number).await?;
        if base > fork {
            match own_map(self.crew, fork) {
                Some(map) => changed.add(&map.changed),
                None => changed = Changed::Everything,
            }
        }
        Ok(changed)
    }

    /// What all of the own records changed, for the maps of third sites, if any of them lacks some.
    async fn own_changes(&self) -> Result<Changed> {
        let (base, newest) = (self.crew.marks.base.get().number, self.crew.marks.newest.get());
        let end = newest.number.min(self.plan.fork);
        let everybody = {
            let state = self.crew.state.borrow();
            state.floors.values().all(|floor| floor.number >= end)
        };
        if everybody || self.plan.debt == PlanDebt::Everything {
            return Ok(Changed::NOTHING);
        }
        self.crew.io()?.changed(base, end).await
    }

    /// Waits until everything that the journal holds is in the stores; false if called off.
    async fn restored(&self) -> Result<bool> {
        let marks = &self.crew.marks;
        while marks.restored.get() < marks.newest.get().number {
            if self.crew.stop_following.get() {
                return Ok(false);
            }
            if let Some(failed) = self.crew.failed.borrow().as_ref() {
                return Err(Error::closed(format!("restore the own updates: {failed}")));
            }
            tokio::time::sleep(STOP_CHECK).await;
        }
        Ok(true)
    }

    /// Copies the tail to a place of its own. No room for that is a reason to wait, not to fail.
    async fn set_aside(&self) -> Result<Result<String, String>> {
        let marks = &self.crew.marks;
        let after = self.plan.drop_to.max(marks.base.get().number);
        if after >= marks.newest.get().number {
            return Ok(Ok("nowhere: nothing of it was left".into()));
        }
        match self.crew.io()?.set_aside(after).await {
            Ok(place) => Ok(Ok(place)),
            Err(error) if error.kind() == ErrorKind::Full => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Makes the stores still and what is in them durable; false if called off.
    async fn settle(&self) -> Result<bool> {
        let (reply, still) = oneshot::channel();
        self.crew.to(&self.crew.restorer, Settle(reply));
        if !settled(self.crew, still).await? {
            self.crew.to(&self.crew.restorer, Unsettle);
            return Ok(false);
        }
        let volumes = self.crew.shared.volumes();
        volumes.sync(volumes.ids()).await?;
        Ok(true)
    }

    /// Applies what waits beside the volumes of an older resync: another one begins.
    async fn in_place(&self) -> Result<()> {
        let crew = self.crew;
        let was = crew.state.borrow_mut().debt.as_mut().and_then(|debt| debt.image.take());
        if let Some(image) = was {
            let (site, image) = (crew.site(), image.number);
            tracing::warn!(%site, %image, "another resync begins: the volumes change in place");
            crew.save().await?;
            crew.to(&crew.restorer, InPlace);
        }
        Ok(())
    }

    /// Keeps the volumes, which are the image of `newest`, until all of the debt is here: where
    /// they are consistent now, nothing of them is of another branch, and it fits.
    fn stage(&self, newest: Position) {
        let fits = self.planned().bytes() <= stage_bytes(&self.crew.shared.config.limits) / 2;
        let same = self.crew.plan_volumes.borrow()[..] == *self.crew.shared.volumes().specs;
        let behind = self.plan.kind == PlanKind::Map
            && self.plan.drop_to >= newest.number
            && newest.number > UpdateNumber::ZERO;
        let mut state = self.crew.state.borrow_mut();
        let Some(debt) = state.debt.as_mut().filter(|_| behind && fits && same) else { return };
        debt.image = Some(newest);
    }

    /// Adds to what this site owes. From now on the volumes are not what the journal says: nothing
    /// is read here any more.
    fn owe(&self, more: &ExtentSet, tail: Option<Position>) {
        let (crew, source) = (self.crew, self.source.clone());
        let old = crew.state.borrow().debt.clone();
        let old = old.unwrap_or_else(|| Debt::of(source.clone(), ExtentSet::new()));
        let mut debt = Debt { source, ..old };
        if self.plan.kind != PlanKind::Rewind {
            // The plan names all that is missing, whatever came of it before.
            debt.missing = ExtentSet::new();
        }
        // What a tail changed is not known, or what differs at all: then that is found out.
        debt.compare |= self.plan.kind == PlanKind::Compare
            || self.plan.kind == PlanKind::Rewind && *more == everything(&self.sizes());
        debt = debt.and(more);
        debt.rewound = [debt.rewound, tail].into_iter().flatten().max_by_key(Position::rank);
        crew.marks.debt_bytes.set(debt.missing.bytes().max(1));
        crew.state.borrow_mut().debt = Some(debt);
        crew.shared.gate.send_if_modified(|gate| {
            let Gate::Secondary(primary) = gate else { return false };
            *gate = Gate::Owing(primary.take());
            true
        });
    }

    /// Lets the journal end at the intent's base, or begin anew there.
    async fn cut(&self, intent: Intent, changed: Option<Changed>) -> Result<()> {
        prepare(self.crew, self.plan.fork, intent.base, changed).await?;
        end_at(self.crew, intent).await
    }
}

/// Has the floors and maps say what they must once the journal ends, or begins, at `base`.
pub(super) async fn prepare(
    crew: &CrewRef,
    fork: UpdateNumber,
    base: Position,
    changed: Option<Changed>,
) -> Result<()> {
    let (reply, prepared) = oneshot::channel();
    crew.to(&crew.journal, PrepareReset { fork, base, changed, reply });
    prepared.await.map_err(|_| Error::closed("prepare reset: the journal stopped"))
}

/// Lets the journal end, or begin anew, as the intent says; prepared, and with the stores still. It
/// is saved with whatever else the state says now.
pub(super) async fn end_at(crew: &CrewRef, intent: Intent) -> Result<()> {
    let (base, keep) = (intent.base, intent.keep);
    crew.state.borrow_mut().intent = Some(intent);
    crew.save().await?;
    let (reply, done) = oneshot::channel();
    crew.to(&crew.journal, ResetJournal { base, keep, reply });
    done.await.map_err(|_| Error::closed("reset journal: it stopped"))??;
    crew.state.borrow_mut().complete_intent();
    crew.save().await?;
    crew.to(&crew.restorer, ResetRestorer { base: Some(base.number) });
    Ok(())
}

/// The own map that names whatever was trimmed here after `fork`, for whichever site it was kept.
fn own_map(crew: &CrewRef, fork: UpdateNumber) -> Option<MissedMap> {
    let state = crew.state.borrow();
    let exact = |map: &&MissedMap| matches!(map.changed, Changed::Extents(_));
    let reaching = state.maps.values().filter(|map| map.from <= fork).filter(exact);
    reaching.max_by_key(|map| map.from).cloned()
}

fn called_off() -> Executed {
    Executed::Not("called off".into())
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
