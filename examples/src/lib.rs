//! What the examples share: three sites in one process, from one configuration text.

pub mod archive;
pub mod far_behind_mirror;
pub mod unix;

use std::time::{Duration, Instant};
use trefoil_core::{Error, Result};
use trefoil_daemon::builtin;
use trefoil_site::config::{Sources, load};
use trefoil_site::registry::Registry;
use trefoil_site::{Group, Site};

/// How long sites may take to pair.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(30);

/// A configuration of three sites that keep everything in memory; `transport` is the one word
/// that differs between the examples, and `port` the first of three that are free.
pub fn config(transport: &str, port: u16) -> String {
    let site = |name: &str, port: u16| {
        format!(
            "[sites.{name}]\naddress = \"127.0.0.1:{port}\"\ndir = \"unused-{name}\"\n\
             control = \"unused-{name}.sock\"\nbackend = \"memory\"\n"
        )
    };
    let link = |ends: &str| format!("[link.{ends}]\ntransport = \"{transport}\"\n");
    format!(
        "site = \"a\"\n\
         [group.orders]\ntopology = \"three_site\"\nprimary = \"a\"\nsync = \"b\"\nasync = \"c\"\n\
         [group.orders.volume.db0]\nsize = \"16MiB\"\n\
         {}{}{}{}{}{}",
        site("a", port),
        site("b", port + 1),
        site("c", port + 2),
        link("ab"),
        link("ac"),
        link("bc"),
    )
}

/// Starts one site of a configuration.
///
/// # Errors
/// What is wrong with the configuration, or what cannot be opened.
pub fn start(text: &str, name: &str, registry: &Registry) -> Result<Site> {
    let sources = Sources::text("example.toml", text).option("--site", "site", Some(name));
    let config =
        load(&sources, registry).map_err(|problems| Error::invalid(problems.to_string()))?;
    Site::from_config(&config, registry)
}

/// The transports and backends that come with trefoil.
pub fn registry() -> Registry {
    builtin::registry()
}

/// Waits until `group` is served here with its mirror in sync and everything copied.
///
/// # Errors
/// That it did not happen in time.
pub fn await_pairing(group: &Group) -> Result<()> {
    let begun = Instant::now();
    loop {
        let status = group.status();
        let members = status.charter.as_ref().map_or(0, |charter| charter.in_sync.len());
        let filled = |leg: &trefoil_site::status::LegStatus| {
            leg.debt_bytes == 0 && leg.marks.restored.value() > 0
        };
        if status.serving && members == 2 && status.legs.values().all(filled) {
            return Ok(());
        }
        if begun.elapsed() > PAIRING_TIMEOUT {
            return Err(Error::unavailable(format!("pair: not in time; {status:?}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
