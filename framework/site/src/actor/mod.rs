//! The actors, in the order a write travels. They are thin: events go to the engines of
//! `trefoil_core`, effects come back and are carried out.
//!
//! All actors of a group live on one thread, so a message costs half a microsecond and nothing
//! needs a lock. Host I/O enters through [`VolumeActor`] with a byte permit in hand; reads do not
//! pass through actors at all.

mod follower;
mod handover;
mod journal;
mod link;
mod peer;
mod question;
mod reign;
mod relay;
mod replaced;
mod restorer;
mod resync;
mod shipper;
mod tick;
mod volume;
mod way;

pub(crate) use follower::{
    AskFollow, DataIn, Differing, FollowView, FollowerActor, Rejoin, SourceEnded, StartFollowing,
    StopFollowing,
};
pub(crate) use journal::{
    AskJournal, Checkpointed, JournalActor, PrepareReset, RaiseFloor, RaiseFloors, ReadRecords,
    ResetJournal, Submit, SyncTo, hold_trims, position_at, quiesce, settle_journal,
};
pub(crate) use link::greeting;
pub(crate) use peer::{AskNewest, Beat, PeerActor, Redial, SendControl};
pub(crate) use question::AskAnswer;
pub(crate) use reign::{
    AskExchange, AskForecasts, AskTakeover, FollowRequest, FromPeer, LegChanged, LinkChanged,
    Marked, Paused, PlanAsked, ReignActor, Replace, Repoint, RolledForward, Suspend, Swap,
    Takeover, reign_config,
};
pub(crate) use restorer::{
    CompareIn, CopyIn, Hold, HoldImage, InPlace, JournalDurable, Received, Release, ResetRestorer,
    RestorerActor, Settle, Unsettle, last_checkpoint, stage_bytes, write_batch,
};
pub(crate) use shipper::{
    Awaited, Differs, FollowerProgress, Kick, ShipperActor, StopRelaying, StopShipping, Unfollowed,
    judge_follower,
};
pub(crate) use volume::{
    AskAssigned, AskCommit, Close, Depose, HoldAnswers, HostFlush, HostWrite, Inbox, Join, Lead,
    Leave, LegProgress, OwnMarks, Pause, Serve, SetVolumes, VolumeActor, Waiter, refusal,
};
pub(crate) use way::{AcceptLink, NewWay};

/// End.
#[derive(actix::Message, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Dismiss;

macro_rules! dismissible {
    ($($actor:ident),*) => {
        $(impl actix::Handler<Dismiss> for $actor {
            type Result = ();

            fn handle(&mut self, _: Dismiss, ctx: &mut actix::Context<Self>) {
                actix::ActorContext::stop(ctx);
            }
        })*
    };
}

dismissible!(
    VolumeActor,
    JournalActor,
    RestorerActor,
    FollowerActor,
    ReignActor,
    PeerActor,
    ShipperActor
);
