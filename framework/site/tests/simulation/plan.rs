//! What a seed makes of a run: sizes, times, the host's pace, and which kinds of fault happen.

use crate::dice::Dice;
use crate::layout::Layout;
use std::time::Duration;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Fence};
use trefoil_site::{Limits, Timing};

/// A kind of fault. Each seed switches on some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A path becomes slow or quick.
    Delay,
    /// Nothing passes between two sites for a while.
    Cut,
    /// Nothing passes in one direction for a while.
    CutOneWay,
    /// Two sites lose their links and each other for a while.
    CutAndDrop,
    /// A site is cut off from both others for a while.
    Isolate,
    /// Two sites lose their links.
    Drop,
    /// A site's network stands still for a while.
    Freeze,
    /// A process dies and is started again.
    Crash,
    /// A process dies and is started again at once, several times.
    CrashLoop,
    /// A machine loses power and is started again.
    PowerLoss,
    /// All three machines lose power.
    PowerLossOfAll,
    /// All three processes die.
    CrashOfAll,
    /// A disk becomes slow or quick.
    SlowDisk,
    /// A sync fails; the site gives up and is restarted.
    FailedSync,
    /// A disk is full for a while.
    FullDisk,
    /// The operator takes over somewhere.
    Takeover,
    /// The leading process dies and the operator takes over at another site.
    Failover,
    /// The leading site is cut off and the operator takes over at another site.
    CutAndTakeover,
    /// The leading site dies or is cut off, nobody does anything, and it comes back. Only where
    /// sites take over by themselves.
    LosePrimary,
    // What comes from here on is drawn apart, so that older seeds stay what they are.
    /// The operator exchanges roles as planned.
    Swap,
    /// The same, and somebody dies or is cut off in the middle.
    SwapAndCrash,
    /// The operator suspends a leg for a while.
    Suspend,
    /// The arbiter outside of the sites is away for a while. Only where there is one.
    StopArbiter,
    /// A site does not reach the arbiter for a while.
    CutArbiter,
}

/// The kinds that were there first.
pub const FAULTS: [Fault; 18] = [
    Fault::Delay,
    Fault::Cut,
    Fault::CutOneWay,
    Fault::CutAndDrop,
    Fault::Isolate,
    Fault::Drop,
    Fault::Freeze,
    Fault::Crash,
    Fault::CrashLoop,
    Fault::PowerLoss,
    Fault::PowerLossOfAll,
    Fault::CrashOfAll,
    Fault::SlowDisk,
    Fault::FailedSync,
    Fault::FullDisk,
    Fault::Takeover,
    Fault::Failover,
    Fault::CutAndTakeover,
];

/// The kinds that came later.
const LATER: [Fault; 3] = [Fault::Swap, Fault::SwapAndCrash, Fault::Suspend];

/// An arbiter outside of the sites.
#[derive(Clone, Copy, Debug)]
pub struct Court {
    /// The longest way to it, in milliseconds.
    pub delay_ms_max: u64,
    /// Of how many of a hundred questions nobody knows what came of them.
    pub loses_percent: u64,
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many sites there are, and who follows whom.
    pub layout: Layout,
    /// The size of each volume, in bytes.
    pub volumes: Vec<u64>,
    /// What each site's journal holds, in bytes.
    pub journals: [u64; 3],
    pub durability: Durability,
    pub on_full: OnFull,
    pub limits: Limits,
    pub timing: Timing,
    /// How many hosts write at the same time.
    pub writers: u64,
    /// The most sectors of one write.
    pub write_sectors_max: u64,
    /// The longest pause of a writer, in milliseconds.
    pub think_ms_max: u64,
    /// How long faults happen, in milliseconds.
    pub faulty_ms: u64,
    /// The longest pause between two faults, in milliseconds.
    pub pause_ms_max: u64,
    /// The kinds of fault that happen.
    pub faults: Vec<Fault>,
    /// Whether disks take time from the beginning.
    pub slow_disks: bool,
    /// How far each site's clock is off, in parts per million.
    pub drift_ppm: [i64; 3],
    /// Whether an operator ever accepts a loss.
    pub accepts_loss: bool,
    /// What happens when the sync leg is lost.
    pub fence: Fence,
    /// After how many milliseconds of silence sites take over by themselves, if they do.
    pub takeover_delay_ms: Option<u64>,
    /// Who keeps the charter, if not the sites themselves.
    pub court: Option<Court>,
}

/// Mostly the default, so that seeds stay what they are about.
const LEVELS: [Fence; 6] =
    [Fence::Status, Fence::Status, Fence::Status, Fence::Status, Fence::Data, Fence::Never];

