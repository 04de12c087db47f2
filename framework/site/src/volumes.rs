//! The volumes of a group that are open at a site, and how they become others.

mod reopen;

pub(crate) use self::reopen::reopen;

use crate::parts::GroupParts;
use crate::shared::Shared;
use futures_util::{TryStreamExt, stream};
use std::sync::Arc;
use trefoil_core::model::{Extent, UpdateNumber, VolumeId, VolumeSpec};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_core::{Error, Result};

/// So many volumes are synced at once: the disk is flushed for all of them together, and other work
/// still finds a thread that does file I/O.
const SYNCED_AT_ONCE: usize = 3;

/// Opens the block stores of volumes that come while a group lives. May block.
pub trait VolumeOpener: Send + Sync {
    /// The blocks of that volume, which are created if they are not there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) if they are there with another
    /// size; what the place says.
    fn open(&self, volume: &VolumeSpec) -> Result<Arc<dyn BlockStore>>;
}

/// A group on its way: what it is made of, and who opens its volumes, if they are not given.
pub(crate) struct GroupToOpen {
    pub parts: GroupParts,
    pub opener: Option<Arc<dyn VolumeOpener>>,
}

/// The volumes that are open.
#[derive(Clone)]
pub(crate) struct OpenVolumes {
    /// By index; one that was removed has no bytes, and no store.
    pub specs: Arc<[VolumeSpec]>,
    pub stores: Vec<Option<Arc<dyn BlockStore>>>,
    /// The update since which they are so.
    pub since: UpdateNumber,
}

impl OpenVolumes {
    /// Those that are given.
    pub fn given(specs: Vec<VolumeSpec>, stores: Vec<Arc<dyn BlockStore>>) -> Self {
        let stores = stores.into_iter().map(Some).collect();
        Self { specs: specs.into(), stores, since: UpdateNumber::ZERO }
    }

    /// The store of a volume.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there is no such volume, or none any more.
    pub fn store(&self, extent: &Extent) -> Result<&Arc<dyn BlockStore>> {
        let found = self.stores.get(extent.volume.0 as usize).and_then(Option::as_ref);
        found.ok_or_else(|| {
            Error::invalid(format!("access volume {}: no such volume", extent.volume))
        })
    }

    /// The size of the volume of that index; 0 where there is none, or none any more.
    pub fn size_of(&self, index: u32) -> u64 {
        self.specs.get(index as usize).map_or(0, |volume| volume.size)
    }

    /// Whether the volume of that index was removed.
    pub fn is_removed(&self, index: u32) -> bool {
        self.specs.get(index as usize).is_some_and(VolumeSpec::is_removed)
    }

    /// The stores that there are.
    pub fn stores(&self) -> impl Iterator<Item = &Arc<dyn BlockStore>> {
        self.stores.iter().flatten()
    }

    /// Makes durable what was written to those of `volumes` that are open.
    ///
    /// # Errors
    /// What the first store says that fails.
    pub async fn sync(&self, volumes: impl IntoIterator<Item = VolumeId>) -> Result<()> {
        let open = |volume: VolumeId| self.stores.get(volume.0 as usize).cloned().flatten();
        let stores = volumes.into_iter().filter_map(open).map(Ok);
        let sync = |store: Arc<dyn BlockStore>| async move { store.sync().await };
        stream::iter(stores).try_for_each_concurrent(SYNCED_AT_ONCE, sync).await
    }

    /// All that have an index.
    pub fn ids(&self) -> impl Iterator<Item = VolumeId> + use<> {
        (0..self.stores.len() as u32).map(VolumeId)
    }

    /// The sizes, by index.
    pub fn sizes(&self) -> Vec<u64> {
        self.specs.iter().map(|volume| volume.size).collect()
    }
}

/// Makes the open volumes `wanted`, as of `since`: grows, adds and closes. Nothing is changed for
/// readers until all of it is done; may be run again after it failed half way.
///
/// # Errors
/// What the stores say: no room, or a store that cannot grow.
pub(crate) async fn become_these(
    shared: &Shared,
    wanted: &[VolumeSpec],
    since: UpdateNumber,
) -> Result<()> {
    let open = shared.volumes();
    let mut stores = Vec::with_capacity(wanted.len());
    for (index, volume) in wanted.iter().enumerate() {
        let was = open.specs.get(index).filter(|was| was.name == volume.name);
        let store = open.stores.get(index).cloned().flatten().filter(|_| was.is_some());
        let store = match store {
            _ if volume.is_removed() => None,
            Some(store) => {
                store.grow(volume.size).await?;
                Some(store)
            }
            None => {
                let store = shared.open_volume(volume)?;
                store.grow(volume.size).await?;
                // One that was there before and comes back with its branch keeps its content.
                if was.is_none() {
                    zero(&store, volume.size).await?;
                }
                Some(store)
            }
        };
        stores.push(store);
    }
    let next = OpenVolumes { specs: wanted.into(), stores, since };
    let whole = shared.restoring.write().await;
    shared.set_volumes(next);
    drop(whole);
    Ok(())
}

async fn zero(store: &Arc<dyn BlockStore>, length: u64) -> Result<()> {
    store.write(vec![BlockWrite { offset: 0, content: Content::Zero(length) }]).await?;
    store.sync().await
}
