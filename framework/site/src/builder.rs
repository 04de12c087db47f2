//! A site, described before it is started.

use crate::clock::{Clock, SystemClock, boot_id};
use crate::parts::GroupParts;
use crate::site::Site;
use crate::volumes::{GroupToOpen, VolumeOpener};
use std::sync::Arc;
use trefoil_core::Result;
use trefoil_core::model::SiteName;
use trefoil_core::port::Transport;

/// A site, described before it is started.
pub struct SiteBuilder {
    pub(crate) site: SiteName,
    pub(crate) listens: Vec<(Arc<dyn Transport>, String)>,
    pub(crate) groups: Vec<GroupToOpen>,
    pub(crate) boot: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: u64,
}

impl SiteBuilder {
    /// A site with that name, no listener and no group yet.
    pub fn new(site: SiteName) -> Self {
        Self {
            site,
            listens: Vec::new(),
            groups: Vec::new(),
            boot: boot_id(),
            clock: Arc::new(SystemClock),
            seed: rand::random(),
        }
    }

    /// Listens for other sites on `address` by `transport`. May be called several times.
    #[must_use]
    pub fn listen(mut self, transport: Arc<dyn Transport>, address: impl Into<String>) -> Self {
        self.listens.push((transport, address.into()));
        self
    }

    /// Adds a group.
    #[must_use]
    pub fn group(mut self, parts: GroupParts) -> Self {
        self.groups.push(GroupToOpen { parts, opener: None });
        self
    }

    /// Adds a group whose volumes are opened by `opener`, those at the start and those that come
    /// later: `parts` has no stores.
    #[must_use]
    pub fn group_opened_by(mut self, parts: GroupParts, opener: Arc<dyn VolumeOpener>) -> Self {
        self.groups.push(GroupToOpen { parts, opener: Some(opener) });
        self
    }

    /// The id of this boot of the machine, if not the kernel's: another one means that what was
    /// not synced may be gone.
    #[must_use]
    pub fn boot(mut self, id: impl Into<String>) -> Self {
        self.boot = id.into();
        self
    }

    /// The clocks, if not the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The seed of everything that is drawn at random, if it is to be repeatable.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the site on threads of its own. Callable from sync code and from any runtime.
    ///
    /// # Errors
    /// Whatever a journal, a block store or a listener says, naming it; then nothing is left
    /// running.
    pub fn start(self) -> Result<Site> {
        Site::start(self)
    }
}
