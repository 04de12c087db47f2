//! The daemon: starts a site and everything around it, and stops them in order.

use crate::builtin::{Builtin, IN_PROCESS};
use crate::control::{self, ControlSocket, Served};
use crate::credentials::{CredentialStore, Hosts};
use crate::export::{LateExports, SiteExports};
use crate::http;
use crate::metrics::{self, MetricsServer, Telemetry};
use crate::nbd::{Exports, NbdGuard, NbdLimits, NbdServer};
use crate::pid_file::PidFile;
use crate::reload::{Loader, Reloader, Reloads};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use trefoil_core::model::SiteName;
use trefoil_core::{Error, ErrorKind, Result};
use trefoil_site::Site;
use trefoil_site::config::{NbdSecurity, Problem, Problems, SiteConfig};
use trefoil_site::registry::Registry;

/// What the daemon is started with.
#[derive(Debug)]
pub struct Options {
    /// The checked configuration.
    pub config: SiteConfig,
    /// Where its process id is written, if anywhere.
    pub pid_file: Option<PathBuf>,
    /// Reads the configuration again.
    pub load: Loader,
}

/// Runs until SIGTERM or SIGINT, then stops in order: no new hosts, requests in flight answered,
/// site stopped, sockets and pid file removed.
///
/// # Errors
/// What cannot be opened or bound; the message names it and the remedy. The order of starting is
/// such that nothing answers a host before everything else is there.
pub fn run(options: Options, builtin: &Builtin) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("trefoil-front")
        .enable_all()
        .build()
        .map_err(|source| Error::io("start runtime", source))?;
    runtime.block_on(daemon(options, builtin))
}

