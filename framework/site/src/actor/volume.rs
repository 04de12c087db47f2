//! The volumes of a group: where host writes get their numbers and their answers.

mod exchange;
mod inbox;
mod legs;
mod patience;
mod set;

pub(crate) use self::exchange::{Close, Pause};
pub(crate) use self::inbox::Inbox;
pub(crate) use self::legs::{Join, Leave, LegProgress};
pub(crate) use self::patience::HoldAnswers;
pub(crate) use self::set::SetVolumes;

use self::patience::Patience;
use super::tick::{Ticking, Ticks};
use super::{Marked, Submit, SyncTo};
use crate::crew::{CrewRef, MAILBOX_MAX};
use crate::guest::RunBeside;
use crate::parts::micros;
use crate::shared::{Gate, add};
use actix::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use trefoil_core::engine::volume::{Change, VolumeEngine};
use trefoil_core::model::{Generation, Marks, Position, UpdateNumber};
use trefoil_core::record::Record;
use trefoil_core::{Error, Result};

/// At most so many host writes are numbered in one go, so that other messages get their turn.
const NUMBERED_AT_ONCE: usize = 512;
/// Between ticks while somebody waits.
const OFTEN: Duration = Duration::from_millis(5);

/// A host that waits for its answer, with the permit that it gives back then.
pub(crate) struct Waiter {
    pub reply: oneshot::Sender<Result<UpdateNumber>>,
    pub permit: Option<OwnedSemaphorePermit>,
    /// Bytes written; 0 for a flush.
    pub bytes: u64,
    /// About how many bytes of the journal it takes.
    pub cost: u64,
}

/// A host write, checked and with its permit.
pub(crate) struct HostWrite {
    pub change: Change,
    pub waiter: Waiter,
}

/// A host flush.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HostFlush {
    pub waiter: Waiter,
}

/// Number what gathered.
#[derive(Message)]
#[rtype(result = "()")]
struct Number;

/// A reign begins after this point.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Lead {
    pub generation: Generation,
    pub parent: Position,
}

/// The reign is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Depose;

/// The charter is active: answer the host.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Serve;

/// This site's own journal moved.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OwnMarks(pub Marks);

/// The newest position assigned; `None` where this site does not serve.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskAssigned(pub oneshot::Sender<Option<Position>>);

/// Up to where hosts may have been answered; `None` where this site does not serve.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskCommit(pub oneshot::Sender<Option<UpdateNumber>>);

/// The volumes of a group.
pub(crate) struct VolumeActor {
    crew: CrewRef,
    engine: Option<VolumeEngine<Waiter>>,
    /// The number of the reign's Generation record, until it is durable.
    mark: Option<UpdateNumber>,
    serving: bool,
    /// Nothing is numbered: the group is being handed over.
    paused: bool,
    /// No host write is answered, and how long they have been waiting (`fence = "data"`).
    patience: Patience,
    pending: VecDeque<HostWrite>,
    armed: bool,
    last_record_us: u64,
    ticks: Ticks,
}

impl VolumeActor {
    pub fn new(crew: CrewRef) -> Self {
        let pending = VecDeque::new();
        Self {
            crew,
            engine: None,
            mark: None,
            serving: false,
            paused: false,
            patience: Patience::default(),
            pending,
            armed: false,
            last_record_us: 0,
            ticks: Ticks::every(OFTEN),
        }
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if !self.armed && !self.pending.is_empty() && self.has_room() {
            self.armed = true;
            ctx.notify(Number);
        }
    }

    /// Whether overlay and journal take more.
    fn has_room(&self) -> bool {
        let shared = &self.crew.shared;
        self.serving
            && !self.paused
            && shared.overlay.read().bytes() < shared.config.limits.overlay_bytes
            && self.crew.marks.journal_room() > self.crew.marks.host_reserve()
    }

