//! Volumes are opened side by side, and are in their places then.

use super::*;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::thread::ThreadId;
use trefoil_backends::memory::MemoryStore;
use trefoil_core::model::VolumeName;

/// Opens volumes of memory, and remembers by which threads.
#[derive(Default)]
struct Watched {
    by: Mutex<BTreeSet<String>>,
    refuses: Option<VolumeName>,
}

impl VolumeOpener for Watched {
    fn open(&self, volume: &VolumeSpec) -> Result<Arc<dyn BlockStore>> {
        let id: ThreadId = std::thread::current().id();
        self.by.lock().insert(format!("{id:?}"));
        if self.refuses.as_ref() == Some(&volume.name) {
            return Err(Error::refused("open it: somebody else has it"));
        }
        Ok(Arc::new(MemoryStore::new(volume.size)))
    }
}

fn sets(count: u64) -> VolumeSets {
    let specs = (0..count).map(|n| VolumeSpec {
        name: VolumeName::new(&format!("v{n}")).unwrap(),
        size: 512 * (n + 1),
    });
    VolumeSets::of(specs.collect())
}

fn reopened(opener: &Watched, count: u64, threads: bool) -> Result<OpenVolumes> {
    futures_executor::block_on(reopen(opener, &sets(count), UpdateNumber::ZERO, threads))
}

#[test]
fn a_thousand_volumes_are_opened_by_many_threads_and_lie_in_order() {
    for count in [1, 2, 15, 16, 17, 1000] {
        let opener = Watched::default();
        let open = reopened(&opener, count, true).unwrap();
        let sizes: Vec<u64> = open.stores().map(|store| store.size()).collect();
        assert_eq!(sizes, open.sizes());
        let threads = opener.by.lock().len() as u64;
        assert!(threads >= count.min(8) && threads <= OPENED_AT_ONCE as u64, "{threads} threads");
    }
}

#[test]
fn where_there_are_no_threads_none_is_started() {
    let opener = Watched::default();
    reopened(&opener, 100, false).unwrap();
    let own = format!("{:?}", std::thread::current().id());
    assert_eq!(*opener.by.lock(), BTreeSet::from([own]));
}

#[test]
fn one_that_cannot_be_opened_is_told() {
    let refuses = Some(VolumeName::new("v77").unwrap());
    let opener = Watched { refuses, ..Watched::default() };
    let error = reopened(&opener, 100, true).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Refused);
}
