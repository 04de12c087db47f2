//! How a follower is brought to this site's history, as the judge sees it from here.

use super::relay;
use crate::actor::{RaiseFloor, position_at};
use crate::crew::{CrewRef, Seen};
use trefoil_core::Result;
use trefoil_core::engine::judge::{FollowerView, Plan, SourceView, judge};
use trefoil_core::model::{Generation, Position, SiteName};
use trefoil_core::port::Frame;
use trefoil_core::wire::{DataMessage, Follow, encode_data};

/// A plan, and the frame that tells it.
pub(super) struct Judged {
    pub plan: Plan,
    pub frame: Frame,
}

/// Judges the follower by this site's journal; nothing is changed.
pub(crate) async fn judge_follower(crew: &CrewRef, peer: &SiteName, follow: &Follow) -> Plan {
    let marks = &crew.marks;
    let there = position_at(crew, follow.newest.number).await;
    let horizon = if follow.roll_forward { marks.durable.get() } else { marks.horizon.get() };
    let copy_base = position_at(crew, horizon).await;
    let fork = {
        let newest = marks.submitted.get().number;
        crew.state.borrow().lineage.fork(newest, &follow.lineage, follow.newest.number)
    };
    let fork = position_at(crew, fork).await;
    let state = crew.state.borrow();
    let consented = state.charter.as_ref().map_or(Generation::NONE, |charter| charter.consented);
    let source = SourceView {
        site: crew.site().clone(),
        generation: follow.generation,
        lineage: state.lineage.clone(),
        newest: marks.submitted.get().number,
        base: marks.base.get(),
        chain_at_follower: there.map(|position| position.chain),
        fork,
        consented,
        copy_base,
        map: state.maps.get(peer).cloned(),
        debt: state.debt.is_some(),
        owing: owing(crew, peer),
        volume_bytes: crew.shared.volumes().sizes().iter().sum(),
        bytes_between: Some(crew.history.borrow().since(follow.newest.number, 0).1),
    };
    let follower = FollowerView {
        site: peer.clone(),
        lineage: follow.lineage.clone(),
        newest: follow.newest,
        base: follow.base,
        debt: follow.debt.clone(),
        maps_from: follow.maps_from,
        discards_tail: follow.discards_tail,
        blank: follow.blank,
        holds: follow.holds,
    };
    judge(&source, &follower)
}

/// A site beside `peer` that owes something by its own word, or was told to by a plan that it has
/// not done yet.
fn owing(crew: &CrewRef, peer: &SiteName) -> Option<SiteName> {
    let (seen, plans, legs) = (crew.seen.borrow(), crew.plans.borrow(), crew.legs.borrow());
    let others = seen.iter().filter(|(site, _)| *site != peer);
    let owes = |(site, seen): &(&SiteName, &Seen)| {
        let says = seen.view.as_ref().is_some_and(|view| view.debt_bytes > 0);
        let done = legs.get(*site).is_some_and(|leg| leg.connected && leg.debt_bytes == 0);
        let told = crew.shippers.borrow().contains_key(*site)
            && plans.get(*site).is_some_and(Plan::leaves_debt);
        says || (told && !done)
    };
    others.into_iter().find(owes).map(|(site, _)| site.clone())
}

/// Judges the follower, notes what it holds, and puts the plan into a frame for it.
pub(super) async fn plan_for(crew: &CrewRef, peer: &SiteName, follow: &Follow) -> Result<Judged> {
    relay::until_as_far(crew, follow).await?;
    let plan = judge_follower(crew, peer, follow).await;
    let lineage = crew.state.borrow().lineage.up_to(plan.base.number);
    let volumes = crew.state.borrow().volumes.at(plan.base.number).to_vec();
    // A handshake only ever lowers a floor (H12), before the plan is told.
    let floor = RaiseFloor { site: peer.clone(), position: Position::START, fork: Some(plan.fork) };
    crew.to(&crew.journal, floor);
    let frame = encode_data(DataMessage::Plan {
        session: follow.session,
        plan: Box::new(plan.clone()),
        lineage,
        durability: crew.shared.config.durability,
        volumes,
    })?;
    Ok(Judged { plan, frame })
}
