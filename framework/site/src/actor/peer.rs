//! The link to one other site: keeps it up, passes messages to whom they concern.

use super::handover::Ways;
use super::link::{read_control, read_data, write_control};
use super::reign::WasSetBack;
use super::replaced;
use super::way::{Known, Way};
use super::{
    Differs, FollowRequest, FollowerProgress, FromPeer, LinkChanged, PlanAsked, RaiseFloors,
    SourceEnded, StopShipping, SyncTo, Unfollowed,
};
use crate::crew::{CrewRef, MAILBOX_MAX, crew_send, post};
use crate::parts::{PeerLink, micros};
use crate::shared::add;
use crate::status::LinkSecurity;
use crate::wan::send_data;
use actix::prelude::*;
use std::collections::BTreeMap;
use tokio::sync::{mpsc, oneshot};
use trefoil_core::model::{Position, SiteName};
use trefoil_core::port::Link;
use trefoil_core::wire::{Answer, ControlMessage, Heartbeat};

/// How many control frames may wait to be sent.
const CONTROL_WAITING_MAX: usize = 4096;
/// How many data batches may wait to be sent: one is on its way, one waits.
const DATA_WAITING_MAX: usize = 2;

/// Send a control message, if the link is up.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SendControl(pub ControlMessage);

/// End the link, and greet the other site anew.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Redial;

/// Send a heartbeat now: the lease that a new reign needs is asked for at once.
#[derive(Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Beat;

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct ControlIn {
    pub link: u64,
    pub messages: Vec<ControlMessage>,
}

#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct LinkEnded {
    pub link: u64,
    pub why: String,
}

