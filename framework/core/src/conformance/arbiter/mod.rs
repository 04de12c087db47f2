//! The suite for arbiters: every claim of [`Arbiter`]'s "To be correct" list that can be seen from
//! outside, and [`MemoryArbiter`], which keeps them all.

mod change;
mod lease;
mod memory;

pub use memory::{Clock, MemoryArbiter};

use super::together::join;
use super::{Claim, Violation, break_claim, names, prove_claim, prove_claims};
use crate::Result;
use crate::model::{Charter, Fence, Generation, SiteName};
use crate::port::{Arbiter, ChangeOutcome, LeaseRequest};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Makes the arbiters that the suite tries.
#[async_trait]
pub trait ArbiterBench: Send {
    /// An arbiter that has recorded nothing.
    async fn fresh(&mut self) -> Result<Arc<dyn Arbiter>>;

    /// The newest arbiter after it was stopped and started, as a new client sees it. `None` if it
    /// cannot be restarted.
    async fn restart(&mut self) -> Result<Option<Arc<dyn Arbiter>>> {
        Ok(None)
    }

    /// Loses the answer to the next change of the newest arbiter, after the change was `made` or
    /// before it reached the arbiter. False if that cannot be tried.
    fn lose_answer(&mut self, made: bool) -> bool {
        let _ = made;
        false
    }

    /// Lets this much time pass, by the arbiter's clock.
    async fn pass(&mut self, time: Duration);
}

/// How long the suite's leases are. An arbiter with a real clock makes the suite wait for some.
pub const LEASE: Duration = Duration::from_secs(2);

/// After how many times its length a lease is over for certain, margins included.
const LEASES_MAX: u32 = 3;

/// A bench, whoever made it.
type Bench = dyn ArbiterBench + 'static;

/// A claim by name, and its trial.
macro_rules! claim {
    ($name:literal, $trial:path) => {
        Claim { name: $name, trial: |bench: &mut Bench| Box::pin($trial(bench)) }
    };
}

const TABLE: [Claim<Bench>; 11] = [
    claim!("nothing_is_recorded_at_first", change::nothing),
    claim!("what_was_set_is_read", change::is_read),
    claim!("of_two_changes_at_once_one_wins", change::one_wins),
    claim!("a_change_of_an_old_version_loses_and_leaves_nothing", change::old_version),
    claim!("a_charter_never_goes_back", change::never_back),
    claim!("an_unknown_outcome_is_found_by_reading", change::unknown_outcome),
    claim!("a_lease_is_for_the_recorded_primary_alone", lease::primary_alone),
    claim!("an_older_lease_is_waited_out", lease::waited_out),
    claim!("a_refused_renewal_changes_nothing", lease::refused),
    claim!("a_lease_ends", lease::ends),
    claim!("a_restart_forgets_nothing", lease::restart),
];

/// What is proved, by name and in this order.
pub const CLAIMS: [&str; TABLE.len()] = names(&TABLE);

/// Proves every claim, each on a fresh arbiter.
///
/// # Errors
/// The first claim that does not hold, and what was seen.
pub async fn prove_all(bench: &mut (dyn ArbiterBench + 'static)) -> Result<(), Violation> {
    prove_claims(bench, &TABLE).await
}

/// Proves the claim of that name, one of [`CLAIMS`].
///
/// # Errors
/// That it does not hold, or that there is no such claim.
pub async fn prove(bench: &mut (dyn ArbiterBench + 'static), claim: &str) -> Result<(), Violation> {
    prove_claim(bench, &TABLE, claim).await
}

fn site(name: &str) -> Result<SiteName> {
    SiteName::new(name)
}

/// The charter of the reign `count` of `primary`.
fn charter(count: u64, version: u64, primary: &str) -> Result<Charter> {
    Ok(Charter {
        generation: Generation { count, id: count * 100 },
        version,
        primary: site(primary)?,
        active: version > 1,
        settled: Generation::NONE,
        in_sync: Vec::new(),
        fence: Fence::Status,
        voters: Vec::new(),
        voters_before: Vec::new(),
        untold: None,
        consented: Generation::NONE,
    })
}

/// Makes a change that nothing stands against; returns its version.
async fn set(arbiter: &dyn Arbiter, expected: u64, charter: Charter) -> Result<u64> {
    match arbiter.compare_and_set(expected, charter).await? {
        ChangeOutcome::Won(version) if version > expected => Ok(version),
        other => break_claim(format!("version {expected} is recorded; changing it gave {other:?}")),
    }
}

fn request(holder: &str, count: u64) -> Result<LeaseRequest> {
    let generation = Generation { count, id: count * 100 };
    Ok(LeaseRequest { holder: site(holder)?, generation, duration: LEASE })
}

/// What is recorded is this charter, under this version.
async fn expect(arbiter: &dyn Arbiter, version: u64, charter: &Charter, when: &str) -> Result<()> {
    match arbiter.read().await? {
        Some(found) if found.version == version && found.charter == *charter => Ok(()),
        other => break_claim(format!("{when}: version {version} is read as {other:?}")),
    }
}