    /// Whether what waits is better numbered later: as much is on its way as waits, so that the
    /// answer to that lets this go. Two batches then alternate, and a batch costs every site on the
    /// way about the same, however many writes are in it.
    fn gathers(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.waiting() > self.pending.len())
    }

    fn refuse(&self, waiter: Waiter) {
        add(&self.crew.shared.totals.errors, 1);
        let _ = waiter.reply.send(Err(refusal(&self.crew.shared.gate.borrow())));
    }

    /// Numbers what gathered, within the limits of one go and the room there is.
    fn number(&mut self) {
        let time = self.crew.shared.clock.wall_us();
        let mut records = Vec::new();
        let mut bytes = 0;
        let room = self.crew.marks.journal_room();
        if let Some(engine) = &mut self.engine {
            for _ in 0..NUMBERED_AT_ONCE {
                // A write that the journal has no room for waits until records go.
                let next = self.pending.front().map_or(0, |write| write.waiter.cost);
                if bytes > 1 << 20 || bytes + next > room {
                    break;
                }
                let Some(HostWrite { change, waiter }) = self.pending.pop_front() else { break };
                bytes += waiter.cost;
                if let Err((error, waiter)) = engine.admit(change, time, waiter, &mut records) {
                    let _ = waiter.reply.send(Err(error));
                }
            }
        }
        if !records.is_empty() {
            self.crew.marks.host_wrote_us.set(self.crew.shared.clock.now_us());
        }
        self.submit(records);
    }

    fn submit(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        self.last_record_us = self.crew.shared.clock.now_us();
        self.crew.to(&self.crew.journal, Submit { records });
    }

    /// Publishes commit and horizon; answers whom it may.
    fn moved(&mut self) {
        let Some(engine) = &mut self.engine else { return };
        let marks = &self.crew.marks;
        let (commit, horizon) = (engine.acking().commit(), engine.acking().horizon());
        debug_assert!(horizon <= commit, "rule watermark_order: horizon {horizon} > {commit}");
        marks.commit.set(commit);
        let before = marks.horizon.replace(horizon);
        let acking = engine.acking();
        if let Some(mark) = self.mark.filter(|mark| acking.own().durable >= *mark) {
            self.mark = None;
            self.crew.to(&self.crew.reign, Marked(mark));
        }
        self.answer();
        if horizon != before {
            // That is what legs go by that nobody waits for.
            self.crew.kick_shippers();
        }
    }

    /// Answers the hosts that may be answered, while the lease is valid; checked right before the
    /// replies leave (rule R9).
    fn answer(&mut self) {
        let shared = &self.crew.shared;
        if !self.serving || self.patience.held || !shared.lease_valid() {
            return;
        }
        let Some(engine) = &mut self.engine else { return };
        for (number, waiter) in engine.answerable() {
            let totals = &shared.totals;
            if waiter.bytes > 0 {
                add(&totals.writes, 1);
                add(&totals.write_bytes, waiter.bytes);
            } else {
                add(&totals.flushes, 1);
            }
            drop(waiter.permit);
            let _ = waiter.reply.send(Ok(number));
        }
        self.crew.marks.note_answered(shared.config.durability);
    }

    /// Numbers at once what waits, if it need not wait any longer.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        if !self.armed && !self.paused && !self.gathers() && self.has_room() {
            self.number();
        }
        if !self.gathers() {
            self.arm(ctx);
        }
    }

    /// Whether all that was numbered is committed, and nobody waits.
    fn is_idle(&self) -> bool {
        let engine = self.engine.as_ref();
        self.pending.is_empty()
            && engine.is_none_or(|engine| {
                engine.waiting() == 0 && engine.acking().commit() == engine.assigned().number
            })
    }

    /// A heartbeat record, when there was no other record for long.
    fn mark_time(&mut self) {
        let idle_us = micros(self.crew.shared.config.timing.idle_record);
        let idle = self.crew.shared.clock.now_us().saturating_sub(self.last_record_us) >= idle_us;
        let marks = &self.crew.marks;
        let room = marks.journal_room() > 2 * marks.host_reserve();
        let due = self.serving && !self.paused && idle && room && self.is_idle();
        if due && let Some(engine) = &mut self.engine {
            let record = engine.heartbeat(self.crew.shared.clock.wall_us());
            self.submit(vec![record]);
        }
    }

    /// Everything up to `number` must become durable everywhere soon.
    fn want_durable(&self, number: UpdateNumber) {
        self.crew.to(&self.crew.journal, SyncTo(number));
        for shipper in self.crew.shippers.borrow().values() {
            crate::crew::post(shipper, SyncTo(number));
        }
    }
}

/// Why the host gets no answer here.
pub(crate) fn refusal(gate: &Gate) -> Error {
    match gate {
        Gate::Closed(why) => Error::closed(why.to_string()),
        Gate::Primary => Error::fenced("write: the reign ended meanwhile; the outcome is unknown"),
        Gate::Secondary(Some(primary)) | Gate::Owing(Some(primary)) => {
            Error::fenced(format!("write: site {primary} leads the group, write there"))
        }
        Gate::Secondary(None) | Gate::Owing(None) => {
            Error::fenced("write: no site is known to lead the group; see `status`")
        }
    }
}

impl Ticking for VolumeActor {
    fn ticks(&mut self) -> &mut Ticks {
        &mut self.ticks
    }

