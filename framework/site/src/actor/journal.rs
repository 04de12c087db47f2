//! The journal of a site: group commit, marks, retention.

use super::{JournalDurable, OwnMarks, Received};
use crate::crew::{CrewRef, JOURNAL, MAILBOX_MAX};
use crate::parts::micros;
use crate::shared::add;
use actix::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::journal::{JournalEngine, SyncPolicy};
use trefoil_core::engine::retention::{Retention, TrimDecision, TrimInput, WaterMarks};
use trefoil_core::model::{Durability, Position, SiteName, UpdateNumber};
use trefoil_core::record::Record;
use trefoil_core::wire::RECORD_BATCH_COUNT_MAX;
use trefoil_core::{Error, ErrorKind, Result};

/// Records to append; they follow the newest submitted.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Submit {
    pub records: Vec<Record>,
}

/// Make everything up to here durable soon.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct SyncTo(pub UpdateNumber);

/// Answer when everything submitted is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Quiesce(pub oneshot::Sender<()>);

/// Where the history was at that number, if the journal can tell; and newest records up to there.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PositionAt {
    pub number: UpdateNumber,
    pub reply: oneshot::Sender<Option<Position>>,
}

/// A follower's, or another site's, durable position was heard.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RaiseFloor {
    pub site: SiteName,
    pub position: Position,
    /// Lower it to this first: a follow begins here.
    pub fork: Option<UpdateNumber>,
}

/// Everything up to here is durable in the block stores, and the state says so.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Checkpointed;

/// Records from `from` on: from memory, else from the store.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReadRecords {
    pub from: UpdateNumber,
    pub up_to: UpdateNumber,
    pub bytes_max: usize,
    pub reply: oneshot::Sender<Result<Vec<Record>>>,
}

/// A reset to `base` is about to come: enters the maps that third sites then need (H19), and lets
/// nothing go until it is done. Save the state next.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PrepareReset {
    pub fork: UpdateNumber,
    pub base: UpdateNumber,
    pub reply: oneshot::Sender<()>,
}

/// Begin anew after `base`; the state was saved with the intent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResetJournal {
    pub base: Position,
    pub reply: oneshot::Sender<Result<()>>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Appended {
    batch: Vec<Record>,
    result: Result<()>,
    usage: (u64, u64),
}

#[derive(Message)]
#[rtype(result = "()")]
struct Synced(Result<()>);

#[derive(Message)]
#[rtype(result = "()")]
struct Trimmed {
    up_to: UpdateNumber,
    result: Result<(Position, (u64, u64))>,
}

/// The journal of a site.
pub(crate) struct JournalActor {
    crew: CrewRef,
    engine: JournalEngine,
    retention: Retention,
    quiesce: Vec<oneshot::Sender<()>>,
    trimming: bool,
}

impl JournalActor {
    pub fn new(crew: CrewRef, newest: Position) -> Self {
        let config = &crew.shared.config;
        let policy = SyncPolicy {
            always: config.durability == Durability::Write,
            interval_us: micros(config.timing.sync_interval),
        };
        let now = crew.shared.clock.now_us();
        let engine = JournalEngine::new(policy, newest, config.limits.tail_bytes, now);
        let state = crew.state.borrow();
        let retention = Retention::new(
            crew.site().clone(),
            config.topology.sites(),
            &state.floors,
            &state.maps,
            WaterMarks::default(),
            config.on_full,
        );
        drop(state);
        let (quiesce, trimming) = (Vec::new(), false);
        Self { crew, engine, retention, quiesce, trimming }
    }

