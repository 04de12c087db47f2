//! The suite for journals: every claim of [`JournalStore`]'s "To be correct" list that can be seen
//! from outside.

use super::{Broken, Claim, break_claim, run_claims};
use crate::model::{Generation, Position, SiteName, UpdateNumber, VolumeId};
use crate::port::JournalStore;
use crate::record::{GenerationMark, Record};
use crate::{ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;

/// Makes the journals that the suite tries. None that it returns was recovered yet.
#[async_trait]
pub trait JournalStoreBench: Send {
    /// A new journal at a new place, that holds [`CAPACITY_BYTES`] or a little less. Handles of
    /// earlier ones were dropped.
    async fn fresh(&mut self) -> Result<Box<dyn JournalStore>>;

    /// Opens the newest journal again, as a new process would; its handle was dropped. `None` if
    /// it cannot outlive its handle: the claims about that are passed over.
    async fn reopen(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }

    /// Takes the power from the newest journal, and opens it again. `None` if that cannot be tried.
    async fn lose_power(&mut self) -> Result<Option<Box<dyn JournalStore>>> {
        Ok(None)
    }
}

/// The size of the journals that the suite asks for, in bytes.
pub const CAPACITY_BYTES: u64 = 16 << 20;

/// Tries every claim, each on a fresh journal.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub async fn check_all(bench: &mut (dyn JournalStoreBench + 'static)) -> Result<(), Broken> {
    let claims: [Claim<'_, dyn JournalStoreBench>; 11] = [
        ("a new journal is empty", |bench| Box::pin(empty(bench))),
        ("what was appended is read, byte for byte", |bench| Box::pin(reads_back(bench))),
        ("records that do not follow are invalid", |bench| Box::pin(refuses_gaps(bench))),
        ("a batch that does not fit is refused whole", |bench| Box::pin(full(bench))),
        ("trimming lets go of no more than asked", |bench| Box::pin(trims(bench))),
        ("trimming makes room", |bench| Box::pin(trim_makes_room(bench))),
        ("a reset begins anew right after its base", |bench| Box::pin(resets(bench))),
        ("a state is replaced whole", |bench| Box::pin(state(bench))),
        ("what was appended survives the process", |bench| Box::pin(survives_process(bench))),
        ("what was synced survives a power loss", |bench| Box::pin(survives_power(bench))),
        ("a sync and appends go on at the same time", |bench| Box::pin(sync_meanwhile(bench))),
    ];
    run_claims(bench, &claims).await
}

/// The point after which the suite's histories begin.
fn start() -> Position {
    Position { generation: Generation { count: 3, id: 77 }, ..Position::START }
}

/// `count` records of about `bytes` bytes after `before`.
fn records(before: &Position, count: u64, bytes: usize) -> Result<Vec<Record>> {
    let mut last = *before;
    let mut records = Vec::new();
    for i in 0..count {
        let number = last.number.next().value();
        let record = match number % 7 {
            6 => Record::heartbeat(&last, number),
            _ => {
                let fill = (number % 251) as u8;
                let payload = Bytes::from(vec![fill; bytes + (i % 5) as usize]);
                Record::write(&last, number, VolumeId(0), number * 512, payload)?
            }
        };
        last = record.position();
        records.push(record);
    }
    Ok(records)
}

/// A recovered journal that holds `held`, beginning with a Generation record.
async fn filled(
    bench: &mut dyn JournalStoreBench,
    count: u64,
    bytes: usize,
) -> Result<(Box<dyn JournalStore>, Vec<Record>)> {
    let mut journal = bench.fresh().await?;
    journal.recover().await?;
    let mark = GenerationMark {
        generation: start().generation,
        parent: Position::START,
        primary: SiteName::new("a")?,
    };
    let mut held = vec![Record::generation_mark(&mark, 1)?];
    let first = held.iter().map(Record::position).last().unwrap_or_default();
    held.extend(records(&first, count.saturating_sub(1), bytes)?);
    journal.append(held.clone()).await?;
    Ok((journal, held))
}

fn newest(held: &[Record]) -> Position {
    held.last().map_or(Position::START, Record::position)
}

/// Reads everything in `held` after `base`, and compares.
async fn expect(journal: &mut dyn JournalStore, held: &[Record], when: &str) -> Result<()> {
    let mut at = 0;
    while let Some(next) = held.get(at) {
        let batch = journal.read(next.number(), 20_000).await?;
        if batch.is_empty() {
            return break_claim(format!("{when}: reading from {} gives nothing", next.number()));
        }
        for record in batch {
            if held.get(at) != Some(&record) {
                return break_claim(format!("{when}: {record:?} came in place {at}"));
            }
            at += 1;
        }
    }
    Ok(())
}

