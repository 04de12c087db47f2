//! Work of others on a group's own thread.
//!
//! Whoever calls a group from another thread pays two wake-ups of a sleeping core for each write,
//! one there and one back: tens of microseconds each. A front end that runs beside the group pays
//! none.

use crate::handle::Group;
use actix::Message;
use actix::prelude::SendError;
use std::pin::Pin;

/// Work that runs beside a group. It is begun there, so that what it opens belongs to that thread.
pub type Guest = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Begin that work.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RunBeside(pub Guest);

impl Group {
    /// Runs `guest` on the thread of the group, until it ends or the group's thread does. It must
    /// not block that thread: all of the group waits meanwhile.
    ///
    /// # Errors
    /// The guest, where the group has stopped (or is called by too many).
    pub fn run_beside(&self, guest: Guest) -> std::result::Result<(), Guest> {
        self.volume.try_send(RunBeside(guest)).map_err(|refused| match refused {
            SendError::Full(RunBeside(guest)) | SendError::Closed(RunBeside(guest)) => guest,
        })
    }
}
