//! A network for seeded simulation: named sites, delay, partition, freezing and death.
//!
//! Links are those of [`memory`](crate::memory), with a delay drawn for every frame from a seed
//! given at construction. Within a lane and direction frames stay in order; lanes and directions
//! are independent. All waiting is `tokio::time`, so under paused time an hour takes no time, and
//! the same seed with the same calls gives the same run.
//!
//! tokio's timers count whole milliseconds: a shorter delay is rounded up when somebody waits
//! for it.

use crate::memory::network::{Local, Network, cut_now};
use crate::memory::rule::{Path, Rules};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::port::{Link, Listener, Transport};
use trefoil_core::{ErrorKind, Result};

/// The word by which configurations name this transport.
pub const WORD: &str = "simulated";

/// How a simulated network behaves, before anything is changed by hand.
#[derive(Clone, Debug)]
pub struct SimulatedOptions {
    /// The least time that a frame is under way. Default 200 µs.
    pub delay_min: Duration,
    /// The most time that a frame is under way; not below `delay_min`. Default 2 ms.
    pub delay_max: Duration,
    /// The most bytes under way in one lane in one direction. Default 8 MiB.
    pub lane_bytes_max: usize,
    /// How long connecting may take. Default 5 s.
    pub connect_timeout: Duration,
    /// After how long a link that is stalled by a cut ends with an error at both sides; `None`:
    /// it waits until the cut is healed. Default 10 s.
    pub link_timeout: Option<Duration>,
}

impl Default for SimulatedOptions {
    fn default() -> Self {
        Self {
            delay_min: Duration::from_micros(200),
            delay_max: Duration::from_millis(2),
            lane_bytes_max: 8 << 20,
            connect_timeout: Duration::from_secs(5),
            link_timeout: Some(Duration::from_secs(10)),
        }
    }
}

/// A simulated network. Clones are the same network.
#[derive(Clone)]
pub struct SimulatedNetwork(Arc<Network>);

impl SimulatedNetwork {
    /// A network without faults; all its randomness comes from `seed`.
    pub fn new(seed: u64, options: SimulatedOptions) -> Self {
        let SimulatedOptions {
            delay_min,
            delay_max,
            lane_bytes_max,
            connect_timeout,
            link_timeout,
        } = options;
        let rules = Rules { lane_bytes_max, connect_timeout, link_timeout, ..Rules::default() };
        let path = Path { delay_min, delay_max, cut_since: None };
        Self(Arc::new(Network::new(rules, path, seed)))
    }

    /// The transport of the site named `site`, until it is [killed](Self::kill).
    pub fn transport_for(&self, site: &str) -> SimulatedTransport {
        SimulatedTransport { network: self.0.clone(), local: self.0.local(site) }
    }

    /// Sets how long frames from one site to another are under way, from now on and in this
    /// direction only.
    pub fn set_delay(&self, from: &str, to: &str, delay_min: Duration, delay_max: Duration) {
        self.0.change_path(from, to, |path| {
            path.delay_min = delay_min;
            path.delay_max = delay_max;
        });
    }

    /// Lets nothing through from one site to another, in this direction only.
    ///
    /// Links stall: what is sent is held. They end with an error after
    /// [`link_timeout`](SimulatedOptions::link_timeout), or go on where they were if the cut is
    /// healed earlier. New links wait for healing, too, for at most the connect timeout.
    pub fn cut_one_way(&self, from: &str, to: &str) {
        self.0.change_path(from, to, cut_now);
    }

    /// Lets nothing through between two sites, in both directions.
    pub fn cut(&self, one: &str, other: &str) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Cuts two sites off from each other and ends their links at once: what was under way is
    /// lost.
    pub fn cut_and_drop(&self, one: &str, other: &str) {
        self.cut(one, other);
        self.drop_connection(one, other);
    }

    /// Lets frames through again from one site to another, in this direction only.
    pub fn heal_one_way(&self, from: &str, to: &str) {
        self.0.change_path(from, to, |path| path.cut_since = None);
    }

    /// Lets frames through again between two sites.
    pub fn heal(&self, one: &str, other: &str) {
        self.heal_one_way(one, other);
        self.heal_one_way(other, one);
    }

    /// Breaks every link between two sites at once, whoever connected; what was under way is
    /// lost. They can connect again.
    pub fn drop_connection(&self, one: &str, other: &str) {
        self.0.break_links(one, other, ErrorKind::Unavailable, "the connection broke");
    }

    /// Stops a site's network as if its process were stopped: it neither sends nor receives,
    /// and nobody can connect to it. What others send waits, up to the lane's limit.
    pub fn freeze(&self, site: &str) {
        self.0.set_frozen(site, true);
    }

    /// Lets a frozen site go on.
    pub fn thaw(&self, site: &str) {
        self.0.set_frozen(site, false);
    }

    /// The site's process dies: its links and listeners end at once, and its transport handles
    /// are dead. Others learn it when the news reaches them (not through a cut); of what it had
    /// sent, a beginning drawn from the seed still arrives. A new [`Self::transport_for`] can
    /// listen on the same addresses.
    pub fn kill(&self, site: &str) {
        self.0.kill(site);
    }
}

impl std::fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedNetwork").finish_non_exhaustive()
    }
}

/// The transport of one site in a [`SimulatedNetwork`], in one life of that site.
#[derive(Clone)]
pub struct SimulatedTransport {
    network: Arc<Network>,
    local: Local,
}

#[async_trait]
impl Transport for SimulatedTransport {
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
