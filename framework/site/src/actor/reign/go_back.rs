//! A site in debt goes back to the image that its volumes still are: journal and debt are dropped.
//!
//! ```text
//! follows nobody ▸ stores still ▸ no debt, and the intent to begin anew at the image, saved
//!                ▸ journal begun anew ▸ intent done ▸ the takeover goes on
//! ```

use super::ReignActor;
use super::standstill::settle_patiently;
use crate::actor::resync::{end_at, prepare};
use crate::actor::{Settle, Unsettle, hold_trims};
use crate::crew::CrewRef;
use actix::prelude::*;
use tokio::sync::oneshot;
use trefoil_core::engine::reign::Event;
use trefoil_core::model::{Incarnation, Intent};
use trefoil_core::{Error, Result};

/// The site is what its image was, or has no image any more.
#[derive(Message)]
#[rtype(result = "()")]
struct WentBack;

/// Drops everything after the image, durably, and goes on as `incarnation`. Where the image was
/// given up meanwhile, for it did not fit any more, all stays as it is.
///
/// # Errors
/// What the journal says: then the site must not go on with the group.
pub(super) async fn go_back(crew: &CrewRef, incarnation: Incarnation) -> Result<()> {
    settle_patiently(crew).await?;
    let _held = hold_trims(crew).await?;
    let (reply, still) = oneshot::channel();
    crew.to(&crew.restorer, Settle(reply));
    still.await.map_err(|_| Error::closed("go back: the restorer stopped"))?;
    crew.state.borrow_mut().incarnation = incarnation;
    match crew.image() {
        None => {
            crew.save().await?;
            crew.to(&crew.restorer, Unsettle);
        }
        Some(image) => {
            let (site, newest) = (crew.site(), crew.marks.newest.get());
            tracing::warn!(%site, %image, %newest, "goes back to its image");
            prepare(crew, image.number, image, None).await?;
            let intent = {
                let mut state = crew.state.borrow_mut();
                state.debt = None;
                state.volumes.cut(image.number);
                Intent { base: image, lineage: state.lineage.up_to(image.number), keep: false }
            };
            end_at(crew, intent).await?;
            crew.owes_no_more();
        }
    }
    crew.greet_anew("this site goes on as a new incarnation");
    crew.to(&crew.reign, WentBack);
    Ok(())
}

impl Handler<WentBack> for ReignActor {
    type Result = ();

    fn handle(&mut self, _: WentBack, ctx: &mut Context<Self>) {
        self.on(Event::WentBack, ctx);
    }
}
