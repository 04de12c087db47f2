//! The file backend keeps its contracts.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

#[path = "benches/file.rs"]
mod bench;
#[path = "benches/direct.rs"]
mod direct;

use bench::Files;
use trefoil_backends::file::{FileJournal, FileStore, Medium};
use trefoil_core::ErrorKind;
use trefoil_core::conformance::{block_store, journal_store};
use trefoil_core::model::{GroupName, SiteName, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};

const CAPACITY: u64 = 8 << 20;

fn names(group: &str, site: &str) -> (GroupName, SiteName) {
    (GroupName::new(group).unwrap(), SiteName::new(site).unwrap())
}

#[tokio::test]
async fn the_file_store_keeps_every_claim() {
    block_store::prove_all(&mut Files::default()).await.unwrap();
}

#[tokio::test]
async fn the_file_journal_keeps_every_claim() {
    journal_store::prove_all(&mut Files::default()).await.unwrap();
}

#[tokio::test]
async fn a_journal_past_the_page_cache_keeps_every_claim() {
    journal_store::prove_all(&mut direct::Direct::default()).await.unwrap();
}

#[tokio::test]
async fn a_journal_past_the_page_cache_says_so_or_is_cached_where_that_is_impossible() {
    let (group, site) = names("g", "a");
    let describe = |dir: &std::path::Path| {
        let names = (&group, &site);
        FileJournal::open_with(dir, names, CAPACITY, Medium::Direct).unwrap().describe()
    };
    let dir = tempfile::tempdir().unwrap();
    let text = describe(dir.path());
    assert!(
        text.starts_with("direct file journal ") || text.starts_with("file journal "),
        "{text}"
    );
    assert!(!dir.path().join("g/probe").exists());
}

#[tokio::test]
async fn a_journal_is_open_once_and_only_under_its_own_names() {
    let dir = tempfile::tempdir().unwrap();
    let (group, site) = names("g", "a");
    let mut journal = FileJournal::open(dir.path(), &group, &site, CAPACITY).unwrap();
    journal.recover().await.unwrap();
    let second = FileJournal::open(dir.path(), &group, &site, CAPACITY).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Refused);
    assert!(second.to_string().contains("open in another process"), "{second}");
    drop(journal);
    let (_, other) = names("g", "b");
    let error = FileJournal::open(dir.path(), &group, &other, CAPACITY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("site a, not to group g at site b"), "{error}");
    let (elsewhere, _) = names("h", "a");
    std::fs::rename(dir.path().join("g"), dir.path().join("h")).unwrap();
    let error = FileJournal::open(dir.path(), &elsewhere, &site, CAPACITY).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("group g at site a"), "{error}");
}

#[test]
fn a_capacity_below_four_segments_is_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let (group, site) = names("g", "a");
    let error = FileJournal::open(dir.path(), &group, &site, CAPACITY - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_volume_of_another_size_is_invalid_and_a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (group, volume) = (GroupName::new("g").unwrap(), VolumeName::new("v").unwrap());
    let store = FileStore::open(dir.path(), &group, &volume, 1 << 20).unwrap();
    let second = FileStore::open(dir.path(), &group, &volume, 1 << 20).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Refused);
    drop(store);
    for size in [1 << 19, 1 << 21] {
        let error = FileStore::open(dir.path(), &group, &volume, size).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains("1048576") && text.contains(&size.to_string()), "{text}");
        assert!(text.contains("g.v.img"), "{text}");
    }
}

#[tokio::test]
async fn zeroes_give_the_disk_its_room_back() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let (group, volume) = (GroupName::new("g").unwrap(), VolumeName::new("v").unwrap());
    let store = FileStore::open(dir.path(), &group, &volume, 1 << 40).unwrap();
    let data = Content::Data(vec![5; 1 << 20].into());
    store.write(vec![BlockWrite { offset: 1 << 30, content: data }]).await.unwrap();
    store.sync().await.unwrap();
    let blocks = || dir.path().join("g.v.img").metadata().unwrap().blocks();
    assert!(blocks() >= 2048);
    let found = store.allocated_from(0).await.unwrap().unwrap();
    assert_eq!((found.offset, found.length), (1 << 30, 1 << 20));
    let zero = BlockWrite { offset: 0, content: Content::Zero(1 << 40) };
    store.write(vec![zero]).await.unwrap();
    assert!(blocks() < 64, "{} blocks are left", blocks());
    assert_eq!(store.allocated_from(0).await.unwrap(), None);
}

#[tokio::test]
async fn neighbours_of_any_length_are_written_whole_however_they_are_cut_into_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (group, volume) = (GroupName::new("g").unwrap(), VolumeName::new("v").unwrap());
    let store = FileStore::open(dir.path(), &group, &volume, 1 << 20).unwrap();
    let (mut at, mut batch, mut whole) = (4096, Vec::new(), vec![0; 1 << 20]);
    for (of, length) in (1_u8..).zip([4096, 61440, 512, 65536, 65535, 200_000, 1, 70_000]) {
        let bytes: Vec<u8> = (0..length).map(|i| of ^ (i % 251) as u8).collect();
        whole[at..at + length].copy_from_slice(&bytes);
        let content = Content::Data(bytes.into());
        batch.push(BlockWrite { offset: at as u64, content });
        at += length;
    }
    store.write(batch).await.unwrap();
    assert!(store.read(0, 1 << 20).await.unwrap() == whole, "another byte was read");
}