pub(super) struct Up {
    id: u64,
    /// By which both sides know it.
    pub(super) shared_id: u64,
    /// The way that it was dialled by; `None` where the other site dialled.
    pub(super) way: Option<Way>,
    pub(super) ways: Ways,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Up {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// The link to one other site.
pub(crate) struct PeerActor {
    pub(super) crew: CrewRef,
    pub(super) site: SiteName,
    /// The way that is wanted.
    pub(super) way: Way,
    /// The way that a link was up by last.
    pub(super) proven: Option<Way>,
    pub(super) up: Option<Up>,
    links: u64,
    heard_us: u64,
    pub(super) attempts: u32,
    /// The name of the link that was dialled last.
    pub(super) dialled_id: u64,
    pub(super) dialling: bool,
    asked: BTreeMap<u64, oneshot::Sender<Option<Position>>>,
    /// Questions for plans, by their ids.
    pub(super) planning: BTreeMap<u64, oneshot::Sender<Answer>>,
}

impl PeerActor {
    pub fn new(crew: CrewRef, site: SiteName, way: PeerLink) -> Self {
        Self {
            crew,
            site,
            way: Way { link: way, version: 0 },
            proven: None,
            up: None,
            links: 0,
            heard_us: 0,
            attempts: 0,
            dialled_id: 0,
            dialling: false,
            asked: BTreeMap::new(),
            planning: BTreeMap::new(),
        }
    }

    /// Of two sites the one whose name comes first dials, so that there is one link.
    pub(super) fn dials(&self) -> bool {
        *self.crew.site() < self.site
    }

    pub(super) fn is_dialling(&self) -> bool {
        self.dialling
    }

    /// The link that is up, if it is that one.
    pub(super) fn up_mut(&mut self, id: u64) -> Option<&mut Up> {
        self.up.as_mut().filter(|up| up.id == id)
    }

    /// The link is up: starts its readers and writers.
    pub(super) fn raise(&mut self, link: Link, as_known: Known, ctx: &mut Context<Self>) {
        if self.up.is_some() {
            self.lower("the other site opened a new link", ctx);
        }
        self.links += 1;
        let id = self.links;
        if id > 1 {
            add(&self.crew.shared.totals.reconnects, 1);
        }
        let Known { id: shared_id, way, by, answer } = as_known;
        let (control, control_out) = mpsc::channel(CONTROL_WAITING_MAX);
        let (data, data_out) = mpsc::channel(DATA_WAITING_MAX);
        let address = ctx.address();
        let (link, ways) = Ways::prepare(link, id, &address);
        for frame in answer {
            // The lane is new: there is room.
            drop(control.try_send(frame));
        }
        let tasks = vec![
            tokio::task::spawn_local(write_control(link.control.sender, control_out)),
            tokio::task::spawn_local(send_data(
                link.data.sender,
                data_out,
                self.crew.shared.clone(),
                self.site.clone(),
            )),
            tokio::task::spawn_local(read_control(link.control.receiver, id, address.clone())),
            tokio::task::spawn_local(read_data(
                link.data.receiver,
                id,
                address,
                self.crew.clone(),
                self.site.clone(),
            )),
        ];
        tracing::info!(site = %self.crew.site(), peer = %self.site, at = %link.peer, "link up");
        self.proven = way.clone().or(self.proven.take());
        self.up = Some(Up { id, shared_id, way, ways, tasks });
        self.attempts = 0;
        self.show_way(Some((shared_id, by)));
        self.heard_us = self.crew.shared.clock.now_us();
        self.crew.data_lanes.borrow_mut().insert(self.site.clone(), data);
        self.crew.control_lanes.borrow_mut().insert(self.site.clone(), control);
        self.seen(true, LinkSecurity::from(&link.security));
        self.crew.to(&self.crew.reign, LinkChanged { site: self.site.clone(), up: true });
        self.beat();
    }

    pub(super) fn lower(&mut self, why: &str, ctx: &mut Context<Self>) {
        if self.up.take().is_none() {
            return;
        }
        tracing::info!(site = %self.crew.site(), peer = %self.site, why, "link down");
        self.crew.data_lanes.borrow_mut().remove(&self.site);
        self.crew.control_lanes.borrow_mut().remove(&self.site);
        self.show_way(None);
        self.seen(false, LinkSecurity::None);
        if let Some(shipper) = self.crew.shippers.borrow().get(&self.site) {
            post(shipper, StopShipping(None));
        }
        let from = self.site.clone();
        self.crew.to(&self.crew.follower, SourceEnded { from, end: None });
        self.crew.to(&self.crew.reign, LinkChanged { site: self.site.clone(), up: false });
        self.asked.clear();
        self.planning.clear();
        self.dial_later(ctx);
    }

    pub(super) fn seen(&self, link_up: bool, security: LinkSecurity) {
        self.crew.shared.linked.set(&self.site, link_up);
        let mut seen = self.crew.seen.borrow_mut();
        let seen = seen.entry(self.site.clone()).or_default();
        (seen.link_up, seen.security) = (link_up, security);
    }

    pub(super) fn send(&self, message: &ControlMessage) {
        crew_send(&self.crew, &self.site, message);
    }

    /// Sends this site's state; asks for the lease where it leads.
    pub(super) fn beat(&mut self) {
        let view = self.crew.view();
        let marks = &self.crew.marks;
        let beat = Heartbeat {
            view,
            sent_at: self.crew.shared.clock.now_us().max(1),
            echo: 0,
            grants: false,
            lease: self.crew.leads.get(),
            vouches: self.crew.vouches(),
            commit: marks.commit.get(),
            horizon: marks.horizon.get(),
            answered: marks.answered.get(),
            lineage: self.crew.state.borrow().lineage.clone(),
            maps: self.crew.maps_for_peers(),
            floors: self.crew.floors_for_peers(),
            silent_us: self.crew.silent_us(),
            replaced: self.crew.replaced.borrow().clone(),
        };
        self.send(&ControlMessage::Heartbeat(Box::new(beat)));
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.crew.failed.borrow().is_some() {
            // Others must not take a site for well that answers nothing any more.
            self.lower("this site failed", ctx);
            return;
        }
        let silent = self.crew.shared.clock.now_us().saturating_sub(self.heard_us);
        if self.up.is_some() && silent > micros(self.crew.shared.config.timing.link_timeout) {
            self.lower("nothing was heard for too long", ctx);
            return;
        }
        if self.up.is_some() {
            self.beat();
        }
    }

    fn heartbeat(&mut self, beat: Box<Heartbeat>) {
        let now = self.crew.shared.clock.now_us();
        {
            let mut seen = self.crew.seen.borrow_mut();
            let seen = seen.entry(self.site.clone()).or_default();
            self.crew.remember(&self.site, &beat.view, &beat.lineage);
            seen.replaced.clone_from(&beat.replaced);
            seen.view = Some(beat.view.clone());
            seen.lineage.clone_from(&beat.lineage);
            seen.maps.clone_from(&beat.maps);
            seen.heard_wall_us = self.crew.shared.clock.wall_us();
            if beat.echo > 0 {
                seen.rtt_us = now.saturating_sub(beat.echo).max(1);
            }
        }
        self.note_answered(&beat);
        // Before its floors: they say nothing of what was kept for those.
        replaced::learn(&self.crew, &beat.replaced);
        if self.crew.leads.get().is_none() && self.is_source() {
            let marks = &self.crew.marks;
            marks.commit.set(beat.commit);
            marks.horizon.set(beat.horizon);
            // This history is a beginning of the source's: who holds more of that holds all of
            // this, in whatever generation the rest was made.
            let newest = marks.newest.get();
            let others = beat.floors.iter().filter(|(site, _)| *site != self.crew.site());
            let floors = others.map(|(site, position)| {
                let beyond = position.number > newest.number;
                (site.clone(), if beyond { newest } else { *position })
            });
            self.crew.to(&self.crew.journal, RaiseFloors(floors.collect()));
        }
        self.relayed(&beat);
        let from = self.site.clone();
        self.crew.to(&self.crew.reign, FromPeer { from, message: ControlMessage::Heartbeat(beat) });
    }

    /// What that site knows to have been answered counts as far as both histories are the same.
    fn note_answered(&self, beat: &Heartbeat) {
        let marks = &self.crew.marks;
        let newest = marks.newest.get().number;
        let state = self.crew.state.borrow();
        let shared = beat.lineage.fork(beat.view.newest.number, &state.lineage, newest);
        marks.answered.set(marks.answered.get().max(beat.answered.min(shared)));
    }

    /// Whether this site follows that one now, in a session that streams.
    fn is_source(&self) -> bool {
        let following = self.crew.following.borrow();
        following.source.as_ref() == Some(&self.site)
            && !matches!(
                following.state,
                None | Some(
                    trefoil_core::model::LegState::Connecting
                        | trefoil_core::model::LegState::Suspended(_)
                )
            )
    }

    fn take(&mut self, message: ControlMessage, ctx: &mut Context<Self>) {
        let from = self.site.clone();
        match message {
            ControlMessage::Heartbeat(beat) => self.heartbeat(beat),
            ControlMessage::Progress(progress) => self.to_shipper(FollowerProgress(progress)),
            ControlMessage::Unfollow { session } => self.to_shipper(Unfollowed(session)),
            ControlMessage::Differs { session, extents } => {
                self.to_shipper(Differs { session, extents });
            }
            ControlMessage::SyncTo { number, .. } => {
                self.crew.to(&self.crew.journal, SyncTo(number))
            }
            ControlMessage::StreamEnd(end) => {
                self.crew.to(&self.crew.follower, SourceEnded { from, end: Some(end) });
            }
            ControlMessage::Follow(follow) => {
                self.crew.to(&self.crew.reign, FollowRequest { from, follow });
            }
            ControlMessage::NewestRequest { id } => {
                let newest = self.crew.leads.get().map(|_| self.crew.marks.submitted.get());
                self.send(&ControlMessage::NewestReply { id, newest });
            }
            ControlMessage::NewestReply { id, newest } => {
                if let Some(reply) = self.asked.remove(&id) {
                    let _ = reply.send(newest);
                }
            }
            ControlMessage::PlanRequest { id, question } => {
                self.crew.to(&self.crew.reign, PlanAsked { from, id, question });
            }
            ControlMessage::PlanReply { id, answer } => {
                if let Some(reply) = self.planning.remove(&id) {
                    let _ = reply.send(answer);
                }
            }
            ControlMessage::Arbiter(message) => {
                if let Some(arbiter) = &self.crew.arbiter {
                    arbiter.deliver(&from, message);
                }
            }
            ControlMessage::Goodbye(why) => self.lower(&why, ctx),
            ControlMessage::Greeting(_) => self.lower("a second greeting came", ctx),
            ControlMessage::SetBack(before) => {
                self.lower("this site was set back", ctx);
                self.crew.to(&self.crew.reign, WasSetBack { by: from, before });
            }
            message @ (ControlMessage::PromiseRequest { .. }
            | ControlMessage::PromiseReply { .. }
            | ControlMessage::CharterProposal(_)
            | ControlMessage::CharterReply { .. }
            | ControlMessage::HandoverRequest { .. }
            | ControlMessage::HandoverReply { .. }) => {
                self.crew.to(&self.crew.reign, FromPeer { from, message });
            }
        }
    }

    fn to_shipper<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        super::ShipperActor: Handler<M>,
    {
        if let Some(shipper) = self.crew.shippers.borrow().get(&self.site) {
            post(shipper, message);
        }
    }
}

impl Actor for PeerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_MAX);
        let every = self.crew.shared.config.timing.heartbeat;
        ctx.run_interval(every, |actor, ctx| actor.tick(ctx));
        self.dial(ctx);
    }
}

