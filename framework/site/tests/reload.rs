//! A site that runs takes over another configuration: what changes live, and what does not.

use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use trefoil_backends::memory::MemoryDisk;
use trefoil_core::Result;
use trefoil_core::model::{SiteName, VolumeName};
use trefoil_core::port::{BlockStore, JournalStore, Link, Listener, Transport};
use trefoil_site::config::{Changes, SiteConfig, Sources, load};
use trefoil_site::registry::{
    BackendFactory, Inside, JournalOptions, Registry, TransportOptions, VolumeOptions,
};
use trefoil_site::{Group, Point, Site};
use trefoil_transports::memory::{MemoryNetwork, MemoryTransport};

/// Memory by a word of one's own.
struct Named(&'static str, MemoryTransport);

#[async_trait::async_trait]
impl Transport for Named {
    async fn connect(&self, address: &str) -> Result<Link> {
        self.1.connect(address).await
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.1.listen(address).await
    }

    fn describe(&self) -> String {
        self.0.to_owned()
    }
}

struct Ram(MemoryDisk);

impl BackendFactory for Ram {
    fn block_store(&self, options: &VolumeOptions) -> Result<Arc<dyn BlockStore>> {
        Ok(Arc::new(self.0.volume(&options.volume.name, options.volume.size)?))
    }

    fn journal_store(&self, _: &JournalOptions) -> Result<Box<dyn JournalStore>> {
        Ok(Box::new(self.0.journal()?))
    }
}

fn words(networks: &[(&'static str, MemoryNetwork)]) -> Registry {
    let registry = Registry::new().backend("ram", Ram(MemoryDisk::new(64 << 20)));
    networks.iter().fold(registry, |registry, (word, network)| {
        let (word, network) = (*word, network.clone());
        let open = move |_: &TransportOptions| -> Result<Arc<dyn Transport>> {
            Ok(Arc::new(Named(word, network.transport())))
        };
        registry.transport(word, Inside(open))
    })
}

fn config(site: &str, to_c: &str, window: &str, registry: &Registry) -> SiteConfig {
    let sites = ["a", "b", "c"]
        .map(|name| format!("[sites.{name}]\naddress = \"{name}:1\"\nbackend = \"ram\"\n"));
    let text = format!(
        "[group.g]\nprimary = \"a\"\nsync = \"b\"\nasync = \"c\"\n\
         [group.g.volume.v]\nsize = \"1MiB\"\n\
         [limits]\nwindow = \"{window}\"\n[backend.ram]\nkind = \"ram\"\n\
         [link.ab]\ntransport = \"road\"\n[link.bc]\ntransport = \"road\"\n\
         [link.ac]\ntransport = \"{to_c}\"\n{}",
        sites.concat()
    );
    let sources = Sources::text("three.toml", &text).option("--site", "site", Some(site));
    load(&sources, registry).unwrap_or_else(|problems| panic!("{problems}"))
}

fn until(group: &Group, what: &str, holds: impl Fn(&trefoil_site::GroupStatus) -> bool) {
    let begun = Instant::now();
    while !holds(&group.status()) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:#?}", group.status());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_link_changes_its_transport_once_both_sites_have_reloaded_and_no_session_ends() {
    let networks = [("road", MemoryNetwork::new()), ("rail", MemoryNetwork::new())];
    let registries = [(); 3].map(|()| words(&networks));
    let names = ["a", "b", "c"];
    let configs: Vec<SiteConfig> = names
        .iter()
        .zip(&registries)
        .map(|(name, registry)| config(name, "road", "2MiB", registry))
        .collect();
    let sites: Vec<Site> = configs
        .iter()
        .zip(&registries)
        .map(|(config, registry)| Site::from_config(config, registry).unwrap())
        .collect();
    let (a, c) = (sites[0].groups().remove(0), sites[2].groups().remove(0));
    let far = SiteName::new("c").unwrap();
    until(&a, "a serves", |status| status.serving);
    until(&c, "c follows", |status| {
        status.follows.as_ref().is_some_and(|follows| follows.plan.is_some())
    });
    let plan = || c.status().follows.clone().unwrap().plan;
    let before = plan();

    let reload = |index: usize, window: &str| {
        let next = config(names[index], "rail", window, &registries[index]);
        sites[index].reload(&configs[index], &next, &registries[index]).unwrap()
    };
    let (running, Changes { live, restart }) = reload(0, "4MiB");
    assert_eq!(live, ["link a-c: transport road -> rail"]);
    assert_eq!(restart, ["limits"]);
    assert_eq!(running.limits, configs[0].limits, "what needs a restart is not taken over");
    // C does not listen there yet.
    until(&a, "a says what it waits for", |status| {
        let leg = &status.legs[&far];
        leg.link_up && leg.transport == "road" && leg.way_refused.is_some()
    });
    reload(2, "2MiB");
    until(&a, "the link goes by rail", |status| {
        let leg = &status.legs[&far];
        leg.link_up && leg.transport == "rail" && leg.way_wanted.is_none()
    });
    let volume = a.volume(&VolumeName::new("v").unwrap()).unwrap();
    futures_executor::block_on(async {
        let update = volume.write_at(0, Bytes::from_static(b"by rail")).await.unwrap();
        volume.wait_for(update, &far, Point::Restored).await.unwrap();
    });
    assert_eq!(plan(), before, "the session is the same");
    assert_eq!(a.status().totals.reconnects, 0);
    for site in sites {
        site.stop().unwrap();
    }
}
