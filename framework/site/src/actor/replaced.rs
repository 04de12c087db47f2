//! Sites that were replaced for good: they are refused, nothing is kept for them, and every other
//! site is told, with the heartbeats.

use super::{JournalActor, Redial, SendControl};
use crate::crew::{CrewRef, post};
use actix::prelude::*;
use std::collections::BTreeSet;
use tokio::sync::oneshot;
use trefoil_core::model::{Replaced, SiteName};
use trefoil_core::wire::ControlMessage;
use trefoil_core::{Error, Result};

/// Nothing is kept for that site any more; save the state next.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ReleaseFloor {
    pub site: SiteName,
    pub reply: oneshot::Sender<()>,
}

impl Handler<ReleaseFloor> for JournalActor {
    type Result = ();

    fn handle(&mut self, ReleaseFloor { site, reply }: ReleaseFloor, _: &mut Context<Self>) {
        self.release(&site);
        let _ = reply.send(());
    }
}

/// Another site knows whom an operator replaced for good: from now on this one knows it, too.
pub(super) fn learn(crew: &CrewRef, told: &Replaced) {
    let news: BTreeSet<SiteName> = {
        let mut state = crew.state.borrow_mut();
        let registered = crew.peers.borrow();
        let others = told.each().filter(|(site, _)| registered.contains_key(*site));
        let new = others.filter(|(site, born)| state.replaced.note(site, *born));
        new.map(|(site, _)| site.clone()).collect()
    };
    if news.is_empty() {
        return;
    }
    let crew = crew.clone();
    actix::spawn(async move {
        if let Err(error) = enact(&crew, news).await {
            crew.fail(&error.context("replace a site for good"));
        }
    });
}

/// Carries out that these sites were replaced, as the state says by now: nothing is kept for them,
/// and they are not talked to. Returns once all of it is durable.
pub(super) async fn enact(crew: &CrewRef, sites: BTreeSet<SiteName>) -> Result<()> {
    // Where a successor is known already, it is that one for whom something is kept.
    let gone: BTreeSet<SiteName> = {
        let state = crew.state.borrow();
        let is_gone = |site: &SiteName| {
            let claim = state.claims.get(site);
            claim.is_none_or(|claim| state.replaced.has(site, claim.born))
        };
        sites.into_iter().filter(is_gone).collect()
    };
    for site in &gone {
        tracing::warn!(here = %crew.site(), %site, "was replaced for good: nothing is kept for it");
        let (reply, released) = oneshot::channel();
        crew.to(&crew.journal, ReleaseFloor { site: site.clone(), reply });
        released.await.map_err(|_| Error::closed("release floor: the journal stopped"))?;
    }
    let saved = crew.state.borrow().replaced.clone();
    crew.save().await?;
    *crew.replaced.borrow_mut() = saved;
    for (site, peer) in crew.peers.borrow().iter().filter(|(site, _)| gone.contains(*site)) {
        // It greets anew, and is refused.
        let why = format!("site {site} was replaced for good, as site {} was told", crew.site());
        post(peer, SendControl(ControlMessage::Goodbye(why)));
        post(peer, Redial);
    }
    Ok(())
}
