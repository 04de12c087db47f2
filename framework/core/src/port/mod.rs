//! The traits that adapters implement: small, batch-shaped, `dyn`, with owned buffers.

mod arbiter;
mod block_store;
mod journal_store;
mod transport;

pub use arbiter::{
    ARBITER_MESSAGE_BYTES_MAX, Arbiter, ChangeOutcome, Courier, LeaseRequest, Recorded,
};
pub use block_store::{BlockStore, BlockWrite, Content};
pub use journal_store::{JournalStore, Recovery, SyncFuture};
pub use transport::{
    FRAME_BYTES_MAX, FRAME_PARTS_MAX, Frame, FrameReceiver, FrameSender, Lane, Link, Listener,
    Security, Transport,
};
