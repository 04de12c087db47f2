//! How the charter changes.

use super::{ArbiterBench, break_claim, charter, expect, join, set};
use crate::port::ChangeOutcome;
use crate::{ErrorKind, Result};

pub(super) async fn nothing(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    if let Some(found) = arbiter.read().await? {
        return break_claim(format!("a new arbiter has recorded {found:?}"));
    }
    match arbiter.compare_and_set(1, charter(1, 1, "a")?).await? {
        ChangeOutcome::Lost(None) => Ok(()),
        other => break_claim(format!("version 1 of nothing is changed: {other:?}")),
    }
}

pub(super) async fn is_read(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let mut version = 0;
    for (count, step, primary) in [(1, 1, "a"), (1, 2, "a"), (2, 1, "b"), (7, 1, "c"), (7, 9, "c")]
    {
        let next = charter(count, step, primary)?;
        version = set(&*arbiter, version, next.clone()).await?;
        expect(&*arbiter, version, &next, "after a change").await?;
    }
    Ok(())
}

pub(super) async fn one_wins(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let mut version = 0;
    for count in 1..20 {
        let (b, c) = (charter(count, 1, "b")?, charter(count, 2, "c")?);
        let one = arbiter.compare_and_set(version, b.clone());
        let other = arbiter.compare_and_set(version, c.clone());
        let (one, other) = join(one, other).await;
        let (won, lost, winner) = match (one?, other?) {
            (ChangeOutcome::Won(won), ChangeOutcome::Lost(lost)) => (won, lost, b),
            (ChangeOutcome::Lost(lost), ChangeOutcome::Won(won)) => (won, lost, c),
            other => return break_claim(format!("two changes of one version ended {other:?}")),
        };
        if lost.as_ref().is_none_or(|lost| lost.version != won || lost.charter != winner) {
            return break_claim(format!("the loser is told {lost:?}, not {winner:?}"));
        }
        expect(&*arbiter, won, &winner, "after two changes at once").await?;
        version = won;
    }
    Ok(())
}

pub(super) async fn old_version(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let first = set(&*arbiter, 0, charter(1, 1, "a")?).await?;
    let held = charter(2, 1, "b")?;
    let second = set(&*arbiter, first, held.clone()).await?;
    for expected in [0, first, second + 1, u64::MAX] {
        match arbiter.compare_and_set(expected, charter(9, 1, "c")?).await? {
            ChangeOutcome::Lost(Some(current)) if current.version == second => {}
            other => return break_claim(format!("changing version {expected} gave {other:?}")),
        }
        expect(&*arbiter, second, &held, "after a change that lost").await?;
    }
    Ok(())
}

pub(super) async fn never_back(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let held = charter(5, 3, "b")?;
    let version = set(&*arbiter, 0, held.clone()).await?;
    for older in [charter(4, 9, "a")?, charter(5, 2, "b")?, held.clone()] {
        match arbiter.compare_and_set(version, older.clone()).await {
            Err(error) if error.kind() == ErrorKind::Refused => {}
            other => return break_claim(format!("{:?} after (5, 3): {other:?}", older.rank())),
        }
        expect(&*arbiter, version, &held, "after an older charter was refused").await?;
    }
    Ok(())
}

pub(super) async fn unknown_outcome(bench: &mut dyn ArbiterBench) -> Result<()> {
    for made in [true, false] {
        let arbiter = bench.fresh().await?;
        let old = charter(1, 1, "a")?;
        let version = set(&*arbiter, 0, old.clone()).await?;
        if !bench.lose_answer(made) {
            return Ok(());
        }
        let new = charter(2, 1, "b")?;
        match arbiter.compare_and_set(version, new.clone()).await {
            Err(error) if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable) => {}
            other => return break_claim(format!("a lost answer is told as {other:?}")),
        }
        if !made {
            expect(&*arbiter, version, &old, "after a change that was not made").await?;
            set(&*arbiter, version, new).await?;
            continue;
        }
        let Some(found) = arbiter.read().await? else {
            return break_claim("after a lost answer nothing is recorded");
        };
        if found.charter != new || found.version <= version {
            return break_claim(format!("a change was made, and {found:?} is read"));
        }
        // Whoever tries again by the version that it knew does not make the change twice.
        match arbiter.compare_and_set(version, charter(2, 2, "b")?).await? {
            ChangeOutcome::Lost(_) => {}
            other => return break_claim(format!("the same version is changed twice: {other:?}")),
        }
    }
    Ok(())
}
