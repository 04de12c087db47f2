//! What an operator does to a group: takeover, planned exchange of roles.

use crate::actor::{Repoint, SetVolumes, Suspend, Swap, Takeover};
use crate::handle::{Group, hand};
use crate::status::Certificate;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::engine::reign::TakeoverOptions;
#[cfg(doc)]
use trefoil_core::model::changed_volumes;
use trefoil_core::model::{LegState, Role, SiteName, UpdateNumber, VolumeChange};
use trefoil_core::topology::Topology;
use trefoil_core::{Error, Result};

/// The status shows within this what was certified, or the reign that it is about is over.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

impl Group {
    /// Makes this site lead the group, in the two phases of a takeover.
    ///
    /// # Errors
    /// `Refused` with the rule that says no and the remedy;
    /// `Unavailable` if fewer than two of three sites answer.
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
    /// `Refused` with figures while this site is not in sync, or where the exchange
    /// was called off; `Unavailable` where the leading site cannot be reached.
    pub async fn swap(&self) -> Result<Option<Certificate>> {
        let status = self.status();
        if status.role == Role::Primary && status.serving {
            return Ok(None);
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, Swap { reply })?;
        self.certified(answer).await.map(Some)
    }

    /// Suspends the leg from this site, which leads, to another: it is not served any more, and
    /// after a restart neither, until [`Group::resume`]. A leg that the host waits for is taken out
    /// of the in-sync set first, which two of three sites must record. Returns once it is still.
    ///
    /// # Errors
    /// `Invalid` if the group has no such other site; `Refused` where
    /// this site does not lead.
    pub async fn suspend(&self, site: &SiteName) -> Result<()> {
        self.set_suspended(site, true).await?;
        let mut watch = self.watch();
        loop {
            let status = self.status();
            let state = status.legs.get(site).map(|leg| leg.state.clone());
            if matches!(state, Some(LegState::Suspended(_))) || status.role != Role::Primary {
                return Ok(());
            }
            watch.changed().await?;
        }
    }

    /// Lets a suspended leg go on: the other site follows again by what it lacks.
    ///
    /// # Errors
    /// `Invalid` if the group has no such other site.
    pub async fn resume(&self, site: &SiteName) -> Result<()> {
        self.set_suspended(site, false).await
    }

    /// From now on sites read from each other as `topology` says, while everything runs: a follower
    /// that is pointed elsewhere goes on there from where it is. Tell every site.
    ///
    /// # Errors
    /// `Invalid` if it differs in more than that: its sites, the home site, or the mode of a leg.
    pub fn set_topology(&self, topology: Arc<dyn Topology>) -> Result<()> {
        let old = &self.shared.config.topology;
        let legs = |layout: &dyn Topology| -> Vec<_> {
            old.sites().iter().map(|site| layout.legs(site)).collect()
        };
        let same = old.sites() == topology.sites()
            && old.home() == topology.home()
            && legs(&**old) == legs(&*topology);
        if !same {
            return Err(Error::invalid(format!(
                "change layout of group {}: from `{}` to `{}` more differs than who reads from \
                 whom; stop the sites, and start them with it",
                self.name(),
                old.describe(),
                topology.describe()
            )));
        }
        hand(&self.reign, Repoint(topology))
    }

    async fn set_suspended(&self, site: &SiteName, suspended: bool) -> Result<()> {
        if !self.peers.contains_key(site) {
            let (group, here) = (self.name(), self.site());
            let why = format!("find leg to {site}: group {group} has none from site {here}");
            return Err(Error::invalid(why));
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.reign, Suspend { site: site.clone(), suspended, reply })?;
        answer.await.map_err(|_| Error::closed("suspend leg: the site is stopping"))?
    }

    /// Changes the group's volumes while it lives: a numbered update, carried out at every site in
    /// order. Returns its number once it is answered as a write is, and carried out at this site,
    /// which leads; a host that connects then sees the new sizes.
    ///
    /// # Errors
    /// `Invalid` and `Refused` as [`changed_volumes`] says; `Refused` where this site leads not;
    /// `Unavailable` if this site cannot carry it out, which stays to be done.
    pub async fn change_volumes(&self, change: VolumeChange) -> Result<UpdateNumber> {
        let (reply, answer) = oneshot::channel();
        hand(&self.volume, SetVolumes { change, reply })?;
        let number = answer.await.map_err(|_| Error::closed("change volumes: it stops"))??;
        let mut watch = self.watch();
        while self.shared.volumes().since < number {
            let status = self.status();
            if let Some(trouble) =
                status.trouble.as_ref().filter(|_| status.marks.restored >= number)
            {
                return Err(Error::unavailable(format!("change volumes at {number}: {trouble}")));
            }
            watch.changed().await?;
        }
        Ok(number)
    }

    /// Waits until this site leads as the certificate says.
    async fn certified(
        &self,
        answer: oneshot::Receiver<Result<Certificate>>,
    ) -> Result<Certificate> {
        let stopping = |_| Error::closed("take over: the site is stopping");
        let certificate = answer.await.map_err(stopping)??;
        // Whoever reads the status next shall see what the certificate says; unless the reign is
        // over already. What was lost is told in any case: to nobody else it ever will be.
        let shown = async {
            let mut watch = self.watch();
            while self.status().generation < certificate.generation || !self.status().serving {
                watch.changed().await?;
            }
            Ok(())
        };
        match tokio::time::timeout(SHOWN_WITHIN, shown).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(certificate),
        }
    }
}
