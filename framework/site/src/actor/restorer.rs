//! The restorer: what is durable in the journal goes to the block stores, in order, in batches.

mod apply;
mod checkpoint;
mod compare;
mod gather;
mod stage;
mod ticks;
mod unjournaled;
mod volumes;

pub(crate) use apply::write_batch;
pub(crate) use checkpoint::last_checkpoint;
pub(crate) use compare::CompareIn;
pub(crate) use stage::{HoldImage, InPlace, stage_bytes};
pub(crate) use unjournaled::ForgetAfter;

use super::tick::{Ticking, Ticks};
use super::{Checkpointed, OwnMarks};
use crate::crew::{CrewRef, MAILBOX_MAX, VOLUMES};
use crate::shared::add;
use actix::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::copy::CopyFollower;
use trefoil_core::engine::restorer::{Batch, CopiedBlock, RestorerEngine, RestorerLimits};
use trefoil_core::model::{Extent, UpdateNumber, VolumeId};
use trefoil_core::record::Record;
use trefoil_core::wire::CopyBlock;
use trefoil_core::{ErrorKind, Result};

/// Records were submitted to the journal.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Received(pub Vec<Record>);

/// The journal is durable up to here.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct JournalDurable(pub UpdateNumber);

/// A copied block came, right after everything received so far.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct CopyIn {
    pub block: CopyBlock,
    /// The newest number received before it.
    pub received: UpdateNumber,
}

/// Stop new batches; answer with the restored number once the stores are still.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Hold(pub oneshot::Sender<UpdateNumber>);

/// Go on after a [`Hold`].
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Release;

/// Go on after a [`Settle`] whose resync was called off before anything was changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Unsettle;

/// Drop what waits: a reset of the journal is about to come. Answered when the stores are still.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Settle(pub oneshot::Sender<()>);

/// Begin anew after this number, paying the debt that the state names now.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResetRestorer {
    /// `None`: records go on where they are, only the debt is new.
    pub base: Option<UpdateNumber>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Applied {
    batch: Batch,
    /// Where the stores differ from each of what was compared.
    result: Result<Vec<Vec<Extent>>>,
}

/// The restorer of a site.
pub(crate) struct RestorerActor {
    crew: CrewRef,
    engine: RestorerEngine,
    copies: Option<CopyFollower>,
    holding: Vec<oneshot::Sender<UpdateNumber>>,
    settling: Vec<oneshot::Sender<()>>,
    /// Times of records that wait, to say as of when the store is.
    times: std::collections::VecDeque<(UpdateNumber, u64)>,
    /// A batch that found the device full is tried again.
    blocked: bool,
    ending_debt: bool,
    /// The volumes become others: nothing is restored meanwhile.
    changing: bool,
    /// A checkpoint is under way: it holds the debt and the number of when it was begun.
    checkpointing: bool,
    /// Settled for a resync: until its reset nothing is checkpointed, and the debt is the resync's.
    settled: bool,
    /// The state is being saved that says that the volumes are no image any more.
    unstaging: bool,
    /// What was written since the last checkpoint, or found as it should be.
    unsynced: BTreeSet<VolumeId>,
    ticks: Ticks,
}

impl RestorerActor {
    pub fn new(crew: CrewRef) -> Self {
        let checkpoint_bytes = checkpoint::bytes(crew.marks.journal_capacity.get());
        let limits = RestorerLimits { checkpoint_bytes, ..RestorerLimits::default() };
        let now_ms = crew.shared.clock.now_us() / 1000;
        let mut engine = RestorerEngine::new(limits, crew.marks.restored.get(), now_ms);
        engine.stage(crew.image().is_some());
        let copies = crew.state.borrow().debt.clone().map(CopyFollower::new);
        Self {
            crew,
            engine,
            copies,
            holding: Vec::new(),
            settling: Vec::new(),
            times: std::collections::VecDeque::new(),
            blocked: false,
            ending_debt: false,
            changing: false,
            checkpointing: false,
            settled: false,
            unstaging: false,
            unsynced: BTreeSet::new(),
            ticks: Ticks::every(ticks::OFTEN),
        }
    }

