//! Tests of recovery from what crashes and damage leave. Another boot of the kernel stands for a
//! power loss: only then may unsynced records be missing in any order.

use super::*;
use crate::file::layout::RECORDS_AT;
use std::fs::File;
use trefoil_core::model::{Generation, VolumeId};

const CAPACITY: u64 = 4 * SEGMENT_BYTES_MIN;

pub(super) fn boot(id: u8) -> Boot {
    [id; 40]
}

pub(super) fn start() -> Position {
    Position { generation: Generation { count: 1, id: 5 }, ..Position::START }
}

pub(super) fn records(before: Position, count: u64, bytes: usize) -> Vec<Record> {
    let mut last = before;
    let make = |i| {
        let payload = Bytes::from(vec![i as u8 + 1; bytes]);
        let record = Record::write(&last, i, VolumeId(0), i * 512, payload).unwrap();
        last = record.position();
        record
    };
    (0..count).map(make).collect()
}

pub(super) fn open(dir: &Path, boot: Boot) -> Result<FileJournal> {
    let (group, site) = (GroupName::new("g")?, SiteName::new("a")?);
    FileJournal::open_in_boot(dir, (&group, &site), CAPACITY, Medium::Written, boot)
}

/// A directory with a journal of `count` records, its process gone.
async fn written(count: u64, bytes: usize, synced: bool) -> (tempfile::TempDir, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), boot(1)).unwrap();
    journal.recover().await.unwrap();
    journal.reset(start()).await.unwrap();
    let all = records(start(), count, bytes);
    journal.append(all.clone()).await.unwrap();
    if !synced {
        kill(journal);
    }
    (dir, all)
}

/// Ends a journal as a killed process would: without its last sync and stamp.
pub(super) fn kill(journal: FileJournal) {
    let error = Error::closed("the process was killed");
    drop(journal.poison.by(error));
    drop(journal);
}

/// The segment files, oldest first.
pub(super) fn segments(dir: &Path) -> Vec<PathBuf> {
    segment::numbered(&dir.join("g"), "segment")
        .unwrap()
        .into_iter()
        .map(|(_, path)| path)
        .collect()
}

pub(super) fn change(path: &Path, at: u64, change: impl Fn(&mut [u8]), length: usize) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at).unwrap();
    change(&mut bytes);
    file.write_all_at(&bytes, at).unwrap();
}

#[tokio::test]
async fn a_last_record_torn_at_any_length_is_cut_with_a_reason() {
    let (dir, all) = written(3, 40, false).await;
    let path = segments(dir.path()).pop().unwrap();
    let length = all[2].encoded_bytes();
    let at = RECORDS_AT + 2 * length as u64;
    for kept in (0..length).rev() {
        change(&path, at + kept as u64, |bytes| bytes.fill(0), length - kept);
        let mut journal = open(dir.path(), boot(1)).unwrap();
        let found = journal.recover().await.unwrap();
        assert_eq!(found.newest, all[1].position(), "{kept} bytes are left");
        assert_eq!(found.cut.is_some(), kept > 0, "{kept} bytes are left");
        assert_eq!(journal.recover().await.unwrap().cut, None, "the cut is durable");
        kill(journal);
        change(&path, at, |bytes| bytes.copy_from_slice(&all[2].to_bytes()), length);
    }
}

#[tokio::test]
async fn what_a_killed_process_appended_is_kept() {
    let (dir, all) = written(30, 100_000, false).await;
    let mut journal = open(dir.path(), boot(1)).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!((found.newest, found.cut), (all[29].position(), None));
    assert_eq!(journal.read(UpdateNumber::new(25), 1).await.unwrap(), all[24..25]);
}

