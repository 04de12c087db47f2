//! Links inside one process.
//!
//! Nothing leaves the process and nothing runs in the background: a frame is handed over as it is,
//! in its parts, of which nothing is copied, and waiting uses tokio's primitives only, so the
//! transport is deterministic on a current-thread runtime, under paused time too. Each lane holds
//! at most [`LANE_BYTES_MAX`] bytes in each direction; then `send` waits.

mod half;
mod link;
pub(crate) mod network;
pub(crate) mod rule;

use async_trait::async_trait;
use network::{Local, Network};
use rule::{Path, Rules};
use std::sync::Arc;
use trefoil_core::Result;
use trefoil_core::port::{Link, Listener, Transport};

/// The word by which configurations name this transport.
pub const WORD: &str = "memory";

/// The most bytes that wait in one lane in one direction: 8 MiB, two frames of the longest kind.
pub const LANE_BYTES_MAX: usize = 8 << 20;

/// A network in memory: a set of addresses, which are any strings. Clones are the same network.
#[derive(Clone)]
pub struct MemoryNetwork(Arc<Network>);

impl MemoryNetwork {
    /// A network where nobody listens yet.
    pub fn new() -> Self {
        let rules = Rules { lane_bytes_max: LANE_BYTES_MAX, ..Rules::default() };
        Self(Arc::new(Network::new(rules, Path::default(), 0)))
    }

    /// A transport in this network.
    pub fn transport(&self) -> MemoryTransport {
        MemoryTransport { network: self.0.clone(), local: self.0.local(WORD) }
    }
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryNetwork").finish_non_exhaustive()
    }
}

/// Carries frames within one process; see [`MemoryNetwork`].
#[derive(Clone)]
pub struct MemoryTransport {
    network: Arc<Network>,
    local: Local,
}

impl MemoryTransport {
    /// A transport in `network`; the same as [`MemoryNetwork::transport`].
    pub fn new(network: &MemoryNetwork) -> Self {
        network.transport()
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn connect(&self, address: &str) -> Result<Link> {
        self.network.connect(&self.local, address).await
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        Ok(Box::new(self.network.listen(&self.local, address)?))
    }

    fn describe(&self) -> String {
        WORD.to_owned()
    }
}
