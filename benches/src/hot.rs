//! The functions that every write passes, as cases: timed by `hot`, counted in instructions by
//! `scripts/counted.sh`.

use bytes::Bytes;
use std::hint::black_box;
use trefoil_core::Result;
use trefoil_core::engine::journal::{JournalEngine, SyncPolicy};
use trefoil_core::engine::judge::{FollowerView, SourceView, judge};
use trefoil_core::engine::overlay::Overlay;
use trefoil_core::engine::restorer::{RestorerEngine, RestorerLimits};
use trefoil_core::engine::tail::Tail;
use trefoil_core::engine::volume::{Change, VolumeEngine};
use trefoil_core::model::{
    Durability, Extent, Generation, Lineage, Marks, Position, SiteName, UpdateNumber, VolumeId,
};
use trefoil_core::port::Content;
use trefoil_core::record::{Record, scan};

/// How many records a case handles that handles a batch.
pub const BATCH: u64 = 64;
/// The blocks that writes go to, in turn and far apart.
const BLOCKS: u64 = 65_536;

/// One thing that every write passes. For a batch, one call is [`BATCH`] records.
pub struct Case {
    /// What it is.
    pub name: &'static str,
    /// Writes that one call handles.
    pub writes: u64,
    /// Does it once.
    pub call: Box<dyn FnMut()>,
}

fn case(name: &'static str, writes: u64, call: impl FnMut() + 'static) -> Case {
    Case { name, writes, call: Box::new(call) }
}

fn offset(n: u64) -> u64 {
    n.wrapping_mul(2_654_435_761) % BLOCKS * 4096
}

/// Consecutive records of 4 KiB each, after `before`.
fn records(before: Position, count: u64) -> Result<Vec<Record>> {
    let (mut at, data) = (before, Bytes::from(vec![0xa5; 4096]));
    let mut made = Vec::new();
    for n in 0..count {
        let record = Record::write(&at, n, VolumeId(0), offset(n), data.clone())?;
        at = record.position();
        made.push(record);
    }
    Ok(made)
}

/// All cases.
///
/// # Errors
/// None that is known: what they are made of is good.
pub fn cases() -> Result<Vec<Case>> {
    let mut all = of_records()?;
    all.extend(of_primary()?);
    all.extend(of_overlay()?);
    all.push(of_judge()?);
    Ok(all)
}

fn of_records() -> Result<Vec<Case>> {
    let data = Bytes::from(vec![0xa5; 4096]);
    let record = Record::write(&Position::START, 1, VolumeId(0), 0, data.clone())?;
    let (encoded, checked) = (record.to_bytes(), record.clone());
    let mut run = Vec::new();
    for record in records(Position::START, BATCH)? {
        run.extend_from_slice(&record.to_bytes());
    }
    let (run, crc) = (Bytes::from(run), data.clone());
    Ok(vec![
        case("crc", 1, move || {
            let algorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;
            black_box(crc_fast::checksum(algorithm, black_box(&crc)));
        }),
        case("record_write", 1, move || {
            let _ = black_box(Record::write(&Position::START, 1, VolumeId(0), 0, data.clone()));
        }),
        case("record_decode", 1, move || drop(black_box(Record::decode(black_box(&encoded))))),
        case("chain_check", 1, move || {
            let _ = black_box(checked.check_follows(black_box(&Position::START)));
        }),
        case("journal_scan", BATCH, move || {
            black_box(scan(black_box(&run), &Position::START));
        }),
    ])
}

fn of_primary() -> Result<Vec<Case>> {
    let data = Bytes::from(vec![0xa5; 4096]);
    let mut volume: VolumeEngine<u64> =
        VolumeEngine::new(Durability::Flush, Position::START, Marks::default());
    let policy = SyncPolicy { always: false, interval_us: u64::MAX };
    let batch = records(Position::START, BATCH)?;
    let (submitted, tailed) = (batch.clone(), batch);
    Ok(vec![
        case("volume_number_and_answer", BATCH, move || {
            let mut made = Vec::new();
            for n in 0..BATCH {
                let content = Content::Data(data.clone());
                let change = Change { volume: VolumeId(0), offset: offset(n), content };
                let _ = volume.admit(change, 0, n, &mut made);
            }
            let received = volume.assigned().number;
            volume.advance_own(Marks { received, ..Marks::default() });
            black_box((made, volume.answerable()));
        }),
        case("journal_submit_and_append", BATCH, move || {
            let mut journal = JournalEngine::new(policy, Position::START, 0);
            let _ = black_box(journal.submit(&submitted));
            black_box(journal.next_append());
            journal.appended();
        }),
        case("tail_push_and_read", BATCH, move || {
            let mut tail = Tail::new(Position::START, 32 << 20);
            tailed.iter().for_each(|record| tail.push(record.clone()));
            let (first, last) = (UpdateNumber::new(1), UpdateNumber::new(BATCH));
            black_box(tail.read(first, last, 1 << 20, 1024));
        }),
    ])
}

fn of_overlay() -> Result<Vec<Case>> {
    let batch = records(Position::START, BATCH)?;
    let mut filled = Overlay::new();
    // About what is in it under load.
    records(Position::START, 8192)?.iter().for_each(|record| filled.insert(record));
    let extents: Vec<Extent> = batch.iter().filter_map(Record::extent).collect();
    let last = UpdateNumber::new(BATCH);
    let (again, restored) = (batch.clone(), batch);
    let mut read = Overlay::new();
    again.iter().for_each(|record| read.insert(record));
    Ok(vec![
        case("overlay_insert_and_remove", BATCH, move || {
            again.iter().for_each(|record| filled.insert(record));
            filled.remove_restored(extents.iter().copied(), last);
        }),
        case("overlay_read", 1, move || {
            black_box(read.read(Extent { volume: VolumeId(0), offset: offset(7), length: 4096 }));
        }),
        case("restorer_batch", BATCH, move || {
            let start = UpdateNumber::ZERO;
            let mut restorer = RestorerEngine::new(RestorerLimits::default(), start, 0);
            for record in &restored {
                let _ = restorer.push(record.clone());
            }
            restorer.durable(last);
            black_box(restorer.next_batch());
        }),
    ])
}

fn of_judge() -> Result<Case> {
    let generation = Generation::NONE.succeed(7);
    let mut lineage = Lineage::new();
    lineage.begin(generation, UpdateNumber::new(1))?;
    let position =
        |n: u64| Position { generation, number: UpdateNumber::new(n), ..Position::START };
    let source = SourceView {
        site: SiteName::new("a")?,
        generation,
        lineage: lineage.clone(),
        newest: UpdateNumber::new(5000),
        base: position(10),
        chain_at_follower: Some(Position::START.chain),
        fork: Some(position(4000)),
        consented: Generation::NONE,
        copy_base: Some(position(5000)),
        map: None,
        debt: false,
        owing: None,
        bytes_between: Some(4 << 20),
        volume_bytes: 1 << 30,
    };
    let follower = FollowerView {
        site: SiteName::new("c")?,
        lineage,
        newest: position(4000),
        base: UpdateNumber::new(10),
        debt: None,
        maps_from: None,
        discards_tail: false,
        blank: false,
        holds: true,
    };
    Ok(case("judge_delta", 1, move || drop(black_box(judge(&source, &follower)))))
}
