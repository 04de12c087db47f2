//! The legs that the primary waits for: who is waited for, and how far each is.

use super::VolumeActor;
use crate::actor::{Awaited, SyncTo};
use actix::prelude::*;
use trefoil_core::model::{Incarnation, Marks, SiteName};

/// A follower moved.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LegProgress {
    pub site: SiteName,
    pub incarnation: Incarnation,
    pub marks: Marks,
}

/// Wait for a site from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Join {
    pub site: SiteName,
    pub incarnation: Incarnation,
    pub marks: Marks,
}

/// Do not wait for a site any more.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Leave(pub SiteName);

impl Handler<LegProgress> for VolumeActor {
    type Result = ();

    fn handle(&mut self, progress: LegProgress, ctx: &mut Context<Self>) {
        if let Some(engine) = &mut self.engine {
            engine.advance(&progress.site, progress.incarnation, progress.marks);
            self.moved();
            self.go_on(ctx);
        }
    }
}

impl Handler<Join> for VolumeActor {
    type Result = ();

    fn handle(&mut self, join: Join, _: &mut Context<Self>) {
        if let Some(engine) = &mut self.engine {
            let mark = engine.assigned().number;
            engine.join(join.site.clone(), join.incarnation, join.marks);
            self.crew.marks.acking.borrow_mut().insert(join.site.clone());
            if let Some(shipper) = self.crew.shippers.borrow().get(&join.site) {
                crate::crew::post(shipper, SyncTo(mark));
                crate::crew::post(shipper, Awaited(Some(mark)));
            }
            self.moved();
        }
    }
}

impl Handler<Leave> for VolumeActor {
    type Result = ();

    fn handle(&mut self, Leave(site): Leave, _: &mut Context<Self>) {
        if let Some(engine) = &mut self.engine {
            engine.leave(&site);
            self.crew.marks.acking.borrow_mut().remove(&site);
            if let Some(shipper) = self.crew.shippers.borrow().get(&site) {
                crate::crew::post(shipper, Awaited(None));
            }
            self.moved();
        }
    }
}
