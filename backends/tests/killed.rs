//! A journal whose process is killed in the middle of its work, and disks that are really full.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

use bytes::Bytes;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use trefoil_backends::file::{FileJournal, FileStore, Medium};
use trefoil_core::ErrorKind;
use trefoil_core::model::{GroupName, Position, SiteName, UpdateNumber, VolumeId, VolumeName};
use trefoil_core::port::{BlockStore, BlockWrite, Content, JournalStore};
use trefoil_core::record::Record;

const CAPACITY: u64 = 32 << 20;
/// Every way in which a journal's records are written.
const MEDIA: [Medium; 2] = [Medium::Written, Medium::Mapped];
/// Tell the child where its journal lies, and which of [`MEDIA`] it is to take.
const DIR_VARIABLE: &str = "TREFOIL_TEST_KILLED_DIR";
const MEDIUM_VARIABLE: &str = "TREFOIL_TEST_KILLED_MEDIUM";

fn open(dir: &Path, medium: usize) -> trefoil_core::Result<FileJournal> {
    let (group, site) = (GroupName::new("g")?, SiteName::new("a")?);
    FileJournal::open_with(dir, (&group, &site), CAPACITY, MEDIA[medium])
}

/// The bytes of the record with this number: so that what is read can be told from what is not.
fn payload(number: u64) -> Bytes {
    let length = 512 * (1 + number % 40) as usize;
    (0..length).map(|i| (number as usize * 31 + i * 7) as u8).collect::<Vec<u8>>().into()
}

fn records(before: Position, count: u64) -> Vec<Record> {
    let mut last = before;
    let make = |_| {
        let number = last.number.next().value();
        let record = Record::write(&last, 1, VolumeId(0), 512, payload(number)).unwrap();
        last = record.position();
        record
    };
    (0..count).map(make).collect()
}

/// Not a test of its own: the process that is killed. It says on stdout which record was appended.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let medium = std::env::var(MEDIUM_VARIABLE).unwrap().parse().unwrap();
    let mut journal = open(Path::new(&dir), medium).unwrap();
    let mut newest = journal.recover().await.unwrap().newest;
    let mut out = std::io::stdout();
    for round in 0.. {
        let batch = records(newest, 1 + round % 9);
        newest = batch.last().unwrap().position();
        journal.append(batch).await.unwrap();
        writeln!(out, "\nappended {}", newest.number.value()).unwrap();
        if round % 7 == 0 {
            journal.sync().await.unwrap();
        }
        if round % 50 == 0 {
            let old = newest.number.value().saturating_sub(600);
            journal.trim(UpdateNumber::new(old)).await.unwrap();
        }
    }
}

/// Runs the child for a while and kills it; the last record that it says is appended.
fn run_and_kill(dir: &Path, medium: usize, millis: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(DIR_VARIABLE, dir)
        .env(MEDIUM_VARIABLE, medium.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("appended") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the child ended by itself");
    }
    let reader = std::thread::spawn(move || {
        let mut text = line;
        // A line may be cut where the process was killed.
        out.read_to_string(&mut text).unwrap();
        text
    });
    std::thread::sleep(Duration::from_millis(millis));
    child.kill().unwrap();
    child.wait().unwrap();
    let text = reader.join().unwrap();
    let whole = text.rsplit_once('\n').unwrap().0;
    let last = whole.lines().rev().find_map(|line| line.strip_prefix("appended "));
    last.unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_was_appended_survives_a_kill_at_any_moment() {
    for medium in 0..MEDIA.len() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..10_u64 {
            let appended = run_and_kill(dir.path(), medium, 3 + round * round * 3);
            let mut journal = open(dir.path(), medium).unwrap();
            let found = journal.recover().await.unwrap();
            assert!(found.newest.number.value() >= appended, "{appended} appended, {found:?}");
            check_payloads(&mut journal, found.base.number, found.newest.number).await;
        }
    }
}

async fn check_payloads(journal: &mut FileJournal, base: UpdateNumber, newest: UpdateNumber) {
    let mut next = base.next();
    while next <= newest {
        for record in journal.read(next, 1 << 20).await.unwrap() {
            assert_eq!(record.number(), next);
            assert!(*record.payload() == *payload(next.value()), "record {next}");
            next = next.next();
        }
    }
}

/// A file system in memory of so many bytes, mounted as long as this lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn new(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("passed over: this process may not mount a file system");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room but about so many bytes.
    fn fill(&self, but: usize) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(but as u64)).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays is seen by whoever looks; the test's outcome is another matter.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_journal_on_a_full_disk_refuses_whole_batches_and_goes_on_once_there_is_room() {
    for medium in 0..MEDIA.len() {
        let Some(disk) = SmallDisk::new(24 << 20) else { return };
        full_and_on(&disk, medium).await;
    }
}

async fn full_and_on(disk: &SmallDisk, medium: usize) {
    let mut journal = open(disk.path(), medium).unwrap();
    let mut newest = journal.recover().await.unwrap().newest;
    let filler = disk.fill(1 << 20);
    let error = loop {
        let batch = records(newest, 20);
        match journal.append(batch.clone()).await {
            Ok(()) => newest = batch.last().unwrap().position(),
            Err(error) => break error,
        }
        assert!(newest.number.value() < 10_000, "it never becomes full");
    };
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    journal.sync().await.unwrap();
    std::fs::remove_file(filler).unwrap();
    let batch = records(newest, 20);
    journal.append(batch.clone()).await.unwrap();
    journal.sync().await.unwrap();
    drop(journal);
    let mut journal = open(disk.path(), medium).unwrap();
    let found = journal.recover().await.unwrap();
    assert_eq!((found.newest, found.cut), (batch.last().unwrap().position(), None));
}

#[tokio::test]
async fn a_volume_on_a_full_disk_refuses_what_has_no_room_and_keeps_the_rest() {
    let Some(disk) = SmallDisk::new(8 << 20) else { return };
    let (group, volume) = (GroupName::new("g").unwrap(), VolumeName::new("v").unwrap());
    let store = FileStore::open(disk.path(), &group, &volume, 64 << 20).unwrap();
    let write = |offset, content| store.write(vec![BlockWrite { offset, content }]);
    let data = |byte: u8| Content::Data(vec![byte; 1 << 20].into());
    write(0, data(7)).await.unwrap();
    disk.fill(64 << 10);
    let error = write(32 << 20, data(8)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(store.read(0, 1 << 20).await.unwrap().iter().all(|byte| *byte == 7));
    // Room that is there already can be written, and zeroes give room back.
    write(0, data(9)).await.unwrap();
    write(0, Content::Zero(1 << 20)).await.unwrap();
    write(32 << 20, Content::Data(vec![8; 512 << 10].into())).await.unwrap();
    store.sync().await.unwrap();
}
