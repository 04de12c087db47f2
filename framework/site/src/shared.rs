//! What handles and actors of one group share: what a host I/O needs without passing a mailbox.

use crate::actor::Inbox;
use crate::clock::Clock;
use crate::courier::Linked;
use crate::parts::GroupConfig;
use crate::status::{GroupStatus, Totals};
use crate::volumes::{OpenVolumes, VolumeOpener};
use crate::wan::Lane;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Semaphore, watch};
use trefoil_core::engine::overlay::Overlay;
use trefoil_core::model::{Extent, SiteName, VolumeSpec};
use trefoil_core::port::BlockStore;
use trefoil_core::topology::Topology;
use trefoil_core::{Error, Result};

/// Whether host I/O is answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// This site leads; the lease decides the rest.
    Primary,
    /// Another site leads, if any is known; reads are answered as of the restored position.
    Secondary(Option<SiteName>),
    /// In debt, or blank over volumes that hold data: nothing here is consistent.
    Owing(Option<SiteName>),
    /// Nothing is answered any more, for this reason.
    Closed(Arc<str>),
}

/// What handles and actors of one group share.
pub(crate) struct Shared {
    pub site: SiteName,
    pub config: GroupConfig,
    /// The volumes that are open; replaced whole.
    pub open: RwLock<Arc<OpenVolumes>>,
    /// Opens what is added; `None` where the stores were given.
    pub opener: Option<Arc<dyn VolumeOpener>>,
    pub clock: Arc<dyn Clock>,
    pub overlay: RwLock<Overlay>,
    pub gate: watch::Sender<Gate>,
    pub lease_until: AtomicU64,
    /// Bytes of host writes that may be in flight.
    pub window: Arc<Semaphore>,
    /// Host writes on their way to the volume actor.
    pub inbox: Inbox,
    pub status: watch::Sender<Arc<GroupStatus>>,
    /// Held for writing while a batch goes to the block stores: a secondary's reader sees whole
    /// batches only.
    pub restoring: tokio::sync::RwLock<()>,
    pub totals: Counters,
    /// The layout; it may be changed as to who reads from whom.
    pub topology: RwLock<Arc<dyn Topology>>,
    /// The data lanes to the other sites.
    pub lanes: BTreeMap<SiteName, Arc<Lane>>,
    /// Which links are up.
    pub linked: Arc<Linked>,
    /// Whether long computations go to threads of their own; else everything happens where the
    /// site was started, in an order that is the same in every run.
    pub threads: bool,
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// The totals, counted from any thread.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64,)* }

        impl Counters {
            /// The totals now.
            pub fn read(&self) -> Totals {
                Totals { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters!(
    writes,
    write_bytes,
    reads,
    read_bytes,
    flushes,
    errors,
    appended_updates,
    appended_bytes,
    journal_syncs,
    restored_updates,
    restored_batches,
    coalesced_updates,
    trimmed_bytes,
    shipped_updates,
    shipped_bytes,
    copied_bytes,
    compared_bytes,
    reconnects,
    stale_refused,
    takeovers,
    automatic_takeovers,
);

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Shared {
    /// Whether the lease lets this site answer now.
    pub fn lease_valid(&self) -> bool {
        self.clock.now_us() < self.lease_until.load(Ordering::Acquire)
    }

    /// The data lane to a site; one that nobody configured is as it comes.
    pub fn lane(&self, site: &SiteName) -> Arc<Lane> {
        self.lanes.get(site).cloned().unwrap_or_default()
    }

    /// The volumes that are open now.
    pub fn volumes(&self) -> Arc<OpenVolumes> {
        self.open.read().clone()
    }

    /// These are open from now on.
    pub fn set_volumes(&self, volumes: OpenVolumes) {
        *self.open.write() = Arc::new(volumes);
    }

    /// Opens a volume that is added.
    pub fn open_volume(&self, volume: &VolumeSpec) -> Result<Arc<dyn BlockStore>> {
        let given = || {
            let (site, name) = (&self.site, &volume.name);
            Error::refused(format!(
                "open volume {name}: site {site} was given its block stores, and opens no others"
            ))
        };
        self.opener.as_ref().ok_or_else(given)?.open(volume)
    }

    /// The block store of a volume.
    pub fn store(&self, extent: &Extent) -> Result<Arc<dyn BlockStore>> {
        self.open.read().store(extent).cloned()
    }

    /// The newest content of `extent`: overlay first, then the store for what it does not know. A
    /// piece leaves the overlay only when the store has it, so in this order nothing is missed.
    pub async fn read_newest(&self, extent: Extent) -> Result<Bytes> {
        let known = self.overlay.read().read(extent);
        self.fill(extent, known).await
    }

    /// What `known` leaves open, from the store.
    pub async fn fill(
        &self,
        extent: Extent,
        known: trefoil_core::engine::overlay::OverlayRead,
    ) -> Result<Bytes> {
        let store = self.store(&extent)?;
        let mut found = Vec::with_capacity(known.holes.len());
        for (offset, length) in &known.holes {
            let length = usize::try_from(*length).unwrap_or(usize::MAX);
            found.push(store.read(*offset, length).await?);
        }
        known.assemble(found)
    }

    /// The content of `extent` as of the restored position.
    pub async fn read_restored(&self, extent: Extent) -> Result<Bytes> {
        let _whole = self.restoring.read().await;
        let length = usize::try_from(extent.length).unwrap_or(usize::MAX);
        self.store(&extent)?.read(extent.offset, length).await
    }

    /// Does `work`, a computation of a millisecond or more, on a thread of its own where there are
    /// any, so that the group's hosts need not wait for it.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if !self.threads {
            return Ok(work());
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| Error::closed("compute aside: the site is stopping"))
    }

    /// Ends all host I/O, for this reason.
    pub fn close(&self, why: &str) {
        self.gate.send_replace(Gate::Closed(why.into()));
    }
}