    /// Starts the next batch, if there is one.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.crew.failed.borrow().is_some() || self.blocked {
            return;
        }
        if self.engine.is_still() {
            for reply in self.holding.drain(..) {
                let _ = reply.send(self.engine.restored());
            }
            if !self.checkpointing && !self.ending_debt {
                // What a checkpoint still saves would undo the debt that a resync is about to own.
                for reply in self.settling.drain(..) {
                    let _ = reply.send(());
                }
            }
        }
        self.stage(ctx);
        if self.changes_volumes(ctx) {
            return;
        }
        let now_ms = self.crew.shared.clock.now_us() / 1000;
        // A debt ends with what is restored: nothing gathers until then.
        let due = self.copies.is_some()
            || self.engine.batch_due(now_ms, self.lingers_ms(), self.may_gather());
        if due && let Some(making) = self.engine.begin_batch() {
            self.begin(making, ctx);
        }
        self.crew.marks.copies_waiting.set(self.engine.copies_bytes());
        self.checkpoint_if_due(ctx);
    }

    fn applied(&mut self, batch: &Batch) {
        self.note_unsynced(batch);
        let marks = &self.crew.marks;
        let restored = self.engine.applied(batch.last);
        self.crew.overlay_lacks.set(false);
        if let Some(copies) = &mut self.copies {
            copies.applied(&batch.copied);
        }
        while self.times.front().is_some_and(|(number, _)| *number <= restored) {
            if let Some((_, time)) = self.times.pop_front() {
                marks.recovery_point_us.set(time);
            }
        }
        marks.restored.set(restored);
        let totals = &self.crew.shared.totals;
        add(&totals.restored_updates, batch.updates);
        add(&totals.restored_batches, 1);
        add(&totals.coalesced_updates, batch.coalesced_updates);
        self.crew.marks_moved(marks.marks());
    }

    /// Ends the debt, as a whole, once everything is fetched and restored past the highest tag
    /// (rule `debt_until_tag`). Durable would do for who leads next; but what was copied is in the
    /// stores already, as of up to that tag, and an image of what is restored must not be older.
    fn end_debt_if_paid(&mut self, ctx: &mut Context<Self>) {
        let restored = self.engine.restored();
        let paid = self.copies.as_ref().is_some_and(|copies| copies.ended(restored));
        if !paid || self.ending_debt || self.settled {
            return;
        }
        self.ending_debt = true;
        let crew = self.crew.clone();
        let save = async move {
            crew.state.borrow_mut().debt = None;
            crew.save().await
        };
        ctx.wait(save.into_actor(self).map(|result, actor, _| {
            actor.ending_debt = false;
            match result {
                Ok(()) => {
                    actor.copies = None;
                    actor.engine.stage(false);
                    actor.publish_debt();
                    actor.crew.owes_no_more();
                    tracing::info!(site = %actor.crew.site(), "the copy is complete");
                    let marks = actor.crew.marks.marks();
                    actor.crew.to(&actor.crew.follower, OwnMarks(marks));
                }
                Err(error) => actor.crew.fail(&error),
            }
        }));
    }

    fn publish_debt(&self) {
        let left = self.copies.as_ref().map_or(0, |copies| copies.bytes_left().max(1));
        self.crew.marks.debt_bytes.set(left);
    }
}

impl Actor for RestorerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.publish_debt();
        self.rouse(ctx);
    }
}

impl Handler<Received> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Received(records): Received, ctx: &mut Context<Self>) {
        for record in records {
            let (number, time) = (record.number(), record.time());
            if let Err(error) = self.engine.push(record) {
                self.crew.fail(&error);
                return;
            }
            match self.times.back_mut() {
                Some(last) if time.saturating_sub(last.1) < 10_000 => last.0 = number,
                _ => self.times.push_back((number, time)),
            }
        }
        if !self.rests() {
            self.rouse(ctx);
        }
    }
}

impl Handler<JournalDurable> for RestorerActor {
    type Result = ();

    fn handle(&mut self, JournalDurable(number): JournalDurable, ctx: &mut Context<Self>) {
        self.engine.durable(number);
        self.pump(ctx);
        self.end_debt_if_paid(ctx);
    }
}

impl Handler<CopyIn> for RestorerActor {
    type Result = ();

    fn handle(&mut self, CopyIn { block, received }: CopyIn, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        let copied =
            CopiedBlock { volume: block.volume, offset: block.offset, content: block.content };
        let Some(copies) = &mut self.copies else { return };
        if copies.arrived(copied.extent(), block.low, block.high, received) {
            self.engine.push_copied(copied);
            self.pump(ctx);
        }
    }
}

impl Handler<Hold> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Hold(reply): Hold, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        self.engine.hold();
        self.holding.push(reply);
        self.pump(ctx);
    }
}

impl Handler<Release> for RestorerActor {
    type Result = ();

    fn handle(&mut self, _: Release, ctx: &mut Context<Self>) {
        self.engine.release();
        self.pump(ctx);
    }
}

impl Handler<Settle> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Settle(reply): Settle, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        self.engine.hold();
        self.settled = true;
        self.settling.push(reply);
        self.pump(ctx);
    }
}

impl Handler<Unsettle> for RestorerActor {
    type Result = ();

    fn handle(&mut self, _: Unsettle, ctx: &mut Context<Self>) {
        self.settled = false;
        self.settling.clear();
        self.engine.release();
        self.pump(ctx);
    }
}

impl Handler<ResetRestorer> for RestorerActor {
    type Result = ();

    fn handle(&mut self, ResetRestorer { base }: ResetRestorer, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        if let Some(base) = base {
            let now_ms = self.crew.shared.clock.now_us() / 1000;
            self.engine.reset(base, now_ms);
            self.times.clear();
            self.crew.shared.overlay.write().clear();
            self.crew.marks.restored.set(base);
            self.crew.marks.checkpointed.set(base);
        }
        self.settled = false;
        self.engine.forget_copied();
        self.copies = self.crew.state.borrow().debt.clone().map(CopyFollower::new);
        self.engine.stage(self.crew.image().is_some());
        self.publish_debt();
        self.engine.release();
        self.pump(ctx);
    }
}

impl Handler<Applied> for RestorerActor {
    type Result = ();

    fn handle(&mut self, Applied { batch, result }: Applied, ctx: &mut Context<Self>) {
        match result {
            Ok(differing) => {
                self.crew.no_room.borrow_mut().remove(VOLUMES);
                self.compared(&batch, differing);
                self.applied(&batch);
                self.end_debt_if_paid(ctx);
                self.pump(ctx);
            }
            Err(error) if error.kind() == ErrorKind::Full => {
                let site = self.crew.site();
                tracing::warn!(%site, %error, "no room for the volumes: free some; trying again");
                self.crew.no_room.borrow_mut().insert(VOLUMES, error.to_string());
                self.blocked = true;
                ctx.run_later(Duration::from_millis(500), move |actor, ctx| {
                    actor.blocked = false;
                    let shared = actor.crew.shared.clone();
                    actix::spawn(apply::apply(shared, batch, ctx.address()));
                });
            }
            Err(error) => self.crew.fail(&error),
        }
    }
}
