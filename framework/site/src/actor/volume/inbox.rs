//! Where host writes wait for the volume actor: one message to it for all that gathered.
//!
//! A message costs an allocation and a place in the mailbox; a write that joins others costs a
//! push. What is here is bounded like the mailbox: each write holds its bytes of the window.

use super::{HostWrite, VolumeActor};
use crate::handle::hand;
use actix::prelude::*;
use parking_lot::Mutex;
use trefoil_core::{Error, Result};

/// There are writes in the inbox.
#[derive(Message)]
#[rtype(result = "()")]
struct Arrived;

/// Host writes that the volume actor has not looked at; `None` once it is gone.
pub(crate) struct Inbox(Mutex<Option<Vec<HostWrite>>>);

impl Default for Inbox {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

impl Inbox {
    /// Hands a write to the actor, which looks when it has not been told yet.
    ///
    /// # Errors
    /// That the actor is gone or takes nothing more.
    pub(crate) fn hand(&self, write: HostWrite, to: &Addr<VolumeActor>) -> Result<()> {
        let first = {
            let mut open = self.0.lock();
            let Some(writes) = &mut *open else { return Err(stopping()) };
            writes.push(write);
            writes.len() == 1
        };
        if !first {
            return Ok(());
        }
        hand(to, Arrived).inspect_err(|error| {
            // Others may have joined meanwhile: they are told the same.
            for write in self.take() {
                let _ = write.waiter.reply.send(Err(error.duplicate()));
            }
        })
    }

    fn take(&self) -> Vec<HostWrite> {
        self.0.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }
}

impl VolumeActor {
    /// Takes in what is in the inbox, in order.
    pub(super) fn take_in(&mut self) {
        for write in self.crew.shared.inbox.take() {
            if self.serving {
                self.pending.push_back(write);
            } else {
                self.refuse(write.waiter);
            }
        }
    }

    /// The actor is stopping: nobody looks into the inbox any more.
    pub(super) fn turn_away(&mut self) {
        let left = self.crew.shared.inbox.0.lock().take();
        for write in left.unwrap_or_default() {
            let _ = write.waiter.reply.send(Err(stopping()));
        }
    }
}

impl Drop for VolumeActor {
    /// However it ends, nobody is to wait for it.
    fn drop(&mut self) {
        self.turn_away();
    }
}

fn stopping() -> Error {
    Error::closed("write: the site is stopping")
}

impl Handler<Arrived> for VolumeActor {
    type Result = ();

    fn handle(&mut self, _: Arrived, ctx: &mut Context<Self>) {
        self.take_in();
        self.go_on(ctx);
    }
}
