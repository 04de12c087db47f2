//! From a text to three running sites, with words of one's own.

use crate::config::{Sources, load};
use crate::registry::{
    BackendFactory, JournalOptions, Reach, Registry, TransportOptions, VolumeOptions,
};
use crate::{Group, GroupStatus, Point, Site};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::Result;
use trefoil_core::model::{LegState, SiteName, VolumeName};
use trefoil_core::port::{BlockStore, JournalStore, Transport};
use trefoil_transports::MemoryNetwork;

const TEXT: &str = r#"
[group.g]
primary = "a"
sync = "b"
async = "c"
[group.g.volume.v]
size = "1MiB"
[journal]
capacity = "8MiB"
[limits]
window = "2MiB"
[arbiter]
lease = "700ms"
[backend.quick]
kind = "ram"
speed = "fast"
[link.ab]
transport = "wire"
colour = "red"
[link.a_c]
transport = "wire"
[link.far]
between = ["c", "b"]
transport = "wire"
[sites.a]
address = "a:1"
backend = "quick"
[sites.b]
address = "b:1"
backend = "quick"
[sites.c]
address = "c:1"
backend = "quick"
"#;

/// A backend of one's own: it sees the settings that its keys named.
#[derive(Default)]
struct Ram(Mutex<BTreeMap<SiteName, MemoryDisk>>);

impl Ram {
    fn disk(&self, site: &SiteName, bytes: u64) -> MemoryDisk {
        let mut disks = self.0.lock();
        disks.entry(site.clone()).or_insert_with(|| MemoryDisk::new(bytes)).clone()
    }
}

impl BackendFactory for Ram {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        assert_eq!(options.settings["speed"], "fast");
        assert!(options.dir.ends_with(format!("{}/volumes", options.site)));
        let disk = self.disk(&options.site, 1);
        Ok(Arc::new(disk.volume(&options.volume.name, options.volume.size)?))
    }

    fn journal_store(&self, options: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        assert_eq!(options.capacity_bytes, 8 << 20);
        Ok(Box::new(self.disk(&options.site, options.capacity_bytes).journal()?))
    }

    fn keys(&self) -> &[&'static str] {
        &["speed"]
    }
}

/// A transport of one's own, with a key of its own.
struct Wire(MemoryNetwork, Arc<Mutex<Vec<TransportOptions>>>);

impl crate::registry::TransportFactory for Wire {
    fn open(&self, options: &TransportOptions) -> Result<Arc<dyn Transport>> {
        self.1.lock().push(options.clone());
        Ok(Arc::new(self.0.transport()))
    }

    fn keys(&self) -> &[&'static str] {
        &["colour"]
    }

    fn reach(&self) -> Reach {
        Reach::Inside
    }
}

fn start(name: &str, registry: &Registry) -> Site {
    let sources = Sources::text("three.toml", TEXT).option("--site", "site", Some(name));
    let config = load(&sources, registry).unwrap_or_else(|problems| panic!("{problems}"));
    Site::from_config(&config, registry).unwrap()
}

async fn until(group: &Group, holds: impl Fn(&GroupStatus) -> bool) {
    let mut watch = group.watch();
    while !holds(&group.status()) {
        watch.changed().await.unwrap();
    }
}

fn filled(status: &GroupStatus) -> bool {
    status.follows.as_ref().is_some_and(|follows| follows.state == LegState::Paired)
}

#[tokio::test]
async fn a_text_and_own_words_make_three_sites_that_replicate() {
    let opened = Arc::new(Mutex::new(Vec::new()));
    let registry = Registry::new()
        .transport("wire", Wire(MemoryNetwork::new(), Arc::clone(&opened)))
        .backend("ram", Ram::default());
    let sites = ["a", "b", "c"].map(|name| start(name, &registry));
    let red =
        |options: &TransportOptions| options.settings.get("colour").is_some_and(|c| c == "red");
    assert_eq!(opened.lock().iter().filter(|options| red(options)).count(), 2, "both ends of ab");
    for options in &*opened.lock() {
        let expected = if options.peer.is_some() { 1 } else { 2 };
        assert_eq!(options.peers.len(), expected, "{options:?}");
        assert!(!options.peers.contains(&options.site), "{options:?}");
    }

    let [a, _, c] = &sites;
    let group = a.groups().remove(0);
    let work = async {
        until(&group, |status| status.serving).await;
        let far = c.groups().remove(0);
        until(&far, filled).await;
        let volume = group.volume(&VolumeName::new("v").unwrap()).unwrap();
        let update = volume.write_at(4096, Bytes::from_static(&[7; 4096])).await.unwrap();
        far.wait_for(update, c.name(), Point::Restored).await.unwrap();
        let copy = far.volume(volume.name()).unwrap();
        assert_eq!(copy.read_at(4096, 4096).await.unwrap(), Bytes::from_static(&[7; 4096]));
    };
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap();
    for site in sites {
        site.stop().unwrap();
    }
}
