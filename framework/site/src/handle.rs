//! Handles for hosts and operators: groups and their volumes, from any thread and any runtime.

use crate::actor::{
    AskAssigned, AskCommit, AskNewest, FollowerActor, HostFlush, HostWrite, JournalActor, NewWay,
    PeerActor, ReadRecords, ReignActor, RestorerActor, VolumeActor, Waiter, refusal,
};
use crate::parts::PeerLink;
use crate::shared::{Gate, Shared, add};
use crate::snapshot::Snapshot;
use crate::status::GroupStatus;
use crate::wan::LinkRates;
use actix::Addr;
use actix::prelude::SendError;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use trefoil_core::engine::volume::{Change, check_range};
use trefoil_core::model::{
    Extent, GroupName, Position, SiteName, UpdateNumber, VolumeId, VolumeName, find_volume,
};
use trefoil_core::port::Content;
use trefoil_core::record::Record;
use trefoil_core::record::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use trefoil_core::{Error, ErrorKind, Result};

/// How far an update must have come at a site, to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Durable in the journal.
    Durable,
    /// In the block store, which is consistent.
    Restored,
}

/// A group at one site. Cloning is cheap; all clones are the same group.
#[derive(Clone)]
pub struct Group {
    pub(crate) shared: Arc<Shared>,
    pub(crate) volume: Addr<VolumeActor>,
    pub(crate) reign: Addr<ReignActor>,
    pub(crate) follower: Addr<FollowerActor>,
    pub(crate) restorer: Addr<RestorerActor>,
    pub(crate) journal: Addr<JournalActor>,
    pub(crate) peers: Arc<BTreeMap<SiteName, Addr<PeerActor>>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({} at {})", self.name(), self.shared.site)
    }
}

/// Posts to an actor that may be gone.
pub(crate) fn hand<A, M>(address: &Addr<A>, message: M) -> Result<()>
where
    A: actix::Actor + actix::Handler<M>,
    M: actix::Message + Send + 'static,
    M::Result: Send,
    A::Context: actix::dev::ToEnvelope<A, M>,
{
    match address.try_send(message) {
        Ok(()) => Ok(()),
        Err(SendError::Full(_)) => Err(Error::new(ErrorKind::Full, "call group: too many calls")),
        Err(SendError::Closed(_)) => Err(Error::closed("call group: it is stopped")),
    }
}

impl Group {
    /// The group's name.
    pub fn name(&self) -> &GroupName {
        &self.shared.config.group
    }

    /// The site whose view this is.
    pub fn site(&self) -> &SiteName {
        &self.shared.site
    }

    /// The cell that says how data is sent to a site: what is set holds from the next batch on.
    /// `None` if the group has no other site of that name.
    pub fn link_rates(&self, to: &SiteName) -> Option<LinkRates> {
        self.shared.lanes.get(to).map(|lane| lane.rates.clone())
    }

    /// The names of the group's volumes, by index; those that were removed are left out.
    pub fn volumes(&self) -> Vec<VolumeName> {
        let open = self.shared.volumes();
        let there = open.specs.iter().filter(|volume| !volume.is_removed());
        there.map(|volume| volume.name.clone()).collect()
    }

    /// The size of a volume in bytes; 0 where there is none.
    pub(crate) fn size_of(&self, volume: VolumeId) -> u64 {
        let open = self.shared.open.read();
        open.specs.get(volume.0 as usize).map_or(0, |volume| volume.size)
    }

    /// A volume of the group.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there is none of that name, naming those that there are.
    pub fn volume(&self, name: &VolumeName) -> Result<Volume> {
        let open = self.shared.volumes();
        let Some((id, _)) = find_volume(&open.specs, name) else {
            return Err(Error::invalid(format!(
                "open volume {name}: group {} has {:?}",
                self.name(),
                self.volumes()
            )));
        };
        Ok(Volume { group: self.clone(), id, name: name.clone() })
    }

    /// The state of the group as this site sees it, at most some 50 ms old; 250 ms while nothing
    /// moves.
    pub fn status(&self) -> Arc<GroupStatus> {
        self.shared.status.borrow().clone()
    }

    /// Watches the state.
    pub fn watch(&self) -> StatusWatch {
        StatusWatch(self.shared.status.subscribe())
    }

