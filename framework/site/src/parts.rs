//! What a group is made of at one site: its configuration and its adapters.

use crate::wan::LinkRates;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::engine::retention::OnFull;
use trefoil_core::model::{Durability, Fence, GroupName, SiteName, VolumeSpec};
use trefoil_core::port::{Arbiter, BlockStore, JournalStore, Transport};
use trefoil_core::topology::Topology;

/// A group, as all its sites are configured alike.
#[derive(Clone)]
pub struct GroupConfig {
    /// Its name.
    pub group: GroupName,
    /// Its volumes, by index: the same order at every site.
    pub volumes: Vec<VolumeSpec>,
    /// Its sites, and who follows whom.
    pub topology: Arc<dyn Topology>,
    /// When a host write is answered.
    pub durability: Durability,
    /// What happens when the sync leg is lost.
    pub fence: Fence,
    /// Whether an async leg that lags may hold the host back.
    pub on_full: OnFull,
    /// Its limits.
    pub limits: Limits,
    /// Its times.
    pub timing: Timing,
}

/// The limits of a group at one site, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Host writes accepted and not answered. Default 16 MiB.
    pub window_bytes: u64,
    /// Updates in memory that the block store does not have yet. Past it the host, or the source,
    /// waits for the restorer. Default 256 MiB.
    pub overlay_bytes: u64,
    /// Newest records kept in memory for the legs. Default 32 MiB.
    pub tail_bytes: u64,
    /// What a source may send ahead of a follower's acknowledgement. Default 64 MiB: 1 Gbit/s over
    /// a round trip of 100 ms is 12 MiB under way, 24 MiB where it is packed to half, and as much
    /// again is being packed, queued and taken in.
    pub credit_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window_bytes: 16 << 20,
            overlay_bytes: 256 << 20,
            tail_bytes: 32 << 20,
            credit_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// How much of the overlay a site fills that follows. The rest is for hosts, should it take
    /// over: then it has room for them before it restored anything.
    pub(crate) fn overlay_of_follower(&self) -> u64 {
        self.overlay_bytes - self.overlay_bytes / 16
    }
}

/// The times of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats on a link. Default 250 ms.
    pub heartbeat: Duration,
    /// An idle primary makes a heartbeat record this often. Default 1 s.
    pub idle_record: Duration,
    /// A link on which nothing was heard for so long is given up. Default 3 s.
    pub link_timeout: Duration,
    /// The right to answer the host, once renewed, lasts so long. Default 2 s.
    pub lease: Duration,
    /// A candidate waits so long for promises. Default 2 s.
    pub promise_timeout: Duration,
    /// A member that is away for so long is taken out of the in-sync set. Default 3 s.
    pub leg_grace: Duration,
    /// A new primary waits so long for the members to come along. Default 1 s.
    pub carry_grace: Duration,
    /// The journal is synced at least this often while something is not durable, and sooner after
    /// 4 MiB, where that takes the disk at most a tenth of the time. Default 100 ms: an append
    /// that meets a sync on its way to the disk waits for it, so that each costs the host more
    /// than it gives it; an asynchronous site is behind by about so much, since it gets nothing
    /// that the mirror could lose.
    pub sync_interval: Duration,
    /// Updates gather for so long at most before they are restored, and up to 4 MiB: what is
    /// written again meanwhile is written once. An export at a secondary is about so much older
    /// than its journal. A site that nobody waits for takes 50 ms at most. Default 500 ms.
    pub linger: Duration,
    /// The block store is checkpointed at least this often: a site that was killed restores at
    /// most so much again. Default 5 s.
    pub checkpoint: Duration,
    /// Host writes wait so long at most for an exchange of roles; then it is called off. Default
    /// 10 s.
    pub handover: Duration,
    /// Under [`Fence::Data`] a host write that cannot be answered fails after this. Default 30 s.
    pub write_timeout: Duration,
    /// A follower that was refused or cut off asks again after this, and up to eight times it.
    /// Default 200 ms.
    pub follow_again: Duration,
    /// A site of the in-sync set takes over by itself when it and another site have not heard the
    /// primary for so long, and nothing is lost for certain. At least the lease. Default `None`:
    /// only an operator starts a takeover.
    pub takeover_delay: Option<Duration>,
    /// For so long after a write the group's thread polls for the next one instead of sleeping:
    /// where waking a sleeping core is slow, as in most virtual machines, one write at a time takes
    /// about half as long when both sites do so. 200 µs are enough; it costs up to so much of a
    /// core for each write. Default zero: it sleeps.
    pub busy_poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            idle_record: Duration::from_secs(1),
            link_timeout: Duration::from_secs(3),
            lease: Duration::from_secs(2),
            promise_timeout: Duration::from_secs(2),
            leg_grace: Duration::from_secs(3),
            carry_grace: Duration::from_secs(1),
            sync_interval: Duration::from_millis(100),
            linger: Duration::from_millis(500),
            checkpoint: Duration::from_secs(5),
            handover: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            follow_again: Duration::from_millis(200),
            takeover_delay: None,
            busy_poll: Duration::ZERO,
        }
    }
}

/// How another site is reached.
#[derive(Clone)]
pub struct PeerLink {
    /// By which transport.
    pub transport: Arc<dyn Transport>,
    /// At which address.
    pub address: String,
    /// How data is sent to it; may be changed at any time.
    pub rates: LinkRates,
}

impl PeerLink {
    /// A way that sends data as it is and as fast as it goes.
    pub fn new(transport: Arc<dyn Transport>, address: impl Into<String>) -> Self {
        Self { transport, address: address.into(), rates: LinkRates::default() }
    }

    /// The same way, with data sent as the cell says.
    #[must_use]
    pub fn with_rates(self, rates: LinkRates) -> Self {
        Self { rates, ..self }
    }
}

/// A group at one site: its configuration and its adapters.
pub struct GroupParts {
    /// The configuration, alike at all sites.
    pub config: GroupConfig,
    /// This site's journal.
    pub journal: Box<dyn JournalStore>,
    /// This site's block stores, by volume index.
    pub stores: Vec<Arc<dyn BlockStore>>,
    /// The other sites.
    pub peers: BTreeMap<SiteName, PeerLink>,
    /// Who keeps the charter, if not the sites themselves: the same one for all of them.
    pub arbiter: Option<Arc<dyn Arbiter>>,
}

/// A duration in microseconds, as the engines count.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
