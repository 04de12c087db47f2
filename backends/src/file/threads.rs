//! The threads on which blocking file I/O is done.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use trefoil_core::{Error, Result};

/// How many jobs wait at most; a caller beyond waits for its turn.
const JOBS_MAX: usize = 256;

/// How long a job that has much to do keeps its core while others want it. The scheduler would take
/// it away at the next tick only, up to 4 ms later, and who waits for the core may be the thread
/// that answers hosts.
const TURN: Duration = Duration::from_micros(200);

type Job = Box<dyn FnOnce() + Send>;

/// The turn of a job that has much to do and is in no hurry.
pub(crate) struct Turn(Instant);

impl Turn {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Call it between two pieces of work: lets others have the core, if the turn is over.
    pub(crate) fn share(&mut self) {
        if self.0.elapsed() >= TURN {
            std::thread::yield_now();
            *self = Self::begin();
        }
    }
}

/// A small pool of threads for blocking I/O, shared by the process.
pub(crate) struct IoThreads {
    jobs: Mutex<VecDeque<Job>>,
    more: Condvar,
    room: Arc<Semaphore>,
}

impl IoThreads {
    /// The process's pool; its threads are started with the first use.
    pub(crate) fn shared() -> Result<&'static Self> {
        static POOL: OnceLock<IoThreads> = OnceLock::new();
        static STARTED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
        let pool = POOL.get_or_init(|| Self {
            jobs: Mutex::default(),
            more: Condvar::new(),
            room: Arc::new(Semaphore::new(JOBS_MAX)),
        });
        let start = |i| {
            let name = format!("trefoil-io-{i}");
            std::thread::Builder::new().name(name).spawn(|| pool.work()).map(drop)
        };
        // The count is asked of the system, which reads files: once, not with every job. Most jobs
        // wait for the disk and not for a core: a volume's sync must not keep a promise waiting.
        let count = || std::thread::available_parallelism().map_or(4, |n| n.get().clamp(4, 8));
        match STARTED.get_or_init(|| (0..count()).try_for_each(start).map_err(|e| e.to_string())) {
            Ok(()) => Ok(pool),
            Err(why) => {
                Err(Error::new(trefoil_core::ErrorKind::Io, format!("start I/O threads: {why}")))
            }
        }
    }

    /// Does `job` on one of the threads. If the caller is dropped the job is still done.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let gone = |_| Error::closed("do file I/O: the I/O thread ended");
        let permit = self
            .room
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| Error::closed("do file I/O: the I/O threads are stopped"))?;
        let (done, result) = oneshot::channel();
        self.jobs.lock().push_back(Box::new(move || {
            drop(permit);
            // Nobody may wait any more: then the result is of no interest.
            let _ = done.send(job());
        }));
        self.more.notify_one();
        result.await.map_err(gone)?
    }

    fn work(&self) {
        loop {
            let job = {
                let mut jobs = self.jobs.lock();
                loop {
                    match jobs.pop_front() {
                        Some(job) => break job,
                        None => self.more.wait(&mut jobs),
                    }
                }
            };
            job();
        }
    }
}
