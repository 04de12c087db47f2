//! Journals of others, and devices that fail.

use super::{JournalStoreBench, expect_end, filled, newest, records};
use crate::Result;
use crate::conformance::break_claim;
use crate::model::UpdateNumber;

pub(super) async fn foreign(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 10, 100).await?;
    journal.sync().await?;
    journal.save_state(vec![7; 100]).await?;
    drop(journal);
    match bench.open_as_other().await {
        None => return Ok(()),
        // It may be found out when it is opened, or when it is recovered.
        Some(Ok(mut journal)) => {
            if journal.recover().await.is_ok() {
                return break_claim("the journal of another site was opened");
            }
        }
        Some(Err(_)) => {}
    }
    let Some(mut journal) = bench.reopen().await? else { return Ok(()) };
    journal.recover().await?;
    expect_end(&mut *journal, &held, "after another site tried").await?;
    if journal.load_state().await? != Some(vec![7; 100]) {
        return break_claim("the state is another after another site tried");
    }
    Ok(())
}

pub(super) async fn failed_sync(bench: &mut dyn JournalStoreBench) -> Result<()> {
    let (mut journal, held) = filled(bench, 10, 100).await?;
    if !bench.fail_next_sync() {
        return Ok(());
    }
    let next = records(&newest(&held), 1, 100)?;
    if journal.sync().await.is_ok() {
        return break_claim("the sync that failed was answered as done");
    }
    let later = [
        ("sync", journal.sync().await),
        ("append", journal.append(next).await),
        ("read", journal.read(UpdateNumber::new(1), 100).await.map(|_| ())),
        ("save of the state", journal.save_state(vec![1]).await),
        ("sync again", journal.sync().await),
    ];
    for (what, result) in later {
        if result.is_ok() {
            return break_claim(format!("after a failed sync a {what} was answered as done"));
        }
    }
    drop(journal);
    let Some(mut journal) = bench.reopen().await? else { return Ok(()) };
    if !journal.recover().await?.suspect {
        return break_claim("the next process is not told that a sync had failed");
    }
    Ok(())
}