    /// Starts what can be started: one append, one sync.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.crew.marks.journal_waiting.set(self.engine.waiting_bytes());
        if self.crew.failed.borrow().is_some() {
            return;
        }
        let Ok(io) = self.crew.io() else { return };
        if let Some(batch) = self.engine.next_append() {
            let (io, address) = (io.clone(), ctx.address());
            actix::spawn(async move {
                let result = io.append(batch.clone()).await;
                let usage = io.usage().await.unwrap_or_default();
                crate::crew::post(&address, Appended { batch, result, usage });
            });
        }
        if self.engine.next_sync(self.crew.shared.clock.now_us()) {
            let address = ctx.address();
            actix::spawn(async move {
                let result = io.sync().await;
                crate::crew::post(&address, Synced(result));
            });
        }
        if self.engine.is_quiet() {
            for waiter in self.quiesce.drain(..) {
                let _ = waiter.send(());
            }
        }
    }

    /// Tells everyone how far the journal has come.
    fn moved(&mut self) {
        let marks = &self.crew.marks;
        marks.newest.set(self.engine.received());
        marks.durable.set(self.engine.durable());
        let now = marks.marks();
        debug_assert!(now.in_order(), "rule watermark_order: {now:?}");
        self.crew.to(&self.crew.volume, OwnMarks(now));
        self.crew.to(&self.crew.restorer, JournalDurable(now.durable));
        self.crew.to(&self.crew.follower, OwnMarks(now));
        self.crew.kick_shippers();
    }

    /// Lets records go, where that is due.
    fn trim(&mut self, ctx: &mut Context<Self>) {
        let (crew, marks) = (&self.crew, &self.crew.marks);
        if self.trimming || crew.failed.borrow().is_some() {
            return;
        }
        let members: BTreeSet<SiteName> = {
            let state = crew.state.borrow();
            let charter = state.charter.iter();
            charter.flat_map(|charter| &charter.in_sync).map(|member| member.site.clone()).collect()
        };
        let waited_for = marks.acking.borrow().iter().cloned().collect();
        let input = TrimInput {
            checkpoint: marks.checkpointed.get(),
            base: marks.base.get().number,
            used: marks.journal_used.get(),
            capacity: marks.journal_capacity.get(),
            members: &(&members | &waited_for),
            frozen: crew.state.borrow().intent.is_some(),
        };
        let decision = self.retention.trim_decision(&input);
        *crew.journal_full.borrow_mut() = match &decision {
            TrimDecision::HostMustWait { why } => {
                Some(format!("the journal is nearly full and waits for {why}"))
            }
            _ => None,
        };
        match decision {
            TrimDecision::Nothing | TrimDecision::HostMustWait { .. } => {}
            TrimDecision::Trim { up_to } => self.start_trim(up_to, false, ctx),
            TrimDecision::ForceTrim { up_to, maps } => {
                for (site, map) in &maps {
                    let from = map.from;
                    tracing::warn!(
                        site = %crew.site(), peer = %site, %from, %up_to,
                        "the journal is full: updates that the peer lacks are let go; it will be \
                         brought back by a copy"
                    );
                }
                self.retention.begin_maps(maps);
                self.start_trim(up_to, true, ctx);
            }
        }
    }

    /// Trims; after the maps are durable, where records go that a site lacks (rule `purge_safe`).
    fn start_trim(&mut self, up_to: UpdateNumber, save_first: bool, ctx: &mut Context<Self>) {
        self.trimming = true;
        self.publish_retention();
        let (crew, address) = (self.crew.clone(), ctx.address());
        actix::spawn(async move {
            let result = async {
                if save_first {
                    crew.save().await?;
                }
                let io = crew.io()?;
                let base = io.trim(up_to).await?;
                Ok((base, io.usage().await?))
            };
            let result = result.await;
            crate::crew::post(&address, Trimmed { up_to, result });
        });
    }

    /// Puts floors and maps into the state, to be saved with it.
    fn publish_retention(&self) {
        let mut state = self.crew.state.borrow_mut();
        state.floors.clone_from(self.retention.floors());
        state.maps.clone_from(self.retention.maps());
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.pump(ctx);
        self.trim(ctx);
    }

    fn set_usage(&self, (used, capacity): (u64, u64)) {
        self.crew.marks.journal_used.set(used);
        self.crew.marks.journal_capacity.set(capacity);
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let every = self.crew.shared.config.timing.sync_interval.max(Duration::from_millis(1));
        ctx.run_interval(every, |actor, ctx| actor.tick(ctx));
    }
}

impl Handler<Submit> for JournalActor {
    type Result = ();

    fn handle(&mut self, Submit { records }: Submit, ctx: &mut Context<Self>) {
        if let Err(error) = self.engine.submit(&records) {
            self.crew.fail(&error);
            return;
        }
        let totals = &self.crew.shared.totals;
        add(&totals.appended_updates, records.len() as u64);
        add(&totals.appended_bytes, records.iter().map(|r| r.encoded_bytes() as u64).sum());
        {
            let mut overlay = self.crew.shared.overlay.write();
            for record in &records {
                overlay.insert(record);
            }
        }
        self.crew.marks.submitted.set(self.engine.submitted());
        self.crew.history.borrow_mut().note(&records);
        self.crew.to(&self.crew.restorer, Received(records));
        self.pump(ctx);
        // A leg that is waited for may read what is not appended here yet.
        self.crew.kick_shippers();
    }
}

impl Handler<Appended> for JournalActor {
    type Result = ();

    fn handle(&mut self, done: Appended, ctx: &mut Context<Self>) {
        let Appended { batch, result, usage } = done;
        self.set_usage(usage);
        match result {
            Ok(()) => {
                self.crew.no_room.borrow_mut().remove(JOURNAL);
                self.engine.appended();
                self.moved();
                self.pump(ctx);
            }
            Err(error) if error.kind() == ErrorKind::Full => {
                // Room was reserved for hosts; what does not fit waits until records go.
                self.crew.no_room.borrow_mut().insert(JOURNAL, error.to_string());
                self.engine.append_again(batch);
                self.trim(ctx);
                ctx.run_later(Duration::from_millis(50), |actor, ctx| actor.pump(ctx));
            }
            Err(error) => self.crew.fail(&error),
        }
    }
}

impl Handler<Synced> for JournalActor {
    type Result = ();

    fn handle(&mut self, Synced(result): Synced, ctx: &mut Context<Self>) {
        match result {
            Ok(()) => {
                add(&self.crew.shared.totals.journal_syncs, 1);
                self.engine.synced(self.crew.shared.clock.now_us());
                self.moved();
                self.pump(ctx);
            }
            Err(error) => self.crew.fail(&error),
        }
    }
}