impl Handler<SendControl> for PeerActor {
    type Result = ();

    fn handle(&mut self, SendControl(message): SendControl, _: &mut Context<Self>) {
        self.send(&message);
    }
}

impl Handler<Redial> for PeerActor {
    type Result = ();

    fn handle(&mut self, _: Redial, ctx: &mut Context<Self>) {
        self.lower("this site greets anew", ctx);
    }
}

impl Handler<Beat> for PeerActor {
    type Result = ();

    fn handle(&mut self, _: Beat, _: &mut Context<Self>) {
        self.beat();
    }
}

impl Handler<ControlIn> for PeerActor {
    type Result = ();

    fn handle(&mut self, ControlIn { link, messages }: ControlIn, ctx: &mut Context<Self>) {
        if self.up.as_ref().is_none_or(|up| up.id != link) {
            return;
        }
        self.heard_us = self.crew.shared.clock.now_us();
        for message in messages {
            self.take(message, ctx);
        }
    }
}

impl Handler<LinkEnded> for PeerActor {
    type Result = ();

    fn handle(&mut self, LinkEnded { link, why }: LinkEnded, ctx: &mut Context<Self>) {
        if self.up.as_ref().is_some_and(|up| up.id == link) {
            self.lower(&why, ctx);
        }
    }
}

/// Ask that site for the primary's newest position.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AskNewest(pub oneshot::Sender<Option<Position>>);

impl Handler<AskNewest> for PeerActor {
    type Result = ();

    fn handle(&mut self, AskNewest(reply): AskNewest, _: &mut Context<Self>) {
        if self.up.is_none() {
            let _ = reply.send(None);
            return;
        }
        self.asked.retain(|_, reply| !reply.is_closed());
        let id = self.crew.random();
        self.asked.insert(id, reply);
        self.send(&ControlMessage::NewestRequest { id });
    }
}