    /// Up to where hosts may have been answered by this site, if it leads.
    pub(crate) async fn commit(&self) -> Result<Option<UpdateNumber>> {
        let (reply, answer) = oneshot::channel();
        hand(&self.volume, AskCommit(reply))?;
        Ok(answer.await.ok().flatten())
    }

    /// The newest position of the group: this site's if it leads, else what the leading site says
    /// when asked now.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if no leading site can be asked.
    pub async fn newest(&self) -> Result<Position> {
        let (reply, answer) = oneshot::channel();
        hand(&self.volume, AskAssigned(reply))?;
        if let Ok(Some(newest)) = answer.await {
            return Ok(newest);
        }
        let status = self.status();
        let unknown =
            || Error::unavailable("ask for the newest update: no site that leads answers");
        let charter = status.charter.as_ref().ok_or_else(unknown)?;
        let peer = self.peers.get(&charter.primary).ok_or_else(unknown)?;
        let (reply, answer) = oneshot::channel();
        hand(peer, AskNewest(reply))?;
        answer.await.ok().flatten().ok_or_else(unknown)
    }

    /// Waits until `update` has come to `point` at `site`. Has no time limit of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the group has no such site; [`ErrorKind::Closed`] if this site
    /// stops.
    pub async fn wait_for(
        &self,
        update: UpdateNumber,
        site: &SiteName,
        point: Point,
    ) -> Result<()> {
        let mut watch = self.watch();
        let own = *site == self.shared.site;
        if !own && !self.peers.contains_key(site) {
            let group = self.name();
            return Err(Error::invalid(format!("wait for site {site}: group {group} has none")));
        }
        loop {
            let status = self.status();
            let (marks, debt_bytes) = match status.legs.get(site) {
                Some(leg) if !own => (leg.marks, leg.debt_bytes),
                _ => (status.marks, status.debt_bytes),
            };
            let reached = match point {
                Point::Durable => marks.durable,
                // What is restored into volumes that are not consistent cannot be used yet.
                Point::Restored if debt_bytes > 0 => UpdateNumber::ZERO,
                Point::Restored => marks.restored,
            };
            if reached >= update {
                return Ok(());
            }
            watch.changed().await?;
        }
    }

    /// A consistent image of all volumes at one position: `update`, or else what hosts were
    /// answered by a site that leads, and what is restored at any other. The block stores do not
    /// change while it is held; updates still come in, up to the overlay's limit. Reads of it are
    /// unlimited in time, so hold it no longer than needed.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `update` is older than what is restored or newer than what was
    /// received; [`ErrorKind::Refused`] while this site's volumes are not consistent.
    pub async fn snapshot(&self, update: Option<UpdateNumber>) -> Result<Snapshot> {
        Snapshot::take(self.clone(), update).await
    }

    /// Reaches another site by this way from now on. A link that is up goes on by it without an
    /// interruption: what was sent by the old way is read to its end first, and the sessions stay.
    /// Only the site that dials, the one whose name comes first, starts that; until the other site
    /// can be reached by it, the old way stays, and status says why.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the group has no such other site; [`ErrorKind::Closed`] when the
    /// site stops.
    pub fn change_link(&self, peer: &SiteName, way: PeerLink) -> Result<()> {
        let group = self.name();
        let unknown = || Error::invalid(format!("change link to {peer}: group {group} has none"));
        hand(self.peers.get(peer).ok_or_else(unknown)?, NewWay(way))
    }

