//! A site: its listeners and its groups, on threads of its own.

use crate::builder::SiteBuilder;
use crate::door::{Command, Door, GREETING_TIMEOUT, GREETINGS_MAX, greet};
use crate::group::{Running, Surroundings};
use crate::handle::Group;
use crate::parts::GroupParts;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::Listener;
use trefoil_core::{Error, ErrorKind, Result};

/// How many links and stops may wait for a group.
const COMMANDS_MAX: usize = 64;

/// Where the actors of groups run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// On the current thread.
    Here,
    /// On so many arbiters, each a thread; a group never spans two.
    Arbiters(usize),
}

/// A site whose actors run on the current thread's `LocalSet`: for simulations, and inside
/// [`Site`].
///
/// Dropping it ends everything at once, as a killed process would; [`LocalSite::stop`] ends it in
/// order.
#[derive(Debug)]
pub struct LocalSite {
    name: SiteName,
    groups: BTreeMap<GroupName, Group>,
    doors: BTreeMap<GroupName, Door>,
    addresses: Vec<String>,
    listeners: Vec<JoinHandle<()>>,
    arbiters: Vec<actix::Arbiter>,
}

impl LocalSite {
    /// Opens all groups and listens.
    ///
    /// # Errors
    /// Whatever a journal, a block store or a listener says; then nothing is left running.
    pub async fn start(builder: SiteBuilder) -> Result<Self> {
        Self::start_spread(builder, Spread::Here).await
    }

    pub(crate) async fn start_spread(builder: SiteBuilder, spread: Spread) -> Result<Self> {
        let SiteBuilder { site, listens, groups, boot, clock, seed } = builder;
        let mut local = Self {
            name: site.clone(),
            groups: BTreeMap::new(),
            doors: BTreeMap::new(),
            addresses: Vec::new(),
            listeners: Vec::new(),
            arbiters: Vec::new(),
        };
        // Listening comes first: a port that is in use is told before a journal is touched.
        let mut listeners = Vec::new();
        for (transport, address) in listens {
            let listener = transport.listen(&address).await?;
            local.addresses.push(listener.address());
            listeners.push(listener);
        }
        if let Spread::Arbiters(count) = spread {
            let count = count.min(groups.len()).max(1);
            local.arbiters = (0..count).map(|_| actix::Arbiter::new()).collect();
        }
        for (index, parts) in groups.into_iter().enumerate() {
            let seed = seed.wrapping_add(index as u64);
            let around = Surroundings {
                site: site.clone(),
                clock: clock.clone(),
                boot: boot.clone(),
                seed,
                threads: matches!(spread, Spread::Arbiters(_)),
            };
            if let Err(error) = local.start_group(index, around, parts).await {
                local.end_arbiters();
                return Err(error);
            }
        }
        let doors = Arc::new(local.doors.clone());
        for listener in listeners {
            let (site, doors) = (site.clone(), doors.clone());
            local.listeners.push(tokio::task::spawn_local(listen(site, listener, doors)));
        }
        Ok(local)
    }

    async fn start_group(
        &mut self,
        index: usize,
        around: Surroundings,
        parts: GroupParts,
    ) -> Result<()> {
        let name = parts.config.group.clone();
        if self.groups.contains_key(&name) {
            return Err(Error::invalid(format!("open group {name}: it is given twice")));
        }
        let (ready, started) = oneshot::channel();
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        match self.arbiters.get(index % self.arbiters.len().max(1)) {
            Some(arbiter) => {
                arbiter.spawn_fn(move || {
                    drop(actix::spawn(host_group(around, parts, ready, commands)));
                });
            }
            None => drop(tokio::task::spawn_local(host_group(around, parts, ready, commands))),
        }
        let ended = |_| Error::closed(format!("open group {name}: its thread ended"));
        let group = started.await.map_err(ended)??;
        self.groups.insert(name.clone(), group);
        self.doors.insert(name, Door(sender));
        Ok(())
    }

    /// The site's name.
    pub fn name(&self) -> &SiteName {
        &self.name
    }

    /// The groups, by name.
    pub fn groups(&self) -> &BTreeMap<GroupName, Group> {
        &self.groups
    }

    /// A group.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the site has none of that name.
    pub fn group(&self, name: &GroupName) -> Result<Group> {
        find(&self.groups, name, &self.name)
    }

    /// The addresses listened on.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Ends in order: hosts are answered, journals settle and are closed.
    ///
    /// # Errors
    /// The first thing that did not end well; everything is ended all the same.
    pub async fn stop(mut self) -> Result<()> {
        self.end_listeners();
        let mut result = Ok(());
        for door in std::mem::take(&mut self.doors).into_values() {
            let (reply, done) = oneshot::channel();
            if door.0.send(Command::Stop(reply)).await.is_ok() {
                let ended = done.await.unwrap_or(Ok(()));
                result = result.and(ended);
            }
        }
        self.end_arbiters();
        result
    }

    /// Ends everything at once, and waits for the threads.
    fn kill(mut self) {
        self.end_listeners();
        self.end_arbiters();
    }

    fn end_listeners(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
    }

    fn end_arbiters(&mut self) {
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
            let _ = arbiter.join();
        }
    }
}

impl Drop for LocalSite {
    fn drop(&mut self) {
        self.end_listeners();
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
        }
    }
}

/// The group of that name; an error names those that the site has.
fn find(groups: &BTreeMap<GroupName, Group>, name: &GroupName, site: &SiteName) -> Result<Group> {
    groups.get(name).cloned().ok_or_else(|| {
        let known: Vec<&GroupName> = groups.keys().collect();
        Error::invalid(format!("open group {name}: site {site} has {known:?}"))
    })
}

