//! Full, trimmed and reset journals.

use super::{JournalStoreBench, expect_end, expect_kind, filled, newest, records};
use crate::conformance::break_claim;
use crate::model::{Position, UpdateNumber};
use crate::port::JournalStore;
use crate::record::Record;
use crate::{ErrorKind, Result};

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

pub(super) async fn full(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn trims(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn trim_makes_room(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn resets(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn sets_aside(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 40, 10_000).await?;
    for after in [30, 30, 0] {
        let place = journal.set_aside(UpdateNumber::new(after)).await?;
        if place.is_empty() {
            return break_claim("it does not say where the records are now");
        }
        expect_end(&mut *journal, &held, "after setting a tail aside").await?;
    }
    let more = records(&newest(&held), 5, 500)?;
    journal.append(more.clone()).await?;
    expect_end(&mut *journal, &[held, more].concat(), "after going on").await
}

pub(super) async fn truncates(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, mut held) = filled(bench, 100, 60_000).await?;
    for after in [100, 99, 61, 7] {
        journal.truncate(UpdateNumber::new(after)).await?;
        held.truncate(after as usize);
        expect_end(&mut *journal, &held, "after truncating").await?;
    }
    let behind = journal.truncate(UpdateNumber::new(50)).await;
    expect_kind("truncating after what is not held", ErrorKind::Invalid, behind).await?;
    held.extend(records(&newest(&held), 30, 50_000)?);
    journal.append(held.get(7..).unwrap_or_default().to_vec()).await?;
    journal.sync().await?;
    expect_end(&mut *journal, &held, "after truncating and going on").await?;
    journal.truncate(UpdateNumber::new(20)).await?;
    held.truncate(20);
    drop(journal);
    if let Some(mut journal) = bench.reopen().await? {
        let found = journal.recover().await?;
        if found.newest != newest(&held) {
            return break_claim(format!("truncated after 20, it recovers {found:?}"));
        }
        expect_end(&mut *journal, &held, "after truncating and reopening").await?;
    }
    Ok(())
}