async fn expect_kind(what: &str, kind: ErrorKind, result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => break_claim(format!("{what} is {}, not {kind}: {error}", error.kind())),
        Ok(()) => break_claim(format!("{what} is accepted")),
    }
}

async fn empty(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let mut journal = bench.fresh().await?;
    let found = journal.recover().await?;
    if found.base != Position::START || found.newest != found.base || found.cut.is_some() {
        return break_claim(format!("it recovers {found:?}"));
    }
    if journal.load_state().await?.is_some() {
        return break_claim("it has a state");
    }
    let read = journal.read(UpdateNumber::new(1), 100).await.map(|_| ());
    expect_kind("reading from it", ErrorKind::Invalid, read).await?;
    journal.append(Vec::new()).await?;
    journal.sync().await
}

async fn reads_back(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, mut held) = filled(bench, 50, 700).await?;
    for size in [1, 4096, 100_000] {
        let more = records(&newest(&held), 20, size)?;
        journal.append(more.clone()).await?;
        held.extend(more);
    }
    expect(&mut *journal, &held, "after appending").await?;
    let one = journal.read(UpdateNumber::new(5), 1).await?;
    if one.len() != 1 || one.first() != held.get(4) {
        return break_claim(format!("reading 5 with room for one byte gives {one:?}"));
    }
    let some = journal.read(UpdateNumber::new(1), 10_000).await?;
    let bytes: usize = some.iter().map(Record::encoded_bytes).sum();
    if bytes > 20_000 {
        return break_claim(format!("asked for 10000 bytes, {bytes} came"));
    }
    let behind = journal.read(newest(&held).number.next(), 100).await.map(|_| ());
    expect_kind("reading behind the newest", ErrorKind::Invalid, behind).await
}

async fn refuses_gaps(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 10, 100).await?;
    let next = records(&newest(&held), 4, 100)?;
    let gap = next.get(1..).unwrap_or_default().to_vec();
    expect_kind("a gap", ErrorKind::Invalid, journal.append(gap).await).await?;
    let again = held.get(9..).unwrap_or_default().to_vec();
    expect_kind("a record again", ErrorKind::Invalid, journal.append(again).await).await?;
    let holed: Vec<Record> =
        next.iter().enumerate().filter(|(i, _)| *i != 2).map(|(_, r)| r.clone()).collect();
    expect_kind("a gap in a batch", ErrorKind::Invalid, journal.append(holed).await).await?;
    let elsewhere = Position { chain: crate::model::Chain::from_value(1), ..newest(&held) };
    let other = records(&elsewhere, 1, 100)?;
    expect_kind("another history", ErrorKind::Invalid, journal.append(other).await).await?;
    expect_end(&mut *journal, &held, "after refused appends").await?;
    journal.append(next.clone()).await?;
    let all: Vec<Record> = held.into_iter().chain(next).collect();
    expect(&mut *journal, &all, "after all").await
}

/// The journal ends with `held`.
async fn expect_end(journal: &mut dyn JournalStore, held: &[Record], when: &str) -> Result<()> {
    expect(journal, held, when).await?;
    match journal.read(newest(held).number.next(), 100).await {
        Err(error) if error.kind() == ErrorKind::Invalid => Ok(()),
        other => break_claim(format!("{when}: behind the newest lies {other:?}")),
    }
}

/// Appends batches until one is refused; returns all that is held.
async fn fill_up(journal: &mut dyn JournalStore, mut held: Vec<Record>) -> Result<Vec<Record>> {
    for _ in 0..10_000 {
        let batch = records(&newest(&held), 10, 60_000)?;
        match journal.append(batch.clone()).await {
            Ok(()) => held.extend(batch),
            Err(error) if error.kind() == ErrorKind::Full => return Ok(held),
            Err(error) => return Err(error.context("fill the journal")),
        }
    }
    break_claim("it never becomes full")
}

async fn full(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 10, 100).await?;
    let held = fill_up(&mut *journal, held).await?;
    expect_end(&mut *journal, &held, "when full").await?;
    let (used, limit) = journal.usage();
    if used > limit || used < limit / 4 {
        return break_claim(format!("full, and says that {used} of {limit} bytes are in use"));
    }
    journal.sync().await?;
    drop(journal);
    if let Some(mut journal) = bench.reopen().await? {
        let found = journal.recover().await?;
        if found.newest != newest(&held) {
            return break_claim(format!("refused, and {:?} is there", found.newest));
        }
    }
    Ok(())
}

