//! Three sites, the lanes between them, and one clock: everything that the explorer moves.
//!
//! What decides is the core's own: the reign, the judge, the engines of volume, shipper, follower
//! and copies, retention, records and saved states. What is here is what the actors of a site do
//! with them, one event at a time: it carries events to them and effects away.

use crate::holes::Off;
use crate::host::Host;
use crate::site::{Disk, Run, Site};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use trefoil_core::engine::reign::{Event, Reign, ReignConfig};
use trefoil_core::engine::retention::{OnFull, Retention, WaterMarks};
use trefoil_core::model::{
    Claim, Fence, GroupName, Incarnation, LegMode, Lineage, Plan, Position, SessionId, SiteName,
    SiteState, UpdateNumber, VolumeSpec,
};
use trefoil_core::wire::{ControlMessage, DataMessage};

pub const SITES: usize = 3;
pub const NAMES: [&str; SITES] = ["a", "b", "c"];
pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

/// How many blocks the volume has, and how many bytes a block.
pub const BLOCKS: usize = 2;
pub const BLOCK: u64 = 8;

/// The unit of time: the lease, and every other time that a reign waits.
pub const UNIT: u64 = 1_000_000;
/// When the world begins. No other number of a state comes near it (see `fingerprint`).
pub const BEGIN: u64 = 1 << 40;

thread_local! {
    static SITE_NAMES: [SiteName; SITES] = NAMES.map(|name| SiteName::new(name).unwrap());
}

/// The name of a site.
pub fn site(index: usize) -> SiteName {
    SITE_NAMES.with(|names| names[index].clone())
}

/// The index of a site.
pub fn index(name: &SiteName) -> usize {
    usize::from(name.as_str().as_bytes()[0] - b'a')
}

/// The sites but one.
pub fn others(of: usize) -> impl Iterator<Item = usize> {
    (0..SITES).filter(move |other| *other != of)
}

/// The link between two sites.
pub fn link(one: usize, other: usize) -> usize {
    one + other - 1
}

/// The sites of a link.
pub const ENDS: [(usize, usize); 3] = [(A, B), (A, C), (B, C)];

/// A message on its way.
#[derive(Clone)]
pub enum Mail {
    Control(ControlMessage),
    /// The source's verdict; it goes first on the data lane.
    Plan(SessionId, Box<Plan>, Lineage),
    Data(DataMessage),
}

/// How a world is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// The fence level.
    pub fence: Fence,
    /// In-sync sites take over by themselves.
    pub automatic: bool,
    /// A rule that is left out.
    pub off: Off,
}

/// The world.
#[derive(Clone)]
pub struct World {
    pub setup: Setup,
    pub now: u64,
    pub sites: [Site; SITES],
    /// By link.
    pub cut: [bool; 3],
    /// By sender and receiver: control, data.
    pub lanes: [[[VecDeque<Mail>; 2]; SITES]; SITES],
    pub host: Host,
    /// Events that sites are about to be told.
    pub posted: VecDeque<(usize, Event)>,
    /// How many sessions there have been.
    pub sessions: u64,
    /// The plans that were made, newest last: source, follower, plan.
    pub judged: Vec<(usize, usize, Rc<Plan>)>,
    /// H12: the highest numbers that were ever heard, by who heard and of whom.
    pub heard: [[u64; SITES]; SITES],
    /// What each site remembers of each other one: of no step that the search takes.
    pub claims: [[Option<Claim>; SITES]; SITES],
    /// Media were lost: a copy of everything is no fault any more.
    pub destroyed: bool,
    /// Which sites were empty, and filled with updates that their journals never held: they know of
    /// no extents for those who lack some of these, and compare.
    pub filled: [bool; SITES],
    /// The rule that was broken, and how.
    pub broken: Option<String>,
}

pub fn spec() -> Vec<VolumeSpec> {
    let name = trefoil_core::model::VolumeName::new("v").unwrap();
    vec![VolumeSpec { name, size: BLOCKS as u64 * BLOCK }]
}

pub fn blank_disk(index: usize, incarnations: u64) -> Disk {
    let group = GroupName::new("g").unwrap();
    let state =
        SiteState::blank(group, site(index), spec(), incarnation(index, incarnations), "x".into());
    Disk {
        state,
        base: Position::START,
        records: VecDeque::new(),
        durable: UpdateNumber::ZERO,
        volume: [0; BLOCKS],
        stored: [0; BLOCKS],
        rebooted: false,
        incarnations,
    }
}

/// The incarnation that a site has after so many before.
pub fn incarnation(index: usize, before: u64) -> Incarnation {
    Incarnation(100 * (index as u64 + 1) + before)
}

