//! By which way the other site is reached: dialled, changed while the link is up, and shown.

use super::PeerActor;
use super::link::{dial, greeting};
use super::peer::Up;
use crate::crew::post;
use crate::parts::PeerLink;
use crate::status::LinkSecurity;
use actix::prelude::*;
use std::time::Duration;
use trefoil_core::port::{Frame, Link};
use trefoil_core::{Error, ErrorKind, Result};

/// How long a greeting may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// A link that the other site opened, and its greeting, which was checked.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct AcceptLink {
    pub link: Link,
    /// Which link it is.
    pub id: u64,
    /// The link that it takes the place of.
    pub replaces: Option<u64>,
    /// What is answered on it before anything else.
    pub answer: Frame,
    /// By which transport it came.
    pub by: String,
}

/// Reach the other site by this way from now on: without an interruption, if the link is up.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct NewWay(pub PeerLink);

#[derive(Message)]
#[rtype(result = "()")]
struct Dialled {
    link: Result<Link>,
    id: u64,
    replaces: Option<u64>,
    way: Way,
}

/// A way to the other site, and which of those that were wanted so far it is.
#[derive(Clone)]
pub(super) struct Way {
    pub link: PeerLink,
    pub version: u64,
}

/// What is known of a new link beyond its halves.
pub(super) struct Known {
    pub id: u64,
    pub way: Option<Way>,
    pub by: String,
    pub answer: Vec<Frame>,
}

impl PeerActor {
    /// Dials, if there is no link, or none by the way that is wanted.
    pub(super) fn dial(&mut self, ctx: &mut Context<Self>) {
        let failed = self.crew.failed.borrow().is_some();
        if self.dialling || failed || !self.dials() {
            return;
        }
        let replaces = match &self.up {
            Some(up) if up.ways.moving() || self.is_wanted(up) => return,
            Some(up) => Some(up.shared_id),
            None => None,
        };
        self.dialling = true;
        // A link that was lost comes back by the way that was good last, if not by the one that is
        // wanted: the other site may not know of that one yet.
        let proven = self.proven.clone().filter(|_| replaces.is_none() && self.attempts % 2 == 1);
        let way = proven.unwrap_or_else(|| self.way.clone());
        let (id, address) = (self.next_id(), ctx.address());
        let greeting = greeting(&self.crew, &self.site, id, replaces);
        let crew = self.crew.clone();
        actix::spawn(async move {
            let dialled = dial(&way.link, greeting, &crew);
            let link = tokio::time::timeout(GREETING_TIMEOUT, dialled).await;
            let late = |_| Err(Error::unavailable("connect: no answer in time"));
            post(&address, Dialled { link: link.unwrap_or_else(late), id, replaces, way });
        });
    }

    /// The name of the next link: unique among those between these two sites, since one side dials
    /// them all, over its restarts, too. Nothing is drawn for it, so that seeds replay.
    fn next_id(&mut self) -> u64 {
        self.dialled_id = self.crew.shared.clock.now_us().max(self.dialled_id + 1);
        self.dialled_id
    }

    fn is_wanted(&self, up: &Up) -> bool {
        up.way.as_ref().is_none_or(|way| way.version == self.way.version)
    }

    /// Tells why there is no link, or why it goes on by the old way.
    fn not_dialled(&self, error: &Error, another_way: bool) {
        let (site, peer) = (self.crew.site(), &self.site);
        tracing::debug!(%site, %peer, %error, another_way, "no link");
        let mut seen = self.crew.seen.borrow_mut();
        let seen = seen.entry(peer.clone()).or_default();
        if another_way {
            seen.way_refused = Some(error.to_string());
        } else {
            let refused = error.kind() == ErrorKind::Refused;
            seen.refusal = refused.then(|| error.to_string());
        }
    }

    fn dial_later_if_unwanted(&mut self, ctx: &mut Context<Self>) {
        if self.up.as_ref().is_some_and(|up| !self.is_wanted(up)) {
            self.dial_later(ctx);
        }
    }

    pub(super) fn dial_later(&mut self, ctx: &mut Context<Self>) {
        let pause = self.crew.jittered(100_000 << self.attempts.min(4));
        self.attempts += 1;
        ctx.run_later(pause, |actor, ctx| actor.dial(ctx));
    }

