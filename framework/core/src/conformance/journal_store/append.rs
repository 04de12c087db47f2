//! What may be appended, and how it is read.

use super::{JournalStoreBench, expect, expect_end, expect_kind, filled, newest, records};
use crate::conformance::break_claim;
use crate::model::{Chain, Generation, Position, SiteName, UpdateNumber};
use crate::record::{GenerationMark, Record};
use crate::{ErrorKind, Result};

pub(super) async fn empty(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn reads_back(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn refuses_gaps(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 10, 100).await?;
    let next = records(&newest(&held), 4, 100)?;
    let gap = next.get(1..).unwrap_or_default().to_vec();
    expect_kind("a gap", ErrorKind::Invalid, journal.append(gap).await).await?;
    let again = held.get(9..).unwrap_or_default().to_vec();
    expect_kind("a record again", ErrorKind::Invalid, journal.append(again).await).await?;
    let holed: Vec<Record> =
        next.iter().enumerate().filter(|(i, _)| *i != 2).map(|(_, r)| r.clone()).collect();
    expect_kind("a gap in a batch", ErrorKind::Invalid, journal.append(holed).await).await?;
    let elsewhere = Position { chain: Chain::from_value(1), ..newest(&held) };
    let other = records(&elsewhere, 1, 100)?;
    expect_kind("another history", ErrorKind::Invalid, journal.append(other).await).await?;
    expect_end(&mut *journal, &held, "after refused appends").await?;
    journal.append(next.clone()).await?;
    let all: Vec<Record> = held.into_iter().chain(next).collect();
    expect(&mut *journal, &all, "after all").await
}

pub(super) async fn sync_meanwhile(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn generations(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, mut held) = filled(bench, 10, 100).await?;
    let old = records(&newest(&held), 1, 100)?;
    let (parent, before) = (newest(&held), newest(&held).generation);
    let mark = |count, id| {
        let generation = Generation { count, id };
        let primary = SiteName::new("b")?;
        Record::generation_mark(&GenerationMark { generation, parent, primary }, 9)
    };
    // A newer one without its Generation record does not follow, nor does an older one with it.
    let later = Position { generation: before.succeed(5), ..parent };
    let bare = journal.append(records(&later, 1, 100)?).await;
    expect_kind("a new generation without its record", ErrorKind::Invalid, bare).await?;
    let older = journal.append(vec![mark(before.count - 1, 5)?]).await;
    expect_kind("an older generation", ErrorKind::Invalid, older).await?;
    held.push(mark(before.count + 4, 5)?);
    journal.append(held.iter().rev().take(1).cloned().collect()).await?;
    expect_kind("a record of the old one", ErrorKind::Invalid, journal.append(old).await).await?;
    let more = records(&newest(&held), 10, 100)?;
    journal.append(more.clone()).await?;
    held.extend(more);
    expect_end(&mut *journal, &held, "after a new generation").await?;
    drop(journal);
    if let Some(mut journal) = bench.reopen().await? {
        let found = journal.recover().await?;
        if found.newest != newest(&held) {
            return break_claim(format!("{:?} is newest, it recovers {found:?}", newest(&held)));
        }
        expect_end(&mut *journal, &held, "after a new generation and reopening").await?;
    }
    Ok(())
}
