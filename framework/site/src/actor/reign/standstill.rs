//! Standing still before a reign ends, is promised or begins: what was taken is durable first.

use crate::actor::{Beat, Depose, Lead, StopFollowing, settle_journal};
use crate::crew::{CrewRef, post};
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_core::model::Generation;
use trefoil_core::{Error, ErrorKind, Result};

/// How long a journal may take to settle before a promise; the candidate asks again.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Appends nothing more of the old reign; lets the legs see the new one.
pub(super) async fn depose(crew: &CrewRef) -> Result<()> {
    if let Some(volume) = crew.volume.get() {
        volume.send(Depose).await.map_err(|_| Error::closed("end reign: the volumes stopped"))?;
    }
    Ok(())
}

/// How often is looked whether everything can be read again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

async fn stop_following(crew: &CrewRef) -> Result<()> {
    let (done, stopped) = oneshot::channel();
    crew.stop_following.set(true);
    crew.to(&crew.follower, StopFollowing { done: Some(done) });
    match tokio::time::timeout(SETTLE_TIMEOUT, stopped).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::new(ErrorKind::Timeout, "stop following: the disk does not settle")),
    }
}

/// Stops taking records, and waits until what was taken is durable.
pub(super) async fn settle(crew: &CrewRef) -> Result<()> {
    stop_following(crew).await?;
    settle_journal(crew, SETTLE_TIMEOUT).await
}

/// The same, however long it takes.
pub(super) async fn settle_patiently(crew: &CrewRef) -> Result<()> {
    // A slow disk is no reason to give up; a failed one ends the group by itself.
    while let Err(error) = settle(crew).await {
        if error.kind() != ErrorKind::Timeout || crew.failed.borrow().is_some() {
            return Err(error);
        }
    }
    Ok(())
}

/// Begins the reign after everything that is here.
pub(super) async fn lead(crew: &CrewRef, generation: Generation) -> Result<()> {
    settle_patiently(crew).await?;
    while crew.overlay_lacks.get() && crew.failed.borrow().is_none() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let parent = crew.marks.newest.get();
    {
        let mut state = crew.state.borrow_mut();
        state.lineage.begin(generation, parent.number.next())?;
        state.volumes.cut(parent.number);
    }
    crew.save().await?;
    crew.leads.set(Some(generation));
    crew.to(&crew.volume, Lead { generation, parent });
    for peer in crew.peers.borrow().values() {
        post(peer, Beat);
    }
    Ok(())
}
