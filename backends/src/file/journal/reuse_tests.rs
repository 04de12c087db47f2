//! Tests of segments that are used again with what they held before.

use super::tests::{boot, change, kill, open, records, segments, start};
use super::*;
use crate::file::layout::RECORDS_AT;

/// A record of these takes so many bytes of payload: some twenty fill a segment.
const BYTES: usize = 100_000;

/// Appends `count` records one by one, and trims all but the newest few.
async fn roll(journal: &mut FileJournal, last: Position, count: u64) -> Vec<Record> {
    let all = records(last, count, BYTES);
    for record in &all {
        journal.append(vec![record.clone()]).await.unwrap();
        let kept = UpdateNumber::new(record.number().value().saturating_sub(5));
        journal.trim(kept).await.unwrap();
    }
    all
}

/// A directory with a journal that went through all of its segments several times.
async fn used_for_long() -> (tempfile::TempDir, FileJournal, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), boot(1)).unwrap();
    journal.recover().await.unwrap();
    journal.reset(start()).await.unwrap();
    let all = roll(&mut journal, start(), 150).await;
    (dir, journal, all)
}

/// Whether anything but zeroes lies behind the newest record.
fn holds_old(dir: &Path, segment: &Path) -> bool {
    let bytes = std::fs::read(segment).unwrap();
    let header = segment::find_all(&dir.join("g"), Medium::Written).unwrap().pop().unwrap();
    let base = header.header.unwrap().base;
    let found = trefoil_core::record::scan(&bytes[RECORDS_AT as usize..].to_vec().into(), &base);
    bytes[RECORDS_AT as usize + found.good_bytes..].iter().any(|byte| *byte != 0)
}

#[tokio::test]
async fn a_trimmed_segment_is_used_again_as_it_is_and_no_recovery_takes_it_for_history() {
    for after in [1, 2] {
        let (dir, journal, all) = used_for_long().await;
        kill(journal);
        let path = segments(dir.path()).pop().unwrap();
        assert!(holds_old(dir.path(), &path), "or this tests nothing");
        let mut journal = open(dir.path(), boot(after)).unwrap();
        let found = journal.recover().await.unwrap();
        assert_eq!((found.newest, found.cut), (all[149].position(), None));
        assert_eq!(journal.read(all[148].number(), 1).await.unwrap(), all[148..149]);
    }
}

#[tokio::test]
async fn a_record_torn_over_an_old_one_is_cut_and_the_old_one_stays_gone() {
    let (dir, journal, all) = used_for_long().await;
    let path = segments(dir.path()).pop().unwrap();
    let base = segment::find_all(&dir.path().join("g"), Medium::Written).unwrap().pop().unwrap();
    let before = all[149].number().since(base.header.unwrap().base.number) - 1;
    kill(journal);
    let length = all[149].encoded_bytes();
    let at = RECORDS_AT + before * length as u64;
    // What lay there before is a record of the same length; behind it is the next old one.
    let old = records(start(), 3, BYTES);
    for kept in [0, 1, 63, 64, 65, 4096, length / 2, length - 1] {
        change(&path, at, |bytes| bytes.copy_from_slice(&all[149].to_bytes()), length);
        let torn = |bytes: &mut [u8]| bytes.copy_from_slice(&old[0].to_bytes()[kept..]);
        change(&path, at + kept as u64, torn, length - kept);
        let behind = |bytes: &mut [u8]| bytes.copy_from_slice(&old[1].to_bytes());
        change(&path, at + length as u64, behind, length);
        let mut journal = open(dir.path(), boot(1)).unwrap();
        let found = journal.recover().await.unwrap();
        assert_eq!(found.newest, all[148].position(), "{kept} bytes were written");
        assert!(found.cut.is_some());
        assert_eq!(journal.recover().await.unwrap().cut, None, "the cut is durable");
        kill(journal);
    }
}

#[tokio::test]
async fn a_journal_begun_anew_uses_nothing_as_it_is_that_was_trimmed_before() {
    let (dir, mut journal, all) = used_for_long().await;
    // At the end of a segment that was trimmed: the next one of old began right behind it.
    let base = all[19].position();
    journal.reset(base).await.unwrap();
    for record in &all[20..70] {
        journal.append(vec![record.clone()]).await.unwrap();
        assert!(!holds_old(dir.path(), &segments(dir.path()).pop().unwrap()));
        if record.number().value() % 20 == 0 {
            // More than what is ready, so that what was trimmed has to serve again.
            journal.trim(record.number()).await.unwrap();
            journal.spares.forget_trimmed();
        }
    }
    kill(journal);
    let mut journal = open(dir.path(), boot(2)).unwrap();
    assert_eq!(journal.recover().await.unwrap().newest, all[69].position());
}

#[tokio::test]
async fn a_trimmed_segment_of_another_size_is_made_anew() {
    let (dir, journal, all) = used_for_long().await;
    drop(journal);
    let names = (&GroupName::new("g").unwrap(), &SiteName::new("a").unwrap());
    let larger = 32 * SEGMENT_BYTES_MIN;
    let medium = Medium::Written;
    let mut journal =
        FileJournal::open_in_boot(dir.path(), names, larger, medium, boot(1)).unwrap();
    journal.recover().await.unwrap();
    let more = roll(&mut journal, all[149].position(), 200).await;
    kill(journal);
    let path = segments(dir.path()).pop().unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().len(), 2 * SEGMENT_BYTES_MIN);
    let mut journal =
        FileJournal::open_in_boot(dir.path(), names, larger, medium, boot(1)).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!((found.newest, found.cut), (more[199].position(), None));
}