    /// Once in a while: a heartbeat record when idle, and whoever waits for room or lease.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.arm(ctx);
        self.answer();
        self.let_go();
        self.mark_time();
    }

    fn rests(&self) -> bool {
        self.is_idle() && !self.paused
    }
}

impl Actor for VolumeActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        self.rouse(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.turn_away();
        let waiters = self.engine.as_mut().map(VolumeEngine::abandon).unwrap_or_default();
        let pending = self.pending.drain(..).map(|write| write.waiter);
        for waiter in waiters.into_iter().chain(pending) {
            let _ = waiter.reply.send(Err(Error::closed("write: the site is stopping")));
        }
    }
}

impl Handler<HostFlush> for VolumeActor {
    type Result = ();

    fn handle(&mut self, flush: HostFlush, ctx: &mut Context<Self>) {
        self.take_in();
        if self.has_room() {
            // What came before the flush is covered by it, even if nobody waits for its answer.
            self.number();
        }
        let Some(engine) = self.engine.as_mut().filter(|_| self.serving) else {
            self.refuse(flush.waiter);
            return;
        };
        let number = engine.flush(flush.waiter);
        self.rouse(ctx);
        self.want_durable(number);
        self.answer();
    }
}

impl Handler<RunBeside> for VolumeActor {
    type Result = ();

    fn handle(&mut self, RunBeside(guest): RunBeside, _: &mut Context<Self>) {
        drop(actix::spawn(guest()));
    }
}

impl Handler<AskAssigned> for VolumeActor {
    type Result = ();

    fn handle(&mut self, AskAssigned(reply): AskAssigned, _: &mut Context<Self>) {
        let assigned = self.engine.as_ref().filter(|_| self.serving).map(VolumeEngine::assigned);
        let _ = reply.send(assigned);
    }
}

impl Handler<AskCommit> for VolumeActor {
    type Result = ();

    fn handle(&mut self, AskCommit(reply): AskCommit, _: &mut Context<Self>) {
        let engine = self.engine.as_ref().filter(|_| self.serving);
        let _ = reply.send(engine.map(|engine| engine.acking().commit()));
    }
}

impl Handler<Number> for VolumeActor {
    type Result = ();

    fn handle(&mut self, _: Number, ctx: &mut Context<Self>) {
        self.armed = false;
        if !self.paused {
            self.number();
            self.arm(ctx);
        }
    }
}

impl Handler<Lead> for VolumeActor {
    type Result = ();

    fn handle(&mut self, Lead { generation, parent }: Lead, ctx: &mut Context<Self>) {
        self.rouse(ctx);
        let shared = &self.crew.shared;
        let own = self.crew.marks.marks();
        let mut engine = VolumeEngine::new(shared.config.durability, parent, own);
        self.crew.numbers.set(true);
        let first = engine.begin(generation, shared.site.clone(), shared.clock.wall_us());
        self.crew.marks.commit.set(own.received);
        self.crew.marks.horizon.set(own.durable);
        match first {
            Ok(record) => {
                let number = record.number();
                self.mark = Some(number);
                self.engine = Some(engine);
                self.submit(vec![record]);
                self.crew.to(&self.crew.journal, SyncTo(number));
            }
            Err(error) => self.crew.fail(&error),
        }
    }
}

impl Handler<Depose> for VolumeActor {
    type Result = ();

    fn handle(&mut self, _: Depose, _: &mut Context<Self>) {
        self.serving = false;
        self.crew.numbers.set(false);
        self.paused = false;
        self.mark = None;
        self.patience = Patience::default();
        self.crew.shared.lease_until.store(0, Ordering::Release);
        let waiters = self.engine.take().map(|mut engine| engine.abandon()).unwrap_or_default();
        let pending: Vec<HostWrite> = self.pending.drain(..).collect();
        for waiter in waiters.into_iter().chain(pending.into_iter().map(|write| write.waiter)) {
            self.refuse(waiter);
        }
        self.crew.marks.acking.borrow_mut().clear();
    }
}

impl Handler<Serve> for VolumeActor {
    type Result = ();

    fn handle(&mut self, _: Serve, ctx: &mut Context<Self>) {
        if self.engine.is_some() {
            self.serving = true;
            self.crew.shared.gate.send_replace(Gate::Primary);
            self.crew.refresh.notify_one();
            self.arm(ctx);
        }
    }
}

impl Handler<OwnMarks> for VolumeActor {
    type Result = ();

    fn handle(&mut self, OwnMarks(marks): OwnMarks, ctx: &mut Context<Self>) {
        if let Some(engine) = &mut self.engine {
            engine.advance_own(marks);
            self.moved();
            self.go_on(ctx);
        }
    }
}