    /// Reads this site's journal: consecutive records from `from` on, up to and including `up_to`,
    /// of about `bytes_max` bytes at most (one record at least). Empty where `from` is beyond
    /// `up_to` or what was received.
    ///
    /// # Errors
    /// Where `from` was trimmed, and whatever the journal says; [`ErrorKind::Closed`] when the
    /// site stops.
    pub async fn records(
        &self,
        from: UpdateNumber,
        up_to: UpdateNumber,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        let up_to = up_to.min(self.status().newest.number);
        if from > up_to {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        hand(&self.journal, ReadRecords { from, up_to, bytes_max, reply })?;
        answer.await.map_err(|_| Error::closed("read journal: the site is stopping"))?
    }
}

/// Watches the state of a group.
pub struct StatusWatch(watch::Receiver<Arc<GroupStatus>>);

impl StatusWatch {
    /// The next state that differs from the one seen last.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the group is stopped.
    pub async fn changed(&mut self) -> Result<Arc<GroupStatus>> {
        let stopped = |_| Error::closed("watch group: it is stopped");
        self.0.changed().await.map_err(stopped)?;
        Ok(self.0.borrow_and_update().clone())
    }
}

/// A volume at one site. Cloning is cheap.
///
/// Where the site leads, reads and writes are the host's. Elsewhere reads answer as of the site's
/// restored position, and writes are refused with [`ErrorKind::Fenced`], naming the site that
/// leads.
#[derive(Clone)]
pub struct Volume {
    group: Group,
    id: VolumeId,
    name: VolumeName,
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Volume({}/{} at {})", self.group.name(), self.name, self.group.site())
    }
}

impl Volume {
    /// Its name.
    pub fn name(&self) -> &VolumeName {
        &self.name
    }

    /// Its index in the group.
    pub fn id(&self) -> VolumeId {
        self.id
    }

    /// Its size in bytes now; 0 once it was removed.
    pub fn size(&self) -> u64 {
        self.group.size_of(self.id)
    }