async fn trims(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 100, 50_000).await?;
    let mut base = Position::START;
    for up_to in [0, 1, 40, 40, 77] {
        let up_to = UpdateNumber::new(up_to);
        base = journal.trim(up_to).await?;
        check_base(&base, up_to, &held)?;
        let rest = held.get(base.number.value() as usize..).unwrap_or_default();
        expect_end(&mut *journal, rest, "after trimming").await?;
    }
    if base.number > UpdateNumber::ZERO {
        let gone = journal.read(base.number, 100).await.map(|_| ());
        expect_kind("reading what was trimmed", ErrorKind::Invalid, gone).await?;
    }
    drop(journal);
    if let Some(mut journal) = bench.reopen().await? {
        let found = journal.recover().await?;
        check_base(&found.base, base.number, &held)?;
        let rest = held.get(found.base.number.value() as usize..).unwrap_or_default();
        expect_end(&mut *journal, rest, "after trimming and reopening").await?;
    }
    Ok(())
}

fn check_base(base: &Position, up_to: UpdateNumber, held: &[Record]) -> Result<()> {
    let before = held.get(..base.number.value() as usize).unwrap_or_default();
    if base.number > up_to || *base != newest(before) {
        return break_claim(format!("trimmed up to {up_to}, the base is {base:?}"));
    }
    Ok(())
}

async fn trim_makes_room(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 10, 100).await?;
    let mut held = fill_up(&mut *journal, held).await?;
    for _ in 0..20 {
        let newest_number = newest(&held).number;
        journal.trim(UpdateNumber::new(newest_number.value().saturating_sub(20))).await?;
        let batch = records(&newest(&held), 30, 20_000)?;
        journal.append(batch.clone()).await.map_err(|error| error.context("after a trim"))?;
        held.extend(batch);
    }
    let rest = held.get(held.len() - 20..).unwrap_or_default();
    expect_end(&mut *journal, rest, "after many trims").await
}

async fn resets(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 60, 10_000).await?;
    let base = Position { number: UpdateNumber::new(5000), ..newest(&held) };
    journal.reset(base).await?;
    let old = journal.read(UpdateNumber::new(60), 100).await.map(|_| ());
    expect_kind("reading what was dropped", ErrorKind::Invalid, old).await?;
    let anew = records(&base, 30, 500)?;
    journal.append(anew.clone()).await?;
    expect_end(&mut *journal, &anew, "after a reset").await?;
    journal.sync().await?;
    drop(journal);
    if let Some(mut journal) = bench.reopen().await? {
        let found = journal.recover().await?;
        if found.base != base || found.newest != newest(&anew) {
            return break_claim(format!("after a reset it recovers {found:?}"));
        }
        expect_end(&mut *journal, &anew, "after a reset and reopening").await?;
    }
    Ok(())
}

async fn state(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let mut journal = bench.fresh().await?;
    let mut last = None;
    for round in 0..5_u8 {
        let state = vec![round; 1 + usize::from(round) * 30_000];
        journal.save_state(state.clone()).await?;
        if journal.load_state().await?.as_ref() != Some(&state) {
            return break_claim("what was saved is not what is loaded");
        }
        last = Some(state);
    }
    drop(journal);
    if let Some(mut journal) = bench.reopen().await?
        && journal.load_state().await? != last
    {
        return break_claim("after reopening another state is there");
    }
    if let Some(mut journal) = bench.lose_power().await?
        && journal.load_state().await? != last
    {
        return break_claim("after a power loss another state is there");
    }
    Ok(())
}

async fn survives_process(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (journal, held) = filled(bench, 80, 3000).await?;
    drop(journal);
    let Some(mut journal) = bench.reopen().await? else { return Ok(()) };
    let found = journal.recover().await?;
    if found.newest != newest(&held) || found.base != Position::START {
        return break_claim(format!("80 were appended, it recovers {found:?}"));
    }
    expect_end(&mut *journal, &held, "after reopening").await?;
    journal.append(records(&newest(&held), 5, 100)?).await
}

async fn survives_power(bench: &mut dyn JournalStoreBench) -> Result<()> {
    for _ in 0..8 {
        let (mut journal, mut held) = filled(bench, 20, 3000).await?;
        journal.sync().await?;
        let unsynced = records(&newest(&held), 20, 3000)?;
        journal.append(unsynced.clone()).await?;
        held.extend(unsynced);
        drop(journal);
        let Some(mut journal) = bench.lose_power().await? else { return Ok(()) };
        let found = journal.recover().await?;
        if found.newest.number < UpdateNumber::new(20) {
            return break_claim(format!("20 were synced, it recovers {found:?}"));
        }
        held.truncate(found.newest.number.value() as usize);
        expect_end(&mut *journal, &held, "after a power loss").await?;
    }
    Ok(())
}

async fn sync_meanwhile(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, mut held) = filled(bench, 10, 3000).await?;
    let (first, second) = (journal.sync(), journal.sync());
    let more = records(&newest(&held), 10, 3000)?;
    journal.append(more.clone()).await?;
    held.extend(more);
    let third = journal.sync();
    third.await?;
    first.await?;
    second.await?;
    expect_end(&mut *journal, &held, "after syncs in another order").await
}
