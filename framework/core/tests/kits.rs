//! The kits of core's own parts: what is built in passes, what is broken is caught by name.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use trefoil_core::conformance::arbiter::{self, ArbiterBench, Clock, MemoryArbiter};
use trefoil_core::conformance::topology;
use trefoil_core::model::{Charter, LegMode, SiteName};
use trefoil_core::port::{Arbiter, ChangeOutcome, LeaseRequest, Recorded};
use trefoil_core::topology::{Cascade, ThreeSite, Topology, TwoSite};
use trefoil_core::{Error, ErrorKind, Result};

fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn three_site() -> ThreeSite {
    ThreeSite::new(site("a"), site("b"), site("c")).unwrap()
}

/// Which promise a layout breaks.
#[derive(Clone, Copy, Debug)]
enum Odd {
    /// Two sites take turns as home: two primaries.
    TwoHomes,
    /// A site stands in it twice.
    Twice,
    /// Home is elsewhere.
    Homeless,
    /// The primary is its own follower.
    Circle,
    /// A site of another group follows.
    Stranger,
    /// Nobody feeds the third site.
    Orphan,
    /// The mirror is one in one direction only.
    OneWay,
    /// Two followers read from each other, and nobody from the primary.
    Ring,
    /// The mirror reads from the third site.
    Indirect,
    /// People are not told of it.
    Mute,
}

struct OddLayout(Odd, AtomicU64);

impl Topology for OddLayout {
    fn sites(&self) -> Vec<SiteName> {
        let mut sites = three_site().sites();
        if matches!(self.0, Odd::Twice) {
            sites.push(site("b"));
        }
        sites
    }

    fn home(&self) -> SiteName {
        let turn = self.1.fetch_add(1, Ordering::Relaxed);
        match self.0 {
            Odd::TwoHomes if turn % 2 == 1 => site("b"),
            Odd::Homeless => site("x"),
            _ => site("a"),
        }
    }

    fn legs(&self, primary: &SiteName) -> BTreeMap<SiteName, LegMode> {
        let mut legs = three_site().legs(primary);
        match self.0 {
            Odd::Circle => legs.extend([(primary.clone(), LegMode::Async)]),
            Odd::Stranger => legs.extend([(site("x"), LegMode::Async)]),
            Odd::Orphan => legs.retain(|follower, _| *follower != site("c")),
            Odd::OneWay if *primary == site("b") => legs.extend([(site("a"), LegMode::Async)]),
            _ => {}
        }
        legs
    }

    fn source(&self, primary: &SiteName, asks: &SiteName) -> SiteName {
        let (home, mirror, third) = (site("a"), site("b"), site("c"));
        match self.0 {
            Odd::Ring if *primary == home && *asks == mirror => third,
            Odd::Ring if *primary == home && *asks == third => mirror,
            Odd::Indirect if *primary == home && *asks == mirror => third,
            _ => primary.clone(),
        }
    }

    fn describe(&self) -> String {
        if matches!(self.0, Odd::Mute) { "odd".to_owned() } else { three_site().describe() }
    }
}

#[test]
fn each_layout_of_ours_keeps_every_claim() {
    assert_eq!(topology::prove_all(&three_site()), Ok(()));
    let cascade = Cascade::new(site("a"), site("b"), site("c")).unwrap();
    assert_eq!(topology::prove_all(&cascade), Ok(()));
    for mode in [LegMode::Sync, LegMode::Async] {
        let two_site = TwoSite::new(site("a"), site("b"), mode).unwrap();
        assert_eq!(topology::prove_all(&two_site), Ok(()));
    }
}

#[test]
fn each_broken_layout_is_caught_by_name() {
    for (odd, claim) in [
        (Odd::TwoHomes, "the_same_question_has_the_same_answer"),
        (Odd::Twice, "sites_are_distinct_and_few"),
        (Odd::Homeless, "home_is_one_of_the_sites"),
        (Odd::Circle, "no_site_follows_itself"),
        (Odd::Stranger, "only_sites_of_the_group_follow"),
        (Odd::Orphan, "every_other_site_follows_the_primary"),
        (Odd::OneWay, "a_sync_leg_is_sync_in_both_directions"),
        (Odd::Ring, "every_source_leads_to_the_primary"),
        (Odd::Indirect, "a_sync_leg_reads_from_the_primary_itself"),
        (Odd::Mute, "the_description_names_every_site"),
    ] {
        let layout = OddLayout(odd, AtomicU64::new(0));
        assert_eq!(topology::prove_all(&layout).unwrap_err().claim, claim, "{odd:?}");
        assert_eq!(topology::prove(&layout, claim).unwrap_err().claim, claim, "{odd:?}");
    }
}

/// Which promise an arbiter breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Breaks {
    Nothing,
    /// Changes whatever version is recorded: updates are lost.
    LostUpdate,
    /// Takes an older reign back.
    GoesBack,
    /// Answers that a change whose answer was lost had failed for good.
    ClaimsFailure,
    /// Grants a lease to whoever asks: two at a time.
    LeaseOverlap,
    /// Lets a successor begin at once.
    NoWait,
    /// Counts a refused renewal as one.
    RefusedCounts,
    /// Forgets leases when it is restarted.
    ForgetsLeases,
}