#[tokio::test]
async fn a_bit_flipped_in_the_middle_is_damage_and_nothing_is_changed() {
    for same in [1, 2] {
        let (dir, all) = written(30, 100_000, true).await;
        let path = segments(dir.path())[0].clone();
        let at = RECORDS_AT + 3 * all[0].encoded_bytes() as u64 + 500;
        change(&path, at, |bytes| bytes[0] ^= 4, 1);
        let before = std::fs::read(&path).unwrap();
        for _ in 0..2 {
            let mut journal = open(dir.path(), boot(same)).unwrap();
            let error = journal.recover().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let text = error.to_string();
            assert!(text.contains("record 4") && text.contains("segment."), "{text}");
            assert_eq!(journal.append(Vec::new()).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
        assert!(before == std::fs::read(&path).unwrap());
    }
}

#[tokio::test]
async fn what_lies_before_damage_is_salvaged_and_the_files_are_kept_as_they_were() {
    let (dir, all) = written(30, 100_000, true).await;
    let paths = segments(dir.path());
    let at = RECORDS_AT + 3 * all[0].encoded_bytes() as u64 + 500;
    change(&paths[0], at, |bytes| bytes[0] ^= 4, 1);
    let before: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut journal = open(dir.path(), boot(1)).unwrap();
    assert_eq!(journal.recover().await.unwrap_err().kind(), ErrorKind::Corrupt);
    let found = journal.salvage().await.unwrap();
    assert_eq!((found.newest, found.suspect), (all[2].position(), true));
    let said = found.cut.unwrap();
    let place = std::path::PathBuf::from(said.rsplit(" in ").next().unwrap());
    assert!(place.ends_with("damaged/4"), "{said}");
    for (path, before) in paths.iter().zip(before) {
        assert!(std::fs::read(place.join(path.file_name().unwrap())).unwrap() == before);
    }
    // It goes on from there, and is whole for the next process.
    journal.append(all[3..].to_vec()).await.unwrap();
    drop(journal);
    let mut journal = open(dir.path(), boot(1)).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!((found.newest, found.cut), (all[29].position(), None));
    let from = UpdateNumber::new(3);
    assert_eq!(journal.read(from, 250_000).await.unwrap()[..2], all[2..4]);
}

#[tokio::test]
async fn a_bit_flipped_while_it_is_open_is_found_by_the_read() {
    let (dir, all) = written(5, 1000, true).await;
    let mut journal = open(dir.path(), boot(1)).unwrap();
    journal.recover().await.unwrap();
    let at = RECORDS_AT + 2 * all[0].encoded_bytes() as u64 + 500;
    change(&segments(dir.path())[0], at, |bytes| bytes[0] ^= 4, 1);
    assert_eq!(journal.read(UpdateNumber::new(1), 9999).await.unwrap(), all[..2]);
    let error = journal.read(UpdateNumber::new(3), 9999).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("record 3"), "{error}");
}

#[tokio::test]
async fn after_a_power_loss_unsynced_records_missing_before_others_are_a_torn_tail() {
    let (dir, all) = written(10, 1000, false).await;
    let length = all[0].encoded_bytes();
    let at = RECORDS_AT + 4 * length as u64;
    change(&segments(dir.path())[0], at, |bytes| bytes.fill(0), length);
    let same = open(dir.path(), boot(1)).unwrap().recover().await.unwrap_err();
    assert_eq!(same.kind(), ErrorKind::Corrupt, "a killed process cannot leave this");
    let mut journal = open(dir.path(), boot(2)).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!(found.newest, all[3].position());
    assert!(found.cut.unwrap().contains("record"));
    journal.append(all[4..].to_vec()).await.unwrap();
    drop(journal);
    let mut journal = open(dir.path(), boot(2)).unwrap();
    assert_eq!(journal.recover().await.unwrap().newest, all[9].position());
}

#[tokio::test]
async fn after_a_power_loss_a_later_segment_without_its_predecessors_end_is_cut() {
    let (dir, all) = written(30, 100_000, false).await;
    let paths = segments(dir.path());
    assert_eq!(paths.len(), 2);
    let length = all[0].encoded_bytes();
    change(&paths[0], RECORDS_AT + 10 * length as u64, |bytes| bytes.fill(0), 9 * length);
    let mut journal = open(dir.path(), boot(2)).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!(found.newest, all[9].position());
    assert_eq!(segments(dir.path()), paths[..1]);
    journal.append(all[10..].to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_new_segment_whose_header_was_lost_is_cut_and_a_durable_one_is_damage() {
    for synced in [false, true] {
        let (dir, all) = written(30, 100_000, synced).await;
        let paths = segments(dir.path());
        change(&paths[1], 0, |bytes| bytes.fill(0), 4096);
        let found = open(dir.path(), boot(2)).unwrap().recover().await;
        match synced {
            false => assert!(found.unwrap().newest.number < all[29].number()),
            true => assert_eq!(found.unwrap_err().kind(), ErrorKind::Corrupt),
        }
    }
}

#[tokio::test]
async fn a_reset_that_was_interrupted_before_the_old_segments_went_is_a_reset() {
    let (dir, _) = written(30, 100_000, true).await;
    let old: Vec<_> = segments(dir.path())
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect();
    let mut journal = open(dir.path(), boot(1)).unwrap();
    journal.recover().await.unwrap();
    let base = Position { number: UpdateNumber::new(900), ..start() };
    journal.reset(base).await.unwrap();
    let anew = records(base, 3, 100);
    journal.append(anew.clone()).await.unwrap();
    drop(journal);
    for (path, bytes) in &old {
        std::fs::write(path, bytes).unwrap();
    }
    let mut journal = open(dir.path(), boot(2)).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!((found.base, found.newest), (base, anew[2].position()));
    assert_eq!(segments(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_state_slot_torn_at_any_block_leaves_the_old_state_and_both_damaged_are_told() {
    let (dir, _) = written(1, 10, true).await;
    let path = dir.path().join("g/state");
    let mut journal = open(dir.path(), boot(1)).unwrap();
    for state in [vec![1; 9000], vec![2; 9000]] {
        journal.save_state(state).await.unwrap();
    }
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    // The first save wrote both slots, so the second one wrote slot 0 or 1: tear either.
    let slot = 4096 + STATE_BYTES;
    let newest = if whole[4096] == 2 { 0 } else { slot };
    for sector in 0..(4096 + 9000) / 512 {
        let at = newest + sector * 512;
        let changes = whole[at..at + 512].iter().any(|byte| *byte != 0);
        let mut torn = whole.clone();
        torn[at..at + 512].fill(0);
        std::fs::write(&path, torn).unwrap();
        let state = open(dir.path(), boot(1)).unwrap().load_state().await.unwrap().unwrap();
        assert_eq!(state, vec![if changes { 1 } else { 2 }; 9000], "sector {sector}");
    }
    let mut both = whole.clone();
    (both[4096 + 7], both[slot + 4096 + 7]) = (9, 9);
    std::fs::write(&path, both).unwrap();
    let error = open(dir.path(), boot(1)).unwrap().load_state().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("both slots"), "{error}");
}

const STATE_BYTES: usize = crate::file::STATE_BYTES_MAX;

#[tokio::test]
async fn another_format_version_is_refused() {
    let (dir, _) = written(1, 10, true).await;
    change(&segments(dir.path())[0], 4, |bytes| bytes[0] = 9, 1);
    let error = open(dir.path(), boot(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("format version 9"), "{error}");
}

#[tokio::test]
async fn a_poisoned_journal_refuses_everything_for_ever() {
    let (dir, all) = written(1, 10, true).await;
    let mut journal = open(dir.path(), boot(1)).unwrap();
    journal.recover().await.unwrap();
    drop(journal.poison.by(Error::new(ErrorKind::Io, "fdatasync: simulated")));
    let more = records(all[0].position(), 1, 10);
    assert_eq!(journal.append(more).await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.sync().await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.read(UpdateNumber::new(1), 1).await.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(journal.save_state(vec![1]).await.unwrap_err().kind(), ErrorKind::Io);
}
