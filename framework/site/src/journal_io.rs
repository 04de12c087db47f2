//! The one task that owns a site's journal store: every operation passes here, in order.

use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::{mpsc, oneshot};
use trefoil_core::model::{Changed, ExtentSet, Position, RANGES_MAX, UpdateNumber};
use trefoil_core::port::{JournalStore, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, Result};

/// How many operations may wait. Appends and syncs are one at a time, reads one per leg.
const WAITING_MAX: usize = 256;

/// Records are read in pieces of so many bytes when only their extents count.
const SCAN_BYTES: usize = 4 << 20;

type Reply<T> = oneshot::Sender<Result<T>>;

enum Operation {
    Append(Vec<Record>, Appended),
    Sync(oneshot::Sender<SyncFuture>),
    Read(UpdateNumber, usize, Reply<Vec<Record>>),
    Trim(UpdateNumber, Reply<Position>),
    Reset(Position, Reply<()>),
    SetAside(UpdateNumber, Reply<String>),
    Truncate(UpdateNumber, Reply<()>),
    Save(Vec<u8>, Reply<()>),
    Usage(oneshot::Sender<(u64, u64)>),
}

/// Told what was to be appended, how that went, and the bytes in use after it, of how many.
type Appended = Box<dyn FnOnce(Vec<Record>, Result<()>, (u64, u64))>;

impl Operation {
    /// The task is gone. Whoever waits for an answer sees that by itself.
    fn refuse(self) {
        if let Self::Append(records, then) = self {
            then(records, Err(closed()), (0, 0));
        }
    }
}

/// A handle on the task. The store is closed when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct JournalIo(mpsc::Sender<Operation>);

impl JournalIo {
    /// Starts the task on the current thread's `LocalSet`.
    pub fn start(store: Box<dyn JournalStore>) -> (Self, tokio::task::JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let task = tokio::task::spawn_local(run(store, receiver));
        (Self(sender), task)
    }

    async fn ask<T>(&self, operation: impl FnOnce(Reply<T>) -> Operation) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(operation(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Appends consecutive records; `then` is told on this thread: each write passes here, and an
    /// answer that is waited for would cost it two more turns of the scheduler.
    pub fn append(
        &self,
        records: Vec<Record>,
        then: impl FnOnce(Vec<Record>, Result<()>, (u64, u64)) + 'static,
    ) {
        match self.0.try_send(Operation::Append(records, Box::new(then))) {
            Ok(()) => {}
            Err(TrySendError::Full(append)) => {
                let queue = self.0.clone();
                drop(tokio::task::spawn_local(async move {
                    if let Err(SendError(append)) = queue.send(append).await {
                        append.refuse();
                    }
                }));
            }
            Err(TrySendError::Closed(append)) => append.refuse(),
        }
    }

    /// Makes durable what was appended before; does not hold up later operations.
    pub async fn sync(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Operation::Sync(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?.await
    }

    /// Reads records from `from` on.
    pub async fn read(&self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.ask(|reply| Operation::Read(from, bytes_max, reply)).await
    }

    /// Lets records go.
    pub async fn trim(&self, up_to: UpdateNumber) -> Result<Position> {
        self.ask(|reply| Operation::Trim(up_to, reply)).await
    }

    /// Begins anew after `base`.
    pub async fn reset(&self, base: Position) -> Result<()> {
        self.ask(|reply| Operation::Reset(base, reply)).await
    }

    /// Copies the records after `after` to a place of their own; returns where.
    pub async fn set_aside(&self, after: UpdateNumber) -> Result<String> {
        self.ask(|reply| Operation::SetAside(after, reply)).await
    }

    /// Drops the records after `after`.
    pub async fn truncate(&self, after: UpdateNumber) -> Result<()> {
        self.ask(|reply| Operation::Truncate(after, reply)).await
    }

    /// What the records after `after` up to `up_to` changed.
    pub async fn changed(&self, after: UpdateNumber, up_to: UpdateNumber) -> Result<Changed> {
        let mut changed = ExtentSet::new();
        let mut gathered = Vec::new();
        let enter = |changed: &mut ExtentSet, gathered: &mut Vec<_>| {
            changed.add_all(&gathered.drain(..).collect());
            changed.bridge(RANGES_MAX);
        };
        let mut next = after.next();
        while next <= up_to {
            let records = self.read(next, SCAN_BYTES).await?;
            let Some(last) = records.last().map(Record::number) else { break };
            let records = records.iter().filter(|record| record.number() <= up_to);
            gathered.extend(records.filter_map(Record::extent));
            if gathered.len() >= RANGES_MAX {
                enter(&mut changed, &mut gathered);
            }
            next = last.next();
        }
        enter(&mut changed, &mut gathered);
        Ok(Changed::Extents(changed))
    }

    /// Replaces the state, durably.
    pub async fn save(&self, state: Vec<u8>) -> Result<()> {
        self.ask(|reply| Operation::Save(state, reply)).await
    }

    /// Bytes in use, of how many.
    pub async fn usage(&self) -> Result<(u64, u64)> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Operation::Usage(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

fn closed() -> Error {
    Error::closed("use journal: it is closed")
}

/// Works off operations in order. A caller that went away does not stop what it asked for.
async fn run(mut store: Box<dyn JournalStore>, mut operations: mpsc::Receiver<Operation>) {
    while let Some(operation) = operations.recv().await {
        match operation {
            Operation::Append(records, then) => {
                let result = store.append(records.clone()).await;
                then(records, result, store.usage());
            }
            Operation::Sync(reply) => {
                let _ = reply.send(store.sync());
            }
            Operation::Read(from, bytes_max, reply) => {
                let _ = reply.send(store.read(from, bytes_max).await);
            }
            Operation::Trim(up_to, reply) => {
                let _ = reply.send(store.trim(up_to).await);
            }
            Operation::Reset(base, reply) => {
                let _ = reply.send(store.reset(base).await);
            }
            Operation::SetAside(after, reply) => {
                let _ = reply.send(store.set_aside(after).await);
            }
            Operation::Truncate(after, reply) => {
                let _ = reply.send(store.truncate(after).await);
            }
            Operation::Save(state, reply) => {
                let _ = reply.send(store.save_state(state).await);
            }
            Operation::Usage(reply) => {
                let _ = reply.send(store.usage());
            }
        }
    }
}
