//! The record as Raft applies to it: in memory, with its snapshots in the store.

use super::log::{Shelf, Stored, failed};
use super::machine::{Machine, Record};
use super::store::Snapshot as Kept;
use super::words::{Entry, Index, Place, SnapshotBytes, Types, Verdict};
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    EmptyNode, EntryPayload, OptionalSend, RaftSnapshotBuilder, SnapshotMeta, StoredMembership,
};
use std::io::Cursor;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What was applied, and up to where.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub machine: Machine,
    last: Option<Index>,
    membership: StoredMembership<Place, EmptyNode>,
}

/// Applies what is committed. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    shelf: Shelf,
    applied: Arc<Mutex<Applied>>,
}

impl Keeper {
    /// The record as of the newest snapshot; what comes after it is applied again by Raft.
    pub(super) fn new(shelf: Shelf) -> Self {
        let snapshot = shelf.look(|state| state.snapshot.clone());
        let applied = snapshot.map(|kept| applied_of(kept, Instant::now())).unwrap_or_default();
        Self { shelf, applied: Arc::new(Mutex::new(applied)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Applied> {
        // Commands are applied by code that does not panic.
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn applied_of(kept: Kept, now: Instant) -> Applied {
    let Kept { meta, record } = kept;
    Applied {
        machine: Machine::of(record, now),
        last: meta.last_log_id,
        membership: meta.last_membership,
    }
}

fn handed(kept: Kept) -> std::io::Result<Snapshot<Types>> {
    let bytes = serde_json::to_vec(&kept.record)?;
    Ok(Snapshot { meta: kept.meta, snapshot: Box::new(Cursor::new(bytes)) })
}

impl RaftSnapshotBuilder<Types> for Keeper {
    async fn build_snapshot(&mut self) -> Stored<Snapshot<Types>> {
        let kept = {
            let applied = self.lock();
            let last = applied.last.map_or_else(|| "nothing".to_owned(), |last| last.to_string());
            let meta = SnapshotMeta {
                last_log_id: applied.last,
                last_membership: applied.membership.clone(),
                snapshot_id: last,
            };
            Kept { meta, record: applied.machine.record().clone() }
        };
        self.shelf.change(|state| state.snapshot = Some(kept.clone())).map_err(failed)?;
        handed(kept).map_err(failed)
    }
}

impl RaftStateMachine<Types> for Keeper {
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> Stored<(Option<Index>, StoredMembership<Place, EmptyNode>)> {
        let applied = self.lock();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Stored<Vec<Verdict>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let now = Instant::now();
        let mut applied = self.lock();
        let apply = |Entry { log_id, payload }: Entry| {
            applied.last = Some(log_id);
            match payload {
                EntryPayload::Blank => Verdict::Nothing,
                EntryPayload::Normal(command) => applied.machine.apply(command, now),
                EntryPayload::Membership(sites) => {
                    applied.membership = StoredMembership::new(Some(log_id), sites);
                    Verdict::Nothing
                }
            }
        };
        Ok(entries.into_iter().map(apply).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Stored<Box<SnapshotBytes>> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<Place, EmptyNode>,
        snapshot: Box<SnapshotBytes>,
    ) -> Stored<()> {
        let record: Record =
            serde_json::from_slice(snapshot.get_ref()).map_err(|error| failed(error.into()))?;
        let kept = Kept { meta: meta.clone(), record };
        self.shelf.change(|state| state.snapshot = Some(kept.clone())).map_err(failed)?;
        *self.lock() = applied_of(kept, Instant::now());
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Stored<Option<Snapshot<Types>>> {
        self.shelf.look(|state| state.snapshot.clone()).map(handed).transpose().map_err(failed)
    }
}