/// Runs one group until it is told to stop, or until nobody can tell it any more.
async fn host_group(
    around: Surroundings,
    parts: GroupParts,
    ready: oneshot::Sender<Result<Group>>,
    mut commands: mpsc::Receiver<Command>,
) {
    let running = match Running::start(around, parts).await {
        Ok(running) => running,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let _ = ready.send(running.handle());
    while let Some(command) = commands.recv().await {
        match command {
            Command::Accept(link, greeting) => {
                if let Err(error) = running.accept(link, greeting).await {
                    tracing::warn!(%error, "a link was refused");
                }
            }
            Command::Stop(reply) => {
                let _ = reply.send(running.stop().await);
                return;
            }
        }
    }
    running.end().await;
}

/// Takes links in, reads their greetings, and passes them to their groups. A bad or slow one
/// harms no other.
async fn listen(
    site: SiteName,
    mut listener: Box<dyn Listener>,
    doors: Arc<BTreeMap<GroupName, Door>>,
) {
    let places = Arc::new(Semaphore::new(GREETINGS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok(link) => {
                let (site, doors) = (site.clone(), doors.clone());
                tokio::task::spawn_local(async move {
                    let peer = link.peer.clone();
                    let greeted = tokio::time::timeout(GREETING_TIMEOUT, greet(link, &doors));
                    let late = |_| Err(Error::new(ErrorKind::Timeout, "greet: no greeting came"));
                    if let Err(error) = greeted.await.unwrap_or_else(late) {
                        tracing::warn!(%site, %peer, %error, "a link was refused");
                    }
                    drop(place);
                });
            }
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                tracing::debug!(%site, %error, "a connection attempt failed");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

/// A site on threads of its own. Dropping it stops it in order, which may take some seconds;
/// [`Site::stop`] also tells how that went.
#[derive(Debug)]
pub struct Site {
    name: SiteName,
    groups: BTreeMap<GroupName, Group>,
    addresses: Vec<String>,
    stop: Option<oneshot::Sender<End>>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

/// How a site ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Hosts are answered and journals settle first.
    InOrder,
    /// At once, as a killed process does.
    AtOnce,
}

impl Site {
    /// Describes a site, to be started.
    pub fn builder(name: SiteName) -> SiteBuilder {
        SiteBuilder::new(name)
    }

    pub(crate) fn start(builder: SiteBuilder) -> Result<Self> {
        let name = builder.site.clone();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (stop, stopping) = oneshot::channel();
        let run = move || run(builder, &ready, stopping);
        let failed = |source| Error::io(format!("start site {name}: no thread"), source);
        let thread =
            thread::Builder::new().name(format!("trefoil-{name}")).spawn(run).map_err(failed)?;
        let ended = |_| Error::closed(format!("start site {name}: its thread ended"));
        let (groups, addresses) = started.recv().map_err(ended)??;
        Ok(Self { name, groups, addresses, stop: Some(stop), thread: Some(thread) })
    }

    /// The site's name.
    pub fn name(&self) -> &SiteName {
        &self.name
    }

    /// The groups.
    pub fn groups(&self) -> Vec<Group> {
        self.groups.values().cloned().collect()
    }

    /// A group.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the site has none of that name.
    pub fn group(&self, name: &GroupName) -> Result<Group> {
        find(&self.groups, name, &self.name)
    }

    /// The addresses listened on, with the ports that were chosen where they were left open.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Stops in order: hosts are answered, journals settle, everything is closed. Blocks until
    /// that is done.
    ///
    /// # Errors
    /// The first thing that did not end well.
    pub fn stop(mut self) -> Result<()> {
        self.end(End::InOrder)
    }

    /// Ends at once, as a killed process does: nobody is answered, nothing settles, no other site
    /// is told. Blocks until the site's threads are gone, so that afterwards it certainly answers
    /// nobody. What was handed to the kernel or to a device before stays there.
    pub fn kill(mut self) {
        // Reads do not pass through the threads: a handle that is still held must not answer.
        for group in self.groups.values() {
            group.shared.close("the site was killed");
        }
        // There is nothing to tell: whatever was under way is cut off on purpose.
        let _ = self.end(End::AtOnce);
    }

    fn end(&mut self, how: End) -> Result<()> {
        if let Some(stop) = self.stop.take() {
            // A site whose thread has ended already needs no word.
            let _ = stop.send(how);
        }
        match self.thread.take().map(thread::JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::closed(format!("stop site {}: it panicked", self.name))),
            None => Ok(()),
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Err(error) = self.end(End::InOrder) {
            tracing::error!(site = %self.name, %error, "the site did not stop well");
        }
    }
}

type Started = Result<(BTreeMap<GroupName, Group>, Vec<String>)>;

/// The life of a site's thread.
fn run(
    builder: SiteBuilder,
    ready: &std::sync::mpsc::SyncSender<Started>,
    stopping: oneshot::Receiver<End>,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let spread = Spread::Arbiters(cores.saturating_sub(1).max(1));
    actix::System::new().block_on(async move {
        match LocalSite::start_spread(builder, spread).await {
            Ok(site) => {
                let _ = ready.send(Ok((site.groups.clone(), site.addresses.clone())));
                match stopping.await {
                    Ok(End::AtOnce) => {
                        site.kill();
                        Ok(())
                    }
                    Ok(End::InOrder) | Err(_) => site.stop().await,
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                Ok(())
            }
        }
    })
}
