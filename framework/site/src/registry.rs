//! The words that a configuration may use for transports, backends and layouts, and what stands
//! behind them.
//!
//! A site is assembled by words: `transport = "tcp"`, `kind = "file"`. This crate knows none of
//! those (the layouts are core's own); the daemon registers the ones that come with trefoil, and
//! whoever embeds a site adds more. An unknown word is answered with the known ones.

use crate::layouts;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use trefoil_core::model::{GroupName, SiteName, VolumeSpec};
use trefoil_core::port::{Arbiter, BlockStore, JournalStore, Transport};
use trefoil_core::topology::Topology;
use trefoil_core::{Error, Result};

/// The settings of one link, or of a site's listening side, for a [`TransportFactory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// The site that opens the transport.
    pub site: SiteName,
    /// The other end; `None` for the listening side, which serves all peers.
    pub peer: Option<SiteName>,
    /// The sites that may be at the other end: the one that is dialled, or for the listening side
    /// every site that shares a group with this one. Nobody else is let in.
    pub peers: Vec<SiteName>,
    /// By which files sites prove who they are; `None` where none are configured.
    pub tls: Option<TlsPaths>,
    /// Whether the configuration says that this link may be plain on a network.
    pub insecure: bool,
    /// The longest time that connecting may take.
    pub timeout: Duration,
    /// The values of the factory's own [`keys`](TransportFactory::keys), as text.
    pub settings: BTreeMap<String, String>,
}

/// The files by which a site proves who it is, and by which it judges others. They are read by the
/// transport, never here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TlsPaths {
    /// The certificate of the authority that signs every site's.
    pub ca: PathBuf,
    /// This site's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The list of accepted certificates, if there is one: what is not in it is refused.
    pub accepted: Option<PathBuf>,
}

impl TlsPaths {
    /// The files of a site in a directory where `trefoil certs` put them: `ca.pem`, `<site>.pem`,
    /// `<site>.key` and `accepted`.
    pub fn within(dir: &Path, site: &SiteName) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            cert: dir.join(format!("{site}.pem")),
            key: dir.join(format!("{site}.key")),
            accepted: Some(dir.join("accepted")),
        }
    }
}

/// How far the frames of a transport travel, and who could read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They do not leave the process, or carry a protection that needs no `[tls]`.
    Inside,
    /// They cross networks: secured where `[tls]` is configured, plain where it is not.
    Network,
    /// They cross networks, and only secured: nothing goes without `[tls]`.
    Secured,
}

/// Makes transports from options. A closure from options to transport is a factory without keys
/// of its own, whose frames cross networks; [`Inside`] makes it one whose frames do not.
pub trait TransportFactory: Send + Sync {
    /// A transport with these options.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) when a setting is wrong.
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>>;

    /// The keys that a link table may have beyond the common ones.
    fn keys(&self) -> &[&'static str] {
        &[]
    }

    /// How far frames travel: a configuration is held to what is safe for that.
    fn reach(&self) -> Reach {
        Reach::Network
    }
}

impl<F> TransportFactory for F
where
    F: Fn(&TransportOptions) -> Result<Arc<dyn Transport>> + Send + Sync,
{
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>> {
        self(options)
    }
}

/// A factory of transports whose frames do not leave the process: any address is good for it.
#[derive(Clone, Debug)]
pub struct Inside<F>(pub F);

impl<F: TransportFactory> TransportFactory for Inside<F> {
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>> {
        self.0.open(options)
    }

    fn keys(&self) -> &[&'static str] {
        self.0.keys()
    }

    fn reach(&self) -> Reach {
        Reach::Inside
    }
}

/// Which volume's blocks a [`BackendFactory`] is to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeOptions {
    /// The site.
    pub site: SiteName,
    /// The group of the volume.
    pub group: GroupName,
    /// The volume: its name and its size.
    pub volume: VolumeSpec,
    /// The directory for the site's volumes; a file backend puts `group/volume` below it.
    pub dir: PathBuf,
    /// The values of the factory's own [`keys`](BackendFactory::keys), as text.
    pub settings: BTreeMap<String, String>,
}

/// Which journal a [`BackendFactory`] is to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// The site.
    pub site: SiteName,
    /// The group whose updates it holds.
    pub group: GroupName,
    /// The directory for the site's journals; a file backend puts `group` below it.
    pub dir: PathBuf,
    /// The most bytes that it may use.
    pub capacity_bytes: u64,
    /// The values of the factory's own [`keys`](BackendFactory::keys), as text.
    pub settings: BTreeMap<String, String>,
}

/// Opens what a site stores: the blocks of volumes, and journals. Creates what is not there yet,
/// and refuses what belongs to another group or site, or is open already.
pub trait BackendFactory: Send + Sync {
    /// The blocks of one volume.
    ///
    /// # Errors
    /// When the place cannot be opened; the message names it.
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>>;

