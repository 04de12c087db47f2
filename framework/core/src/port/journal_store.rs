//! Where a site's journal and its state lie.

use crate::model::{Position, UpdateNumber};
use crate::record::Record;
use crate::{Error, Result};
use async_trait::async_trait;

/// What a journal held when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The point right before the oldest record that is held.
    pub base: Position,
    /// The newest record that is held; equal to `base` when there is none.
    pub newest: Position,
    /// Why bytes behind `newest` were cut, if any were: a torn tail.
    pub cut: Option<String>,
    /// Whether a process before this one saw the journal's device fail, and no state was saved
    /// since: what it had acknowledged and not made durable may be gone, whatever the pages in
    /// memory look like.
    pub suspect: bool,
}

/// The journal of one site for one group: consecutive records, and a small state beside them.
///
/// # To be correct
/// - `append` takes records that follow the newest one consecutively, and refuses others with
///   [`ErrorKind::Invalid`](crate::ErrorKind::Invalid); when it returns Ok they survive the death
///   of the process. A batch that does not fit is [`ErrorKind::Full`](crate::ErrorKind::Full)
///   *before* anything of it is written: space is reserved first.
/// - When `sync` returns Ok, everything appended before the call survives a power loss. After an
///   error of `append` (other than `Full` and `Invalid`) or of `sync`, every later call returns an
///   error: the kernel may have dropped the pages.
/// - `read` returns consecutive records beginning exactly at `from`, at least one if `from` is
///   held, and stops after `bytes_max`. Damage is
///   [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
/// - `trim` may keep more than asked (whole segments), never less. What `trim` let go stays gone
///   over a restart, or is still there unharmed: never a gap.
/// - `reset` drops all records and begins anew right after `base`, atomically as seen by the next
///   open.
/// - `set_aside` copies the records behind a number, durably, to a place that no other call
///   touches; the journal itself stays as it is. Done again, it leaves one copy.
/// - `truncate` drops exactly the records behind a number; what was kept reads as before, and
///   appends go on from there. A power loss meanwhile leaves the journal ending anywhere between
///   that number and its old end, never a gap.
/// - `save_state` replaces the state atomically and durably: after a power loss at any moment the
///   old or the new one is there, whole.
/// - Opening a journal of another group, site or format version is refused, nothing is changed.
///
/// `trefoil_core::conformance::journal_store` proves these.
#[async_trait]
pub trait JournalStore: Send {
    /// What the journal holds: scans it once, cuts a torn tail durably, syncs what it keeps.
    /// Called once, first.
    async fn recover(&mut self) -> Result<Recovery>;

    /// After `recover` found damage with good records behind it: keeps what lies before it, and is
    /// recovered then. Everything else is first copied, whole and durably, to a place that no other
    /// call touches; [`Recovery::cut`] names it. Where nothing can be kept, or the store cannot do
    /// that, it fails, and nothing is changed.
    async fn salvage(&mut self) -> Result<Recovery> {
        let place = self.describe();
        Err(Error::refused(format!("salvage {place}: it cannot keep what lies before damage")))
    }

    /// Appends consecutive records.
    async fn append(&mut self, records: Vec<Record>) -> Result<()>;

    /// A handle that makes durable what was appended before; `append` may go on meanwhile.
    fn sync(&mut self) -> SyncFuture;

    /// The records from `from` on, up to about `bytes_max` bytes (at least one record).
    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>>;

    /// Lets go of records up to and including `up_to`; returns the new base.
    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position>;

    /// Drops all records and begins anew right after `base`.
    async fn reset(&mut self, base: Position) -> Result<()>;

    /// Copies the records after `after` to a place of their own, durably, because they are about to
    /// be dropped. Returns where they are now, for people.
    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String>;

    /// Drops the records after `after`, durably.
    async fn truncate(&mut self, after: UpdateNumber) -> Result<()>;

    /// The state saved last; `None` if there never was one.
    async fn load_state(&mut self) -> Result<Option<Vec<u8>>>;

    /// Replaces the state, durably.
    async fn save_state(&mut self, state: Vec<u8>) -> Result<()>;

    /// Bytes in use, of how many.
    fn usage(&self) -> (u64, u64);

    /// Where and how it stores, for people.
    fn describe(&self) -> String;
}

/// The completion of a sync: what was appended before it was begun is durable.
pub type SyncFuture = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;
