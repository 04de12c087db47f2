//! What programs connect to while a person plays: NBD and metrics of the site that leads.

use super::world::{GROUP, VOLUME};
use crate::builtin;
use crate::control::Served;
use crate::export::{SiteExports, export_name};
use crate::http;
use crate::metrics::{self, MetricsServer, Telemetry};
use crate::nbd::{NbdLimits, NbdServer};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use trefoil_core::model::{GroupName, VolumeName};
use trefoil_core::{Error, Result};
use trefoil_site::Group;
use trefoil_site::config::{self, SiteConfig, Sources};

/// Any free port of this host, reachable from this host only.
const ANYWHERE: &str = "127.0.0.1:0";

/// The servers of one site.
pub(super) struct Doors {
    /// Where the volume is served.
    pub nbd: String,
    /// Where the metrics are.
    pub metrics: String,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Doors {
    /// Opens both for the group at its site.
    ///
    /// # Errors
    /// Where no port can be bound.
    pub async fn open(group: &Group) -> Result<Self> {
        let telemetry = Telemetry::new()?;
        let config = configured(group)?;
        let exports = SiteExports::new(&config, [group], &telemetry)?;
        let server = NbdServer::bind(ANYWHERE, Arc::new(exports), NbdLimits::default()).await?;
        let export = export_name(&GroupName::new(GROUP)?, &VolumeName::new(VOLUME)?);
        let nbd = format!("nbd://{}/{export}", server.address());
        let port = TcpListener::bind(ANYWHERE).await;
        let port = port.map_err(|source| Error::io("listen for metrics", source))?;
        let address = port.local_addr().map_err(|e| Error::io("listen for metrics", e))?;
        let served = Arc::new(Served::new(config, vec![group.clone()]));
        let metering = MetricsServer::new(&telemetry, served, Some(server.counters()));
        let metering = Arc::new(metering);
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut stop_nbd = stopping.clone();
        tasks.spawn(async move {
            if let Err(error) = server.serve(http::stopped(&mut stop_nbd)).await {
                tracing::error!(%error, "NBD server failed");
            }
        });
        tasks.spawn(http::serve(port, metrics::router(Arc::clone(&metering)), stopping.clone()));
        tasks.spawn(async move { metering.keep(stopping).await });
        Ok(Self { nbd, metrics: format!("http://{address}/metrics"), stop, tasks })
    }

    /// Lets requests under way end.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The configuration that a daemon of this site would have: the metrics show some of it.
fn configured(group: &Group) -> Result<SiteConfig> {
    let site = group.site();
    let text = format!(
        r#"
site = "{site}"
[group.{GROUP}]
topology = "three_site"
primary = "a"
sync = "b"
async = "c"
[group.{GROUP}.volume.{VOLUME}]
size = "64MiB"
{}
"#,
        super::world::SITES.map(table_of_site).join("\n")
    );
    let sources = Sources::text("the demo's own configuration", &text);
    config::load(&sources, &builtin::registry())
        .map_err(|problems| Error::invalid(format!("configure site {site}: {problems}")))
}

fn table_of_site(name: &str) -> String {
    let port = 7447 + u32::from(name.as_bytes().first().copied().unwrap_or_default());
    format!(
        "[sites.{name}]\naddress = \"127.0.0.1:{port}\"\ndir = \"{name}\"\n\
         control = \"{name}.sock\"\nbackend = \"memory\""
    )
}
