//! A volume in memory that a test can hold up, fence and count, and a server over it.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_daemon::nbd::{Export, Exports, NbdCounters, NbdLimits, NbdServer};

/// The unit in which allocation is kept.
const BLOCK: u64 = 4096;

/// An export in memory.
pub struct MemoryExport {
    pub bytes: Mutex<Vec<u8>>,
    written: Mutex<BTreeSet<u64>>,
    pub read_only: AtomicBool,
    /// Reads that begin below this offset wait for `gate`.
    pub slow_below: AtomicU64,
    /// Writes wait for `gate`.
    pub slow_writes: AtomicBool,
    /// Adding a permit lets one waiting call go on.
    pub gate: Semaphore,
    /// A write at this offset panics.
    pub panics_at: AtomicU64,
    /// What every call fails with.
    pub failure: Mutex<Option<ErrorKind>>,
    pub writes_begun: AtomicU64,
    pub writes_done: AtomicU64,
    pub flushes: AtomicU64,
    pub fua: AtomicU64,
    pub punches: AtomicU64,
}

impl MemoryExport {
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(vec![0; size]),
            written: Mutex::default(),
            read_only: AtomicBool::new(false),
            slow_below: AtomicU64::new(0),
            slow_writes: AtomicBool::new(false),
            gate: Semaphore::new(0),
            panics_at: AtomicU64::new(u64::MAX),
            failure: Mutex::new(None),
            writes_begun: AtomicU64::new(0),
            writes_done: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            fua: AtomicU64::new(0),
            punches: AtomicU64::new(0),
        })
    }

    async fn wait(&self) {
        self.gate.acquire().await.unwrap().forget();
    }

    fn fail(&self) -> Result<()> {
        match *self.failure.lock() {
            Some(kind) => Err(Error::new(kind, "use volume: the test says no")),
            None => Ok(()),
        }
    }

    fn count(counter: &AtomicU64, yes: bool) {
        counter.fetch_add(u64::from(yes), Ordering::SeqCst);
    }
}

fn range(offset: u64, length: u64) -> Range<usize> {
    offset as usize..(offset + length) as usize
}

#[async_trait]
impl Export for MemoryExport {
    fn size(&self) -> u64 {
        self.bytes.lock().len() as u64
    }

    fn read_only(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }

    async fn read(&self, offset: u64, len: u64) -> Result<Bytes> {
        if offset < self.slow_below.load(Ordering::SeqCst) {
            self.wait().await;
        }
        self.fail()?;
        Ok(Bytes::copy_from_slice(&self.bytes.lock()[range(offset, len)]))
    }

    async fn write(&self, offset: u64, data: Bytes, fua: bool) -> Result<()> {
        Self::count(&self.writes_begun, true);
        assert_ne!(offset, self.panics_at.load(Ordering::SeqCst), "the test says panic");
        if self.slow_writes.load(Ordering::SeqCst) {
            self.wait().await;
        }
        self.fail()?;
        let length = data.len() as u64;
        self.bytes.lock()[range(offset, length)].copy_from_slice(&data);
        self.written.lock().extend(offset / BLOCK..(offset + length).div_ceil(BLOCK));
        Self::count(&self.fua, fua);
        Self::count(&self.writes_done, true);
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        self.fail()?;
        Self::count(&self.flushes, true);
        Ok(())
    }

    async fn zero(&self, offset: u64, len: u64, fua: bool, punch: bool) -> Result<()> {
        self.fail()?;
        self.bytes.lock()[range(offset, len)].fill(0);
        let mut written = self.written.lock();
        for block in offset / BLOCK..(offset + len).div_ceil(BLOCK) {
            let whole = block * BLOCK >= offset && (block + 1) * BLOCK <= offset + len;
            match punch && whole {
                true => written.remove(&block),
                false => written.insert(block),
            };
        }
        Self::count(&self.fua, fua);
        Self::count(&self.punches, punch);
        Ok(())
    }

    async fn allocated(&self, offset: u64, len: u64) -> Result<Vec<(u64, bool)>> {
        self.fail()?;
        let written = self.written.lock();
        let end = offset + len;
        let blocks = offset / BLOCK..end.div_ceil(BLOCK);
        Ok(blocks
            .map(|block| {
                let from = (block * BLOCK).max(offset);
                (((block + 1) * BLOCK).min(end) - from, written.contains(&block))
            })
            .collect())
    }
}

/// Exports by name.
#[derive(Default)]
pub struct Catalog {
    pub exports: Mutex<BTreeMap<String, Arc<MemoryExport>>>,
}

impl Catalog {
    /// A catalogue of one.
    pub fn one(name: &str, export: &Arc<MemoryExport>) -> Arc<Self> {
        let catalog = Self::default();
        catalog.exports.lock().insert(name.into(), Arc::clone(export));
        Arc::new(catalog)
    }
}

impl Exports for Catalog {
    fn find(&self, _host: Option<&str>, name: &str) -> Result<Arc<dyn Export>> {
        let exports = self.exports.lock();
        let found = match name {
            "" if exports.len() == 1 => exports.values().next(),
            name => exports.get(name),
        };
        let unknown = || Error::invalid(format!("find export {name:?}: there is none"));
        Ok(Arc::clone(found.ok_or_else(unknown)?) as _)
    }

    fn list(&self, _host: Option<&str>) -> Vec<String> {
        self.exports.lock().keys().cloned().collect()
    }
}

/// A server that runs.
pub struct Serving {
    pub address: String,
    pub counters: Arc<NbdCounters>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

impl Serving {
    /// On a free port, with the default limits.
    pub async fn start(exports: Arc<Catalog>) -> Self {
        Self::start_with("127.0.0.1:0", exports, NbdLimits::default()).await
    }

    pub async fn start_with(address: &str, exports: Arc<Catalog>, limits: NbdLimits) -> Self {
        let server = NbdServer::bind(address, exports, limits).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let (address, counters) = (server.address().to_string(), server.counters());
        let task = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));
        Self { address, counters, stop, task }
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }
}
