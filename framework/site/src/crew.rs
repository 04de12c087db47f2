//! What the actors of one group share on their thread: each other's addresses, the durable state,
//! and the marks that everyone looks at.

use crate::actor::{
    Depose, Dismiss, FollowView, FollowerActor, JournalActor, OwnMarks, PeerActor, ReignActor,
    RestorerActor, ShipperActor, VolumeActor,
};
use crate::busy_poll::BusyPoll;
use crate::history::History;
use crate::journal_io::JournalIo;
use crate::readiness::Forecasts;
use crate::shared::{Gate, Shared};
use crate::status::LinkSecurity;
use actix::dev::ToEnvelope;
use actix::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use trefoil_core::engine::headroom::FillRate;
use trefoil_core::engine::judge::Plan;
use trefoil_core::engine::reign::{ArbiterSeen, LegReport, Own};
use trefoil_core::engine::tail::Tail;
use trefoil_core::model::{
    Durability, Generation, Lineage, Marks, Position, Replaced, Role, SiteName, SiteState,
    UpdateNumber, VolumeSpec,
};
use trefoil_core::port::{Arbiter, Frame};
use trefoil_core::wire::{ControlMessage, MapView, SiteView, encode_control};
use trefoil_core::{Error, Result};

/// Room in an actor's mailbox. What may be in it is bounded by permits and credits long before.
pub(crate) const MAILBOX_MAX: usize = 1 << 16;

/// What can find no room on its disk, in the words of `trouble`.
pub(crate) const JOURNAL: &str = "the journal";
/// The other.
pub(crate) const VOLUMES: &str = "the volumes";

/// A site that lacks no more than so many updates keeps up, however old they are.
const KEEPS_UP_UPDATES: u64 = 4096;
/// So does one that lacks what was written in this time, however much: what a fast host writes
/// between two heartbeats is no backlog.
const KEEPS_UP: Duration = Duration::from_secs(1);

/// Where this site is; written by whoever moves it, read by everyone on the thread.
#[derive(Default)]
pub(crate) struct Watermarks {
    /// The end of the history, as appended.
    pub newest: Cell<Position>,
    pub durable: Cell<UpdateNumber>,
    pub restored: Cell<UpdateNumber>,
    pub checkpointed: Cell<UpdateNumber>,
    /// The point right before the oldest record.
    pub base: Cell<Position>,
    pub debt_bytes: Cell<u64>,
    /// Bytes that came to be copied or compared, and wait for the block stores.
    pub copies_waiting: Cell<u64>,
    /// When the newest restored record was made, by the primary's clock.
    pub recovery_point_us: Cell<u64>,
    /// Primary: held by all of the acking set. Secondary: as the source said.
    pub commit: Cell<UpdateNumber>,
    /// Everything up to here is known to have been answered to hosts: what comes after may have
    /// been or not. 0: nothing is known since this site started.
    pub answered: Cell<UpdateNumber>,
    /// Durable at all of the acking set.
    pub horizon: Cell<UpdateNumber>,
    /// The newest position submitted to the journal: numbered, in the overlay, maybe not appended.
    pub submitted: Cell<Position>,
    /// When a host's write was numbered last, in microseconds of this site's clock.
    pub host_wrote_us: Cell<u64>,
    /// Bytes submitted to the journal and not appended.
    pub journal_waiting: Cell<u64>,
    pub journal_used: Cell<u64>,
    pub journal_capacity: Cell<u64>,
    /// The other sites that the primary waits for.
    pub acking: RefCell<BTreeSet<SiteName>>,
}

impl Watermarks {
    pub fn marks(&self) -> Marks {
        Marks {
            received: self.newest.get().number,
            durable: self.durable.get(),
            restored: self.restored.get(),
            checkpointed: self.checkpointed.get(),
        }
    }

    /// Hosts were answered as far as they may be.
    pub fn note_answered(&self, durability: Durability) {
        self.answered.set(match durability {
            Durability::Flush => self.commit.get(),
            Durability::Write => self.horizon.get(),
        });
    }

    /// Bytes that the journal takes before it counts as full. A part is kept for the records of
    /// the system itself.
    pub fn journal_room(&self) -> u64 {
        let capacity = self.journal_capacity.get();
        let taken = self.journal_used.get() + self.journal_waiting.get();
        (capacity - capacity / 32).saturating_sub(taken)
    }

    /// Room in the journal that hosts leave free, in bytes: about what is numbered in one go. A
    /// small journal keeps less, so that it is trimmed by force before its hosts have to wait.
    pub fn host_reserve(&self) -> u64 {
        (2 << 20).min(self.journal_capacity.get() / 16)
    }
}

