//! What of the journal may go: floors, trims, and beginning anew.

use super::{JournalActor, PrepareReset, RaiseFloor, RaiseFloors, ResetJournal};
use crate::shared::add;
use actix::prelude::*;
use std::collections::BTreeSet;
use trefoil_core::Result;
use trefoil_core::engine::retention::{TrimDecision, TrimInput};
use trefoil_core::model::{Changed, Position, SiteName, UpdateNumber};

#[derive(Message)]
#[rtype(result = "()")]
struct Gathered {
    up_to: UpdateNumber,
    changed: Result<Changed>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Trimmed {
    up_to: UpdateNumber,
    result: Result<(Position, (u64, u64))>,
}

impl JournalActor {
    /// Lets records go, where that is due.
    pub(super) fn trim(&mut self, ctx: &mut Context<Self>) {
        let (crew, marks) = (&self.crew, &self.crew.marks);
        if self.trimming.is_some() || self.trims_held > 0 || crew.failed.borrow().is_some() {
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
            TrimDecision::Trim { up_to, passed } => {
                self.tell_of_passed(up_to, &passed);
                self.start_trim(up_to, passed, ctx);
            }
        }
    }

    /// Says which sites will need a copy of what changed instead of the updates themselves.
    fn tell_of_passed(&self, up_to: UpdateNumber, passed: &[SiteName]) {
        let maps = self.retention.maps();
        for peer in passed.iter().filter(|site| !maps.contains_key(*site)) {
            let (site, from) = (self.crew.site(), self.retention.floor(peer).number);
            tracing::warn!(
                %site, %peer, %from, %up_to,
                "the journal is full: updates that the peer lacks are let go; what they changed is \
                 kept in a map"
            );
        }
    }

    /// Trims; where records go that a site lacks, what they changed is read and entered into its
    /// map first.
    fn start_trim(&mut self, up_to: UpdateNumber, passed: Vec<SiteName>, ctx: &mut Context<Self>) {
        self.trimming = Some(up_to);
        if passed.is_empty() {
            self.trim_now(up_to, false, ctx);
            return;
        }
        if !self.retention.wants_extents(&passed) {
            self.missed(up_to, &Changed::Everything, ctx);
            return;
        }
        let Ok(io) = self.crew.io() else { return };
        let (base, address) = (self.crew.marks.base.get().number, ctx.address());
        actix::spawn(async move {
            let changed = io.changed(base, up_to).await;
            crate::crew::post(&address, Gathered { up_to, changed });
        });
    }

    /// Enters what goes into the maps, and lets it go once they are durable (rule `purge_safe`).
    fn missed(&mut self, up_to: UpdateNumber, changed: &Changed, ctx: &mut Context<Self>) {
        self.retention.missed(up_to, self.crew.marks.base.get().number, changed);
        self.trim_now(up_to, true, ctx);
    }

    fn trim_now(&mut self, up_to: UpdateNumber, save_first: bool, ctx: &mut Context<Self>) {
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

    /// Nothing is kept for a site that was replaced for good.
    pub(crate) fn release(&mut self, site: &SiteName) {
        self.retention.release(site);
        self.publish_retention();
    }

    fn raise(&mut self, floors: &[(SiteName, Position)]) {
        let newest = self.engine.received();
        {
            let lineage = &self.crew.state.borrow().lineage;
            for (site, position) in floors {
                self.retention.raise(site, *position, lineage, &newest);
            }
            // A map that a trim is waiting for is needed as soon as that trim is done, whatever the
            // base is until then.
            let base = self.crew.marks.base.get().number;
            self.retention.end_maps(base.max(self.trimming.unwrap_or(base)));
        }
        self.publish_retention();
    }

    /// Puts floors and maps into the state, to be saved with it.
    fn publish_retention(&self) {
        let mut state = self.crew.state.borrow_mut();
        state.floors.clone_from(self.retention.floors());
        state.maps.clone_from(self.retention.maps());
    }
}

impl Handler<RaiseFloor> for JournalActor {
    type Result = ();

    fn handle(&mut self, floor: RaiseFloor, _: &mut Context<Self>) {
        let RaiseFloor { site, position, fork } = floor;
        if let Some(fork) = fork {
            self.retention.follow(&site, fork, &self.crew.state.borrow().lineage);
        }
        self.raise(&[(site, position)]);
    }
}

impl Handler<RaiseFloors> for JournalActor {
    type Result = ();

    fn handle(&mut self, RaiseFloors(floors): RaiseFloors, _: &mut Context<Self>) {
        self.raise(&floors);
    }
}

impl Handler<Gathered> for JournalActor {
    type Result = ();

    fn handle(&mut self, Gathered { up_to, changed }: Gathered, ctx: &mut Context<Self>) {
        match changed {
            Ok(changed) => self.missed(up_to, &changed, ctx),
            Err(error) => self.crew.fail(&error),
        }
    }
}

impl Handler<Trimmed> for JournalActor {
    type Result = ();

    fn handle(&mut self, done: Trimmed, ctx: &mut Context<Self>) {
        self.trimming = None;
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
        self.trims_are_still();
    }
}

impl Handler<PrepareReset> for JournalActor {
    type Result = ();

    fn handle(&mut self, prepare: PrepareReset, _: &mut Context<Self>) {
        let PrepareReset { fork, base, changed, reply } = prepare;
        {
            let lineage = &self.crew.state.borrow().lineage;
            match changed {
                Some(changed) => {
                    let old_base = self.crew.marks.base.get().number;
                    self.retention.reset(fork, (old_base, base.number), lineage, &changed);
                }
                None => self.retention.clip(&base, &lineage.up_to(fork)),
            }
        }
        self.publish_retention();
        let _ = reply.send(());
    }
}

impl Handler<ResetJournal> for JournalActor {
    type Result = ();

    fn handle(&mut self, reset: ResetJournal, ctx: &mut Context<Self>) {
        let ResetJournal { base, keep, reply } = reset;
        let Ok(io) = self.crew.io() else { return };
        let work = async move {
            if keep {
                io.truncate(base.number).await?;
            } else {
                io.reset(base).await?;
            }
            io.usage().await
        };
        // Nothing else is taken meanwhile: what comes next follows the new end.
        let work = work.into_actor(self).map(move |result, actor, _| {
            let result = result.map(|usage| {
                actor.engine.reset(base);
                actor.crew.tail.borrow_mut().reset(base);
                actor.set_usage(usage);
                let marks = &actor.crew.marks;
                if !keep {
                    marks.base.set(base);
                }
                marks.submitted.set(base);
                marks.newest.set(base);
                marks.durable.set(base.number);
                marks.answered.set(marks.answered.get().min(base.number));
                // What is in the volumes beyond that is owed from now on.
                marks.restored.set(marks.restored.get().min(base.number));
                marks.checkpointed.set(marks.checkpointed.get().min(base.number));
                actor.crew.history.borrow_mut().cut_after(base.number);
            });
            if let Err(error) = &result {
                actor.crew.fail(&error.duplicate());
            }
            let _ = reply.send(result);
        });
        ctx.wait(work);
    }
}