impl Plan {
    /// The plan of a seed.
    pub fn draw(dice: &Dice) -> Self {
        let (mut later, mut levels) = (dice.part(5), dice.part(6));
        // Drawn apart, so that seeds without one stay what they are.
        let (mut court, mut layout) = (dice.part(8), dice.part(9));
        let mut dice = dice.part(1);
        let kib = |dice: &mut Dice, of: &[u64]| dice.pick(of) << 10;
        let volumes = vec![kib(&mut dice, &[64, 128, 256]), kib(&mut dice, &[64, 128])];
        let small = dice.percent(35);
        let journal =
            |dice: &mut Dice| if small { dice.within(300..=1200) << 10 } else { 64 << 20 };
        let journals = [journal(&mut dice), journal(&mut dice), journal(&mut dice)];
        let durability = if dice.percent(20) { Durability::Write } else { Durability::Flush };
        let on_full = if dice.percent(20) { OnFull::Pace } else { OnFull::Map };
        let limits = Limits {
            window_bytes: kib(&mut dice, &[64, 1024, 16 << 10]),
            overlay_bytes: kib(&mut dice, &[256, 4096, 64 << 10]),
            tail_bytes: kib(&mut dice, &[8, 256, 32 << 10]),
            credit_bytes: kib(&mut dice, &[64, 1024, 16 << 10]),
        };
        let mut faults: Vec<Fault> = FAULTS.into_iter().filter(|_| dice.percent(30)).collect();
        if faults.is_empty() {
            faults.push(dice.pick(&FAULTS));
        }
        faults.extend(LATER.into_iter().filter(|_| later.percent(40)));
        let drift_ppm = [0; 3].map(|_: i64| dice.within(0..=1800) as i64 - 900);
        let timing = timing(&mut dice);
        let plan = Self {
            layout: Layout::draw(&mut layout),
            volumes,
            journals,
            durability,
            on_full,
            limits,
            timing,
            writers: dice.within(1..=4),
            write_sectors_max: if small { 32 } else { dice.pick(&[1, 4, 16]) },
            think_ms_max: dice.pick(&[0, 5, 30, 100]),
            faulty_ms: dice.within(1500..=4000),
            pause_ms_max: dice.pick(&[60, 200, 500]),
            faults,
            slow_disks: dice.percent(60),
            drift_ppm,
            accepts_loss: dice.percent(25),
            fence: levels.pick(&LEVELS),
            takeover_delay_ms: None,
            court: None,
        };
        let plan = if dice.percent(40) { plan.taken_over_automatically(&mut dice) } else { plan };
        // With an arbiter, `status` is the only level.
        let may = plan.fence == Fence::Status && court.percent(40);
        if may { plan.under_a_court(&mut court) } else { plan }
    }

    /// An arbiter keeps the charter, well or badly.
    fn under_a_court(mut self, dice: &mut Dice) -> Self {
        self.court = Some(Court {
            delay_ms_max: dice.pick(&[2, 20, 100]),
            loses_percent: dice.pick(&[0, 5, 20]),
        });
        let faults = [Fault::StopArbiter, Fault::CutArbiter];
        self.faults.extend(faults.into_iter().filter(|_| dice.percent(60)));
        self
    }

    /// Sites take over by themselves, and there is something to take over from.
    fn taken_over_automatically(mut self, dice: &mut Dice) -> Self {
        let lease_ms = u64::try_from(self.timing.lease.as_millis()).unwrap();
        self.takeover_delay_ms = Some(lease_ms + dice.within(0..=500));
        self.faults.extend([Fault::LosePrimary; 3]);
        self.faulty_ms += 3000;
        self
    }
}

/// Times of the real system, made shorter so that much happens in a second.
fn timing(dice: &mut Dice) -> Timing {
    let ms = Duration::from_millis;
    Timing {
        heartbeat: ms(dice.pick(&[25, 50, 100])),
        idle_record: ms(dice.pick(&[100, 400])),
        link_timeout: ms(dice.pick(&[400, 800])),
        lease: ms(dice.pick(&[300, 500])),
        promise_timeout: ms(dice.pick(&[200, 500])),
        leg_grace: ms(dice.pick(&[200, 600])),
        carry_grace: ms(dice.pick(&[100, 300])),
        sync_interval: ms(dice.pick(&[5, 20, 60])),
        linger: ms(dice.part(8).pick(&[0, 100, 1000])),
        checkpoint: ms(dice.pick(&[50, 300, 1000])),
        follow_again: ms(dice.pick(&[20, 60])),
        takeover_delay: None,
        busy_poll: Duration::ZERO,
        write_timeout: ms(dice.part(7).pick(&[300, 1500])),
        handover: ms(400),
    }
}
