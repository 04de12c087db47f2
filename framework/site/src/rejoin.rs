//! Bringing a site with a tail of its own back under the site that leads.

use crate::handle::{Group, hand};
use crate::status::FollowStatus;
use tokio::sync::oneshot;
use trefoil_core::model::LegState;
use trefoil_core::{Error, Result};

impl Group {
    /// The operator chose: the history of the site that leads goes on. Updates that only this site
    /// has are set aside and dropped, even those that a host may have been told of; then the site
    /// follows. Returns once it does. Has no time limit of its own, and does nothing to a site that
    /// follows already.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](trefoil_core::ErrorKind::Refused) if this site follows nobody: it
    /// leads, or no site does.
    pub async fn rejoin(&self) -> Result<FollowStatus> {
        let (reply, answer) = oneshot::channel();
        let mut watch = self.watch();
        hand(&self.follower, crate::actor::Rejoin(reply))?;
        answer.await.map_err(|_| Error::closed("rejoin: the site is stopping"))??;
        loop {
            let status = self.status();
            let follows = status.follows.as_ref();
            let streams = |follows: &&FollowStatus| {
                let state = &follows.state;
                matches!(state, LegState::Copying | LegState::CatchingUp | LegState::Paired)
            };
            if let Some(follows) = follows.filter(streams) {
                return Ok(follows.clone());
            }
            watch.changed().await?;
        }
    }
}
