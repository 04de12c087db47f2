//! The file journal against a vector, over random operations.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what is wrong")]

use bytes::Bytes;
use proptest::prelude::*;
use std::path::Path;
use trefoil_backends::file::FileJournal;
use trefoil_core::ErrorKind;
use trefoil_core::model::{Extent, Generation, GroupName, Position, SiteName};
use trefoil_core::model::{UpdateNumber, VolumeId};
use trefoil_core::port::JournalStore;
use trefoil_core::record::Record;

#[derive(Clone, Debug)]
enum Op {
    /// So many records with payloads of about so many bytes.
    Append(usize, usize),
    Sync,
    /// From so many hundredths of what is held, so many bytes.
    Read(u64, usize),
    /// Up to so many hundredths of what is held.
    Trim(u64),
    /// To a base so many numbers on.
    Reset(u64),
    Reopen,
    Save(u8, usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (1..12_usize, prop_oneof![0..200_usize, 0..20_000_usize, 200_000..900_000_usize])
            .prop_map(|(count, bytes)| Op::Append(count, bytes)),
        2 => Just(Op::Sync),
        3 => (0..100_u64, 0..2_000_000_usize).prop_map(|(from, bytes)| Op::Read(from, bytes)),
        2 => (0..=100_u64).prop_map(Op::Trim),
        1 => (0..1000_u64).prop_map(Op::Reset),
        2 => Just(Op::Reopen),
        1 => (any::<u8>(), 0..100_000_usize).prop_map(|(byte, bytes)| Op::Save(byte, bytes)),
    ];
    proptest::collection::vec(op, 1..40)
}

/// What the journal should hold.
struct Model {
    base: Position,
    records: Vec<Record>,
    state: Option<Vec<u8>>,
}

impl Model {
    fn newest(&self) -> Position {
        self.records.last().map_or(self.base, Record::position)
    }

    fn number_at(&self, hundredths: u64) -> UpdateNumber {
        self.base.number.plus(self.records.len() as u64 * hundredths / 100)
    }

    /// Drops what the journal says that it let go.
    fn trim(&mut self, base: Position) {
        let gone = base.number.since(self.base.number) as usize;
        if let Some(last) = self.records[..gone].last() {
            assert_eq!(last.position(), base);
        }
        self.records.drain(..gone);
        self.base = base;
    }

    fn batch(&self, count: usize, bytes: usize) -> Vec<Record> {
        let mut last = self.newest();
        let make = |i| {
            let record = if bytes == 0 {
                Record::zero(&last, 1, Extent { volume: VolumeId(1), offset: 0, length: 1 << 40 })
            } else {
                let payload = Bytes::from(vec![i as u8; bytes + i % 3]);
                Record::write(&last, i as u64, VolumeId(0), 512, payload).unwrap()
            };
            last = record.position();
            record
        };
        (0..count).map(make).collect()
    }
}

fn open(dir: &Path) -> FileJournal {
    let (group, site) = (GroupName::new("g").unwrap(), SiteName::new("a").unwrap());
    FileJournal::open(dir, &group, &site, 8 << 20).unwrap()
}

async fn step(dir: &Path, journal: &mut Option<FileJournal>, model: &mut Model, op: Op) {
    let open_journal = journal.as_mut().unwrap();
    match op {
        Op::Append(count, bytes) => {
            let batch = model.batch(count, bytes);
            let before = open_journal.usage();
            match open_journal.append(batch.clone()).await {
                Ok(()) => model.records.extend(batch),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                    assert_eq!(open_journal.usage(), before);
                }
            }
        }
        Op::Sync => open_journal.sync().await.unwrap(),
        Op::Read(hundredths, bytes) => {
            let from = model.number_at(hundredths).next();
            let skip = from.since(model.base.number.next()) as usize;
            match open_journal.read(from, bytes).await {
                Ok(records) => {
                    assert!(!records.is_empty());
                    let length: usize = records.iter().map(Record::encoded_bytes).sum();
                    assert!(records.len() == 1 || length <= bytes);
                    assert_eq!(records, model.records[skip..skip + records.len()]);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
                    assert!(model.records.is_empty());
                }
            }
        }
        Op::Trim(hundredths) => {
            let up_to = model.number_at(hundredths);
            let base = open_journal.trim(up_to).await.unwrap();
            assert!(base.number <= up_to.max(model.base.number));
            model.trim(base);
        }
        Op::Reset(on) => {
            let newest = model.newest();
            let base = Position { number: newest.number.plus(on), ..newest };
            open_journal.reset(base).await.unwrap();
            (model.base, model.records) = (base, Vec::new());
        }
        Op::Reopen => {
            *journal = None;
            let mut opened = open(dir);
            let found = opened.recover().await.unwrap();
            assert_eq!((found.base, found.newest), (model.base, model.newest()));
            assert_eq!(found.cut, None);
            assert_eq!(opened.load_state().await.unwrap(), model.state);
            *journal = Some(opened);
        }
        Op::Save(byte, bytes) => {
            let state = vec![byte; bytes];
            open_journal.save_state(state.clone()).await.unwrap();
            model.state = Some(state);
        }
    }
    let (used, limit) = journal.as_ref().unwrap().usage();
    let held: usize = model.records.iter().map(Record::encoded_bytes).sum();
    assert!(held as u64 <= used && used <= limit, "{held} held, {used} of {limit} in use");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_file_journal_does_what_a_vector_does(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let mut journal = open(dir.path());
            journal.recover().await.unwrap();
            let generation = Generation { count: 1, id: 5 };
            let base = Position { generation, ..Position::START };
            journal.reset(base).await.unwrap();
            let mut model = Model { base, records: Vec::new(), state: None };
            let mut journal = Some(journal);
            for op in ops {
                step(dir.path(), &mut journal, &mut model, op).await;
            }
            step(dir.path(), &mut journal, &mut model, Op::Reopen).await;
        });
    }
}