#[derive(Default)]
struct Shared {
    now: AtomicU64,
    /// Until when a takeover waits for a renewal that was refused.
    refused_until: AtomicU64,
    lose_next: Mutex<Option<bool>>,
}

#[derive(Clone)]
struct Fake {
    inner: MemoryArbiter,
    breaks: Breaks,
    shared: Arc<Shared>,
    forgotten: bool,
}

#[async_trait]
impl Arbiter for Fake {
    async fn read(&self) -> Result<Option<Recorded>> {
        self.inner.read().await
    }

    async fn compare_and_set(&self, mut expected: u64, mut new: Charter) -> Result<ChangeOutcome> {
        if self.breaks == Breaks::LostUpdate {
            expected = self.read().await?.map_or(0, |recorded| recorded.version);
        }
        if self.breaks == Breaks::GoesBack
            && let Some(held) = self.read().await?
            && new.rank() <= held.charter.rank()
        {
            (new.generation, new.version) = (held.charter.generation, held.charter.version + 1);
        }
        let lost = self.shared.lose_next.lock().unwrap().take();
        if lost == Some(false) {
            return Err(Error::unavailable("record charter: no answer"));
        }
        let outcome = self.inner.compare_and_set(expected, new).await?;
        match lost {
            Some(_) if self.breaks == Breaks::ClaimsFailure => {
                Err(Error::refused("record charter: failed"))
            }
            Some(_) => Err(Error::new(ErrorKind::Timeout, "record charter: no answer in time")),
            None => Ok(outcome),
        }
    }

    async fn renew(&self, lease: LeaseRequest) -> Result<Duration> {
        let duration = lease.duration;
        match self.inner.renew(lease).await {
            Err(_) if self.breaks == Breaks::LeaseOverlap => Ok(duration),
            Err(error) if self.breaks == Breaks::RefusedCounts => {
                let until = self.shared.now.load(Ordering::Relaxed) + 2000;
                self.shared.refused_until.store(until, Ordering::Relaxed);
                Err(error)
            }
            other => other,
        }
    }

    async fn takeover_wait(&self) -> Result<Duration> {
        if self.breaks == Breaks::NoWait || self.forgotten {
            return Ok(Duration::ZERO);
        }
        let wait = self.inner.takeover_wait().await?;
        if self.breaks == Breaks::RefusedCounts {
            let now = self.shared.now.load(Ordering::Relaxed);
            let until = self.shared.refused_until.load(Ordering::Relaxed);
            return Ok(wait.max(Duration::from_millis(until.saturating_sub(now))));
        }
        Ok(wait)
    }

    fn describe(&self) -> String {
        format!("{:?}", self.breaks)
    }
}

struct Fakes(Breaks, Option<Fake>);

#[async_trait]
impl ArbiterBench for Fakes {
    async fn fresh(&mut self) -> Result<Arc<dyn Arbiter>> {
        let shared = Arc::<Shared>::default();
        let ticking = shared.clone();
        let clock: Clock =
            Arc::new(move || Duration::from_millis(ticking.now.load(Ordering::Relaxed)));
        let inner = MemoryArbiter::new(clock);
        let fake = Fake { inner, breaks: self.0, shared, forgotten: false };
        Ok(Arc::new(self.1.insert(fake).clone()))
    }

    async fn restart(&mut self) -> Result<Option<Arc<dyn Arbiter>>> {
        let mut again = self.1.clone().unwrap();
        again.forgotten = self.0 == Breaks::ForgetsLeases;
        Ok(Some(Arc::new(again)))
    }

    fn lose_answer(&mut self, made: bool) -> bool {
        *self.1.as_ref().unwrap().shared.lose_next.lock().unwrap() = Some(made);
        true
    }

    async fn pass(&mut self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).unwrap();
        self.1.as_ref().unwrap().shared.now.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

/// Nothing here ever waits, so one poll is all.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("an arbiter in memory waits for something"),
    }
}

#[test]
fn the_memory_arbiter_keeps_every_claim() {
    assert_eq!(at_once(arbiter::prove_all(&mut Fakes(Breaks::Nothing, None))), Ok(()));
}

#[test]
fn each_broken_arbiter_is_caught_by_name() {
    for (breaks, claim) in [
        (Breaks::LostUpdate, "nothing_is_recorded_at_first"),
        (Breaks::LostUpdate, "of_two_changes_at_once_one_wins"),
        (Breaks::LostUpdate, "a_change_of_an_old_version_loses_and_leaves_nothing"),
        (Breaks::GoesBack, "a_charter_never_goes_back"),
        (Breaks::ClaimsFailure, "an_unknown_outcome_is_found_by_reading"),
        (Breaks::LeaseOverlap, "a_lease_is_for_the_recorded_primary_alone"),
        (Breaks::NoWait, "an_older_lease_is_waited_out"),
        (Breaks::RefusedCounts, "a_refused_renewal_changes_nothing"),
        (Breaks::ForgetsLeases, "a_restart_forgets_nothing"),
    ] {
        let violation = at_once(arbiter::prove(&mut Fakes(breaks, None), claim)).unwrap_err();
        assert_eq!(violation.claim, claim, "{breaks:?}");
        let first = at_once(arbiter::prove_all(&mut Fakes(breaks, None)));
        assert!(first.is_err(), "{breaks:?}");
    }
}
