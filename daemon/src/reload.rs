//! Reads the configuration again while the daemon runs: on SIGHUP, and when `trefoil reload` asks.

use crate::builtin::Builtin;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::Site;
use trefoil_site::config::{Changes, Problems, SiteConfig};

/// How many may ask for a reload at once.
const ASKS_MAX: usize = 8;

/// Reads and checks the configuration anew, from where it was read at the start.
#[derive(Clone)]
pub struct Loader(Arc<dyn Fn() -> std::result::Result<SiteConfig, Problems> + Send + Sync>);

impl Loader {
    /// A loader that does this.
    pub fn new(
        load: impl Fn() -> std::result::Result<SiteConfig, Problems> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(load))
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

/// What came of the newest reload.
#[derive(Clone, Copy, Debug)]
pub struct LastReload {
    /// Whether it was taken over, or refused.
    pub successful: bool,
    /// When the running configuration was loaded, since 1970.
    pub loaded: Duration,
}

type Reply = oneshot::Sender<Result<Changes>>;

/// Asks the daemon for reloads. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct Reloads {
    asks: mpsc::Sender<Reply>,
    last: Arc<Mutex<LastReload>>,
}

impl Reloads {
    /// Reads the configuration again, and takes over what a running site can.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with every problem, when the configuration is not one; then nothing
    /// was changed. [`ErrorKind::Closed`] when the daemon stops.
    pub async fn ask(&self) -> Result<Changes> {
        let (reply, answer) = oneshot::channel();
        let closed = || Error::closed("reload configuration: the daemon is stopping");
        self.asks.send(reply).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// What came of the newest one.
    pub fn last(&self) -> LastReload {
        *self.last.lock()
    }
}

/// Carries reloads out, one at a time.
pub(crate) struct Reloader {
    load: Loader,
    builtin: Builtin,
    running: SiteConfig,
    asks: mpsc::Receiver<Reply>,
    last: Arc<Mutex<LastReload>>,
}

impl Reloader {
    /// For a site that runs `running`, which was loaded now.
    pub fn new(load: Loader, builtin: &Builtin, running: &SiteConfig) -> (Self, Reloads) {
        let (sender, asks) = mpsc::channel(ASKS_MAX);
        let last = LastReload { successful: true, loaded: since_1970() };
        let last = Arc::new(Mutex::new(last));
        let reloads = Reloads { asks: sender, last: last.clone() };
        let (builtin, running) = (builtin.clone(), running.clone());
        (Self { load, builtin, running, asks, last }, reloads)
    }

    /// The next reload that somebody asks for.
    pub async fn asked(&mut self) -> Reply {
        match self.asks.recv().await {
            Some(reply) => reply,
            None => std::future::pending().await,
        }
    }

    /// Reloads; blocks until it is done.
    pub fn reload(&mut self, site: &Site, check: Check) -> Result<Changes> {
        let reloaded = self.take_over(site, check);
        let mut last = self.last.lock();
        last.successful = reloaded.is_ok();
        match &reloaded {
            Ok(Changes { live, restart }) => {
                last.loaded = since_1970();
                tracing::info!(?live, ?restart, "configuration reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "configuration refused; the one that runs stays");
            }
        }
        reloaded
    }

    fn take_over(&mut self, site: &Site, check: Check) -> Result<Changes> {
        let next = (self.load.0)().and_then(|next| check(&next).map(|()| next));
        let next = next.map_err(|problems| Error::new(ErrorKind::Invalid, problems.to_string()))?;
        // First what can be refused: then nothing else was changed.
        self.builtin.credentials.reload_all()?;
        let (running, changes) = site.reload(&self.running, &next, &self.builtin.registry)?;
        self.running = running;
        Ok(changes)
    }
}

/// What the daemon refuses, though it is well formed.
pub(crate) type Check = fn(&SiteConfig) -> std::result::Result<(), Problems>;

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
