//! A journal that archives what it lets go of: a whole backend adapter, to copy from.
//!
//! [`ArchivingJournal`] wraps any journal. Before records are trimmed they are put into an object
//! store (a bucket, a directory, memory: whatever the crate `object_store` speaks to), so that the
//! whole history of a group can be read later. Everything else it leaves to the journal inside.

use async_trait::async_trait;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use trefoil_core::model::{Position, UpdateNumber};
use trefoil_core::port::{JournalStore, Recovery, SyncFuture};
use trefoil_core::record::Record;
use trefoil_core::{Error, ErrorKind, Result};

/// The most record bytes of one object.
const OBJECT_BYTES_MAX: usize = 1 << 20;

/// Where the history of one group at one site is kept: objects named by their first number.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    folder: Path,
}

fn failed(doing: &'static str) -> impl Fn(object_store::Error) -> Error {
    // The archive may be back soon: whoever trims tries again.
    move |source| Error::with_source(ErrorKind::Unavailable, doing, source)
}

impl Archive {
    /// The archive in that folder of a store.
    pub fn new(store: Arc<dyn ObjectStore>, folder: &str) -> Self {
        Self { store, folder: Path::from(folder) }
    }

    /// Puts consecutive records away. Whatever was there under the same first number is replaced:
    /// it can only be the same history.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the store does not take them.
    pub async fn put(&self, records: &[Record]) -> Result<()> {
        let Some(first) = records.first() else { return Ok(()) };
        let bytes: Vec<u8> = records
            .iter()
            .flat_map(|record| [record.header_bytes(), record.payload()])
            .flatten()
            .copied()
            .collect();
        let place = self.folder.clone().join(format!("{:020}", first.number().value()));
        self.store.put(&place, bytes.into()).await.map_err(failed("archive records"))?;
        Ok(())
    }

    /// Everything that was put away, in order; every record's checksum is verified.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the store does not answer, [`ErrorKind::Corrupt`] for damage.
    pub async fn records(&self) -> Result<Vec<Record>> {
        let listed = self.store.list_with_delimiter(Some(&self.folder)).await;
        let mut places: Vec<Path> = listed
            .map_err(failed("list archive"))?
            .objects
            .into_iter()
            .map(|o| o.location)
            .collect();
        places.sort();
        let mut records = Vec::new();
        for place in places {
            let object = self.store.get(&place).await.map_err(failed("read archive"))?;
            let mut rest: Bytes = object.bytes().await.map_err(failed("read archive"))?;
            while !rest.is_empty() {
                let (record, taken) = Record::decode(&rest)?;
                rest = rest.slice(taken..);
                records.push(record);
            }
        }
        Ok(records)
    }
}

/// A journal that archives records before it lets go of them.
pub struct ArchivingJournal {
    inner: Box<dyn JournalStore>,
    archive: Archive,
    /// The journal's base: what comes after it is not archived yet.
    base: UpdateNumber,
    newest: UpdateNumber,
}

impl ArchivingJournal {
    /// Wraps a journal that was not recovered yet.
    pub fn new(inner: Box<dyn JournalStore>, archive: Archive) -> Self {
        let (base, newest) = (UpdateNumber::ZERO, UpdateNumber::ZERO);
        Self { inner, archive, base, newest }
    }

    /// Archives up to `up_to`, or as far as the journal goes.
    async fn archive_to(&mut self, up_to: UpdateNumber) -> Result<()> {
        let last = up_to.min(self.newest);
        let mut next = self.base.next();
        while next <= last {
            let mut records = self.inner.read(next, OBJECT_BYTES_MAX).await?;
            records.retain(|record| record.number() <= last);
            let Some(newest) = records.last().map(Record::number) else { break };
            self.archive.put(&records).await?;
            next = newest.next();
        }
        Ok(())
    }
}

#[async_trait]
impl JournalStore for ArchivingJournal {
    async fn recover(&mut self) -> Result<Recovery> {
        let recovery = self.inner.recover().await?;
        (self.base, self.newest) = (recovery.base.number, recovery.newest.number);
        Ok(recovery)
    }

    async fn append(&mut self, records: Vec<Record>) -> Result<()> {
        let last = records.last().map(Record::number);
        self.inner.append(records).await?;
        self.newest = last.unwrap_or(self.newest);
        Ok(())
    }

    fn sync(&mut self) -> SyncFuture {
        self.inner.sync()
    }

    async fn read(&mut self, from: UpdateNumber, bytes_max: usize) -> Result<Vec<Record>> {
        self.inner.read(from, bytes_max).await
    }

    async fn trim(&mut self, up_to: UpdateNumber) -> Result<Position> {
        // First into the archive: what cannot be put there is not let go.
        self.archive_to(up_to).await?;
        let base = self.inner.trim(up_to).await?;
        self.base = base.number;
        Ok(base)
    }

    async fn reset(&mut self, base: Position) -> Result<()> {
        self.archive_to(self.newest).await?;
        self.inner.reset(base).await?;
        (self.base, self.newest) = (base.number, base.number);
        Ok(())
    }

    async fn set_aside(&mut self, after: UpdateNumber) -> Result<String> {
        self.inner.set_aside(after).await
    }

    async fn truncate(&mut self, after: UpdateNumber) -> Result<()> {
        // What another branch of the history left behind is set aside, not archived.
        self.inner.truncate(after).await?;
        self.newest = self.newest.min(after);
        Ok(())
    }

    async fn load_state(&mut self) -> Result<Option<Vec<u8>>> {
        self.inner.load_state().await
    }

    async fn save_state(&mut self, state: Vec<u8>) -> Result<()> {
        self.inner.save_state(state).await
    }

    fn usage(&self) -> (u64, u64) {
        self.inner.usage()
    }

    fn describe(&self) -> String {
        format!("{}, archived in {}", self.inner.describe(), self.archive.store)
    }
}
