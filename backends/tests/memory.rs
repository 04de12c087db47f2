//! The memory backend keeps its contracts.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

#[path = "benches/memory.rs"]
mod bench;

use bench::{Memory, MemoryBlocks};
use trefoil_backends::memory::{MemoryDisk, MemoryStore};
use trefoil_core::ErrorKind;
use trefoil_core::conformance::{block_store, journal_store};
use trefoil_core::model::VolumeName;
use trefoil_core::port::{BlockStore, BlockWrite, Content};

#[tokio::test]
async fn the_memory_store_keeps_every_claim() {
    block_store::prove_all(&mut MemoryBlocks::default()).await.unwrap();
}

#[tokio::test]
async fn the_memory_journal_keeps_every_claim() {
    journal_store::prove_all(&mut Memory::default()).await.unwrap();
}

#[test]
fn a_second_handle_is_refused_until_the_first_is_dropped() {
    let disk = MemoryDisk::new(1 << 20);
    let name = VolumeName::new("v").unwrap();
    let (journal, volume) = (disk.journal().unwrap(), disk.volume(&name, 4096).unwrap());
    assert_eq!(disk.journal().unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(disk.volume(&name, 4096).unwrap_err().kind(), ErrorKind::Refused);
    drop((journal, volume));
    assert!(disk.journal().is_ok());
    assert_eq!(disk.volume(&name, 8192).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(disk.volume(&name, 4096).is_ok());
}

#[tokio::test]
async fn a_volume_of_a_tebibyte_costs_only_what_is_written() {
    let store = MemoryStore::new(1 << 40);
    let far = (1_u64 << 40) - 512;
    let write = BlockWrite { offset: far, content: Content::Data(vec![7; 512].into()) };
    store.write(vec![write]).await.unwrap();
    store
        .write(vec![BlockWrite { offset: 0, content: Content::Zero((1 << 40) - 512) }])
        .await
        .unwrap();
    let found = store.allocated_from(0).await.unwrap().unwrap();
    assert!(found.offset <= far && found.end() == 1 << 40 && found.length <= 1 << 16);
    assert!(store.allocated_from(1 << 40).await.unwrap().is_none());
}
