//! Raft's log and ballot in the store.

use super::store::{State, Store};
use super::words::{Ballot, Entry, Index, Place, Types};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageError};
use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The store, shared by log and record.
#[derive(Clone, Debug)]
pub(super) struct Shelf(Arc<Mutex<Store>>);

pub(super) type Stored<T> = Result<T, StorageError<Place>>;

/// What Raft is told of a store that failed.
pub(super) fn failed(error: std::io::Error) -> StorageError<Place> {
    StorageError::from_io_error(ErrorSubject::Store, ErrorVerb::Write, error)
}

impl Shelf {
    pub(super) fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        // A store changes by one assignment, after everything that may fail.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is kept.
    pub(super) fn look<T: Default>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.lock().state().map(look).unwrap_or_default()
    }

    /// Makes a change durable.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) -> std::io::Result<()> {
        self.lock().change(change)
    }
}

impl RaftLogReader<Types> for Shelf {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Stored<Vec<Entry>> {
        Ok(self.look(|state| state.log.range(range).map(|(_, entry)| entry.clone()).collect()))
    }
}

impl RaftLogStorage<Types> for Shelf {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Stored<LogState<Types>> {
        Ok(self
            .look(|state| LogState { last_purged_log_id: state.purged, last_log_id: state.last() }))
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Ballot) -> Stored<()> {
        self.change(|state| state.ballot = Some(*vote)).map_err(failed)
    }

    async fn read_vote(&mut self) -> Stored<Option<Ballot>> {
        Ok(self.look(|state| state.ballot))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Stored<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let appended = self.change(|state| {
            state.log.extend(entries.into_iter().map(|entry| (entry.log_id.index, entry)));
        });
        callback.log_io_completed(match &appended {
            Ok(()) => Ok(()),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        });
        appended.map_err(failed)
    }

    async fn truncate(&mut self, from: Index) -> Stored<()> {
        self.change(|state| drop(state.log.split_off(&from.index))).map_err(failed)
    }

    async fn purge(&mut self, upto: Index) -> Stored<()> {
        self.change(|state| {
            state.log = state.log.split_off(&(upto.index + 1));
            state.purged = state.purged.max(Some(upto));
        })
        .map_err(failed)
    }
}
