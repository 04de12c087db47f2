//! The store that writes by io_uring keeps its contract, and says when it cannot be used.
#![cfg(feature = "uring")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use trefoil_backends::uring::open_store;
use trefoil_core::conformance::block_store::{self, BlockStoreBench};
use trefoil_core::model::{GroupName, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content};
use trefoil_core::{ErrorKind, Result};

#[derive(Default)]
struct Rings(Option<TempDir>, u64);

fn open(dir: &Path, size: u64) -> Result<Arc<dyn BlockStore>> {
    open_store(dir, &GroupName::new("g")?, &VolumeName::new("v")?, size)
}

#[async_trait]
impl BlockStoreBench for Rings {
    async fn fresh(&mut self, size: u64) -> Result<Arc<dyn BlockStore>> {
        self.1 = size;
        open(self.0.insert(tempfile::tempdir().unwrap()).path(), size)
    }

    async fn reopen(&mut self) -> Result<Option<Arc<dyn BlockStore>>> {
        open(self.0.as_ref().unwrap().path(), self.1).map(Some)
    }
}

#[tokio::test]
async fn the_ring_store_keeps_every_claim() {
    block_store::prove_all(&mut Rings::default()).await.unwrap();
}

/// A sorted batch: whole blocks in runs of several lengths, some odd writes, some zeroes.
fn batch(round: u64, size: u64) -> Vec<BlockWrite> {
    let mut at = round * 4096 % 50_000 / 4096 * 4096;
    let mut batch = Vec::new();
    for i in 0.. {
        let blocks = 1 + (round * 7 + i * 5) % 70;
        let (offset, length) = match i % 6 {
            4 => (at + 17, blocks * 100),
            _ => (at, blocks * 4096),
        };
        if at + blocks * 4096 + 4096 > size {
            break;
        }
        let content = match i % 6 {
            5 => Content::Zero(length),
            _ => Content::Data(vec![(round * 31 + i) as u8 | 1; length as usize].into()),
        };
        batch.push(BlockWrite { offset, content });
        at += (blocks + i % 3) * 4096;
    }
    batch
}

#[tokio::test]
async fn large_batches_are_read_back_from_the_ring_and_from_the_file() {
    const SIZE: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SIZE).unwrap();
    let mut model = vec![0; SIZE as usize];
    for round in 0..30 {
        let batch = batch(round, SIZE);
        assert!(batch.len() > 32, "the ring has to turn");
        for write in &batch {
            let end = (write.offset + write.content.length()) as usize;
            let part = &mut model[write.offset as usize..end];
            match &write.content {
                Content::Data(data) => part.copy_from_slice(data),
                Content::Zero(_) => part.fill(0),
            }
        }
        store.write(batch).await.unwrap();
        assert!(store.read(0, SIZE as usize).await.unwrap() == model, "round {round}");
    }
    store.sync().await.unwrap();
    drop(store);
    assert!(std::fs::read(dir.path().join("g.v.img")).unwrap() == model);
}

#[tokio::test]
async fn batches_of_several_tasks_at_once_all_arrive() {
    const SIZE: u64 = 16 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SIZE).unwrap();
    let write = |task: u64| {
        let store = store.clone();
        let part = SIZE / 8;
        let block = move |i| BlockWrite {
            offset: task * part + i * 8192,
            content: Content::Data(vec![task as u8 + 1; 4096].into()),
        };
        tokio::spawn(async move { store.write((0..part / 8192).map(block).collect()).await })
    };
    let tasks: Vec<_> = (0..8).map(write).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let bytes = store.read(0, SIZE as usize).await.unwrap();
    for (at, block) in bytes.chunks(4096).enumerate() {
        let expected = if at % 2 == 0 { (at / 512) as u8 + 1 } else { 0 };
        assert!(block.iter().all(|byte| *byte == expected), "block {at}");
    }
}

#[tokio::test]
async fn it_says_that_it_is_used_and_a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1 << 20).unwrap();
    assert!(store.describe().ends_with("g.v.img (io_uring)"), "{}", store.describe());
    let second = open(dir.path(), 1 << 20).map(|_| ()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Refused);
}