    /// The journal of one group.
    ///
    /// # Errors
    /// When the place cannot be opened; the message names it.
    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>>;

    /// The keys that a backend table may have beyond `kind`.
    fn keys(&self) -> &[&'static str] {
        &[]
    }
}

/// Which sites a layout is to be made of: what a group's table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyOptions {
    /// `primary`: the site that serves the host at first.
    pub primary: SiteName,
    /// `sync`: the site that holds every write before the host is answered, if one is named.
    pub sync: Option<SiteName>,
    /// `async`: the site that follows by journal, if one is named.
    pub r#async: Option<SiteName>,
}

/// Makes a layout of the sites that a group names; says which role is missing or too many.
pub type TopologyFactory = dyn Fn(&TopologyOptions) -> Result<Arc<dyn Topology>> + Send + Sync;

/// Which group's charter an [`ArbiterFactory`] is to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArbiterOptions {
    /// The site that asks.
    pub site: SiteName,
    /// The group.
    pub group: GroupName,
    /// All sites of the group, that one included, in alphabetic order.
    pub sites: Vec<SiteName>,
    /// Where it may keep a file named after the group; empty while options are only checked.
    pub dir: PathBuf,
    /// How long leases are.
    pub lease: Duration,
    /// The values of the factory's own [`keys`](ArbiterFactory::keys); a single value is a list of
    /// one.
    pub settings: BTreeMap<String, Vec<String>>,
}

/// Makes the arbiters that keep charters.
pub trait ArbiterFactory: Send + Sync {
    /// An arbiter with these options. It is not asked anything yet, nor looked for: an arbiter that
    /// is away keeps no site from starting.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) when a setting is wrong.
    fn open(&self, options: &ArbiterOptions) -> Result<Arc<dyn Arbiter>>;

    /// Whether the options are right, before anything is opened. Says it by opening one, unless
    /// the arbiter keeps something.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) when a setting is wrong.
    fn check(&self, options: &ArbiterOptions) -> Result<()> {
        self.open(options).map(drop)
    }

    /// The keys that the table `[arbiter]` may have beyond the common ones.
    fn keys(&self) -> &[&'static str] {
        &[]
    }

    /// The addresses that it would talk to in plain text, as host and port.
    fn plain_addresses(&self, settings: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let _ = settings;
        Vec::new()
    }
}

/// How a link is made worse on purpose, for trying a long distance out on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Added to each frame's way.
    pub delay: Duration,
    /// Up to this much more, drawn anew for each frame; order is kept.
    pub jitter: Duration,
    /// The most bytes a second; `None` is unlimited.
    pub rate: Option<u64>,
    /// How long a link lives on average before it is cut; `None`: for ever.
    pub cut_every: Option<Duration>,
}

impl Shape {
    /// Whether nothing is changed.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// Wraps a transport so that its links have a [`Shape`].
pub type Shaper = dyn Fn(Arc<dyn Transport>, Shape) -> Arc<dyn Transport> + Send + Sync;

/// Word → factory, for transports, backends and layouts.
/// Word → factory, for transports, backends, layouts and arbiters.
#[derive(Clone, Default)]
pub struct Registry {
    topologies: BTreeMap<String, Arc<TopologyFactory>>,
    transports: BTreeMap<String, Arc<dyn TransportFactory>>,
    backends: BTreeMap<String, Arc<dyn BackendFactory>>,
    arbiters: BTreeMap<String, Arc<dyn ArbiterFactory>>,
    shaper: Option<Arc<Shaper>>,
}

impl Registry {
    /// A registry that knows the layouts of `trefoil_core` (`two_site`, `three_site`, `cascade`),
    /// and no other word.
    pub fn new() -> Self {
        Self::default()
            .topology("two_site", layouts::two_site)
            .topology("three_site", layouts::three_site)
            .topology("cascade", layouts::cascade)
    }

    /// Registers a layout; a word registered before is replaced.
    #[must_use]
    pub fn topology(
        mut self,
        word: &str,
        factory: impl Fn(&TopologyOptions) -> Result<Arc<dyn Topology>> + Send + Sync + 'static,
    ) -> Self {
        self.topologies.insert(word.to_owned(), Arc::new(factory));
        self
    }

    /// Registers a transport; a word registered before is replaced.
    #[must_use]
    pub fn transport(mut self, word: &str, factory: impl TransportFactory + 'static) -> Self {
        self.transports.insert(word.to_owned(), Arc::new(factory));
        self
    }

    /// Registers a backend; a word registered before is replaced.
    #[must_use]
    pub fn backend(mut self, word: &str, factory: impl BackendFactory + 'static) -> Self {
        self.backends.insert(word.to_owned(), Arc::new(factory));
        self
    }

