//! The thread that owns the ring, shared by all volumes of the process.

use super::batch::Piece;
use super::ring::Ring;
use std::fs::File;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// How many batches wait at most; a caller beyond waits for its turn.
const BATCHES_MAX: usize = 16;

/// Pieces to be written to one file.
struct Batch {
    file: Arc<File>,
    pieces: Vec<Piece>,
    done: oneshot::Sender<std::io::Result<()>>,
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct RingThread {
    batches: mpsc::Sender<Batch>,
}

impl RingThread {
    /// The process's ring, started with the first use; why there is none, if there is none.
    pub(super) fn shared() -> Result<Self, String> {
        static SHARED: OnceLock<Result<RingThread, String>> = OnceLock::new();
        SHARED.get_or_init(Self::start).clone()
    }

    fn start() -> Result<Self, String> {
        let mut ring = Ring::new().map_err(|error| format!("there is no ring: {error}"))?;
        let (batches, mut queue) = mpsc::channel::<Batch>(BATCHES_MAX);
        let work = move || {
            while let Some(Batch { file, pieces, done }) = queue.blocking_recv() {
                // Nobody may wait any more: then the result is of no interest.
                let _ = done.send(ring.write_all(&file, pieces));
            }
        };
        let thread = std::thread::Builder::new().name("trefoil-ring".to_owned()).spawn(work);
        thread.map_err(|error| format!("start the ring's thread: {error}"))?;
        Ok(Self { batches })
    }

    /// Writes the pieces. If the caller is dropped they are still written.
    pub(super) async fn write(&self, file: Arc<File>, pieces: Vec<Piece>) -> std::io::Result<()> {
        let gone = || std::io::Error::other("the ring's thread ended");
        let (done, result) = oneshot::channel();
        let sent = self.batches.send(Batch { file, pieces, done }).await;
        sent.map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}
