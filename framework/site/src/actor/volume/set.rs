//! Another set of volumes: a record in the group's order, as every update.

use super::{VolumeActor, Waiter};
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::model::{UpdateNumber, VolumeChange, VolumeSpec, changed_volumes};
use trefoil_core::{Error, Result};

/// The operator wants the group's volumes changed. Answered, as a write is, with the number of the
/// update.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SetVolumes {
    pub change: VolumeChange,
    pub reply: oneshot::Sender<Result<UpdateNumber>>,
}

impl VolumeActor {
    /// The volumes after `change`, if it may be made now.
    fn changed(&self, change: &VolumeChange) -> Result<(UpdateNumber, Vec<VolumeSpec>)> {
        let crew = &self.crew;
        let Some(engine) = self.engine.as_ref().filter(|_| self.serving && !self.paused) else {
            let site = crew.site();
            let state = crew.state.borrow();
            let leads = state.charter.as_ref().map(|charter| &charter.primary);
            let there = leads.filter(|leads| *leads != site).map_or_else(
                || "see `trefoil status`".to_owned(),
                |leads| format!("{leads} led last, ask there: the same with `--at {leads}`"),
            );
            return Err(Error::refused(format!(
                "{change}: site {site} does not lead now; {there}"
            )));
        };
        let state = crew.state.borrow();
        let open = crew.shared.volumes();
        if *open.specs != *state.volumes.current() {
            return Err(Error::refused(format!(
                "{change}: the change before this one is still being carried out here"
            )));
        }
        if matches!(change, VolumeChange::Add(_)) && crew.shared.opener.is_none() {
            return Err(Error::refused(format!(
                "{change}: site {} was given its block stores, and opens no others",
                crew.site()
            )));
        }
        let volumes = changed_volumes(&open.specs, change)?;
        Ok((engine.assigned().number.next(), volumes))
    }

    /// Makes the record, once the state names what it says.
    fn make_set(
        &mut self,
        number: UpdateNumber,
        volumes: &[VolumeSpec],
        reply: oneshot::Sender<Result<UpdateNumber>>,
    ) {
        let time = self.crew.shared.clock.wall_us();
        let next = self.engine.as_ref().map(|engine| engine.assigned().number.next());
        let Some(engine) = self.engine.as_mut().filter(|_| next == Some(number)) else {
            let ended =
                Error::fenced("change volumes: the reign ended meanwhile; nothing was done");
            let _ = reply.send(Err(ended));
            return;
        };
        let waiter = Waiter { reply, permit: None, bytes: 0, cost: 0 };
        match engine.set_volumes(volumes, time, waiter) {
            Ok(record) => {
                self.submit(vec![record]);
                self.want_durable(number);
            }
            Err((error, waiter)) => drop(waiter.reply.send(Err(error))),
        }
    }
}

impl Handler<SetVolumes> for VolumeActor {
    type Result = ();

    fn handle(&mut self, set: SetVolumes, ctx: &mut Context<Self>) {
        let SetVolumes { change, reply } = set;
        let (number, volumes) = match self.changed(&change) {
            Ok(changed) => changed,
            Err(error) => return drop(reply.send(Err(error))),
        };
        tracing::warn!(site = %self.crew.site(), %change, %number, "volumes change");
        self.crew.state.borrow_mut().volumes.note(number, volumes.clone());
        let crew = self.crew.clone();
        let save = async move { crew.save().await };
        // Nothing is numbered meanwhile: the record gets the number that the state names.
        ctx.wait(save.into_actor(self).map(move |saved, actor, _| match saved {
            Ok(()) => actor.make_set(number, &volumes, reply),
            Err(error) => {
                let _ = reply.send(Err(error.duplicate().context("change volumes")));
                actor.crew.fail(&error);
            }
        }));
    }
}
