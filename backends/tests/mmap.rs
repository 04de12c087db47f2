//! The mmap backend keeps its contracts, and shares its files with the file backend.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

#[path = "benches/mmap.rs"]
mod bench;

use bench::Mapped;
use bytes::Bytes;
use std::fs::File;
use std::path::Path;
use trefoil_backends::file::{FileJournal, FileStore, Medium};
use trefoil_backends::mmap::MmapStore;
use trefoil_core::ErrorKind;
use trefoil_core::conformance::{block_store, journal_store};
use trefoil_core::model::{GroupName, Position, SiteName, VolumeId, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};
use trefoil_core::record::Record;

const CAPACITY: u64 = 8 << 20;
const SIZE: u64 = 4 << 20;

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

fn volume() -> VolumeName {
    VolumeName::new("v").unwrap()
}

fn open_journal(dir: &Path, medium: Medium) -> FileJournal {
    let site = SiteName::new("a").unwrap();
    FileJournal::open_with(dir, (&group(), &site), CAPACITY, medium).unwrap()
}

fn open_store(dir: &Path) -> MmapStore {
    MmapStore::open(dir, &group(), &volume(), SIZE).unwrap()
}

fn data(offset: u64, byte: u8, length: usize) -> Vec<BlockWrite> {
    vec![BlockWrite { offset, content: Content::Data(vec![byte; length].into()) }]
}

fn records(before: Position, count: u64, bytes: usize) -> Vec<Record> {
    let mut last = before;
    let make = |i| {
        let payload = Bytes::from(vec![i as u8 + 1; bytes]);
        let record = Record::write(&last, i, VolumeId(0), i * 512, payload).unwrap();
        last = record.position();
        record
    };
    (0..count).map(make).collect()
}

#[tokio::test]
async fn the_mmap_store_keeps_every_claim() {
    block_store::prove_all(&mut Mapped::default()).await.unwrap();
}

#[tokio::test]
async fn the_mmap_journal_keeps_every_claim() {
    journal_store::prove_all(&mut Mapped::default()).await.unwrap();
}

#[tokio::test]
async fn a_volume_is_changed_from_file_to_mmap_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = || FileStore::open(dir.path(), &group(), &volume(), SIZE).unwrap();
    let store = file();
    store.write(data(1 << 20, 5, 10_000)).await.unwrap();
    drop(store);
    let store = open_store(dir.path());
    assert_eq!(store.read(1 << 20, 10_000).await.unwrap(), vec![5; 10_000]);
    store.write(data((1 << 20) + 77, 6, 100)).await.unwrap();
    assert_eq!(store.describe(), format!("mmap {}", dir.path().join("g.v.img").display()));
    drop(store);
    let bytes = file().read(1 << 20, 10_000).await.unwrap();
    assert_eq!(bytes[70..80], [5, 5, 5, 5, 5, 5, 5, 6, 6, 6]);
    assert_eq!(bytes[177], 5);
}

#[tokio::test]
async fn a_journal_is_changed_from_each_medium_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let all = records(Position::START, 30, 200_000);
    let turns = [Medium::Written, Medium::Mapped, Medium::Direct, Medium::Mapped, Medium::Direct];
    for (turn, medium) in turns.into_iter().enumerate() {
        let mut journal = open_journal(dir.path(), medium);
        let recovery = journal.recover().await.unwrap();
        let held = turn * 6;
        let newest = held.checked_sub(1).map_or(Position::START, |last| all[last].position());
        assert_eq!((recovery.newest, recovery.cut), (newest, None), "turn {turn}");
        // Over the end of a segment, so that a spare is used too.
        journal.append(all[held..held + 6].to_vec()).await.unwrap();
        journal.sync().await.unwrap();
        let found = journal.read(all[0].number(), usize::MAX).await.unwrap();
        assert_eq!(found.first(), all.first());
    }
}

#[tokio::test]
async fn all_of_a_volume_is_reserved_and_zeroing_keeps_the_room() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open_store(dir.path());
    let room = || dir.path().join("g.v.img").metadata().unwrap().blocks() * 512;
    assert!(room() >= SIZE);
    store.write(data(0, 9, 1 << 20)).await.unwrap();
    let zero = BlockWrite { offset: 3, content: Content::Zero(SIZE - 7) };
    store.write(vec![zero]).await.unwrap();
    store.sync().await.unwrap();
    assert!(room() >= SIZE, "{} bytes are left", room());
    assert_eq!(store.read(0, 5).await.unwrap(), [9, 9, 9, 0, 0].as_slice());
    assert_eq!(store.read(4096, 1 << 20).await.unwrap(), vec![0; 1 << 20]);
}

#[tokio::test]
async fn a_volume_that_something_cut_is_an_error_for_ever_and_no_signal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_store(dir.path());
    store.write(data(0, 1, 4096)).await.unwrap();
    let file = File::options().write(true).open(dir.path().join("g.v.img")).unwrap();
    file.set_len(8192).unwrap();
    let error = store.read(SIZE - 4096, 4096).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let error = store.sync().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    file.set_len(SIZE).unwrap();
    for error in [store.sync().await, store.write(data(0, 1, 1)).await] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("restart the site"), "{error}");
    }
}

#[tokio::test]
async fn a_journal_that_something_cut_is_an_error_for_ever_and_no_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open_journal(dir.path(), Medium::Mapped);
    journal.recover().await.unwrap();
    let all = records(Position::START, 2, 5000);
    journal.append(all[..1].to_vec()).await.unwrap();
    let path = dir.path().join("g/segment.00000000000000000001");
    let size = path.metadata().unwrap().len();
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(4096).unwrap();
    let error = journal.append(all[1..].to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    file.set_len(size).unwrap();
    assert_eq!(journal.append(all[1..].to_vec()).await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.sync().await.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_full_disk_is_an_error_when_a_volume_is_opened_if_one_can_be_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        let done = std::process::Command::new(args[0]).args(&args[1..]).arg(dir.path()).output();
        done.is_ok_and(|output| output.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs"]) {
        eprintln!("passed over: mounting takes root");
        return;
    }
    let full = MmapStore::open(dir.path(), &group(), &volume(), 16 << 20).unwrap_err();
    let other = VolumeName::new("w").unwrap();
    let fits = MmapStore::open(dir.path(), &group(), &other, SIZE);
    let written = match &fits {
        Ok(store) => store.write(data(0, 3, SIZE as usize)).await,
        Err(error) => Err(error.duplicate()),
    };
    drop(fits);
    assert!(mount(&["umount"]));
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    written.unwrap();
}