    /// Its group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.group.shared
    }

    /// Whether host writes are answered here now.
    pub fn writable(&self) -> bool {
        *self.shared().gate.borrow() == Gate::Primary
    }

    fn extent(&self, offset: u64, length: u64) -> Result<Extent> {
        check_range(offset, length, self.size())?;
        Ok(Extent { volume: self.id, offset, length })
    }

    /// Reads `length` bytes at `offset`.
    ///
    /// A read at the leading site may show a write that is not answered yet. While the lease is
    /// not valid it waits.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] beyond the end; [`ErrorKind::Refused`] where the volume is not
    /// consistent; [`ErrorKind::Closed`] when the site stops.
    pub async fn read_at(&self, offset: u64, length: usize) -> Result<Bytes> {
        let extent = self.extent(offset, length as u64)?;
        let shared = self.shared();
        loop {
            let now = shared.gate.borrow().clone();
            let data = match now {
                Gate::Primary if !shared.lease_valid() => {
                    self.lease_or_change().await?;
                    continue;
                }
                Gate::Primary => shared.read_newest(extent).await?,
                Gate::Secondary(_) => shared.read_restored(extent).await?,
                Gate::Owing(_) => {
                    return Err(Error::refused(format!(
                        "read volume {}: site {} is still being filled, its volumes are not \
                         consistent",
                        self.name, shared.site
                    )));
                }
                Gate::Closed(why) => return Err(Error::closed(why.to_string())),
            };
            // Checked again right before the answer leaves: what was read under a lease that ran
            // out meanwhile may be old.
            let same = *shared.gate.borrow() == now;
            if same && (now != Gate::Primary || shared.lease_valid()) {
                add(&shared.totals.reads, 1);
                add(&shared.totals.read_bytes, extent.length);
                return Ok(data);
            }
        }
    }

    /// Waits until the gate changes or the lease may be valid again. Status moves all the time,
    /// so it serves as the clock: no timer, hence no particular runtime, is needed.
    async fn lease_or_change(&self) -> Result<()> {
        let mut gate = self.shared().gate.subscribe();
        if *gate.borrow_and_update() != Gate::Primary {
            return Ok(());
        }
        let mut status = self.group.watch();
        let changed = std::pin::pin!(gate.changed());
        let tick = std::pin::pin!(status.changed());
        match futures_util::future::select(changed, tick).await {
            futures_util::future::Either::Left((changed, _)) => {
                changed.map_err(|_| Error::closed("read volume: the site stopped"))
            }
            futures_util::future::Either::Right((ticked, _)) => ticked.map(drop),
        }
    }

    /// Writes `data` at `offset`; returns the number of its (last) update. Once this call has been
    /// polled far enough to be admitted, dropping it does not undo the write.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] beyond the end or for no bytes; [`ErrorKind::Fenced`] where this
    /// site does not lead, or ceased to: then the outcome is unknown.
    pub async fn write_at(&self, offset: u64, data: Bytes) -> Result<UpdateNumber> {
        let length = data.len() as u64;
        self.change(offset, Content::Data(data), length).await
    }

    /// Makes `length` bytes at `offset` read as zeroes; one update, however long.
    ///
    /// # Errors
    /// As [`Volume::write_at`].
    pub async fn write_zeroes(&self, offset: u64, length: u64) -> Result<UpdateNumber> {
        self.change(offset, Content::Zero(length), 512).await
    }

    async fn change(&self, offset: u64, content: Content, cost: u64) -> Result<UpdateNumber> {
        let length = content.length();
        self.extent(offset, length)?;
        if length == 0 {
            return Err(Error::invalid("write zero bytes: nothing to do"));
        }
        let cost = cost + HEADER_BYTES as u64 * (1 + cost / PAYLOAD_BYTES_MAX as u64);
        self.check_fits(cost)?;
        let permit = self.permit(cost).await?;
        let (reply, answer) = oneshot::channel();
        let change = Change { volume: self.id, offset, content };
        let waiter = Waiter { reply, permit: Some(permit), bytes: length, cost };
        self.shared().inbox.hand(HostWrite { change, waiter }, &self.group.volume)?;
        answer.await.map_err(|_| Error::closed("write volume: the site is stopping"))?
    }

    /// A write that the journal could never hold beside anything else is refused, not kept waiting.
    fn check_fits(&self, cost: u64) -> Result<()> {
        let capacity = self.group.status().journal_capacity_bytes;
        if capacity == 0 || cost <= capacity / 4 {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "write volume {}: {cost} bytes at once are more than a quarter of the journal, which \
             holds {capacity}; write in smaller pieces, or give the journal more",
            self.name
        )))
    }

    /// Bytes of the window; a write longer than the window takes all of it.
    async fn permit(&self, bytes: u64) -> Result<OwnedSemaphorePermit> {
        let shared = self.shared();
        {
            let gate = shared.gate.borrow();
            if *gate != Gate::Primary {
                add(&shared.totals.errors, 1);
                return Err(refusal(&gate));
            }
        }
        let bytes = bytes.min(shared.config.limits.window_bytes);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let closed = |_| Error::closed("write volume: the site is stopping");
        shared.window.clone().acquire_many_owned(bytes).await.map_err(closed)
    }

    /// Waits until everything answered before is durable at every in-sync site.
    ///
    /// # Errors
    /// As [`Volume::write_at`].
    pub async fn flush(&self) -> Result<UpdateNumber> {
        let permit = self.permit(1).await?;
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter { reply, permit: Some(permit), bytes: 0, cost: 0 };
        hand(&self.group.volume, HostFlush { waiter })?;
        answer.await.map_err(|_| Error::closed("flush volume: the site is stopping"))?
    }

    /// Which parts of a range may hold other bytes than zeroes: consecutive (length, allocated).
    ///
    /// # Errors
    /// As [`Volume::read_at`].
    pub async fn allocated(&self, offset: u64, length: u64) -> Result<Vec<(u64, bool)>> {
        let extent = self.extent(offset, length)?;
        let shared = self.shared();
        let gate = shared.gate.borrow().clone();
        if let Gate::Owing(_) | Gate::Closed(_) = gate {
            return Err(Error::refused(format!("read volume {}: it is not consistent", self.name)));
        }
        let overlay: Vec<(u64, u64, bool)> = match gate {
            Gate::Primary => shared.overlay.read().covered(extent).collect(),
            _ => Vec::new(),
        };
        let mut map = crate::extent_map::ExtentMap::new(extent.offset, extent.end());
        let store = shared.store(&extent)?;
        let mut at = extent.offset;
        while let Some(found) = store.allocated_from(at).await?.filter(|f| f.offset < extent.end())
        {
            map.set(found.offset, found.end(), true);
            at = found.end();
        }
        for (start, end, zero) in overlay {
            map.set(start, end, !zero);
        }
        Ok(map.runs())
    }

    /// Waits until `update` has come to `point` at `site`; see [`Group::wait_for`].
    ///
    /// # Errors
    /// As [`Group::wait_for`].
    pub async fn wait_for(
        &self,
        update: UpdateNumber,
        site: &SiteName,
        point: Point,
    ) -> Result<()> {
        self.group.wait_for(update, site, point).await
    }
}