    /// The link goes on by another way; its sessions do not notice.
    fn move_on(&mut self, link: Link, as_known: Known, ctx: &mut Context<Self>) {
        let Some(up) = &mut self.up else { return };
        let Known { id, way, by, answer } = as_known;
        tracing::info!(
            site = %self.crew.site(), peer = %self.site, at = %link.peer, by,
            "link goes another way"
        );
        let security = LinkSecurity::from(&link.security);
        if !up.ways.give(link, answer) {
            return self.lower("more ways came than it could follow", ctx);
        }
        up.shared_id = id;
        self.proven = way.clone().or(self.proven.take());
        up.way = way;
        self.attempts = 0;
        self.seen(true, security);
        self.show_way(Some((id, by)));
        // A lane that is not used does not look for its next way: nothing is sent on one, and a
        // heartbeat on the other. Where there is no room, something is on its way.
        if let Some(lane) = self.crew.data_lanes.borrow().get(&self.site) {
            drop(lane.try_send(Vec::new()));
        }
        self.beat();
    }

    /// Shows which link is up, and by what.
    pub(super) fn show_way(&self, up: Option<(u64, String)>) {
        let mut seen = self.crew.seen.borrow_mut();
        let seen = seen.entry(self.site.clone()).or_default();
        seen.link = up.as_ref().map(|(id, _)| *id);
        seen.way = up.map(|(_, by)| by);
        let wanted = self.way.link.transport.describe();
        let by_wanted = self.up.as_ref().is_none_or(|up| match &up.way {
            Some(way) => way.version == self.way.version,
            None => seen.way.as_ref() == Some(&wanted),
        });
        if by_wanted {
            seen.way_refused = None;
        }
        seen.way_wanted = (!by_wanted).then(|| match self.dials() {
            true => format!("{wanted} {}", self.way.link.address),
            false => wanted.clone(),
        });
        self.crew.transports.borrow_mut().insert(self.site.clone(), wanted);
    }
}

impl Handler<AcceptLink> for PeerActor {
    type Result = ();

    fn handle(&mut self, accept: AcceptLink, ctx: &mut Context<Self>) {
        if self.crew.failed.borrow().is_some() {
            return;
        }
        let AcceptLink { mut link, id, replaces, answer, by } = accept;
        // It was taken in by the thread that listens; all it is used for happens on this one.
        link.control.receiver.move_here();
        link.data.receiver.move_here();
        let known = Known { id, way: None, by, answer: vec![answer] };
        let up = self.up.as_ref().map(|up| up.shared_id);
        match replaces {
            None => self.raise(link, known, ctx),
            Some(replaced) if up == Some(replaced) => self.move_on(link, known, ctx),
            // The other site finds it closed, and dials anew.
            Some(_) => tracing::info!(peer = %self.site, "a link came to replace one that is gone"),
        }
    }
}

impl Handler<NewWay> for PeerActor {
    type Result = ();

    fn handle(&mut self, NewWay(link): NewWay, ctx: &mut Context<Self>) {
        self.way = Way { link, version: self.way.version + 1 };
        self.attempts = 0;
        let shown = {
            let mut seen = self.crew.seen.borrow_mut();
            let seen = seen.entry(self.site.clone()).or_default();
            seen.way_refused = None;
            seen.link.zip(seen.way.clone())
        };
        self.show_way(shown);
        self.dial(ctx);
    }
}

impl Handler<Dialled> for PeerActor {
    type Result = ();

    fn handle(&mut self, dialled: Dialled, ctx: &mut Context<Self>) {
        self.dialling = false;
        let Dialled { link, id, replaces, way } = dialled;
        let up = self.up.as_ref().map(|up| up.shared_id);
        match link {
            Ok(link) if replaces == up => {
                let by = way.link.transport.describe();
                let known = Known { id, way: Some(way), by, answer: Vec::new() };
                match replaces {
                    None => self.raise(link, known, ctx),
                    Some(_) => self.move_on(link, known, ctx),
                }
                // Another way may have been wanted meanwhile.
                self.dial_later_if_unwanted(ctx);
            }
            // The link that it was to replace was lost meanwhile, and its sessions with it.
            Ok(_) => self.dial_later(ctx),
            Err(error) => {
                self.not_dialled(&error, replaces.is_some());
                if self.up.as_ref().is_some_and(|up| up.ways.ended) {
                    return self.lower("the other site went on by a way that was not reached", ctx);
                }
                self.dial_later(ctx);
            }
        }
    }
}
