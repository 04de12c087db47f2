//! The journal of a site: group commit, marks, retention.

mod forget;
mod hold;
mod trim;
mod view;

pub(crate) use self::hold::hold_trims;
pub(crate) use self::view::AskJournal;

use super::tick::{Ticking, Ticks};
use super::{JournalDurable, Received};
use crate::busy_poll::stay_awake;
use crate::crew::{CrewRef, JOURNAL, MAILBOX_MAX};
use crate::parts::micros;
use crate::shared::add;
use actix::prelude::*;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::journal::{JournalEngine, SyncPolicy};
use trefoil_core::engine::retention::{Retention, WaterMarks};
use trefoil_core::model::{Changed, Durability, Position, SiteName, UpdateNumber};
use trefoil_core::record::Record;
use trefoil_core::wire::RECORD_BATCH_COUNT_MAX;
use trefoil_core::{Error, ErrorKind, Result};

/// Floors that rose are looked at this often at least.
const TICK_MAX: Duration = Duration::from_millis(20);

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
struct Quiesce {
    /// What finds no room is forgotten instead of waited for.
    forgets: bool,
    reply: oneshot::Sender<()>,
}

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

/// What another site knows of the durable positions of many was heard.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RaiseFloors(pub Vec<(SiteName, Position)>);

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

/// The journal is about to end at `base`, or to begin anew there: enters the maps that third sites
/// then need (H19). Trims are held. Save the state next.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct PrepareReset {
    pub fork: UpdateNumber,
    pub base: Position,
    /// What changed from the old base to the new one; `None`: the records up to the base are kept.
    pub changed: Option<Changed>,
    pub reply: oneshot::Sender<()>,
}

/// End at `base`, or begin anew there; the state was saved with the intent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ResetJournal {
    pub base: Position,
    /// Whether the records up to there are kept.
    pub keep: bool,
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

/// The journal of a site.
pub(crate) struct JournalActor {
    crew: CrewRef,
    engine: JournalEngine,
    retention: Retention,
    quiesce: Vec<Quiesce>,
    /// Up to where a trim is under way.
    trimming: Option<UpdateNumber>,
    /// So many want that nothing is let go, and these wait until nothing is.
    trims_held: u32,
    holding: Vec<oneshot::Sender<()>>,
    ticks: Ticks,
}

impl JournalActor {
    pub fn new(crew: CrewRef, newest: Position) -> Self {
        let config = &crew.shared.config;
        let policy = SyncPolicy {
            always: config.durability == Durability::Write,
            interval_us: micros(config.timing.sync_interval),
        };
        let every = config.timing.sync_interval.clamp(Duration::from_millis(1), TICK_MAX);
        let now = crew.shared.clock.now_us();
        let engine = JournalEngine::new(policy, newest, now);
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
        Self {
            crew,
            engine,
            retention,
            quiesce: Vec::new(),
            trimming: None,
            trims_held: 0,
            holding: Vec::new(),
            ticks: Ticks::every(every),
        }
    }

    /// Starts what can be started: one append, one sync.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        self.crew.marks.journal_waiting.set(self.engine.waiting_bytes());
        if self.crew.failed.borrow().is_some() {
            return;
        }
        let Ok(io) = self.crew.io() else { return };
        if let Some(batch) = self.engine.next_append() {
            let address = ctx.address();
            io.append(batch, move |batch, result, usage| {
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
                let _ = waiter.reply.send(());
            }
        }
    }

    /// Tells whom it concerns how far the journal has come.
    fn moved(&mut self) {
        let marks = &self.crew.marks;
        let before = marks.durable.replace(self.engine.durable());
        marks.newest.set(self.engine.received());
        let now = marks.marks();
        debug_assert!(now.in_order(), "rule watermark_order: {now:?}");
        self.crew.marks_moved(now);
        if now.durable != before {
            self.crew.to(&self.crew.restorer, JournalDurable(now.durable));
            self.crew.kick_shippers();
        }
    }

    fn set_usage(&self, (used, capacity): (u64, u64)) {
        self.crew.marks.journal_used.set(used);
        self.crew.marks.journal_capacity.set(capacity);
    }
}

impl Ticking for JournalActor {
    fn ticks(&mut self) -> &mut Ticks {
        &mut self.ticks
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.pump(ctx);
        self.trim(ctx);
    }

    fn rests(&self) -> bool {
        self.engine.is_quiet() && self.quiesce.is_empty()
    }
}

impl Actor for JournalActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.rouse(ctx);
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
            let mut tail = self.crew.tail.borrow_mut();
            for record in &records {
                overlay.insert(record);
                tail.push(record.clone());
            }
        }
        self.crew.marks.submitted.set(self.engine.submitted());
        stay_awake(&self.crew, records.len());
        self.crew.history.borrow_mut().note(&records);
        self.crew.to(&self.crew.restorer, Received(records));
        self.rouse(ctx);
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
                if !self.forget_if_wanted(ctx) {
                    ctx.run_later(Duration::from_millis(50), |actor, ctx| actor.pump(ctx));
                }
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

    fn handle(&mut self, quiesce: Quiesce, ctx: &mut Context<Self>) {
        self.engine.want(self.engine.submitted().number);
        self.quiesce.push(quiesce);
        self.pump(ctx);
    }
}

impl Handler<PositionAt> for JournalActor {
    type Result = ();

    fn handle(&mut self, PositionAt { number, reply }: PositionAt, _: &mut Context<Self>) {
        let base = self.crew.marks.base.get();
        let known = if number == base.number {
            Some(base)
        } else {
            self.crew.tail.borrow().position(number)
        };
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

impl Handler<Checkpointed> for JournalActor {
    type Result = ();

    fn handle(&mut self, _: Checkpointed, ctx: &mut Context<Self>) {
        self.moved();
        self.trim(ctx);
    }
}

impl Handler<ReadRecords> for JournalActor {
    type Result = ();

    fn handle(&mut self, read: ReadRecords, _: &mut Context<Self>) {
        let ReadRecords { from, up_to, bytes_max, reply } = read;
        let count_max = RECORD_BATCH_COUNT_MAX;
        if let Some(records) = self.crew.tail.borrow().read(from, up_to, bytes_max, count_max) {
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

/// Where the history is at `number`, if the journal can tell.
pub(crate) async fn position_at(crew: &CrewRef, number: UpdateNumber) -> Option<Position> {
    let (reply, answer) = oneshot::channel();
    crew.to(&crew.journal, PositionAt { number, reply });
    answer.await.ok().flatten()
}

/// Waits until everything submitted to the journal is durable, for at most `limit`.
pub(crate) async fn quiesce(crew: &CrewRef, limit: Duration) -> Result<()> {
    still(crew, limit, false).await
}

/// The same, but what finds no room is forgotten: this site neither leads nor follows now, and
/// nobody was told that it has it. So a journal that is full keeps nothing from going on.
pub(crate) async fn settle_journal(crew: &CrewRef, limit: Duration) -> Result<()> {
    still(crew, limit, true).await
}

async fn still(crew: &CrewRef, limit: Duration, forgets: bool) -> Result<()> {
    let (reply, quiet) = oneshot::channel();
    crew.to(&crew.journal, Quiesce { forgets, reply });
    match tokio::time::timeout(limit, quiet).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Error::new(ErrorKind::Timeout, "settle journal: it did not become quiet in time")),
    }
}