/// Refuses what a daemon of one machine cannot carry out, though it is well formed.
///
/// # Errors
/// A spread site without a word on which machine of it this is; a link of the own site that
/// reaches sites of the same process only.
pub fn check(config: &SiteConfig) -> Result<(), Problems> {
    let own = |site: &SiteName| config.site == *site;
    let links = config.links.iter().filter(|((one, other), _)| own(one) || own(other));
    let inside = links.filter(|(_, link)| link.transport == IN_PROCESS);
    let mut problems: Vec<_> = inside
        .map(|((one, other), _)| Problem {
            code: "config::in_process".to_owned(),
            path: format!("link between {one} and {other}"),
            what: "transport `memory` reaches sites of the same process only, and `trefoil run` \
                   starts one site"
                .to_owned(),
            help: Some("use `tcp`, or `trefoil demo` for three sites in one process".to_owned()),
            place: None,
            set_by: None,
        })
        .collect();
    problems.extend(config.own().err().map(|error| Problem {
        code: "config::no_machine".to_owned(),
        path: "machine".to_owned(),
        what: error.to_string().trim_start_matches("find machine: ").to_owned(),
        help: Some("machine = \"…\" on this one, TREFOIL__MACHINE=… or --machine …".to_owned()),
        place: None,
        set_by: None,
    }));
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

async fn daemon(options: Options, builtin: &Builtin) -> Result<()> {
    let Options { config, pid_file, load } = options;
    let stopping = stop_signal()?;
    let hang_up = listen_for(SignalKind::hangup())?;
    let Builtin { registry, credentials } = builtin;
    let sockets = Sockets::bind(&config, credentials).await?;
    let _pid_file = pid_file.as_deref().map(PidFile::write).transpose()?;
    let site = start(&config, registry).await?;
    let telemetry = Telemetry::new()?;
    let (reloader, reloads) = Reloader::new(load, builtin, &config);
    let around = (&telemetry, credentials, reloads);
    let front = match Front::open(&config, &site, sockets, around) {
        Ok(front) => front,
        Err(error) => {
            stop(site).await?;
            return Err(error);
        }
    };
    let name = config.own()?.shown(&config.site);
    for warning in control::warnings(&config, credentials) {
        tracing::warn!(site = %name, "{warning}");
    }
    tracing::info!(site = %name, "ready");
    let signal = serve(&site, reloader, hang_up, stopping).await;
    tracing::info!(signal, "stopping");
    front.close().await;
    stop(site).await?;
    tracing::info!(site = %name, "stopped");
    Ok(())
}

/// Reloads whenever somebody asks, until it is told to stop; returns the name of the signal.
async fn serve(
    site: &Site,
    mut reloader: Reloader,
    mut hang_up: Signal,
    stopping: impl Future<Output = &'static str>,
) -> &'static str {
    let mut stopping = std::pin::pin!(stopping);
    loop {
        let reply = tokio::select! {
            name = &mut stopping => return name,
            _ = hang_up.recv() => None,
            reply = reloader.asked() => Some(reply),
        };
        let reloaded = tokio::task::block_in_place(|| reloader.reload(site, check));
        if let Some(reply) = reply {
            // Whoever asked may be gone; the log has it.
            let _ = reply.send(reloaded);
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|source| Error::io("listen for signals", source))
}

/// Ready when SIGTERM or SIGINT has come. Registered at once: a signal during the start counts.
fn stop_signal() -> Result<impl Future<Output = &'static str>> {
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

/// Opens the stores and starts the site; both may block.
async fn start(config: &SiteConfig, registry: &Registry) -> Result<Site> {
    let (config, registry) = (config.clone(), registry.clone());
    let starting = tokio::task::spawn_blocking(move || Site::from_config(&config, &registry));
    starting.await.map_err(|join| Error::with_source(ErrorKind::Io, "start site", join))?
}

async fn stop(site: Site) -> Result<()> {
    let stopping = tokio::task::spawn_blocking(move || site.stop());
    stopping.await.map_err(|join| Error::with_source(ErrorKind::Io, "stop site", join))?
}

/// What hosts can make the daemon hold at worst: 64 connections of 32 MiB. A request of 32 MiB must
/// be taken, since the protocol lets clients send that without asking.
fn host_limits() -> NbdLimits {
    NbdLimits { connections_max: 64, inflight_bytes_max: 32 << 20, ..NbdLimits::default() }
}

/// What is asked of hosts: nothing on this host, a certificate from elsewhere.
fn host_guard(config: &SiteConfig, credentials: &CredentialStore) -> Result<NbdGuard> {
    let Some(paths) = &config.tls else { return Ok(NbdGuard::default()) };
    let hosts = Arc::new(Hosts(credentials.of(&config.site, paths)?));
    Ok(match config.nbd_security() {
        Some(NbdSecurity::Tls) => NbdGuard::required(hosts),
        _ => NbdGuard::offered(hosts),
    })
}

/// The sockets, bound before the site is opened: a second daemon ends here, without having touched
/// a file or spoken to another site.
struct Sockets {
    control: (UnixListener, ControlSocket),
    metrics: Option<TcpListener>,
    nbd: Option<NbdServer>,
    exports: Arc<LateExports>,
}

impl Sockets {
    async fn bind(config: &SiteConfig, credentials: &CredentialStore) -> Result<Self> {
        let own = config.own()?;
        let control = ControlSocket::bind(&own.control)?;
        let metrics = match &own.metrics {
            None => None,
            Some(address) => Some(TcpListener::bind(address.as_str()).await.map_err(|source| {
                let site = &config.site;
                let doing = format!(
                    "listen for metrics on {address}; stop what uses it, or set `metrics` of \
                     site {site} to another address"
                );
                Error::io(doing, source)
            })?),
        };
        let exports = Arc::new(LateExports::default());
        let nbd = match &own.nbd {
            None => None,
            Some(address) => {
                let exports = Arc::clone(&exports) as Arc<dyn Exports>;
                let guard = host_guard(config, credentials)?;
                let server = NbdServer::bind(&address.to_string(), exports, host_limits()).await?;
                Some(server.guarded(guard))
            }
        };
        Ok(Self { control, metrics, nbd, exports })
    }
}

/// Everything that hosts and operators connect to.
struct Front {
    stop_hosts: watch::Sender<bool>,
    stop_rest: watch::Sender<bool>,
    hosts: JoinSet<()>,
    rest: JoinSet<()>,
    _control: ControlSocket,
}

impl Front {
    fn open(
        config: &SiteConfig,
        site: &Site,
        sockets: Sockets,
        (telemetry, credentials, reloads): (&Telemetry, &CredentialStore, Reloads),
    ) -> Result<Self> {
        let Sockets { control: (listener, control), metrics: port, nbd, exports } = sockets;
        let groups = site.groups();
        exports.set(SiteExports::new(config, &groups, telemetry)?);
        let (stop_hosts, mut stop_nbd) = watch::channel(false);
        let (stop_rest, stop) = watch::channel(false);
        let (mut hosts, mut rest) = (JoinSet::new(), JoinSet::new());
        let counters = nbd.as_ref().map(NbdServer::counters);
        if let Some(server) = nbd {
            hosts.spawn(async move {
                if let Err(error) = server.serve(http::stopped(&mut stop_nbd)).await {
                    tracing::error!(%error, "NBD server failed");
                }
            });
        }
        let served = Served::new(config.clone(), groups).with(credentials.clone());
        let served = Arc::new(served.reloaded_by(reloads));
        let router = control::router(Arc::clone(&served));
        rest.spawn(http::serve_each(listener, router, control::asked_by, stop.clone()));
        let server = Arc::new(MetricsServer::new(telemetry, served, counters));
        if let Some(port) = port {
            rest.spawn(http::serve(port, metrics::router(Arc::clone(&server)), stop.clone()));
        }
        rest.spawn(async move { server.keep(stop).await });
        Ok(Self { stop_hosts, stop_rest, hosts, rest, _control: control })
    }

    /// Hosts first, so that what they were answered is settled while everything still runs.
    async fn close(self) {
        let Self { stop_hosts, stop_rest, mut hosts, mut rest, _control } = self;
        stop_hosts.send_replace(true);
        while hosts.join_next().await.is_some() {}
        stop_rest.send_replace(true);
        while rest.join_next().await.is_some() {}
    }
}