/// What is seen of another site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub link_up: bool,
    pub security: LinkSecurity,
    pub view: Option<SiteView>,
    /// Its reigns.
    pub lineage: Lineage,
    /// Whom it knows to be replaced for good.
    pub replaced: Replaced,
    /// What it trimmed that others lack.
    pub maps: BTreeMap<SiteName, MapView>,
    pub heard_wall_us: u64,
    pub rtt_us: u64,
    /// Why it does not talk to this site.
    pub refusal: Option<String>,
    /// The link that is up, by the id that both sides know.
    pub link: Option<u64>,
    /// By which transport it is up.
    pub way: Option<String>,
    /// The way that is wanted instead.
    pub way_wanted: Option<String>,
    /// Why it does not go that way yet.
    pub way_refused: Option<String>,
}

/// What the actors of one group share on their thread.
pub(crate) struct Crew {
    pub shared: Arc<Shared>,
    pub state: RefCell<SiteState>,
    /// The sites that were replaced for good, as that is durable.
    pub replaced: RefCell<Replaced>,
    /// Whether the volumes held data when they were opened.
    pub holds: bool,
    pub marks: Watermarks,
    pub io: RefCell<Option<JournalIo>>,
    pub volume: OnceCell<Addr<VolumeActor>>,
    pub journal: OnceCell<Addr<JournalActor>>,
    pub restorer: OnceCell<Addr<RestorerActor>>,
    pub follower: OnceCell<Addr<FollowerActor>>,
    pub reign: OnceCell<Addr<ReignActor>>,
    /// Who keeps the charter, if not the sites themselves.
    pub arbiter: Option<Arc<dyn Arbiter>>,
    pub arbiter_seen: RefCell<Option<ArbiterSeen>>,
    pub peers: RefCell<BTreeMap<SiteName, Addr<PeerActor>>>,
    pub shippers: RefCell<BTreeMap<SiteName, Addr<ShipperActor>>>,
    /// Where frames for the data lane of a site go; gone while its link is down.
    pub data_lanes: RefCell<BTreeMap<SiteName, mpsc::Sender<Vec<Frame>>>>,
    /// The same for its control lane.
    pub control_lanes: RefCell<BTreeMap<SiteName, mpsc::Sender<Frame>>>,
    /// The newest records submitted to the journal: legs that keep up read them here.
    pub tail: RefCell<Tail>,
    pub random: RefCell<StdRng>,
    /// The generation in which this site leads.
    pub leads: Cell<Option<Generation>>,
    pub role: Cell<Role>,
    pub trouble: RefCell<Option<String>>,
    /// What is said of automatic takeovers.
    pub stands_by: RefCell<String>,
    /// When each other site was last heard, by this site's clock.
    pub heard: RefCell<BTreeMap<SiteName, u64>>,
    /// What is seen of the other sites.
    pub seen: RefCell<BTreeMap<SiteName, Seen>>,
    /// The legs of this primary, as last reported.
    pub legs: RefCell<BTreeMap<SiteName, LegReport>>,
    /// The newest plan made here for each follower.
    pub plans: RefCell<BTreeMap<SiteName, Plan>>,
    pub transports: RefCell<BTreeMap<SiteName, String>>,
    /// When what was submitted, for lags.
    pub history: RefCell<History>,
    /// How this site follows, for status.
    pub following: RefCell<FollowView>,
    /// Whether this thread polls instead of sleeping.
    pub busy_poll: BusyPoll,
    /// Whoever waits for a status wants it now.
    pub refresh: tokio::sync::Notify,
    /// The status is put together seldom, for nothing moves.
    pub status_rests: Cell<bool>,
    /// What this site, which follows, may pass on: of that generation, up to that number, as the
    /// leading site said. `None` while it does not stream from the leading site.
    pub relay: Cell<Option<(Generation, UpdateNumber)>>,
    /// The follower is about to be stopped: it must not begin what takes long.
    pub stop_following: Cell<bool>,
    /// Whether this site gives host writes their numbers, or could: its volumes lead.
    pub numbers: Cell<bool>,
    /// The overlay does not have what is on its way to the block stores: nothing is read here.
    pub overlay_lacks: Cell<bool>,
    /// Whether the charter of this site's reign is active.
    pub serves: Cell<bool>,
    /// Why the journal takes nothing more at present, if so.
    pub journal_full: RefCell<Option<String>>,
    /// How fast the journal fills.
    pub fill_rate: RefCell<FillRate>,
    /// What would happen if a site were lost.
    pub forecasts: RefCell<Forecasts>,
    /// The number of the oldest record, and when it was made by the primary's clock.
    pub oldest: Cell<(UpdateNumber, u64)>,
    /// What found no room on its disk, and what the disk said.
    pub no_room: RefCell<BTreeMap<&'static str, String>>,
    /// The volumes at the base of the plan that is executed.
    pub plan_volumes: RefCell<Vec<VolumeSpec>>,
    /// Why the volumes are not those that the group has, if so.
    pub volumes_trouble: RefCell<Option<String>>,
    /// Why this site gave up on the group, if it did.
    pub failed: RefCell<Option<String>>,
}

