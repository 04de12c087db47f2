//! What an operator does to a group: takeover, planned exchange of roles.

use crate::actor::{Swap, Takeover};
use crate::handle::{Group, hand};
use crate::status::Certificate;
use tokio::sync::oneshot;
use trefoil_core::engine::reign::TakeoverOptions;
use trefoil_core::model::Role;
use trefoil_core::{Error, Result};

impl Group {
    /// Makes this site lead the group, in the two phases of a takeover.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with the rule that says no and the remedy;
    /// [`ErrorKind::Unavailable`] if fewer than two of three sites answer.
    pub async fn takeover(&self, options: TakeoverOptions) -> Result<Certificate> {
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, Takeover { options, reply })?;
        self.certified(answer).await
    }

    /// Makes this site lead by a planned exchange of roles: the leading site lets host writes wait,
    /// brings this one up to its newest update, and ends its reign; then this one leads. `None` if
    /// it leads already. May be run again after whatever went wrong in the middle.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] with figures while this site is not in sync, or where the exchange
    /// was called off; [`ErrorKind::Unavailable`] where the leading site cannot be reached.
    pub async fn swap(&self) -> Result<Option<Certificate>> {
        let status = self.status();
        if status.role == Role::Primary && status.serving {
            return Ok(None);
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, Swap { reply })?;
        self.certified(answer).await.map(Some)
    }

    /// Waits until this site leads as the certificate says.
    async fn certified(
        &self,
        answer: oneshot::Receiver<Result<Certificate>>,
    ) -> Result<Certificate> {
        let stopping = |_| Error::closed("take over: the site is stopping");
        let certificate = answer.await.map_err(stopping)??;
        // Whoever reads the status next shall see what the certificate says.
        let mut watch = self.watch();
        while self.status().generation < certificate.generation || !self.status().serving {
            watch.changed().await?;
        }
        Ok(certificate)
    }
}
