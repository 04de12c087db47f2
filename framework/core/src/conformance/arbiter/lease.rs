//! For how long a primary may answer, and how long its successor waits.

use super::{ArbiterBench, LEASE, LEASES_MAX, break_claim, charter, expect, request, set};
use crate::port::Arbiter;
use crate::{ErrorKind, Result};
use std::time::Duration;

/// How long something may take that is not meant to take time.
const SLACK: Duration = Duration::from_millis(500);

async fn granted(arbiter: &dyn Arbiter, holder: &str, count: u64) -> Result<()> {
    let time = arbiter.renew(request(holder, count)?).await?;
    if time > LEASE || time.is_zero() {
        return break_claim(format!("asked for {LEASE:?}, {time:?} was granted"));
    }
    Ok(())
}

async fn fenced(arbiter: &dyn Arbiter, holder: &str, count: u64) -> Result<()> {
    match arbiter.renew(request(holder, count)?).await {
        Err(error) if error.kind() == ErrorKind::Fenced => Ok(()),
        other => break_claim(format!("{holder} asked in generation {count}, and got {other:?}")),
    }
}

/// A takeover waits at least this long now.
async fn waits(arbiter: &dyn Arbiter, at_least: Duration, when: &str) -> Result<()> {
    let wait = arbiter.takeover_wait().await?;
    if wait + SLACK / 10 < at_least {
        return break_claim(format!("{when} a takeover waits {wait:?}, not {at_least:?}"));
    }
    Ok(())
}

pub(super) async fn primary_alone(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    fenced(&*arbiter, "a", 1).await?;
    let first = set(&*arbiter, 0, charter(1, 1, "a")?).await?;
    granted(&*arbiter, "a", 1).await?;
    fenced(&*arbiter, "b", 1).await?;
    fenced(&*arbiter, "a", 2).await?;
    let second = set(&*arbiter, first, charter(2, 1, "b")?).await?;
    fenced(&*arbiter, "a", 1).await?;
    fenced(&*arbiter, "a", 2).await?;
    granted(&*arbiter, "b", 2).await?;
    // The same site in a later reign is somebody else.
    set(&*arbiter, second, charter(3, 1, "b")?).await?;
    fenced(&*arbiter, "b", 2).await
}

pub(super) async fn waited_out(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let first = set(&*arbiter, 0, charter(1, 1, "a")?).await?;
    granted(&*arbiter, "a", 1).await?;
    bench.pass(LEASE / 2).await;
    granted(&*arbiter, "a", 1).await?;
    let second = set(&*arbiter, first, charter(2, 1, "b")?).await?;
    waits(&*arbiter, LEASE - SLACK, "right after a renewal").await?;
    // A second takeover does not make the first primary's lease shorter.
    set(&*arbiter, second, charter(3, 1, "c")?).await?;
    granted(&*arbiter, "c", 3).await?;
    waits(&*arbiter, LEASE - SLACK, "after a second takeover").await?;
    bench.pass(LEASE / 2).await;
    waits(&*arbiter, LEASE / 2 - SLACK, "half a lease later").await
}

pub(super) async fn refused(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let first = set(&*arbiter, 0, charter(1, 1, "a")?).await?;
    granted(&*arbiter, "a", 1).await?;
    let held = charter(2, 1, "b")?;
    let second = set(&*arbiter, first, held.clone()).await?;
    for _ in 0..4 {
        bench.pass(LEASE * LEASES_MAX / 4).await;
        fenced(&*arbiter, "a", 1).await?;
    }
    let wait = arbiter.takeover_wait().await?;
    if !wait.is_zero() {
        return break_claim(format!("a was refused for long, and a takeover waits {wait:?}"));
    }
    expect(&*arbiter, second, &held, "after refused renewals").await
}

pub(super) async fn ends(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let first = set(&*arbiter, 0, charter(1, 1, "a")?).await?;
    granted(&*arbiter, "a", 1).await?;
    bench.pass(LEASE * LEASES_MAX).await;
    set(&*arbiter, first, charter(2, 1, "b")?).await?;
    let wait = arbiter.takeover_wait().await?;
    if !wait.is_zero() {
        return break_claim(format!(
            "a lease of {LEASE:?} is long over, a takeover waits {wait:?}"
        ));
    }
    Ok(())
}

pub(super) async fn restart(bench: &mut dyn ArbiterBench) -> Result<()> {
    let arbiter = bench.fresh().await?;
    let first = set(&*arbiter, 0, charter(1, 1, "a")?).await?;
    granted(&*arbiter, "a", 1).await?;
    let held = charter(2, 1, "b")?;
    let second = set(&*arbiter, first, held.clone()).await?;
    drop(arbiter);
    let Some(arbiter) = bench.restart().await? else { return Ok(()) };
    expect(&*arbiter, second, &held, "after a restart").await?;
    waits(&*arbiter, LEASE - SLACK, "after a restart").await?;
    fenced(&*arbiter, "a", 1).await
}
