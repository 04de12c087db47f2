//! Followers that read from another follower: what that one may pass on, and what the leading site
//! learns of them.

use super::{FollowRequest, PeerActor, RaiseFloor};
use crate::crew::Crew;
use trefoil_core::model::{Generation, LegState, SiteName};
use trefoil_core::wire::Heartbeat;
use trefoil_core::{Error, Result};

impl PeerActor {
    /// A heartbeat may say up to where this site can pass on what it holds; and, to the leading
    /// site, how far those are whom it does not serve itself.
    pub(super) fn relayed(&self, beat: &Heartbeat) {
        let crew = &self.crew;
        if let Some((generation, horizon)) = crew.relay.get() {
            let source = crew.following.borrow().source.clone();
            // Only what it says while it leads that reign: an older word may be late.
            if source.as_ref() == Some(&self.site) && beat.lease == Some(generation) {
                crew.relay.set(Some((generation, horizon.max(beat.horizon))));
                crew.kick_shippers();
            }
        }
        let streams = crew.legs.borrow().get(&self.site).is_some_and(|leg| leg.connected);
        if crew.leads.get().is_none() || !streams {
            return;
        }
        // Its history is a beginning of this one, and so is what it says of whom it serves. The
        // floor follows its word in both directions: it lowers it where such a site begins anew.
        for (site, position) in &beat.floors {
            if crew.via(site).as_ref() == Some(&self.site) {
                let (site, position) = (site.clone(), *position);
                let fork = Some(position.number);
                crew.to(&crew.journal, RaiseFloor { site, position, fork });
            }
        }
    }
}

impl Crew {
    /// Whether a follower may be served now, as far as this site's own session goes.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](trefoil_core::ErrorKind::Unavailable), in words for the follower.
    pub(crate) fn passes_on(&self, request: &FollowRequest) -> Result<()> {
        if self.leads.get().is_some() || request.follow.roll_forward {
            return Ok(());
        }
        let streams = self.relay.get().map(|(generation, _)| generation);
        let whole = self.marks.debt_bytes.get() == 0 && !self.overlay_lacks.get();
        if streams == Some(request.follow.generation) && whole {
            return Ok(());
        }
        let site = self.site();
        Err(Error::unavailable(format!("site {site} has nothing to pass on yet")))
    }

    /// Through whom the leading site sends to `site`, where that is not direct.
    pub(crate) fn via(&self, site: &SiteName) -> Option<SiteName> {
        let source = self.shared.topology.read().source(self.site(), site);
        (source != *self.site() && source != *site && !self.shippers.borrow().contains_key(site))
            .then_some(source)
    }

    /// The state of a leg that another follower serves, by what its site says of itself.
    pub(crate) fn state_via(&self, site: &SiteName) -> Option<LegState> {
        self.via(site)?;
        let leads: Generation = self.leads.get()?;
        let seen = self.seen.borrow();
        let seen = seen.get(site).filter(|seen| seen.link_up)?;
        let view = seen.view.as_ref().filter(|view| view.promised == leads)?;
        if view.debt_bytes > 0 {
            return Some(LegState::Copying);
        }
        Some(if self.keeps_up(view.marks.received) {
            LegState::Paired
        } else {
            LegState::CatchingUp
        })
    }
}