impl Crew {
    pub fn site(&self) -> &SiteName {
        &self.shared.site
    }

    pub fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    /// A duration in `[half, whole]` of `micros`, so that retries of many do not fall together.
    pub fn jittered(&self, micros: u64) -> std::time::Duration {
        let micros = self.random.borrow_mut().random_range(micros / 2..=micros.max(1));
        std::time::Duration::from_micros(micros)
    }

    /// The journal's task.
    pub fn io(&self) -> Result<JournalIo> {
        self.io.borrow().clone().ok_or_else(|| Error::closed("use journal: the group is stopped"))
    }

    /// Makes the state durable as it is now. Later changes may become durable with it; they are
    /// made only when that does no harm.
    pub async fn save(&self) -> Result<()> {
        let state = {
            let mut state = self.state.borrow_mut();
            state.durable_mark = self.marks.durable.get();
            state.encode()?
        };
        self.io()?.save(state).await
    }

    /// This site's own state, for the reign.
    pub fn own(&self) -> Own {
        let state = self.state.borrow();
        let newest = self.marks.newest.get();
        Own {
            now: self.shared.clock.now_us(),
            random: self.random(),
            newest,
            lineage: state.lineage.clone(),
            handover: state.handover(newest.number),
            marks: self.marks.marks(),
            base: self.marks.base.get().number,
            debt_bytes: self.debt_bytes(&state),
            image: state.image(),
            blank: self.knows_nothing() && state.debt.is_none(),
        }
    }

    /// What this site says of itself in its heartbeats.
    pub fn view(&self) -> SiteView {
        let own = self.own();
        let state = self.state.borrow();
        SiteView {
            incarnation: state.incarnation,
            promised: state.promised,
            charter: state.charter.clone(),
            newest: own.newest,
            marks: own.marks,
            base: own.base,
            debt_bytes: own.debt_bytes,
            image: own.image,
            blank: own.blank,
            novice: state.novice,
        }
    }

    /// What this site knows durable on its own history, itself included, for the retention of the
    /// others (rule R10).
    pub fn floors_for_peers(&self) -> BTreeMap<SiteName, Position> {
        let state = self.state.borrow();
        let mut floors = state.floors.clone();
        let durable = self.marks.durable.get();
        let generation = state.lineage.generation_at(durable);
        let own = Position { generation, number: durable, ..Position::START };
        floors.insert(self.site().clone(), own);
        floors
    }

    /// What the maps here name, for the other sites.
    pub fn maps_for_peers(&self) -> BTreeMap<SiteName, MapView> {
        let state = self.state.borrow();
        state.maps.iter().map(|(site, map)| (site.clone(), MapView::from(map))).collect()
    }

    /// How long each other site has been silent, for heartbeats.
    pub fn silent_us(&self) -> BTreeMap<SiteName, u64> {
        let now = self.shared.clock.now_us();
        let heard = self.heard.borrow();
        heard.iter().map(|(site, at)| (site.clone(), now.saturating_sub(*at))).collect()
    }

    /// Whether this site knows of no update and of no reign: it never held anything of the group,
    /// or forgot.
    pub fn knows_nothing(&self) -> bool {
        self.marks.newest.get() == Position::START && self.state.borrow().lineage.last().is_none()
    }

    /// Whether the volumes are not what the journal says: something is to be copied, or they hold
    /// data that a site which knows nothing cannot explain, until a plan says what becomes of it.
    pub fn owes(&self) -> bool {
        self.marks.debt_bytes.get() > 0 || self.holds && self.knows_nothing()
    }

    /// As of where the volumes of a site in debt still are a consistent image.
    pub fn image(&self) -> Option<Position> {
        self.state.borrow().image()
    }

