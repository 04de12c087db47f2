//! An arbiter outside of the sites, as bad as one may be: it answers late, is away or cut off from
//! single sites, loses questions and answers, and makes changes long after it was asked.

use crate::dice::Dice;
use crate::oracle::SITES;
use crate::plan::Court as CourtPlan;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use trefoil_core::conformance::arbiter::MemoryArbiter;
use trefoil_core::model::Charter;
use trefoil_core::port::{Arbiter, ChangeOutcome, LeaseRequest, Recorded};
use trefoil_core::{Error, ErrorKind, Result};

/// The longest time after which a lost change may still be made.
const LATE_MS_MAX: u64 = 1500;

#[derive(Debug)]
struct State {
    dice: Dice,
    plan: CourtPlan,
    /// Nobody is answered before this: it is down, or is started again.
    down_until: Instant,
    /// From which sites it is cut off, and until when.
    cut_until: [Instant; 3],
    /// Changes that were given up on by whoever asked, and come to it later.
    late: Vec<(Instant, u64, Charter)>,
    unknown: u64,
}

/// The arbiter itself.
pub struct Court {
    records: MemoryArbiter,
    state: Mutex<State>,
}

impl Court {
    pub fn new(plan: CourtPlan, dice: Dice) -> Arc<Self> {
        let begun = Instant::now();
        let state = State {
            dice,
            plan,
            down_until: begun,
            cut_until: [begun; 3],
            late: Vec::new(),
            unknown: 0,
        };
        let records = MemoryArbiter::new(Arc::new(move || begun.elapsed()));
        Arc::new(Self { records, state: Mutex::new(state) })
    }

    /// The arbiter as one site reaches it.
    pub fn seen_from(self: &Arc<Self>, site: usize) -> Arc<dyn Arbiter> {
        Arc::new(SeenFrom { court: self.clone(), site })
    }

    /// It is away from all sites for a while.
    pub fn stop(&self, lasts: Duration) {
        let mut state = self.state.lock();
        state.down_until = state.down_until.max(Instant::now() + lasts);
    }

    /// It is cut off from a site for a while.
    pub fn cut(&self, site: usize, lasts: Duration) {
        self.state.lock().cut_until[site] = Instant::now() + lasts;
    }

    /// From now on nothing goes wrong; what is late still comes.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        let now = Instant::now();
        (state.down_until, state.cut_until) = (now, [now; 3]);
        state.plan.loses_percent = 0;
    }

    /// How many changes had an outcome that their site was not told.
    pub fn unknown(&self) -> u64 {
        self.state.lock().unknown
    }

    fn keep_for_later(&self, expected: u64, charter: Charter) {
        let mut state = self.state.lock();
        let at = Instant::now() + state.dice.ms(1..=LATE_MS_MAX);
        state.late.push((at, expected, charter));
    }

    /// Makes the changes that are due by now.
    async fn make_late_ones(&self) {
        loop {
            let due = {
                let mut state = self.state.lock();
                let now = Instant::now();
                let next = state.late.iter().position(|(at, ..)| *at <= now);
                next.map(|index| state.late.remove(index))
            };
            let Some((_, expected, charter)) = due else { return };
            drop(self.records.compare_and_set(expected, charter).await);
        }
    }
}

/// What becomes of a question.
enum Way {
    /// It is answered.
    There,
    /// It never comes to the arbiter.
    QuestionLost,
    /// It is done, and nobody is told.
    AnswerLost,
    /// It is done after the asker gave up.
    Late,
}

struct SeenFrom {
    court: Arc<Court>,
    site: usize,
}

impl SeenFrom {
    /// The way to the arbiter.
    async fn go(&self) -> Result<Way> {
        let (delay, reachable, way) = {
            let mut state = self.court.state.lock();
            let now = Instant::now();
            let reachable = now >= state.down_until && now >= state.cut_until[self.site];
            let (most, loses) = (state.plan.delay_ms_max, state.plan.loses_percent);
            let delay = state.dice.ms(0..=most);
            let kind = if state.dice.percent(loses) { state.dice.below(3) + 1 } else { 0 };
            let way = match kind {
                0 => Way::There,
                1 => Way::QuestionLost,
                2 => Way::AnswerLost,
                _ => Way::Late,
            };
            (delay, reachable, way)
        };
        sleep(delay).await;
        if !reachable {
            return Err(self.away());
        }
        self.court.make_late_ones().await;
        match way {
            Way::QuestionLost => Err(self.silence().await),
            way => Ok(way),
        }
    }

    fn away(&self) -> Error {
        Error::unavailable(format!("ask arbiter: it is not there for {}", SITES[self.site]))
    }

    /// Nothing comes back, for longer than anybody waits.
    async fn silence(&self) -> Error {
        sleep_until(Instant::now() + Duration::from_secs(5)).await;
        Error::new(ErrorKind::Timeout, "ask arbiter: no answer")
    }

    /// The answer, if it comes back.
    async fn back<T>(&self, way: &Way, answer: Result<T>) -> Result<T> {
        match way {
            Way::There => answer,
            _ => Err(self.silence().await),
        }
    }
}

#[async_trait]
impl Arbiter for SeenFrom {
    async fn read(&self) -> Result<Option<Recorded>> {
        let way = self.go().await?;
        let answer = self.court.records.read().await;
        self.back(&way, answer).await
    }

    async fn compare_and_set(&self, expected: u64, charter: Charter) -> Result<ChangeOutcome> {
        let way = self.go().await?;
        if !matches!(way, Way::There) {
            self.court.state.lock().unknown += 1;
        }
        if matches!(way, Way::Late) {
            self.court.keep_for_later(expected, charter);
            return Err(self.silence().await);
        }
        let answer = self.court.records.compare_and_set(expected, charter).await;
        self.back(&way, answer).await
    }

    async fn renew(&self, lease: LeaseRequest) -> Result<Duration> {
        let way = self.go().await?;
        let answer = self.court.records.renew(lease).await;
        self.back(&way, answer).await
    }

    async fn takeover_wait(&self) -> Result<Duration> {
        let way = self.go().await?;
        let answer = self.court.records.takeover_wait().await;
        self.back(&way, answer).await
    }

    fn describe(&self) -> String {
        "simulated".to_owned()
    }
}
