//! The volumes of a group that are open at a site, and how they become others.

use crate::parts::GroupParts;
use crate::shared::Shared;
use std::sync::Arc;
use trefoil_core::model::{Extent, UpdateNumber, VolumeSets, VolumeSpec};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_core::{Error, ErrorKind, Result};

/// Opens the block stores of volumes that come while a group lives. May block.
pub trait VolumeOpener: Send + Sync {
    /// The blocks of that volume, which are created if they are not there.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if they are there with another size; what the place says.
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
    pub specs: Vec<VolumeSpec>,
    pub stores: Vec<Option<Arc<dyn BlockStore>>>,
    /// The update since which they are so.
    pub since: UpdateNumber,
}

impl OpenVolumes {
    /// Those that are given.
    pub fn given(specs: Vec<VolumeSpec>, stores: Vec<Arc<dyn BlockStore>>) -> Self {
        let stores = stores.into_iter().map(Some).collect();
        Self { specs, stores, since: UpdateNumber::ZERO }
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

    /// The sizes, by index.
    pub fn sizes(&self) -> Vec<u64> {
        self.specs.iter().map(|volume| volume.size).collect()
    }
}

/// Opens what a site had open when it ended: each volume by whichever of its sizes the files still
/// have, and grown to what it is now. What was added after `checkpoint` may hold anything, and is
/// replayed from zeroes.
///
/// # Errors
/// What the stores say.
pub(crate) async fn reopen(
    opener: &dyn VolumeOpener,
    sets: &VolumeSets,
    checkpoint: UpdateNumber,
) -> Result<OpenVolumes> {
    let (specs, before) = (sets.current().to_vec(), sets.at(checkpoint).len());
    let mut stores = Vec::with_capacity(specs.len());
    for (index, volume) in specs.iter().enumerate() {
        if volume.is_removed() {
            stores.push(None);
            continue;
        }
        let store = open_at_any(opener, volume, &sets.sizes_of(index, checkpoint))?;
        store.grow(volume.size).await?;
        if index >= before {
            zero(&store, volume.size).await?;
        }
        stores.push(Some(store));
    }
    Ok(OpenVolumes { specs, stores, since: sets.since(UpdateNumber::MAX) })
}

/// Opens a volume by the first of its sizes that its place agrees to.
fn open_at_any(
    opener: &dyn VolumeOpener,
    volume: &VolumeSpec,
    sizes: &[u64],
) -> Result<Arc<dyn BlockStore>> {
    let mut refused = None;
    for size in sizes {
        match opener.open(&VolumeSpec { name: volume.name.clone(), size: *size }) {
            Ok(store) => return Ok(store),
            Err(error) if error.kind() == ErrorKind::Invalid => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| {
        Error::invalid(format!("open volume {}: it never had a size", volume.name))
    }))
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
    let next = OpenVolumes { specs: wanted.to_vec(), stores, since };
    let whole = shared.restoring.write().await;
    shared.set_volumes(next);
    drop(whole);
    Ok(())
}

async fn zero(store: &Arc<dyn BlockStore>, length: u64) -> Result<()> {
    store.write(vec![BlockWrite { offset: 0, content: Content::Zero(length) }]).await?;
    store.sync().await
}
