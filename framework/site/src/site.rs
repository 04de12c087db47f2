//! A site: its listeners and its groups, on threads of its own.

use crate::builder::SiteBuilder;
use crate::door::{Command, Door, GREETING_TIMEOUT, GREETINGS_MAX, greet};
use crate::group::{Running, Surroundings};
use crate::handle::Group;
use crate::volumes::GroupToOpen;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use trefoil_core::model::{GroupName, SiteName};
use trefoil_core::port::{Listener, Transport};
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

/// A listener at work.
#[derive(Debug)]
struct Listening {
    word: String,
    /// As it was asked for.
    address: String,
    /// With the port that was chosen.
    actual: String,
    task: JoinHandle<()>,
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
    listeners: Vec<Listening>,
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
            listeners.push((transport.describe(), address, listener));
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
        for (word, address, listener) in listeners {
            local.open_doors(word, address, listener);
        }
        Ok(local)
    }

    /// Takes links in by this listener from now on.
    fn open_doors(&mut self, word: String, address: String, listener: Box<dyn Listener>) {
        let actual = listener.address();
        let (site, doors) = (self.name.clone(), Arc::new(self.doors.clone()));
        let task = tokio::task::spawn_local(listen(site, word.clone(), listener, doors));
        self.listeners.push(Listening { word, address, actual, task });
    }

    /// Listens on `address` by `transport` as well; returns the address with the port chosen.
    /// Where it listens like that already, it goes on.
    ///
    /// # Errors
    /// What the transport says.
    pub async fn listen(&mut self, transport: &dyn Transport, address: &str) -> Result<String> {
        let word = transport.describe();
        let same = |open: &&Listening| open.word == word && open.address == address;
        if let Some(open) = self.listeners.iter().find(same) {
            return Ok(open.actual.clone());
        }
        let listener = transport.listen(address).await?;
        let actual = listener.address();
        self.addresses.push(actual.clone());
        self.open_doors(transport.describe(), address.to_owned(), listener);
        Ok(actual)
    }

    /// Takes no more links in on `address` by the transport that describes itself by `word`; those
    /// that are up stay up. Nothing happens if it did not listen there.
    pub fn stop_listening(&mut self, word: &str, address: &str) {
        let (closed, kept) = std::mem::take(&mut self.listeners)
            .into_iter()
            .partition(|listening| listening.word == word && listening.address == address);
        self.listeners = kept;
        for Listening { task, .. } in closed {
            task.abort();
        }
    }

    async fn start_group(
        &mut self,
        index: usize,
        around: Surroundings,
        parts: GroupToOpen,
    ) -> Result<()> {
        let name = parts.parts.config.group.clone();
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
        for listening in self.listeners.drain(..) {
            listening.task.abort();
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
    parts: GroupToOpen,
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
            Command::Accept(arrival) => {
                if let Err(error) = running.accept(*arrival).await {
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
    by: String,
    mut listener: Box<dyn Listener>,
    doors: Arc<BTreeMap<GroupName, Door>>,
) {
    let places = Arc::new(Semaphore::new(GREETINGS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok(link) => {
                let (site, by, doors) = (site.clone(), by.clone(), doors.clone());
                tokio::task::spawn_local(async move {
                    let peer = link.peer.clone();
                    let greeted = tokio::time::timeout(GREETING_TIMEOUT, greet(link, by, &doors));
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
    orders: Option<mpsc::Sender<Order>>,
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

/// What a site's thread is told from outside.
enum Order {
    Listen(Arc<dyn Transport>, String, std::sync::mpsc::SyncSender<Result<String>>),
    StopListening(String, String),
    End(End),
}

impl Site {
    /// Describes a site, to be started.
    pub fn builder(name: SiteName) -> SiteBuilder {
        SiteBuilder::new(name)
    }

    pub(crate) fn start(builder: SiteBuilder) -> Result<Self> {
        let name = builder.site.clone();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (orders, told) = mpsc::channel(COMMANDS_MAX);
        let run = move || run(builder, &ready, told);
        let failed = |source| Error::io(format!("start site {name}: no thread"), source);
        let thread =
            thread::Builder::new().name(format!("trefoil-{name}")).spawn(run).map_err(failed)?;
        let ended = |_| Error::closed(format!("start site {name}: its thread ended"));
        let (groups, addresses) = started.recv().map_err(ended)??;
        Ok(Self { name, groups, addresses, orders: Some(orders), thread: Some(thread) })
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

    /// Listens on `address` by `transport` as well, beside what it listens on already; returns the
    /// address with the port chosen. Blocks until it does.
    ///
    /// # Errors
    /// What the transport says; [`ErrorKind::Closed`] when the site stops.
    pub fn listen(&self, transport: Arc<dyn Transport>, address: &str) -> Result<String> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        self.order(Order::Listen(transport, address.to_owned(), reply))?;
        answer.recv().map_err(|_| Error::closed("listen: the site is stopping"))?
    }

    /// Takes no more links in on `address` by the transport that describes itself by `word`; those
    /// that are up stay up.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when the site stops.
    pub fn stop_listening(&self, word: &str, address: &str) -> Result<()> {
        self.order(Order::StopListening(word.to_owned(), address.to_owned()))
    }

    fn order(&self, order: Order) -> Result<()> {
        let sent = self.orders.as_ref().map(|orders| orders.try_send(order));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                Err(Error::new(ErrorKind::Full, "change listeners: too many changes at once"))
            }
            _ => Err(Error::closed("change listeners: the site is stopping")),
        }
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
        if let Some(orders) = self.orders.take() {
            // A site whose thread has ended already needs no word; one that has too many orders
            // ends when it has carried them out, since no more can come.
            let _ = orders.try_send(Order::End(how));
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
    orders: mpsc::Receiver<Order>,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let spread = Spread::Arbiters(cores.saturating_sub(1).max(1));
    actix::System::new().block_on(async move {
        match LocalSite::start_spread(builder, spread).await {
            Ok(mut site) => {
                let _ = ready.send(Ok((site.groups.clone(), site.addresses.clone())));
                match obey(&mut site, orders).await {
                    End::AtOnce => {
                        site.kill();
                        Ok(())
                    }
                    End::InOrder => site.stop().await,
                }
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                Ok(())
            }
        }
    })
}

/// Carries out what the site is told until it is told to end, or nobody can tell it any more.
async fn obey(site: &mut LocalSite, mut orders: mpsc::Receiver<Order>) -> End {
    loop {
        match orders.recv().await {
            Some(Order::Listen(transport, address, reply)) => {
                let listening = site.listen(transport.as_ref(), &address).await;
                // Whoever asked may be gone by now.
                let _ = reply.send(listening);
            }
            Some(Order::StopListening(word, address)) => site.stop_listening(&word, &address),
            Some(Order::End(how)) => return how,
            None => return End::InOrder,
        }
    }
}