    /// Registers an arbiter; a word registered before is replaced.
    #[must_use]
    pub fn arbiter(mut self, word: &str, factory: impl ArbiterFactory + 'static) -> Self {
        self.arbiters.insert(word.to_owned(), Arc::new(factory));
        self
    }

    /// Registers what makes a link slow: `delay`, `jitter`, `rate` and `cut_every` of a link
    /// table.
    #[must_use]
    pub fn shaper(
        mut self,
        shaper: impl Fn(Arc<dyn Transport>, Shape) -> Arc<dyn Transport> + Send + Sync + 'static,
    ) -> Self {
        self.shaper = Some(Arc::new(shaper));
        self
    }

    /// The factory behind a transport's word.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid), with the known words.
    pub fn transport_factory(&self, word: &str) -> Result<Arc<dyn TransportFactory>> {
        let found = self.transports.get(word).cloned();
        found.ok_or_else(|| unknown("transport", word, &self.transport_words()))
    }

    /// The factory behind a backend's word.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid), with the known words.
    pub fn backend_factory(&self, word: &str) -> Result<Arc<dyn BackendFactory>> {
        let found = self.backends.get(word).cloned();
        found.ok_or_else(|| unknown("backend", word, &self.backend_words()))
    }

    /// The factory behind a layout's word.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid), with the known words.
    pub fn topology_factory(&self, word: &str) -> Result<Arc<TopologyFactory>> {
        let found = self.topologies.get(word).cloned();
        found.ok_or_else(|| unknown("topology", word, &self.topology_words()))
    }

    /// The registered layouts, in alphabetic order.
    pub fn topology_words(&self) -> Vec<&str> {
        self.topologies.keys().map(String::as_str).collect()
    }

    /// The factory behind an arbiter's word.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid), with the known words.
    pub fn arbiter_factory(&self, word: &str) -> Result<Arc<dyn ArbiterFactory>> {
        let found = self.arbiters.get(word).cloned();
        found.ok_or_else(|| unknown("arbiter", word, &self.arbiter_words()))
    }

    /// The transport with a shape.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](trefoil_core::ErrorKind::Invalid) when a shape is asked for and no
    /// shaper is registered.
    pub fn shape(&self, transport: Arc<dyn Transport>, shape: Shape) -> Result<Arc<dyn Transport>> {
        match &self.shaper {
            _ if shape.is_plain() => Ok(transport),
            Some(shaper) => Ok(shaper(transport, shape)),
            None => Err(Error::invalid(
                "shape link: `delay`, `jitter`, `rate` and `cut_every` need a shaper; none is \
                 registered",
            )),
        }
    }

    /// Whether a link with this shape cannot be made.
    pub fn shape_refused(&self, shape: &Shape) -> bool {
        self.shaper.is_none() && !shape.is_plain()
    }

    /// The registered transports, in alphabetic order.
    pub fn transport_words(&self) -> Vec<&str> {
        self.transports.keys().map(String::as_str).collect()
    }

    /// The registered arbiters, in alphabetic order.
    pub fn arbiter_words(&self) -> Vec<&str> {
        self.arbiters.keys().map(String::as_str).collect()
    }

    /// The registered backends, in alphabetic order.
    pub fn backend_words(&self) -> Vec<&str> {
        self.backends.keys().map(String::as_str).collect()
    }
}

fn unknown(what: &str, word: &str, known: &[&str]) -> Error {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::invalid(format!("no {what} named `{word}`; registered: {known}"))
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("topologies", &self.topology_words())
            .field("transports", &self.transport_words())
            .field("backends", &self.backend_words())
            .field("arbiters", &self.arbiter_words())
            .field("shaper", &self.shaper.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(_: &TransportOptions) -> Result<Arc<dyn Transport>> {
        Err(Error::closed("open transport: a test has none"))
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let registry = Registry::new().transport("tcp", refuse).transport("memory", refuse);
        let error = registry.transport_factory("udp").err().unwrap();
        assert_eq!(error.to_string(), "no transport named `udp`; registered: memory, tcp");
        let error = registry.backend_factory("tape").err().unwrap();
        assert_eq!(error.to_string(), "no backend named `tape`; registered: none");
    }

    #[test]
    fn a_closure_is_a_factory_under_its_own_word() {
        let registry = Registry::new().transport("rdma", refuse);
        let options = TransportOptions {
            site: SiteName::new("a").unwrap(),
            peer: None,
            peers: Vec::new(),
            tls: None,
            insecure: false,
            timeout: Duration::from_secs(1),
            settings: BTreeMap::new(),
        };
        let error = registry.transport_factory("rdma").unwrap().open(&options).err().unwrap();
        assert!(error.to_string().contains("a test has none"), "{error}");
    }
}
