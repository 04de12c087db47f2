//! Who reads from whom, as the layout says, and how that is changed while everything runs.

use super::ReignActor;
use crate::crew::CrewRef;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use trefoil_core::engine::reign::Event;
use trefoil_core::model::SiteName;
use trefoil_core::topology::{Topology, relays};

/// The layout is another one: of the same sites, roles and modes.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Repoint(pub Arc<dyn Topology>);

/// Whom this site reads from, instead of each site that may lead.
pub(super) fn sources(crew: &CrewRef) -> BTreeMap<SiteName, SiteName> {
    relays(&**crew.shared.topology.read(), crew.site())
}

impl Handler<Repoint> for ReignActor {
    type Result = ();

    fn handle(&mut self, Repoint(topology): Repoint, ctx: &mut Context<Self>) {
        tracing::info!(site = %self.crew.site(), layout = %topology.describe(), "another layout");
        *self.crew.shared.topology.write() = topology;
        let relays = sources(&self.crew);
        self.on(Event::Relays(relays), ctx);
    }
}
