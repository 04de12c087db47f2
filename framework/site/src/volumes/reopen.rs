//! Opening the volumes that a site had open when it ended, several at once.

use super::{OpenVolumes, VolumeOpener, zero};
use std::sync::Arc;
use trefoil_core::model::{UpdateNumber, VolumeSets, VolumeSpec};
use trefoil_core::port::BlockStore;
use trefoil_core::{Error, ErrorKind, Result};

/// So many volumes are opened at once: a new one waits for the disk, and all that wait together
/// wait for it once.
const OPENED_AT_ONCE: usize = 16;

type Store = Option<Arc<dyn BlockStore>>;

/// Opens what a site had open when it ended: each volume by whichever of its sizes the files still
/// have, and grown to what it is now. What was added after `checkpoint` may hold anything, and is
/// replayed from zeroes. Where there are `threads`, many are opened at once.
///
/// # Errors
/// What the stores say.
pub(crate) async fn reopen(
    opener: &dyn VolumeOpener,
    sets: &VolumeSets,
    checkpoint: UpdateNumber,
    threads: bool,
) -> Result<OpenVolumes> {
    let (specs, before) = (sets.current().to_vec(), sets.at(checkpoint).len());
    let open = |index: usize, volume: &VolumeSpec| -> Result<Store> {
        if volume.is_removed() {
            return Ok(None);
        }
        open_at_any(opener, volume, &sets.sizes_of(index, checkpoint)).map(Some)
    };
    let stores = match threads && specs.len() > 1 {
        true => open_side_by_side(&specs, &open)?,
        false => specs.iter().enumerate().map(|(i, spec)| open(i, spec)).collect::<Result<_>>()?,
    };
    for (index, (volume, store)) in specs.iter().zip(&stores).enumerate() {
        let Some(store) = store else { continue };
        if store.size() < volume.size {
            store.grow(volume.size).await?;
        }
        if index >= before {
            zero(store, volume.size).await?;
        }
    }
    Ok(OpenVolumes { specs: specs.into(), stores, since: sets.since(UpdateNumber::MAX) })
}

/// Opens all of `specs` on some threads, each a row of neighbours; in the order of their indices.
fn open_side_by_side(
    specs: &[VolumeSpec],
    open: &(dyn Fn(usize, &VolumeSpec) -> Result<Store> + Sync),
) -> Result<Vec<Store>> {
    let row = specs.len().div_ceil(OPENED_AT_ONCE);
    let failed = |source| Error::io("open volumes: start a thread", source);
    std::thread::scope(|scope| {
        let rows = specs.chunks(row).enumerate().map(|(at, specs)| {
            let all = move || {
                let specs = specs.iter().enumerate();
                specs.map(|(i, spec)| open(at * row + i, spec)).collect::<Result<Vec<Store>>>()
            };
            std::thread::Builder::new().name("trefoil-open".into()).spawn_scoped(scope, all)
        });
        // All are started before the first is waited for.
        let rows: Vec<_> = rows.collect();
        let mut stores = Vec::with_capacity(specs.len());
        for row in rows {
            let opened = row.map_err(failed)?.join();
            let died = |_| Error::closed("open volumes: a thread that opened them died");
            stores.extend(opened.map_err(died)??);
        }
        Ok(stores)
    })
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

#[cfg(test)]
#[path = "reopen_tests.rs"]
mod tests;