impl Handler<SyncTo> for JournalActor {
    type Result = ();

    fn handle(&mut self, SyncTo(number): SyncTo, ctx: &mut Context<Self>) {
        self.engine.want(number);
        self.pump(ctx);
    }
}

impl Handler<Quiesce> for JournalActor {
    type Result = ();

    fn handle(&mut self, Quiesce(reply): Quiesce, ctx: &mut Context<Self>) {
        self.engine.want(self.engine.submitted().number);
        self.quiesce.push(reply);
        self.pump(ctx);
    }
}

impl Handler<PositionAt> for JournalActor {
    type Result = ();

    fn handle(&mut self, PositionAt { number, reply }: PositionAt, _: &mut Context<Self>) {
        let base = self.crew.marks.base.get();
        let known =
            if number == base.number { Some(base) } else { self.engine.tail().position(number) };
        if known.is_some() || number < base.number || number > self.engine.received().number {
            let _ = reply.send(known);
            return;
        }
        let Ok(io) = self.crew.io() else { return };
        actix::spawn(async move {
            let found = io.read(number, 1).await.ok();
            let found = found.and_then(|records| records.first().map(Record::position));
            let _ = reply.send(found);
        });
    }
}

impl Handler<RaiseFloor> for JournalActor {
    type Result = ();

    fn handle(&mut self, floor: RaiseFloor, _: &mut Context<Self>) {
        let RaiseFloor { site, position, fork } = floor;
        let newest = self.engine.received();
        {
            let state = self.crew.state.borrow();
            if let Some(fork) = fork {
                self.retention.follow(&site, fork, &state.lineage);
            }
            self.retention.raise(&site, position, &state.lineage, &newest);
            self.retention.end_maps(self.crew.marks.base.get().number);
        }
        self.publish_retention();
    }
}

impl Handler<Checkpointed> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: Checkpointed, ctx: &mut Context<Self>) {
        self.moved();
        self.trim(ctx);
    }
}

impl Handler<Trimmed> for JournalActor {
    type Result = ();

    fn handle(&mut self, done: Trimmed, ctx: &mut Context<Self>) {
        self.trimming = false;
        match done.result {
            Ok((base, usage)) => {
                let before = self.crew.marks.journal_used.get();
                self.set_usage(usage);
                add(&self.crew.shared.totals.trimmed_bytes, before.saturating_sub(usage.0));
                self.retention.trimmed(done.up_to);
                self.crew.marks.base.set(base);
                self.pump(ctx);
            }
            Err(error) => self.crew.fail(&error),
        }
    }
}

impl Handler<ReadRecords> for JournalActor {
    type Result = ();

    fn handle(&mut self, read: ReadRecords, _: &mut Context<Self>) {
        let ReadRecords { from, up_to, bytes_max, reply } = read;
        let count_max = RECORD_BATCH_COUNT_MAX;
        if let Some(records) = self.engine.tail().read(from, up_to, bytes_max, count_max) {
            let _ = reply.send(Ok(records));
            return;
        }
        let Ok(io) = self.crew.io() else { return };
        actix::spawn(async move {
            let records = io.read(from, bytes_max).await.map(|mut records| {
                records.truncate(count_max);
                records.retain(|record| record.number() <= up_to);
                records
            });
            let _ = reply.send(records);
        });
    }
}

impl Handler<PrepareReset> for JournalActor {
    type Result = ();

    fn handle(&mut self, prepare: PrepareReset, _: &mut Context<Self>) {
        self.retention.reset(prepare.fork, prepare.base, &self.crew.state.borrow().lineage);
        self.publish_retention();
        let _ = prepare.reply.send(());
    }
}

impl Handler<ResetJournal> for JournalActor {
    type Result = ();

    fn handle(&mut self, ResetJournal { base, reply }: ResetJournal, ctx: &mut Context<Self>) {
        let Ok(io) = self.crew.io() else { return };
        let work = async move {
            io.reset(base).await?;
            io.usage().await
        };
        // Nothing else is taken meanwhile: what comes next follows the new base.
        let work = work.into_actor(self).map(move |result, actor, _| {
            let result = result.map(|usage| {
                actor.engine.reset(base);
                actor.set_usage(usage);
                actor.crew.marks.base.set(base);
                actor.crew.marks.submitted.set(base);
                actor.crew.marks.newest.set(base);
                actor.crew.marks.durable.set(base.number);
            });
            if let Err(error) = &result {
                actor.crew.fail(&error.duplicate());
            }
            let _ = reply.send(result);
        });
        ctx.wait(work);
    }
}

/// Waits until everything submitted to the journal is durable, for at most `limit`.
pub(crate) async fn quiesce(crew: &CrewRef, limit: Duration) -> Result<()> {
    let (reply, quiet) = oneshot::channel();
    crew.to(&crew.journal, Quiesce(reply));
    match tokio::time::timeout(limit, quiet).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Error::new(ErrorKind::Timeout, "settle journal: it did not become quiet in time")),
    }
}
