//! What a journal still holds after it was closed, lost its power, or was torn.

use super::{JournalStoreBench, expect_end, filled, newest, records};
use crate::Result;
use crate::conformance::break_claim;
use crate::model::{Position, UpdateNumber};

pub(super) async fn state(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn process(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn power(bench: &mut dyn JournalStoreBench) -> Result<()> {
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

pub(super) async fn torn_tail(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, mut held) = filled(bench, 30, 2000).await?;
    journal.append(records(&newest(&held), 1, 5000)?).await?;
    drop(journal);
    let Some(mut journal) = bench.tear_tail().await? else { return Ok(()) };
    let found = journal.recover().await?;
    if found.newest != newest(&held) || found.cut.is_none() {
        return break_claim(format!("30 are whole and one is torn, it recovers {found:?}"));
    }
    expect_end(&mut *journal, &held, "after a torn tail").await?;
    let other = records(&newest(&held), 3, 700)?;
    journal.append(other.clone()).await?;
    held.extend(other);
    drop(journal);
    let Some(mut journal) = bench.reopen().await? else { return Ok(()) };
    let found = journal.recover().await?;
    if found.newest != newest(&held) || found.cut.is_some() {
        return break_claim(format!("the tail was cut before, it recovers {found:?}"));
    }
    expect_end(&mut *journal, &held, "after a cut tail and reopening").await
}