impl World {
    /// Three blank sites that run and reach each other.
    pub fn new(setup: Setup) -> Self {
        let sites =
            std::array::from_fn(|index| Site { index, disk: blank_disk(index, 0), run: None });
        let mut world = Self {
            setup,
            now: BEGIN,
            sites,
            cut: [false; 3],
            lanes: Default::default(),
            host: Host::default(),
            posted: VecDeque::new(),
            sessions: 0,
            judged: Vec::new(),
            heard: Default::default(),
            claims: Default::default(),
            destroyed: false,
            filled: [false; SITES],
            broken: None,
        };
        for index in 0..SITES {
            world.start(index);
        }
        world
    }

    pub fn config(&self, of: usize) -> ReignConfig {
        let mode = |other: usize| {
            if of == C || other == C { LegMode::Async } else { LegMode::Sync }
        };
        ReignConfig {
            site: site(of),
            registered: (0..SITES).map(site).collect(),
            home: site(A),
            modes: others(of).map(|other| (site(other), mode(other))).collect(),
            fence: self.setup.fence,
            lease_us: UNIT,
            promise_timeout_us: UNIT,
            carry_grace_us: UNIT / 2,
            leg_grace_us: UNIT * 3 / 2,
            deposed_pause_us: UNIT,
            handover_limit_us: 2 * UNIT,
            join_updates_max: 100,
            takeover_delay_us: self.setup.automatic.then_some(UNIT),
        }
    }

    /// A process that begins with the state on disk.
    pub fn process(&self, index: usize) -> Run {
        let state = self.sites[index].disk.state.clone();
        let reign = Reign::new(
            self.config(index),
            state.incarnation,
            state.promised,
            state.charter.clone(),
            self.now,
        )
        .with_novice(state.novice && self.setup.off != Off::WordOfNovices);
        let kept = self.setup.off != Off::OnlyFollowersKept;
        let registered = (0..SITES).filter(|_| kept).map(site);
        let (marks, on_full) = (WaterMarks::default(), OnFull::Map);
        let retention =
            Retention::new(site(index), registered, &state.floors, &state.maps, marks, on_full);
        let copies = state.debt.clone().map(trefoil_core::engine::copy::CopyFollower::new);
        Run {
            restored: state.checkpoint,
            state,
            reign,
            retention,
            copies,
            copied: VecDeque::new(),
            volume: None,
            serving: false,
            paused: false,
            mark: None,
            legs: BTreeMap::new(),
            reports: BTreeMap::new(),
            told: None,
            session: None,
            streaming: false,
            last_sent: None,
            discards_tail: false,
            resync: None,
            refused: None,
            completed: None,
            refusal: None,
        }
    }

    pub fn alive(&self, index: usize) -> bool {
        self.sites[index].run.is_some()
    }

    pub fn run(&self, index: usize) -> Option<&Run> {
        self.sites[index].run.as_ref()
    }

    pub fn run_mut(&mut self, index: usize) -> Option<&mut Run> {
        self.sites[index].run.as_mut()
    }

    /// Whether two sites reach each other.
    pub fn linked(&self, one: usize, other: usize) -> bool {
        self.alive(one) && self.alive(other) && !self.cut[link(one, other)]
    }

    /// Whether a site answers hosts now.
    pub fn answers(&self, index: usize) -> bool {
        let leased =
            |run: &Run| self.setup.off == Off::NoLease || run.reign.lease_until() > self.now;
        self.run(index).is_some_and(|run| run.serving && run.reign.serves() && leased(run))
    }

    /// Breaks with the first rule that is found broken.
    pub fn broke(&mut self, rule: &str, how: String) {
        if self.broken.is_none() {
            self.broken = Some(format!("{rule}: {how}"));
        }
    }

    pub fn send(&mut self, from: usize, to: usize, message: ControlMessage) {
        if !self.linked(from, to) {
            return;
        }
        let lane = &mut self.lanes[from][to][0];
        if matches!(message, ControlMessage::Heartbeat(_)) {
            // Only the newest of them says anything; one that waits is overtaken by it.
            let answers = |mail: &Mail| match (mail, &message) {
                (Mail::Control(ControlMessage::Heartbeat(old)), ControlMessage::Heartbeat(new)) => {
                    (old.echo == 0) == (new.echo == 0)
                }
                _ => false,
            };
            if lane.back().is_some_and(answers) {
                lane.pop_back();
            }
        }
        lane.push_back(Mail::Control(message));
    }

    pub fn send_data(&mut self, from: usize, to: usize, mail: Mail) {
        if self.linked(from, to) {
            self.lanes[from][to][1].push_back(mail);
        }
    }
}
