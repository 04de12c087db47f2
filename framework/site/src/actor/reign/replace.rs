//! The operator replaces a site for good: decided and made durable here, then told to the others.

use super::ReignActor;
use crate::actor::Beat;
use crate::actor::replaced::enact;
use crate::crew::post;
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;
use trefoil_core::engine::reign::{Event, Refusal};
use trefoil_core::engine::replace::{Predecessor, Replacement, Replacing, Witness, replace};
use trefoil_core::model::SiteName;

/// What comes of it: answered once every other site has it durably.
pub(crate) type Answer = oneshot::Sender<Result<Replacement, Refusal>>;

/// The operator says that a site is replaced for good.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Replace {
    pub site: SiteName,
    /// What only that site has may be lost.
    pub accept_loss: bool,
    /// Only say what would come of it.
    pub dry: bool,
    pub reply: Answer,
}

/// A site that was replaced here, and of which the others are being told.
pub(super) struct Telling {
    site: SiteName,
    found: Replacement,
    reply: Answer,
}

impl Telling {
    fn predecessor(&self) -> Predecessor {
        let (Replacement::Ready(predecessor) | Replacement::Done(predecessor)) = self.found;
        predecessor
    }
}

impl ReignActor {
    /// What the rule says now.
    fn may_replace(&self, site: &SiteName, accept_loss: bool) -> Result<Replacement, Refusal> {
        let crew = &self.crew;
        let (state, seen) = (crew.state.borrow(), crew.seen.borrow());
        let up = |site: &SiteName| seen.get(site).is_some_and(|seen| seen.link_up);
        let others: BTreeMap<SiteName, Witness> = (crew.peers.borrow().keys())
            .filter(|other| *other != site)
            .map(|other| {
                let view = seen.get(other).and_then(|seen| seen.view.as_ref());
                let whole = view.is_some_and(|view| !view.blank && view.debt_bytes == 0);
                (other.clone(), Witness { up: up(other), whole })
            })
            .collect();
        let claim = state.claims.get(site);
        replace(&Replacing {
            here: crew.site(),
            serves: self.engine.serves() && crew.shared.lease_valid(),
            site,
            claim,
            up: up(site),
            replaced: claim.is_some_and(|claim| state.replaced.has(site, claim.born)),
            charter: self.engine.charter(),
            lineage: &state.lineage,
            newest: crew.marks.newest.get().number,
            others: &others,
            accept_loss,
        })
    }

    /// Answers whoever waits until all others know.
    pub(super) fn answer_told(&mut self) {
        let (mut left, seen) = (Vec::new(), self.crew.seen.borrow());
        for telling in self.telling.drain(..) {
            let born = telling.predecessor().born;
            let knows = |other: &SiteName| {
                seen.get(other).is_some_and(|seen| seen.replaced.has(&telling.site, born))
            };
            let peers = self.crew.peers.borrow();
            if peers.keys().filter(|other| **other != telling.site).all(knows) {
                let _ = telling.reply.send(Ok(telling.found));
            } else {
                left.push(telling);
            }
        }
        drop(seen);
        self.telling = left;
    }

    /// A leg that was suspended is not for the successor.
    fn resume_successor(&mut self, site: &SiteName, ctx: &mut Context<Self>) {
        let suspended = self.crew.state.borrow().suspended.clone();
        if !self.engine.is_suspended(site) {
            return;
        }
        self.on(Event::Suspended(suspended), ctx);
    }
}

impl Handler<Replace> for ReignActor {
    type Result = ();

    fn handle(&mut self, asked: Replace, ctx: &mut Context<Self>) {
        let Replace { site, accept_loss, dry, reply } = asked;
        let found = match self.may_replace(&site, accept_loss) {
            Ok(found) if !dry => found,
            said => {
                let _ = reply.send(said);
                return;
            }
        };
        let telling = Telling { site: site.clone(), found, reply };
        {
            let mut state = self.crew.state.borrow_mut();
            state.replaced.note(&site, telling.predecessor().born);
            state.suspended.remove(&site);
        }
        let crew = self.crew.clone();
        let (work, sites) = (crew.clone(), BTreeSet::from([site.clone()]));
        let done = async move { enact(&work, sites).await };
        // Durable here first: from then on it is said in every heartbeat.
        ctx.wait(done.into_actor(self).map(move |done, actor, ctx| match done {
            Ok(()) => {
                actor.telling.push(telling);
                actor.resume_successor(&site, ctx);
                crew.peers.borrow().values().for_each(|peer| post(peer, Beat));
            }
            Err(error) => {
                let why = Refusal { unreachable: true, why: error.to_string() };
                let _ = telling.reply.send(Err(why));
                crew.fail(&error);
            }
        }));
    }
}