    /// The volumes are what the journal says: they are read again at once.
    pub fn owes_no_more(&self) {
        self.shared.gate.send_if_modified(|gate| {
            let Gate::Owing(primary) = gate else { return false };
            *gate = Gate::Secondary(primary.take());
            true
        });
    }

    /// Bytes owed; a debt that only waits for its end counts as one byte.
    fn debt_bytes(&self, state: &SiteState) -> u64 {
        state.debt.as_ref().map_or(0, |debt| debt.missing.bytes().max(1))
    }

    /// This site must not go on with the group: the journal or a device failed.
    pub fn fail(&self, error: &Error) {
        let mut failed = self.failed.borrow_mut();
        if failed.is_none() {
            let group = &self.shared.config.group;
            let site = self.site();
            tracing::error!(%site, %group, %error, "the site stops serving the group");
            self.leads.set(None);
            self.serves.set(false);
            self.to(&self.volume, Depose);
            *failed = Some(format!("{error}; repair the device, then restart the site"));
            self.shared.close(&format!("site {} failed: {error}", self.site()));
        }
    }

    /// Posts to an actor of this group.
    pub fn to<A, M>(&self, address: &OnceCell<Addr<A>>, message: M)
    where
        A: Actor + Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
        A::Context: ToEnvelope<A, M>,
    {
        if let Some(address) = address.get() {
            post(address, message);
        }
    }

    /// How old the oldest update after `restored` is, in microseconds, and how many bytes come
    /// after it.
    pub fn lag(&self, restored: UpdateNumber) -> (u64, u64) {
        if restored >= self.marks.commit.get() {
            return (0, 0);
        }
        self.history.borrow().since(restored, self.shared.clock.wall_us())
    }

    /// Whether a site that received up to `received` is close enough to count as paired.
    pub fn keeps_up(&self, received: UpdateNumber) -> bool {
        if self.marks.horizon.get().since(received) <= KEEPS_UP_UPDATES {
            return true;
        }
        // What is known of another site is as old as its last heartbeat.
        let within = KEEPS_UP + self.shared.config.timing.heartbeat;
        self.history.borrow().is_near(received, self.shared.clock.wall_us(), within)
    }

    /// Tells whom it concerns how far this site is. A message costs as much as an append to
    /// memory: nobody gets one who would do nothing.
    pub fn marks_moved(&self, now: Marks) {
        self.stirred();
        if self.numbers.get() {
            self.to(&self.volume, OwnMarks(now));
        }
        if self.following.borrow().source.is_some() {
            self.to(&self.follower, OwnMarks(now));
        }
    }

    /// Ends all actors.
    pub fn dismiss(&self) {
        self.to(&self.volume, Dismiss);
        self.to(&self.journal, Dismiss);
        self.to(&self.restorer, Dismiss);
        self.to(&self.follower, Dismiss);
        self.to(&self.reign, Dismiss);
        for peer in self.peers.borrow().values() {
            post(peer, Dismiss);
        }
        for shipper in self.shippers.borrow().values() {
            post(shipper, Dismiss);
        }
    }

    /// Ends what is passed on to other followers.
    pub fn stop_relaying(&self, why: &str) {
        self.relay.set(None);
        for shipper in self.shippers.borrow().values() {
            post(shipper, crate::actor::StopRelaying(why.to_owned()));
        }
    }

    /// Tells every shipper that there may be work.
    pub fn kick_shippers(&self) {
        for shipper in self.shippers.borrow().values() {
            post(shipper, crate::actor::Kick);
        }
    }
}

/// Posts a message whose volume is bounded by permits or credits. A full mailbox is therefore a
/// bug; a closed one is a group that is stopping.
pub(crate) fn post<A, M>(address: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
    A::Context: ToEnvelope<A, M>,
{
    if let Err(SendError::Full(_)) = address.try_send(message) {
        tracing::error!(
            message = std::any::type_name::<M>(),
            "a mailbox is full although permits bound it (rule limits)"
        );
    }
}

/// Sends a control message to a site, if its link is up.
pub(crate) fn crew_send(crew: &CrewRef, to: &SiteName, message: &ControlMessage) {
    if let Some(lane) = crew.control_lanes.borrow().get(to) {
        match encode_control(message) {
            // A full lane belongs to a site that does not read: the link times out.
            Ok(frame) => drop(lane.try_send(frame)),
            Err(error) => tracing::error!(%error, "a message cannot be encoded"),
        }
    }
}

/// The crew, as actors hold it.
pub(crate) type CrewRef = Rc<Crew>;
