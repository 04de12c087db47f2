//! Three reign engines and the messages between them, in a time that the test moves.

mod court;
mod exchange;
mod look;

pub use court::Mishap;

use court::Court;
use std::collections::{BTreeMap, BTreeSet};
use trefoil_core::engine::reign::{
    Completed, Effect, Event, LegReport, Own, Refusal, Reign, ReignConfig, StandsBy,
};
use trefoil_core::model::{
    Chain, Charter, Fence, Generation, Handover, Incarnation, LegMode, Lineage, Marks, Position,
    SiteName, UpdateNumber,
};
use trefoil_core::wire::{Heartbeat, PromiseReply};

/// A millisecond in microseconds.
const MS: u64 = 1000;
const NAMES: [&str; 3] = ["a", "b", "c"];

pub fn site(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

pub fn marks(number: u64) -> Marks {
    Marks::at(UpdateNumber::new(number))
}

pub fn charter_of(world: &World, name: &str) -> Charter {
    world.engine(name).charter().unwrap().clone()
}

/// What is durable at a site, and what the test observes of it.
struct Node {
    engine: Reign,
    alive: bool,
    incarnation: Incarnation,
    promised: Generation,
    charter: Option<Charter>,
    newest: u64,
    base: u64,
    lineage: Lineage,
    joined: BTreeSet<SiteName>,
    following: Option<SiteName>,
    completed: Option<Completed>,
    refusal: Option<Refusal>,
    /// The planned end of a reign that it made or was sent.
    closed: Option<Handover>,
    /// What it owes, and what its volumes still are meanwhile.
    debt_bytes: u64,
    image: Option<Position>,
    /// Host writes wait.
    paused: bool,
    /// Host writes are not answered, as nobody else holds them.
    held: bool,
    /// Its word counts for nothing yet.
    novice: bool,
    /// What its engine wanted done so far.
    effects: Vec<Effect>,
}

/// A message on its way.
#[expect(clippy::large_enum_variant, reason = "a test holds few of them")]
enum Mail {
    Event(Event),
    PromiseRequest(Generation),
    Beat,
}

pub struct World {
    now: u64,
    random: u64,
    nodes: BTreeMap<SiteName, Node>,
    cuts: BTreeSet<(SiteName, SiteName)>,
    mail: Vec<(SiteName, SiteName, Mail)>,
    takeover_delay_us: Option<u64>,
    fence: Fence,
    /// The arbiter outside of the sites, where the test has one.
    court: Option<Court>,
}

fn config(name: &str, takeover_delay_us: Option<u64>, fence: Fence) -> ReignConfig {
    let registered: Vec<SiteName> = NAMES.iter().map(|name| site(name)).collect();
    let mode = |other: &SiteName| {
        if name == "c" || other.as_str() == "c" { LegMode::Async } else { LegMode::Sync }
    };
    let others = registered.iter().filter(|other| other.as_str() != name);
    ReignConfig {
        site: site(name),
        modes: others.map(|other| (other.clone(), mode(other))).collect(),
        registered,
        home: site("a"),
        fence,
        lease_us: 2000 * MS,
        promise_timeout_us: 1000 * MS,
        carry_grace_us: 500 * MS,
        leg_grace_us: 3000 * MS,
        deposed_pause_us: 2000 * MS,
        handover_limit_us: 5000 * MS,
        join_updates_max: 100,
        takeover_delay_us,
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(None, Fence::Status)
    }

    /// Sites that take over by themselves after so many milliseconds of silence, if at all.
    fn with(after_ms: Option<u64>, fence: Fence) -> Self {
        Self::with_court(after_ms, fence, None)
    }

    fn with_court(after_ms: Option<u64>, fence: Fence, court: Option<Court>) -> Self {
        let takeover_delay_us = after_ms.map(|ms| ms * MS);
        let now = 10_000_000;
        let node = |(index, name): (usize, &&str)| {
            let incarnation = Incarnation(index as u64 + 1);
            let config = config(name, takeover_delay_us, fence);
            let engine = Reign::new(config, incarnation, Generation::NONE, None, now);
            let node = Node {
                engine: if court.is_some() { engine.with_arbiter() } else { engine },
                alive: true,
                incarnation,
                promised: Generation::NONE,
                charter: None,
                newest: 0,
                base: 0,
                lineage: Lineage::new(),
                joined: BTreeSet::new(),
                following: None,
                completed: None,
                refusal: None,
                closed: None,
                debt_bytes: 0,
                image: None,
                paused: false,
                held: false,
                novice: false,
                effects: Vec::new(),
            };
            (site(name), node)
        };
        let nodes = NAMES.iter().enumerate().map(node).collect();
        let (cuts, mail) = (BTreeSet::new(), Vec::new());
        let mut world =
            Self { now, random: 100, nodes, cuts, mail, takeover_delay_us, fence, court };
        world.link_all();
        world
    }

    /// A serves alone; B is reachable and not in sync.
    pub fn paired_without_b() -> Self {
        Self::new().led_by_a()
    }

    /// A serves with B in sync.
    pub fn paired() -> Self {
        Self::paired_without_b().with_b_in_sync()
    }

    /// A serves with B in sync, and both take over by themselves after so many milliseconds.
    pub fn paired_automatic(after_ms: u64) -> Self {
        Self::with(Some(after_ms), Fence::Status).led_by_a().with_b_in_sync()
    }

    /// A serves with B in sync, under that fence level.
    pub fn paired_under(fence: Fence) -> Self {
        Self::with(None, fence).led_by_a().with_b_in_sync()
    }

    fn led_by_a(mut self) -> Self {
        self.run(4000);
        assert!(self.serves("a"));
        self
    }

    fn with_b_in_sync(self) -> Self {
        let mut world = self;
        world.catch_up("b", "a");
        world.catch_up("c", "a");
        let report = LegReport {
            connected: true,
            incarnation: world.incarnation("b"),
            marks: marks(world.node("a").newest),
            may_include: true,
            ..LegReport::default()
        };
        // It is waited for from the first report on; what it holds since then counts.
        world.event("a", Event::Leg(site("b"), report));
        world.event("a", Event::Leg(site("b"), report));
        world.run(1500);
        let named = charter_of(&world, "a").member(&site("b")).is_some();
        assert_eq!(named, world.fence != Fence::Never);
        assert!(world.joined("a", "b"));
        world
    }

    fn node(&self, name: &str) -> &Node {
        &self.nodes[&site(name)]
    }

    pub fn set_newest(&mut self, name: &str, number: u64) {
        self.nodes.get_mut(&site(name)).unwrap().newest = number;
    }

    /// A site holds all that another one does.
    pub fn catch_up(&mut self, name: &str, with: &str) {
        let (newest, lineage) = (self.node(with).newest, self.node(with).lineage.clone());
        let node = self.nodes.get_mut(&site(name)).unwrap();
        (node.newest, node.lineage) = (newest, lineage);
    }

    pub fn set_base(&mut self, name: &str, number: u64) {
        self.nodes.get_mut(&site(name)).unwrap().base = number;
    }

    /// The site's media are replaced by empty ones.
    pub fn empty(&mut self, name: &str) {
        let node = self.nodes.get_mut(&site(name)).unwrap();
        (node.newest, node.base, node.lineage) = (0, 0, Lineage::new());
        (node.promised, node.charter) = (Generation::NONE, None);
    }

    pub fn replace_incarnation(&mut self, name: &str) {
        self.random += 1;
        let incarnation = Incarnation(1000 + self.random);
        self.nodes.get_mut(&site(name)).unwrap().incarnation = incarnation;
        if self.node(name).alive {
            self.kill(name);
            self.restart(name);
        }
    }

    /// Whether a site answers hosts now: it serves, and its lease is valid.
    pub fn answers(&self, name: &str) -> bool {
        self.serves(name) && self.lease_until(name) > self.now
    }

    /// Why a site does not take over by itself.
    pub fn stands_by(&mut self, name: &str) -> Result<(), StandsBy> {
        let own = self.own(&site(name));
        self.engine(name).stands_by(&own)
    }

    pub fn may_serve(
        &mut self,
        name: &str,
        from: &str,
        generation: Generation,
        incarnation: Incarnation,
    ) -> trefoil_core::Result<()> {
        let node = self.nodes.get_mut(&site(name)).unwrap();
        node.engine.may_serve(&site(from), generation, incarnation, false)
    }

    pub fn cut(&mut self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            self.cuts.insert((site(from), site(to)));
            self.event(from, Event::LinkDown(site(to)));
        }
    }

    pub fn heal(&mut self, one: &str, other: &str) {
        for (from, to) in [(one, other), (other, one)] {
            self.cuts.remove(&(site(from), site(to)));
        }
        self.event(one, Event::LinkUp(site(other)));
        self.event(other, Event::LinkUp(site(one)));
    }

    /// The site is in debt; its volumes still are those of update `image`, if there is one.
    pub fn owe(&mut self, name: &str, bytes: u64, image: Option<u64>) {
        let node = self.nodes.get_mut(&site(name)).unwrap();
        let at = |number| {
            let number = UpdateNumber::new(number);
            Position { generation: node.lineage.generation_at(number), number, chain: Chain::START }
        };
        (node.debt_bytes, node.image) = (bytes, image.map(at));
    }

    pub fn kill(&mut self, name: &str) {
        self.nodes.get_mut(&site(name)).unwrap().alive = false;
        self.mail.retain(|(from, to, _)| from.as_str() != name && to.as_str() != name);
        for other in NAMES.iter().filter(|other| **other != name) {
            self.event(other, Event::LinkDown(site(name)));
        }
    }

    /// The site is gone, and no transport has noticed: its links count as up.
    pub fn silence(&mut self, name: &str) {
        self.nodes.get_mut(&site(name)).unwrap().alive = false;
        self.mail.retain(|(from, to, _)| from.as_str() != name && to.as_str() != name);
    }

    /// Starts the site again, from what was durable.
    pub fn restart(&mut self, name: &str) {
        let (now, config) = (self.now, config(name, self.takeover_delay_us, self.fence));
        let node = self.nodes.get_mut(&site(name)).unwrap();
        let charter = node.charter.clone();
        let engine = Reign::new(config, node.incarnation, node.promised, charter, now);
        let engine = engine.with_novice(node.novice);
        node.engine = if self.court.is_some() { engine.with_arbiter() } else { engine };
        node.alive = true;
        node.joined.clear();
        node.following = None;
        self.link_all();
    }

    fn link_all(&mut self) {
        for one in NAMES {
            for other in NAMES.iter().filter(|other| **other != one) {
                if self.reaches(&site(one), &site(other)) {
                    self.event(one, Event::LinkUp(site(other)));
                }
            }
        }
    }

    fn reaches(&self, from: &SiteName, to: &SiteName) -> bool {
        let cut = self.cuts.contains(&(from.clone(), to.clone()));
        !cut && self.nodes[from].alive && self.nodes[to].alive
    }

    fn own(&mut self, name: &SiteName) -> Own {
        self.random += 1;
        let node = &self.nodes[name];
        let number = UpdateNumber::new(node.newest);
        let generation = node.lineage.generation_at(number);
        Own {
            now: self.now,
            random: self.random,
            newest: Position { generation, number, chain: Chain::START },
            lineage: node.lineage.clone(),
            marks: Marks::at(number),
            base: UpdateNumber::new(node.base),
            debt_bytes: node.debt_bytes,
            image: node.image,
            blank: node.newest == 0,
            handover: node.closed.clone().filter(|end| {
                let there = node.lineage.generation_at(end.number) == end.generation;
                end.number <= number && there
            }),
        }
    }

    /// Gives an event to a site and returns what it does, without doing it.
    pub fn raw(&mut self, name: &str, event: Event) -> Vec<Effect> {
        let own = self.own(&site(name));
        self.nodes.get_mut(&site(name)).unwrap().engine.on(&own, event)
    }

    /// Gives an event to a site and carries out what it does about it.
    pub fn event(&mut self, name: &str, event: Event) -> Vec<Effect> {
        if !self.node(name).alive {
            return Vec::new();
        }
        let effects = self.raw(name, event);
        self.nodes.get_mut(&site(name)).unwrap().effects.extend(effects.clone());
        for effect in effects.clone() {
            self.carry_out(&site(name), effect);
        }
        effects
    }

    fn send(&mut self, from: &SiteName, to: SiteName, mail: Mail) {
        if self.reaches(from, &to) {
            self.mail.push((from.clone(), to, mail));
        }
    }

    fn carry_out(&mut self, at: &SiteName, effect: Effect) {
        let mut own = self.own(at);
        let me = at.clone();
        let node = self.nodes.get_mut(at).unwrap();
        match effect {
            Effect::Save { promised, charter } => {
                node.promised = promised;
                node.charter = charter;
            }
            Effect::Promise { to, generation } => {
                let evidence = Box::new(node.engine.evidence(&to, &own));
                let reply = PromiseReply::Promised(evidence);
                self.send(at, to, Mail::Event(Event::PromiseReply(me, generation, reply)));
            }
            Effect::RefusePromise { to, generation } => {
                let reply = PromiseReply::Refused { promised: node.engine.promised() };
                self.send(at, to, Mail::Event(Event::PromiseReply(me, generation, reply)));
            }
            Effect::AskPromise { to, generation } => {
                self.send(at, to, Mail::PromiseRequest(generation));
            }
            Effect::Propose { to, charter } => {
                self.send(at, to, Mail::Event(Event::CharterProposal(me, charter)));
            }
            Effect::AnswerProposal { to, generation, version, reply } => {
                let event = Event::CharterReply(me, generation, version, reply);
                self.send(at, to, Mail::Event(event));
            }
            Effect::AnswerHeartbeat { to, echo, grants } => {
                let beat = beat(node, &own, 0, echo, grants);
                self.send(at, to, Mail::Event(Event::Heartbeat(me, Box::new(beat))));
            }
            Effect::Follow { source, .. } => node.following = Some(source),
            Effect::Unfollow => node.following = None,
            Effect::Depose => {
                node.joined.clear();
                (node.paused, node.held) = (false, false);
            }
            Effect::Lead { generation } => {
                let number = own.newest.number.next();
                own.lineage.begin(generation, number).unwrap();
                node.lineage = own.lineage;
                node.newest = number.value();
                self.event(me.as_str(), Event::Marked(number));
            }
            Effect::Join(other) => drop(node.joined.insert(other)),
            Effect::Leave(other) => drop(node.joined.remove(&other)),
            Effect::TookOver(completed) => node.completed = Some(*completed),
            Effect::TakeoverFailed { why } => node.refusal = Some(why),
            Effect::Exchange(effect) => self.exchange(at, effect),
            Effect::Hold(hold) => node.held = hold,
            Effect::AskArbiter { id, question } => self.ask_court(at, id, question),
            Effect::Serve | Effect::StopServing(_) | Effect::Lease { .. } => {}
            Effect::Vouched => node.novice = false,
            Effect::SetBack { .. } => {}
            Effect::GoBack { image, incarnation } => {
                (node.newest, node.base) = (image.number.value(), image.number.value());
                node.lineage = node.lineage.up_to(image.number);
                (node.debt_bytes, node.image, node.incarnation) = (0, None, incarnation);
                node.following = None;
                self.event(me.as_str(), Event::WentBack);
            }
        }
    }

    /// Lets time pass, in milliseconds: ticks every 20, heartbeats every 240.
    pub fn run(&mut self, milliseconds: u64) {
        for step in 0..milliseconds / 20 {
            self.now += 20 * MS;
            if step % 12 == 0 {
                self.beat_all();
            }
            for (from, to, mail) in std::mem::take(&mut self.mail) {
                if self.reaches(&from, &to) {
                    self.deliver(from, &to, mail);
                }
            }
            for name in NAMES {
                self.event(name, Event::Tick);
            }
        }
    }

    fn beat_all(&mut self) {
        for from in NAMES {
            for to in NAMES.iter().filter(|to| **to != from) {
                self.send(&site(from), site(to), Mail::Beat);
            }
        }
    }

    fn deliver(&mut self, from: SiteName, to: &SiteName, mail: Mail) {
        let event = match mail {
            Mail::Event(event) => event,
            Mail::PromiseRequest(generation) => Event::PromiseRequest(from, generation),
            Mail::Beat => {
                let own = self.own(&from);
                let beat = beat(&self.nodes[&from], &own, self.now, 0, false);
                Event::Heartbeat(from, Box::new(beat))
            }
        };
        self.event(to.as_str(), event);
    }
}

fn beat(node: &Node, own: &Own, sent_at: u64, echo: u64, grants: bool) -> Heartbeat {
    Heartbeat {
        view: node.engine.view(own),
        sent_at,
        echo,
        grants,
        lease: node.engine.leads(),
        vouches: node.engine.leads().is_some() && node.engine.lease_until() > own.now,
        commit: UpdateNumber::ZERO,
        horizon: UpdateNumber::ZERO,
        lineage: own.lineage.clone(),
        maps: BTreeMap::new(),
        floors: BTreeMap::new(),
        silent_us: node.engine.silent_us(own.now),
        replaced: Default::default(),
        answered: UpdateNumber::ZERO,
    }
}
